//! A schedule: all that happens in one run, written down.
//!
//! A schedule is a list, not a tape of draws: topology, limits, each client's operations and each
//! fault are entries that can be read, changed and removed one by one. Only what the network and
//! the disks do by chance is left to the noise seed, from which it is drawn by key, so that
//! removing an entry leaves the other draws as they were. This is what a `repro.toml` holds, and
//! it outlives a change of the generators.

mod operation;

use serde::{Deserialize, Serialize};

use crate::engine::{DiskConfig, DriftPpm, Nanos, NetworkConfig, ScheduledFault, SignedNanos};
use crate::seed::Seed;

pub use operation::{Action, Key, OperationError, PlannedOperation, Value};

/// The version of the schedule's form. A change of meaning raises it.
pub const FORMAT: u32 = 1;

/// The shortest time that a time-out, a heartbeat or a retry may take.
pub(crate) const LEAST_TIME: Nanos = Nanos::from_micros(1);
/// The sizes that a log file may have, in bytes.
pub(crate) const WAL_SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=1 << 30;

/// One run, explicitly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// [`FORMAT`].
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
    /// The members' clocks; a member without an entry has a perfect one.
    #[serde(default, rename = "clock")]
    pub clocks: Vec<ClockPlan>,
    /// The clients.
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientPlan>,
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
        if !(1..=99).contains(&plan.members) || self.clients.len() > 999 {
            let clients = self.clients.len();
            return Err(format!(
                "{} members and {clients} clients are no cluster: 1 to 99 members and at most 999 \
                 clients make one",
                plan.members
            ));
        }
        if self.clocks.len() > plan.members as usize {
            return Err(format!(
                "there are {} clocks for {} members: one a member is enough",
                self.clocks.len(),
                plan.members
            ));
        }
        for (name, time) in [
            ("election_timeout_ns", plan.election_timeout),
            ("heartbeat_ns", plan.heartbeat),
            ("request_timeout_ns", plan.request_timeout),
            ("read_retry_ns", plan.read_retry),
            ("client_timeout_ns", plan.client_timeout),
        ] {
            if time < LEAST_TIME {
                return Err(format!("{name} of {time} leaves no time at all: give at least 1000"));
            }
        }
        if !WAL_SEGMENT_BYTES.contains(&plan.wal_segment_bytes) {
            return Err(format!(
                "log files of {} bytes are impossible: give 4096 to 1073741824",
                plan.wal_segment_bytes
            ));
        }
        Ok(())
    }
}

/// The cluster and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// How many members there are: n0 and so on.
    pub members: u32,
    /// The least election timeout; each is drawn between this and its double.
    #[serde(rename = "election_timeout_ns")]
    pub election_timeout: Nanos,
    /// The time between heartbeats.
    #[serde(rename = "heartbeat_ns")]
    pub heartbeat: Nanos,
    /// After this a member answers a waiting request with a time-out.
    #[serde(rename = "request_timeout_ns")]
    pub request_timeout: Nanos,
    /// After this a member asks for an unconfirmed read index again.
    #[serde(rename = "read_retry_ns")]
    pub read_retry: Nanos,
    /// After this a client gives up, and does not know what became of its operation.
    #[serde(rename = "client_timeout_ns")]
    pub client_timeout: Nanos,
    /// The size of a log file.
    pub wal_segment_bytes: u64,
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

/// What one client does, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// Its operations.
    pub operations: Vec<PlannedOperation>,
}
