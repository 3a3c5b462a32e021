//! What a scenario file says: one struct a table, with the defaults.
//!
//! Values are checked one by one as they are read; what has to fit together is checked in
//! `check.rs`. The meaning of each field stands in `sim-scenarios/README.md` as well.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::membership::{LeasesSpec, LimitsSpec, MembershipSpec, SnapshotsSpec, TransfersSpec};
use super::quantity::{Bytes, Choices, Ppm, Within, single};
use crate::engine::{Count, FileKind, Nanos};

const fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

const fn us(n: u64) -> Nanos {
    Nanos::from_micros(n)
}

/// A whole scenario file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// What it is for, in a sentence.
    pub(crate) about: String,
    /// Marks and counts that a campaign has to reach.
    #[serde(default)]
    pub(crate) must_reach: Vec<Reachable>,
    #[serde(default)]
    pub(crate) cluster: ClusterSpec,
    #[serde(default)]
    pub(crate) phases: PhasesSpec,
    #[serde(default)]
    pub(crate) floors: crate::schedule::Floors,
    #[serde(default)]
    pub(crate) workload: WorkloadSpec,
    #[serde(default)]
    pub(crate) network: NetworkSpec,
    #[serde(default)]
    pub(crate) disk: DiskSpec,
    #[serde(default)]
    pub(crate) clocks: ClocksSpec,
    /// Who joins and leaves.
    pub(crate) membership: Option<MembershipSpec>,
    /// How often leadership is handed over.
    pub(crate) transfers: Option<TransfersSpec>,
    /// When members take snapshots; left out: as etcd does, which few runs come to.
    pub(crate) snapshots: Option<SnapshotsSpec>,
    /// Limits on what is under way; left out: those of a real cluster.
    pub(crate) limits: Option<LimitsSpec>,
    /// Whether leaders answer reads while their lease holds.
    pub(crate) leases: Option<LeasesSpec>,
    #[serde(default)]
    pub(crate) faults: FaultsSpec,
    /// Draw a subset of the tables above and of the kinds of faults, and a share of their numbers, for each run.
    pub(crate) swarm: Option<SwarmSpec>,
}

/// The name of a mark or of a fault's count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reachable(pub(crate) String);

/// What the cluster marks as reached. [`Count`]s of faults and their effects count as well.
pub(crate) const MARKS: &[&str] = &[
    "configuration-rolled-back",
    "joint-entered",
    "joint-left",
    "joint-left-by-another-leader",
    "leader-removed",
    "learner-promoted",
    "lease-read",
    "linearizable-read",
    "linearizable-read-at-follower",
    "log-damage-met",
    "log-repaired",
    "majority-replaced",
    "member-recovered-entries",
    "operator-skipped",
    "outcome-unknown",
    "proposal-refused-uncommitted",
    "refused-as-compacted",
    "refused-as-future",
    "refused-by-store",
    "replaced-member-returned",
    "scrub-found-damage",
    "serializable-read",
    "snapshot-installed",
    "snapshot-passed-over",
    "snapshot-recovered",
    "snapshot-taken",
    "started-over",
    "store-fetched",
    "store-repaired",
    "torn-tail-repaired",
    "transfer-aborted",
    "transfer-done",
    "write-acknowledged",
];

impl<'de> Deserialize<'de> for Reachable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Reachable, D::Error> {
        let name = String::deserialize(deserializer)?;
        let counts = Count::ALL.iter().filter(|count| count.is_fault()).map(|count| count.name());
        let mut known = MARKS.iter().copied().chain(counts);
        if known.clone().any(|known| known == name) {
            return Ok(Reachable(name));
        }
        let hint = match crate::document::closest(&name, known.clone()) {
            Some(close) => format!("did you mean '{close}'?"),
            None => {
                let last = known.next_back().expect("there are marks");
                format!("known are {}, {last}", known.collect::<Vec<_>>().join(", "))
            }
        };
        Err(serde::de::Error::custom(format!("there is no mark or count '{name}'; {hint}")))
    }
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterSpec {
    pub(crate) members: Choices<u32>,
    pub(crate) spares: Choices<u32>,
    pub(crate) clients: Within<u32>,
    pub(crate) election_timeout: Within<Nanos>,
    #[serde(deserialize_with = "single")]
    pub(crate) heartbeat: Nanos,
    #[serde(deserialize_with = "single")]
    pub(crate) request_timeout: Nanos,
    #[serde(deserialize_with = "single")]
    pub(crate) read_retry: Nanos,
    #[serde(deserialize_with = "single")]
    pub(crate) client_timeout: Nanos,
    pub(crate) wal_segment: Within<Bytes>,
}

impl Default for ClusterSpec {
    fn default() -> ClusterSpec {
        ClusterSpec {
            members: Choices::new(vec![5]),
            spares: Choices::new(vec![0]),
            clients: Within::exactly(5),
            election_timeout: Within::exactly(ms(150)),
            heartbeat: ms(30),
            request_timeout: ms(300),
            read_retry: ms(60),
            client_timeout: ms(400),
            wal_segment: Within::exactly(Bytes(64 << 10)),
        }
    }
}

/// `[phases]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PhasesSpec {
    #[serde(deserialize_with = "single")]
    pub(crate) fault_time: Nanos,
    #[serde(deserialize_with = "single")]
    pub(crate) live_within: Nanos,
    pub(crate) event_budget: u64,
}

impl Default for PhasesSpec {
    fn default() -> PhasesSpec {
        PhasesSpec { fault_time: ms(8_000), live_within: ms(10_000), event_budget: 1_000_000 }
    }
}

/// `[workload]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkloadSpec {
    /// The most that one client does.
    pub(crate) operations: u32,
    /// How many keys there are.
    pub(crate) keys: Within<u32>,
    /// How long a client waits between two operations.
    pub(crate) think: Within<Nanos>,
    /// How many operations follow the one before at once.
    #[serde(deserialize_with = "single")]
    pub(crate) bursts: Ppm,
    /// How long the clients go on after the faults.
    #[serde(deserialize_with = "single")]
    pub(crate) tail: Nanos,
    /// How many clients ask one member only.
    #[serde(deserialize_with = "single")]
    pub(crate) sticky: Ppm,
    /// How many clients mostly read.
    #[serde(deserialize_with = "single")]
    pub(crate) readers: Ppm,
    /// How often each action is done, relative to the others.
    pub(crate) weights: Weights,
}

impl Default for WorkloadSpec {
    fn default() -> WorkloadSpec {
        WorkloadSpec {
            operations: 1_000,
            keys: Within::new(2, 8),
            think: Within::new(us(1_000), us(50_000)),
            bursts: Ppm(150_000),
            tail: ms(2_500),
            sticky: Ppm(200_000),
            readers: Ppm(250_000),
            weights: Weights::default(),
        }
    }
}

macro_rules! weights {
    ($($field:ident, $kind:ident: $default:literal, reads: $reads:literal;)+) => {
        /// `[workload.weights]`
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub(crate) struct Weights {
            $(pub(crate) $field: u32,)+
        }

        impl Default for Weights {
            fn default() -> Weights {
                Weights { $($field: $default,)+ }
            }
        }

        /// The kinds of operations that are drawn.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum ActionKind {
            $($kind,)+
        }

        impl Weights {
            /// Each kind with its weight, and whether it only reads.
            pub(crate) fn all(&self) -> Vec<(ActionKind, u32, bool)> {
                vec![$((ActionKind::$kind, self.$field, $reads),)+]
            }
        }
    };
}

weights! {
    put, Put: 24, reads: false;
    get, Get: 20, reads: true;
    get_serializable, GetSerializable: 8, reads: true;
    get_back, GetBack: 4, reads: true;
    list, List: 5, reads: true;
    list_serializable, ListSerializable: 3, reads: true;
    delete, Delete: 5, reads: false;
    delete_range, DeleteRange: 1, reads: false;
    compare_and_swap, CompareAndSwap: 18, reads: false;
    write_both, WriteBoth: 7, reads: false;
    read_both, ReadBoth: 5, reads: true;
    compact, Compact: 1, reads: false;
}

/// `[network]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkSpec {
    pub(crate) base: Within<Nanos>,
    pub(crate) jitter: Within<Nanos>,
    pub(crate) tails: Within<Ppm>,
    pub(crate) tail: Within<Nanos>,
    pub(crate) loss: Within<Ppm>,
    pub(crate) duplicate: Within<Ppm>,
    pub(crate) reorder: Within<Ppm>,
    pub(crate) reorder_by: Within<Nanos>,
    pub(crate) replay: Within<Ppm>,
    pub(crate) replay_after: Within<Nanos>,
}

impl Default for NetworkSpec {
    fn default() -> NetworkSpec {
        NetworkSpec {
            base: Within::exactly(us(200)),
            jitter: Within::exactly(us(600)),
            tails: Within::exactly(Ppm(2_000)),
            tail: Within::exactly(ms(20)),
            loss: Within::exactly(Ppm(100)),
            duplicate: Within::exactly(Ppm(100)),
            reorder: Within::exactly(Ppm(1_000)),
            reorder_by: Within::exactly(ms(10)),
            replay: Within::exactly(Ppm(50)),
            replay_after: Within::exactly(ms(4_000)),
        }
    }
}

/// `[disk]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskSpec {
    pub(crate) write: Within<Nanos>,
    pub(crate) sync: Within<Nanos>,
    pub(crate) jitter: Within<Nanos>,
    pub(crate) tails: Within<Ppm>,
    pub(crate) tail: Within<Nanos>,
}

impl Default for DiskSpec {
    fn default() -> DiskSpec {
        DiskSpec {
            write: Within::exactly(us(10)),
            sync: Within::exactly(us(300)),
            jitter: Within::exactly(us(300)),
            tails: Within::exactly(Ppm(5_000)),
            tail: Within::exactly(ms(40)),
        }
    }
}

/// `[clocks]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClocksSpec {
    /// How far a clock is off at first, in either direction.
    pub(crate) offset: Within<Nanos>,
    /// How much faster or slower a clock runs.
    pub(crate) drift: Within<Ppm>,
}

impl Default for ClocksSpec {
    fn default() -> ClocksSpec {
        ClocksSpec {
            offset: Within::new(Nanos::ZERO, ms(50)),
            drift: Within::new(Ppm(0), Ppm(100)),
        }
    }
}

/// `[swarm]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SwarmSpec {
    /// The chance of each kind of fault to be there at all.
    #[serde(deserialize_with = "single")]
    pub(crate) kinds: Ppm,
    /// By how much the number of faults is scaled.
    pub(crate) intensity: Choices<Within<Ppm>>,
}

impl Default for SwarmSpec {
    fn default() -> SwarmSpec {
        let intensity = [(100_000, 300_000), (300_000, 600_000), (600_000, 1_000_000)];
        let within = |(least, most)| Within::new(Ppm(least), Ppm(most));
        SwarmSpec {
            kinds: Ppm(500_000),
            intensity: Choices::new(intensity.into_iter().map(within).collect()),
        }
    }
}

/// `[faults]`: a table for each kind that may happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FaultsSpec {
    pub(crate) crash: Option<DownSpec>,
    pub(crate) power_loss: Option<DownSpec>,
    pub(crate) pause: Option<PauseSpec>,
    pub(crate) partition: Option<PartitionSpec>,
    pub(crate) one_way: Option<OneWaySpec>,
    pub(crate) slow_link: Option<SlowLinkSpec>,
    pub(crate) noise: Option<NoiseSpec>,
    pub(crate) clock_jump: Option<ClockJumpSpec>,
    pub(crate) clock_drift: Option<ClockDriftSpec>,
    pub(crate) slow_disk: Option<SlowDiskSpec>,
    pub(crate) write_error: Option<DiskErrorSpec>,
    pub(crate) sync_error: Option<DiskErrorSpec>,
    pub(crate) disk_full: Option<DiskFullSpec>,
    pub(crate) bit_rot: Option<BitRotSpec>,
    pub(crate) misdirected_write: Option<MisdirectedSpec>,
    pub(crate) misdirected_read: Option<MisdirectedSpec>,
}

impl FaultsSpec {
    /// Each kind's name and the number of its faults.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, Within<u32>> {
        [
            ("crash", self.crash.as_ref().map(|kind| kind.count)),
            ("power_loss", self.power_loss.as_ref().map(|kind| kind.count)),
            ("pause", self.pause.as_ref().map(|kind| kind.count)),
            ("partition", self.partition.as_ref().map(|kind| kind.count)),
            ("one_way", self.one_way.as_ref().map(|kind| kind.count)),
            ("slow_link", self.slow_link.as_ref().map(|kind| kind.count)),
            ("noise", self.noise.as_ref().map(|kind| kind.count)),
            ("clock_jump", self.clock_jump.as_ref().map(|kind| kind.count)),
            ("clock_drift", self.clock_drift.as_ref().map(|kind| kind.count)),
            ("slow_disk", self.slow_disk.as_ref().map(|kind| kind.count)),
            ("write_error", self.write_error.as_ref().map(|kind| kind.count)),
            ("sync_error", self.sync_error.as_ref().map(|kind| kind.count)),
            ("disk_full", self.disk_full.as_ref().map(|kind| kind.count)),
            ("bit_rot", self.bit_rot.as_ref().map(|kind| kind.count)),
            ("misdirected_write", self.misdirected_write.as_ref().map(|kind| kind.count)),
            ("misdirected_read", self.misdirected_read.as_ref().map(|kind| kind.count)),
        ]
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
        .collect()
    }
}

/// How many members a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Extent {
    /// One member.
    One,
    /// Less than half of the members, but at least one.
    Minority,
    /// More than half of the members, but not all (of a cluster of one or two: all).
    Majority,
    /// All members.
    All,
}

/// `[faults.crash]` and `[faults.power_loss]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownSpec {
    pub(crate) count: Within<u32>,
    /// How long each stays down.
    pub(crate) down: Within<Nanos>,
    #[serde(default = "one_member")]
    pub(crate) victims: Choices<Extent>,
    /// How often it goes down, one time after the other.
    #[serde(default = "once")]
    pub(crate) times: Within<u32>,
    /// How long it is up between two of these times.
    #[serde(default = "short_life")]
    pub(crate) up: Within<Nanos>,
}

fn one_member() -> Choices<Extent> {
    Choices::new(vec![Extent::One])
}

fn once() -> Within<u32> {
    Within::exactly(1)
}

fn short_life() -> Within<Nanos> {
    Within::new(ms(10), ms(500))
}

/// `[faults.pause]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    #[serde(default = "one_member")]
    pub(crate) victims: Choices<Extent>,
}

/// How a partition divides the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PartitionShape {
    /// One member from all others.
    One,
    /// Less than half of the members from the others.
    Minority,
    /// Each member on either side by chance.
    Halves,
    /// Everybody from everybody.
    All,
    /// Two members from each other, both still reach the others.
    Pair,
    /// Two sides that only one member between them still reaches.
    Bridge,
    /// Everybody reaches two neighbours only.
    Ring,
}

/// `[faults.partition]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartitionSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    #[serde(default = "all_partitions")]
    pub(crate) shapes: Choices<PartitionShape>,
    /// How often the clients are divided as well.
    #[serde(default = "often", deserialize_with = "single")]
    pub(crate) with_clients: Ppm,
}

fn all_partitions() -> Choices<PartitionShape> {
    use PartitionShape::{All, Bridge, Halves, Minority, One, Pair, Ring};
    Choices::new(vec![One, One, Minority, Minority, Halves, Halves, All, Pair, Bridge, Ring])
}

fn often() -> Ppm {
    Ppm(300_000)
}

/// In which direction messages are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OneWayShape {
    /// One member is heard by nobody.
    Mute,
    /// One member hears nobody.
    Deaf,
    /// One member does not hear one other.
    Pair,
    /// One side does not hear the other.
    Halves,
}

/// `[faults.one_way]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneWaySpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    #[serde(default = "all_directions")]
    pub(crate) shapes: Choices<OneWayShape>,
}

fn all_directions() -> Choices<OneWayShape> {
    use OneWayShape::{Deaf, Halves, Mute, Pair};
    Choices::new(vec![Mute, Deaf, Pair, Halves])
}

/// `[faults.slow_link]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowLinkSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    pub(crate) extra: Within<Nanos>,
}

/// `[faults.noise]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoiseSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    #[serde(default = "never")]
    pub(crate) loss: Within<Ppm>,
    #[serde(default = "never")]
    pub(crate) duplicate: Within<Ppm>,
    #[serde(default = "never")]
    pub(crate) reorder: Within<Ppm>,
    #[serde(default = "never")]
    pub(crate) replay: Within<Ppm>,
    #[serde(default = "no_time")]
    pub(crate) delay: Within<Nanos>,
}

fn never() -> Within<Ppm> {
    Within::exactly(Ppm(0))
}

fn no_time() -> Within<Nanos> {
    Within::exactly(Nanos::ZERO)
}

/// `[faults.clock_jump]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockJumpSpec {
    pub(crate) count: Within<u32>,
    /// How far, in either direction.
    pub(crate) by: Within<Nanos>,
}

/// `[faults.clock_drift]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockDriftSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    /// By how much faster or slower.
    pub(crate) drift: Within<Ppm>,
}

/// `[faults.slow_disk]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowDiskSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    pub(crate) factor: Within<u32>,
}

/// `[faults.write_error]` and `[faults.sync_error]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskErrorSpec {
    pub(crate) count: Within<u32>,
}

/// `[faults.disk_full]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskFullSpec {
    pub(crate) count: Within<u32>,
    pub(crate) lasts: Within<Nanos>,
    #[serde(default = "one_member")]
    pub(crate) victims: Choices<Extent>,
}

/// `[faults.bit_rot]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BitRotSpec {
    pub(crate) count: Within<u32>,
    /// In which files.
    pub(crate) files: Choices<FileKind>,
    #[serde(default = "few_bits")]
    pub(crate) bits: Within<u32>,
}

fn few_bits() -> Within<u32> {
    Within::new(1, 3)
}

/// `[faults.misdirected_write]` and `[faults.misdirected_read]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MisdirectedSpec {
    pub(crate) count: Within<u32>,
}
