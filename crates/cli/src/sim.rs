//! `quorate sim`: a campaign, its failures and its summary. What is run and judged is the
//! simulator's business.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use quorate_sim::Seed;
use quorate_sim::artifacts::investigate;
use quorate_sim::campaign::{self, Batch, CampaignOptions, Ended, Found, Report};
use quorate_sim::cluster::FailureKind;
use quorate_sim::repro::Program;
use quorate_sim::scenario::Scenario;
use quorate_sim::shrink::ShrinkLimits;

use crate::args::SimArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::progress::Progress;
use crate::summary;
use crate::units::{count, plural};

/// Seeds of each scenario when neither a number nor a time is given: enough that every mark has to
/// be reached, and all shipped scenarios together take about a minute.
const DEFAULT_SEEDS: u64 = 200;

/// Runs a campaign and reports on it.
pub(crate) fn run(args: &SimArgs, output: &Output) -> Result<Exit, Error> {
    let options = options(args)?;
    let interrupt = Interrupt::listen()?;
    if args.from.is_none() && args.seed.is_none() {
        output.message(format_args!("the first seed is {}", options.from));
    }
    let report = run_campaign(&options, &interrupt);
    let mut exit = exit(&report);
    for (index, found) in report.failures.iter().enumerate() {
        let place = format!("{} of {}", index + 1, report.failures.len());
        exit = exit.and(report_failure(found, &place, args, &interrupt, output));
    }
    if output.is_json() {
        output.json(&report.to_json());
    } else {
        output.data(summary::in_words(&report, output.paint()));
    }
    Ok(exit)
}

fn exit(report: &Report) -> Exit {
    let kinds = report.failures.iter().map(|found| exit_of(found.failure.kind));
    let failed = match report.has_safety_violation() {
        true => Exit::Violation,
        false => kinds.fold(Exit::Well, Exit::and),
    };
    // Whoever asked for a number of seeds, or for marks to be reached, has no answer yet.
    let unfinished = report.ended == Ended::Stopped || !report.shortcomings().is_empty();
    failed.and(if unfinished { Exit::Undecided } else { Exit::Well })
}

fn options(args: &SimArgs) -> Result<CampaignOptions, Error> {
    let scenarios = if args.scenarios.is_empty() {
        Scenario::shipped()
    } else {
        args.scenarios.iter().map(|name| Scenario::find(name)).collect::<Result<_, _>>()?
    };
    let seeds = match (args.seed, args.seeds, args.time_limit) {
        (Some(_), ..) => 1,
        (None, Some(seeds), _) => seeds.get(),
        (None, None, Some(_)) => u64::MAX,
        (None, None, None) => DEFAULT_SEEDS,
    };
    let batch = |scenario| Batch { scenario: Arc::new(scenario), seeds };
    Ok(CampaignOptions {
        batches: scenarios.into_iter().map(batch).collect(),
        from: args.seed.or(args.from).unwrap_or_else(fresh_seed),
        jobs: args.jobs.unwrap_or_else(processors),
        time_limit: args.time_limit,
        shard: args.shard,
        max_failures: args.max_failures,
    })
}

/// A seed that nobody has seen yet. The system's randomness comes in with the hasher's keys.
fn fresh_seed() -> Seed {
    // Short enough to be read out, and far from the end of the numbers.
    Seed(RandomState::new().hash_one("quorate") >> 16)
}

fn processors() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn run_campaign(options: &CampaignOptions, interrupt: &Interrupt) -> Report {
    let seeds = options.batches.iter().map(|batch| batch.seeds);
    let endless = seeds.clone().any(|seeds| seeds == u64::MAX);
    let bar = Progress::new((!endless).then(|| seeds.fold(0, u64::saturating_add)));
    campaign::run(options, interrupt.flag(), &mut |progress: &campaign::Progress| {
        // A shard is a part only.
        if let Some(planned) = progress.planned {
            bar.set_total(planned);
        }
        let mut message = plural(progress.done, "schedule");
        message += &format!(", {} events", count(progress.events));
        if progress.failures > 0 {
            message += &format!(", {}", plural(progress.failures, "failure"));
        }
        bar.update(progress.done, message);
    })
}

/// Shrinks a failure, writes it down and reports it. What cannot be written is still reported.
fn report_failure(
    found: &Found,
    place: &str,
    args: &SimArgs,
    interrupt: &Interrupt,
    output: &Output,
) -> Exit {
    let progress = Progress::new(None);
    progress.update(0, format!("shrinking failure {place}"));
    let limits = if interrupt.is_raised() {
        // Somebody waits for the end: the schedule is written down as it is.
        ShrinkLimits { reruns: 1, time: None }
    } else {
        ShrinkLimits::default()
    };
    let written = investigate(found, &args.out, limits, &program());
    drop(progress);
    match written {
        Ok(report) if output.is_json() => output.json(&report.to_json()),
        Ok(report) => output.data(failure::in_words(&report, place, output.paint())),
        Err(error) => {
            if output.is_json() {
                output.json(&failure::unwritten_json(found));
            } else {
                output.data(failure::unwritten_in_words(found, place, output.paint()));
            }
            let what = format!("cannot write below {}: {error}", args.out.display());
            output.error(&Error::with_remedy(what, "name another folder with --out"));
            return Exit::Bad;
        }
    }
    Exit::Well
}

/// What this binary calls itself in files and reports.
pub(crate) fn program() -> Program {
    match option_env!("QUORATE_COMMIT") {
        Some(commit) => Program { commit: commit.to_owned(), ..Program::default() },
        None => Program::default(),
    }
}

/// The exit code that a run's failure has by itself.
pub(crate) fn exit_of(kind: FailureKind) -> Exit {
    match kind {
        FailureKind::Liveness => Exit::Liveness,
        FailureKind::Undecided => Exit::Undecided,
        FailureKind::Invariant | FailureKind::History | FailureKind::Panic | FailureKind::Storm => {
            Exit::Violation
        }
    }
}
