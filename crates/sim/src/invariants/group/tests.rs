//! The arithmetic of groups, against definitions that try everything.

use proptest::prelude::*;
use quorate_proto::raftpb::ConfChangeSingle;
use quorate_raft::{Change, MembershipChange, Transition};

use super::*;

/// Nodes that the tests go through all subsets of.
const NODES: usize = 6;

fn set(bits: u64) -> Members {
    Members([bits, 0, 0, 0])
}

fn any_members() -> impl Strategy<Value = Members> {
    (0u64..1 << NODES).prop_map(set)
}

fn any_group() -> impl Strategy<Value = Group> {
    (any_members(), any_members()).prop_map(|(voters, outgoing)| Group {
        voters,
        outgoing,
        ..Group::default()
    })
}

fn subsets() -> impl Iterator<Item = Members> + Clone {
    (0u64..1 << NODES).map(set)
}

/// Says which of a set's members are there, one by one.
fn count(set: Members, some: Members) -> (usize, usize) {
    let nodes = (0..NODES).filter(|&node| set.contains(node));
    (nodes.clone().filter(|&node| some.contains(node)).count(), nodes.count())
}

fn encode(change: &MembershipChange) -> Bytes {
    let changes = change.changes.iter().map(|change| {
        let kind = match change {
            Change::AddVoter(_) => ConfChangeType::ConfChangeAddNode,
            Change::AddLearner(_) => ConfChangeType::ConfChangeAddLearnerNode,
            Change::Remove(_) => ConfChangeType::ConfChangeRemoveNode,
        };
        ConfChangeSingle { r#type: kind as i32, node_id: change.member().0 }
    });
    let transition = match change.transition {
        Transition::Auto => ConfChangeTransition::Auto,
        Transition::Joint => ConfChangeTransition::JointImplicit,
        Transition::JointExplicit => ConfChangeTransition::JointExplicit,
    };
    let changes = changes.collect();
    let message = ConfChangeV2 { transition: transition as i32, changes, context: None };
    Bytes::from(message.encode_to_vec())
}

fn any_change() -> impl Strategy<Value = MembershipChange> {
    let change = (0..3, 1u64..6).prop_map(|(kind, id)| match kind {
        0 => Change::AddVoter(RaftId(id)),
        1 => Change::AddLearner(RaftId(id)),
        _ => Change::Remove(RaftId(id)),
    });
    let transition = prop_oneof![
        Just(Transition::Auto),
        Just(Transition::Joint),
        Just(Transition::JointExplicit)
    ];
    (prop::collection::vec(change, 0..4), transition)
        .prop_map(|(changes, transition)| MembershipChange { changes, transition })
}

proptest! {
    #[test]
    fn a_quorum_is_more_than_half_of_each_half(group in any_group(), some in any_members()) {
        let more_than_half = |(there, all): (usize, usize)| 2 * there > all;
        let outgoing = count(group.outgoing, some);
        let expected = more_than_half(count(group.voters, some))
            && (outgoing.1 == 0 || more_than_half(outgoing));
        prop_assert_eq!(group.has_quorum(some), expected);
    }

    #[test]
    fn quorums_are_disjoint_if_any_two_of_them_are(
        one in any_group(), mine in any_members(), other in any_group(), theirs in any_members(),
    ) {
        let expected = subsets().any(|taken| {
            let left = theirs.without(taken);
            one.has_quorum(taken.and(mine)) && other.has_quorum(left)
        });
        prop_assert_eq!(can_be_disjoint((one, mine), (other, theirs)), expected);
    }

    #[test]
    fn groups_change_as_configurations_do(changes in prop::collection::vec(any_change(), 0..12)) {
        let mut configuration = Configuration::default();
        let mut group = Group::default();
        for change in changes {
            // What raft refuses never gets into a log, where the books would see it.
            let Ok(next) = configuration.changed_by(&change) else { continue };
            group = group.changed_by(&encode(&change)).expect("it is possible");
            prop_assert_eq!(group, Group::of(&next));
            configuration = next;
        }
    }
}

#[test]
fn large_groups_are_judged_as_fast_as_small_ones() {
    let range = |nodes: std::ops::Range<usize>| nodes.collect::<Members>();
    let of = |voters| Group { voters, ..Group::default() };
    let (all, more) = (of(range(0..150)), of(range(0..151)));
    assert!(!can_be_disjoint((all, all.voters), (more, more.voters)), "one more leaves an overlap");
    let half = of(range(0..76));
    assert!(can_be_disjoint((all, all.voters), (half, half.voters)), "39 of 76, and 111 others");
    assert!(!can_be_disjoint((all, all.voters), (half, range(0..38))), "too few of them");
}

#[test]
fn no_change_follows_that_makes_no_sense() {
    let founders = Group { voters: [0, 1, 2].into_iter().collect(), ..Group::default() };
    let joint = MembershipChange {
        changes: vec![Change::AddVoter(RaftId(4))],
        transition: Transition::JointExplicit,
    };
    let entered = founders.changed_by(&encode(&joint)).expect("it is possible");
    assert_eq!(entered.to_string(), "n0 n1 n2 n3 | n0 n1 n2");
    assert_eq!(entered.changed_by(&encode(&joint)), None, "it has to be left first");
    let left = entered.changed_by(&Bytes::new()).expect("an empty payload leaves it");
    assert_eq!(left.to_string(), "n0 n1 n2 n3");
    assert_eq!(left.changed_by(&Bytes::new()), None, "there is nothing to leave");
    assert_eq!(left.changed_by(&Bytes::from_static(b"\xff")), None, "it is no change");
    let nobody = [1, 2, 3].map(|id| Change::Remove(RaftId(id)));
    let nobody = MembershipChange { changes: nobody.to_vec(), transition: Transition::Auto };
    assert_eq!(founders.changed_by(&encode(&nobody)), None, "nobody would be left");
}
