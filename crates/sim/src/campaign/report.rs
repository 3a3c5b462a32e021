//! What a campaign found, put together in the order of its seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::queue::Task;
use super::{CampaignOptions, Progress};
use crate::cluster::{Failure, FailureKind, Outcome};
use crate::engine::Nanos;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::seed::Seed;

/// From so many runs of a scenario on, what it has to reach is asked for.
const ENOUGH_TO_REACH_ALL: u64 = 200;
/// From so many runs of a scenario on, its empty ones are judged.
const ENOUGH_TO_JUDGE_EMPTY: u64 = 100;
/// The largest share of empty runs, in percent.
const MOST_EMPTY_PERCENT: u64 = 2;

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was run.
    pub schedule: Arc<Schedule>,
    /// What went wrong.
    pub failure: Failure,
}

/// What a campaign found.
#[derive(Debug)]
pub struct Report {
    /// The first seed.
    pub from: Seed,
    /// Why it ended.
    pub ended: Ended,
    /// Runs.
    pub seeds: u64,
    /// Runs that were run twice and compared.
    pub compared: u64,
    /// The runs that failed, by the campaign's order of scenarios and then by seed.
    pub failures: Vec<Found>,
    /// Operations that clients invoked.
    pub operations: u64,
    /// Steps taken.
    pub events: u64,
    /// World time lived through, in nanoseconds.
    pub virtual_ns: u128,
    /// Real time it took.
    pub wall: Duration,
    /// Processor time it took, of all threads together.
    pub cpu: Duration,
    /// Faults that took effect, and their effects, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Marks that were reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
    /// The scenarios, in the campaign's order.
    pub scenarios: Vec<ScenarioReport>,
}

/// Why a campaign ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All seeds were run.
    Complete,
    /// The time was over.
    TimeLimit,
    /// There were enough failures.
    TooManyFailures,
    /// Somebody stopped it.
    Stopped,
}

/// One scenario's part of a campaign.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// Its name.
    pub name: String,
    /// Runs.
    pub seeds: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Runs that tested too little, by the first floor that they missed.
    pub empty: BTreeMap<&'static str, u64>,
    /// What it has to reach and did not.
    pub unreached: Vec<String>,
    /// Operations that clients invoked.
    pub operations: u64,
    /// Steps taken.
    pub events: u64,
}

/// Why a campaign that found nothing proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortcoming {
    /// Nothing was run at all.
    NothingRun,
    /// Too many runs of a scenario missed a floor.
    TooManyEmpty {
        /// The scenario.
        scenario: String,
        /// Empty runs.
        empty: u64,
        /// All its runs.
        seeds: u64,
        /// Empty runs by the first floor that they missed.
        floors: BTreeMap<&'static str, u64>,
    },
    /// What a scenario has to reach was not reached, in many runs.
    Unreached {
        /// The scenario.
        scenario: String,
        /// The mark or count.
        mark: String,
        /// All its runs.
        seeds: u64,
    },
}

impl fmt::Display for Shortcoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortcoming::NothingRun => f.write_str("no schedule was run"),
            Shortcoming::TooManyEmpty { scenario, empty, seeds, floors } => {
                let floors: Vec<String> =
                    floors.iter().map(|(floor, runs)| format!("{floor} in {runs}")).collect();
                write!(
                    f,
                    "{scenario}: {empty} of {seeds} runs tested too little (missed floors: {}); at \
                     most {MOST_EMPTY_PERCENT} % may",
                    floors.join(", ")
                )
            }
            Shortcoming::Unreached { scenario, mark, seeds } => {
                write!(f, "{scenario}: '{mark}' was never reached in {seeds} runs")
            }
        }
    }
}

/// Whether more than the share that may be empty is, and not by chance: three standard deviations
/// more. Otherwise a small campaign of a scenario that is empty in 1.5 % would fail now and then.
fn too_many_empty(empty: u64, seeds: u64) -> bool {
    let excess = (empty * 100).saturating_sub(seeds * MOST_EMPTY_PERCENT);
    let variance = seeds * MOST_EMPTY_PERCENT * (100 - MOST_EMPTY_PERCENT);
    excess * excess > 9 * variance
}

impl Report {
    /// Why the campaign proves too little, if it does. Small campaigns are not asked for marks.
    pub fn shortcomings(&self) -> Vec<Shortcoming> {
        let mut found = Vec::new();
        if self.seeds == 0 && self.ended != Ended::Stopped {
            found.push(Shortcoming::NothingRun);
        }
        for scenario in &self.scenarios {
            let seeds = scenario.seeds;
            let empty = scenario.empty_runs();
            if seeds >= ENOUGH_TO_JUDGE_EMPTY && too_many_empty(empty, seeds) {
                found.push(Shortcoming::TooManyEmpty {
                    scenario: scenario.name.clone(),
                    empty,
                    seeds,
                    floors: scenario.empty.clone(),
                });
            }
            if seeds >= ENOUGH_TO_REACH_ALL {
                let unreached = scenario.unreached.iter().map(|mark| Shortcoming::Unreached {
                    scenario: scenario.name.clone(),
                    mark: mark.clone(),
                    seeds,
                });
                found.extend(unreached);
            }
        }
        found
    }

    /// Runs that tested too little.
    pub fn empty_runs(&self) -> u64 {
        self.scenarios.iter().map(ScenarioReport::empty_runs).sum()
    }

    /// Whether something certainly went wrong, rather than late or undecided.
    pub fn has_safety_violation(&self) -> bool {
        let certain = |kind| !matches!(kind, FailureKind::Liveness | FailureKind::Undecided);
        self.failures.iter().any(|found| certain(found.failure.kind))
    }

    /// The summary line of the JSON format.
    pub fn to_json(&self) -> Value {
        let unreached: BTreeSet<&String> =
            self.scenarios.iter().flat_map(|scenario| &scenario.unreached).collect();
        json!({
            "summary": true,
            "seeds": self.seeds,
            "failures": self.failures.len(),
            "operations": self.operations,
            "events": self.events,
            "virtual_ns": u64::try_from(self.virtual_ns).unwrap_or(u64::MAX),
            "wall_ns": nanos(self.wall),
            "cpu_ns": nanos(self.cpu),
            "faults": self.faults,
            "reached": self.reached,
            "unreached": unreached,
            "from": self.from,
            "empty": self.empty_runs(),
            "compared": self.compared,
            "complete": self.ended == Ended::Complete,
            "shortcomings": self.shortcomings().iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl ScenarioReport {
    /// Runs that tested too little.
    pub fn empty_runs(&self) -> u64 {
        self.empty.values().sum()
    }
}

/// What is kept of a run.
#[derive(Debug)]
pub(super) struct Done {
    failure: Option<Found>,
    compared: bool,
    empty: Option<&'static str>,
    operations: u64,
    events: u64,
    lived: Nanos,
    faults: BTreeMap<&'static str, u64>,
    marks: BTreeMap<&'static str, u64>,
    pub(super) cpu: Duration,
}

impl Done {
    pub(super) fn new(
        schedule: Arc<Schedule>,
        outcome: &Outcome,
        failure: Option<Failure>,
        compared: bool,
    ) -> Done {
        Done {
            failure: failure.map(|failure| Found { schedule, failure }),
            compared,
            // A run that failed was cut short; it has tested enough.
            empty: if outcome.failure.is_none() { outcome.empty } else { None },
            operations: outcome.operations.invoked,
            events: outcome.events,
            lived: outcome.lived,
            faults: outcome.counters.faults(),
            marks: outcome.marks.clone(),
            cpu: Duration::ZERO,
        }
    }
}

/// Takes in runs in any order and counts them in theirs.
#[derive(Debug)]
pub(super) struct Collector {
    report: Report,
    scenarios: Vec<Arc<Scenario>>,
    /// What each scenario reached: marks and counts.
    reached: Vec<BTreeMap<&'static str, u64>>,
    /// Runs that wait for earlier ones.
    waiting: BTreeMap<u64, (Task, Done)>,
    /// The number of the run that is counted next.
    next: u64,
    failures: Vec<(usize, Found)>,
    max_failures: NonZeroUsize,
    progress: Progress,
}

impl Collector {
    pub(super) fn new(options: &CampaignOptions, planned: Option<u64>) -> Collector {
        let scenarios: Vec<Arc<Scenario>> =
            options.batches.iter().map(|batch| Arc::clone(&batch.scenario)).collect();
        let empty = |scenario: &Arc<Scenario>| ScenarioReport {
            name: scenario.name().to_owned(),
            seeds: 0,
            failures: 0,
            empty: BTreeMap::new(),
            unreached: Vec::new(),
            operations: 0,
            events: 0,
        };
        let report = Report {
            from: options.from,
            ended: Ended::Complete,
            seeds: 0,
            compared: 0,
            failures: Vec::new(),
            operations: 0,
            events: 0,
            virtual_ns: 0,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            faults: BTreeMap::new(),
            reached: BTreeMap::new(),
            scenarios: scenarios.iter().map(empty).collect(),
        };
        Collector {
            report,
            reached: vec![BTreeMap::new(); scenarios.len()],
            scenarios,
            waiting: BTreeMap::new(),
            next: 0,
            failures: Vec::new(),
            max_failures: options.max_failures,
            progress: Progress { planned, ..Progress::default() },
        }
    }

    pub(super) fn collect(&mut self, task: Task, done: Done) {
        self.progress.done += 1;
        self.progress.failures += u64::from(done.failure.is_some());
        self.progress.operations += done.operations;
        self.progress.events += done.events;
        self.report.cpu += done.cpu;
        self.waiting.insert(task.number, (task, done));
        // What comes after the last failure that counts is left out: how many more were run by then
        // depends on the threads.
        while !self.is_full()
            && let Some((task, done)) = self.waiting.remove(&self.next)
        {
            self.next += 1;
            self.count(&task, done);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.failures.len() >= self.max_failures.get()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    fn count(&mut self, task: &Task, done: Done) {
        let report = &mut self.report;
        report.seeds += 1;
        report.compared += u64::from(done.compared);
        report.operations += done.operations;
        report.events += done.events;
        report.virtual_ns += u128::from(done.lived.as_nanos());
        let scenario = &mut report.scenarios[task.batch];
        scenario.seeds += 1;
        scenario.operations += done.operations;
        scenario.events += done.events;
        if let Some(floor) = done.empty {
            *scenario.empty.entry(floor).or_default() += 1;
        }
        let reached = &mut self.reached[task.batch];
        for (totals, counts) in
            [(&mut report.faults, &done.faults), (&mut report.reached, &done.marks)]
        {
            for (name, number) in counts {
                *totals.entry(name).or_default() += number;
                *reached.entry(name).or_default() += number;
            }
        }
        if let Some(found) = done.failure {
            scenario.failures += 1;
            self.failures.push((task.batch, found));
        }
    }

    pub(super) fn into_report(mut self, ended: Ended, wall: Duration) -> Report {
        self.failures.sort_by_key(|(batch, _)| *batch);
        let mut report = self.report;
        report.ended = ended;
        report.wall = wall;
        report.failures = self.failures.into_iter().map(|(_, found)| found).collect();
        let rows = report.scenarios.iter_mut().zip(&self.scenarios).zip(&self.reached);
        for ((row, scenario), reached) in rows {
            let missing = scenario.must_reach().filter(|mark| !reached.contains_key(mark));
            row.unreached = missing.map(str::to_owned).collect();
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::too_many_empty;

    #[test]
    fn two_percent_may_be_empty_and_more_only_by_chance() {
        // 340 runs at 2 % have 6.8 empty ones, give or take 2.6.
        let most = |seeds| (0..=seeds).take_while(|&empty| !too_many_empty(empty, seeds)).last();
        assert_eq!(most(340), Some(14));
        assert_eq!(most(100), Some(6));
        assert_eq!(most(20_000), Some(459));
    }
}
