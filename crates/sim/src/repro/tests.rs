//! What a repro file keeps, and which ones are refused.

use super::*;
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::seed::Seed;

fn repro() -> Repro {
    let smoke = Scenario::find("smoke").expect("it is shipped");
    let schedule = Arc::new(generate(&smoke, Seed(11)));
    let outcome = cluster::run(&schedule, RunOptions::default()).expect("it describes a world");
    Repro::new(&schedule, &outcome, &Program::default())
}

#[test]
fn a_written_repro_is_read_and_replays() {
    let repro = repro();
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("a/repro.toml");
    repro.write(&path).expect("it can be written");
    let read = Repro::read(&path).expect("it can be read");
    assert_eq!(read, repro);
    let replay = read.replay("repro.toml", RunOptions::default()).expect("it is possible");
    assert!(replay.same_violation && replay.same_trace);
}

#[test]
fn a_replay_that_goes_another_way_says_so() {
    let mut repro = repro();
    repro.expected.violation = Some("ElectionSafety".to_owned());
    repro.expected.trace_hash = "0000000000000000".to_owned();
    let replay = repro.replay("repro.toml", RunOptions::default()).expect("it is possible");
    assert!(!replay.same_violation && !replay.same_trace);
}

#[test]
fn another_format_a_wrong_field_and_a_missing_file_are_refused_with_a_remedy() {
    let text = repro().to_text();
    let error = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Repro::parse("r.toml", &text.replacen(from, to, 1)).expect_err(to).to_string()
    };
    assert_eq!(
        error("format = 1", "format = 7"),
        "r.toml:3:10: format 7 is not known to this version, which reads 1; replay it with the \
         version that wrote it"
    );
    let inner = error("[schedule]\nformat = 2", "[schedule]\nformat = 9");
    assert!(
        inner.contains(": format 9 is not known to this version, which reads 1 to 2"),
        "{inner}"
    );
    let misspelt = error("heal_at_ns", "heal_at");
    assert!(misspelt.contains("did you mean 'heal_at_ns'?"), "{misspelt}");
    let missing = Repro::read(Path::new("no/such.toml")).expect_err("there is none").to_string();
    assert!(missing.starts_with("no/such.toml: the repro file cannot be read"), "{missing}");
}

#[test]
fn an_impossible_schedule_is_refused_when_it_is_run() {
    let mut repro = repro();
    Arc::make_mut(&mut repro.schedule).cluster.members = 0;
    let error = repro.replay("r.toml", RunOptions::default()).expect_err("nobody is there");
    assert!(error.to_string().starts_with("r.toml: the schedule is not possible: "), "{error}");
}
