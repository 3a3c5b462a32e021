//! Headers, patches, trees, and the judgement on scripted answers of `quorate`.

use std::path::Path;

use crate::Error;
use crate::canary::Canary;
use crate::hunt::{Answer, Caught, Hunt};
use crate::tree::{self, Files};

const PATCH: &str = "\
mistake: A vote is answered
  before it is written.
kind: safety
violation: MonotonicTermAndVote, ElectionSafety
scenario: crash-loop, swarm
seeds: 20

diff --git a/src/vote.rs b/src/vote.rs
--- a/src/vote.rs
+++ b/src/vote.rs
@@ -1,3 +1,2 @@
 begin
-persist
 answer
";

const CONTROL: &str = "\
mistake: none, a comment is longer
kind: control
violation: none
scenario: swarm
seeds: 20
diff --git a/src/vote.rs b/src/vote.rs
--- a/src/vote.rs
+++ b/src/vote.rs
@@ -1 +1,2 @@
 begin
+# votes
";

fn canary() -> Canary {
    Canary::parse("vote", PATCH).expect("a canary in good form")
}

fn files(content: &str) -> Files {
    Files::from([("src/vote.rs".to_owned(), content.as_bytes().to_vec())])
}

#[test]
fn a_header_is_read_with_its_lists_and_continued_lines() {
    let canary = canary();
    assert_eq!(canary.name, "vote");
    assert_eq!(canary.mistake, "A vote is answered before it is written.");
    assert_eq!(canary.violations, ["MonotonicTermAndVote", "ElectionSafety"]);
    assert_eq!(canary.scenarios, ["crash-loop", "swarm"]);
    assert_eq!((canary.seeds, canary.exit_code), (20, 1));
    assert!(!canary.is_control());
    assert!(Canary::parse("control", CONTROL).expect("in good form").is_control());
}

#[test]
fn a_bad_header_is_refused_with_its_line() {
    let cases = [
        (PATCH.replace("seeds: 20", "seeds: none"), "line 6: 'seeds' is a number above zero"),
        (PATCH.replace("seeds: 20", "sedes: 20"), "line 6: there is no key \"sedes\""),
        (PATCH.replace("seeds: 20", "twenty"), "line 6: this is no 'key: value'"),
        (PATCH.replace("seeds: 20\n", ""), "the header ends without \"seeds\""),
        (PATCH.replace("seeds: 20", "kind: safety"), "line 6: \"kind\" stands here for the second"),
        (PATCH.replace("safety", "security"), "line 3: 'kind' is safety, liveness or control"),
        (PATCH.replace("safety", "control"), "line 4: a control has no 'violation'"),
        (CONTROL.replace("control", "safety"), "'violation' names nothing"),
        (PATCH.replace("crash-loop, swarm", ","), "line 5: 'scenario' names nothing to run"),
        (PATCH.replace("diff --git", "diff"), "there is no 'diff --git' line"),
    ];
    for (text, expected) in cases {
        let error = Canary::parse("vote", &text).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("canaries/vote.patch: "), "{error}");
    }
}

#[test]
fn a_patch_applies_also_where_lines_have_moved() {
    for prefix in ["", "other\nlines\n"] {
        let mut tree = files(&format!("{prefix}begin\npersist\nanswer\n"));
        canary().apply(&mut tree).expect("the hunk is there once");
        assert_eq!(tree, files(&format!("{prefix}begin\nanswer\n")));
    }
}

#[test]
fn a_patch_that_no_longer_fits_exactly_once_asks_to_be_refreshed() {
    let twice = "begin\npersist\nanswer\nbegin\npersist\nanswer\n";
    let cases = [
        (files("begin\npersist twice\nanswer\n"), "is there 0 times"),
        (files(twice), "is there 2 times"),
        (Files::new(), "there is no such file"),
    ];
    for (mut tree, expected) in cases {
        let error = canary().apply(&mut tree).expect_err(expected);
        assert!(matches!(error, Error::Stale { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(expected) && message.contains("refresh"), "{message}");
        assert!(message.contains("src/vote.rs"), "{message}");
    }
}

#[test]
fn a_tree_is_made_exact_and_what_is_right_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let mut tree = files("begin\n");
    tree.insert("Cargo.toml".to_owned(), b"[package]\n".to_vec());
    tree::write(root, &tree).expect("the tree is written");
    let stamp = |name: &str| {
        let data = std::fs::metadata(root.join(name)).expect("the file exists");
        data.modified().expect("files have time stamps")
    };
    let before = (stamp("Cargo.toml"), stamp("src/vote.rs"));
    std::fs::write(root.join("src/stray.rs"), "stray").expect("a file is written");
    tree.insert("src/vote.rs".to_owned(), b"answer\n".to_vec());
    tree::write(root, &tree).expect("the tree is written again");
    assert_eq!(stamp("Cargo.toml"), before.0, "an equal file is not touched");
    assert_ne!(stamp("src/vote.rs"), before.1, "a changed file is newer");
    assert!(!root.join("src/stray.rs").exists(), "a stray file is removed");
    // Outside of any repository the files are found by walking.
    assert_eq!(tree::tracked(root).expect("the tree is read"), tree);
}

/// Judges `patch` by what `quorate` answers to the n-th call with these arguments.
fn judge(
    patch: &str,
    mut answer: impl FnMut(usize, &[String]) -> (i32, String),
) -> Result<(Canary, Caught, Vec<String>), Error> {
    let canary = Canary::parse("vote", patch).expect("a canary in good form");
    let mut calls = Vec::new();
    let mut quorate = |arguments: &[String]| {
        let (code, stdout) = answer(calls.len(), arguments);
        calls.push(arguments.join(" "));
        Ok(Answer { code: Some(code), stdout, stderr: String::new() })
    };
    let mut hunt =
        Hunt { canary: &canary, jobs: Some(2), out: Path::new("out"), quorate: &mut quorate };
    let caught = hunt.run()?;
    Ok((canary, caught, calls))
}

fn after<'a>(arguments: &'a [String], option: &str) -> &'a str {
    let index = arguments.iter().position(|argument| argument == option);
    &arguments[index.expect("the option is there") + 1]
}

/// A campaign's output with one failing seed for each violation, from seed 3 on.
fn campaign(arguments: &[String], violations: &[&str]) -> (i32, String) {
    let mut out = String::new();
    for (index, violation) in violations.iter().enumerate() {
        out += &format!(
            "{{\"scenario\":\"{}\",\"seed\":{},\"violation\":\"{violation}\",\
             \"guarantee\":\"g\",\"out\":\"o\",\"repro\":\"o/repro.toml\"}}\n",
            arguments[1],
            index + 3
        );
    }
    let seeds = after(arguments, "--seeds");
    out += &format!("{{\"summary\":true,\"seeds\":{seeds},\"cpu_ns\":1500000000}}\n");
    (i32::from(!violations.is_empty()), out)
}

fn replay(violation: &str, same: bool) -> (i32, String) {
    (1, format!("{{\"violation\":\"{violation}\",\"same_trace\":{same}}}\n"))
}

#[test]
fn a_mistake_is_caught_by_an_accepted_report_that_replays_twice() {
    let (canary, caught, calls) = judge(PATCH, |call, arguments| match call {
        0..=2 => campaign(arguments, &[]),
        3 => campaign(arguments, &["panic", "ElectionSafety"]),
        _ => replay("ElectionSafety", true),
    })
    .expect("the contract is kept");
    assert!(caught.is_well(&canary), "{caught:?}");
    assert_eq!(caught.others, ["panic"]);
    assert_eq!(
        caught.row(&canary),
        ["vote", "4", "6.0", "caught: ElectionSafety in swarm"].map(str::to_owned)
    );
    assert_eq!(
        calls,
        [
            "sim crash-loop --format json --from 1 --seeds 8 --out out/crash-loop --jobs 2",
            "sim swarm --format json --from 1 --seeds 8 --out out/swarm --jobs 2",
            "sim crash-loop --format json --from 9 --seeds 12 --out out/crash-loop --jobs 2",
            "sim swarm --format json --from 9 --seeds 12 --out out/swarm --jobs 2",
            "replay o/repro.toml --format json",
            "replay o/repro.toml --format json",
        ]
    );
}

#[test]
fn a_mistake_that_is_missed_or_reported_as_something_else_is_not_well() {
    let (canary, caught, _) =
        judge(PATCH, |_, arguments| campaign(arguments, &[])).expect("the contract is kept");
    assert!(!caught.is_well(&canary));
    assert_eq!(caught.row(&canary)[3], "MISSED in 40 seeds");

    let (canary, caught, _) =
        judge(PATCH, |_, arguments| campaign(arguments, &["panic"])).expect("the contract is kept");
    assert!(!caught.is_well(&canary));
    assert_eq!(caught.row(&canary)[3], "MISSED, though others report: panic");
}

#[test]
fn a_report_that_does_not_replay_as_it_was_is_not_well() {
    let cases = [
        (replay("ElectionSafety", false), "another trace hash"),
        (replay("LogMatching", true), "the replay reports \"LogMatching\""),
        ((0, replay("ElectionSafety", true).1), "exit code Some(0)"),
    ];
    for (second, expected) in cases {
        let (canary, caught, _) = judge(PATCH, |call, arguments| match call {
            0 => campaign(arguments, &["ElectionSafety"]),
            1 => replay("ElectionSafety", true),
            _ => second.clone(),
        })
        .expect("the contract is kept");
        assert!(!caught.is_well(&canary));
        assert_eq!(caught.not_replayed.as_deref(), Some(expected));
    }
}

#[test]
fn a_control_must_stay_silent() {
    let (canary, caught, _) =
        judge(CONTROL, |_, arguments| campaign(arguments, &[])).expect("the contract is kept");
    assert!(caught.is_well(&canary));
    let (canary, caught, _) = judge(CONTROL, |_, arguments| campaign(arguments, &["panic"]))
        .expect("the contract is kept");
    assert!(!caught.is_well(&canary));
    assert_eq!(caught.row(&canary)[3], "FALSE ALARM: panic");
}

#[test]
fn a_campaign_that_breaks_the_contract_is_an_error_and_no_miss() {
    let summary = "{\"summary\":true,\"seeds\":8,\"cpu_ns\":1}\n".to_owned();
    let cases = [
        ((0, String::new()), "ends without a summary"),
        ((0, "Segmentation fault\n".to_owned()), "prints \"Segmentation fault\""),
        ((0, summary.replace('8', "7")), "ran 7 seeds"),
        ((1, summary.clone()), "exits with Some(1) and 0 failures"),
        ((2, summary), "exits with Some(2) and 0 failures"),
    ];
    for (answer, expected) in cases {
        let error = judge(PATCH, |_, _| answer.clone()).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn every_canary_of_the_project_is_in_good_form_and_applies_to_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project");
    let tree = tree::tracked(root).expect("the tree is readable");
    let mut named = Vec::new();
    for entry in std::fs::read_dir(root.join("canaries")).expect("the canaries are there") {
        let path = entry.expect("the folder is readable").path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let name = path.file_stem().expect("a patch has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("the patch is readable");
        let canary = Canary::parse(&name, &text).expect("in good form");
        canary.apply(&mut tree.clone()).expect("the patch applies");
        named.push(name);
    }
    let readme = root.join("canaries/README.md");
    let readme = std::fs::read_to_string(readme).expect("the canaries have a README");
    named.retain(|name| !readme.contains(&format!("`{name}`")));
    assert!(named.is_empty(), "canaries/README.md does not name {named:?}");
}
