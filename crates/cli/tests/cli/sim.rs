//! `quorate sim`, `replay` and `shrink`: campaigns, failures and what they leave behind.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Run, quorate, run, write};

/// Runs of it end too early: each is a message storm, as it seems.
const STORM: &str = "\
about = \"A budget of events that no run can keep.\"

[cluster]
members = 3
clients = 2

[phases]
fault_time = \"2s\"
event_budget = 1500
";

/// Messages take longer than the cluster has time to become whole.
const HASTY: &str = "\
about = \"No time to recover.\"

[cluster]
members = 3
clients = 2

[phases]
fault_time = \"2s\"
live_within = \"600ms\"

[network]
base = \"900ms\"
";

/// A folder with a scenario file, in which the command runs.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(name: &str, text: &str) -> Self {
        let dir = tempfile::tempdir().expect("there is room for a folder");
        write(dir.path(), name, text);
        Self { dir }
    }

    fn run(&self, args: &[&str]) -> Run {
        crate::common::finish(quorate().current_dir(self.dir.path()).args(args), "")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn storm() -> Place {
    Place::new("storm.toml", STORM)
}

#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn number(line: &Value, field: &str) -> u64 {
    line[field].as_u64().unwrap_or_else(|| panic!("{field} is a number in {line}"))
}

#[test]
fn a_clean_campaign_exits_with_0_and_sums_up_what_was_tested() {
    let run = run(["sim", "smoke", "--seeds", "20", "--from", "1", "--jobs", "2"]).expect_code(0);
    for part in [
        "scenario   schedules   operations",
        "\nsmoke             20   ",
        "\nFaults that took effect",
        "\n  crash ",
        "\nMarks reached\n",
        "  linearizable-read ",
        " simulated in ",
        " a second of processor time",
        "\nno violation in 20 schedules from seed 1 on\n",
    ] {
        assert!(run.stdout.contains(part), "{part:?} in\n{}", run.stdout);
    }
    assert_eq!(run.stderr, "", "a chosen seed is not printed, and nothing is drawn");
}

#[test]
fn the_json_summary_has_the_fields_of_the_contract() {
    let args = ["sim", "smoke", "--seeds", "10", "--from", "0x1", "--format", "json"];
    let lines = run(args).expect_code(0).json_lines();
    let [line] = lines.as_slice() else { panic!("{lines:?} is one line") };
    assert_eq!(line["summary"], json!(true));
    assert_eq!((number(line, "seeds"), number(line, "failures")), (10, 0));
    for field in ["operations", "events", "virtual_ns", "wall_ns", "cpu_ns"] {
        assert!(number(line, field) > 0, "{field} in {line}");
    }
    assert!(number(line, "virtual_ns") > 10_000_000_000, "ten runs of several seconds: {line}");
    assert!(number(&line["faults"], "crash") > 0, "{line}");
    assert!(number(&line["reached"], "linearizable-read") > 0, "{line}");
    assert!(line["unreached"].is_array(), "{line}");
}

#[test]
fn the_number_of_jobs_and_shards_do_not_change_what_is_run() {
    let summary = |more: &[&str]| {
        let args = ["sim", "smoke", "--seeds", "9", "--from", "7", "--format", "json"];
        run(args.iter().chain(more)).expect_code(0).json_lines().remove(0)
    };
    let whole = summary(&["--jobs", "1"]);
    let parallel = summary(&["--jobs", "2"]);
    for field in ["operations", "events", "virtual_ns", "faults", "reached"] {
        assert_eq!(whole[field], parallel[field], "{field}");
    }
    let parts: Vec<Value> = ["1/2", "2/2"].map(|part| summary(&["--shard", part])).into();
    assert_eq!(parts.iter().map(|part| number(part, "seeds")).collect::<Vec<_>>(), [5, 4]);
    let events: u64 = parts.iter().map(|part| number(part, "events")).sum();
    assert_eq!(events, number(&whole, "events"));
}

#[test]
fn a_fresh_first_seed_is_printed_and_can_be_given_again() {
    let first = run(["sim", "smoke", "--seeds", "1", "--format", "json"]).expect_code(0);
    let seed = first.stderr.trim().strip_prefix("the first seed is ").expect("it is printed");
    let again = run(["sim", "smoke", "--seed", seed, "--format", "json"]).expect_code(0);
    assert_eq!(first.json_lines()[0]["events"], again.json_lines()[0]["events"]);
    let other = run(["sim", "smoke", "--seeds", "1", "--format", "json"]).expect_code(0);
    assert_ne!(first.stderr, other.stderr, "a fresh seed is another one each time");
}

#[test]
fn a_failing_seed_is_reported_in_order_and_leaves_files_that_replay() {
    let place = storm();
    let run = place.run(&["sim", "storm.toml", "--seed", "5"]).expect_code(1);
    let parts = [
        "EventBudget violated",
        "in scenario storm, seed 5",
        "Shrunk in",
        "out/storm-5/history.jsonl",
        "quorate replay out/storm-5/repro.toml",
        "commit ",
        "1 failure in 1 schedule",
    ];
    let places: Vec<_> = parts.iter().map(|part| run.stdout.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{}", run.stdout);

    let replay = place.run(&["replay", "out/storm-5/repro.toml", "--format", "json"]);
    let line = replay.expect_code(1).json_lines().remove(0);
    assert_eq!(line["violation"], json!("EventBudget"), "{line}");
    assert_eq!((&line["same_violation"], &line["same_trace"]), (&json!(true), &json!(true)));
    let text = place.run(&["replay", "out/storm-5/repro-full.toml"]).expect_code(1).stdout;
    assert!(text.contains("outcome  the same\ntrace    the same: "), "{text}");

    let check = place.run(&["check", "out/storm-5/history.jsonl"]).expect_code(0);
    assert!(check.stdout.starts_with("valid "), "{}", check.stdout);
}

#[test]
fn failing_seeds_are_json_lines_before_the_summary() {
    let place = storm();
    let args = ["sim", "storm.toml", "--from", "1", "--seeds", "9", "--max-failures", "2"];
    let lines = place.run(&[&args[..], &["--format", "json"]].concat()).expect_code(1).json_lines();
    let (summary, failures) = lines.split_last().expect("there is a summary");
    assert_eq!(number(summary, "failures"), 2);
    assert_eq!(failures.len(), 2);
    for (line, seed) in failures.iter().zip(["1", "2"]) {
        assert_eq!(line["scenario"], json!("storm"));
        assert_eq!(line["seed"], json!(seed));
        assert_eq!(line["violation"], json!("EventBudget"));
        assert!(line["guarantee"].is_string(), "{line}");
        assert_eq!(line["out"], json!(format!("out/storm-{seed}")));
        assert!(place.path(line["repro"].as_str().expect("a path")).is_file(), "{line}");
    }
}

#[test]
fn a_cluster_that_only_recovers_too_late_exits_with_4() {
    let place = Place::new("hasty.toml", HASTY);
    let run = place.run(&["sim", "hasty.toml", "--seed", "1"]).expect_code(4);
    assert!(run.stdout.contains("Liveness violated"), "{}", run.stdout);
    place.run(&["replay", "out/hasty-1/repro.toml"]).expect_code(4);
}

#[test]
fn artifacts_that_cannot_be_written_do_not_hide_the_failure() {
    let place = storm();
    write(place.dir.path(), "taken", "a file where a folder is wanted");
    let run = place.run(&["sim", "storm.toml", "--seed", "5", "--out", "taken"]).expect_code(2);
    assert!(run.stdout.contains("in scenario storm, seed 5"), "{}", run.stdout);
    assert!(run.stderr.contains("--out"), "{}", run.stderr);
}

#[test]
fn a_scenario_with_a_mistake_is_refused_with_file_line_and_remedy() {
    let place = Place::new("typo.toml", &STORM.replace("fault_time", "fault_tim"));
    let run = place.run(&["sim", "typo.toml"]).expect_code(2);
    assert!(run.stderr.contains("error: typo.toml:8:1: unknown field 'fault_tim'"), "{run:?}");
    assert!(run.stderr.contains("  8 | fault_tim = \"2s\"\n    | ^\n"), "{}", run.stderr);
    assert!(run.stderr.contains("did you mean 'fault_time'?"), "{}", run.stderr);
    let unknown = place.run(&["sim", "smok"]).expect_code(2);
    assert!(unknown.stderr.contains("did you mean 'smoke'?"), "{}", unknown.stderr);
}

#[test]
fn a_repro_of_another_format_version_is_refused_with_its_line() {
    let place =
        Place::new("repro.toml", "# from the future\nformat = 7\n\n[schedule]\nformat = 1\n");
    let run = place.run(&["replay", "repro.toml"]).expect_code(2);
    assert!(run.stderr.contains("repro.toml:2:"), "{}", run.stderr);
    assert!(run.stderr.contains("format 7 is not known"), "{}", run.stderr);
}

#[test]
fn a_scenario_is_replayed_with_a_seed_only() {
    let run = run(["replay", "smoke", "--seed", "3"]).expect_code(0);
    assert!(run.stdout.contains("no violation\n"), "{}", run.stdout);
    assert!(run.stdout.contains("trace    the same: "), "{}", run.stdout);
    let refused = crate::common::run(["replay", "smoke"]).expect_code(2);
    assert!(refused.stderr.contains("--seed 42"), "{}", refused.stderr);
    let missing = crate::common::run(["replay", "nowhere.toml"]).expect_code(2);
    assert!(missing.stderr.contains("nowhere.toml"), "{}", missing.stderr);
}

#[test]
fn a_trace_that_went_another_way_is_told() {
    let place = storm();
    place.run(&["sim", "storm.toml", "--seed", "5", "--out", "."]).expect_code(1);
    let repro = place.path("storm-5/repro.toml");
    let text = read(&repro);
    let hash = text.lines().find(|line| line.starts_with("trace_hash")).expect("it is there");
    write(place.dir.path(), "other.toml", &text.replace(hash, "trace_hash = \"00ff\""));
    let run = place.run(&["replay", "other.toml"]).expect_code(1);
    assert!(run.stdout.contains("outcome  the same\n"), "{}", run.stdout);
    assert!(run.stdout.contains("trace    another one: "), "{}", run.stdout);
    assert!(run.stdout.contains("it was 00ff"), "{}", run.stdout);
}

#[test]
fn shrinking_keeps_the_violation_and_the_original() {
    let place = storm();
    place.run(&["sim", "storm.toml", "--seed", "5"]).expect_code(1);
    let full = place.path("out/storm-5/repro-full.toml");
    let before = read(&full);
    let args = ["shrink", "out/storm-5/repro-full.toml", "--reruns", "40", "--format", "json"];
    let line = place.run(&args).expect_code(1).json_lines().remove(0);
    assert_eq!(line["violation"], json!("EventBudget"), "{line}");
    assert_eq!(line["repro"], json!("out/shrunk/storm-5/repro.toml"), "{line}");
    let after = read(&place.path("out/shrunk/storm-5/repro.toml"));
    assert!(after.len() < before.len() / 2, "{} of {} bytes", after.len(), before.len());
    assert_eq!(read(&full), before, "what was given stays as it was");
}

#[test]
fn an_interrupt_ends_a_campaign_with_its_summary() {
    let mut child = quorate()
        .args(["sim", "smoke", "--for", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it was piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it is UTF-8");
    assert!(line.starts_with("the first seed is "), "{line}");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("there is a kill");
    assert!(sent.success());
    let mut stdout = String::new();
    child.stdout.take().expect("it was piped").read_to_string(&mut stdout).expect("it is UTF-8");
    let status = child.wait().expect("the binary ends");
    assert_eq!(status.code(), Some(3), "{stdout}");
    assert!(stdout.contains(", until it was stopped\n"), "{stdout}");
}
