//! All of the world but the processes themselves: time, queue, links, clocks, timers, disks.
//!
//! It does what needs no process: sending, arming, submitting, counting. It never runs a process;
//! the world does, so that a process can be handed the core while it runs.

use std::collections::{BTreeMap, VecDeque};

use quorate_wal::disk::{DiskError, DiskOp, Struck};
use serde_json::json;

use super::clock::{Clock, DriftPpm};
use super::config::WorldConfig;
use super::counters::{Count, Counters};
use super::disk::{DiskConfig, DiskEpoch, NodeDisk};
use super::fault::{Fault, ScheduledFault};
use super::network::{Fate, Link, NetworkConfig, Noise};
use super::queue::EventQueue;
use super::stream::{NameTable, NoiseSeed, Stream};
use super::system::{NodeId, TimerId};
use super::time::{Nanos, WorldTime};
use super::timers::{TimerEntry, Timers, Wanted};
use super::trace::{Recorder, SentMessage, TraceHash};

/// Which copy of a message this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    Original,
    Duplicate,
    Replay,
}

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope<M> {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) number: u64,
    pub(crate) copy: Copy,
    pub(crate) message: M,
}

/// An entry of the event queue.
#[derive(Clone, Debug)]
pub(crate) enum Event<M> {
    Message(Envelope<M>),
    Timer {
        node: NodeId,
        entry: TimerEntry,
    },
    Disk {
        node: NodeId,
        epoch: DiskEpoch,
    },
    /// Look whether the node should be started, or has inputs waiting that it may handle now.
    Wake {
        node: NodeId,
    },
    FaultBegins(u32),
    FaultEnds(u32),
    /// A process that stopped by itself is started again.
    Rested {
        node: NodeId,
    },
    /// The node's machine is replaced; the other one is ready after this time.
    Replace {
        node: NodeId,
        takes: Nanos,
    },
    /// The other machine is ready.
    Replaced {
        node: NodeId,
    },
}

/// An input that waits for its process.
#[derive(Clone, Debug)]
pub(crate) enum Pending<M> {
    Message(Envelope<M>),
    Timer(TimerId),
    Disk { token: u64, result: Result<(), DiskError> },
}

/// A node without its process.
#[derive(Debug)]
pub(crate) struct Process<M> {
    pub(crate) clock: Clock,
    own_drift: DriftPpm,
    pub(crate) added_drift: i32,
    pub(crate) timers: Timers,
    pub(crate) streams: NameTable<Stream>,
    pub(crate) disk: Option<NodeDisk>,
    /// What slow-disk faults multiply the disk's time by, less one.
    pub(crate) slowness: u64,
    pub(crate) incarnation: u32,
    pub(crate) running: bool,
    /// Whether its machine is being replaced: not even healing starts it before it is there.
    pub(crate) between_machines: bool,
    /// It has asked to be stopped after this step.
    pub(crate) halting: bool,
    /// It has stopped by itself, and is started again later.
    pub(crate) resting: bool,
    /// It refused what its disk holds.
    pub(crate) refused: bool,
    /// How many active faults fill its disk.
    pub(crate) full: u32,
    /// How many active faults hold it down, and make it stand still.
    pub(crate) down: u32,
    pub(crate) paused: u32,
    /// Healed for good: faults no longer touch it.
    pub(crate) healed: bool,
    pub(crate) waiting: VecDeque<Pending<M>>,
}

impl<M> Process<M> {
    pub(crate) fn is_paused(&self) -> bool {
        self.paused > 0 && !self.healed
    }

    pub(crate) fn is_held_down(&self) -> bool {
        self.between_machines || self.resting || self.refused || self.down > 0 && !self.healed
    }

    fn disk_factor(&self) -> u64 {
        if self.healed { 1 } else { 1 + self.slowness }
    }
}

/// A fault of the schedule and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct FaultEntry {
    pub(crate) scheduled: ScheduledFault,
    pub(crate) active: bool,
    pub(crate) took_effect: bool,
}

pub(crate) struct Core<M> {
    pub(crate) seed: NoiseSeed,
    network: NetworkConfig,
    pub(crate) disk_config: DiskConfig,
    pub(crate) now: WorldTime,
    pub(crate) queue: EventQueue<Event<M>>,
    pub(crate) processes: Vec<Process<M>>,
    links: Vec<Link>,
    /// The sum of all noise that is active.
    noise: Noise,
    pub(crate) faults: Vec<FaultEntry>,
    /// Active faults that have not taken effect yet; mostly empty, so a look at it is cheap.
    pub(crate) unfelt: Vec<u32>,
    pub(crate) counters: Counters,
    marks: NameTable<u64>,
    pub(crate) hash: TraceHash,
    pub(crate) recorder: Option<Recorder<M>>,
}

impl<M: Clone> Core<M> {
    pub(crate) fn new(config: &WorldConfig) -> Core<M> {
        let seed = config.noise_seed;
        let process = |(index, node): (usize, &super::config::NodeConfig)| Process {
            clock: Clock::new(node.clock_offset, node.clock_drift),
            own_drift: node.clock_drift,
            added_drift: 0,
            timers: Timers::default(),
            streams: NameTable::new(),
            disk: node.has_disk.then(|| NodeDisk::new(seed, NodeId(index as u32))),
            slowness: 0,
            incarnation: 0,
            running: false,
            between_machines: false,
            halting: false,
            resting: false,
            refused: false,
            full: 0,
            down: 0,
            paused: 0,
            healed: false,
            waiting: VecDeque::new(),
        };
        let count = config.nodes.len();
        Core {
            seed,
            network: config.network.clone(),
            disk_config: config.disk.clone(),
            now: WorldTime::ZERO,
            queue: EventQueue::new(),
            processes: config.nodes.iter().enumerate().map(process).collect(),
            links: (0..count * count).map(|_| Link::default()).collect(),
            noise: Noise::default(),
            faults: Vec::new(),
            unfelt: Vec::new(),
            counters: Counters::default(),
            marks: NameTable::new(),
            hash: TraceHash::EMPTY,
            recorder: None,
        }
    }

    pub(crate) fn link(&self, from: NodeId, to: NodeId) -> &Link {
        &self.links[from.index() * self.processes.len() + to.index()]
    }

    pub(crate) fn link_mut(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        &mut self.links[from.index() * self.processes.len() + to.index()]
    }

    /// All pairs of nodes, as (from, to).
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (NodeId, NodeId)> + use<M> {
        let count = self.processes.len() as u32;
        (0..count).flat_map(move |from| (0..count).map(move |to| (NodeId(from), NodeId(to))))
    }

    /// Gives a message its fate. The link's draw is taken in any case, so that a block changes
    /// nothing for the messages after it. Blocks count here and again at the arrival.
    pub(crate) fn send(&mut self, from: NodeId, to: NodeId, message: M) {
        let (seed, count) = (self.seed, self.processes.len());
        assert!(to.index() < count, "{from} sent a message to {to}, but there are {count} nodes");
        let link = &mut self.links[from.index() * count + to.index()];
        let number = link.sent;
        let bits = link.draw(seed, from, to);
        let (blocked, extra, healed) = (link.is_blocked(), link.extra_delay(), link.healed);
        self.counters.one(Count::Sent);
        let noise = if healed { Noise::default() } else { self.noise };
        let fate = (!blocked).then(|| self.network.fate(bits, noise));
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(SentMessage { to, number, fate, message: message.clone() });
        }
        if !self.unfelt.is_empty() {
            self.feel_network(from, to, bits, fate, extra);
        }
        let Some(fate) = fate else {
            self.counters.one(Count::MessageBlocked);
            return;
        };
        let Some(delay) = fate.arrives else {
            self.counters.one(Count::MessageLost);
            return;
        };
        let base = self.now.saturating_add(extra);
        for (delay, copy) in [(fate.duplicate, Copy::Duplicate), (fate.replay, Copy::Replay)] {
            if let Some(delay) = delay {
                let message = message.clone();
                let envelope = Envelope { from, to, number, copy, message };
                self.queue.push(base.saturating_add(delay), Event::Message(envelope));
            }
        }
        let envelope = Envelope { from, to, number, copy: Copy::Original, message };
        self.queue.push(base.saturating_add(delay), Event::Message(envelope));
    }

    /// Whether a message that arrives is dropped, because its receiver is down or its link blocked.
    pub(crate) fn drops(&mut self, envelope: &Envelope<M>) -> bool {
        let (from, to) = (envelope.from, envelope.to);
        let why = if !self.processes[to.index()].running {
            Count::MessageToDownNode
        } else if self.link(from, to).is_blocked() {
            self.feel(|fault| fault.blocks(from, to));
            Count::MessageBlocked
        } else {
            return false;
        };
        self.counters.one(why);
        let (now, number) = (self.now.as_nanos(), envelope.number);
        self.record(|| {
            json!({
                "time": now, "event": "dropped", "why": why.name(),
                "from": from, "to": to, "number": number,
            })
        });
        true
    }

    /// Whether a running process may handle an input at once: it does not stand still, and nothing
    /// waits before.
    pub(crate) fn is_ready(&self, node: NodeId) -> bool {
        let process = &self.processes[node.index()];
        !process.is_paused() && process.waiting.is_empty()
    }

    /// Counts what a handled message shows of the network's mischief.
    pub(crate) fn count_handled(&mut self, envelope: &Envelope<M>) {
        self.counters.one(Count::Handled);
        let link = self.link_mut(envelope.from, envelope.to);
        let overtaken = envelope.number + 1 < link.arrived;
        link.arrived = link.arrived.max(envelope.number + 1);
        match envelope.copy {
            Copy::Original if overtaken => self.counters.one(Count::MessageReordered),
            Copy::Original => {}
            Copy::Duplicate => self.counters.one(Count::MessageDuplicated),
            Copy::Replay => self.counters.one(Count::MessageReplayed),
        }
    }

    pub(crate) fn set_timer(&mut self, node: NodeId, timer: TimerId, after: Nanos) {
        let process = &mut self.processes[node.index()];
        let deadline = process.clock.local(self.now).saturating_add(after);
        let wanted = process.timers.set(timer, deadline, &process.clock, self.now);
        if let Some(wanted) = wanted {
            self.queue_timer(node, wanted);
        }
    }

    pub(crate) fn queue_timer(&mut self, node: NodeId, wanted: Wanted) {
        self.queue.push(wanted.at, Event::Timer { node, entry: wanted.entry });
    }

    /// Lets a clock run as its own drift and the active faults say.
    pub(crate) fn apply_drift(&mut self, node: NodeId) {
        let now = self.now;
        let process = &mut self.processes[node.index()];
        let added = if process.healed { 0 } else { process.added_drift };
        process.clock.set_drift(now, process.own_drift.plus(DriftPpm(added)));
        self.requeue_timers(node);
    }

    /// Queues again what a change of the clock made due earlier.
    pub(crate) fn requeue_timers(&mut self, node: NodeId) {
        let process = &mut self.processes[node.index()];
        for wanted in process.timers.after_clock_change(&process.clock, self.now) {
            self.queue_timer(node, wanted);
        }
    }

    pub(crate) fn disk(&mut self, node: NodeId) -> &mut NodeDisk {
        let disk = self.processes[node.index()].disk.as_mut();
        disk.unwrap_or_else(|| panic!("{node} used a disk, but its configuration gives it none"))
    }

    pub(crate) fn submit(&mut self, node: NodeId, token: u64, operations: Vec<DiskOp>) {
        self.disk(node).submit(token, operations);
        self.start_disk(node);
    }

    /// Lets the disk begin with its next batch, if it is idle and there is one.
    pub(crate) fn start_disk(&mut self, node: NodeId) {
        let now = self.now;
        let process = &mut self.processes[node.index()];
        let factor = process.disk_factor();
        let disk = process.disk.as_mut().expect("only a disk that exists is started");
        if let Some((done, epoch)) = disk.start(&self.disk_config, now, factor) {
            self.queue.push(done, Event::Disk { node, epoch });
            if factor > 1 {
                let is_it =
                    |fault: &Fault| matches!(fault, Fault::SlowDisk { node: n, .. } if *n == node);
                self.feel(is_it);
            }
        }
    }

    pub(crate) fn mark(&mut self, mark: &'static str) {
        *self.marks.entry(mark, || 0) += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.mark(mark);
        }
    }

    pub(crate) fn marks(&self) -> BTreeMap<&'static str, u64> {
        self.marks.iter().map(|(mark, count)| (mark, *count)).collect()
    }

    /// Adds a line to the trace, if one is recorded.
    pub(crate) fn record(&mut self, line: impl FnOnce() -> serde_json::Value) {
        if let Some(recorder) = &mut self.recorder {
            recorder.line(line());
        }
    }

    /// Counts the active faults that `is_felt` picks and that had no effect so far.
    pub(crate) fn feel(&mut self, is_felt: impl Fn(&Fault) -> bool) {
        let (faults, counters) = (&mut self.faults, &mut self.counters);
        self.unfelt.retain(|index| {
            let entry = &mut faults[*index as usize];
            let felt = is_felt(&entry.scheduled.fault);
            if felt {
                entry.took_effect = true;
                counters.one(count_of(&entry.scheduled.fault));
            }
            !felt
        });
    }

    /// Counts an active fault as one that had an effect.
    pub(crate) fn feel_one(&mut self, index: u32) {
        let entry = &mut self.faults[index as usize];
        assert!(entry.active && !entry.took_effect, "a fault is counted once, while it is active");
        entry.took_effect = true;
        self.counters.one(count_of(&entry.scheduled.fault));
        self.unfelt.retain(|unfelt| *unfelt != index);
    }

    /// Counts the first of the active faults that `is_felt` picks and that had no effect so far. One
    /// that happens at one instant has happened.
    pub(crate) fn feel_first(&mut self, is_felt: impl Fn(&Fault) -> bool) {
        let picked = |index: &&u32| is_felt(&self.faults[**index as usize].scheduled.fault);
        let Some(index) = self.unfelt.iter().find(picked).copied() else { return };
        self.feel_one(index);
        if self.faults[index as usize].scheduled.fault.duration().is_none() {
            self.deactivate(index);
        }
    }

    /// Counts what a disk has shown of its faults since it was looked at last.
    pub(crate) fn feel_disk(&mut self, node: NodeId) {
        let Some(disk) = &mut self.processes[node.index()].disk else { return };
        let struck = disk.contents_mut().take_struck();
        if struck == Struck::default() {
            return;
        }
        for _ in 0..struck.operations {
            self.feel_first(|fault| matches!(fault, Fault::WriteError { node: n } if *n == node));
        }
        for _ in 0..struck.syncs {
            self.feel_first(|fault| matches!(fault, Fault::SyncError { node: n } if *n == node));
        }
        for _ in 0..struck.misdirected_reads {
            let is_it = |fault: &Fault| matches!(fault, Fault::MisdirectedRead { node: n, .. } if *n == node);
            self.feel_first(is_it);
        }
        if struck.no_space > 0 {
            self.feel(|fault| matches!(fault, Fault::DiskFull { node: n, .. } if *n == node));
        }
    }

    /// Whether a disk is full, as the active faults say.
    pub(crate) fn apply_full(&mut self, node: NodeId) {
        let process = &mut self.processes[node.index()];
        let full = process.full > 0 && !process.healed;
        if let Some(disk) = &mut process.disk {
            disk.contents_mut().set_full(full);
        }
    }

    /// A fault is over; if it had no effect so far, it had none.
    pub(crate) fn deactivate(&mut self, index: u32) {
        self.faults[index as usize].active = false;
        self.unfelt.retain(|unfelt| *unfelt != index);
    }

    /// Adds up anew what all active noise faults add to the network's own. (Rates end at a
    /// million, so taking one away again cannot be a subtraction.)
    pub(crate) fn sum_noise(&mut self) {
        let active = self.faults.iter().filter(|entry| entry.active);
        self.noise = active.fold(Noise::default(), |sum, entry| match &entry.scheduled.fault {
            Fault::Noise { noise, .. } => sum.plus(*noise),
            _ => sum,
        });
    }

    /// Counts the network faults that one message's fate shows.
    fn feel_network(
        &mut self,
        from: NodeId,
        to: NodeId,
        bits: u128,
        fate: Option<Fate>,
        extra: Nanos,
    ) {
        match fate {
            None => self.feel(|fault| fault.blocks(from, to)),
            Some(fate) => {
                let noisy = fate != self.network.fate(bits, Noise::default());
                self.feel(|fault| match fault {
                    Fault::Noise { noise, .. } => noisy && !noise.is_none(),
                    Fault::SlowLink { from: a, to: b, .. } => {
                        extra > Nanos::ZERO && (*a, *b) == (from, to)
                    }
                    _ => false,
                });
            }
        }
    }
}

/// Where a fault that took effect is counted.
fn count_of(fault: &Fault) -> Count {
    match fault {
        Fault::Crash { .. } => Count::Crash,
        Fault::PowerLoss { .. } => Count::PowerLoss,
        Fault::Pause { .. } => Count::Pause,
        Fault::Partition { .. } => Count::Partition,
        Fault::OneWay { .. } => Count::OneWay,
        Fault::SlowLink { .. } => Count::SlowLink,
        Fault::Noise { .. } => Count::Noise,
        Fault::ClockJump { .. } => Count::ClockJump,
        Fault::ClockDrift { .. } => Count::ClockDrift,
        Fault::WriteError { .. } => Count::WriteError,
        Fault::SyncError { .. } => Count::SyncError,
        Fault::DiskFull { .. } => Count::DiskFull,
        Fault::BitRot { .. } => Count::BitRot,
        Fault::MisdirectedWrite { .. } => Count::MisdirectedWrite,
        Fault::MisdirectedRead { .. } => Count::MisdirectedRead,
        Fault::SlowDisk { .. } => Count::SlowDisk,
    }
}
