//! What a scenario file says about the cluster's own changes: its members, its leaders, its
//! snapshots, its limits and its leases.

use serde::Deserialize;

use super::check::{MOST_DRIFT, Misfit, misfit};
use super::quantity::{Bytes, Choices, Ppm, Within, single};
use super::spec::Spec;
use crate::engine::Nanos;

/// More nodes than these no swarm needs.
const MOST_MEMBER_NODES: u32 = 15;
/// More changes than these a run has no time for.
const MOST_CHANGES: u32 = 100;

/// What an operator sets out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Project {
    /// One more voter: at once, or first as a learner.
    Grow,
    /// One voter less.
    Shrink,
    /// Another voter in the place of one.
    ReplaceOne,
    /// Other voters in the place of most of them, one after the other.
    ReplaceMajority,
    /// The same in one joint change.
    ReplaceMajorityAtOnce,
    /// A joint configuration that lasts until somebody leaves it.
    ExplicitJoint,
    /// A voter that learns for a while.
    DemotePromote,
    /// A voter is made the leader, and removed.
    RemoveLeader,
    /// A voter leaves and returns with what it has on its disk.
    Rejoin,
    /// A voter leaves and returns on another machine, with an empty disk.
    ReplaceDisk,
}

/// `[membership]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipSpec {
    /// How many projects there are in a run.
    pub(crate) count: Within<u32>,
    /// Which.
    #[serde(default = "all_projects")]
    pub(crate) projects: Choices<Project>,
    /// The time between the steps of a project.
    #[serde(default = "short_gap")]
    pub(crate) gap: Within<Nanos>,
}

fn all_projects() -> Choices<Project> {
    use Project::{
        DemotePromote, ExplicitJoint, Grow, Rejoin, RemoveLeader, ReplaceDisk, ReplaceMajority,
        ReplaceMajorityAtOnce, ReplaceOne, Shrink,
    };
    Choices::new(vec![
        Grow,
        Shrink,
        ReplaceOne,
        ReplaceMajority,
        ReplaceMajorityAtOnce,
        ExplicitJoint,
        DemotePromote,
        RemoveLeader,
        Rejoin,
        ReplaceDisk,
    ])
}

fn short_gap() -> Within<Nanos> {
    Within::new(Nanos::ZERO, Nanos::from_millis(400))
}

/// `[transfers]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransfersSpec {
    /// How often leadership is handed over in a run.
    pub(crate) count: Within<u32>,
    /// How often in quick succession each time.
    #[serde(default = "once_or_more")]
    pub(crate) burst: Within<u32>,
}

fn once_or_more() -> Within<u32> {
    Within::new(1, 3)
}

/// `[snapshots]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SnapshotsSpec {
    /// How many applied entries lie between two snapshots.
    pub(crate) every: Within<u32>,
    /// How many entries before a snapshot stay in the log.
    pub(crate) keep: Within<u32>,
}

impl Default for SnapshotsSpec {
    fn default() -> SnapshotsSpec {
        SnapshotsSpec { every: Within::new(5, 200), keep: Within::new(0, 50) }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsSpec {
    pub(crate) entries_per_message: Choices<Within<u32>>,
    pub(crate) bytes_per_message: Choices<Within<Bytes>>,
    pub(crate) inflight_messages: Choices<Within<u32>>,
    pub(crate) inflight_bytes: Choices<Within<Bytes>>,
    pub(crate) uncommitted_bytes: Choices<Within<Bytes>>,
    /// How many runs have members of different priority.
    #[serde(deserialize_with = "single")]
    pub(crate) priorities: Ppm,
}

impl Default for LimitsSpec {
    fn default() -> LimitsSpec {
        let counts = |ranges: &[(u32, u32)]| {
            Choices::new(ranges.iter().map(|range| Within::new(range.0, range.1)).collect())
        };
        let bytes = |ranges: &[(u64, u64)]| {
            let within = |range: &(u64, u64)| Within::new(Bytes(range.0), Bytes(range.1));
            Choices::new(ranges.iter().map(within).collect())
        };
        LimitsSpec {
            entries_per_message: counts(&[(1, 3), (4, 64), (1_024, 1_024)]),
            bytes_per_message: bytes(&[(1, 64), (100, 4_096), (1 << 20, 1 << 20)]),
            inflight_messages: counts(&[(1, 4), (8, 64), (256, 256)]),
            inflight_bytes: bytes(&[(1, 4_096), (64 << 20, 64 << 20)]),
            uncommitted_bytes: bytes(&[(1, 150), (100, 2_000), (1 << 30, 1 << 30)]),
            priorities: Ppm(300_000),
        }
    }
}

/// `[leases]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeasesSpec {
    /// How many runs have leaders that answer reads while their lease holds.
    #[serde(deserialize_with = "single")]
    pub(crate) share: Ppm,
    /// The drift that the leases are told to reckon with, whatever the clocks do. Left out: what
    /// the clocks of the run really do, and a run whose clocks jump has no leases.
    #[serde(default, deserialize_with = "one_share")]
    pub(crate) bound: Option<Ppm>,
}

fn one_share<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Ppm>, D::Error> {
    single(deserializer).map(Some)
}

/// # Errors
/// The first thing that does not fit.
pub(super) fn check(spec: &Spec) -> Result<(), Misfit> {
    let most_members = spec.cluster.members.all().iter().max().copied().unwrap_or(0);
    let most_spares = spec.cluster.spares.all().iter().max().copied().unwrap_or(0);
    if most_members + most_spares > MOST_MEMBER_NODES {
        return misfit(
            "cluster.spares",
            format!("{most_members} members and {most_spares} spares are too many nodes"),
            format!("give at most {MOST_MEMBER_NODES} together"),
        );
    }
    let counts = [
        ("membership.count", spec.membership.as_ref().map(|membership| membership.count)),
        ("transfers.count", spec.transfers.as_ref().map(|transfers| transfers.count)),
        ("transfers.burst", spec.transfers.as_ref().map(|transfers| transfers.burst)),
    ];
    for (path, count) in counts {
        if count.is_some_and(|count| count.most > MOST_CHANGES) {
            return misfit(
                path,
                "no run has time for so many",
                format!("give at most {MOST_CHANGES}"),
            );
        }
    }
    let longest_gap = Nanos::from_secs(60);
    if spec.membership.as_ref().is_some_and(|membership| membership.gap.most > longest_gap) {
        return misfit("membership.gap", "no run lasts that long", "give at most 60s");
    }
    if spec.snapshots.as_ref().is_some_and(|snapshots| snapshots.every.least == 0) {
        return misfit("snapshots.every", "a snapshot after no entry at all", "give at least 1");
    }
    if let Some(limits) = &spec.limits {
        for (name, choices) in [
            ("entries_per_message", &limits.entries_per_message),
            ("inflight_messages", &limits.inflight_messages),
        ] {
            if choices.all().iter().any(|within| within.least == 0) {
                return misfit(
                    &format!("limits.{name}"),
                    "a limit of 0 lets nothing through",
                    "give at least 1",
                );
            }
        }
    }
    match &spec.leases {
        Some(leases) if leases.bound.is_some_and(|bound| bound > MOST_DRIFT) => {
            misfit("leases.bound", "no clock drifts by so much", "give at most 50%")
        }
        _ => Ok(()),
    }
}
