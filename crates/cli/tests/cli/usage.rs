//! The command line as a whole: help, usage errors, completions, colors, broken pipes.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::common::{finish, quorate, run, write};

const COMMANDS: &[&str] =
    &["sim", "replay", "shrink", "check", "model", "serve", "store", "wal", "completions"];

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    let help = run(["--help"]).expect_code(0).stdout;
    let listed: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, COMMANDS, "{help}");
    for code in 0..=4 {
        assert!(help.contains(&format!("\n  {code}  ")), "exit code {code} is explained: {help}");
    }
}

#[test]
fn every_command_has_help_with_examples() {
    for command in COMMANDS {
        let help = run([command, "--help"]).expect_code(0).stdout;
        assert!(help.contains("Examples:"), "{command}: {help}");
        assert!(help.contains(&format!("quorate {command} ")), "{command}: {help}");
    }
}

#[test]
fn bad_usage_exits_with_2_and_says_nothing_on_standard_output() {
    let bad: &[&[&str]] = &[
        &[],
        &["chekc"],
        &["--frobnicate"],
        &["check"],
        &["check", "--frobnicate", "x.jsonl"],
        &["check", "--timeout", "5", "x.jsonl"],
        &["check", "--memory", "lots", "x.jsonl"],
        &["check", "--model", "queue", "x.jsonl"],
        &["--format", "yaml", "model"],
        &["--color", "sometimes", "model"],
        &["model", "election", "--servers", "many"],
        &["model", "election", "--explore", "localhost:3000", "--for", "1s"],
        &["completions", "cmd.exe"],
        &["sim", "--seed", "1", "--seeds", "2"],
        &["sim", "--seed", "one"],
        &["sim", "--seeds", "0"],
        &["sim", "--shard", "5/4"],
        &["sim", "--for", "8"],
        &["replay"],
        &["shrink"],
        &["wal"],
        &["wal", "verify"],
        &["wal", "repair", "x"],
        &["serve", "--snapshot-count", "0"],
        &["serve", "--listen-client-urls", "127.0.0.1:2379"],
        &["serve", "--initial-cluster", "http://127.0.0.1:2380"],
    ];
    for args in bad {
        let run = run(*args).expect_code(2);
        assert_eq!(run.stdout, "", "{args:?}");
        assert_ne!(run.stderr, "", "{args:?}");
    }
}

#[test]
fn a_duration_without_a_unit_is_refused_with_examples() {
    let run = run(["check", "--timeout", "5", "x.jsonl"]).expect_code(2);
    assert!(run.stderr.contains("write numbers with units, as in 500ms, 90s"), "{}", run.stderr);
}

#[test]
fn completions_name_the_commands_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).expect_code(0).stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not complete {command}");
        }
    }
}

#[test]
fn output_that_is_no_terminal_has_colors_only_when_asked_for() {
    let colored = |args: &[&str]| run(args).expect_code(0).stdout.contains('\x1b');
    assert!(!colored(&["model"]));
    assert!(!colored(&["--help"]));
    assert!(!colored(&["model", "--color", "never"]));
    assert!(colored(&["model", "--color", "always"]));
    assert!(colored(&["--color=always", "--help"]));
    let asked = finish(quorate().args(["model", "--color", "always"]).env("NO_COLOR", "1"), "");
    assert!(asked.stdout.contains('\x1b'), "what is asked for on the command line counts more");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().expect("there is room for a folder");
    let header = r#"{"format":"quorate-history","version":1,"model":"kv","source":{}}"#;
    let file = write(dir.path(), "empty.jsonl", &format!("{header}\n"));
    // So many lines do not fit into a pipe: the command meets the closed end before its own.
    let mut child = quorate()
        .args(["check", "--format", "json"])
        .args(std::iter::repeat_n(&file, 3_000))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut reader = BufReader::new(child.stdout.take().expect("it was piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("there is a first line");
    assert!(line.contains("\"valid\""), "{line}");
    drop(reader);
    let mut stderr = String::new();
    child.stderr.take().expect("it was piped").read_to_string(&mut stderr).expect("it is UTF-8");
    let status = child.wait().expect("the binary ends");
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}
