use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn ids(of: &[u64]) -> Vec<NodeId> {
    of.iter().copied().map(NodeId).collect()
}

fn voters(of: &[u64]) -> Configuration {
    Configuration::of_voters(ids(of))
}

fn change(transition: Transition, changes: &[Change]) -> MembershipChange {
    MembershipChange { changes: changes.to_vec(), transition }
}

#[test]
fn one_voter_changes_in_one_step() {
    let three = voters(&[1, 2, 3]);
    let four = three.changed_by(&MembershipChange::single(Change::AddVoter(NodeId(4)))).unwrap();
    assert_eq!(four, voters(&[1, 2, 3, 4]));
    let back = four.changed_by(&MembershipChange::single(Change::Remove(NodeId(1)))).unwrap();
    assert_eq!(back, voters(&[2, 3, 4]));
}

#[test]
fn more_voters_change_through_a_joint_configuration() {
    let swap = change(
        Transition::Auto,
        &[
            Change::AddVoter(NodeId(4)),
            Change::Remove(NodeId(1)),
            Change::AddLearner(NodeId(3)),
            Change::AddLearner(NodeId(9)),
        ],
    );
    let joint = voters(&[1, 2, 3]).changed_by(&swap).unwrap();
    assert_eq!(joint.to_string(), "2 4 | 1 2 3 + 9 then 3 (leaves by itself)");
    assert!(joint.is_voter(NodeId(1)) && joint.is_voter(NodeId(4)));
    assert_eq!(joint.changed_by(&swap), Err(ChangeError::Joint));
    let left = joint.changed_by(&MembershipChange::leave()).unwrap();
    assert_eq!(left.to_string(), "2 4 + 3 9");
}

#[test]
fn a_promoted_learner_is_a_voter_only() {
    let with_learner = voters(&[1, 2])
        .changed_by(&MembershipChange::single(Change::AddLearner(NodeId(3))))
        .unwrap();
    assert_eq!(with_learner.learners, ids(&[3]));
    let promoted =
        with_learner.changed_by(&MembershipChange::single(Change::AddVoter(NodeId(3)))).unwrap();
    assert_eq!(promoted, voters(&[1, 2, 3]));
}

#[test]
fn senseless_changes_are_refused() {
    let one = voters(&[1]);
    let refused = |changes: &[Change]| one.changed_by(&change(Transition::Auto, changes));
    let (first, second) = (NodeId(1), NodeId(2));
    assert_eq!(refused(&[]), Err(ChangeError::NotJoint));
    assert_eq!(refused(&[Change::Remove(first)]), Err(ChangeError::NoVoters));
    assert_eq!(refused(&[Change::AddLearner(first)]), Err(ChangeError::NoVoters));
    assert_eq!(refused(&[Change::AddVoter(first)]), Err(ChangeError::Unchanged));
    assert_eq!(refused(&[Change::Remove(second)]), Err(ChangeError::Unchanged));
    assert_eq!(
        refused(&[Change::AddVoter(second), Change::AddLearner(second)]),
        Err(ChangeError::NamedTwice(second))
    );
}

fn any_configuration() -> impl Strategy<Value = Configuration> {
    let set = || prop::collection::btree_set(1u64..8, 1..6);
    (set(), prop::option::of(set())).prop_map(|(new, old)| Configuration {
        voters: new.into_iter().map(NodeId).collect(),
        outgoing: old.into_iter().flatten().map(NodeId).collect(),
        ..Configuration::default()
    })
}

/// The definition: a set is a quorum if it has more than half of each part.
fn is_quorum(configuration: &Configuration, set: &BTreeSet<NodeId>) -> bool {
    [&configuration.voters, &configuration.outgoing].iter().all(|part| {
        let inside = part.iter().filter(|voter| set.contains(voter)).count();
        part.is_empty() || 2 * inside > part.len()
    })
}

fn subsets(of: &[NodeId]) -> Vec<BTreeSet<NodeId>> {
    (0..1u32 << of.len())
        .map(|bits| {
            let chosen = of.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
            chosen.map(|(_, &id)| id).collect()
        })
        .collect()
}

proptest! {
    #[test]
    fn what_a_quorum_reached_equals_its_definition(
        configuration in any_configuration(), values in prop::collection::vec(0u64..10, 8),
    ) {
        let value = |id: NodeId| values[id.0 as usize - 1];
        let naive = (0..10)
            .rev()
            .find(|&least| {
                let all = configuration.members();
                is_quorum(&configuration, &all.into_iter().filter(|&id| value(id) >= least).collect())
            })
            .unwrap_or(0);
        prop_assert_eq!(configuration.reached(value), naive);
    }

    #[test]
    fn an_election_is_decided_when_the_missing_votes_cannot_change_it(
        configuration in any_configuration(), answers in prop::collection::vec(prop::option::of(any::<bool>()), 8),
    ) {
        let answer = |id: NodeId| answers[id.0 as usize - 1];
        let members = configuration.members();
        let (silent, heard): (Vec<_>, Vec<_>) = members.iter().partition(|&&id| answer(id).is_none());
        let granted: BTreeSet<NodeId> =
            heard.into_iter().filter(|&&id| answer(id) == Some(true)).copied().collect();
        let silent: Vec<NodeId> = silent.into_iter().copied().collect();
        let outcomes: Vec<bool> = subsets(&silent)
            .into_iter()
            .map(|further| is_quorum(&configuration, &granted.union(&further).copied().collect()))
            .collect();
        let expected = match (outcomes.iter().all(|&won| won), outcomes.iter().any(|&won| won)) {
            (true, _) => VoteResult::Won,
            (_, false) => VoteResult::Lost,
            _ => VoteResult::Pending,
        };
        prop_assert_eq!(configuration.vote_result(answer), expected);
    }

    #[test]
    fn quorums_before_and_after_a_change_overlap(
        old in prop::collection::btree_set(1u64..7, 1..5),
        changes in prop::collection::vec((0..3, 1u64..7), 1..4),
        joint in any::<bool>(),
    ) {
        let old = Configuration::of_voters(old.into_iter().map(NodeId));
        let changes: Vec<Change> = changes
            .into_iter()
            .map(|(kind, id)| match kind {
                0 => Change::AddVoter(NodeId(id)),
                1 => Change::AddLearner(NodeId(id)),
                _ => Change::Remove(NodeId(id)),
            })
            .collect();
        let transition = if joint { Transition::JointExplicit } else { Transition::Auto };
        let Ok(next) = old.changed_by(&MembershipChange { changes, transition }) else {
            return Ok(());
        };
        let mut steps = vec![(old, next.clone())];
        if let Ok(left) = next.changed_by(&MembershipChange::leave()) {
            steps.push((next, left));
        }
        for (before, after) in steps {
            let everybody: Vec<NodeId> = [before.members(), after.members()].concat().into_iter()
                .collect::<BTreeSet<_>>().into_iter().collect();
            for set in subsets(&everybody) {
                let rest = everybody.iter().copied().filter(|id| !set.contains(id)).collect();
                prop_assert!(
                    !(is_quorum(&before, &set) && is_quorum(&after, &rest)),
                    "{set:?} decides in {before}, {rest:?} in {after}",
                );
            }
        }
    }
}
