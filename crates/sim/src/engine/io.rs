//! What one process may do while it handles an input.
//!
//! An [`Io`] lives for one call. Through it a process sends, sets timers, writes to its disk, draws
//! from its own streams and reads its own clock; of the world it sees nothing else.

use quorate_wal::disk::{DiskOp, MemDisk};

use super::core::Core;
use super::stream::Stream;
use super::system::{NodeId, TimerId};
use super::time::{LocalTime, Nanos};

/// A process's hands and senses for the length of one call.
pub struct Io<'a, M> {
    core: &'a mut Core<M>,
    node: NodeId,
    booting: bool,
}

impl<'a, M: Clone> Io<'a, M> {
    pub(crate) fn new(core: &'a mut Core<M>, node: NodeId, booting: bool) -> Io<'a, M> {
        Io { core, node, booting }
    }

    /// The node whose process this is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How often the process has been started, this time included.
    pub fn incarnation(&self) -> u32 {
        self.core.processes[self.node.index()].incarnation
    }

    /// What the node's clock shows. It may show less than before, after a jump.
    pub fn now(&self) -> LocalTime {
        self.core.processes[self.node.index()].clock.local(self.core.now)
    }

    /// Sends a message, to itself as well if it likes. The network may lose, delay, reorder or
    /// duplicate it.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn send(&mut self, to: NodeId, message: M) {
        self.core.send(self.node, to, message);
    }

    /// Arms a timer that fires once `after` has passed on the node's clock. An armed timer gets the
    /// new deadline instead of the old one. A crash forgets all timers.
    ///
    /// # Panics
    /// When the timer's number is above [`TimerId::MAX`].
    pub fn set_timer(&mut self, timer: TimerId, after: Nanos) {
        self.core.set_timer(self.node, timer, after);
    }

    /// Disarms a timer; nothing happens when it is not armed.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        self.core.processes[self.node.index()].timers.cancel(timer);
    }

    /// The node's disk, to recover from: reads and repairs take no time and cannot be interrupted.
    ///
    /// # Panics
    /// Outside of a boot, where a process submits batches instead, and on a node without a disk.
    pub fn disk(&mut self) -> &mut MemDisk {
        assert!(self.booting, "{} used its disk directly outside of a boot", self.node);
        self.core.disk(self.node).contents_mut()
    }

    /// What the node's disk holds, to read. It takes no time; what a batch under way will change
    /// does not show before it is done.
    ///
    /// # Panics
    /// On a node without a disk.
    pub fn contents(&mut self) -> &MemDisk {
        self.core.disk(self.node).contents()
    }

    /// Hands operations to the disk. They are carried out in order, after all that was submitted
    /// before, and [`Input::Disk`](super::Input::Disk) with `token` tells when all are done. One that
    /// fails is the last: nothing behind it is carried out, of this batch or another. A crash
    /// in between leaves the first few of them carried out, and nobody is told.
    ///
    /// # Panics
    /// On a node without a disk.
    pub fn submit(&mut self, token: u64, operations: Vec<DiskOp>) {
        self.core.submit(self.node, token, operations);
    }

    /// Stops this process because its disk has failed: right after this step it is gone, and some
    /// time later a service manager starts it again.
    pub fn halt(&mut self) {
        self.core.processes[self.node.index()].halting = true;
    }

    /// Has a machine replaced, as an operator does it: right after this step the node's process is
    /// gone, and with it the disk; after `takes` it starts on a machine with an empty one. The clock
    /// runs on. This is no fault, and healing the node does not prevent it.
    ///
    /// # Panics
    /// When there is no such node, or its machine is being replaced already.
    pub fn replace_machine(&mut self, node: NodeId, takes: Nanos) {
        let process = &mut self.core.processes[node.index()];
        assert!(!process.between_machines, "the machine of {node} is being replaced already");
        process.between_machines = true;
        let now = self.core.now;
        self.core.queue.push(now, super::core::Event::Replace { node, takes });
    }

    /// The node's own stream of draws for `purpose`. It runs on across restarts.
    pub fn stream(&mut self, purpose: &'static str) -> &mut Stream {
        let (seed, node) = (self.core.seed, u64::from(self.node.0));
        let streams = &mut self.core.processes[self.node.index()].streams;
        streams.entry(purpose, || Stream::new(seed, purpose, node, 0))
    }

    /// Says that a situation was reached which a test of any worth has to reach (a `sometimes`
    /// mark).
    pub fn mark(&mut self, mark: &'static str) {
        self.core.mark(mark);
    }

    /// Adds something to the step's trace line. `describe` is called only while a trace is recorded.
    pub fn note(&mut self, describe: impl FnOnce() -> serde_json::Value) {
        if let Some(recorder) = &mut self.core.recorder {
            recorder.note(describe());
        }
    }
}
