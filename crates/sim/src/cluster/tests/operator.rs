//! What becomes of an operator's list, and of a cluster that changes.

use super::*;
use crate::engine::Count;
use crate::scenario::Scenario;

/// Three members, three spares, no replays, and this for the operator to do.
fn changing(operations: &[&str]) -> Schedule {
    let mut schedule = quiet();
    schedule.cluster.spares = 3;
    schedule.network.replay_ppm = 0;
    operate(&mut schedule, operations);
    schedule
}

/// What the history tells of the operator's operations with this outcome.
fn told(outcome: &Outcome, what: &str) -> Vec<String> {
    let faults = outcome.history.events().iter().filter_map(|event| match &event.kind {
        EventKind::Fault(fault) if fault["kind"] == "operator" && fault["outcome"] == what => {
            let detail = fault.get("members").or(fault.get("reason"));
            let detail = detail.and_then(|detail| detail.as_str()).unwrap_or_default();
            Some(format!("{}: {detail}", fault["action"].as_str().unwrap_or_default()))
        }
        _ => None,
    });
    faults.collect()
}

fn assert_reached(outcome: &Outcome, marks: &[&str]) {
    for mark in marks {
        assert!(outcome.marks.contains_key(mark), "{mark} was not reached: {:?}", outcome.marks);
    }
}

#[test]
fn an_operator_grows_shrinks_and_exchanges_a_cluster_in_its_order() {
    let outcome = lived(changing(&[
        "300000us add-learner n3",
        "300000us promote n3",
        "400000us add-voter n4",
        "500000us demote n1",
        "600000us remove n1",
        "700000us change +n1 +n5 -n0 ~n2",
        "800000us change-explicit +n0 -n1",
        "900000us transfer n0",
        "1000000us leave",
        "1100000us transfer-any 7",
    ]));
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.marks.get("operator-skipped"), None, "{:?}", told(&outcome, "skipped"));
    assert_eq!(
        told(&outcome, "done"),
        [
            "add-learner n3: 1 2 3 + 4",
            "promote n3: 1 2 3 4",
            "add-voter n4: 1 2 3 4 5",
            "demote n1: 1 3 4 5 + 2",
            "remove n1: 1 3 4 5",
            // It is answered when the joint configuration is committed.
            "change +n1 +n5 -n0 ~n2: 2 4 5 6 | 1 3 4 5 then 3 (leaves by itself)",
            "change-explicit +n0 -n1: 1 4 5 6 | 2 4 5 6 + 3",
            "transfer n0: 1 4 5 6 | 2 4 5 6 + 3",
            "leave: 1 4 5 6 + 3",
            "transfer-any 7: 1 4 5 6 + 3",
        ]
    );
    let marks =
        ["joint-entered", "joint-left", "learner-promoted", "majority-replaced", "transfer-done"];
    assert_reached(&outcome, &marks);
}

#[test]
fn a_leader_is_removed_and_nobody_waits_for_those_who_left() {
    let outcome = lived(changing(&[
        "500000us transfer n1",
        "500000us remove n1",
        "600000us transfer n2",
        "600000us remove n2",
    ]));
    assert_eq!(outcome.failure, None);
    assert_eq!(told(&outcome, "done").last().map(String::as_str), Some("remove n2: 1"));
    assert_reached(&outcome, &["leader-removed", "transfer-done"]);
    assert_eq!(outcome.operations.probers_done.len(), 6);
    assert!(outcome.operations.probers_done[0]);
    assert!(!outcome.operations.probers_done[5], "a spare that nobody let in serves nobody");
}

#[test]
fn a_member_returns_on_another_machine_and_gets_a_snapshot() {
    let mut schedule =
        changing(&["800000us remove n2", "900000us replace-disk n2", "1000000us add-voter n2"]);
    schedule.cluster.snapshots = SnapshotPlan { every: 20, keep: 0 };
    let outcome = lived(schedule);
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.counters.get(Count::MachineReplaced), 1);
    assert_eq!(told(&outcome, "done").last().map(String::as_str), Some("add-voter n2: 1 2 3"));
    let marks = ["replaced-member-returned", "snapshot-taken", "snapshot-installed"];
    assert_reached(&outcome, &marks);
    assert!(outcome.operations.probers_done[2]);
}

#[test]
fn what_makes_no_sense_is_skipped_with_its_reason() {
    let outcome = lived(changing(&[
        "300000us promote n1",
        "300000us remove n4",
        "300000us leave",
        "300000us replace-disk n0",
        "300000us transfer n5",
        "300000us add-voter n3",
    ]));
    assert_eq!(outcome.failure, None);
    assert_eq!(
        told(&outcome, "skipped"),
        [
            "promote n1: n1 is no learner",
            "remove n4: nothing would change",
            "leave: there is no joint configuration to leave",
            "replace-disk n0: n0 belongs to the cluster",
            "transfer n5: n5 does not vote",
        ]
    );
    assert_eq!(outcome.marks["operator-skipped"], 5);
    assert_eq!(told(&outcome, "done"), ["add-voter n3: 1 2 3 4"]);
}

#[test]
fn a_change_whose_answers_are_lost_happens_once() {
    let mut schedule = changing(&["500000us add-voter n3", "500000us remove n3"]);
    let members = (0..6).map(NodeId).collect();
    let operator = NodeId(6 + 2 + 6);
    let lasts = Nanos::from_secs(1);
    schedule.faults = vec![at(400, Fault::OneWay { from: members, to: vec![operator], lasts })];
    let outcome = lived(schedule);
    assert_eq!(outcome.failure, None);
    assert_eq!(told(&outcome, "done"), ["add-voter n3: 1 2 3 4", "remove n3: 1 2 3"]);
    assert_eq!(told(&outcome, "begins").len(), 2);
}

#[test]
fn an_operator_that_cannot_get_done_is_a_liveness_failure() {
    let mut schedule = changing(&["500000us add-voter n3", "9000000us remove n3"]);
    let outcome = lived(schedule.clone());
    let failure = outcome.failure.expect("its turn comes too late");
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.message.contains("still at '9000000us remove n3'"), "{failure}");
    schedule.phases.live_within = Nanos::from_secs(8);
    assert_eq!(lived(schedule).failure, None);
}

#[test]
fn a_joint_configuration_that_nobody_leaves_on_purpose_is_whole() {
    let outcome = lived(changing(&["500000us change-explicit +n3 -n0", "600000us add-voter n4"]));
    assert_eq!(outcome.failure, None);
    let skipped = told(&outcome, "skipped");
    assert_eq!(skipped, ["add-voter n4: the joint configuration has to be left first"]);
}

#[test]
fn what_would_wait_uncommitted_beyond_the_limit_is_refused() {
    let mut schedule = quiet();
    schedule.cluster.limits.uncommitted_bytes = 1;
    for client in &mut schedule.clients {
        for operation in &mut client.operations {
            operation.member = NodeId(0);
            operation.think = Nanos::from_millis(4);
        }
    }
    // One client's write still waits for the followers when the other's arrives.
    schedule.network.base = Nanos::from_millis(5);
    schedule.cluster.priorities = vec![1];
    schedule.floors = Floors::default();
    let outcome = lived(schedule);
    assert_eq!(outcome.failure, None);
    assert_reached(&outcome, &["proposal-refused-uncommitted"]);
}

/// Clocks whose speeds differ by up to a factor of three, and leaders that are cut off while
/// clients still ask them.
fn leases(bound: &str) -> Scenario {
    let text = format!(
        "about = 'leases and clocks'\n\
         [cluster]\nmembers = 5\nclients = 8\nheartbeat = '20ms'\nelection_timeout = '400ms'\n\
         [workload]\nkeys = 2\nthink = '1ms..10ms'\nsticky = '60%'\nreaders = '50%'\n\
         operations = 3000\n\
         [clocks]\ndrift = '30%..50%'\n\
         [leases]\nshare = '100%'\n{bound}\n\
         [faults.partition]\ncount = 8\nlasts = '700ms..1s'\nshapes = ['one', 'minority']"
    );
    Scenario::read("leases.toml", &text).expect("it is right")
}

#[test]
fn clocks_beyond_the_stated_bound_let_a_lease_outlive_its_leader_and_that_is_seen() {
    let failures = |bound: &str| -> Vec<String> {
        let scenario = leases(bound);
        let runs = (1..=8).map(|seed| lived(crate::generate(&scenario, Seed(seed))));
        let failures = runs.filter_map(|outcome| {
            assert_reached(&outcome, &["lease-read"]);
            outcome.failure.map(|failure| failure.violation)
        });
        failures.collect()
    };
    let understated = failures("bound = '0%'");
    let stale = ["LeaseExclusion", "ReadSafety", "linearizability"];
    assert!(!understated.is_empty(), "nobody noticed");
    for violation in &understated {
        assert!(stale.contains(&violation.as_str()), "{understated:?}");
    }
    assert_eq!(failures(""), Vec::<String>::new(), "the bound that the clocks keep to is enough");
}
