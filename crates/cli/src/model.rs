//! `quorate model`: lists the models, searches one, or serves it to step through. The clock for
//! `--for` is here; the search reads none.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it limits and measures how long a search takes"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_models::{
    Bounds, Expectation, ModelInfo, Outcome, PropertyReport, Report, RunOptions, Verdict, explore,
    registry, run as search,
};
use serde::Serialize;

use crate::args::ModelArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output::{Output, Paint};
use crate::progress::Progress;
use crate::units::{Nanos, count, plural};

/// Lists, searches or serves.
pub(crate) fn run(args: &ModelArgs, output: &Output) -> Result<Exit, Error> {
    let Some(name) = &args.name else {
        list(output);
        return Ok(Exit::Well);
    };
    let mut options = RunOptions {
        servers: args.servers,
        terms: args.terms,
        crashes: args.crashes,
        threads: args.jobs,
        state_limit: args.states.map(Into::into),
        stop: None,
    };
    if let Some(address) = args.explore {
        output.message(format_args!("exploring {name} at http://{address}; ^C ends it"));
        explore(name, &options, address).map_err(refused)?;
        return Ok(Exit::Well);
    }
    let interrupt = Interrupt::listen()?;
    let start = Instant::now();
    let limit = args.time_limit.unwrap_or(Duration::MAX);
    let stopping = interrupt.clone();
    options.stop = Some(Arc::new(move || stopping.is_raised() || start.elapsed() >= limit));
    let progress = Progress::new(None);
    progress.update(0, format!("searching all states of {name}"));
    let report = search(name, &options).map_err(refused)?;
    drop(progress);
    let took = Nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    if output.is_json() {
        output.json(&ReportLine::new(&report, took));
    } else {
        output.data(in_words(&report, took, output.paint()));
    }
    Ok(match report.outcome() {
        Outcome::Sound => Exit::Well,
        Outcome::Violated => Exit::Violation,
        Outcome::Undecided => Exit::Undecided,
    })
}

/// The models crate's messages say what to do.
fn refused(error: quorate_models::Error) -> Error {
    Error::new(error.to_string())
}

fn list(output: &Output) {
    if output.is_json() {
        registry().iter().for_each(|model| output.json(&ModelLine::new(model)));
        return;
    }
    let paint = output.paint();
    for model in registry() {
        output.data(format_args!("{}  {}", paint.bold(model.name), model.summary));
        let sizes =
            [("--servers", model.servers), ("--terms", model.terms), ("--crashes", model.crashes)];
        for (option, Bounds { default, min, max }) in sizes {
            output.data(format_args!("  {option:<9}  {min} to {max}, default {default}"));
        }
    }
    output.message("\nsearch one with: quorate model NAME");
}

#[derive(Serialize)]
struct ModelLine {
    model: &'static str,
    summary: &'static str,
    servers: BoundsLine,
    terms: BoundsLine,
    crashes: BoundsLine,
}

#[derive(Serialize)]
struct BoundsLine {
    default: u8,
    min: u8,
    max: u8,
}

impl ModelLine {
    fn new(model: &ModelInfo) -> Self {
        let bounds = |Bounds { default, min, max }| BoundsLine { default, min, max };
        Self {
            model: model.name,
            summary: model.summary,
            servers: bounds(model.servers),
            terms: bounds(model.terms),
            crashes: bounds(model.crashes),
        }
    }
}

#[derive(Serialize)]
struct ReportLine<'a> {
    model: &'static str,
    servers: u8,
    terms: u8,
    crashes: u8,
    outcome: &'static str,
    complete: bool,
    states: u64,
    unique_states: u64,
    depth: u64,
    duration_ns: u64,
    properties: Vec<PropertyLine<'a>>,
}

#[derive(Serialize)]
struct PropertyLine<'a> {
    name: &'static str,
    expectation: &'static str,
    verdict: &'static str,
    /// From an initial state to the breach, or to the example.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a [String]>,
}

impl<'a> ReportLine<'a> {
    fn new(report: &'a Report, took: Nanos) -> Self {
        let property = |property: &'a PropertyReport| PropertyLine {
            name: property.name,
            expectation: expectation(property),
            verdict: verdict(property),
            path: path(property),
        };
        Self {
            model: report.model,
            servers: report.servers,
            terms: report.terms,
            crashes: report.crashes,
            outcome: outcome(report),
            complete: report.complete,
            states: report.states,
            unique_states: report.unique_states,
            depth: report.depth,
            duration_ns: took.0,
            properties: report.properties.iter().map(property).collect(),
        }
    }
}

const fn expectation(property: &PropertyReport) -> &'static str {
    match property.expectation {
        Expectation::Always => "always",
        Expectation::Sometimes => "sometimes",
    }
}

const fn verdict(property: &PropertyReport) -> &'static str {
    match property.verdict {
        Verdict::Holds => "holds",
        Verdict::Violated { .. } => "violated",
        Verdict::Reached { .. } => "reached",
        Verdict::Unreached => "unreached",
        Verdict::Undecided => "undecided",
    }
}

fn outcome(report: &Report) -> &'static str {
    match report.outcome() {
        Outcome::Sound => "sound",
        Outcome::Violated => "violated",
        Outcome::Undecided => "undecided",
    }
}

fn path(property: &PropertyReport) -> Option<&[String]> {
    match &property.verdict {
        Verdict::Violated { counterexample: path } | Verdict::Reached { example: path } => {
            Some(path)
        }
        Verdict::Holds | Verdict::Unreached | Verdict::Undecided => None,
    }
}

fn in_words(report: &Report, took: Nanos, paint: Paint) -> String {
    let mut text = format!(
        "{}: {}, {}, {}\n\n",
        paint.bold(report.model),
        plural(u64::from(report.servers), "server"),
        plural(u64::from(report.terms), "term"),
        match report.crashes {
            1 => "1 crash".to_owned(),
            crashes => format!("{crashes} crashes"),
        },
    );
    let width = report.properties.iter().map(|property| property.name.len()).max().unwrap_or(0);
    for property in &report.properties {
        let verdict = property_in_words(property, paint);
        text += &format!("  {:<9}  {:<width$}  {verdict}\n", expectation(property), property.name);
    }
    for property in &report.properties {
        if let Verdict::Violated { counterexample } = &property.verdict {
            text += &format!("\n{} is violated:\n", paint.bold_red(property.name));
            for (step, sentence) in counterexample.iter().enumerate() {
                text += &format!("  {step:>3}  {sentence}\n");
            }
        }
    }
    let states = format!(
        "{} different states of {} generated, up to {} steps deep, in {took}",
        count(report.unique_states),
        count(report.states),
        count(report.depth.saturating_sub(1)),
    );
    let (word, rest) = match (report.outcome(), report.complete) {
        (Outcome::Sound, _) => (paint.green("sound"), "the whole space was searched"),
        (Outcome::Violated, true) => (paint.bold_red("violated"), "the whole space was searched"),
        (Outcome::Violated, false) => (paint.bold_red("violated"), "the search was stopped"),
        (Outcome::Undecided, _) => {
            (paint.yellow("undecided"), "the search was stopped before its end")
        }
    };
    text + &format!("\n{word}: {rest}; {states}")
}

fn property_in_words(property: &PropertyReport, paint: Paint) -> String {
    match &property.verdict {
        Verdict::Holds => paint.green("holds"),
        Verdict::Violated { .. } => paint.bold_red("violated"),
        Verdict::Reached { example } => {
            let steps = plural(example.len().saturating_sub(1) as u64, "step");
            format!("{} in {steps}", paint.green("reached"))
        }
        Verdict::Unreached => {
            format!("{}: the model cannot do what it is about", paint.bold_red("never reached"))
        }
        Verdict::Undecided => paint.yellow("undecided"),
    }
}
