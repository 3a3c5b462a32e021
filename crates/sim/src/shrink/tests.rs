//! What shrinking keeps, and what it takes away.

use super::*;
use crate::engine::{NodeId, Noise};
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::seed::Seed;

fn run(schedule: &Schedule) -> Outcome {
    cluster::run(&Arc::new(schedule.clone()), RunOptions::default()).expect("it describes a world")
}

/// A schedule of several faults that needs too many steps because of one of them.
fn storm() -> (Schedule, ScheduledFault) {
    let smoke = Scenario::find("smoke").expect("it is shipped");
    let mut schedule = generate(&smoke, Seed(4));
    let node = NodeId(0);
    let lasts = Nanos::from_millis(100);
    let harmless =
        |at| ScheduledFault { at: WorldTime::from_millis(at), fault: Fault::Pause { node, lasts } };
    schedule.faults = vec![harmless(500), harmless(1_500), harmless(2_500), harmless(3_500)];
    let quiet = run(&schedule).events;
    let noise = Noise { duplicate_ppm: 1_000_000, ..Noise::default() };
    let fault = ScheduledFault {
        at: WorldTime::from_millis(100),
        fault: Fault::Noise { noise, lasts: Nanos::from_secs(3) },
    };
    schedule.faults.insert(0, fault.clone());
    let loud = run(&schedule).events;
    assert!(loud > quiet + quiet / 10, "{loud} steps against {quiet}");
    schedule.phases.event_budget = (loud + quiet) / 2;
    (schedule, fault)
}

#[test]
fn the_fault_that_matters_stays_and_the_others_go() {
    let (schedule, fault) = storm();
    let failure = run(&schedule).failure.expect("the budget is too small");
    assert_eq!(failure.violation, "EventBudget");
    let limits = ShrinkLimits { reruns: 100, time: None };
    let shrunk = shrink(&schedule, &failure, limits).expect("it fails again");
    assert!(shrunk.reruns <= 100);
    let kinds: Vec<&str> = shrunk.schedule.faults.iter().map(|fault| fault.fault.kind()).collect();
    assert_eq!(kinds, ["noise"]);
    assert_eq!(shrunk.schedule.faults[0].at, fault.at);
    assert_eq!(shrunk.failure.violation, "EventBudget");
    assert_eq!(shrunk.outcome.failure.as_ref(), Some(&shrunk.failure));
    assert!(!shrunk.outcome.trace.is_empty());
}

#[test]
fn a_schedule_that_passes_is_not_shrunk() {
    let (mut schedule, _) = storm();
    let failure = run(&schedule).failure.expect("the budget is too small");
    schedule.phases.event_budget *= 2;
    let error = shrink(&schedule, &failure, ShrinkLimits::default()).expect_err("it passes");
    assert!(error.contains("does not fail with EventBudget"), "{error}");
}

#[test]
fn no_rerun_is_begun_beyond_the_limit() {
    let (schedule, _) = storm();
    let failure = run(&schedule).failure.expect("the budget is too small");
    let limits = ShrinkLimits { reruns: 3, time: None };
    assert_eq!(shrink(&schedule, &failure, limits).expect("it fails again").reruns, 3);
}

#[test]
fn what_remains_of_a_client_keeps_its_time() {
    let operation = |think, member| {
        let text = format!("{think}us n{member} get k1");
        text.parse::<PlannedOperation>().expect("it is one")
    };
    let operations = [operation(5, 0), operation(7, 1), operation(11, 2), operation(13, 0)];
    let kept = keep(&operations, |at| at == 1 || at == 3);
    assert_eq!(kept, [operation(12, 1), operation(24, 0)]);
    let mut client = ClientPlan { operations: operations.to_vec() };
    cut_operations(&mut client, WorldTime::from_nanos(12_000));
    assert_eq!(client.operations, operations[..2]);
}

#[test]
fn halving_ends_at_a_millisecond() {
    let mut fault = Fault::Crash { node: NodeId(1), down_for: Nanos::from_millis(5) };
    let mut steps = 0;
    loop {
        let before = fault.clone();
        halve(&mut fault);
        if fault == before {
            break;
        }
        steps += 1;
    }
    assert_eq!((steps, fault.duration()), (3, Some(Nanos::from_micros(625))));
}
