//! The one projection of a member's state that others may look at.

use crate::log::Log;
use crate::progress::Progress;
use crate::types::{HardState, LogIndex, NodeId, Term};

/// What a member is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answers leaders and candidates (§5.1).
    Follower,
    /// Asks for votes.
    Candidate,
    /// Replicates its log.
    Leader,
}

/// A member's protocol state: for invariants, as a model checker's key, and for traces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProtocolView<'a> {
    /// The member.
    pub id: NodeId,
    /// Its term, in memory.
    pub term: Term,
    /// Its vote in `term`, in memory.
    pub vote: Option<NodeId>,
    /// What it is.
    pub role: Role,
    /// Whom it takes for the leader of `term`.
    pub leader: Option<NodeId>,
    /// Its log, in memory.
    pub log: &'a Log,
    /// What it takes for committed.
    pub commit: LogIndex,
    /// What it handed out to be applied: committed and durable.
    pub applying: LogIndex,
    /// The hard state of which it was told that it is durable.
    pub durable: HardState,
    /// The index up to which it was told that its log is durable.
    pub durable_index: LogIndex,
    /// The voters, in ascending order.
    pub voters: &'a [NodeId],
    /// As a leader: the other members, in ascending order. Otherwise empty.
    pub progress: &'a [Progress],
}
