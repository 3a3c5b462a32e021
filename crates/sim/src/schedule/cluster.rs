//! The cluster's part of a schedule: who there is, and the limits that everybody keeps.

use serde::{Deserialize, Serialize};

use super::{LEAST_TIME, WAL_SEGMENT_BYTES};
use crate::engine::Nanos;

/// No clock of the engine runs at less than half the world's speed, and no lease reckons with one.
pub(crate) const MOST_DRIFT_PPM: u32 = 500_000;

/// The cluster and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterPlan {
    /// How many members found the cluster: n0 and so on.
    pub members: u32,
    /// How many more nodes there are, with empty disks, that may join it: they come after the
    /// members.
    #[serde(default)]
    pub spares: u32,
    /// The election timeout. A member that hears of no leader for so long, and a random part of the
    /// same time more, stands for election.
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
    /// The members' priorities in elections, the first one's first; those without one have 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<u32>,
    /// When members take snapshots.
    #[serde(default)]
    pub snapshots: SnapshotPlan,
    /// The limits on what is under way.
    #[serde(default)]
    pub limits: LimitsPlan,
    /// Leaders answer reads while their lease holds; left out: they never do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeasePlan>,
}

/// When members take snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotPlan {
    /// After so many applied entries; not 0.
    pub every: u64,
    /// So many entries before a snapshot stay in the log, for members that are a little late.
    pub keep: u64,
}

impl Default for SnapshotPlan {
    /// As etcd has it. Few runs come so far.
    fn default() -> SnapshotPlan {
        SnapshotPlan { every: 10_000, keep: 5_000 }
    }
}

/// The limits on what is under way: [`quorate_raft::Options`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsPlan {
    /// Entries in a message, at most; not 0.
    pub entries_per_message: u32,
    /// Payload bytes in a message, at most, unless one entry has more.
    pub bytes_per_message: u64,
    /// Messages with entries under way to one member, at most; not 0.
    pub inflight_messages: u32,
    /// Payload bytes under way to one member, at most, unless one message has more.
    pub inflight_bytes: u64,
    /// Payload bytes that a leader takes before they are committed, at most, unless nothing else
    /// waits.
    pub uncommitted_bytes: u64,
}

impl Default for LimitsPlan {
    fn default() -> LimitsPlan {
        let raft = quorate_raft::Options::default();
        let small = |limit: usize| u32::try_from(limit).expect("a default limit is small");
        LimitsPlan {
            entries_per_message: small(raft.max_entries_per_message),
            bytes_per_message: raft.max_bytes_per_message,
            inflight_messages: small(raft.max_inflight_messages),
            inflight_bytes: raft.max_inflight_bytes,
            uncommitted_bytes: raft.max_uncommitted_bytes,
        }
    }
}

/// What a leader's lease rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasePlan {
    /// By how much, in parts per million, each clock's speed is said to differ from the world's at
    /// most. If the schedule's clocks do not keep to it, stale reads are to be expected.
    pub clock_drift_ppm: u32,
}

impl ClusterPlan {
    /// All nodes that may be members, the spares among them: n0 and so on.
    #[must_use]
    pub fn member_nodes(&self) -> u32 {
        self.members + self.spares
    }

    /// # Errors
    /// What is impossible, and what would be possible.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, time) in [
            ("election_timeout_ns", self.election_timeout),
            ("heartbeat_ns", self.heartbeat),
            ("request_timeout_ns", self.request_timeout),
            ("read_retry_ns", self.read_retry),
            ("client_timeout_ns", self.client_timeout),
        ] {
            if time < LEAST_TIME {
                return Err(format!("{name} of {time} leaves no time at all: give at least 1000"));
            }
        }
        if !WAL_SEGMENT_BYTES.contains(&self.wal_segment_bytes) {
            return Err(format!(
                "log files of {} bytes are impossible: give 4096 to 1073741824",
                self.wal_segment_bytes
            ));
        }
        for (name, least_one) in [
            ("snapshots.every", self.snapshots.every),
            ("limits.entries_per_message", u64::from(self.limits.entries_per_message)),
            ("limits.inflight_messages", u64::from(self.limits.inflight_messages)),
        ] {
            if least_one == 0 {
                return Err(format!("{name} is 0, so that nothing ever happens: give at least 1"));
            }
        }
        if self.priorities.len() > self.member_nodes() as usize {
            return Err(format!(
                "there are {} priorities for {} members and spares: one each is enough",
                self.priorities.len(),
                self.member_nodes()
            ));
        }
        match &self.lease {
            Some(lease) if lease.clock_drift_ppm > MOST_DRIFT_PPM => Err(format!(
                "lease.clock_drift_ppm of {} is more than any clock here drifts: give at most \
                 {MOST_DRIFT_PPM}",
                lease.clock_drift_ppm
            )),
            _ => Ok(()),
        }
    }
}
