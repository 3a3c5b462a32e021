//! A group in memory. Which message arrives, which write completes, which timer fires and who
//! crashes is the test's choice; the driver's contract is kept here, once, and what the core
//! promises to its driver is asserted at every effect.

use std::collections::VecDeque;

use crate::{
    AppendOutcome, Body, Effect, EntryMeta, EntryRange, Event, HardState, IoId, Log, LogIndex,
    Message, NodeId, Options, ProtocolView, Raft, ReadId, Restored, Role, Term, TimerKind,
};

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);
pub(super) const N4: NodeId = NodeId(4);
pub(super) const N5: NodeId = NodeId(5);

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    pub(super) log: Vec<EntryMeta>,
}

impl Disk {
    /// A disk with a log of entries of these terms, all of the same size.
    pub(super) fn with_log(term: u64, entry_terms: &[u64]) -> Disk {
        Disk {
            hard_state: HardState { term: Term(term), vote: None, commit: LogIndex::ZERO },
            log: entry_terms.iter().map(|&term| EntryMeta { term: Term(term), size: 8 }).collect(),
        }
    }

    fn write(&mut self, write: Write) {
        if let Some(new) = write.hard_state {
            let old = self.hard_state;
            assert!(new.term >= old.term, "the durable term went back: {old:?} → {new:?}");
            assert!(new.commit >= old.commit, "the durable commit went back: {old:?} → {new:?}");
            let revoked = new.term == old.term && old.vote.is_some() && new.vote != old.vote;
            assert!(!revoked, "a durable vote was changed: {old:?} → {new:?}");
            self.hard_state = new;
        }
        if let Some((first, entries)) = write.entries {
            let keep = first.previous().0 as usize;
            assert!(keep <= self.log.len(), "entry {first} leaves a gap after {}", self.log.len());
            self.log.truncate(keep);
            self.log.extend(entries);
        }
        assert!(
            self.hard_state.commit.0 <= self.log.len() as u64,
            "commit {} is written before its entries",
            self.hard_state.commit
        );
    }
}

#[derive(Clone, Debug)]
struct Write {
    id: IoId,
    hard_state: Option<HardState>,
    entries: Option<(LogIndex, Vec<EntryMeta>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    id: NodeId,
    /// None while it is down.
    raft: Option<Raft>,
    pub(super) disk: Disk,
    /// Issued, not on disk.
    writes: VecDeque<Write>,
    /// On disk; the core has not been told.
    completions: VecDeque<IoId>,
    /// Last write of this incarnation that is on disk.
    durable_sequence: u64,
    held: Vec<(IoId, Message)>,
    /// What was handed out to be applied since the last start.
    pub(super) applied: Vec<EntryMeta>,
    pub(super) answered: Vec<(ReadId, LogIndex)>,
    pub(super) dropped_reads: Vec<ReadId>,
    pub(super) dropped_proposals: usize,
    /// Timers set, in order.
    pub(super) timers: Vec<TimerKind>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    nodes: Vec<Node>,
    options: Options,
    /// Sent and neither delivered nor lost, in the order of sending.
    pub(super) network: Vec<Message>,
    /// Everything that was delivered.
    pub(super) delivered: Vec<Message>,
    isolated: Vec<NodeId>,
    reads: u64,
}

impl Group {
    pub(super) fn new(size: u64) -> Group {
        Group::with_options(size, Options::default())
    }

    pub(super) fn with_options(size: u64, options: Options) -> Group {
        Group::from_disks((0..size).map(|_| Disk::default()).collect(), options)
    }

    /// Members 1, 2, … that start from these disks.
    pub(super) fn from_disks(disks: Vec<Disk>, options: Options) -> Group {
        let nodes = (1..)
            .zip(disks)
            .map(|(id, disk)| Node {
                id: NodeId(id),
                raft: None,
                disk,
                writes: VecDeque::new(),
                completions: VecDeque::new(),
                durable_sequence: 0,
                held: Vec::new(),
                applied: Vec::new(),
                answered: Vec::new(),
                dropped_reads: Vec::new(),
                dropped_proposals: 0,
                timers: Vec::new(),
            })
            .collect();
        let mut group = Group {
            nodes,
            options,
            network: Vec::new(),
            delivered: Vec::new(),
            isolated: Vec::new(),
            reads: 0,
        };
        for id in group.ids() {
            group.restart(id);
        }
        group
    }

    /// A group of which member 1 leads and every member has its first, empty entry.
    pub(super) fn with_leader(size: u64, options: Options) -> Group {
        let mut group = Group::with_options(size, options);
        group.campaign(N1);
        group.settle();
        assert_eq!(group.view(N1).role, Role::Leader);
        group
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize - 1]
    }

    pub(super) fn is_up(&self, id: NodeId) -> bool {
        self.node(id).raft.is_some()
    }

    pub(super) fn raft(&self, id: NodeId) -> &Raft {
        self.node(id).raft.as_ref().expect("the test looks at a member that is up")
    }

    pub(super) fn view(&self, id: NodeId) -> ProtocolView<'_> {
        self.raft(id).view()
    }

    /// The log in memory.
    pub(super) fn log(&self, id: NodeId) -> Vec<EntryMeta> {
        entries_of(self.raft(id).log())
    }

    pub(super) fn log_terms(&self, id: NodeId) -> Vec<u64> {
        self.log(id).iter().map(|entry| entry.term.0).collect()
    }

    /// Who leads, as they see it themselves.
    pub(super) fn leaders(&self) -> Vec<NodeId> {
        self.ids()
            .into_iter()
            .filter(|&id| self.is_up(id) && self.view(id).role == Role::Leader)
            .collect()
    }

    // Events.

    /// An event for a member; lost if it is down.
    pub(super) fn event(&mut self, id: NodeId, event: Event) {
        if let Some(raft) = &mut self.node_mut(id).raft {
            raft.handle(event);
            self.drain(id);
        }
    }

    pub(super) fn campaign(&mut self, id: NodeId) {
        self.event(id, Event::Timer(TimerKind::Election));
    }

    pub(super) fn heartbeat(&mut self, id: NodeId) {
        self.event(id, Event::Timer(TimerKind::Heartbeat));
    }

    pub(super) fn propose(&mut self, id: NodeId, sizes: &[u32]) {
        self.event(id, Event::Propose { sizes: sizes.to_vec() });
    }

    /// The name of the next read.
    pub(super) fn next_read(&self) -> ReadId {
        ReadId(self.reads + 1)
    }

    pub(super) fn read(&mut self, id: NodeId) -> ReadId {
        let read = self.next_read();
        self.reads += 1;
        self.event(id, Event::Read(read));
        read
    }

    /// The read index that a member answered a read with.
    pub(super) fn answer(&self, id: NodeId, read: ReadId) -> Option<LogIndex> {
        let mut answers = self.node(id).answered.iter();
        answers.find(|(answered, _)| *answered == read).map(|&(_, index)| index)
    }

    // The disk.

    /// How many writes are under way.
    pub(super) fn pending_writes(&self, id: NodeId) -> usize {
        self.node(id).writes.len()
    }

    /// The oldest write reaches the disk, and with it the messages that waited for it reach the
    /// network; the core is not told yet. Says whether there was one.
    pub(super) fn write_one(&mut self, id: NodeId) -> bool {
        let node = self.node_mut(id);
        let Some(write) = node.writes.pop_front() else {
            return false;
        };
        node.durable_sequence = write.id.sequence;
        node.completions.push_back(write.id);
        node.disk.write(write);
        let held = std::mem::take(&mut node.held);
        for (after, message) in held {
            self.send(id, message, Some(after));
        }
        true
    }

    /// The core is told of the oldest completed write. Says whether there was one.
    pub(super) fn complete_one(&mut self, id: NodeId) -> bool {
        let Some(io) = self.node_mut(id).completions.pop_front() else {
            return false;
        };
        self.event(id, Event::Persisted(io));
        true
    }

    /// All writes under way reach the disk, and the core is told of each.
    pub(super) fn persist(&mut self, id: NodeId) {
        while self.write_one(id) || self.complete_one(id) {}
    }

    /// A crash: of the writes under way the first `survivors` are found on the disk later.
    pub(super) fn crash(&mut self, id: NodeId, survivors: usize) {
        self.crash_tearing(id, survivors, 0);
    }

    /// A crash that leaves, in addition, the first `entries` entries of the next write, without
    /// its hard state.
    pub(super) fn crash_tearing(&mut self, id: NodeId, survivors: usize, entries: usize) {
        let node = self.node_mut(id);
        for write in node.writes.drain(..survivors.min(node.writes.len())) {
            node.disk.write(write);
        }
        if let Some(mut torn) = node.writes.pop_front()
            && let Some((_, written)) = &mut torn.entries
            && entries > 0
        {
            written.truncate(entries);
            torn.hard_state = None;
            node.disk.write(torn);
        }
        node.writes.clear();
        node.raft = None;
        node.completions.clear();
        node.held.clear();
        node.durable_sequence = 0;
        node.applied.clear();
    }

    /// Comes up from what its disk holds.
    pub(super) fn restart(&mut self, id: NodeId) {
        let voters = self.ids();
        let options = self.options.clone();
        let node = self.node_mut(id);
        assert!(node.raft.is_none(), "{id} is up");
        let mut log = Log::new();
        for &entry in &node.disk.log {
            log.append(entry);
        }
        let restored = Restored { id, voters, hard_state: node.disk.hard_state, log, options };
        node.raft = Some(Raft::new(restored).expect("what the protocol wrote is a valid state"));
        self.drain(id);
    }

    // The network.

    pub(super) fn deliver(&mut self, message: Message) {
        let to = message.to;
        self.delivered.push(message.clone());
        self.event(to, Event::Message(message));
    }

    /// Delivers the messages under way that are picked, but not those that they cause.
    pub(super) fn deliver_where(&mut self, pick: impl Fn(&Message) -> bool) -> usize {
        let picked = self.take_where(pick);
        let count = picked.len();
        for message in picked {
            self.deliver(message);
        }
        count
    }

    /// Takes the messages that are picked off the network: to lose them, or to deliver them later.
    pub(super) fn take_where(&mut self, pick: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (picked, rest) = std::mem::take(&mut self.network).into_iter().partition(pick);
        self.network = rest;
        picked
    }

    /// The only message under way, which is taken off the network.
    pub(super) fn take_only(&mut self) -> Message {
        assert_eq!(self.network.len(), 1, "{:?}", self.network);
        self.network.remove(0)
    }

    /// From now on [`Group::settle`] loses what these members send or are sent.
    pub(super) fn isolate(&mut self, ids: &[NodeId]) {
        self.isolated = ids.to_vec();
    }

    pub(super) fn heal(&mut self) {
        self.isolated.clear();
    }

    /// Completes all writes and delivers all messages in order until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            for id in self.ids() {
                self.persist(id);
            }
            if self.network.is_empty() {
                return;
            }
            let message = self.network.remove(0);
            let lost = [message.from, message.to].iter().any(|end| self.isolated.contains(end));
            if !lost {
                self.deliver(message);
            }
        }
        panic!("the members never fall silent");
    }

    // Effects.

    fn drain(&mut self, id: NodeId) {
        while let Some(effect) = self.node_mut(id).raft.as_mut().and_then(Raft::poll) {
            match effect {
                Effect::Persist { id: io, hard_state, entries } => {
                    let node = self.node_mut(id);
                    assert!(hard_state.is_some() || entries.is_some(), "{io:?} writes nothing");
                    let log = node.raft.as_ref().expect("it is up").log();
                    let entries = entries.map(|range| (range.first, entries_in(log, range)));
                    node.writes.push_back(Write { id: io, hard_state, entries });
                }
                Effect::Send { message, after } => self.send(id, message, after),
                Effect::Commit(range) => self.apply(id, range),
                Effect::ReadReady { id: read, index } => {
                    self.node_mut(id).answered.push((read, index));
                }
                Effect::ReadDropped { id: read } => self.node_mut(id).dropped_reads.push(read),
                Effect::ProposalDropped => self.node_mut(id).dropped_proposals += 1,
                Effect::SetTimer(kind) => self.node_mut(id).timers.push(kind),
            }
        }
    }

    fn send(&mut self, from: NodeId, message: Message, after: Option<IoId>) {
        let node = self.node_mut(from);
        if let Some(after) = after
            && after.sequence > node.durable_sequence
        {
            assert!(
                node.writes.iter().any(|write| write.id == after),
                "{message:?} waits for {after:?}, which was never issued"
            );
            node.held.push((after, message));
            return;
        }
        assert_rests_on_disk(&message, &node.disk);
        assert_eq!(message.from, from);
        assert_ne!(message.to, from, "a member does not write to itself");
        self.network.push(message);
    }

    fn apply(&mut self, id: NodeId, range: EntryRange) {
        let node = self.node_mut(id);
        assert_eq!(range.first.0, node.applied.len() as u64 + 1, "applied in order, once");
        assert!(range.first <= range.last, "{range:?} is empty");
        let entries = entries_in(node.raft.as_ref().expect("it is up").log(), range);
        let on_disk = node.disk.log.get(range.first.0 as usize - 1..range.last.0 as usize);
        assert_eq!(on_disk, Some(&entries[..]), "{id} applies {range:?}, which is not durable");
        node.applied.extend(entries);
    }
}

/// A message may say nothing that its sender's disk does not hold (figure 2).
fn assert_rests_on_disk(message: &Message, disk: &Disk) {
    let durable = disk.hard_state;
    assert!(message.term <= durable.term, "{message:?} is of a term that is not durable");
    let voted_for = |id: NodeId| durable.term > message.term || durable.vote == Some(id);
    match message.body {
        Body::RequestVote { .. } => {
            assert!(voted_for(message.from), "{message:?}: its own vote is not durable");
        }
        Body::RequestVoteReply { granted: true } => {
            assert!(voted_for(message.to), "{message:?}: the vote is not durable");
        }
        Body::AppendReply(AppendOutcome::Accepted { matched }) => {
            assert!(matched.0 <= disk.log.len() as u64, "{message:?}: entries are not durable");
        }
        _ => {}
    }
}

pub(super) fn entries_of(log: &Log) -> Vec<EntryMeta> {
    entries_in(log, EntryRange { first: LogIndex(1), last: log.last_index() })
}

fn entries_in(log: &Log, range: EntryRange) -> Vec<EntryMeta> {
    (range.first.0..=range.last.0)
        .map(|index| log.meta(LogIndex(index)).expect("the range is within the log"))
        .collect()
}

// Which messages.

pub(super) fn to(id: NodeId) -> impl Fn(&Message) -> bool {
    move |message| message.to == id
}

pub(super) fn from(id: NodeId) -> impl Fn(&Message) -> bool {
    move |message| message.from == id
}

pub(super) fn is_append(message: &Message) -> bool {
    matches!(message.body, Body::Append { .. })
}

pub(super) fn is_heartbeat(message: &Message) -> bool {
    matches!(message.body, Body::Heartbeat { .. })
}
