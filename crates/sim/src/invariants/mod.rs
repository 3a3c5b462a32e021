//! What must hold at every step: one file an invariant.
//!
//! The invariants see everything: each member's protocol state, what it told the world in the
//! step, and what is really on its disk. They look only at what the step changed, so that they
//! cost a few per cent; full scans come at the end of a run.
//!
//! | # | invariant | file |
//! | --- | --- | --- |
//! | 1 | ElectionSafety | `election_safety` |
//! | 2 | LeaderAppendOnly | `leader_append_only` |
//! | 3 | LogMatching | `log_matching` |
//! | 4 | LeaderCompleteness | `leader_completeness` |
//! | 5 | StateMachineSafety | `state_machine_safety` |
//! | 6 | CommittedAppendOnly | `committed_append_only` |
//! | 7 | MonotonicTermAndVote | `monotonic_term_and_vote` |
//! | 8 | MonotonicMatch | `monotonic_match` |
//! | 9 | QuorumLog | `quorum_log` |
//! | 10 | MoreUpToDate | `more_up_to_date` |
//! | 11 | MonotonicLog | `monotonic_log` |
//! | 12 | MessageTerm | `message_term` |
//! | 13 | CommitCurrentTerm | `commit_current_term` |
//! | 14 | CommittedIsDurable | `committed_is_durable` |
//! | 15 | CandidateTermNotInLog | `candidate_term_not_in_log` |
//! | 16 | ConfigurationFromLog | `configuration_from_log` |
//! | 17 | OnePendingConfiguration | `one_pending_configuration` |
//! | 18 | NoDisjointQuorums | `no_disjoint_quorums` |
//! | 19 | ReadSafety | `read_safety` |
//! | 20 | LeaseExclusion | `lease_exclusion` |
//! | 21 | SnapshotConsistent | `snapshot_consistent` |
//! | 22 | AcknowledgedIsDurable | `acknowledged_is_durable` |
//! | 23 | StoresAgree | `stores_agree` |
//! | 24 | RevisionMonotonic | `revision_monotonic` |
//! | — | StartsAgain | `starts_again` |
//!
//! The numbers are those of the project's canonical list; the ones left out speak of clients' leases
//! and watches, which members do not have yet.

mod acknowledged_is_durable;
mod books;
mod candidate_term_not_in_log;
mod commit_current_term;
mod committed_append_only;
mod committed_is_durable;
mod configuration_from_log;
mod damage;
mod election_safety;
mod group;
mod leader_append_only;
mod leader_completeness;
mod lease_exclusion;
mod log_matching;
mod message_term;
mod monotonic_log;
mod monotonic_match;
mod monotonic_term_and_vote;
mod more_up_to_date;
mod no_disjoint_quorums;
mod one_pending_configuration;
mod quorum_log;
mod read_safety;
mod revision_monotonic;
mod snapshot_consistent;
mod starts_again;
mod state_machine_safety;
mod stores_agree;

#[cfg(test)]
mod tests;

use std::fmt;

use quorate_member::Time;
use quorate_mvcc::Reader;
use quorate_raft::{LogIndex, Role, Term};

use crate::cluster::{Cluster, ClusterNode, log_is_durable};
use crate::engine::{Cause, NodeId, Step, View};

use books::{Books, Change};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its name.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}

/// The names of all invariants, and what each says.
const STATEMENTS: &[(&str, &str)] = &[
    (election_safety::NAME, "at most one leader a term"),
    (leader_append_only::NAME, "a leader never truncates or overwrites its log"),
    (log_matching::NAME, "equal index and term imply equal prefixes"),
    (leader_completeness::NAME, "what was committed in a term is in every leader of a later term"),
    (state_machine_safety::NAME, "committed prefixes agree across members and time"),
    (committed_append_only::NAME, "a committed log never shrinks and is never overwritten"),
    (
        monotonic_term_and_vote::NAME,
        "the term never goes back and the vote is given once a term, across crashes",
    ),
    (
        monotonic_match::NAME,
        "a match index never goes back in a term, lies below next, and its entries are on the \
         follower's disk",
    ),
    (
        quorum_log::NAME,
        "every quorum of a member's group has somebody who holds all that it takes for committed",
    ),
    (more_up_to_date::NAME, "who gets a vote holds what the voter takes for committed"),
    (monotonic_log::NAME, "terms in a log never decrease and never exceed the member's term"),
    (message_term::NAME, "the term of a message or an answer is on its sender's disk"),
    (commit_current_term::NAME, "a leader commits by counting only up to an entry of its own term"),
    (
        committed_is_durable::NAME,
        "what is committed is on the disks of a quorum of the group in force",
    ),
    (
        candidate_term_not_in_log::NAME,
        "no log holds an entry of the term of a candidate that may still win",
    ),
    (
        configuration_from_log::NAME,
        "the group in force is the latest one in the log, else the snapshot's",
    ),
    (
        one_pending_configuration::NAME,
        "a leader changes the group only when the change before and an entry of its own term are \
         committed, and no two quorums before and after can do without each other",
    ),
    (
        no_disjoint_quorums::NAME,
        "the quorums that could elect any two members have a voter in common",
    ),
    (read_safety::NAME, "a linearizable read sees all that was acknowledged before it began"),
    (lease_exclusion::NAME, "while a lease is valid, nobody leads in a later term"),
    (
        snapshot_consistent::NAME,
        "a snapshot has index, term, group and contents of the committed log there",
    ),
    (
        acknowledged_is_durable::NAME,
        "what a client was told is on the disks of a quorum, and what a disk was said to hold \
         is there after a crash",
    ),
    (stores_agree::NAME, "members that applied the same entries hold the same store"),
    (
        revision_monotonic::NAME,
        "at one member neither revision nor term ever goes back; what it applied is on its disk",
    ),
    (
        starts_again::NAME,
        "a member starts from whatever crashes, losses of power and failed operations leave on its \
         disk; it refuses nothing but damage to its log",
    ),
];

/// What an invariant says, in one sentence.
pub(crate) fn statement(invariant: &str) -> &'static str {
    let found = STATEMENTS.iter().find(|(name, _)| *name == invariant);
    found.map(|(_, statement)| *statement).expect("every invariant has its statement")
}

/// All invariants of a cluster, and the books that they look into.
#[derive(Debug)]
pub(crate) struct Invariants {
    books: Books,
    election_safety: election_safety::ElectionSafety,
    log_matching: log_matching::LogMatching,
    leader_completeness: leader_completeness::LeaderCompleteness,
    monotonic_term_and_vote: monotonic_term_and_vote::MonotonicTermAndVote,
    monotonic_match: monotonic_match::MonotonicMatch,
    configuration_from_log: configuration_from_log::ConfigurationFromLog,
    no_disjoint_quorums: no_disjoint_quorums::NoDisjointQuorums,
    lease_exclusion: lease_exclusion::LeaseExclusion,
    stores_agree: stores_agree::StoresAgree,
    revision_monotonic: revision_monotonic::RevisionMonotonic,
}

impl Invariants {
    pub(crate) fn new(members: usize) -> Invariants {
        Invariants {
            books: Books::new(members),
            election_safety: election_safety::ElectionSafety::default(),
            log_matching: log_matching::LogMatching::default(),
            leader_completeness: leader_completeness::LeaderCompleteness::default(),
            monotonic_term_and_vote: monotonic_term_and_vote::MonotonicTermAndVote::new(members),
            monotonic_match: monotonic_match::MonotonicMatch::new(members),
            configuration_from_log: configuration_from_log::ConfigurationFromLog::new(members),
            no_disjoint_quorums: no_disjoint_quorums::NoDisjointQuorums::default(),
            lease_exclusion: lease_exclusion::LeaseExclusion::default(),
            stores_agree: stores_agree::StoresAgree::default(),
            revision_monotonic: revision_monotonic::RevisionMonotonic::new(members),
        }
    }

    /// Entries committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.books.committed.len() as u64
    }

    /// Elections won so far.
    pub(crate) fn elections(&self) -> u64 {
        self.election_safety.elections()
    }

    /// Up to which index any client was told of.
    pub(crate) fn acknowledged(&self) -> LogIndex {
        self.books.acknowledged
    }

    /// Whether a member's machine may be replaced by one with an empty disk without harm.
    pub(crate) fn may_replace(&self, member: NodeId) -> bool {
        self.books.may_replace(member.index())
    }

    /// Whether others can make up for what damage to a member's disk destroys.
    pub(crate) fn may_damage(&self, member: NodeId) -> bool {
        self.books.may_damage(member.index())
    }

    /// A member refuses to start.
    pub(crate) fn refused(&self, member: NodeId, reason: &str) -> Result<(), Violation> {
        starts_again::check(&self.books, member.index(), reason)
    }

    /// Looks at what a step of a member changed.
    pub(crate) fn observe(
        &mut self,
        step: &Step,
        view: &View<'_, Cluster>,
    ) -> Result<(), Violation> {
        let member = step.node.index();
        if matches!(step.cause, Cause::Crash | Cause::PowerLoss | Cause::Halt) {
            self.books.crash(member);
            return self.check_who_is_left();
        }
        if step.cause == Cause::Replaced {
            self.monotonic_term_and_vote.forget(&self.books, member)?;
            self.monotonic_match.forget(member);
            self.revision_monotonic.forget(member);
            self.books.replace(member);
            return self.check_who_is_left();
        }
        if let Cause::Damage(files) = step.cause {
            self.books.damage(member, files);
            return Ok(());
        }
        let Some(ClusterNode::Member(node)) = view.node(step.node) else {
            assert!(crate::cluster::is_boot(step), "a member that handled something runs");
            // It did not get up, and is as it was.
            return Ok(());
        };
        let disk = view.disk(step.node).expect("a member has a disk");
        match step.cause {
            Cause::Boot { .. } => {
                let recovered = self.books.recovered(member, node, disk)?;
                acknowledged_is_durable::check_recovery(&self.books, member, &recovered)?;
                monotonic_term_and_vote::check_recovery(&self.books, member, &recovered)?;
                self.books.boot(member, recovered, log_is_durable(disk));
            }
            // What was to be written may be there or not, like what a crash cuts off.
            Cause::Disk { .. } if node.activity.batch_failed => {}
            Cause::Disk { token } => self.books.completed(member, token, log_is_durable(disk)),
            _ => {}
        }
        self.books.look_after_damage(member, node, disk);
        let change = self.books.update(step, node)?;
        self.check(&change)?;
        self.lease_exclusion
            .check(&change, self.books.pages.len(), |member| lease_of(member, view))?;
        if change.restored() {
            let others = stores(view).filter(|(other, _)| *other != step.node);
            let restored = node.member.store().reader(disk);
            snapshot_consistent::check_store(member, restored, others)?;
        }
        self.books.settle(&change);
        Ok(())
    }

    /// Somebody is gone, and what it had in memory alone with it.
    fn check_who_is_left(&mut self) -> Result<(), Violation> {
        quorum_log::check_all(&self.books)?;
        self.no_disjoint_quorums.check(&self.books)
    }

    fn check(&mut self, change: &Change<'_>) -> Result<(), Violation> {
        let books = &self.books;
        message_term::check(change, books)?;
        self.monotonic_term_and_vote.check(change, books)?;
        if change.first_changed.is_some() {
            leader_append_only::check(change)?;
            monotonic_log::check(change, books)?;
            self.log_matching.check(change, books)?;
            candidate_term_not_in_log::check(change, books)?;
        }
        committed_append_only::check(change)?;
        more_up_to_date::check(change, books)?;
        self.election_safety.check(change)?;
        self.leader_completeness.check(change, books)?;
        self.monotonic_match.check(change, books)?;
        state_machine_safety::check(change, books)?;
        if change.commit_advanced() {
            commit_current_term::check(change, books)?;
            committed_is_durable::check(change, books)?;
            self.leader_completeness.note_commit(change);
        }
        self.configuration_from_log.check(change, books)?;
        one_pending_configuration::check(change, books)?;
        snapshot_consistent::check(change, books)?;
        if change.booted || change.truncated() {
            quorum_log::check_all(books)?;
        } else if change.commit_advanced() || change.group != change.group_before {
            quorum_log::check(books, change.member)?;
        }
        if change.booted || change.first_changed.is_some() {
            self.no_disjoint_quorums.check(books)?;
        }
        self.stores_agree.check(change)?;
        read_safety::check(change)?;
        acknowledged_is_durable::check(change, books)?;
        self.revision_monotonic.check(change, books)
    }

    /// Full scans, at the end of a run.
    pub(crate) fn at_end(&self, view: &View<'_, Cluster>) -> Result<(), Violation> {
        log_matching::check_fully(&self.books)?;
        stores_agree::check_fully(view)
    }
}

/// The stores of all members that run.
fn stores<'a>(view: &View<'a, Cluster>) -> impl Iterator<Item = (NodeId, Reader<'a>)> {
    view.running().filter_map(|(node, state)| match state {
        ClusterNode::Member(member) => {
            let disk = view.disk(node).expect("a member has a disk");
            Some((node, member.member.store().reader(disk)))
        }
        ClusterNode::Client(_) | ClusterNode::Operator(_) => None,
    })
}

/// In which term a member that runs holds a lease by its own clock now.
fn lease_of(member: usize, view: &View<'_, Cluster>) -> Option<Term> {
    let node = NodeId(member as u32);
    let Some(ClusterNode::Member(state)) = view.node(node) else { return None };
    let now = Time(view.local_time(node).as_nanos());
    state.member.holds_lease(now).then(|| state.member.view().term)
}

/// Fails with a violation unless the condition holds.
fn ensure(
    holds: bool,
    invariant: &'static str,
    message: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, message: message() }) }
}

/// Whether a member leads, in words of the books.
fn is_leader(role: Role) -> bool {
    role == Role::Leader
}
