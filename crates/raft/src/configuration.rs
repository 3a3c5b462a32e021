//! Who belongs to the group, and how that changes (§6).
//!
//! Any change goes through a joint configuration, in which majorities of the old and of the new
//! voters have to agree. A change of a single voter is the special case that may skip it, since
//! any two majorities then overlap anyway (dissertation 4.1). Here is the pure part: what a change
//! makes of a configuration, and what counts as a quorum of it.

use std::fmt;

use crate::quorum::{self, VoteResult};
use crate::types::{LogIndex, NodeId, Term};

/// The members of a group. Lists are in ascending order and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Those whose majority decides.
    pub voters: Vec<NodeId>,
    /// In a joint configuration the voters of the old one, whose majority has to agree too.
    /// Otherwise empty.
    pub outgoing: Vec<NodeId>,
    /// Those who receive the log and decide nothing.
    pub learners: Vec<NodeId>,
    /// In a joint configuration the old voters that become learners when it is left.
    pub learners_next: Vec<NodeId>,
    /// The leader leaves the joint configuration by itself once it is committed.
    pub auto_leave: bool,
}

/// A set of changes that happen at once. No changes at all: leave the joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MembershipChange {
    /// What changes, each member named once.
    pub changes: Vec<Change>,
    /// How to get there.
    pub transition: Transition,
}

/// A change of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It votes: as a new member or a promoted learner.
    AddVoter(NodeId),
    /// It receives the log and does not vote: as a new member or a demoted voter.
    AddLearner(NodeId),
    /// It no longer belongs to the group.
    Remove(NodeId),
}

/// How a change takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transition {
    /// In one step if at most one voter changes, else as [`Transition::Joint`].
    #[default]
    Auto,
    /// Through a joint configuration, which the leader leaves by itself.
    Joint,
    /// Through a joint configuration, which somebody has to leave with another change.
    JointExplicit,
}

/// Why the membership cannot be changed so, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeError {
    /// An earlier change is not committed yet.
    Pending(LogIndex),
    /// The leader has committed nothing in its own term yet: a change of an earlier leader may
    /// still come to light that this one knows nothing of (the single-server bug of 2015).
    NothingCommittedInTerm(Term),
    /// A joint configuration has to be left first.
    Joint,
    /// There is no joint configuration to leave.
    NotJoint,
    /// A member is named twice.
    NamedTwice(NodeId),
    /// Nobody would be left to vote.
    NoVoters,
    /// It changes nothing.
    Unchanged,
}

/// The state of a group at one index: what a log that was forgotten up to there has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// Last entry that it contains.
    pub index: LogIndex,
    /// Term of that entry.
    pub term: Term,
    /// The latest configuration up to that entry.
    pub configuration: Configuration,
}

impl Change {
    /// Whom it concerns.
    #[must_use]
    pub fn member(self) -> NodeId {
        match self {
            Change::AddVoter(id) | Change::AddLearner(id) | Change::Remove(id) => id,
        }
    }
}

impl MembershipChange {
    /// A change of one member, in one step.
    #[must_use]
    pub fn single(change: Change) -> MembershipChange {
        MembershipChange { changes: vec![change], transition: Transition::Auto }
    }

    /// The first entry of a group's log: from nobody to these voters. Each member that founds the
    /// group writes it by itself, and those that join later receive it, so that everybody learns
    /// of the members from the log alone.
    #[must_use]
    pub fn found(voters: impl IntoIterator<Item = NodeId>) -> MembershipChange {
        let voters = Configuration::of_voters(voters).voters;
        let changes = voters.into_iter().map(Change::AddVoter).collect();
        MembershipChange { changes, transition: Transition::Auto }
    }

    /// The change that leaves a joint configuration.
    #[must_use]
    pub fn leave() -> MembershipChange {
        MembershipChange::default()
    }

    /// Whether it leaves a joint configuration.
    #[must_use]
    pub fn is_leave(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Configuration {
    /// A configuration of voters only, in any order.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Configuration {
        let mut voters: Vec<NodeId> = voters.into_iter().collect();
        voters.sort_unstable();
        voters.dedup();
        Configuration { voters, ..Configuration::default() }
    }

    /// Whether it has nobody: that of a member which has yet to hear from its group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether it is a joint one.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` votes in it: in the old or in the new part.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.binary_search(&id).is_ok() || self.outgoing.binary_search(&id).is_ok()
    }

    /// Whether `id` belongs to the group.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.is_voter(id) || self.learners.binary_search(&id).is_ok()
    }

    /// Everybody, in ascending order.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        let mut members = [&self.voters[..], &self.outgoing, &self.learners].concat();
        members.sort_unstable();
        members.dedup();
        members
    }

    /// The highest value that a quorum has reached, given what each voter has: for match indexes
    /// what is replicated on a quorum (§5.3), for confirmation rounds what a quorum confirmed. In
    /// a joint configuration both majorities have to reach it.
    #[must_use]
    pub fn reached(&self, value: impl Fn(NodeId) -> u64) -> u64 {
        let incoming = quorum::reached_by(&self.voters, &value);
        if self.is_joint() {
            incoming.min(quorum::reached_by(&self.outgoing, &value))
        } else {
            incoming
        }
    }

    /// Whether those for whom `has` holds are a quorum.
    #[must_use]
    pub fn has_quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        self.reached(|voter| u64::from(has(voter))) == 1
    }

    /// Counts an election, given each voter's answer. In a joint configuration it has to be won
    /// twice.
    #[must_use]
    pub fn vote_result(&self, answer: impl Fn(NodeId) -> Option<bool>) -> VoteResult {
        let incoming = quorum::count_votes(&self.voters, &answer);
        if !self.is_joint() {
            return incoming;
        }
        match (incoming, quorum::count_votes(&self.outgoing, &answer)) {
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            _ => VoteResult::Pending,
        }
    }

    /// What a change makes of it.
    ///
    /// # Errors
    /// If the change makes no sense here.
    pub fn changed_by(&self, change: &MembershipChange) -> Result<Configuration, ChangeError> {
        if change.is_leave() {
            return self.left();
        }
        if self.is_joint() {
            return Err(ChangeError::Joint);
        }
        let mut named: Vec<NodeId> = change.changes.iter().map(|change| change.member()).collect();
        named.sort_unstable();
        if let Some(twice) = named.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ChangeError::NamedTwice(twice[0]));
        }
        let mut next = self.clone();
        for &change in &change.changes {
            remove(&mut next.voters, change.member());
            remove(&mut next.learners, change.member());
            match change {
                Change::AddVoter(id) => insert(&mut next.voters, id),
                Change::AddLearner(id) => insert(&mut next.learners, id),
                Change::Remove(_) => {}
            }
        }
        if next.voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        if next == *self {
            return Err(ChangeError::Unchanged);
        }
        // Before the first configuration there is nobody to agree with.
        let joint = change.transition != Transition::Auto || voters_changed(self, &next) > 1;
        if joint && !self.is_empty() {
            next.outgoing.clone_from(&self.voters);
            next.auto_leave = change.transition != Transition::JointExplicit;
            // Who still votes in the old part is not a learner yet.
            let (later, now) =
                next.learners.iter().partition(|learner| self.voters.contains(learner));
            (next.learners_next, next.learners) = (later, now);
        }
        Ok(next)
    }

    /// The new part of a joint configuration.
    fn left(&self) -> Result<Configuration, ChangeError> {
        if !self.is_joint() {
            return Err(ChangeError::NotJoint);
        }
        let mut next =
            Configuration { learners: self.learners.clone(), ..Configuration::default() };
        next.voters.clone_from(&self.voters);
        for &learner in &self.learners_next {
            insert(&mut next.learners, learner);
        }
        Ok(next)
    }
}

/// How many voters one configuration has that the other has not.
fn voters_changed(old: &Configuration, new: &Configuration) -> usize {
    let missing = |from: &[NodeId], other: &[NodeId]| {
        from.iter().filter(|voter| !other.contains(voter)).count()
    };
    missing(&old.voters, &new.voters) + missing(&new.voters, &old.voters)
}

fn insert(list: &mut Vec<NodeId>, id: NodeId) {
    if let Err(position) = list.binary_search(&id) {
        list.insert(position, id);
    }
}

fn remove(list: &mut Vec<NodeId>, id: NodeId) {
    if let Ok(position) = list.binary_search(&id) {
        list.remove(position);
    }
}

impl fmt::Display for Configuration {
    /// `1 2 3` for voters, `1 2 4 | 1 2 3` for a joint configuration (new before old), learners
    /// after a plus sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[NodeId]| ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ");
        f.write_str(&list(&self.voters))?;
        if self.is_joint() {
            write!(f, " | {}", list(&self.outgoing))?;
        }
        if !self.learners.is_empty() {
            write!(f, " + {}", list(&self.learners))?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " then {}", list(&self.learners_next))?;
        }
        if self.auto_leave {
            f.write_str(" (leaves by itself)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddVoter(id) => write!(f, "add voter {id}"),
            Change::AddLearner(id) => write!(f, "add learner {id}"),
            Change::Remove(id) => write!(f, "remove {id}"),
        }
    }
}

impl fmt::Display for MembershipChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_leave() {
            return f.write_str("leave the joint configuration");
        }
        for (position, change) in self.changes.iter().enumerate() {
            let separator = if position > 0 { ", " } else { "" };
            write!(f, "{separator}{change}")?;
        }
        match self.transition {
            Transition::Auto => Ok(()),
            Transition::Joint => f.write_str(" (joint)"),
            Transition::JointExplicit => f.write_str(" (joint, left explicitly)"),
        }
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Pending(index) => {
                write!(f, "the change of entry {index} is not committed yet")
            }
            ChangeError::NothingCommittedInTerm(term) => {
                write!(f, "the leader has committed nothing in its term {term} yet")
            }
            ChangeError::Joint => f.write_str("the joint configuration has to be left first"),
            ChangeError::NotJoint => f.write_str("there is no joint configuration to leave"),
            ChangeError::NamedTwice(id) => write!(f, "member {id} is named twice"),
            ChangeError::NoVoters => f.write_str("nobody would be left to vote"),
            ChangeError::Unchanged => f.write_str("nothing would change"),
        }
    }
}

impl std::error::Error for ChangeError {}

#[cfg(test)]
mod tests;
