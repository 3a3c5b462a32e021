//! The one projection of a member's state that others may look at.

use crate::configuration::{Configuration, Snapshot};
use crate::log::Log;
use crate::membership::Membership;
use crate::progress::Progress;
use crate::raft::{Raft, RoleState};
use crate::types::{HardState, LogIndex, NodeId, Term};

/// What a member is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answers leaders and candidates (§5.1).
    Follower,
    /// Asks whether it would be voted for.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Replicates its log.
    Leader,
}

/// A member's protocol state: for invariants and traces. A model checker's key is the [`Raft`]
/// itself, which has more: votes received, writes under way, effects that wait.
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
    /// No leader was heard of for an election timeout: it is free to vote.
    pub leader_silent: bool,
    /// Its log, in memory.
    pub log: &'a Log,
    /// The changes of membership in its log.
    pub membership: &'a Membership,
    /// The configuration in force: the latest in its log.
    pub configuration: &'a Configuration,
    /// Its latest snapshot; index 0 if it has none.
    pub snapshot: &'a Snapshot,
    /// What it takes for committed.
    pub commit: LogIndex,
    /// Its disk has lost entries that a quorum may rest on: it takes no part in elections until it
    /// holds them again.
    pub abstains: bool,
    /// What it handed out to be applied: committed and durable.
    pub applying: LogIndex,
    /// The hard state of which it was told that it is durable.
    pub durable: HardState,
    /// The index up to which it was told that its log is durable.
    pub durable_index: LogIndex,
    /// As a leader: the other members, in ascending order. Otherwise empty.
    pub progress: &'a [Progress],
    /// As a leader: to whom it hands over.
    pub transfer: Option<NodeId>,
    /// As a leader: whether its leases are over for this term, since it asked somebody to stand.
    pub lease_forfeited: bool,
    /// As a leader: reads that wait to be confirmed.
    pub pending_reads: usize,
}

impl<'a> ProtocolView<'a> {
    pub(crate) fn of(raft: &'a Raft) -> ProtocolView<'a> {
        let leadership = match &raft.role {
            RoleState::Leader(leadership) => Some(leadership),
            _ => None,
        };
        ProtocolView {
            id: raft.id,
            term: raft.term,
            vote: raft.vote,
            role: raft.role(),
            leader: raft.leader(),
            leader_silent: raft.leader_silent,
            log: &raft.log,
            membership: &raft.membership,
            configuration: raft.membership.current(),
            snapshot: &raft.snapshot,
            commit: raft.commit,
            abstains: raft.abstains(),
            applying: raft.applying,
            durable: raft.io.hard_state(),
            durable_index: raft.io.index(),
            progress: leadership.map_or(&[], |leadership| &leadership.progress),
            transfer: leadership.and_then(|leadership| leadership.transfer.to()),
            lease_forfeited: leadership
                .is_some_and(|leadership| leadership.transfer.forfeits_lease()),
            pending_reads: leadership.map_or(0, |leadership| leadership.reads.len()),
        }
    }
}
