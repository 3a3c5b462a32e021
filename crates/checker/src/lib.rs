//! Verdicts on client histories. Knows nothing of the code that produced them.
//!
//! [`check`] takes a history and says whether a store that keeps its promises could have answered
//! so: `valid`, `invalid` with the reason in one sentence, or `unknown` when a limit was reached
//! or the history holds something that is not judged. It has its own small models of what a store
//! should answer, reads no clock and starts no thread: the same history and limits give the same
//! verdict, always.

mod budget;
mod etcd;
mod kv;
mod minimize;
mod operations;
mod register;
mod search;
mod verdict;

use quorate_history::{History, Model};

pub use budget::Options;
pub use minimize::{Counterexample, minimize};
pub use verdict::{Guarantee, Report, Verdict, Violation};

use budget::Budget;
use operations::Operations;

/// Judges a history against the guarantees of its model.
#[must_use]
pub fn check(history: &History, options: &Options<'_>) -> Report {
    let mut budget = Budget::new(options, history.operations());
    let operations = Operations::of(history);
    let verdict = judge(history.model(), &operations, &mut budget);
    Report { verdict, operations: history.operations(), steps: budget.spent() }
}

fn judge(model: Model, operations: &Operations<'_>, budget: &mut Budget<'_>) -> Verdict {
    match model {
        Model::Register => register::check(operations, budget),
        Model::Kv => kv::check(operations, budget),
        Model::Etcd => etcd::check(operations, budget),
    }
}
