//! The numbers of the protocol, each a type of its own.

use std::fmt;

/// A member of the group. Unique for ever: a member that loses its disk has to be removed, and
/// returns under a new id. Its old one stands for votes and entries that it has forgotten: whoever
/// has not heard of its removal may still count on them, and so may messages of its earlier life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A term: one election, at most one leader (§5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A position in the log. The first entry has index 1; index 0 stands before it, with term 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

/// Names one read request. Never used twice, not even after a restart: an answer to an earlier
/// request must not pass for an answer to this one (etcd's issue 20418).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Names one round of heartbeats, with which a leader asks whether it still leads (dissertation
/// 6.4). Rounds count within a term, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round {
    /// The leader's term.
    pub term: Term,
    /// The round in that term; 0 is before the first one.
    pub number: u64,
}

/// Names one write to stable storage.
///
/// `sequence` orders the writes of one process; `term` and `index` say up to where the log
/// reached when it was issued, so that a completion that comes late cannot be taken for one of
/// entries that have replaced those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoId {
    /// Position among all writes of this process, from 1.
    pub sequence: u64,
    /// Term in which the write was issued.
    pub term: Term,
    /// Last index of the log when the write was issued.
    pub index: LogIndex,
}

/// What a server must remember across restarts besides its log (§5.1, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// Latest term the server has seen.
    pub term: Term,
    /// Candidate that received its vote in `term`.
    pub vote: Option<NodeId>,
    /// Highest index known to be committed. Only a hint that shortens recovery: safety does not
    /// need it.
    pub commit: LogIndex,
}

impl Term {
    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl LogIndex {
    /// Before the first entry.
    pub const ZERO: LogIndex = LogIndex(0);

    /// The index after this one.
    #[must_use]
    pub fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }

    /// The index before this one.
    ///
    /// # Panics
    /// At index 0, before which there is none.
    #[must_use]
    pub fn previous(self) -> LogIndex {
        LogIndex(self.0.checked_sub(1).expect("nothing stands before index 0"))
    }

    /// How many entries lie in `(other, self]`; 0 if `other` is not below.
    #[must_use]
    pub fn distance_from(self, other: LogIndex) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
