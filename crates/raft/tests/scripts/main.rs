//! Narrated scripts of a few members: each file of `testdata/` shows one rule at work.
//!
//! A script has narration, commands, and below each command what happened. When that changes, the
//! test fails with the difference; `REWRITE=1 cargo test -p quorate-raft --test scripts` writes
//! down what happens now, to be reviewed as any other change. `testdata/README.md` has the
//! commands.

mod check;
mod commands;
mod disk;
mod group;
mod messages;
mod node;
mod run;
mod script;
mod tell;
mod words;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use script::{Failure, Script};

#[expect(clippy::disallowed_methods, reason = "the scripts are files of this crate")]
fn script_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let files = std::fs::read_dir(&folder).expect("the folder of scripts is readable");
    let files = files.map(|file| file.expect("its entries are readable").path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    files
}

fn play(text: &str) -> Result<String, Failure> {
    Script::parse(text)?.play()
}

/// What is wrong with one file; with `rewrite`, differences are written down instead.
#[expect(clippy::disallowed_methods, reason = "the scripts are files of this crate")]
fn trouble_with(path: &Path, rewrite: bool) -> Option<String> {
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    let text = std::fs::read_to_string(path).expect("a script is readable");
    let played = match play(&text) {
        Ok(played) => played,
        Err(Failure { line, command, reason, story }) => {
            return Some(format!(
                "{story}\ntestdata/{name}:{line}: {command}\n  {reason}\n  (above: what had happened until then)\n"
            ));
        }
    };
    if played == text {
        return None;
    }
    if rewrite {
        std::fs::write(path, played).expect("a script is writable");
        return None;
    }
    let difference = diffy::create_patch(&text, &played);
    Some(format!(
        "testdata/{name}: something else happens (+) than what is written (-):\n{difference}"
    ))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is a switch of the test")]
fn what_happens_is_what_the_scripts_say() {
    let rewrite = std::env::var("REWRITE").is_ok_and(|value| value == "1");
    let files = script_files();
    assert!(files.len() >= 60, "only {} scripts were found", files.len());
    let mut report = String::new();
    let mut failed = 0;
    for trouble in files.iter().filter_map(|path| trouble_with(path, rewrite)) {
        failed += 1;
        writeln!(report, "{trouble}").expect("a string takes everything");
    }
    assert!(
        failed == 0,
        "{report}{failed} of {} scripts failed. If what happens now is right, write it down with\n    \
         REWRITE=1 cargo test -p quorate-raft --test scripts\nand review the difference.",
        files.len()
    );
}

/// What the failing script says of the line that is wrong.
fn refusal(text: &str) -> (usize, String) {
    let failure = play(text).expect_err("the script is wrong");
    (failure.line, failure.reason)
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    for (wrong, line, reason) in [
        ("# A story.\nstart 3\n\nfly n1\n", 4, "fly"),
        ("# A story.\nstart 3 loudly\n", 2, "loudly"),
        ("# A story.\nstart 3\nread n9\n", 3, "n9"),
        ("# A story.\nstart 3\nread 1\n", 3, "\"1\" is no member"),
        ("# A story.\nstart 3\ndeliver Apend n1->n2\n", 3, "Apend"),
        ("# A story.\nstart 3\ndeliver Append n1->n2\n", 3, "no such message"),
        ("# A story.\nstart 3\nfire heartbeat n1\n", 3, "does not run"),
        ("# A story.\nstart 3\ncrash n1 keep=all\n", 3, "keep"),
        ("# A story.\nprepare n1 term=1 log=1 lgo=2\nstart 3\n", 2, "lgo"),
        ("# A story.\noptions max_entrie=1\nstart 3\n", 2, "max_entrie"),
        ("# A story.\n  n1 leads\nstart 3\n", 2, "indented"),
        ("start 3\n", 1, "comment"),
    ] {
        let (at, why) = refusal(wrong);
        assert_eq!(at, line, "{wrong}: {why}");
        assert!(why.contains(reason), "{wrong}: {why}");
    }
}

#[test]
fn what_breaks_the_protocol_is_reported_with_its_line() {
    for (wrong, line, reason) in [
        (
            "# Two decisions.\nprepare n1 log=1,2 commit=2\nprepare n2 log=1,3 commit=2\nstart 2\n",
            4,
            "entry 2 is committed as",
        ),
        (
            "# Decided, and forgotten by the leader.\nprepare n1 log=1,2 term=9 commit=2\n\
             prepare n2 log=1,3 term=9\nprepare n3 log=1,3 term=9\nstart 3\nelect n2\n",
            6,
            "leads without the committed entry 2",
        ),
        ("# An early timer.\noptions leases\nstart 3\nfire election n1\n", 4, "leases rest on it"),
        ("# No leader.\nstart 3\ncrash n2\ncrash n3\nelect n1\n", 5, "was not elected"),
    ] {
        let (at, why) = refusal(wrong);
        assert_eq!(at, line, "{wrong}: {why}");
        assert!(why.contains(reason), "{wrong}: {why}");
    }
}

#[test]
fn what_happened_is_written_anew_below_each_command() {
    let told = play("# One alone.\nstart 1\n  n9 leads\nstate\n").map_err(|failure| failure.reason);
    let told = told.expect("the script is right");
    assert!(
        told.starts_with(
            "# One alone.\nstart 1\n  n1 follower of nobody, term 1, commit 1, log 1\n"
        ),
        "{told}"
    );
    assert!(!told.contains("n9"), "{told}");
}
