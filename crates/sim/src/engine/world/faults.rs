//! How faults begin and end in a world, and how they are healed.
//!
//! Overlaps are counted: a fault's end undoes exactly what its beginning did, so the order in which
//! faults begin and end never matters.

use super::super::clock::DriftPpm;
use super::super::core::Event;
use super::super::counters::Count;
use super::super::fault::{Fault, FileKind};
use super::super::system::{Cause, Exposed, NodeId, System, View};
use super::super::time::{Nanos, SignedNanos};
use super::{Stop, World};

impl<S: System> World<S> {
    /// Heals everything: see [`World::heal`].
    pub fn heal_all(&mut self) {
        let all: Vec<NodeId> = (0..self.nodes.len() as u32).map(NodeId).collect();
        self.heal(&all);
    }

    /// Takes all faults, present and future, away from `nodes`, for good: those that are down start
    /// again, those that stand still go on, their clocks and disks run as configured, and the links
    /// among them are open, without noise or added delay. Links to other nodes, and those nodes
    /// themselves, keep their faults. The network's own loss and delay remain everywhere, and a
    /// clock keeps the time it was set to.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn heal(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            self.core.processes[node.index()].healed = true;
        }
        for (from, to) in self.core.pairs() {
            let healed = [from, to].iter().all(|node| self.core.processes[node.index()].healed);
            self.core.link_mut(from, to).healed = healed;
        }
        for node in nodes {
            self.core.apply_drift(*node);
            self.core.apply_full(*node);
            if let Some(disk) = &mut self.core.processes[node.index()].disk {
                disk.contents_mut().disarm();
            }
            self.wake_now(*node);
        }
        let time = self.core.now.as_nanos();
        self.core.record(|| serde_json::json!({ "time": time, "event": "healed", "nodes": nodes }));
    }

    pub(super) fn begin_fault(&mut self, index: u32) -> Result<(), Stop<S::Violation>> {
        let scheduled = self.core.faults[index as usize].scheduled.clone();
        self.record_fault("fault", &scheduled);
        self.core.faults[index as usize].active = true;
        self.core.unfelt.push(index);
        if let Some(duration) = scheduled.fault.duration() {
            self.ends_after(index, duration);
        }
        let mut hit = Vec::new();
        match &scheduled.fault {
            Fault::Crash { node, .. } => {
                self.core.processes[node.index()].down += 1;
                if self.kill(*node) {
                    hit.push((*node, Cause::Crash));
                }
            }
            Fault::PowerLoss { nodes, .. } => {
                for node in nodes {
                    self.core.processes[node.index()].down += 1;
                    if self.cut_power(*node) {
                        hit.push((*node, Cause::PowerLoss));
                    }
                }
            }
            Fault::ClockJump { node, by } => {
                let now = self.core.now;
                let process = &mut self.core.processes[node.index()];
                if !process.healed {
                    process.clock.jump(now, *by);
                    if *by < SignedNanos::ZERO {
                        process.timers.set_back(*by);
                    }
                    let running = process.running;
                    self.core.requeue_timers(*node);
                    if running {
                        self.core.feel_one(index);
                    }
                }
                self.core.deactivate(index);
            }
            Fault::ClockDrift { node, ppm, .. } => {
                let process = &mut self.core.processes[node.index()];
                process.added_drift += ppm.0;
                let felt = process.running && !process.healed && *ppm != DriftPpm(0);
                self.core.apply_drift(*node);
                if felt {
                    self.core.feel_one(index);
                }
            }
            disk if disk.disk().is_some() && disk.duration().is_none() => {
                self.begin_disk_fault(index, disk)?;
            }
            lasting => self.add_or_remove(lasting, true),
        }
        if !hit.is_empty() {
            self.core.feel_one(index);
        }
        for (node, cause) in hit {
            let step = self.begin_step(node, cause, 0)?;
            self.end_step(step)?;
        }
        Ok(())
    }

    pub(super) fn end_fault(&mut self, index: u32) {
        let scheduled = self.core.faults[index as usize].scheduled.clone();
        self.record_fault("fault over", &scheduled);
        self.core.deactivate(index);
        match &scheduled.fault {
            Fault::Crash { node, .. } => self.release(&[*node]),
            Fault::PowerLoss { nodes, .. } => self.release(nodes),
            Fault::ClockDrift { node, ppm, .. } => {
                self.core.processes[node.index()].added_drift -= ppm.0;
                self.core.apply_drift(*node);
            }
            Fault::ClockJump { .. } => unreachable!("a jump has no end"),
            lasting => self.add_or_remove(lasting, false),
        }
    }

    /// Begins or ends those faults whose effect is a sum over all that are active.
    fn add_or_remove(&mut self, fault: &Fault, begins: bool) {
        let count = |count: &mut u32| if begins { *count += 1 } else { *count -= 1 };
        match fault {
            Fault::Pause { node, .. } => {
                count(&mut self.core.processes[node.index()].paused);
                if !begins {
                    self.wake_now(*node);
                }
            }
            Fault::Partition { .. } | Fault::OneWay { .. } => {
                for (from, to) in self.core.pairs().filter(|(from, to)| fault.blocks(*from, *to)) {
                    count(&mut self.core.link_mut(from, to).blocks);
                }
            }
            Fault::SlowLink { from, to, extra, .. } => {
                let added = &mut self.core.link_mut(*from, *to).extra;
                *added = if begins { *added + *extra } else { added.saturating_sub(*extra) };
            }
            Fault::Noise { .. } => self.core.sum_noise(),
            Fault::DiskFull { node, .. } => {
                count(&mut self.core.processes[node.index()].full);
                self.core.apply_full(*node);
            }
            Fault::SlowDisk { node, factor, .. } => {
                let slowness = &mut self.core.processes[node.index()].slowness;
                let added = u64::from(factor - 1);
                *slowness = if begins { *slowness + added } else { *slowness - added };
            }
            Fault::Crash { .. }
            | Fault::PowerLoss { .. }
            | Fault::ClockJump { .. }
            | Fault::ClockDrift { .. }
            | Fault::WriteError { .. }
            | Fault::SyncError { .. }
            | Fault::BitRot { .. }
            | Fault::MisdirectedWrite { .. }
            | Fault::MisdirectedRead { .. } => unreachable!("{} is no sum", fault.kind()),
        }
    }

    /// Begins what happens to a disk at one instant: now, or at its next operation.
    fn begin_disk_fault(&mut self, index: u32, fault: &Fault) -> Result<(), Stop<S::Violation>> {
        let node = fault.disk().expect("it is about a disk");
        let healed = self.core.processes[node.index()].healed;
        if healed {
            self.core.deactivate(index);
            return Ok(());
        }
        match fault {
            Fault::WriteError { .. } => self.core.disk(node).fail_operation(),
            Fault::SyncError { .. } => self.core.disk(node).fail_sync(),
            Fault::MisdirectedRead { files, .. } => match self.system.directory(node, *files) {
                Some(dir) => self.core.disk(node).misdirect_read(dir),
                None => self.core.deactivate(index),
            },
            Fault::BitRot { files, bits, .. } => return self.rot(index, node, *files, *bits),
            // It waits for a write.
            Fault::MisdirectedWrite { .. } => {}
            other => unreachable!("{} does not happen at one instant", other.kind()),
        }
        Ok(())
    }

    /// Flips bits where the system allows it.
    fn rot(
        &mut self,
        index: u32,
        node: NodeId,
        files: FileKind,
        bits: u32,
    ) -> Result<(), Stop<S::Violation>> {
        let Some(exposed) = self.exposed(node, files) else {
            self.core.deactivate(index);
            return Ok(());
        };
        let changed = self.core.disk(node).rot(&exposed, bits);
        if changed > 0 {
            self.core.feel_one(index);
        }
        self.core.deactivate(index);
        if changed > 0 { self.damaged(node) } else { Ok(()) }
    }

    /// Has a write of the batch that is about to be carried out land elsewhere, if a fault waits for
    /// one and the system allows it. Says whether it did.
    pub(super) fn misdirect_write(&mut self, node: NodeId) -> bool {
        let waits = self.core.unfelt.iter().find_map(|index| {
            match self.core.faults[*index as usize].scheduled.fault {
                Fault::MisdirectedWrite { node: n, files } if n == node => Some((*index, files)),
                _ => None,
            }
        });
        let Some((index, files)) = waits else { return false };
        let Some(dir) = self.system.directory(node, files) else { return false };
        if !self.core.disk(node).is_about_to_write(&dir) {
            return false;
        }
        let exposed = self.exposed(node, files);
        let misdirected =
            exposed.is_some_and(|exposed| self.core.disk(node).misdirect_write(&dir, &exposed));
        if misdirected {
            self.core.feel_one(index);
        }
        self.core.deactivate(index);
        misdirected
    }

    /// What a fault may destroy; if nothing, that is counted.
    fn exposed(&mut self, node: NodeId, files: FileKind) -> Option<Vec<Exposed>> {
        let view = View { nodes: &self.nodes, core: &self.core };
        let exposed = self.system.exposed(node, files, &view);
        if exposed.is_none() {
            self.core.counters.one(Count::DamageSpared);
        }
        exposed
    }

    /// Tells the system, and nobody else, that a disk is damaged.
    pub(super) fn damaged(&mut self, node: NodeId) -> Result<(), Stop<S::Violation>> {
        let step = self.begin_step(node, Cause::Damage, 0)?;
        self.end_step(step)
    }

    /// Lets go of nodes that a fault held down.
    fn release(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            self.core.processes[node.index()].down -= 1;
            self.wake_now(*node);
        }
    }

    /// Kills a running process, unless the node is healed; says whether it did.
    fn kill(&mut self, node: NodeId) -> bool {
        let process = &self.core.processes[node.index()];
        let dies = process.running && !process.healed;
        if dies {
            self.end_process(node);
        }
        dies
    }

    /// The process is gone, and of its disk's operations those that had no time yet.
    pub(super) fn end_process(&mut self, node: NodeId) {
        let now = self.core.now;
        let process = &mut self.core.processes[node.index()];
        process.running = false;
        process.halting = false;
        process.timers.clear();
        process.waiting.clear();
        if let Some(disk) = &mut process.disk {
            let cut = disk.cut(&self.core.disk_config, now);
            self.core.counters.add(Count::DiskOperationCut, cut.operations);
            self.core.feel_disk(node);
        }
        self.nodes[node.index()] = None;
    }

    /// The node gets another machine, with an empty disk, that is ready after `takes`.
    pub(super) fn replace(&mut self, node: NodeId, takes: Nanos) -> Result<(), Stop<S::Violation>> {
        if self.core.processes[node.index()].running {
            self.end_process(node);
        }
        if let Some(disk) = &mut self.core.processes[node.index()].disk {
            disk.replace();
        }
        self.core.processes[node.index()].refused = false;
        self.core.counters.one(Count::MachineReplaced);
        let ready = self.core.now.saturating_add(takes);
        self.core.queue.push(ready, Event::Replaced { node });
        let step = self.begin_step(node, Cause::Replaced, 0)?;
        self.end_step(step)
    }

    /// Cuts a machine's power, unless the node is healed: its process dies if it runs, and its disk
    /// loses what chance takes, even if the process was down. Says whether it did.
    fn cut_power(&mut self, node: NodeId) -> bool {
        if self.core.processes[node.index()].healed {
            return false;
        }
        self.kill(node);
        if let Some(disk) = &mut self.core.processes[node.index()].disk {
            let loss = disk.power_loss();
            self.core.counters.add(Count::UnsyncedWriteLost, loss.lost);
            self.core.counters.add(Count::DirectoryEntryLost, loss.names_lost);
        }
        true
    }
}
