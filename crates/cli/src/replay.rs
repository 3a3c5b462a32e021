//! `quorate replay` and `quorate shrink`: one schedule again, as it is or ever smaller. What a run
//! comes to is the simulator's business.

use std::path::Path;
use std::sync::Arc;

use quorate_sim::artifacts::investigate;
use quorate_sim::campaign::Found;
use quorate_sim::cluster::{self, Failure, Outcome, RunOptions};
use quorate_sim::repro::{Replay, Repro};
use quorate_sim::scenario::Scenario;
use quorate_sim::schedule::Schedule;
use quorate_sim::shrink::ShrinkLimits;
use quorate_sim::{Seed, generate};
use serde::Serialize;

use crate::args::{ReplayArgs, ShrinkArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::failure;
use crate::output::{Output, Paint};
use crate::progress::Progress;
use crate::sim::{exit_of, program};
use crate::units::{Nanos, plural};

/// Runs a schedule again, and says whether the same comes of it.
pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<Exit, Error> {
    let again = match args.seed {
        Some(seed) => replay_scenario(&args.what, seed)?,
        None => replay_file(&args.what)?,
    };
    if output.is_json() {
        output.json(&ReplayLine::new(&again));
    } else {
        output.data(in_words(&again, output.paint()));
    }
    if let (Some(seed), Some(_)) = (args.seed, &again.replay.outcome.failure) {
        let files = "its history, its trace and a smaller schedule";
        output.message(format_args!("for {files}: quorate sim {} --seed {seed}", args.what));
    }
    Ok(again.replay.outcome.failure.as_ref().map_or(Exit::Well, |failure| exit_of(failure.kind)))
}

/// A replay, and what it is compared with.
struct Again {
    repro: Repro,
    replay: Replay,
}

fn replay_file(name: &str) -> Result<Again, Error> {
    let repro = match Repro::read(Path::new(name)) {
        Ok(repro) => repro,
        Err(_) if Scenario::find(name).is_ok() => {
            return Err(Error::with_remedy(
                format!("{name} is a scenario, and stands for many schedules"),
                format!("choose one with --seed, as in: quorate replay {name} --seed 42"),
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let replay = repro.replay(name, RunOptions::default())?;
    Ok(Again { repro, replay })
}

/// Runs the schedule twice, since nothing is known of an earlier run.
fn replay_scenario(name: &str, seed: Seed) -> Result<Again, Error> {
    let schedule = Arc::new(generate(&Scenario::find(name)?, seed));
    let first = run_schedule(&schedule, name)?;
    let repro = Repro::new(&schedule, &first, &program());
    let replay = repro.replay(name, RunOptions::default())?;
    Ok(Again { repro, replay })
}

fn run_schedule(schedule: &Arc<Schedule>, name: &str) -> Result<Outcome, Error> {
    cluster::run(schedule, RunOptions::default())
        .map_err(|reason| Error::new(format!("{name}: the schedule is not possible: {reason}")))
}

#[derive(Serialize)]
struct ReplayLine<'a> {
    scenario: &'a str,
    seed: Seed,
    violation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guarantee: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    expected_violation: Option<&'a str>,
    same_violation: bool,
    trace_hash: String,
    expected_trace_hash: &'a str,
    same_trace: bool,
    events: u64,
    virtual_ns: u64,
}

impl<'a> ReplayLine<'a> {
    fn new(again: &'a Again) -> Self {
        let Replay { outcome, same_violation, same_trace } = &again.replay;
        let expected = &again.repro.expected;
        let of_failure = |part: fn(&Failure) -> &str| outcome.failure.as_ref().map(part);
        Self {
            scenario: &again.repro.schedule.scenario,
            seed: again.repro.schedule.seed,
            violation: of_failure(|failure| &failure.violation),
            guarantee: of_failure(|failure| &failure.statement),
            message: of_failure(|failure| &failure.message),
            expected_violation: expected.violation.as_deref(),
            same_violation: *same_violation,
            trace_hash: outcome.trace_hash.to_string(),
            expected_trace_hash: &expected.trace_hash,
            same_trace: *same_trace,
            events: outcome.events,
            virtual_ns: outcome.lived.as_nanos(),
        }
    }
}

fn in_words(again: &Again, paint: Paint) -> String {
    let Replay { outcome, same_violation, same_trace } = &again.replay;
    let Repro { expected, schedule, .. } = &again.repro;
    let mut text = format!(
        "scenario {}, seed {}: {} in {} of simulated time\n",
        schedule.scenario,
        schedule.seed,
        plural(outcome.events, "event"),
        Nanos(outcome.lived.as_nanos()),
    );
    match &outcome.failure {
        Some(failure) => {
            let first = format!("{} violated: {}", failure.violation, failure.statement);
            text += &format!(
                "{}\n  {}\n  at {}, step {}\n",
                paint.bold_red(first),
                failure.message,
                failure.at,
                failure.step
            );
        }
        None => text += &format!("{}\n", paint.bold_green("no violation")),
    }
    let was = expected.violation.as_deref().unwrap_or("no violation");
    let hash = outcome.trace_hash;
    let (same, other) = (paint.green("the same"), paint.yellow("another one"));
    text += &match same_violation {
        true => format!("outcome  {same}\n"),
        false => format!("outcome  {other}: it was {was}\n"),
    };
    text += &match same_trace {
        true => format!("trace    {same}: {hash}\n"),
        false => format!("trace    {other}: {hash}, it was {}\n", expected.trace_hash),
    };
    let (was, is) = (&expected.commit, &program().commit);
    if !(*same_violation && *same_trace) && was != is {
        text += &format!("commit   {is}, it was {was}\n");
    }
    text
}

/// Finds a smaller schedule that fails in the same way, and writes it down.
pub(crate) fn shrink(args: &ShrinkArgs, output: &Output) -> Result<Exit, Error> {
    let name = args.repro.display().to_string();
    let Repro { schedule, .. } = Repro::read(&args.repro)?;
    let outcome = run_schedule(&schedule, &name)?;
    let Some(failure) = outcome.failure else {
        return Err(Error::with_remedy(
            format!("{name} does not fail, so there is nothing to shrink"),
            "if it did once, try the version that stands in the file",
        ));
    };
    let exit = exit_of(failure.kind);
    let progress = Progress::new(None);
    progress.update(0, format!("shrinking {name}"));
    let limits = ShrinkLimits { reruns: args.reruns.get(), time: args.time_limit };
    let written = investigate(&Found { schedule, failure }, &args.out, limits, &program());
    drop(progress);
    let report = written.map_err(|error| {
        let what = format!("cannot write below {}: {error}", args.out.display());
        Error::with_remedy(what, "name another folder with --out")
    })?;
    if output.is_json() {
        output.json(&report.to_json());
    } else {
        output.data(failure::in_words(&report, "1 of 1", output.paint()));
    }
    Ok(exit)
}
