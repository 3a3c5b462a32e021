use super::*;
use proptest::prelude::*;

fn window(messages: usize) -> Window {
    Window { messages, bytes: u64::MAX }
}

fn replicating(matched: u64) -> Progress {
    let mut progress = Progress::new(NodeId(2), LogIndex(matched));
    assert!(progress.accepted(LogIndex(matched), LogIndex::ZERO));
    progress
}

fn inflight(progress: &Progress) -> Option<(Vec<u64>, u64)> {
    match &progress.state {
        ProgressState::Replicate { inflight } => {
            Some((inflight.messages.iter().map(|(last, _)| last.0).collect(), inflight.bytes()))
        }
        _ => None,
    }
}

#[test]
fn a_probe_waits_for_its_answer() {
    let mut progress = Progress::new(NodeId(2), LogIndex(7));
    assert!(progress.may_send(window(4)));
    progress.sent(3, 30);
    assert!(!progress.may_send(window(4)), "one probe at a time");
    assert_eq!(progress.next, LogIndex(8), "a probe does not move next");
    progress.heard(window(4));
    assert!(progress.may_send(window(4)), "a heartbeat's answer frees it");
}

#[test]
fn replication_fills_its_window_and_is_freed_by_answers() {
    let mut progress = replicating(7);
    for _ in 0..4 {
        assert!(progress.may_send(window(4)));
        progress.sent(2, 10);
    }
    assert!(!progress.may_send(window(4)));
    assert_eq!(progress.next, LogIndex(16));
    assert!(progress.accepted(LogIndex(11), LogIndex::ZERO), "answers two messages at once");
    assert_eq!(inflight(&progress), Some((vec![13, 15], 20)));
    assert!(!progress.accepted(LogIndex(9), LogIndex::ZERO), "an old answer is no news");
    assert_eq!(progress.matched, LogIndex(11));
}

#[test]
fn a_second_rejection_is_met_after_the_next_heartbeat() {
    let mut progress = replicating(7);
    (0..3).for_each(|_| progress.sent(1, 1));
    assert!(progress.rejected(LogIndex(9), LogIndex(7)));
    assert!(progress.accepted(LogIndex(8), LogIndex::ZERO));
    (0..3).for_each(|_| progress.sent(1, 1));
    assert!(!progress.rejected(LogIndex(10), LogIndex(8)), "one burst of messages brings one more");
    assert_eq!(progress.next, LogIndex(12));
    progress.heard(window(100));
    assert_eq!(progress.next, LogIndex(9), "what is under way came to nothing");
    // But not if what was refused has come since.
    assert!(progress.accepted(LogIndex(9), LogIndex::ZERO));
    (0..3).for_each(|_| progress.sent(1, 1));
    assert!(progress.rejected(LogIndex(11), LogIndex(9)));
    assert!(progress.accepted(LogIndex(10), LogIndex::ZERO));
    assert!(!progress.rejected(LogIndex(12), LogIndex(10)));
    assert!(progress.accepted(LogIndex(12), LogIndex::ZERO));
    (0..3).for_each(|_| progress.sent(1, 1));
    progress.heard(window(100));
    assert_eq!(progress.next, LogIndex(16));
}

#[test]
fn a_rejection_probes_from_where_the_logs_can_agree() {
    let mut progress = Progress::new(NodeId(2), LogIndex(20));
    progress.sent(1, 1);
    assert!(progress.rejected(LogIndex(20), LogIndex(5)));
    assert_eq!(progress.next, LogIndex(6));
    assert!(!progress.rejected(LogIndex(20), LogIndex(3)), "the same answer again is stale");
    let mut progress = replicating(7);
    progress.sent(5, 5);
    assert!(!progress.rejected(LogIndex(6), LogIndex(2)), "below what is known to match");
    assert!(progress.rejected(LogIndex(12), LogIndex(9)));
    assert_eq!((progress.next, progress.matched), (LogIndex(8), LogIndex(7)));
    assert!(progress.rejected(LogIndex(7), LogIndex::ZERO), "the probe itself was refused");
    assert_eq!(progress.next, LogIndex(8), "what matched is never sent again");
}

#[test]
fn one_refusal_between_two_heartbeats_begins_anew_and_no_more() {
    let mut progress = replicating(7);
    for _ in 0..3 {
        progress.sent(1, 1);
    }
    // The network brought the first of them last.
    assert!(progress.rejected(LogIndex(9), LogIndex(7)));
    progress.sent(1, 1);
    assert!(progress.accepted(LogIndex(8), LogIndex::ZERO));
    progress.sent(1, 1);
    progress.sent(1, 1);
    assert!(!progress.rejected(LogIndex(10), LogIndex(7)), "it may be of the first burst still");
    assert_eq!(inflight(&progress), Some((vec![9, 10], 2)));
    progress.heard(window(4));
    assert_eq!(
        (progress.next, inflight(&progress)),
        (LogIndex(9), None),
        "in the end it is sent again"
    );
}

#[test]
fn a_full_window_by_bytes_lets_no_message_through_but_the_first() {
    let window = Window { messages: 10, bytes: 100 };
    let mut progress = replicating(7);
    progress.sent(1, 1000);
    assert!(!progress.may_send(window), "a message of any size when nothing is under way");
    progress.accepted(LogIndex(8), LogIndex::ZERO);
    progress.sent(1, 99);
    assert!(progress.may_send(window));
    progress.sent(1, 1);
    assert!(!progress.may_send(window));
    assert_eq!(inflight(&progress), Some((vec![9, 10], 100)));
}

#[test]
fn an_empty_message_is_not_under_way() {
    let mut progress = replicating(7);
    progress.sent(0, 0);
    assert_eq!((inflight(&progress), progress.next), (Some((vec![], 0)), LogIndex(8)));
}

#[test]
fn a_snapshot_is_waited_for() {
    let mut progress = replicating(7);
    progress.sent_snapshot(LogIndex(20));
    assert!(!progress.may_send(window(4)));
    progress.heard(window(4));
    progress.unreachable();
    assert!(!progress.rejected(LogIndex(9), LogIndex(8)));
    assert_eq!(progress.state, ProgressState::Snapshot { index: LogIndex(20) });
    // Entries that it had before are no answer to the snapshot, as long as it is needed.
    progress.accepted(LogIndex(8), LogIndex(15));
    assert_eq!(progress.state, ProgressState::Snapshot { index: LogIndex(20) });
    progress.accepted(LogIndex(15), LogIndex(15));
    assert_eq!((inflight(&progress), progress.next), (Some((vec![], 0)), LogIndex(16)));
}

#[test]
fn a_snapshot_that_ended_is_followed_by_a_probe_that_waits() {
    for (delivered, next) in [(true, 21), (false, 8)] {
        let mut progress = replicating(7);
        progress.sent_snapshot(LogIndex(20));
        progress.snapshot_ended(delivered);
        assert_eq!(progress.state, ProgressState::Probe { waiting: true });
        assert_eq!(progress.next, LogIndex(next));
        progress.snapshot_ended(!delivered);
        assert_eq!(progress.next, LogIndex(next), "it has ended already");
    }
}

/// What a leader and its network know: each message on its way, nothing summed up.
#[derive(Debug, Default)]
struct Naive {
    matched: u64,
    next: u64,
    /// Last entry and bytes of what was sent and not answered, if messages follow each other.
    sent: Option<Vec<(u64, u64)>>,
    waiting: bool,
    snapshot: Option<u64>,
    began_anew: bool,
    /// Refusals that were passed over.
    refused: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { count: u64, bytes: u64 },
    Accept { percent: u64 },
    Reject { percent: u64, agreement: u64, fitting: bool },
    Heard,
    Unreachable,
    Snapshot { ahead: u64 },
    SnapshotEnded { delivered: bool },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u64..4, 0u64..40).prop_map(|(count, bytes)| Step::Send { count, bytes }),
        6 => (0u64..101).prop_map(|percent| Step::Accept { percent }),
        2 => (0u64..101, 0u64..30, any::<bool>()).prop_map(|(percent, agreement, fitting)| {
            Step::Reject { percent, agreement, fitting }
        }),
        3 => Just(Step::Heard),
        1 => Just(Step::Unreachable),
        1 => (0u64..9).prop_map(|ahead| Step::Snapshot { ahead }),
        2 => any::<bool>().prop_map(|delivered| Step::SnapshotEnded { delivered }),
    ]
}

impl Naive {
    fn bytes(&self) -> u64 {
        self.sent.iter().flatten().map(|(_, bytes)| bytes).sum()
    }

    fn may_send(&self, window: Window) -> bool {
        match &self.sent {
            None => self.snapshot.is_none() && !self.waiting,
            Some(sent) if sent.is_empty() => true,
            Some(sent) => sent.len() < window.messages && self.bytes() < window.bytes,
        }
    }

    fn probe(&mut self, next: u64, waiting: bool) {
        let (matched, began_anew) = (self.matched, self.began_anew);
        let refused = std::mem::take(&mut self.refused);
        *self = Naive { matched, next, waiting, began_anew, refused, ..Naive::default() };
    }

    fn accept(&mut self, matched: u64, base: u64) {
        self.matched = self.matched.max(matched);
        if self.snapshot.is_some_and(|index| self.matched < base && self.matched < index) {
            self.next = self.next.max(matched + 1);
            return;
        }
        match &mut self.sent {
            Some(sent) => {
                sent.retain(|(last, _)| *last > matched);
                self.next = self.next.max(matched + 1);
            }
            None => {
                let sent = Some(Vec::new());
                self.probe(self.matched + 1, false);
                self.sent = sent;
            }
        }
    }

    fn reject(&mut self, previous: u64, agreement: u64) {
        if self.sent.is_some() && previous > self.matched {
            if std::mem::replace(&mut self.began_anew, true) {
                self.refused.push(previous);
                return;
            }
            self.probe(self.matched + 1, false);
        } else if self.sent.is_none() && self.snapshot.is_none() && previous + 1 == self.next {
            self.probe(previous.min(agreement + 1).max(self.matched + 1), false);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn progress_equals_a_list_of_all_messages(
        steps in prop::collection::vec(any_step(), 0..60),
        messages in 1usize..4, bytes in 0u64..60, base in 0u64..20, guess in 0u64..20,
    ) {
        let window = Window { messages, bytes };
        let mut progress = Progress::new(NodeId(2), LogIndex(guess));
        let mut naive = Naive { next: guess + 1, ..Naive::default() };
        for step in steps {
            let before = progress.matched;
            match step {
                Step::Send { count, bytes } => {
                    prop_assert_eq!(progress.may_send(window), naive.may_send(window));
                    if !naive.may_send(window) {
                        continue;
                    }
                    progress.sent(count, bytes);
                    match &mut naive.sent {
                        None => naive.waiting = true,
                        Some(_) if count == 0 => {}
                        Some(sent) => {
                            naive.next += count;
                            sent.push((naive.next - 1, bytes));
                        }
                    }
                }
                Step::Accept { percent } => {
                    let matched = naive.next * percent / 100;
                    let news = progress.accepted(LogIndex(matched), LogIndex(base));
                    prop_assert_eq!(news, matched > naive.matched);
                    naive.accept(matched, base);
                }
                Step::Reject { percent, agreement, fitting } => {
                    let previous = if fitting { naive.next - 1 } else { naive.next * percent / 100 };
                    progress.rejected(LogIndex(previous), LogIndex(agreement));
                    naive.reject(previous, agreement);
                }
                Step::Heard => {
                    progress.heard(window);
                    naive.began_anew = false;
                    let full = !naive.may_send(window);
                    let refused = std::mem::take(&mut naive.refused);
                    if naive.sent.is_some() && refused.iter().any(|at| *at > naive.matched) {
                        naive.probe(naive.matched + 1, false);
                        continue;
                    }
                    match &mut naive.sent {
                        Some(sent) if full => drop(sent.remove(0)),
                        Some(_) => {}
                        None => naive.waiting = false,
                    }
                }
                Step::Unreachable => {
                    progress.unreachable();
                    if naive.sent.is_some() {
                        naive.probe(naive.matched + 1, false);
                    }
                }
                Step::Snapshot { ahead } => {
                    let index = naive.matched + 1 + ahead;
                    progress.sent_snapshot(LogIndex(index));
                    naive = Naive { snapshot: Some(index), sent: None, waiting: false, ..naive };
                }
                Step::SnapshotEnded { delivered } => {
                    progress.snapshot_ended(delivered);
                    if let Some(index) = naive.snapshot {
                        let last = if delivered { index.max(naive.matched) } else { naive.matched };
                        naive.probe(last + 1, true);
                    }
                }
            }
            let sent = naive.sent.as_ref();
            let lasts = sent.map(|sent| sent.iter().map(|(last, _)| *last).collect::<Vec<_>>());
            prop_assert_eq!(inflight(&progress), lasts.map(|lasts| (lasts, naive.bytes())));
            prop_assert_eq!((progress.matched.0, progress.next.0), (naive.matched, naive.next));
            prop_assert_eq!(progress.may_send(window), naive.may_send(window));
            // A window is left by one message at most, and only by its bytes.
            let last = sent.and_then(|sent| sent.last()).map_or(0, |(_, bytes)| *bytes);
            prop_assert!(naive.bytes() < window.bytes + last || naive.bytes() == last);
            prop_assert!(sent.is_none_or(|sent| sent.len() <= window.messages));
            prop_assert!(progress.matched >= before && progress.matched < progress.next);
        }
    }
}
