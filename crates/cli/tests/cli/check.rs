//! `quorate check`: verdicts, exit codes, and what is said about files that are no histories.

use std::path::Path;

use crate::common::{run, run_with_input, write};
use serde_json::json;
use tempfile::TempDir;

const HEADER: &str = r#"{"format":"quorate-history","version":1,"model":"register","source":{}}"#;

/// A register that is written with 1 and then read as `read`.
fn write_then_read(read: u64) -> String {
    [
        HEADER,
        r#"{"time":1,"client":1,"id":1,"type":"invoke","op":{"f":"write","key":"x","value":1}}"#,
        r#"{"time":5,"client":1,"id":1,"type":"ok","result":{}}"#,
        r#"{"time":6,"client":2,"id":2,"type":"invoke","op":{"f":"read","key":"x"}}"#,
        &format!(r#"{{"time":8,"client":2,"id":2,"type":"ok","result":{{"value":{read}}}}}"#),
        "",
    ]
    .join("\n")
}

/// Concurrent compare-and-swaps of one key, from every one of `values` values to every other. All
/// succeed, so together they go round and end where they began; yet a later read sees another value.
/// To refuse that by search, every order in which they could have gone is tried.
fn hard(values: u64) -> String {
    let operation = |id: u64, times: [u64; 2], op: &str, result: &str| {
        [
            (
                times[0],
                id,
                format!(
                    r#"{{"time":{},"client":{id},"id":{id},"type":"invoke","op":{op}}}"#,
                    times[0]
                ),
            ),
            (
                times[1],
                id,
                format!(
                    r#"{{"time":{},"client":{id},"id":{id},"type":"ok","result":{result}}}"#,
                    times[1]
                ),
            ),
        ]
    };
    let mut events = Vec::new();
    events.extend(operation(1, [1, 2], r#"{"f":"write","key":"x","value":0}"#, "{}"));
    let pairs = (0..values).flat_map(|old| (0..values).map(move |new| (old, new)));
    for (id, (old, new)) in (2..).zip(pairs.filter(|(old, new)| old != new)) {
        let cas = format!(r#"{{"f":"cas","key":"x","old":{old},"new":{new}}}"#);
        events.extend(operation(id, [10, 20], &cas, r#"{"succeeded":true}"#));
    }
    events.extend(operation(1000, [30, 40], r#"{"f":"read","key":"x"}"#, r#"{"value":1}"#));
    events.sort_by_key(|(time, id, _)| (*time, *id));
    let mut lines = vec![HEADER.to_owned()];
    lines.extend(events.into_iter().map(|(_, _, line)| line));
    lines.join("\n") + "\n"
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_valid_history_exits_with_0() {
    let dir = folder();
    let file = text(&write(dir.path(), "a.jsonl", &write_then_read(1)));
    let run = run(["check", &file]).expect_code(0);
    assert!(run.stdout.starts_with(&format!("valid    {file}  (register, 2 operations, ")));
    assert_eq!(run.stderr, "");
}

#[test]
fn an_invalid_history_exits_with_1_and_names_operation_and_key() {
    let dir = folder();
    let file = write(dir.path(), "a.jsonl", &write_then_read(2));
    let run = run(["check", &text(&file)]).expect_code(1);
    assert!(run.stdout.starts_with("invalid  "), "{}", run.stdout);
    assert!(run.stdout.contains("operation 2"), "{}", run.stdout);
    assert!(run.stdout.contains("\"x\""), "{}", run.stdout);
    assert!(run.stdout.contains("linearizability"), "{}", run.stdout);
}

#[test]
fn an_undecided_history_exits_with_3_and_says_which_limit() {
    let dir = folder();
    let file = write(dir.path(), "a.jsonl", &hard(6));
    let run = run(["check", &text(&file), "--memory", "1kB", "--timeout", "10m"]).expect_code(3);
    assert!(run.stdout.starts_with("unknown  "), "{}", run.stdout);
    assert!(run.stdout.contains("1000 bytes of memory"), "{}", run.stdout);
}

#[test]
fn time_that_is_up_leaves_a_history_undecided() {
    let dir = folder();
    let file = write(dir.path(), "a.jsonl", &hard(7));
    let limits = ["--timeout", "50ms", "--memory", "4GiB"];
    let run = run(["check", &text(&file)].into_iter().chain(limits)).expect_code(3);
    assert!(run.stdout.contains("time was up"), "{}", run.stdout);
}

#[test]
fn json_lines_have_the_fields_of_the_contract() {
    let dir = folder();
    let valid = text(&write(dir.path(), "valid.jsonl", &write_then_read(1)));
    let invalid = text(&write(dir.path(), "invalid.jsonl", &write_then_read(2)));
    let unknown = text(&write(dir.path(), "unknown.jsonl", &hard(6)));
    let args = ["check", "--format", "json", "--memory", "1kB", &valid, &invalid, &unknown];
    let run = run(args).expect_code(1);
    let lines = run.json_lines();
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].clone()).collect();
    assert_eq!(verdicts, [json!("valid"), json!("invalid"), json!("unknown")]);
    for (line, file) in lines.iter().zip([&valid, &invalid, &unknown]) {
        assert_eq!(line["file"], json!(file));
        assert_eq!(line["model"], json!("register"));
        assert!(line["operations"].as_u64().is_some_and(|n| n >= 2), "{line}");
        assert!(line["duration_ns"].as_u64().is_some_and(|n| n > 0), "{line}");
    }
    assert_eq!(lines[0].as_object().map(|line| line.len()), Some(5), "{}", lines[0]);
    assert_eq!(lines[1]["guarantee"], json!("linearizability"));
    assert_eq!(lines[1]["counterexample"][0], json!(2), "the operation at fault comes first");
    assert!(lines[1]["reason"].as_str().is_some_and(|reason| reason.contains("operation 2")));
    assert!(lines[2]["reason"].as_str().is_some_and(|reason| reason.contains("limit")));
}

/// A write of 1, a good read, a write of another key, a write of 2, and a read that answers 1.
fn stale_read() -> String {
    let mut lines = vec![HEADER.to_owned()];
    for (id, op, result) in [
        (1, r#"{"f":"write","key":"x","value":1}"#, "{}"),
        (2, r#"{"f":"read","key":"y"}"#, r#"{"value":null}"#),
        (3, r#"{"f":"write","key":"y","value":5}"#, "{}"),
        (4, r#"{"f":"write","key":"x","value":2}"#, "{}"),
        (5, r#"{"f":"read","key":"x"}"#, r#"{"value":1}"#),
    ] {
        let (start, end) = (10 * id, 10 * id + 5);
        let head = format!(r#""client":{id},"id":{id}"#);
        lines.push(format!(r#"{{"time":{start},{head},"type":"invoke","op":{op}}}"#));
        lines.push(format!(r#"{{"time":{end},{head},"type":"ok","result":{result}}}"#));
    }
    lines.join("\n") + "\n"
}

#[test]
fn minimize_lists_the_operations_that_refute_a_history_and_no_others() {
    let dir = folder();
    let file = text(&write(dir.path(), "a.jsonl", &stale_read()));
    let shown = run(["check", "--minimize", &file]).expect_code(1).stdout;
    assert!(shown.contains("the answers of 3 of 5"), "{shown}");
    for line in
        ["operation 1, client 1, at ", r#"{"f":"write","key":"x","value":2}"#, r#"{"value":1}"#]
    {
        assert!(shown.contains(line), "no {line} in {shown}");
    }
    assert!(!shown.contains("operation 2,") && !shown.contains("operation 3,"), "{shown}");
}

#[test]
fn minimize_puts_the_operations_into_the_json_line() {
    let dir = folder();
    let file = text(&write(dir.path(), "a.jsonl", &stale_read()));
    let valid = text(&write(dir.path(), "valid.jsonl", &write_then_read(1)));
    let args = ["check", "--format", "json", "--minimize", &file, &valid];
    let lines = run(args).expect_code(1).json_lines();
    assert_eq!(lines[0]["counterexample"], json!([1, 4, 5]));
    assert_eq!(lines[1].get("counterexample"), None, "a valid history has none");
}

#[test]
fn a_bad_file_exits_with_2_names_its_line_and_does_not_keep_the_others_from_being_checked() {
    let dir = folder();
    let garbage = text(&write(dir.path(), "garbage.jsonl", "hello\n"));
    let empty = text(&write(dir.path(), "empty.jsonl", ""));
    let whole = write_then_read(1);
    let cut = text(&write(dir.path(), "cut.jsonl", &whole[..whole.len() - 10]));
    let mut lines: Vec<_> = whole.lines().collect();
    lines[2] = "}{";
    let broken = text(&write(dir.path(), "broken.jsonl", &(lines.join("\n") + "\n")));
    let invalid = text(&write(dir.path(), "invalid.jsonl", &write_then_read(2)));
    let valid = text(&write(dir.path(), "valid.jsonl", &whole));
    let run = run(["check", &garbage, &empty, &cut, &broken, &invalid, &valid]).expect_code(2);
    for place in [
        format!("{garbage}:1:"),
        format!("{empty}:1:"),
        format!("{cut}:5:"),
        format!("{broken}:3:"),
    ] {
        assert!(run.stderr.contains(&place), "{place} in {}", run.stderr);
    }
    assert!(run.stdout.contains(&format!("invalid  {invalid}")), "{}", run.stdout);
    assert!(run.stdout.contains(&format!("valid    {valid}")), "{}", run.stdout);
    let summary = "6 files: 1 valid, 1 invalid, 4 unreadable\n";
    assert!(run.stdout.ends_with(summary), "{}", run.stdout);
}

#[test]
fn a_folder_and_a_missing_file_are_refused_with_a_hint() {
    let dir = folder();
    let run_folder = run(["check", &text(dir.path())]).expect_code(2);
    assert!(run_folder.stderr.contains("is a folder"), "{}", run_folder.stderr);
    assert!(run_folder.stderr.contains("*.jsonl"), "{}", run_folder.stderr);
    let missing = run(["check", &text(&dir.path().join("nothing.jsonl"))]).expect_code(2);
    assert!(missing.stderr.contains("there is no file"), "{}", missing.stderr);
}

#[test]
fn standard_input_is_read_for_a_dash() {
    let run = run_with_input(["check", "-", "--format", "json"], &write_then_read(2));
    let run = run.expect_code(1);
    assert_eq!(run.json_lines()[0]["file"], json!("-"));
    let garbage = run_with_input(["check", "-"], "nonsense\n").expect_code(2);
    assert!(garbage.stderr.contains("standard input:1:"), "{}", garbage.stderr);
}

#[test]
fn another_model_than_the_one_asked_for_is_refused() {
    let dir = folder();
    let file = text(&write(dir.path(), "a.jsonl", &write_then_read(1)));
    run(["check", "--model", "register", &file]).expect_code(0);
    let refused = run(["check", "--model", "etcd", &file]).expect_code(2);
    assert!(refused.stderr.contains(&format!("{file}:1: ")), "{}", refused.stderr);
    assert!(refused.stderr.contains("use --model register"), "{}", refused.stderr);
}
