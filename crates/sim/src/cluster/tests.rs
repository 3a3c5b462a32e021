//! Tests of the cluster as a system: schedules written by hand.

mod disks;
mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_history::{EventKind, Step};

use super::{FailureKind, Outcome, RunOptions, run};
use crate::engine::{DiskConfig, Fault, Nanos, NetworkConfig, NodeId, ScheduledFault, WorldTime};
use crate::schedule::{
    Action, ClientPlan, ClusterPlan, FORMAT, Floors, Key, LeasePlan, LimitsPlan, OperatorPlan,
    Phases, PlannedOperation, Schedule, SnapshotPlan, Value,
};
use crate::seed::Seed;

/// Three members, two clients that write and read in turns, two seconds, no faults.
fn quiet() -> Schedule {
    let client = |index: u32| {
        let operation = |position: u32| {
            let key = Key(position % 3);
            let action = match position % 4 {
                0 => Action::Put(key, Value::short(index * 1_000 + position)),
                1 => Action::Get(key),
                2 => Action::CompareAndSwap(key, Value::short(index * 1_000 + position)),
                _ => Action::GetSerializable(key),
            };
            PlannedOperation {
                think: Nanos::from_millis(10),
                member: NodeId((position + index) % 3),
                action,
            }
        };
        ClientPlan { operations: (0..300).map(operation).collect() }
    };
    Schedule {
        format: FORMAT,
        scenario: "quiet".to_owned(),
        seed: Seed(1),
        noise_seed: Seed(1),
        cluster: ClusterPlan {
            members: 3,
            spares: 0,
            election_timeout: Nanos::from_millis(150),
            heartbeat: Nanos::from_millis(30),
            request_timeout: Nanos::from_millis(1_000),
            read_retry: Nanos::from_millis(100),
            client_timeout: Nanos::from_millis(1_500),
            wal_segment_bytes: 64 * 1024,
            priorities: Vec::new(),
            snapshots: SnapshotPlan::default(),
            limits: LimitsPlan::default(),
            lease: None,
        },
        phases: Phases {
            heal_at: Nanos::from_secs(2),
            live_within: Nanos::from_secs(5),
            event_budget: 1_000_000,
        },
        floors: Floors { commits: 50, elections: 1, operations: 100, operations_after_heal: 1 },
        network: NetworkConfig::default(),
        disk: DiskConfig::default(),
        clocks: Vec::new(),
        clients: vec![client(1), client(2)],
        operator: OperatorPlan::default(),
        faults: Vec::new(),
    }
}

fn lived(schedule: Schedule) -> Outcome {
    run(&Arc::new(schedule), RunOptions::default()).expect("the schedule describes a world")
}

/// Gives the operator this to do.
fn operate(schedule: &mut Schedule, operations: &[&str]) {
    let planned = operations.iter().map(|text| text.parse().expect("it is an operation"));
    schedule.operator.operations = planned.collect();
}

fn at(millis: u64, fault: Fault) -> ScheduledFault {
    ScheduledFault { at: WorldTime::from_millis(millis), fault }
}

#[test]
fn without_faults_everything_is_answered() {
    let outcome = lived(quiet());
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.empty, None);
    assert!(outcome.elections >= 1 && outcome.commits > 100, "{outcome:?}");
    assert!(outcome.operations.ok > 300, "{:?}", outcome.operations);
    for mark in [
        "write-acknowledged",
        "linearizable-read",
        "linearizable-read-at-follower",
        "serializable-read",
    ] {
        assert!(outcome.marks.contains_key(mark), "{mark} was not reached: {:?}", outcome.marks);
    }
}

#[test]
fn the_same_schedule_gives_the_same_run() {
    let (one, two) = (lived(quiet()), lived(quiet()));
    assert_eq!((one.trace_hash, one.events), (two.trace_hash, two.events));
    assert_eq!(one.history, two.history);
    let other = lived(Schedule { noise_seed: Seed(2), ..quiet() });
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn a_cluster_outlives_crashes_power_losses_and_partitions() {
    let crash = Fault::Crash { node: NodeId(0), down_for: Nanos::from_millis(300) };
    let power = Fault::PowerLoss {
        nodes: vec![NodeId(0), NodeId(1), NodeId(2)],
        down_for: Nanos::from_millis(200),
    };
    let partition = Fault::Partition {
        groups: vec![vec![NodeId(1)], vec![NodeId(0), NodeId(2)]],
        lasts: Nanos::from_millis(400),
    };
    let faults = vec![at(500, crash), at(1_000, power), at(1_500, partition)];
    let outcome = lived(Schedule { faults, ..quiet() });
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.took_effect, [true, true, true]);
    assert!(outcome.marks.contains_key("member-recovered-entries"));
    let faults =
        outcome.history.events().iter().filter(|event| matches!(event.kind, EventKind::Fault(_)));
    assert_eq!(faults.count(), 4, "three faults and the heal");
}

#[test]
fn a_cluster_that_cannot_become_whole_is_a_liveness_failure() {
    let mut schedule = quiet();
    // Nobody can win an election when messages take longer than any election timeout.
    schedule.network.base = Nanos::from_millis(2_000);
    let outcome = lived(schedule);
    let failure = outcome.failure.expect("no leader");
    assert_eq!(failure.kind, FailureKind::Liveness);
    assert!(failure.message.contains("no leader"), "{failure}");
    assert_eq!(outcome.empty, Some("commits"));
}

#[test]
fn an_endless_run_is_a_failure_and_not_a_time_out() {
    let mut schedule = quiet();
    schedule.phases.event_budget = 500;
    let failure = lived(schedule).failure.expect("the budget is used up");
    assert_eq!(failure.kind, FailureKind::Storm);
}

#[test]
fn a_schedule_that_is_no_world_is_refused() {
    let crash = Fault::Crash { node: NodeId(17), down_for: Nanos::from_millis(300) };
    let schedule = Schedule { faults: vec![at(500, crash)], ..quiet() };
    let error = run(&Arc::new(schedule), RunOptions::default()).expect_err("there is no n17");
    assert!(error.contains("n17"), "{error}");
}

#[test]
fn operations_whose_answer_is_lost_have_an_unknown_outcome() {
    let mut schedule = quiet();
    // Clients hear nothing from anybody for a while, though what they ask is done.
    let clients: Vec<NodeId> = (3..8).map(NodeId).collect();
    let deaf = Fault::OneWay {
        from: vec![NodeId(0), NodeId(1), NodeId(2)],
        to: clients,
        lasts: Nanos::from_millis(1_000),
    };
    schedule.faults = vec![at(600, deaf)];
    let outcome = lived(schedule);
    assert_eq!(outcome.failure, None);
    assert!(outcome.operations.unknown >= 2, "{:?}", outcome.operations);
    let unknown = outcome
        .history
        .events()
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Operation { step: Step::Info(_), .. }));
    assert_eq!(unknown.count() as u64, outcome.operations.unknown);
}

#[test]
fn a_schedule_that_somebody_wrote_is_bounded() {
    type Change = fn(&mut Schedule);
    let refused: [(Change, &str); 13] = [
        (|schedule| schedule.cluster.members = 40_000_000, "1 to 99 members"),
        (|schedule| schedule.cluster.members = 0, "1 to 99 members"),
        (|schedule| schedule.cluster.heartbeat = Nanos::ZERO, "heartbeat_ns"),
        (|schedule| schedule.cluster.wal_segment_bytes = 1, "log files of 1 bytes"),
        (|schedule| schedule.scenario = "../../elsewhere".to_owned(), "no scenario's name"),
        (|schedule| schedule.cluster.spares = 100, "at most 99 spares"),
        (|schedule| schedule.cluster.snapshots.every = 0, "snapshots.every is 0"),
        (|schedule| schedule.cluster.limits.inflight_messages = 0, "limits.inflight_messages is 0"),
        (|schedule| schedule.cluster.priorities = vec![1; 4], "4 priorities for 3 members"),
        (
            |schedule| schedule.cluster.lease = Some(LeasePlan { clock_drift_ppm: 500_001 }),
            "lease.clock_drift_ppm of 500001",
        ),
        (|schedule| operate(schedule, &["5us add-voter n3"]), "members and spares are n0 to n2"),
        (
            |schedule| {
                schedule.network.replay_ppm = 1;
                operate(schedule, &["5us replace-disk n2"]);
            },
            "needs a network without replays",
        ),
        (
            |schedule| schedule.clocks = vec![Default::default(); 4],
            "4 clocks for 3 members and spares",
        ),
    ];
    for (change, says) in refused {
        let mut schedule = quiet();
        change(&mut schedule);
        let error = run(&Arc::new(schedule), RunOptions::default()).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
}
