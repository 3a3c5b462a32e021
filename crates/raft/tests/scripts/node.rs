//! One member with its driver's memory: writes under way, messages held back, payloads, timers,
//! clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_raft::{
    Configuration, IoId, LogIndex, Message, NodeId, Options, Raft, ReadId, Role, Round, Term,
    TimerKind,
};

use crate::disk::{Disk, Entry, Payload, Write};

/// How long followers keep to a leader that they no longer hear, on their own clocks.
pub(crate) const ELECTION_TIMEOUT_MS: u64 = 100;

/// By how much two clocks may differ over an election timeout.
pub(crate) const DRIFT_MS: u64 = 10;

/// A message with what the driver adds to it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) message: Message,
    /// Of an append: its entries.
    pub(crate) entries: Vec<Entry>,
    /// Of a snapshot: its state.
    pub(crate) state: Vec<Payload>,
    /// Not delivered unless it is asked for by a selection.
    pub(crate) held: bool,
}

/// What a member's driver knows in memory, lost in a crash.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Issued, not on disk; in order.
    pub(crate) writes: VecDeque<Write>,
    /// The last write of this life that is on disk.
    pub(crate) durable_sequence: u64,
    /// Messages that wait for a write.
    pub(crate) unsent: Vec<(IoId, Letter)>,
    /// What every entry says that was ever in the log here. Not by index alone: a message may
    /// still have to be sent whose entries are replaced by now.
    pub(crate) payloads: BTreeMap<(LogIndex, Term), Payload>,
    /// The log with payloads.
    pub(crate) log: BTreeMap<LogIndex, Entry>,
    /// Index `i` was applied as `applied[i - 1]`.
    pub(crate) applied: Vec<Payload>,
    /// Reads that were asked here and are not answered, and how far the group had committed then.
    pub(crate) asked: BTreeMap<ReadId, u64>,
    /// Reads that may be answered once this index is applied.
    pub(crate) ready: Vec<(LogIndex, ReadId)>,
    /// The timers that run, and the time at which each was set.
    pub(crate) timers: BTreeMap<TimerKind, u64>,
    /// When each round began.
    pub(crate) rounds: BTreeMap<Round, u64>,
    /// The latest round that is confirmed, and when it began.
    pub(crate) lease: Option<(Round, u64)>,
    /// The snapshots of leaders that wait to be applied, by index.
    pub(crate) states: BTreeMap<LogIndex, Vec<Payload>>,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    /// None while it is down.
    pub(crate) raft: Option<Raft>,
    pub(crate) disk: Disk,
    pub(crate) memory: Memory,
    /// Events are handled together until `done`: what the member looked like before them.
    pub(crate) together: Option<Face>,
    /// Writes wait for `sync`.
    pub(crate) slow: bool,
    pub(crate) clock_ms: u64,
}

/// What is told of a member whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) term: Term,
    pub(crate) role: Role,
    pub(crate) leader: Option<NodeId>,
    pub(crate) commit: LogIndex,
    pub(crate) configuration: Configuration,
    pub(crate) last_index: LogIndex,
}

impl Node {
    pub(crate) fn new(id: NodeId, options: Options, disk: Disk) -> Node {
        let memory = Memory::default();
        Node { id, options, raft: None, disk, memory, together: None, slow: false, clock_ms: 0 }
    }

    /// # Errors
    /// If it is down.
    pub(crate) fn up(&self) -> Result<&Raft, String> {
        self.raft.as_ref().ok_or_else(|| format!("n{} is down", self.id))
    }

    pub(crate) fn face(&self) -> Option<Face> {
        let view = self.raft.as_ref()?.view();
        Some(Face {
            term: view.term,
            role: view.role,
            leader: view.leader,
            commit: view.commit,
            configuration: view.configuration.clone(),
            last_index: view.log.last_index(),
        })
    }

    /// Whether this member's clock says that its lease holds.
    pub(crate) fn lease(&self) -> Option<Round> {
        let (round, began) = self.memory.lease?;
        (self.clock_ms < began + ELECTION_TIMEOUT_MS - DRIFT_MS).then_some(round)
    }

    /// What its clients see: the commands that it applied.
    pub(crate) fn commands(&self) -> Vec<Payload> {
        let commands = self.memory.applied.iter();
        commands.filter(|payload| matches!(payload, Payload::Command(_))).cloned().collect()
    }
}

/// Which messages from member to member are lost.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
}
