//! A schedule: all that happens in one run, written down.
//!
//! A schedule is a list, not a tape of draws: topology, limits, each client's operations and each
//! fault are entries that can be read, changed and removed one by one. Only what the network and
//! the disks do by chance is left to the noise seed, from which it is drawn by key, so that
//! removing an entry leaves the other draws as they were. This is what a `repro.toml` holds, and
//! it outlives a change of the generators.

mod change;
mod cluster;
mod operation;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::{
    DiskConfig, DriftPpm, Fault, Nanos, NetworkConfig, NodeId, ScheduledFault, SignedNanos,
};
use crate::seed::Seed;

pub use change::{ChangeTextError, MemberChange, OperatorAction, PlannedChange};
pub(crate) use cluster::MOST_DRIFT_PPM;
pub use cluster::{ClusterPlan, LeasePlan, LimitsPlan, SnapshotPlan};
pub use operation::{Action, Key, OperationError, PlannedOperation, Value};

/// The version of the schedule's form. A change of meaning raises it.
///
/// A schedule of format 1 is one of format 2 in which nothing of what came with that is there:
/// spares, an operator, snapshots, limits, leases. It is read as such.
pub const FORMAT: u32 = 2;
/// The oldest form that is still read.
pub const OLDEST_FORMAT: u32 = 1;

/// The shortest time that a time-out, a heartbeat or a retry may take.
pub(crate) const LEAST_TIME: Nanos = Nanos::from_micros(1);
/// The sizes that a log file may have, in bytes.
pub(crate) const WAL_SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;

/// One run, explicitly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// [`FORMAT`], or an older one that is still read.
    pub format: u32,
    /// The scenario that it was generated from.
    pub scenario: String,
    /// The seed that it was generated from.
    pub seed: Seed,
    /// What the network's and the disks' chance derives from.
    pub noise_seed: Seed,
    /// The cluster and its limits.
    pub cluster: ClusterPlan,
    /// How long it lasts.
    pub phases: Phases,
    /// Below these counts a run has tested nothing.
    #[serde(default)]
    pub floors: Floors,
    /// The network on a usual day.
    #[serde(default)]
    pub network: NetworkConfig,
    /// The disks on a usual day.
    #[serde(default)]
    pub disk: DiskConfig,
    /// The clocks of members and spares; who has no entry has a perfect one.
    #[serde(default, rename = "clock")]
    pub clocks: Vec<ClockPlan>,
    /// The clients.
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientPlan>,
    /// Who changes the cluster.
    #[serde(default)]
    pub operator: OperatorPlan,
    /// The faults.
    #[serde(default, rename = "fault")]
    pub faults: Vec<ScheduledFault>,
}

/// Whether a scenario may be called so: folders are named after it.
pub(crate) fn is_name(name: &str) -> bool {
    let strays = |letter: char| letter.is_control() || matches!(letter, '/' | '\\');
    !name.is_empty() && !name.starts_with('.') && !name.contains(strays)
}

impl Schedule {
    /// Checks that it describes a cluster that can be run, whoever wrote it.
    ///
    /// # Errors
    /// What is impossible, and what would be possible.
    pub fn check(&self) -> Result<(), String> {
        let plan = &self.cluster;
        let name = &self.scenario;
        if !is_name(name) {
            return Err(format!(
                "'{name}' is no scenario's name: use letters, digits, '-' and '_'"
            ));
        }
        let too_many = plan.members > 99 || plan.spares > 99 || self.clients.len() > 999;
        if plan.members == 0 || too_many {
            let clients = self.clients.len();
            return Err(format!(
                "{} members, {} spares and {clients} clients are no cluster: 1 to 99 members, at \
                 most 99 spares and at most 999 clients make one",
                plan.members, plan.spares
            ));
        }
        if self.clocks.len() > plan.member_nodes() as usize {
            return Err(format!(
                "there are {} clocks for {} members and spares: one each is enough",
                self.clocks.len(),
                plan.member_nodes()
            ));
        }
        plan.check()?;
        self.check_operator()
    }

    /// Whom the operator names is there, and nobody's machine is replaced where an old message might
    /// still come.
    fn check_operator(&self) -> Result<(), String> {
        let nodes = self.cluster.member_nodes();
        for planned in &self.operator.operations {
            if let Some(node) = planned.action.members().into_iter().find(|node| node.0 >= nodes) {
                return Err(format!(
                    "'{planned}' names {node}, but members and spares are n0 to n{}",
                    nodes - 1
                ));
            }
            let replaces = matches!(planned.action, OperatorAction::ReplaceDisk(_));
            if replaces && self.longest_message().is_none() {
                return Err(format!(
                    "'{planned}' needs a network without replays, since a message of the member's \
                     earlier life may come at any time: set network.replay_ppm, and replay_ppm of \
                     all noise, to 0"
                ));
            }
        }
        Ok(())
    }

    /// For how long a message may be under way at most, from its sending until it is handled;
    /// `None` if copies come back long after.
    #[must_use]
    pub fn longest_message(&self) -> Option<Nanos> {
        let network = &self.network;
        let mut longest = [network.base, network.jitter, network.tail, network.reorder]
            .into_iter()
            .fold(Nanos::ZERO, Nanos::saturating_add);
        let mut replays = network.replay_ppm > 0;
        let mut slow_links: BTreeMap<(NodeId, NodeId), Nanos> = BTreeMap::new();
        for ScheduledFault { fault, .. } in &self.faults {
            match fault {
                Fault::Noise { noise, .. } => {
                    replays |= noise.replay_ppm > 0;
                    longest = longest.saturating_add(noise.delay);
                }
                Fault::SlowLink { from, to, extra, .. } => {
                    let link = slow_links.entry((*from, *to)).or_default();
                    *link = link.saturating_add(*extra);
                }
                _ => {}
            }
        }
        let slowest = slow_links.values().max().copied().unwrap_or(Nanos::ZERO);
        let longest = longest.saturating_add(slowest).saturating_add(self.longest_pause());
        (!replays).then_some(longest)
    }

    /// By how much, in parts per million, the speed of any clock of the members and spares differs
    /// from the world's at most; `None` if one jumps, or may come to run at less than half or more
    /// than one and a half times the world's speed.
    #[must_use]
    pub fn clock_bound(&self) -> Option<u32> {
        let mut drifts: Vec<u32> =
            self.clocks.iter().map(|clock| clock.drift.0.unsigned_abs()).collect();
        drifts.resize(self.cluster.member_nodes() as usize, 0);
        for ScheduledFault { fault, .. } in &self.faults {
            match fault {
                Fault::ClockJump { .. } => return None,
                Fault::ClockDrift { node, ppm, .. } => {
                    let drift = drifts.get_mut(node.index())?;
                    *drift = drift.saturating_add(ppm.0.unsigned_abs());
                }
                _ => {}
            }
        }
        drifts.into_iter().max().filter(|bound| *bound <= MOST_DRIFT_PPM)
    }

    /// For how long a node stands still at most, if all of its pauses follow each other.
    fn longest_pause(&self) -> Nanos {
        let of_node = |node: u32| {
            let pauses = self.faults.iter().filter_map(|scheduled| match scheduled.fault {
                Fault::Pause { node: paused, lasts } if paused.0 == node => Some(lasts),
                _ => None,
            });
            pauses.fold(Nanos::ZERO, Nanos::saturating_add)
        };
        (0..self.cluster.member_nodes()).map(of_node).max().unwrap_or(Nanos::ZERO)
    }
}

/// How long a run lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// When all faults end and everybody is started: the liveness phase begins.
    #[serde(rename = "heal_at_ns")]
    pub heal_at: Nanos,
    /// How long after that the cluster may take to be whole again.
    #[serde(rename = "live_within_ns")]
    pub live_within: Nanos,
    /// Steps, at most: more are a message storm.
    pub event_budget: u64,
}

/// What a run must reach so that it counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Floors {
    /// Entries committed.
    pub commits: u64,
    /// Elections won.
    pub elections: u64,
    /// Operations that were answered before the heal.
    pub operations: u64,
    /// Operations that were answered after the heal.
    pub operations_after_heal: u64,
}

/// One member's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPlan {
    /// How far it is ahead of the world's.
    #[serde(rename = "offset_ns")]
    pub offset: SignedNanos,
    /// How much faster it runs.
    #[serde(rename = "drift_ppm")]
    pub drift: DriftPpm,
}

/// What the operator does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorPlan {
    /// Its operations.
    pub operations: Vec<PlannedChange>,
}

/// What one client does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// Its operations.
    pub operations: Vec<PlannedOperation>,
}
