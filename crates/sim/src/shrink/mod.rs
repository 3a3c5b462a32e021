//! From a schedule that fails to a smaller one that fails in the same way.
//!
//! 'The same way' means the same violation: the same invariant, or the same guarantee. Every
//! candidate is run; a schedule's draws are keyed, so what remains behaves much as it did before.
//! First the faults go, then the operator's work, clients and their operations, the mischief of
//! network, disks and clocks, and what is special about the cluster; at last what is left is made
//! shorter.

mod ddmin;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{self, Failure, FailureKind, Outcome, RunOptions};
use crate::engine::{DiskConfig, Fault, Nanos, NetworkConfig, ScheduledFault, WorldTime};
use crate::schedule::{
    ClientPlan, Floors, LimitsPlan, PlannedChange, PlannedOperation, Schedule, SnapshotPlan,
};
use crate::stopwatch::Stopwatch;

/// A fault phase shorter than an election is not tried: nobody understands more of it.
const SHORTEST_FAULT_PHASE: Nanos = Nanos::from_millis(100);

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// Runs, at most.
    pub reruns: u32,
    /// Real time after which no further run is begun.
    pub time: Option<Duration>,
}

impl Default for ShrinkLimits {
    fn default() -> ShrinkLimits {
        ShrinkLimits { reruns: 200, time: Some(Duration::from_secs(60)) }
    }
}

/// The smallest schedule that was found.
#[derive(Debug)]
pub struct Shrunk {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// What becomes of it, with a trace.
    pub outcome: Outcome,
    /// How it fails.
    pub failure: Failure,
    /// How many runs it took.
    pub reruns: u32,
}

/// Makes `schedule`, which fails as `failure` says, smaller.
///
/// # Errors
/// If it does not fail like that when it is run again: then it is not deterministic, or belongs to
/// another version. The text says what came instead.
///
/// # Panics
/// If the smallest schedule fails differently when it is run once more.
pub fn shrink(
    schedule: &Schedule,
    failure: &Failure,
    limits: ShrinkLimits,
) -> Result<Shrunk, String> {
    let mut shrinker = Shrinker {
        best: schedule.clone(),
        failure: failure.clone(),
        limits,
        reruns: 0,
        watch: Stopwatch::start(),
    };
    if !shrinker.attempt(schedule.clone()) {
        return Err(format!(
            "the schedule of {} with seed {} does not fail with {} when it is run again",
            schedule.scenario, schedule.seed, failure.violation
        ));
    }
    shrinker.cut_what_comes_later();
    shrinker.remove_faults();
    shrinker.remove_changes();
    shrinker.remove_clients();
    shrinker.calm_the_rest();
    shrinker.simplify_the_cluster();
    shrinker.remove_operations();
    shrinker.shorten();
    shrinker.finish()
}

struct Shrinker {
    best: Schedule,
    /// How the best one fails.
    failure: Failure,
    limits: ShrinkLimits,
    reruns: u32,
    watch: Stopwatch,
}

/// Where an operation stands: its client's and its own index.
type Place = (usize, usize);

impl Shrinker {
    /// Runs a candidate, and takes it if it fails in the same way.
    fn attempt(&mut self, candidate: Schedule) -> bool {
        if self.reruns >= self.limits.reruns || self.watch.is_over(self.limits.time) {
            return false;
        }
        self.reruns += 1;
        let candidate = Arc::new(candidate);
        // What describes no world does not fail; it was never a candidate.
        let Ok(outcome) = cluster::run(&candidate, RunOptions::default()) else { return false };
        match outcome.failure {
            Some(failure) if failure.violation == self.failure.violation => {
                self.failure = failure;
                self.best = Arc::unwrap_or_clone(candidate);
                true
            }
            _ => false,
        }
    }

    fn attempt_with(&mut self, change: impl FnOnce(&mut Schedule)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        candidate != self.best && self.attempt(candidate)
    }

    /// Faults and operations after the violation cannot have caused it.
    fn cut_what_comes_later(&mut self) {
        let at = self.failure.at;
        let ended_there = match self.failure.kind {
            FailureKind::Invariant | FailureKind::Panic | FailureKind::Storm => true,
            // They show only at the end.
            FailureKind::History | FailureKind::Liveness | FailureKind::Undecided => false,
        };
        if ended_there {
            self.attempt_with(|schedule| {
                schedule.faults.retain(|fault| fault.at <= at);
                let operations = &mut schedule.operator.operations;
                operations.retain(|planned| WorldTime::ZERO + planned.not_before <= at);
                for client in &mut schedule.clients {
                    cut_operations(client, at);
                }
            });
        }
        // Whether enough was tested is not the question any more.
        self.attempt_with(|schedule| schedule.floors = Floors::default());
    }

    fn remove_faults(&mut self) {
        let faults = self.best.faults.clone();
        ddmin::minimize(&faults, |part: &[ScheduledFault]| {
            self.attempt_with(|schedule| schedule.faults = part.to_vec())
        });
    }

    fn remove_changes(&mut self) {
        let operations = self.best.operator.operations.clone();
        ddmin::minimize(&operations, |part: &[PlannedChange]| {
            self.attempt_with(|schedule| schedule.operator.operations = part.to_vec())
        });
    }

    /// A client without operations stays, so that the others keep their numbers.
    fn remove_clients(&mut self) {
        let plans = self.best.clients.clone();
        let busy: Vec<usize> =
            (0..plans.len()).filter(|client| !plans[*client].operations.is_empty()).collect();
        ddmin::minimize(&busy, |part: &[usize]| {
            self.attempt_with(|schedule| {
                for (index, client) in schedule.clients.iter_mut().enumerate() {
                    *client = if part.contains(&index) {
                        plans[index].clone()
                    } else {
                        ClientPlan::default()
                    };
                }
            })
        });
    }

    /// Takes away what network, disks and clocks do by chance.
    fn calm_the_rest(&mut self) {
        self.attempt_with(|schedule| schedule.clocks.clear());
        let calm = |network: &NetworkConfig| NetworkConfig {
            tail_ppm: 0,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            replay_ppm: 0,
            ..network.clone()
        };
        if !self.attempt_with(|schedule| schedule.network = calm(&schedule.network)) {
            self.attempt_with(|schedule| schedule.network.replay_ppm = 0);
            self.attempt_with(|schedule| schedule.network.reorder_ppm = 0);
            self.attempt_with(|schedule| schedule.network.duplicate_ppm = 0);
            self.attempt_with(|schedule| schedule.network.loss_ppm = 0);
            self.attempt_with(|schedule| schedule.network.tail_ppm = 0);
        }
        self.attempt_with(|schedule| {
            schedule.disk = DiskConfig { tail_ppm: 0, ..schedule.disk.clone() };
        });
    }

    /// Takes away what another cluster has not: limits of its own, leases, priorities, snapshots,
    /// and spares that nobody lets in.
    fn simplify_the_cluster(&mut self) {
        self.attempt_with(|schedule| schedule.cluster.limits = LimitsPlan::default());
        self.attempt_with(|schedule| schedule.cluster.lease = None);
        self.attempt_with(|schedule| schedule.cluster.priorities.clear());
        self.attempt_with(|schedule| schedule.cluster.snapshots = SnapshotPlan::default());
        // Nodes are numbered, so only the last spare can go.
        while self.best.cluster.spares > 0 && self.attempt_with(remove_last_spare) {}
    }

    fn remove_operations(&mut self) {
        let plans = self.best.clients.clone();
        let places =
            |client: usize| (0..plans[client].operations.len()).map(move |at| (client, at));
        // In the order of time, roughly, so that a chunk is a stretch of time.
        let mut all: Vec<Place> = (0..plans.len()).flat_map(places).collect();
        all.sort_by_key(|(client, at)| (*at, *client));
        ddmin::minimize(&all, |part: &[Place]| {
            let kept: BTreeSet<Place> = part.iter().copied().collect();
            self.attempt_with(|schedule| {
                for (client, plan) in schedule.clients.iter_mut().enumerate() {
                    plan.operations =
                        keep(&plans[client].operations, |at| kept.contains(&(client, at)));
                }
            })
        });
    }

    /// Halves what lasts, as long as that works.
    fn shorten(&mut self) {
        for index in 0..self.best.faults.len() {
            while self.attempt_with(|schedule| halve(&mut schedule.faults[index].fault)) {}
        }
        for (cut, of) in [(1, 2), (3, 4), (7, 8)] {
            let shorter = |schedule: &mut Schedule| {
                let shorter = schedule.phases.heal_at.as_nanos() / of * cut;
                if shorter < SHORTEST_FAULT_PHASE.as_nanos() {
                    return;
                }
                schedule.phases.heal_at = Nanos::from_nanos(shorter);
                let end = WorldTime::ZERO + schedule.phases.heal_at;
                schedule.faults.retain(|fault| fault.at < end);
            };
            while self.attempt_with(shorter) {}
        }
    }

    fn finish(self) -> Result<Shrunk, String> {
        let schedule = Arc::new(self.best);
        let outcome = cluster::run(&schedule, RunOptions { trace: true })?;
        assert_eq!(
            outcome.failure.as_ref(),
            Some(&self.failure),
            "a schedule gives the same run each time, also with a trace"
        );
        Ok(Shrunk { schedule, outcome, failure: self.failure, reruns: self.reruns })
    }
}

/// Does nothing if a fault names the last spare, or one of the clients behind it, which move up.
fn remove_last_spare(schedule: &mut Schedule) {
    let nodes = schedule.cluster.member_nodes() - 1;
    let is_named = |fault: &ScheduledFault| fault.fault.nodes().iter().any(|node| node.0 >= nodes);
    if schedule.faults.iter().any(is_named) {
        return;
    }
    schedule.cluster.spares -= 1;
    schedule.cluster.priorities.truncate(nodes as usize);
    schedule.clocks.truncate(nodes as usize);
    for client in &mut schedule.clients {
        client.operations.retain(|operation| operation.member.0 < nodes);
    }
}

/// Drops the operations that cannot have begun by `end`.
fn cut_operations(client: &mut ClientPlan, end: WorldTime) {
    let mut at = WorldTime::ZERO;
    client.operations.retain(|operation| {
        at = at + operation.think;
        at <= end
    });
}

/// The chosen operations. The time to think before those that go is kept, so that the others stay
/// about where they were.
fn keep(operations: &[PlannedOperation], chosen: impl Fn(usize) -> bool) -> Vec<PlannedOperation> {
    let mut kept = Vec::new();
    let mut thought = Nanos::ZERO;
    for (at, operation) in operations.iter().enumerate() {
        thought += operation.think;
        if chosen(at) {
            kept.push(PlannedOperation { think: thought, ..operation.clone() });
            thought = Nanos::ZERO;
        }
    }
    kept
}

/// Halves a fault's duration, down to a millisecond.
fn halve(fault: &mut Fault) {
    let (Fault::Crash { down_for: time, .. }
    | Fault::PowerLoss { down_for: time, .. }
    | Fault::Pause { lasts: time, .. }
    | Fault::Partition { lasts: time, .. }
    | Fault::OneWay { lasts: time, .. }
    | Fault::SlowLink { lasts: time, .. }
    | Fault::Noise { lasts: time, .. }
    | Fault::ClockDrift { lasts: time, .. }
    | Fault::DiskFull { lasts: time, .. }
    | Fault::SlowDisk { lasts: time, .. }) = fault
    else {
        return;
    };
    if *time > Nanos::from_millis(1) {
        *time = Nanos::from_micros(time.as_nanos() / 2_000);
    }
}

#[cfg(test)]
mod tests;
