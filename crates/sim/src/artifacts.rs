//! What is left of a failure: files to look into, and a report for the one who found it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::campaign::Found;
use crate::cluster::{self, Failure, FailureKind, Outcome, RunOptions};
use crate::files;
use crate::repro::{Program, Repro};
use crate::schedule::{LimitsPlan, Schedule, SnapshotPlan};
use crate::shrink::{ShrinkLimits, shrink};

/// More operations than this are counted in a report, not listed.
const MOST_OPERATIONS_LISTED: usize = 40;

/// A failure, shrunk and written down.
///
/// Its text says, in this order: what was violated and where; the shrunk schedule; the paths; the
/// command that replays it; the commit.
#[derive(Debug)]
pub struct FailureReport {
    /// How the shrunk schedule fails.
    pub failure: Failure,
    /// How the schedule failed as it was generated.
    pub original: Failure,
    /// The shrunk schedule.
    pub schedule: Arc<Schedule>,
    /// Entries of the schedule as it was generated.
    pub before: Size,
    /// How many runs shrinking took.
    pub reruns: u32,
    /// Why it could not be shrunk, if it could not.
    pub not_shrunk: Option<String>,
    /// Where it is written down.
    pub artifacts: Artifacts,
    /// Who found it.
    pub program: Program,
}

/// The number of a schedule's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Faults.
    pub faults: usize,
    /// What the operator does.
    pub changes: usize,
    /// Operations of all clients.
    pub operations: usize,
}

/// The files of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifacts {
    /// The directory they are in.
    pub directory: PathBuf,
    /// What the clients saw in the shrunk run.
    pub history: PathBuf,
    /// The shrunk schedule.
    pub repro: PathBuf,
    /// The schedule as it was generated.
    pub repro_full: PathBuf,
    /// Every step of the shrunk run.
    pub trace: PathBuf,
}

impl Size {
    /// The number of `schedule`'s entries.
    pub fn of(schedule: &Schedule) -> Size {
        Size {
            faults: schedule.faults.len(),
            changes: schedule.operator.operations.len(),
            operations: schedule.clients.iter().map(|client| client.operations.len()).sum(),
        }
    }
}

impl Artifacts {
    fn below(out: &Path, schedule: &Schedule) -> Artifacts {
        let directory = out.join(format!("{}-{}", schedule.scenario, schedule.seed));
        Artifacts {
            history: directory.join("history.jsonl"),
            repro: directory.join("repro.toml"),
            repro_full: directory.join("repro-full.toml"),
            trace: directory.join("trace.jsonl"),
            directory,
        }
    }
}

/// Shrinks a failure and writes it into the directory `SCENARIO-SEED` below `out`.
///
/// # Errors
/// What the operating system says when a file cannot be written.
///
/// # Panics
/// If the schedule of a run describes no world.
pub fn investigate(
    found: &Found,
    out: &Path,
    limits: ShrinkLimits,
    program: &Program,
) -> io::Result<FailureReport> {
    let artifacts = Artifacts::below(out, &found.schedule);
    let full = rerun(&found.schedule);
    Repro::new(&found.schedule, &full, program).write(&artifacts.repro_full)?;
    // That a search took too long says nothing of the schedule, so that there is nothing to shrink
    // it for.
    let undecided = found.failure.kind == FailureKind::Undecided;
    let limits = if undecided { ShrinkLimits { reruns: 1, ..limits } } else { limits };
    let report = match shrink(&found.schedule, &found.failure, limits) {
        Ok(shrunk) => {
            write_run(&artifacts, &shrunk.schedule, &shrunk.outcome, program)?;
            (shrunk.failure, shrunk.schedule, shrunk.reruns, None)
        }
        Err(reason) => {
            write_run(&artifacts, &found.schedule, &full, program)?;
            (found.failure.clone(), Arc::clone(&found.schedule), 1, Some(reason))
        }
    };
    let (failure, schedule, reruns, not_shrunk) = report;
    Ok(FailureReport {
        failure,
        original: found.failure.clone(),
        schedule,
        before: Size::of(&found.schedule),
        reruns,
        not_shrunk,
        artifacts,
        program: program.clone(),
    })
}

fn rerun(schedule: &Arc<Schedule>) -> Outcome {
    cluster::run(schedule, RunOptions { trace: true })
        .expect("a schedule that was run describes a world")
}

fn write_run(
    artifacts: &Artifacts,
    schedule: &Arc<Schedule>,
    outcome: &Outcome,
    program: &Program,
) -> io::Result<()> {
    Repro::new(schedule, outcome, program).write(&artifacts.repro)?;
    let mut history = Vec::new();
    outcome.history.write(&mut history)?;
    files::write(&artifacts.history, &history)?;
    let mut trace = Vec::new();
    for line in &outcome.trace {
        serde_json::to_writer(&mut trace, line)?;
        trace.push(b'\n');
    }
    files::write(&artifacts.trace, &trace)
}

impl FailureReport {
    /// The command that runs the shrunk schedule again.
    pub fn replay_command(&self) -> String {
        format!("quorate replay {}", self.artifacts.repro.display())
    }

    /// The line of the JSON format.
    pub fn to_json(&self) -> Value {
        json!({
            "scenario": self.schedule.scenario,
            "seed": self.schedule.seed,
            "violation": self.failure.violation,
            "guarantee": self.failure.statement,
            "message": self.failure.message,
            "out": self.artifacts.directory.display().to_string(),
            "repro": self.artifacts.repro.display().to_string(),
        })
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { scenario, seed, .. } = &*self.schedule;
        let undecided = self.failure.kind == FailureKind::Undecided;
        let what = if undecided { "left open" } else { "violated" };
        writeln!(f, "{} {what}: {}", self.failure.violation, self.failure.statement)?;
        writeln!(f, "  {}", self.failure.message)?;
        let (at, step) = (self.failure.at, self.failure.step);
        writeln!(f, "  in scenario {scenario}, seed {seed}, at {at}, step {step}")?;
        writeln!(f)?;
        self.write_schedule(f)?;
        writeln!(f)?;
        writeln!(f, "history  {}", self.artifacts.history.display())?;
        writeln!(f, "trace    {}", self.artifacts.trace.display())?;
        writeln!(f, "repro    {}", self.artifacts.repro.display())?;
        writeln!(f, "unshrunk {}", self.artifacts.repro_full.display())?;
        writeln!(f)?;
        writeln!(f, "replay   {}", self.replay_command())?;
        write!(f, "commit   {}", self.program)
    }
}

impl FailureReport {
    /// Who there is, and what is special about it.
    fn write_cluster(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.schedule.cluster;
        write!(f, "  {} members", cluster.members)?;
        if cluster.spares > 0 {
            write!(f, ", {} spares", cluster.spares)?;
        }
        if cluster.snapshots != SnapshotPlan::default() {
            let SnapshotPlan { every, keep } = cluster.snapshots;
            write!(f, ", snapshots every {every} entries keeping {keep}")?;
        }
        if cluster.limits != LimitsPlan::default() {
            f.write_str(", limits of its own")?;
        }
        if let Some(lease) = &cluster.lease {
            write!(f, ", leases for clocks within {} ppm", lease.clock_drift_ppm)?;
        }
        if !cluster.priorities.is_empty() {
            write!(f, ", priorities {:?}", cluster.priorities)?;
        }
        writeln!(f, ", heal at {}", self.schedule.phases.heal_at)
    }

    fn write_schedule(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = Size::of(&self.schedule);
        match &self.not_shrunk {
            Some(reason) => writeln!(f, "Not shrunk: {reason}.")?,
            None => writeln!(
                f,
                "Shrunk in {} runs from {} faults, {} changes and {} operations to {}, {} and {}:",
                self.reruns,
                self.before.faults,
                self.before.changes,
                self.before.operations,
                now.faults,
                now.changes,
                now.operations
            )?,
        }
        self.write_cluster(f)?;
        for fault in &self.schedule.faults {
            writeln!(f, "  {fault}")?;
        }
        for planned in &self.schedule.operator.operations {
            writeln!(f, "  operator: {planned}")?;
        }
        if now.operations > MOST_OPERATIONS_LISTED {
            return writeln!(f, "  and {} operations, in the repro file", now.operations);
        }
        for (index, client) in self.schedule.clients.iter().enumerate() {
            for operation in &client.operations {
                writeln!(f, "  client {index}: {operation}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
