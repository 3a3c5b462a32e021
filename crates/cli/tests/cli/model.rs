//! `quorate model`: the list, a complete search, an unfinished one.

use crate::common::run;
use serde_json::json;

#[test]
fn without_a_name_the_models_are_listed_with_their_sizes() {
    let text = run(["model"]).expect_code(0).stdout;
    assert!(text.starts_with("election  "), "{text}");
    assert!(text.contains("--servers"), "{text}");
    let lines = run(["model", "--format", "json"]).expect_code(0).json_lines();
    assert_eq!(lines[0]["model"], json!("election"));
    assert_eq!(lines[0]["servers"]["default"], json!(3));
}

#[test]
fn a_complete_search_reports_every_property_and_exits_with_0() {
    let run = run(["model", "election"]).expect_code(0);
    let property = |line: &&str| line.starts_with("  always ") || line.starts_with("  sometimes ");
    assert!(run.stdout.lines().filter(property).count() > 8, "{}", run.stdout);
    assert!(run.stdout.contains("ElectionSafety"), "{}", run.stdout);
    let last = run.stdout.lines().last().expect("there is a summary");
    assert!(last.starts_with("sound: the whole space was searched; "), "{last}");
}

#[test]
fn a_search_that_a_limit_stops_is_undecided() {
    let args = ["model", "election", "--states", "50", "--format", "json"];
    let lines = run(args).expect_code(3).json_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["outcome"], json!("undecided"));
    assert_eq!(lines[0]["complete"], json!(false));
    let properties = lines[0]["properties"].as_array().expect("a list");
    let verdicts = |expectation, verdict| {
        properties.iter().any(|property| {
            property["expectation"] == json!(expectation) && property["verdict"] == json!(verdict)
        })
    };
    assert!(verdicts("always", "undecided"));
    assert!(!verdicts("always", "holds"), "half a search proves nothing");
    run(["model", "election", "--servers", "5", "--for", "10ms"]).expect_code(3);
}

#[test]
fn an_unknown_model_and_an_impossible_size_are_refused() {
    let unknown = run(["model", "elections"]).expect_code(2);
    assert!(unknown.stderr.contains("the models are: election"), "{}", unknown.stderr);
    let size = run(["model", "election", "--servers", "9"]).expect_code(2);
    assert!(size.stderr.contains("takes 3 to 5 servers, not 9"), "{}", size.stderr);
}
