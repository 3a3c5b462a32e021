//! What a leader knows of one follower, and how much it may send to it.

use std::collections::VecDeque;

use crate::types::{LogIndex, NodeId};

/// How entries are sent to a follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProgressState {
    /// Where the logs agree is not known: one message at a time, until an answer or the next
    /// heartbeat's answer comes.
    Probe {
        /// A message is under way.
        waiting: bool,
    },
    /// The logs agree up to `next - 1` as far as is known: messages are sent one after another
    /// without waiting. Holds the last index of each message that is not answered yet.
    Replicate {
        /// Last indexes of the messages under way, in order.
        inflight: VecDeque<LogIndex>,
    },
}

/// A follower as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The follower.
    pub id: NodeId,
    /// Highest index at which its durable log is known to equal the leader's. Never decreases
    /// within a term, and stays below `next`.
    pub matched: LogIndex,
    /// Index of the next entry to send.
    pub next: LogIndex,
    /// How to send.
    pub state: ProgressState,
    /// Highest confirmation round that it answered.
    pub confirmed_round: u64,
}

impl Progress {
    /// A follower of whom a new leader knows nothing: its guess is that the logs are equal.
    #[must_use]
    pub fn new(id: NodeId, last_index: LogIndex) -> Progress {
        Progress {
            id,
            matched: LogIndex::ZERO,
            next: last_index.next(),
            state: ProgressState::Probe { waiting: false },
            confirmed_round: 0,
        }
    }

    /// Whether an append message may be sent now.
    #[must_use]
    pub fn may_send(&self, max_inflight: usize) -> bool {
        match &self.state {
            ProgressState::Probe { waiting } => !waiting,
            ProgressState::Replicate { inflight } => inflight.len() < max_inflight,
        }
    }

    /// Notes that `count` entries from `next` on were sent.
    pub fn sent(&mut self, count: u64) {
        match &mut self.state {
            ProgressState::Probe { waiting } => *waiting = true,
            ProgressState::Replicate { inflight } if count > 0 => {
                self.next = LogIndex(self.next.0 + count);
                inflight.push_back(self.next.previous());
            }
            ProgressState::Replicate { .. } => {}
        }
    }

    /// The follower holds everything up to `matched`. Says whether that was news.
    pub fn accepted(&mut self, matched: LogIndex) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(matched.next());
        match &mut self.state {
            ProgressState::Probe { .. } => {
                // Whatever the guess was, agreement is now known, and sending starts from there.
                self.next = self.matched.next();
                self.state = ProgressState::Replicate { inflight: VecDeque::new() };
            }
            ProgressState::Replicate { inflight } => {
                while inflight.front().is_some_and(|&last| last <= matched) {
                    inflight.pop_front();
                }
            }
        }
        assert!(self.matched < self.next, "match {} is not below next {}", self.matched, self.next);
        news
    }

    /// The follower refused `previous`; the logs agree at `agreement` at most. Says whether that
    /// was news, and not an answer that came late.
    pub fn rejected(&mut self, previous: LogIndex, agreement: LogIndex) -> bool {
        match self.state {
            ProgressState::Replicate { .. } => {
                if previous <= self.matched {
                    return false;
                }
                self.next = self.matched.next();
            }
            ProgressState::Probe { .. } => {
                if self.next.previous() != previous {
                    return false;
                }
                self.next = previous.min(agreement.next()).max(self.matched.next());
            }
        }
        self.state = ProgressState::Probe { waiting: false };
        true
    }

    /// An answer to a heartbeat shows that the way is open: whatever was lost may be sent again.
    pub fn heard(&mut self, max_inflight: usize) {
        match &mut self.state {
            ProgressState::Probe { waiting } => *waiting = false,
            ProgressState::Replicate { inflight } => {
                if inflight.len() >= max_inflight {
                    inflight.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicating(matched: u64) -> Progress {
        let mut progress = Progress::new(NodeId(2), LogIndex(matched));
        assert!(progress.accepted(LogIndex(matched)));
        progress
    }

    #[test]
    fn a_probe_waits_for_its_answer() {
        let mut progress = Progress::new(NodeId(2), LogIndex(7));
        assert!(progress.may_send(4));
        progress.sent(3);
        assert!(!progress.may_send(4), "one probe at a time");
        assert_eq!(progress.next, LogIndex(8), "a probe does not move next");
        progress.heard(4);
        assert!(progress.may_send(4), "a heartbeat's answer frees it");
    }

    #[test]
    fn replication_fills_its_window_and_is_freed_by_answers() {
        let mut progress = replicating(7);
        for _ in 0..4 {
            assert!(progress.may_send(4));
            progress.sent(2);
        }
        assert!(!progress.may_send(4));
        assert_eq!(progress.next, LogIndex(16));
        assert!(progress.accepted(LogIndex(11)), "answers two messages at once");
        assert_eq!(
            progress.state,
            ProgressState::Replicate { inflight: [13, 15].map(LogIndex).into() }
        );
        assert!(!progress.accepted(LogIndex(9)), "an old answer is no news");
        assert_eq!(progress.matched, LogIndex(11));
    }

    #[test]
    fn a_rejection_probes_from_where_the_logs_can_agree() {
        let mut progress = Progress::new(NodeId(2), LogIndex(20));
        progress.sent(1);
        assert!(progress.rejected(LogIndex(20), LogIndex(5)));
        assert_eq!(progress.next, LogIndex(6));
        assert!(!progress.rejected(LogIndex(20), LogIndex(3)), "the same answer again is stale");
        let mut progress = replicating(7);
        progress.sent(5);
        assert!(!progress.rejected(LogIndex(6), LogIndex(2)), "below what is known to match");
        assert!(progress.rejected(LogIndex(12), LogIndex(9)));
        assert_eq!((progress.next, progress.matched), (LogIndex(8), LogIndex(7)));
        assert!(progress.rejected(LogIndex(7), LogIndex::ZERO), "the probe itself was refused");
        assert_eq!(progress.next, LogIndex(8), "what matched is never sent again");
    }
}
