//! What is written of a failure, and in which order it is told.

use super::*;
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::seed::Seed;

fn found() -> Found {
    let smoke = Scenario::find("smoke").expect("it is shipped");
    let mut schedule = generate(&smoke, Seed(5));
    schedule.phases.event_budget = 1_000;
    let schedule = Arc::new(schedule);
    let outcome = cluster::run(&schedule, RunOptions::default()).expect("it describes a world");
    Found { schedule, failure: outcome.failure.expect("the budget is too small") }
}

#[test]
fn a_failure_leaves_files_that_replay_and_can_be_read() {
    let out = tempfile::tempdir().expect("there is room");
    let limits = ShrinkLimits { reruns: 30, time: None };
    let report = investigate(&found(), out.path(), limits, &Program::default())
        .expect("the files can be written");
    assert_eq!(report.artifacts.directory, out.path().join("smoke-5"));
    for path in [&report.artifacts.repro, &report.artifacts.repro_full] {
        let repro = Repro::read(path).expect("it was just written");
        let replay = repro.replay("x", RunOptions::default()).expect("it is possible");
        assert!(replay.same_violation && replay.same_trace, "{}", path.display());
    }
    let history = files::read(&report.artifacts.history).expect("it was just written");
    quorate_history::History::read(history.as_bytes()).expect("it is a history");
    let trace = files::read(&report.artifacts.trace).expect("it was just written");
    let steps = trace.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    assert!(steps.count() >= 1_000);
    let json = report.to_json();
    for field in ["scenario", "seed", "violation", "guarantee", "out", "repro"] {
        assert!(json[field].is_string(), "{field}");
    }
}

#[test]
fn the_report_tells_what_where_the_schedule_the_paths_the_command_and_the_commit() {
    let out = tempfile::tempdir().expect("there is room");
    let limits = ShrinkLimits { reruns: 1, time: None };
    let program = Program { version: "9.9".to_owned(), commit: "abcdef".to_owned() };
    let report =
        investigate(&found(), out.path(), limits, &program).expect("the files can be written");
    let text = report.to_string();
    let parts = [
        "EventBudget violated: a run ends",
        "1000 steps were not enough",
        "in scenario smoke, seed 5, at ",
        "Shrunk in 1 runs from ",
        "  3 members, snapshots every ",
        ", heal at 4 s\n",
        "history  ",
        "repro    ",
        "replay   quorate replay ",
        "commit   abcdef (quorate 9.9)",
    ];
    let places: Vec<Option<usize>> = parts.iter().map(|part| text.find(part)).collect();
    assert!(places.iter().all(Option::is_some), "{places:?} in\n{text}");
    assert!(places.is_sorted(), "{places:?} in\n{text}");
}
