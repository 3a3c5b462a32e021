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
    /// without waiting.
    Replicate {
        /// What is under way.
        inflight: Inflight,
    },
    /// The follower needs entries that are forgotten: it gets a snapshot, and nothing else until
    /// that has arrived or failed.
    Snapshot {
        /// The snapshot's index.
        index: LogIndex,
    },
}

/// The messages with entries that are under way to one follower.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inflight {
    /// The last index of each, and its payload bytes; in order.
    messages: VecDeque<(LogIndex, u64)>,
    bytes: u64,
}

/// How much may be under way to one follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Messages with entries, at most.
    pub messages: usize,
    /// Payload bytes, at most, unless a single message has more.
    pub bytes: u64,
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
    /// Something was heard from it since the leader last looked whether it has a quorum.
    pub active: bool,
    /// The commit index that it was told, if that message arrived.
    pub told: LogIndex,
    /// Since its last answer to a heartbeat, sending began anew because of a refusal. On a network
    /// that reorders, a follower refuses most of a burst of messages: if each refusal brought
    /// another burst, messages would multiply (the simulator saw a million of them for a new member
    /// that lacked 300 entries).
    pub began_anew: bool,
    /// The last of what it has refused since then; 0 if nothing.
    pub refused: LogIndex,
}

impl Inflight {
    /// Messages under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Payload bytes under way.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_full(&self, window: Window) -> bool {
        self.messages.len() >= window.messages
            || (self.bytes >= window.bytes && !self.messages.is_empty())
    }

    fn push(&mut self, last: LogIndex, bytes: u64) {
        self.messages.push_back((last, bytes));
        self.bytes += bytes;
    }

    fn pop(&mut self) {
        if let Some((_, bytes)) = self.messages.pop_front() {
            self.bytes -= bytes;
        }
    }

    /// Everything up to `matched` has arrived.
    fn arrived(&mut self, matched: LogIndex) {
        while self.messages.front().is_some_and(|&(last, _)| last <= matched) {
            self.pop();
        }
    }
}

impl Progress {
    /// A follower of whom its leader knows nothing: the guess is that the logs are equal.
    #[must_use]
    pub fn new(id: NodeId, last_index: LogIndex) -> Progress {
        Progress {
            id,
            matched: LogIndex::ZERO,
            next: last_index.next(),
            state: ProgressState::Probe { waiting: false },
            confirmed_round: 0,
            // It is given until the next look to answer.
            active: true,
            told: LogIndex::ZERO,
            began_anew: false,
            refused: LogIndex::ZERO,
        }
    }

    /// Whether an append message may be sent now.
    #[must_use]
    pub fn may_send(&self, window: Window) -> bool {
        match &self.state {
            ProgressState::Probe { waiting } => !waiting,
            ProgressState::Replicate { inflight } => !inflight.is_full(window),
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// Notes that `count` entries from `next` on were sent, with `bytes` of payload.
    pub fn sent(&mut self, count: u64, bytes: u64) {
        match &mut self.state {
            ProgressState::Probe { waiting } => *waiting = true,
            ProgressState::Replicate { inflight } if count > 0 => {
                self.next = LogIndex(self.next.0 + count);
                inflight.push(self.next.previous(), bytes);
            }
            ProgressState::Replicate { .. } | ProgressState::Snapshot { .. } => {}
        }
    }

    /// Notes that the snapshot of `index` was sent.
    pub fn sent_snapshot(&mut self, index: LogIndex) {
        self.state = ProgressState::Snapshot { index };
    }

    /// The follower holds everything up to `matched`. `base` is the last entry that its leader has
    /// forgotten. Says whether that was news.
    pub fn accepted(&mut self, matched: LogIndex, base: LogIndex) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(matched.next());
        match &mut self.state {
            // An old answer may come while a snapshot is still under way, and needed. Once that
            // one has arrived, the next may be needed already: it has to be sent.
            ProgressState::Snapshot { index } if self.matched < base.min(*index) => {}
            ProgressState::Probe { .. } | ProgressState::Snapshot { .. } => {
                // Whatever the guess was, agreement is now known, and sending starts from there.
                self.next = self.matched.next();
                self.state = ProgressState::Replicate { inflight: Inflight::default() };
            }
            ProgressState::Replicate { inflight } => inflight.arrived(matched),
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
                // What more was lost is sent after the next heartbeat's answer.
                if self.began_anew {
                    self.refused = self.refused.max(previous);
                    return false;
                }
                self.began_anew = true;
                self.next = self.matched.next();
            }
            ProgressState::Probe { .. } => {
                if self.next.previous() != previous {
                    return false;
                }
                self.next = previous.min(agreement.next()).max(self.matched.next());
            }
            ProgressState::Snapshot { .. } => return false,
        }
        self.state = ProgressState::Probe { waiting: false };
        true
    }

    /// The follower has lost entries, also of what it had acknowledged, which was at most `doubtful`;
    /// what is sure to be equal is up to `committed`.
    pub fn lost(&mut self, committed: LogIndex, doubtful: LogIndex) {
        // It has acknowledged more since: the answer came late, or it has everything again but the
        // commit index.
        if self.matched > doubtful {
            return;
        }
        self.matched = self.matched.min(committed);
        self.told = self.told.min(committed);
        self.next = committed.next();
        self.state = ProgressState::Probe { waiting: false };
    }

    /// An answer to a heartbeat shows that the way is open: whatever was lost may be sent again.
    pub fn heard(&mut self, window: Window) {
        self.began_anew = false;
        match &mut self.state {
            ProgressState::Probe { waiting } => *waiting = false,
            // What was under way when it refused something came to nothing, and would fill the
            // window for as many heartbeats as there are messages.
            ProgressState::Replicate { .. } if self.refused > self.matched => {
                self.next = self.matched.next();
                self.state = ProgressState::Probe { waiting: false };
            }
            ProgressState::Replicate { inflight } => {
                if inflight.is_full(window) {
                    inflight.pop();
                }
            }
            ProgressState::Snapshot { .. } => {}
        }
        self.refused = LogIndex::ZERO;
    }

    /// A message to the follower was lost. What was sent after it may have come to nothing too.
    pub fn unreachable(&mut self) {
        if matches!(self.state, ProgressState::Replicate { .. }) {
            self.next = self.matched.next();
            self.state = ProgressState::Probe { waiting: false };
        }
    }

    /// The transfer of a snapshot ended. The next answer to a heartbeat, or the follower's own
    /// answer to the snapshot, lets its leader go on.
    pub fn snapshot_ended(&mut self, delivered: bool) {
        if let ProgressState::Snapshot { index } = self.state {
            let from = if delivered { index.max(self.matched) } else { self.matched };
            self.next = from.next();
            self.state = ProgressState::Probe { waiting: true };
        }
    }
}

#[cfg(test)]
mod tests;
