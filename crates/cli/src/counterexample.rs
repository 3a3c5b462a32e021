//! The operations of a minimal counterexample, worded for `quorate check --minimize`. It chooses
//! none of them: that is the checker's business.

use std::collections::BTreeMap;

use quorate_history::{EventKind, History, OperationId, Step};

/// Few operations whose answers refute a history.
pub(crate) struct Counterexample {
    /// Which, in order of invocation.
    pub(crate) operations: Vec<OperationId>,
    /// One line for each.
    lines: Vec<String>,
    minimal: bool,
    all: usize,
}

impl Counterexample {
    pub(crate) fn new(history: &History, found: quorate_checker::Counterexample) -> Self {
        let mut lines: BTreeMap<OperationId, String> =
            found.operations.iter().map(|&id| (id, String::new())).collect();
        for event in history.events() {
            if let EventKind::Operation { client, id, step } = &event.kind
                && let Some(line) = lines.get_mut(id)
            {
                *line += &match step {
                    Step::Invoke(op) => {
                        format!("operation {id}, client {client}, at {}: {}", event.time, json(op))
                    }
                    Step::Ok(result) => format!("\n      ok at {}: {}", event.time, json(result)),
                    Step::Fail(error) => format!("\n      failed at {}: {error}", event.time),
                    Step::Info(_) | Step::Watch(_) => String::new(),
                };
            }
        }
        let line = |id| lines.remove(id).expect("the counterexample is of this history");
        let lines = found.operations.iter().map(line).collect();
        let all = history.operations();
        Self { operations: found.operations, lines, minimal: found.minimal, all }
    }

    /// Several lines, each after a line break.
    pub(crate) fn in_words(&self) -> String {
        let Self { operations, lines, minimal, all } = self;
        let number = operations.len();
        let small = if *minimal { "" } else { ", maybe not the fewest (a limit was reached)" };
        let mut text = format!(
            "\n  refuted by the answers of {number} of {all}, whatever became of the others{small}:"
        );
        for line in lines {
            text += "\n    ";
            text += line;
        }
        text
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("operations and results are written as JSON")
}
