//! Faults as data: what a schedule consists of.
//!
//! A fault is one entry with a beginning and mostly a duration, so that removing the entry removes
//! the whole fault. This module owns their meaning in words, their text form and the check that one
//! fits a world; the world carries them out.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::DriftPpm;
use super::network::Noise;
use super::system::NodeId;
use super::time::{Nanos, SignedNanos, WorldTime};

/// Something bad that happens to the world.
///
/// Faults may overlap: a node is down while any fault holds it down, a link is blocked while any
/// fault blocks it, and delays, rates and drifts add up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The process is killed and starts again later. What it wrote is in the operating system's
    /// cache and survives, synced or not.
    Crash {
        /// Whose process is killed.
        node: NodeId,
        /// How long it stays down.
        #[serde(rename = "down_for_ns")]
        down_for: Nanos,
    },
    /// Machines lose power at once: processes die, and of what was not synced each sector is kept
    /// or lost by chance.
    PowerLoss {
        /// Whose machines lose power.
        nodes: Vec<NodeId>,
        /// How long they stay down.
        #[serde(rename = "down_for_ns")]
        down_for: Nanos,
    },
    /// The process stands still (SIGSTOP, a long collection of garbage, a stalled virtual machine)
    /// while its clock runs on; its inputs wait and are handled one after the other at the end.
    Pause {
        /// Who stands still.
        node: NodeId,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// Nodes of different groups cannot reach each other, in either direction. A node in no group
    /// still reaches everybody.
    Partition {
        /// The groups; no node may be in two.
        groups: Vec<Vec<NodeId>>,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// Messages in one direction are lost; the opposite direction works.
    OneWay {
        /// Senders that are not heard.
        from: Vec<NodeId>,
        /// Receivers that do not hear them.
        to: Vec<NodeId>,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// Every message on one link takes longer.
    SlowLink {
        /// The link's sender.
        from: NodeId,
        /// The link's receiver.
        to: NodeId,
        /// By how much longer each message takes.
        #[serde(rename = "extra_ns")]
        extra: Nanos,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// The whole network gets worse for a while, on top of what it does anyway.
    Noise {
        /// What is added to the network's own rates and delays.
        #[serde(default, skip_serializing_if = "Noise::is_none")]
        noise: Noise,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// A clock is set to another time. Set forward, it makes timers due at once that it passes, as
    /// when a machine wakes from a suspension; set back, it puts none off, since timers count
    /// elapsed time.
    ClockJump {
        /// Whose clock.
        node: NodeId,
        /// By how much; negative sets it back.
        #[serde(rename = "by_ns")]
        by: SignedNanos,
    },
    /// A clock runs faster or slower, on top of its own drift.
    ClockDrift {
        /// Whose clock.
        node: NodeId,
        /// By how much faster (slower when negative).
        ppm: DriftPpm,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// One of the next operations that change a disk fails (`EIO`), and is done in part: each
    /// sector that it touches is written or not. Whoever stopped because of it is started again.
    WriteError {
        /// Whose disk.
        node: NodeId,
    },
    /// The next sync of a disk fails, and what it should have made durable is gone by chance, from
    /// the page cache as well: a second sync would succeed and prove nothing.
    SyncError {
        /// Whose disk.
        node: NodeId,
    },
    /// Nothing can be created, lengthened or written.
    DiskFull {
        /// Whose disk.
        node: NodeId,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
    /// Bits of what is durable change by themselves, whether the machine is up or not. It happens
    /// only where the [system](super::System::exposed) says that nothing is lost for good.
    BitRot {
        /// Whose disk.
        node: NodeId,
        /// In which of its files.
        files: FileKind,
        /// How many, in one of the files.
        bits: u32,
    },
    /// The next write to files of a kind lands elsewhere in them, and nobody is told. It happens
    /// only where the [system](super::System::exposed) says that nothing is lost for good.
    MisdirectedWrite {
        /// Whose disk.
        node: NodeId,
        /// To which of its files.
        files: FileKind,
    },
    /// The next read of files of a kind gives what stands elsewhere in the file, once.
    MisdirectedRead {
        /// Whose disk.
        node: NodeId,
        /// Of which of its files.
        files: FileKind,
    },
    /// A disk takes a multiple of its usual time.
    SlowDisk {
        /// Whose disk.
        node: NodeId,
        /// How many times as long, at least two.
        factor: u32,
        /// For how long.
        #[serde(rename = "for_ns")]
        lasts: Nanos,
    },
}

/// What files on a disk are for. The system says where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// What was agreed: the segments of a log.
    Log,
    /// The end of a log: what was written to it last, so that nothing behind tells of it.
    LogEnd,
    /// What is true: the files of a store.
    Store,
    /// The files of snapshots.
    Snapshot,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Log => "log",
            FileKind::LogEnd => "end of the log",
            FileKind::Store => "store",
            FileKind::Snapshot => "snapshots",
        })
    }
}

/// The longest that a fault may delay a message; it leaves room for sums.
const LONGEST_DELAY: Nanos = Nanos::from_secs(3_600);

/// More than one sector's worth is another fault than rot.
const MOST_ROTTEN_BITS: u32 = 4_096;
/// At the end of a log more could make a sector zero that is not.
pub(crate) const MOST_ROTTEN_BITS_AT_THE_END: u32 = 8;

/// A fault and when it begins: one entry of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduledFault {
    /// When the fault begins.
    #[serde(rename = "at_ns")]
    pub at: WorldTime,
    /// What happens.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Why a fault does not fit the world it was given to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FaultError {
    /// It names a node that there is not.
    #[error("fault '{fault}': there is no node {node}; this world has n0 to n{}", nodes - 1)]
    UnknownNode {
        /// The fault.
        fault: ScheduledFault,
        /// The node it names.
        node: NodeId,
        /// How many nodes there are.
        nodes: usize,
    },
    /// It begins before the world's present.
    #[error("fault '{fault}' lies in the past: it is already {now}; schedule it at {now} or later")]
    InThePast {
        /// The fault.
        fault: ScheduledFault,
        /// The world's time.
        now: WorldTime,
    },
    /// It needs a disk, and the node has none.
    #[error("fault '{fault}': {node} has no disk; name a node that has one")]
    NoDisk {
        /// The fault.
        fault: ScheduledFault,
        /// The node without a disk.
        node: NodeId,
    },
    /// Its values make no sense by themselves.
    #[error("fault '{fault}': {reason}")]
    Senseless {
        /// The fault.
        fault: ScheduledFault,
        /// What is wrong, and what would be right.
        reason: &'static str,
    },
}

impl Fault {
    /// The name of its kind, as in the text form.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Crash { .. } => "crash",
            Fault::PowerLoss { .. } => "power_loss",
            Fault::Pause { .. } => "pause",
            Fault::Partition { .. } => "partition",
            Fault::OneWay { .. } => "one_way",
            Fault::SlowLink { .. } => "slow_link",
            Fault::Noise { .. } => "noise",
            Fault::ClockJump { .. } => "clock_jump",
            Fault::ClockDrift { .. } => "clock_drift",
            Fault::WriteError { .. } => "write_error",
            Fault::SyncError { .. } => "sync_error",
            Fault::DiskFull { .. } => "disk_full",
            Fault::BitRot { .. } => "bit_rot",
            Fault::MisdirectedWrite { .. } => "misdirected_write",
            Fault::MisdirectedRead { .. } => "misdirected_read",
            Fault::SlowDisk { .. } => "slow_disk",
        }
    }

    /// How long it lasts; `None` for what happens at one instant.
    pub fn duration(&self) -> Option<Nanos> {
        match self {
            Fault::Crash { down_for, .. } | Fault::PowerLoss { down_for, .. } => Some(*down_for),
            Fault::Pause { lasts, .. }
            | Fault::Partition { lasts, .. }
            | Fault::OneWay { lasts, .. }
            | Fault::SlowLink { lasts, .. }
            | Fault::Noise { lasts, .. }
            | Fault::ClockDrift { lasts, .. }
            | Fault::DiskFull { lasts, .. }
            | Fault::SlowDisk { lasts, .. } => Some(*lasts),
            Fault::ClockJump { .. }
            | Fault::WriteError { .. }
            | Fault::SyncError { .. }
            | Fault::BitRot { .. }
            | Fault::MisdirectedWrite { .. }
            | Fault::MisdirectedRead { .. } => None,
        }
    }

    /// Whether it is about a disk, and whose.
    pub fn disk(&self) -> Option<NodeId> {
        match self {
            Fault::WriteError { node }
            | Fault::SyncError { node }
            | Fault::DiskFull { node, .. }
            | Fault::BitRot { node, .. }
            | Fault::MisdirectedWrite { node, .. }
            | Fault::MisdirectedRead { node, .. }
            | Fault::SlowDisk { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Whether it destroys what was durable, so that others have to make up for it.
    pub fn destroys(&self) -> bool {
        matches!(self, Fault::BitRot { .. } | Fault::MisdirectedWrite { .. })
    }

    /// Whether it blocks messages from `from` to `to`.
    pub fn blocks(&self, from: NodeId, to: NodeId) -> bool {
        match self {
            Fault::Partition { groups, .. } => {
                let group_of = |node| groups.iter().position(|group| group.contains(&node));
                match (group_of(from), group_of(to)) {
                    (Some(sender), Some(receiver)) => sender != receiver,
                    _ => false,
                }
            }
            Fault::OneWay { from: senders, to: receivers, .. } => {
                from != to && senders.contains(&from) && receivers.contains(&to)
            }
            _ => false,
        }
    }

    /// The nodes it names.
    pub fn nodes(&self) -> Vec<NodeId> {
        match self {
            Fault::Crash { node, .. }
            | Fault::Pause { node, .. }
            | Fault::ClockJump { node, .. }
            | Fault::ClockDrift { node, .. }
            | Fault::WriteError { node }
            | Fault::SyncError { node }
            | Fault::DiskFull { node, .. }
            | Fault::BitRot { node, .. }
            | Fault::MisdirectedWrite { node, .. }
            | Fault::MisdirectedRead { node, .. }
            | Fault::SlowDisk { node, .. } => vec![*node],
            Fault::PowerLoss { nodes, .. } => nodes.clone(),
            Fault::Partition { groups, .. } => groups.concat(),
            Fault::OneWay { from, to, .. } => [from.as_slice(), to].concat(),
            Fault::SlowLink { from, to, .. } => vec![*from, *to],
            Fault::Noise { .. } => Vec::new(),
        }
    }

    /// What is wrong with its values, whatever the world.
    fn nonsense(&self) -> Option<&'static str> {
        match self {
            Fault::PowerLoss { nodes, .. } if has_duplicates(nodes) => {
                Some("a node is listed twice; list it once")
            }
            Fault::Partition { groups, .. } if has_duplicates(&groups.concat()) => {
                Some("a node is listed twice; each node belongs to one group at most")
            }
            Fault::ClockDrift { ppm, .. }
                if !(DriftPpm::SLOWEST..=DriftPpm::FASTEST).contains(ppm) =>
            {
                Some("the drift must lie between -500000 and 1000000 ppm")
            }
            Fault::SlowLink { extra: delay, .. }
            | Fault::Noise { noise: Noise { delay, .. }, .. }
                if *delay > LONGEST_DELAY =>
            {
                Some("no message takes an hour longer; give at most 3600000000000 ns")
            }
            Fault::SlowDisk { factor, .. } if *factor < 2 => {
                Some("a slow disk's factor must be at least 2")
            }
            Fault::BitRot { bits, .. } if !(1..=MOST_ROTTEN_BITS).contains(bits) => {
                Some("rot is of at least one bit, and of at most 4096")
            }
            Fault::BitRot { files: FileKind::LogEnd, bits, .. }
                if *bits > MOST_ROTTEN_BITS_AT_THE_END =>
            {
                Some("rot at the end of a log is of at most 8 bits")
            }
            Fault::MisdirectedWrite { files: FileKind::LogEnd, .. }
            | Fault::MisdirectedRead { files: FileKind::LogEnd, .. } => {
                Some("only rot strikes the end of a log alone; name all of it: log")
            }
            _ => None,
        }
    }
}

impl ScheduledFault {
    /// Checks that the fault fits a world at `now` whose nodes have a disk as `has_disk` says.
    ///
    /// # Errors
    /// When it names an unknown node, needs a disk that is not there, lies in the past, or makes no
    /// sense by itself.
    pub fn check(&self, now: WorldTime, has_disk: &[bool]) -> Result<(), FaultError> {
        let fault = || self.clone();
        let nodes = has_disk.len();
        for node in self.fault.nodes() {
            if node.index() >= nodes {
                return Err(FaultError::UnknownNode { fault: fault(), node, nodes });
            }
            if self.fault.disk().is_some() && !has_disk[node.index()] {
                return Err(FaultError::NoDisk { fault: fault(), node });
            }
        }
        if self.at < now {
            return Err(FaultError::InThePast { fault: fault(), now });
        }
        match self.fault.nonsense() {
            Some(reason) => Err(FaultError::Senseless { fault: fault(), reason }),
            None => Ok(()),
        }
    }
}

fn has_duplicates(nodes: &[NodeId]) -> bool {
    let mut sorted = nodes.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

impl fmt::Display for ScheduledFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", self.at, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash { node, .. } => write!(f, "crash {node}")?,
            Fault::PowerLoss { nodes, .. } => write!(f, "cut the power of {}", list(nodes))?,
            Fault::Pause { node, .. } => write!(f, "pause {node}")?,
            Fault::Partition { groups, .. } => {
                let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
                write!(f, "partition {}", groups.join(" | "))?;
            }
            Fault::OneWay { from, to, .. } => {
                write!(f, "block messages from {} to {}", list(from), list(to))?;
            }
            Fault::SlowLink { from, to, extra, .. } => {
                write!(f, "slow the link {from} to {to} by {extra}")?;
            }
            Fault::Noise { noise, .. } => write!(f, "network noise ({noise})")?,
            Fault::ClockJump { node, by } => write!(f, "set the clock of {node} by {by}")?,
            Fault::ClockDrift { node, ppm, .. } => {
                write!(f, "let the clock of {node} drift by {:+} ppm", ppm.0)?;
            }
            Fault::WriteError { node } => write!(f, "fail a write on the disk of {node}")?,
            Fault::SyncError { node } => write!(f, "fail a sync of the disk of {node}")?,
            Fault::DiskFull { node, .. } => write!(f, "fill the disk of {node}")?,
            Fault::BitRot { node, files, bits } => {
                write!(f, "flip {bits} bits in the {files} of {node}")?;
            }
            Fault::MisdirectedWrite { node, files } => {
                write!(f, "misdirect a write to the {files} of {node}")?;
            }
            Fault::MisdirectedRead { node, files } => {
                write!(f, "misdirect a read of the {files} of {node}")?;
            }
            Fault::SlowDisk { node, factor, .. } => {
                write!(f, "slow the disk of {node} {factor} times")?;
            }
        }
        match self.duration() {
            Some(duration) => write!(f, " for {duration}"),
            None => Ok(()),
        }
    }
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests;
