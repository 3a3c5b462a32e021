//! A failure's report for people: the simulator's words, set so that they can be found in a long
//! output. It adds nothing to what is said.

use quorate_sim::artifacts::FailureReport;
use quorate_sim::campaign::Found;
use serde_json::{Value, json};

use crate::output::Paint;

/// The report of a failure that was shrunk and written down. `place` says which of how many it is.
pub(crate) fn in_words(report: &FailureReport, place: &str, paint: Paint) -> String {
    let text = report.to_string();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{}\n{}\n{rest}\n\n", title(place, paint), paint.bold(first))
}

/// What is known of a failure that could not be written down.
pub(crate) fn unwritten_in_words(found: &Found, place: &str, paint: Paint) -> String {
    let failure = &found.failure;
    let first = format!("{} violated: {}", failure.violation, failure.statement);
    format!(
        "{}\n{}\n  {}\n  in scenario {}, seed {}, at {}, step {}\n\n",
        title(place, paint),
        paint.bold(first),
        failure.message,
        found.schedule.scenario,
        found.schedule.seed,
        failure.at,
        failure.step,
    )
}

/// The same as a line of JSON: the fields of the contract but for the paths.
pub(crate) fn unwritten_json(found: &Found) -> Value {
    json!({
        "scenario": found.schedule.scenario,
        "seed": found.schedule.seed,
        "violation": found.failure.violation,
        "guarantee": found.failure.statement,
        "message": found.failure.message,
    })
}

fn title(place: &str, paint: Paint) -> String {
    format!("{} {}", paint.bold_red("failure"), paint.bold_red(place))
}
