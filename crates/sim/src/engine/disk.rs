//! One node's disk in the world: contents, and a queue of batches that take time.
//!
//! Batches are carried out one after the other, their operations in order and spread over the
//! batch's latency. Nothing inside the world can see the contents between two operations, so the
//! operations are carried out lazily: all of them when the batch completes, or, when a crash cuts
//! in, those whose time had come. What a disk stores and what it loses at a power cut is the
//! business of [`MemDisk`].

use std::collections::{BTreeSet, VecDeque};

use quorate_wal::disk::{DiskError, DiskFailure, DiskOp, DiskPath, MemDisk, PowerLoss};
use serde::{Deserialize, Serialize};

use super::stream::{NoiseSeed, Stream, scale, scale_u32};
use super::system::{Exposed, NodeId};
use super::time::{Nanos, WorldTime};

/// How long a disk takes.
///
/// A batch takes `write` for each operation but syncs and `sync` for each sync, a uniform part of
/// `jitter`, and rarely a uniform part of `tail` more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskConfig {
    /// The time of an operation that is no sync.
    #[serde(rename = "write_ns")]
    pub write: Nanos,
    /// The time of a sync.
    #[serde(rename = "sync_ns")]
    pub sync: Nanos,
    /// The width of a batch's usual variation.
    #[serde(rename = "jitter_ns")]
    pub jitter: Nanos,
    /// How many batches of a million fall into the heavy tail.
    pub tail_ppm: u32,
    /// The width of the tail.
    #[serde(rename = "tail_ns")]
    pub tail: Nanos,
}

impl Default for DiskConfig {
    /// A server's solid-state drive, with the odd hiccup.
    fn default() -> DiskConfig {
        DiskConfig {
            write: Nanos::from_micros(10),
            sync: Nanos::from_micros(300),
            jitter: Nanos::from_micros(300),
            tail_ppm: 5_000,
            tail: Nanos::from_millis(40),
        }
    }
}

/// A write error strikes one of so many operations: about those of a batch or two.
const NEXT_OPERATIONS: u64 = 6;
/// The distance of bits that rot together: a prime, so that they lie in several bytes.
const ROT_STRIDE_BITS: u64 = 11;

/// A batch that waits or is being carried out.
#[derive(Debug)]
struct Batch {
    token: u64,
    operations: Vec<DiskOp>,
    bits: u64,
}

/// The batch at the front of the queue, once its time is known.
#[derive(Clone, Copy, Debug)]
struct Running {
    since: WorldTime,
    takes: Nanos,
}

/// What a crash left of the operations in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Operations that will never be carried out.
    pub(crate) operations: u64,
}

/// Tells completions of the present queue from those of a queue that a crash has emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskEpoch(u32);

/// A disk and its queue.
#[derive(Debug)]
pub(crate) struct NodeDisk {
    contents: MemDisk,
    queue: VecDeque<Batch>,
    running: Option<Running>,
    epoch: DiskEpoch,
    latency: Stream,
    crash: Stream,
    failure: Stream,
    damage: Stream,
    power_losses: u64,
    seed: NoiseSeed,
    node: NodeId,
}

impl NodeDisk {
    pub(crate) fn new(seed: NoiseSeed, node: NodeId) -> NodeDisk {
        let stream = |purpose| Stream::new(seed, purpose, u64::from(node.0), 0);
        NodeDisk {
            contents: MemDisk::new(),
            queue: VecDeque::new(),
            running: None,
            epoch: DiskEpoch(0),
            latency: stream("disk latency"),
            crash: stream("disk crash"),
            failure: stream("disk failure"),
            damage: stream("disk damage"),
            power_losses: 0,
            seed,
            node,
        }
    }

    /// Another disk takes its place, an empty one. What was under way is forgotten, and its draws go
    /// on.
    pub(crate) fn replace(&mut self) {
        self.contents = MemDisk::new();
        self.queue.clear();
        self.running = None;
        self.epoch = DiskEpoch(self.epoch.0.wrapping_add(1));
    }

    pub(crate) fn contents(&self) -> &MemDisk {
        &self.contents
    }

    pub(crate) fn contents_mut(&mut self) -> &mut MemDisk {
        &mut self.contents
    }

    /// Adds a batch to the queue. Its draw is taken here, so that the n-th batch always draws the
    /// same.
    pub(crate) fn submit(&mut self, token: u64, operations: Vec<DiskOp>) {
        let bits = self.latency.next_u64();
        self.queue.push_back(Batch { token, operations, bits });
    }

    /// Begins with the next batch unless one is running; says when it will be done.
    pub(crate) fn start(
        &mut self,
        config: &DiskConfig,
        now: WorldTime,
        factor: u64,
    ) -> Option<(WorldTime, DiskEpoch)> {
        let batch = self.queue.front().filter(|_| self.running.is_none())?;
        let nominal = batch.operations.iter().map(|operation| config.cost(operation));
        let nominal = nominal.fold(Nanos::ZERO, Nanos::saturating_add);
        let takes = nominal.saturating_add(config.variation(batch.bits)).as_nanos();
        let takes = Nanos::from_nanos(takes.saturating_mul(factor));
        self.running = Some(Running { since: now, takes });
        Some((now.saturating_add(takes), self.epoch))
    }

    /// Whether a completion is of the present queue.
    pub(crate) fn is_current(&self, epoch: DiskEpoch) -> bool {
        epoch == self.epoch
    }

    /// Whether the running batch writes to a file in a directory.
    pub(crate) fn is_about_to_write(&self, dir: &DiskPath) -> bool {
        self.queue.front().is_some_and(|batch| {
            batch
                .operations
                .iter()
                .any(|operation| matches!(operation, DiskOp::Write { file, .. } if file.is_in(dir)))
        })
    }

    /// Has one of the running batch's writes in a directory land elsewhere: somewhere in what is
    /// exposed, to its end at most. Says whether there is another place.
    pub(crate) fn misdirect_write(&mut self, dir: &DiskPath, exposed: &[Exposed]) -> bool {
        let (which, place) = (self.damage.next_u64(), self.damage.next_u64());
        let batch = self.queue.front_mut().expect("a batch is running");
        let writes: Vec<usize> = (0..batch.operations.len())
            .filter(|at| {
                matches!(&batch.operations[*at], DiskOp::Write { file, .. } if file.is_in(dir))
            })
            .collect();
        let total: u64 = exposed.iter().map(|part| part.bytes.end - part.bytes.start).sum();
        if writes.is_empty() || total == 0 {
            return false;
        }
        let at = writes[scale(which, writes.len() as u64) as usize];
        let DiskOp::Write { file, offset, data } = &mut batch.operations[at] else {
            unreachable!("it is one of the writes")
        };
        let mut to = scale(place, total);
        for part in exposed {
            let length = part.bytes.end - part.bytes.start;
            if to < length {
                let begin = part.bytes.start + to;
                if *file == part.file && *offset == begin {
                    return false;
                }
                let fits = (part.bytes.end - begin).min(data.len() as u64) as usize;
                (*file, *offset) = (part.file.clone(), begin);
                *data = data.slice(..fits);
                return true;
            }
            to -= length;
        }
        unreachable!("the place lies in one of the parts")
    }

    /// Carries out the batch that is done; `None` when a crash has overtaken it.
    pub(crate) fn complete(&mut self, epoch: DiskEpoch) -> Option<(u64, Result<(), DiskError>)> {
        if epoch != self.epoch {
            return None;
        }
        self.running.take().expect("a batch completes after it was started");
        let batch = self.queue.pop_front().expect("a running batch is at the front of the queue");
        let mut operations = batch.operations.iter();
        let result = operations.try_for_each(|operation| operation.execute(&mut self.contents));
        if result.is_err() {
            // What was to come after it must not be carried out.
            self.queue.clear();
        }
        Some((batch.token, result))
    }

    /// The process is killed at `now`: of the running batch, what had its time is carried out, and
    /// the operation that was in the middle of it by the toss of a coin. The rest is forgotten.
    pub(crate) fn cut(&mut self, config: &DiskConfig, now: WorldTime) -> Cut {
        let coin = self.crash.chance(500_000);
        let mut operations = self.queue.iter().map(|batch| batch.operations.len() as u64).sum();
        if let (Some(running), Some(batch)) = (self.running, self.queue.front()) {
            let costs = || batch.operations.iter().map(|operation| config.cost(operation));
            let total: u128 = costs().map(|cost| u128::from(cost.as_nanos())).sum();
            let passed = u128::from(now.since(running.since).as_nanos());
            let takes = u128::from(running.takes.as_nanos());
            let mut before = 0;
            for (operation, cost) in batch.operations.iter().zip(costs()) {
                // The operation's share of the batch's time begins and ends here; times `total`.
                let begins = before * takes;
                before += u128::from(cost.as_nanos());
                let done = before * takes <= passed * total;
                let begun = begins < passed * total;
                if !(done || begun && coin) {
                    break;
                }
                operations -= 1;
                // Nobody is left to be told of a failure.
                if operation.execute(&mut self.contents).is_err() || !done {
                    break;
                }
            }
        }
        self.queue.clear();
        self.running = None;
        self.epoch = DiskEpoch(self.epoch.0.wrapping_add(1));
        Cut { operations }
    }

    /// The machine loses power: of what is not synced, chance keeps some. Each loss has a stream of
    /// its own, as how many draws it takes depends on what was not synced.
    pub(crate) fn power_loss(&mut self) -> PowerLoss {
        let node = u64::from(self.node.0);
        let mut chance = Stream::new(self.seed, "power loss", node, self.power_losses);
        self.power_losses += 1;
        self.contents.power_loss(|_| chance.chance(500_000))
    }

    /// One of the next operations is to fail.
    pub(crate) fn fail_operation(&mut self) {
        let (after, spared) = (self.failure.below(NEXT_OPERATIONS) as u32, self.failure.next_u64());
        self.contents.arm(DiskFailure::Operation { after, spared });
    }

    /// The next sync is to fail.
    pub(crate) fn fail_sync(&mut self) {
        let spared = self.failure.next_u64();
        self.contents.arm(DiskFailure::Sync { spared });
    }

    /// The next read in a directory is to be misdirected.
    pub(crate) fn misdirect_read(&mut self, dir: DiskPath) {
        let place = self.failure.next_u64();
        self.contents.arm(DiskFailure::MisdirectedRead { dir, place });
    }

    /// Flips bits of one of the files, anywhere in what of it is exposed. Says how many have changed
    /// anything.
    pub(crate) fn rot(&mut self, exposed: &[Exposed], bits: u32) -> u32 {
        // All its draws come from two, so that the next fault's do not depend on this one's.
        let (file, place) = (self.damage.next_u64(), self.damage.next_u64());
        let files: BTreeSet<&DiskPath> = exposed.iter().map(|part| &part.file).collect();
        let Some(file) = files.iter().nth(scale(file, files.len() as u64) as usize) else {
            return 0;
        };
        let parts: Vec<&Exposed> = exposed.iter().filter(|part| part.file == **file).collect();
        let total: u64 = parts.iter().map(|part| part.bytes.end - part.bytes.start).sum();
        if total == 0 {
            return 0;
        }
        let first = scale(place, total * 8);
        let mut changed = 0;
        for number in 0..u64::from(bits) {
            // Rot is of neighbours.
            let mut bit = (first + number * ROT_STRIDE_BITS) % (total * 8);
            for part in &parts {
                let length = (part.bytes.end - part.bytes.start) * 8;
                if bit < length {
                    changed +=
                        u32::from(self.contents.flip_bit(&part.file, part.bytes.start * 8 + bit));
                    break;
                }
                bit -= length;
            }
        }
        changed
    }
}

impl DiskConfig {
    fn cost(&self, operation: &DiskOp) -> Nanos {
        if operation.is_sync() { self.sync } else { self.write }
    }

    /// Jitter and tail of a batch, from its 64 drawn bits.
    fn variation(&self, bits: u64) -> Nanos {
        let jitter = scale_u32(bits as u32, self.jitter.as_nanos() + 1);
        let pick = (bits >> 32) as u32;
        let threshold = (u64::from(self.tail_ppm) << 32) / 1_000_000;
        let in_tail = u64::from(pick) < threshold;
        // Below its threshold the pick is uniform again, and tells how far out it lies.
        let tail = if in_tail { self.tail.as_nanos() * u64::from(pick) / threshold } else { 0 };
        Nanos::from_nanos(jitter).saturating_add(Nanos::from_nanos(tail))
    }
}
