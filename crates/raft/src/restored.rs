//! What a member starts from.

use std::fmt;

use crate::configuration::{ChangeError, MembershipChange, Snapshot};
use crate::log::Log;
use crate::membership::Membership;
use crate::message::EntryMeta;
use crate::types::{HardState, LogIndex, NodeId, Term};

/// Limits, and what a group agrees on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Entries in one append message, at most; not 0.
    pub max_entries_per_message: usize,
    /// Payload bytes in one append message, at most, unless a single entry is larger.
    pub max_bytes_per_message: u64,
    /// Append messages that may be under way to one follower; not 0.
    pub max_inflight_messages: usize,
    /// Payload bytes that may be under way to one follower, unless a single message has more.
    pub max_inflight_bytes: u64,
    /// Payload bytes that a leader takes before they are committed, unless nothing else waits.
    pub max_uncommitted_bytes: u64,
    /// Between members whose logs are equal the one with the higher priority leads: a member
    /// refuses its pre-vote to one of a lower priority. It is a wish, not a rule.
    pub priority: u32,
    /// Leaders may answer reads without a round of heartbeats while their lease holds
    /// ([`Event::LeaseRead`](crate::Event::LeaseRead)). Set alike at all members.
    pub lease_reads: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_entries_per_message: 1024,
            max_bytes_per_message: 1 << 20,
            max_inflight_messages: 256,
            max_inflight_bytes: 64 << 20,
            max_uncommitted_bytes: 1 << 30,
            priority: 0,
            lease_reads: false,
        }
    }
}

/// What a member starts from: its group, and what it finds on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restored {
    /// This member.
    pub id: NodeId,
    /// Its latest snapshot; the default if it has none. At index 0 it may have a configuration
    /// that all members of the group start with. Nobody can join such a group later, since its log
    /// does not say who founded it: see [`Restored::founder`].
    pub snapshot: Snapshot,
    /// The hard state on disk; the default for a new member.
    pub hard_state: HardState,
    /// The log on disk from the entry after the snapshot on ([`Log::after`]); empty for a new
    /// member.
    pub log: Log,
    /// Which of the log's entries change the membership, in order.
    pub changes: Vec<(LogIndex, MembershipChange)>,
    /// The last entry that it may have acknowledged, if its disk has lost some of what it held; 0
    /// if nothing was lost. A quorum may rest on what it has forgotten. So it abstains, which means
    /// that it votes for nobody and does not stand for election, until it knows that much to be
    /// committed and holds it again, or has an entry of a later term than its own of now: the
    /// leader of that one was elected without it, and has all that was committed before. The hard
    /// state must not have been lost.
    pub doubtful: LogIndex,
    /// Limits.
    pub options: Options,
}

impl Restored {
    /// A member of a new group: its log has one entry, with which the group begins, and which is
    /// committed by definition. The driver writes that entry, with a payload of `size` bytes, and
    /// the hard state to disk before anything else happens. All founders write the same.
    #[must_use]
    pub fn founder(
        id: NodeId,
        founding: MembershipChange,
        size: u32,
        options: Options,
    ) -> Restored {
        let (term, index) = (Term(1), LogIndex(1));
        let mut log = Log::new();
        log.append(EntryMeta { term, size });
        Restored {
            id,
            snapshot: Snapshot::default(),
            hard_state: HardState { term, vote: None, commit: index },
            log,
            changes: vec![(index, founding)],
            doubtful: LogIndex::ZERO,
            options,
        }
    }

    /// A member that joins a group: it knows nothing, and never stands for election until the
    /// group's leader has sent it the log. It votes, since the group may have made it a voter
    /// without having told it.
    #[must_use]
    pub fn joiner(id: NodeId, options: Options) -> Restored {
        Restored {
            id,
            snapshot: Snapshot::default(),
            hard_state: HardState::default(),
            log: Log::new(),
            changes: Vec::new(),
            doubtful: LogIndex::ZERO,
            options,
        }
    }

    /// What is known to be committed, and the membership that the log comes to: the changes go into
    /// that.
    pub(crate) fn validate(&mut self) -> Result<(LogIndex, Membership), InvalidState> {
        let Restored { snapshot, hard_state, log, changes, .. } = self;
        if log.base() != snapshot.index || !log.matches(snapshot.index, snapshot.term) {
            return Err(InvalidState::LogWithoutSnapshot {
                snapshot: (snapshot.index, snapshot.term),
                base: log.base(),
            });
        }
        let commit = hard_state.commit.max(snapshot.index);
        if commit > log.last_index() {
            return Err(InvalidState::CommitPastEnd { commit, last_index: log.last_index() });
        }
        let mut membership = Membership::new(snapshot.index, snapshot.configuration.clone());
        for (index, change) in std::mem::take(changes) {
            if index <= membership.current_index() || index > log.last_index() {
                return Err(InvalidState::ChangeWithoutEntry { index });
            }
            membership
                .append(index, change)
                .map_err(|error| InvalidState::Change { index, error })?;
        }
        Ok((commit, membership))
    }
}

/// Why a state cannot have been written by this protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidState {
    /// The commit index lies past the end of the log.
    CommitPastEnd {
        /// The commit index.
        commit: LogIndex,
        /// The last index of the log.
        last_index: LogIndex,
    },
    /// The log does not go on right after the snapshot.
    LogWithoutSnapshot {
        /// Index and term of the snapshot.
        snapshot: (LogIndex, Term),
        /// The index after which the log begins.
        base: LogIndex,
    },
    /// A change of the membership does not belong to any entry after the one before it.
    ChangeWithoutEntry {
        /// The entry that it is said to belong to.
        index: LogIndex,
    },
    /// An entry changes the membership in a way that is not possible there.
    Change {
        /// The entry.
        index: LogIndex,
        /// Why not.
        error: ChangeError,
    },
}

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidState::CommitPastEnd { commit, last_index } => {
                write!(
                    f,
                    "the hard state says that {commit} entries are committed, but the log ends at {last_index}"
                )
            }
            InvalidState::LogWithoutSnapshot { snapshot: (index, term), base } => write!(
                f,
                "the log begins after entry {base}, not after entry {index} of term {term}, where \
                 the snapshot ends"
            ),
            InvalidState::ChangeWithoutEntry { index } => {
                write!(f, "a change of the membership belongs to entry {index}, which is not there")
            }
            InvalidState::Change { index, error } => {
                write!(f, "entry {index} changes the membership, but {error}")
            }
        }
    }
}

impl std::error::Error for InvalidState {}
