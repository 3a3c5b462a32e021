//! The form of a script: narration, commands, and below each command what happened.
//!
//! A line that begins with `#` narrates, an indented line is what happened after the command above
//! it, and any other line is a command. Only narration and commands are ever read: what happened
//! is written anew by each run, and compared as text.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::run::Run;

/// What a script says, without what happened.
pub(crate) struct Script {
    lines: Vec<Line>,
}

enum Line {
    /// Narration or an empty line, kept as it is.
    Prose(String),
    Command {
        /// From 1.
        number: usize,
        text: String,
    },
}

/// A script that could not be carried out, with what had happened until then.
pub(crate) struct Failure {
    /// Line of the command, from 1.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) reason: String,
    pub(crate) story: String,
}

impl Script {
    pub(crate) fn parse(text: &str) -> Result<Script, Failure> {
        let mut lines = Vec::new();
        let mut commands = 0;
        for (number, line) in (1..).zip(text.lines()) {
            let failure = |reason: &str| Failure {
                line: number,
                command: line.to_owned(),
                reason: reason.to_owned(),
                story: String::new(),
            };
            if line.trim().is_empty() || line.starts_with('#') {
                lines.push(Line::Prose(line.trim_end().to_owned()));
            } else if !line.starts_with(char::is_whitespace) {
                commands += 1;
                lines.push(Line::Command { number, text: line.trim_end().to_owned() });
            } else if commands == 0 {
                return Err(failure("an indented line tells what a command did: none precedes it"));
            }
        }
        let narrated = lines.first().is_some_and(
            |line| matches!(line, Line::Prose(prose) if prose.starts_with('#') && prose.len() > 2),
        );
        if !narrated || commands == 0 {
            return Err(Failure {
                line: 1,
                command: String::new(),
                reason: "a script begins with a comment that says what it shows, and has commands"
                    .to_owned(),
                story: String::new(),
            });
        }
        Ok(Script { lines })
    }

    /// Carries the commands out in a new group. The result is the script with what happened.
    pub(crate) fn play(&self) -> Result<String, Failure> {
        let mut run = Run::default();
        let mut story = String::new();
        for line in &self.lines {
            let (number, text) = match line {
                Line::Prose(prose) => {
                    writeln!(story, "{prose}").expect("a string takes everything");
                    continue;
                }
                Line::Command { number, text } => (*number, text),
            };
            writeln!(story, "{text}").expect("a string takes everything");
            // A broken invariant of the core panics: it should name the line that led there.
            let played = catch_unwind(AssertUnwindSafe(|| run.execute(text)));
            let outcome = played.unwrap_or_else(|panic| {
                let reason = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                Err(format!("panicked: {}", reason.unwrap_or("it gave no reason")))
            });
            for line in run.take_told() {
                writeln!(story, "  {line}").expect("a string takes everything");
            }
            if let Err(reason) = outcome {
                return Err(Failure { line: number, command: text.clone(), reason, story });
            }
        }
        Ok(story)
    }
}
