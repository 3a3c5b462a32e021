//! Campaigns: many seeds of some scenarios, on several threads.
//!
//! One thread runs one seed at a time, and what comes out is put together in the order of the
//! seeds, so a report does not depend on the number of threads. Of runs without a failure only
//! counts are kept. Shrinking and writing files is not done here.

mod queue;
mod report;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::{self, Failure, FailureKind, Outcome, RunOptions};
use crate::engine::{NoiseSeed, Stream, WorldTime};
use crate::generate::generate;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::seed::Seed;
use crate::stopwatch::{CpuStopwatch, Stopwatch};

use queue::{Queue, Task};
pub use queue::{Shard, ShardError};
use report::{Collector, Done};
pub use report::{Ended, Found, Report, ScenarioReport, Shortcoming};

/// One run in so many is run twice, and both have to be the same.
const TWICE_IN: u64 = 20;

/// How many seeds of a scenario to run.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// How many seeds; `u64::MAX` for no end.
    pub seeds: u64,
}

/// What to run, and until when.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// The scenarios, which take turns.
    pub batches: Vec<Batch>,
    /// The first seed of each; the others follow by ones.
    pub from: Seed,
    /// How many threads to use.
    pub jobs: NonZeroUsize,
    /// No run is begun after this time.
    pub time_limit: Option<Duration>,
    /// Run a part of the seeds only.
    pub shard: Option<Shard>,
    /// After so many failures the campaign ends.
    pub max_failures: NonZeroUsize,
}

/// How far a campaign is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs that are done.
    pub done: u64,
    /// Runs that there are; `None` without an end.
    pub planned: Option<u64>,
    /// Failures so far.
    pub failures: u64,
    /// Operations that clients invoked.
    pub operations: u64,
    /// Steps taken.
    pub events: u64,
}

/// Who is told how far a campaign is.
pub type OnProgress<'a> = &'a mut (dyn FnMut(&Progress) + Send);

/// Runs a campaign until all is done, the time is over, there are too many failures or `stop` is
/// set. `progress` is called after each run, on the thread that ran it.
///
/// # Panics
/// If a scenario gives a schedule that describes no world, which [`Scenario::read`] rules out.
#[expect(clippy::disallowed_methods, reason = "only the campaign starts threads")]
pub fn run(options: &CampaignOptions, stop: &AtomicBool, progress: OnProgress<'_>) -> Report {
    let wall = Stopwatch::start();
    let queue = Queue::new(&options.batches, options.from, options.shard);
    let planned = queue.planned();
    let collector = Collector::new(options, planned);
    let shared = Shared {
        queue: Mutex::new(queue),
        collected: Mutex::new((collector, progress)),
        stop,
        full: AtomicBool::new(false),
        wall,
        time_limit: options.time_limit,
    };
    let jobs = u64::try_from(options.jobs.get()).unwrap_or(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..planned.unwrap_or(jobs).min(jobs) {
            scope.spawn(|| work(&shared));
        }
    });
    let ended = if shared.full.load(Ordering::Relaxed) {
        Ended::TooManyFailures
    } else if stop.load(Ordering::Relaxed) {
        Ended::Stopped
    } else if lock(&shared.queue).is_empty() {
        Ended::Complete
    } else {
        Ended::TimeLimit
    };
    let (collector, _) = shared.collected.into_inner().unwrap_or_else(PoisonError::into_inner);
    collector.into_report(ended, wall.elapsed())
}

/// What the threads of a campaign share.
struct Shared<'a> {
    queue: Mutex<Queue>,
    collected: Mutex<(Collector, OnProgress<'a>)>,
    stop: &'a AtomicBool,
    full: AtomicBool,
    wall: Stopwatch,
    time_limit: Option<Duration>,
}

/// A thread that panicked has ended the campaign anyway: the scope passes its panic on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Shared<'_>) {
    loop {
        let stopped = shared.stop.load(Ordering::Relaxed) || shared.full.load(Ordering::Relaxed);
        if stopped || shared.wall.is_over(shared.time_limit) {
            return;
        }
        let Some(task) = lock(&shared.queue).next() else { return };
        let cpu = CpuStopwatch::start();
        let mut done = perform(&task);
        done.cpu = cpu.elapsed();
        let (collector, progress) = &mut *lock(&shared.collected);
        collector.collect(task, done);
        if collector.is_full() {
            shared.full.store(true, Ordering::Relaxed);
        }
        progress(&collector.progress());
    }
}

fn perform(task: &Task) -> Done {
    let schedule = Arc::new(generate(&task.scenario, task.seed));
    let outcome = run_generated(&schedule, RunOptions::default());
    let twice = run_twice(task.scenario.name(), task.seed);
    let failure = match &outcome.failure {
        Some(failure) => Some(failure.clone()),
        None if twice => compare(&schedule, &outcome),
        None => None,
    };
    Done::new(schedule, &outcome, failure, twice)
}

/// Whether this run is compared with another one. By its seed, so that shards make no difference,
/// and by its scenario, so that it is not the same seeds in all of them.
fn run_twice(scenario: &str, seed: Seed) -> bool {
    let purpose = format!("campaign/twice/{scenario}");
    Stream::new(NoiseSeed(seed.0), &purpose, 0, 0).below(TWICE_IN) == 0
}

fn run_generated(schedule: &Arc<Schedule>, options: RunOptions) -> Outcome {
    cluster::run(schedule, options).unwrap_or_else(|error| {
        let Schedule { scenario, seed, .. } = &**schedule;
        panic!("scenario {scenario}, seed {seed}: the schedule describes no world: {error}")
    })
}

/// The history as its file's bytes.
fn history_bytes(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::new();
    outcome.history.write(&mut bytes).expect("a vector takes everything");
    bytes
}

/// Runs a schedule again; a difference is a failure.
fn compare(schedule: &Arc<Schedule>, first: &Outcome) -> Option<Failure> {
    let second = run_generated(schedule, RunOptions::default());
    let same_way = first.trace_hash == second.trace_hash && first.failure == second.failure;
    if same_way && history_bytes(first) == history_bytes(&second) {
        return None;
    }
    let (step, message) = first_difference(schedule);
    Some(Failure {
        kind: FailureKind::Invariant,
        violation: "Nondeterminism".to_owned(),
        statement: "a schedule gives the same run each time, byte by byte".to_owned(),
        message: format!(
            "the same schedule gave the trace hashes {} and {}: {message}",
            first.trace_hash, second.trace_hash
        ),
        at: WorldTime::ZERO,
        step,
    })
}

/// Where two runs part, by their traces.
fn first_difference(schedule: &Arc<Schedule>) -> (u64, String) {
    let [one, other] = [(); 2].map(|()| run_generated(schedule, RunOptions { trace: true }).trace);
    let differs = (one.iter().zip(&other)).position(|(line, same)| line != same);
    match differs {
        Some(index) => {
            (index as u64, format!("they part at {} against {}", one[index], other[index]))
        }
        None if one.len() != other.len() => {
            let shorter = one.len().min(other.len());
            (shorter as u64, format!("one ends after {shorter} steps, the other goes on"))
        }
        None => (0, "two more runs with a trace did not differ".to_owned()),
    }
}

#[cfg(test)]
mod tests;
