//! What a system has to offer to live in a world, and what it is told.
//!
//! A system is any set of processes that talk by messages, set timers and write to disks. The
//! engine asks for nothing else and knows nothing else about it. A process learns of the world only
//! through its [`Input`]s and its [`Io`]; the system's [`System::observe`] alone sees everything.

use std::fmt;

use quorate_wal::disk::{DiskError, DiskPath, MemDisk};
use serde::{Deserialize, Serialize};

use super::core::Core;
use super::fault::FileKind;
use super::io::Io;
use super::time::{LocalTime, WorldTime};

/// A node of the world: a machine with one process. The first is 0, the others follow densely.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The node's place in tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// One of a process's timers. The numbers are the process's own and should be small: each node has
/// a table as long as the largest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub u32);

impl TimerId {
    /// The largest number that a timer may have.
    pub const MAX: TimerId = TimerId(0xffff);
}

/// Something that a process has to react to.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// A message arrived.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: M,
    },
    /// A timer's deadline has passed on the node's clock. The timer is no longer armed.
    Timer(TimerId),
    /// The disk has finished a batch that this incarnation of the process submitted.
    Disk {
        /// The token given with the batch.
        token: u64,
        /// The first failure, after which the rest of the batch was left out.
        result: Result<(), DiskError>,
    },
}

/// A system that lives in a [`World`](super::World).
///
/// Everything must be a function of what the calls hand in: a system that reads a clock or draws
/// its own random numbers does not replay.
pub trait System: Sized {
    /// A running process with all that it holds in memory; dropped at a crash.
    type Node;
    /// What processes send each other. Cloned only when the network duplicates a message, or while
    /// a trace is recorded.
    type Message: Clone;
    /// What [`System::observe`] reports as wrong.
    type Violation;

    /// Starts a process, or starts it again, from what its disk holds. Incarnations count from 1.
    ///
    /// # Errors
    /// If it does not get up: then it has done nothing but to its disk.
    fn boot(&mut self, io: &mut Io<'_, Self::Message>) -> Result<Self::Node, NoStart>;

    /// Lets a process react to one input.
    fn handle(
        &mut self,
        node: &mut Self::Node,
        input: Input<Self::Message>,
        io: &mut Io<'_, Self::Message>,
    );

    /// Looks at the world after a step: here live the invariants.
    ///
    /// # Errors
    /// What is wrong; it stops the run.
    fn observe(&mut self, step: &Step, view: &View<'_, Self>) -> Result<(), Self::Violation>;

    /// Where files of a kind are; `None` if the node has none of that kind.
    fn directory(&self, _node: NodeId, _files: FileKind) -> Option<DiskPath> {
        None
    }

    /// Which parts of a node's durable files of a kind a fault that destroys what is durable may strike now,
    /// so that the others can make up for it; `None` if it must not happen at all now. What is
    /// given lies below the files' [durable end](MemDisk::durable_end).
    fn exposed(
        &self,
        _node: NodeId,
        _files: FileKind,
        _view: &View<'_, Self>,
    ) -> Option<Vec<Exposed>> {
        None
    }

    /// A number that depends on all of the message that matters; it becomes part of the trace hash.
    fn message_digest(&self, message: &Self::Message) -> u64;

    /// The message for a trace line. Called only while a trace is recorded.
    fn describe_message(&self, message: &Self::Message) -> serde_json::Value;

    /// A process's state after a step, for a trace line. Called only while a trace is recorded.
    fn describe_node(&self, node: &Self::Node) -> serde_json::Value;
}

/// Why a process is not there after it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStart {
    /// Its disk failed; it is started again after a while.
    DiskFailed,
    /// It refuses what its disk holds; nobody starts it again, unless on another machine.
    Refused,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The file.
    pub file: DiskPath,
    /// Which of its bytes.
    pub bytes: std::ops::Range<u64>,
}

/// One step of the world: something happened to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of steps before it.
    pub index: u64,
    /// When it happened.
    pub time: WorldTime,
    /// To whom.
    pub node: NodeId,
    /// What it was.
    pub cause: Cause,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} at {}: {} {}", self.index, self.time, self.node, self.cause)
    }
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The process started.
    Boot {
        /// For the how manieth time, from 1.
        incarnation: u32,
    },
    /// It handled a message.
    Message {
        /// Whose.
        from: NodeId,
        /// The number of the message on its link, from 0; copies share it.
        number: u64,
    },
    /// It handled a timer.
    Timer(TimerId),
    /// It handled a completion of its disk.
    Disk {
        /// The batch's token.
        token: u64,
    },
    /// It was killed; the operating system lives on.
    Crash,
    /// Its machine lost power.
    PowerLoss,
    /// Its machine was replaced by another one with an empty disk.
    Replaced,
    /// It stopped by itself, because its disk had failed.
    Halt,
    /// What was durable on its disk was destroyed; it does not know.
    Damage,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Boot { incarnation } => write!(f, "boots (incarnation {incarnation})"),
            Cause::Message { from, number } => write!(f, "handles message {number} from {from}"),
            Cause::Timer(timer) => write!(f, "handles timer {}", timer.0),
            Cause::Disk { token } => write!(f, "handles completion {token} of its disk"),
            Cause::Crash => write!(f, "crashes"),
            Cause::PowerLoss => write!(f, "loses power"),
            Cause::Replaced => write!(f, "gets another machine"),
            Cause::Halt => write!(f, "stops because of its disk"),
            Cause::Damage => write!(f, "has its disk damaged"),
        }
    }
}

/// Everything in the world, to look at.
pub struct View<'a, S: System> {
    pub(crate) nodes: &'a [Option<S::Node>],
    pub(crate) core: &'a Core<S::Message>,
}

impl<'a, S: System> View<'a, S> {
    /// The world's time.
    pub fn now(&self) -> WorldTime {
        self.core.now
    }

    /// How many nodes there are, running or not.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A running process; `None` while it is down.
    pub fn node(&self, node: NodeId) -> Option<&'a S::Node> {
        self.nodes[node.index()].as_ref()
    }

    /// All running processes, by node.
    pub fn running(&self) -> impl Iterator<Item = (NodeId, &'a S::Node)> + use<'a, S> {
        let numbered = self.nodes.iter().enumerate();
        numbered.filter_map(|(index, node)| Some((NodeId(index as u32), node.as_ref()?)))
    }

    /// A node's disk; `None` where it has none. Operations of a batch appear when the batch
    /// completes, or when a crash cuts it off.
    pub fn disk(&self, node: NodeId) -> Option<&'a MemDisk> {
        self.core.processes[node.index()].disk.as_ref().map(|disk| disk.contents())
    }

    /// How often a node's process has been started.
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.core.processes[node.index()].incarnation
    }

    /// What a node's clock shows.
    pub fn local_time(&self, node: NodeId) -> LocalTime {
        self.core.processes[node.index()].clock.local(self.core.now)
    }

    /// Whether a fault makes the process stand still.
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.core.processes[node.index()].is_paused()
    }

    /// Whether no fault blocks messages from `from` to `to`.
    pub fn is_open(&self, from: NodeId, to: NodeId) -> bool {
        !self.core.link(from, to).is_blocked()
    }
}
