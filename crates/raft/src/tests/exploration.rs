//! Random walks: everything that drivers, networks, clocks and power supplies may do, in any
//! order, judged after every single step; and then, left in peace, the group has to come back to
//! work. The log has no payloads, so that entries are told apart by their sizes, of which no two
//! are the same.
//!
//! `QUORATE_RAFT_WALKS` says how many walks `cargo test` takes.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

use super::invariants::Marks;
use super::walk::{Setting, Step, Walk};
use crate::{Change, NodeId, Options, Transition};

/// Walks in a plain `cargo test`.
const WALKS: u32 = 5000;

fn any_change() -> impl Strategy<Value = Change> {
    let id = (1u64..7).prop_map(NodeId);
    prop_oneof![
        3 => id.clone().prop_map(Change::AddVoter),
        2 => id.clone().prop_map(Change::AddLearner),
        3 => id.prop_map(Change::Remove),
    ]
}

fn any_transition() -> impl Strategy<Value = Transition> {
    prop_oneof![
        4 => Just(Transition::Auto),
        2 => Just(Transition::Joint),
        2 => Just(Transition::JointExplicit),
    ]
}

/// What the network, the disks and the power do.
fn surroundings() -> BoxedStrategy<Step> {
    let number = 0usize..1000;
    let member = 0usize..60;
    prop_oneof![
        // Mostly in some order, with an old message now and then.
        20 => (0usize..4).prop_map(|which| Step::Deliver { which }),
        5 => number.clone().prop_map(|which| Step::Deliver { which }),
        4 => number.clone().prop_map(|which| Step::Duplicate { which }),
        4 => (number.clone(), any::<bool>())
            .prop_map(|(which, noticed)| Step::Lose { which, noticed }),
        3 => number.prop_map(|which| Step::Report { which }),
        4 => (member.clone(), 2usize..6)
            .prop_map(|(member, events)| Step::Gather { member, events }),
        10 => member.clone().prop_map(|member| Step::Write { member }),
        8 => member.clone().prop_map(|member| Step::Complete { member }),
        3 => (member.clone(), 0usize..4, 0usize..3, any::<bool>())
            .prop_map(|(member, survivors, torn, restart)| {
                Step::Crash { member, survivors, torn, restart }
            }),
        3 => member.clone().prop_map(|member| Step::Restart { member }),
        2 => (member.clone(), 1usize..12)
            .prop_map(|(member, entries)| Step::Damage { member, entries }),
        1 => member.prop_map(|member| Step::Destroy { member }),
        14 => (1u8..64, 1u8..6).prop_map(|(members, rounds)| Step::Flow { members, rounds }),
        6 => (1u64..400).prop_map(|ticks| Step::Wait { ticks }),
    ]
    .boxed()
}

/// What timers, clients and operators do.
fn requests() -> BoxedStrategy<Step> {
    let member = 0usize..60;
    let changes = (prop::collection::vec(any_change(), 1..4), any_transition());
    prop_oneof![
        4 => member.clone().prop_map(|member| Step::ElectionTimeout { member }),
        4 => member.clone().prop_map(|member| Step::Jitter { member }),
        2 => member.clone().prop_map(|member| Step::Campaign { member }),
        4 => (member.clone(), 1u8..64)
            .prop_map(|(member, members)| Step::Takeover { member, members }),
        4 => (member.clone(), 1u8..64).prop_map(|(member, members)| Step::Coup { member, members }),
        4 => (member.clone(), 1u8..64, 3u8..7, prop_oneof![Just(0u8), 1u8..64]).prop_map(
            |(leader, members, rounds, fall)| Step::Reign { leader, members, rounds, fall }
        ),
        6 => member.clone().prop_map(|leader| Step::HeartbeatTimeout { leader }),
        8 => (member.clone(), 1u32..4).prop_map(|(leader, count)| Step::Propose { leader, count }),
        6 => member.clone().prop_map(|member| Step::Read { member }),
        8 => member.clone().prop_map(|leader| Step::LeaseRead { leader }),
        4 => (member.clone(), changes).prop_map(|(leader, (changes, transition))| {
            Step::Change { leader, changes, transition }
        }),
        2 => member.clone().prop_map(|leader| Step::Leave { leader }),
        2 => (member.clone(), member.clone())
            .prop_map(|(leader, to)| Step::Transfer { leader, to }),
        1 => member.clone().prop_map(|member| Step::ForgetLeader { member }),
        5 => (member, 0u64..6, 0u64..4)
            .prop_map(|(member, behind, kept)| Step::Compact { member, behind, kept }),
    ]
    .boxed()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(prop_oneof![8 => surroundings(), 5 => requests()], 1..600)
}

fn options() -> impl Strategy<Value = Options> {
    let limits = (1usize..5, 0u64..60, 1usize..4, 0u64..200, 0u64..400, any::<bool>());
    limits.prop_map(|(entries, bytes, inflight, inflight_bytes, uncommitted, lease_reads)| {
        Options {
            max_entries_per_message: entries,
            max_bytes_per_message: bytes,
            max_inflight_messages: inflight,
            max_inflight_bytes: inflight_bytes,
            max_uncommitted_bytes: uncommitted,
            priority: 0,
            lease_reads,
        }
    })
}

fn setting() -> impl Strategy<Value = Setting> {
    let sizes = prop_oneof![
        1 => Just((1, 2)),
        1 => Just((2, 1)),
        3 => Just((3, 0)),
        4 => Just((3, 2)),
        2 => Just((5, 0)),
        1 => Just((4, 2)),
    ];
    let priorities = prop_oneof![
        2 => Just(vec![0; 6]),
        1 => prop::collection::vec(0u32..3, 6),
    ];
    let clocks = prop::collection::vec(0u64..=100, 6);
    (sizes, options(), priorities, clocks).prop_map(
        |((founders, joiners), options, priorities, clocks)| Setting {
            founders,
            joiners,
            options,
            priorities,
            clocks,
        },
    )
}

fn walk(setting: &Setting, steps: Vec<Step>) -> Marks {
    let mut walk = Walk::new(setting);
    for step in steps {
        walk.step(step);
    }
    walk.must_make_progress();
    walk.marks()
}

/// How long to look is said when the tests are built.
fn walks() -> u32 {
    let wanted = option_env!("QUORATE_RAFT_WALKS");
    wanted.map_or(WALKS, |number| number.parse().expect("QUORATE_RAFT_WALKS is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: walks(),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_order_of_events_breaks_an_invariant_or_the_way_back_to_progress(
        setting in setting(), steps in steps(),
    ) {
        walk(&setting, steps);
    }
}

/// A walk that elects nobody and commits nothing would find nothing either.
#[test]
fn the_walk_reaches_what_it_is_to_judge() {
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let total = Cell::new(Marks::default());
    runner
        .run(&(setting(), steps()), |(setting, steps)| {
            total.set(total.get().plus(walk(&setting, steps)));
            Ok(())
        })
        .expect("no walk fails");
    let total = total.get();
    // About half of what it reached when it was written.
    let least = Marks {
        elections: 130,
        commits: 800,
        reads: 500,
        lease_reads: 50,
        truncations: 10,
        rollbacks: 2,
        rivals: 120,
        joint: 130,
        changes: 650,
        resigned: 8,
        restores: 17,
        transfers: 25,
        abstained: 20,
        started_over: 10,
    };
    assert!(total.reaches(least), "{total:?}");
}
