//! Who belongs to a group and what counts as a quorum of it: the invariants' own arithmetic.
//!
//! A checker that shared raft's configurations would share their mistakes. So changes are read from
//! the entries' payloads, and sets of members are bits, of which every majority is counted here.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_proto::raftpb::{ConfChangeTransition, ConfChangeType, ConfChangeV2};
use quorate_raft::{Configuration, NodeId as RaftId};

use crate::engine::NodeId;

/// A set of members: bit n is node n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Members([u64; WORDS]);

/// For as many nodes as the largest schedule has.
const WORDS: usize = 4;

/// The members of a group, as one entry of the log leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) voters: Members,
    /// The voters of the old group, while two majorities have to agree; else nobody.
    pub(crate) outgoing: Members,
    pub(crate) learners: Members,
    /// Voters of the old group that are learners once the joint one is left.
    pub(crate) learners_next: Members,
    pub(crate) auto_leave: bool,
}

impl Members {
    /// Nodes that a set can hold.
    pub(crate) const LIMIT: usize = 64 * WORDS;

    pub(crate) fn contains(self, node: usize) -> bool {
        self.0[node / 64] >> (node % 64) & 1 == 1
    }

    #[must_use]
    pub(crate) fn with(mut self, node: usize) -> Members {
        self.0[node / 64] |= 1 << (node % 64);
        self
    }

    #[must_use]
    pub(crate) fn and(self, other: Members) -> Members {
        self.zip(other, |one, other| one & other)
    }

    #[must_use]
    pub(crate) fn or(self, other: Members) -> Members {
        self.zip(other, |one, other| one | other)
    }

    #[must_use]
    pub(crate) fn without(self, other: Members) -> Members {
        self.zip(other, |one, other| one & !other)
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Members::default()
    }

    fn zip(self, other: Members, word: impl Fn(u64, u64) -> u64) -> Members {
        Members(std::array::from_fn(|index| word(self.0[index], other.0[index])))
    }

    fn count(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// More than half of these are in `some`.
    fn majority_in(self, some: Members) -> bool {
        2 * self.and(some).count() > self.count()
    }

    fn of(ids: &[RaftId]) -> Members {
        ids.iter().fold(Members::default(), |set, id| match node_of(*id) {
            Some(node) => set.with(node),
            None => set,
        })
    }
}

impl FromIterator<usize> for Members {
    fn from_iter<I: IntoIterator<Item = usize>>(nodes: I) -> Members {
        nodes.into_iter().fold(Members::default(), Members::with)
    }
}

impl Group {
    /// What a member says of its group.
    pub(crate) fn of(configuration: &Configuration) -> Group {
        Group {
            voters: Members::of(&configuration.voters),
            outgoing: Members::of(&configuration.outgoing),
            learners: Members::of(&configuration.learners),
            learners_next: Members::of(&configuration.learners_next),
            auto_leave: configuration.auto_leave,
        }
    }

    /// The group that a change leads to, given the payload of its entry; none if no such change can
    /// follow this group.
    pub(crate) fn changed_by(self, payload: &Bytes) -> Option<Group> {
        let change = ConfChangeV2::decode(payload.clone()).ok()?;
        if change.changes.is_empty() {
            return self.left();
        }
        if self.is_joint() {
            return None;
        }
        let mut next = self;
        for single in &change.changes {
            let node = node_of(RaftId(single.node_id))?;
            let one = Members::default().with(node);
            next.voters = next.voters.without(one);
            next.learners = next.learners.without(one);
            match ConfChangeType::try_from(single.r#type).ok()? {
                ConfChangeType::ConfChangeAddNode => next.voters = next.voters.or(one),
                ConfChangeType::ConfChangeAddLearnerNode => next.learners = next.learners.or(one),
                ConfChangeType::ConfChangeRemoveNode => {}
                ConfChangeType::ConfChangeUpdateNode => return None,
            }
        }
        if next.voters.is_empty() {
            return None;
        }
        let transition = ConfChangeTransition::try_from(change.transition).ok()?;
        let moved = next.voters.without(self.voters).or(self.voters.without(next.voters));
        let at_once = transition == ConfChangeTransition::Auto && moved.count() <= 1;
        if !at_once && !self.is_empty() {
            next.outgoing = self.voters;
            next.auto_leave = transition != ConfChangeTransition::JointExplicit;
            next.learners_next = next.learners.and(self.voters);
            next.learners = next.learners.without(self.voters);
        }
        Some(next)
    }

    fn left(self) -> Option<Group> {
        self.is_joint().then(|| Group {
            voters: self.voters,
            learners: self.learners.or(self.learners_next),
            ..Group::default()
        })
    }

    /// Nobody: the group of a member that knows of none.
    pub(crate) fn is_empty(self) -> bool {
        self.voters.is_empty()
    }

    pub(crate) fn is_joint(self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn contains(self, node: usize) -> bool {
        self.electorate().or(self.learners).contains(node)
    }

    /// All whose vote counts.
    pub(crate) fn electorate(self) -> Members {
        self.voters.or(self.outgoing)
    }

    /// Whether these are enough to decide. Nobody decides for an empty group.
    pub(crate) fn has_quorum(self, some: Members) -> bool {
        self.voters.majority_in(some) && (!self.is_joint() || self.outgoing.majority_in(some))
    }
}

/// Whether a quorum of one group, out of some of its members, and a quorum of another, out of some
/// of the other's, can do without each other.
pub(crate) fn can_be_disjoint(one: (Group, Members), other: (Group, Members)) -> bool {
    let halves = [one.0.voters, one.0.outgoing, other.0.voters, other.0.outgoing];
    let (mine, theirs) = (one.0.electorate().and(one.1), other.0.electorate().and(other.1));
    let contested = mine.and(theirs);
    // How many each half still needs, when each side has those whom only it can have.
    let sure = [mine, mine, theirs, theirs].map(|side| side.without(contested));
    let missing = std::array::from_fn(|half| {
        let needed = if halves[half].is_empty() { 0 } else { halves[half].count() / 2 + 1 };
        needed.saturating_sub(halves[half].and(sure[half]).count())
    });
    if one.0.is_empty() || other.0.is_empty() {
        return false;
    }
    // Members that belong to the same halves are as good as each other: what counts is how many of
    // each kind go to which side.
    let mut kinds = [0; 16];
    for node in (0..Members::LIMIT).filter(|&node| contested.contains(node)) {
        let belongs = |half: usize| usize::from(halves[half].contains(node)) << half;
        kinds[(0..4).map(belongs).sum::<usize>()] += 1;
    }
    can_share(&kinds, 0, missing)
}

/// Whether the members of each kind from `kind` on can be shared out so that nobody misses any.
fn can_share(kinds: &[u32; 16], kind: usize, missing: [u32; 4]) -> bool {
    let Some(&count) = kinds.get(kind) else { return missing == [0; 4] };
    (0..=count).any(|taken| {
        let shares = [taken, taken, count - taken, count - taken];
        let left = std::array::from_fn(|half| {
            let share = if kind >> half & 1 == 1 { shares[half] } else { 0 };
            missing[half].saturating_sub(share)
        });
        can_share(kinds, kind + 1, left)
    })
}

fn node_of(id: RaftId) -> Option<usize> {
    let node = usize::try_from(id.0.checked_sub(1)?).ok()?;
    (node < Members::LIMIT).then_some(node)
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = (0..Members::LIMIT).filter(|&node| self.contains(node));
        for (position, node) in nodes.enumerate() {
            let separator = if position > 0 { " " } else { "" };
            write!(f, "{separator}{}", NodeId(node as u32))?;
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    /// `n0 n1 n3 | n0 n1 n2 + n4`: voters, the old voters of a joint group, learners.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nobody");
        }
        self.voters.fmt(f)?;
        if self.is_joint() {
            write!(f, " | {}", self.outgoing)?;
        }
        if !self.learners.is_empty() {
            write!(f, " + {}", self.learners)?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " then {}", self.learners_next)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
