use super::*;

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
