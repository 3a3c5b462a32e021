//! A group in memory. Which message arrives, which write completes, which timer fires and who
//! crashes is the test's choice; the driver's contract is kept here, once, and what the core
//! promises to its driver is asserted at every effect.

use std::collections::{BTreeMap, VecDeque};

use super::disk::{Disk, Write, entries_in};
use crate::{
    AppendOutcome, Body, Change, Configuration, DropReason, Effect, EntryMeta, EntryRange, Event,
    IoId, LogIndex, MembershipChange, Message, NodeId, Options, ProtocolView, Raft, ReadId,
    Restored, Role, Round, Snapshot, Term, TimerKind, Transition,
};

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);
pub(super) const N4: NodeId = NodeId(4);
pub(super) const N5: NodeId = NodeId(5);

/// The election timeout of every member, on its own clock.
pub(super) const ELECTION: u64 = 1000;
/// How much faster or slower than the world's a member's clock may be, in thousandths.
pub(super) const DRIFT: u64 = 50;
/// How long a lease lasts on its leader's clock: an election timeout on the fastest clock is not
/// over before that has passed on the slowest one. Both are read in whole ticks.
pub(super) const LEASE: u64 = ELECTION * (1000 - DRIFT) / (1000 + DRIFT) - 2;

#[derive(Clone, Debug)]
pub(super) struct Node {
    id: NodeId,
    /// None while it is down.
    raft: Option<Raft>,
    pub(super) options: Options,
    pub(super) disk: Disk,
    /// Issued, not on disk.
    writes: VecDeque<Write>,
    /// On disk; the core has not been told.
    completions: VecDeque<IoId>,
    /// Last write of this incarnation that is on disk.
    durable_sequence: u64,
    held: Vec<(IoId, Message)>,
    /// So many events are handled before effects are asked for.
    pub(super) gathers: usize,
    /// What its state machine has seen: what was handed out since the last start, after what the
    /// snapshot says.
    pub(super) applied: Vec<EntryMeta>,
    pub(super) answered: Vec<(ReadId, LogIndex)>,
    pub(super) dropped_reads: Vec<ReadId>,
    pub(super) dropped_proposals: Vec<DropReason>,
    /// Timers set, in order.
    pub(super) timers: Vec<TimerKind>,
    /// Timers that are running, and since when on its own clock.
    pub(super) running: BTreeMap<TimerKind, u64>,
    /// Ticks of its clock in a thousand of the world's.
    pub(super) clock_rate: u64,
    /// When each round of this incarnation began on its own clock.
    begun: BTreeMap<Round, u64>,
    /// The latest round of this incarnation that was confirmed.
    pub(super) confirmed: Option<Round>,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    nodes: Vec<Node>,
    /// Sent and neither delivered nor lost, in the order of sending.
    pub(super) network: Vec<Message>,
    /// Everything that was delivered, unless nobody wants to know.
    pub(super) delivered: Vec<Message>,
    pub(super) keeps_delivered: bool,
    isolated: Vec<NodeId>,
    reads: u64,
    /// The world's clock.
    pub(super) now: u64,
    /// What each snapshot holds that somebody ever made.
    pub(super) snapshots: BTreeMap<LogIndex, (Snapshot, Vec<EntryMeta>)>,
    /// Whose state may have changed since somebody last looked.
    touched: Vec<NodeId>,
    /// The configuration before any that a log says.
    initial: Configuration,
}

impl Group {
    pub(super) fn new(size: u64) -> Group {
        Group::with_options(size, Options::default())
    }

    pub(super) fn with_options(size: u64, options: Options) -> Group {
        Group::from_disks((0..size).map(|_| Disk::default()).collect(), options)
    }

    /// Members 1, 2, … that start from these disks, and from a configuration that no log says.
    pub(super) fn from_disks(mut disks: Vec<Disk>, options: Options) -> Group {
        let voters = Configuration::of_voters((1..=disks.len() as u64).map(NodeId));
        for disk in &mut disks {
            disk.snapshot.configuration.clone_from(&voters);
        }
        Group::start(disks, options)
    }

    /// Members 1, 2, … found a group, the others wait to be added.
    pub(super) fn founded(founders: u64, joiners: u64, options: Options) -> Group {
        let founding = MembershipChange::found((1..=founders).map(NodeId));
        let founder = Disk::of_founder(&founding);
        let mut disks = vec![founder; founders as usize];
        disks.resize((founders + joiners) as usize, Disk::default());
        Group::start(disks, options)
    }

    fn start(disks: Vec<Disk>, options: Options) -> Group {
        let initial = disks[0].snapshot.configuration.clone();
        let nodes = (1..).zip(disks).map(|(id, disk)| Node::new(NodeId(id), disk, options.clone()));
        let mut group = Group {
            nodes: nodes.collect(),
            network: Vec::new(),
            delivered: Vec::new(),
            keeps_delivered: true,
            isolated: Vec::new(),
            reads: 0,
            now: 0,
            snapshots: BTreeMap::new(),
            touched: Vec::new(),
            initial,
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

    /// A founded group of which member 1 leads and every founder has its first, empty entry.
    pub(super) fn founded_with_leader(founders: u64, joiners: u64, options: Options) -> Group {
        let mut group = Group::founded(founders, joiners, options);
        group.campaign(N1);
        group.settle();
        assert_eq!(group.view(N1).role, Role::Leader);
        group
    }

    /// Three founders, of whom member 1 leads. Member 3 has two entries of 12; member 1 has a
    /// snapshot of entry `snapshot`, and has forgotten its log up to `through`.
    pub(super) fn with_laggard(joiners: u64, snapshot: u64, through: u64) -> Group {
        let mut group = Group::founded_with_leader(3, joiners, Options::default());
        group.isolate(&[N3]);
        for size in 11..=20 {
            group.propose(N1, &[size]);
        }
        group.settle();
        group.compact(N1, snapshot, through);
        group.heal();
        group
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize - 1]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
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

    /// The log in memory from the first entry on, forgotten or not.
    pub(super) fn log(&self, id: NodeId) -> Vec<EntryMeta> {
        let log = self.raft(id).log();
        let base = log.base();
        let applied = &self.node(id).applied;
        let mut entries = match applied.get(..base.0 as usize) {
            Some(forgotten) => forgotten.to_vec(),
            None => self.snapshots[&base].1.clone(),
        };
        let range = EntryRange { first: log.first_index(), last: log.last_index() };
        entries.extend(entries_in(log, range));
        entries
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

    /// The configuration before any that a log says.
    pub(super) fn initial_configuration(&self) -> &Configuration {
        &self.initial
    }

    /// Whether the first entry is the founders', committed by definition.
    pub(super) fn has_founders_entry(&self) -> bool {
        self.initial.is_empty()
    }

    /// Those whose state may have changed since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<NodeId> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    // Events.

    /// An event for a member; lost if it is down.
    pub(super) fn event(&mut self, id: NodeId, event: Event) {
        if let Some(raft) = &mut self.node_mut(id).raft {
            raft.handle(event);
            self.touched.push(id);
            let node = self.node_mut(id);
            node.gathers = node.gathers.saturating_sub(1);
            if node.gathers == 0 {
                self.drain(id);
            }
        }
    }

    /// The driver takes the next `events` of this member together: it asks for effects only when
    /// the last of them is handled.
    pub(super) fn gather(&mut self, id: NodeId, events: usize) {
        self.node_mut(id).gathers = events;
    }

    /// No driver waits for further events.
    pub(super) fn drain_all(&mut self) {
        for id in self.ids() {
            self.node_mut(id).gathers = 0;
            self.touched.push(id);
            self.drain(id);
        }
    }

    /// A timer fires, which is then no longer running.
    pub(super) fn fire(&mut self, id: NodeId, timer: TimerKind) {
        self.node_mut(id).running.remove(&timer);
        self.event(id, Event::Timer(timer));
    }

    /// Nobody hears a leader for an election timeout, except those who lead.
    pub(super) fn silence(&mut self) {
        for id in self.ids() {
            if self.is_up(id) && self.view(id).role != Role::Leader {
                self.fire(id, TimerKind::Election);
            }
        }
    }

    /// Nobody hears a leader for an election timeout, and this member is the first to ask.
    pub(super) fn pre_campaign(&mut self, id: NodeId) {
        self.silence();
        self.fire(id, TimerKind::Jitter);
    }

    /// The same, and it is answered; if it is encouraged, then it stands, and its requests for
    /// votes are under way once its own vote is durable.
    pub(super) fn campaign(&mut self, id: NodeId) {
        self.pre_campaign(id);
        let isolated = self.isolated.clone();
        let lost =
            |message: &Message| isolated.contains(&message.from) || isolated.contains(&message.to);
        let asked = self.take_where(|message| {
            message.from == id && matches!(message.body, Body::PreVote { .. })
        });
        for message in asked.into_iter().filter(|message| !lost(message)) {
            self.deliver(message);
        }
        let is_reply = |message: &Message| {
            message.to == id && matches!(message.body, Body::PreVoteReply { .. })
        };
        for message in self.take_where(is_reply).into_iter().filter(|message| !lost(message)) {
            self.deliver(message);
        }
    }

    /// The same, and it is elected by itself and one other. What it says then is under way.
    pub(super) fn elect(&mut self, id: NodeId, voter: NodeId) {
        self.campaign(id);
        self.persist(id);
        self.deliver_where(to(voter));
        self.persist(voter);
        self.deliver_where(from(voter));
    }

    /// This member stands for election, whatever others think of it: as if its leader, `leader`,
    /// had asked it to.
    pub(super) fn stand(&mut self, id: NodeId, leader: NodeId) {
        let term = self.view(id).term;
        self.deliver(Message { from: leader, to: id, term, body: Body::TimeoutNow });
    }

    /// This member stands for election as if it had been encouraged to.
    pub(super) fn stand_by_itself(&mut self, id: NodeId) {
        let campaign = self.view(id).term.next();
        for from in self.ids().into_iter().filter(|&from| from != id) {
            let term = self.view(id).term;
            let body = Body::PreVoteReply { campaign, granted: true };
            self.deliver(Message { from, to: id, term, body });
        }
    }

    pub(super) fn heartbeat(&mut self, id: NodeId) {
        self.fire(id, TimerKind::Heartbeat);
    }

    pub(super) fn propose(&mut self, id: NodeId, sizes: &[u32]) {
        self.event(id, Event::Propose { sizes: sizes.to_vec().into() });
    }

    pub(super) fn change(&mut self, id: NodeId, change: MembershipChange) {
        self.event(id, Event::ProposeChange { change, size: 1 });
    }

    /// Proposes, and sees it through.
    pub(super) fn changed(&mut self, id: NodeId, changes: &[Change], transition: Transition) {
        let before = self.node(id).dropped_proposals.len();
        self.change(id, MembershipChange { changes: changes.to_vec(), transition });
        assert_eq!(self.node(id).dropped_proposals.len(), before, "{changes:?} was refused");
        for _ in 0..4 {
            self.settle();
            self.heartbeat(id);
        }
        self.settle();
    }

    /// The driver takes a snapshot of what it applied up to `index`, and forgets the log up to
    /// `through`. It has no effects left to carry out.
    pub(super) fn compact(&mut self, id: NodeId, index: u64, through: u64) {
        self.node_mut(id).gathers = 0;
        self.drain(id);
        // Effects that wait may need what goes.
        self.node_mut(id).gathers = 0;
        self.drain(id);
        let (index, through) = (LogIndex(index), LogIndex(through));
        let log = self.raft(id).log();
        let term = log.term(index).expect("a snapshot is taken of what is still there");
        let configuration = self.view(id).membership.at(index).1.clone();
        let snapshot = Snapshot { index, term, configuration };
        let state = self.node(id).applied[..index.0 as usize].to_vec();
        let known = self.snapshots.entry(index).or_insert((snapshot.clone(), state.clone()));
        assert_eq!((&known.0, &known.1), (&snapshot, &state), "two snapshots of {index} differ");
        self.node_mut(id).disk.compact(snapshot, state);
        self.event(id, Event::Compact { snapshot: index, through });
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

    /// Reads by lease if there is one that this member's clock vouches for.
    pub(super) fn lease_read(&mut self, id: NodeId) -> ReadId {
        let Some(round) = self.lease(id) else {
            return self.read(id);
        };
        let read = self.next_read();
        self.reads += 1;
        self.event(id, Event::LeaseRead { id: read, round });
        read
    }

    /// The read index that a member answered a read with.
    pub(super) fn answer(&self, id: NodeId, read: ReadId) -> Option<LogIndex> {
        let mut answers = self.node(id).answered.iter();
        answers.find(|(answered, _)| *answered == read).map(|&(_, index)| index)
    }

    // Clocks.

    /// What a member's clock shows.
    pub(super) fn clock(&self, id: NodeId) -> u64 {
        self.now * self.node(id).clock_rate / 1000
    }

    /// The round whose lease holds by this member's clock.
    pub(super) fn lease(&self, id: NodeId) -> Option<Round> {
        let node = self.node(id);
        let round = node.confirmed?;
        let age = self.clock(id) - node.begun[&round];
        (age < LEASE).then_some(round)
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
        self.touched.push(id);
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

    /// A crash that leaves, in addition, a part of the next write without its hard state: its
    /// snapshot, or its first `entries` entries; nothing if that is 0.
    pub(super) fn crash_tearing(&mut self, id: NodeId, survivors: usize, entries: usize) {
        self.touched.push(id);
        let node = self.node_mut(id);
        for write in node.writes.drain(..survivors.min(node.writes.len())) {
            node.disk.write(write);
        }
        if let Some(torn) = node.writes.pop_front().filter(|_| entries > 0) {
            node.disk.write(torn.torn(entries));
        }
        let disk = std::mem::take(&mut node.disk);
        let (answered, dropped_reads) =
            (std::mem::take(&mut node.answered), std::mem::take(&mut node.dropped_reads));
        *node = Node {
            answered,
            dropped_reads,
            clock_rate: node.clock_rate,
            ..Node::new(id, disk, node.options.clone())
        };
    }

    /// While it is down, its disk loses the last `entries` entries of its log.
    pub(super) fn damage(&mut self, id: NodeId, entries: usize) {
        assert!(!self.is_up(id), "{id} is up");
        self.touched.push(id);
        self.node_mut(id).disk.lose(entries);
    }

    /// While it is down, its disk loses everything, and says nothing of it.
    pub(super) fn empty(&mut self, id: NodeId) {
        assert!(!self.is_up(id), "{id} is up");
        self.touched.push(id);
        let mut disk = Disk::default();
        disk.snapshot.configuration = self.initial.clone();
        self.node_mut(id).disk = disk;
    }

    /// While it is down, its disk loses everything but term and vote.
    pub(super) fn destroy(&mut self, id: NodeId) {
        assert!(!self.is_up(id), "{id} is up");
        self.touched.push(id);
        self.node_mut(id).disk.lose_all();
    }

    /// Whether it abstains, as it is or as it would come up.
    pub(super) fn abstains(&self, id: NodeId) -> bool {
        if self.is_up(id) { self.view(id).abstains } else { self.would_abstain(id) }
    }

    /// Whether it would abstain if it came up now.
    pub(super) fn would_abstain(&self, id: NodeId) -> bool {
        let disk = &self.node(id).disk;
        disk.hard_state.commit < disk.doubtful
    }

    /// Comes up from what its disk holds.
    pub(super) fn restart(&mut self, id: NodeId) {
        self.touched.push(id);
        let node = self.node_mut(id);
        assert!(node.raft.is_none(), "{id} is up");
        let restored = Restored {
            id,
            snapshot: node.disk.snapshot.clone(),
            hard_state: node.disk.hard_state,
            log: node.disk.restored_log(),
            changes: node.disk.changes.clone().into_iter().collect(),
            doubtful: node.disk.doubtful,
            options: node.options.clone(),
        };
        node.applied.clone_from(&node.disk.state);
        node.raft = Some(Raft::new(restored).expect("what the protocol wrote is a valid state"));
        self.drain(id);
    }

    // The network.

    pub(super) fn deliver(&mut self, message: Message) {
        let to = message.to;
        if self.keeps_delivered {
            self.delivered.push(message.clone());
        }
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
        self.settle_with(|_| {});
    }

    /// The same, with a look at the group after each step.
    pub(super) fn settle_with(&mut self, mut look: impl FnMut(&mut Group)) {
        for _ in 0..100_000 {
            for id in self.ids() {
                while self.write_one(id) || self.complete_one(id) {
                    look(self);
                }
            }
            if self.network.is_empty() {
                return;
            }
            let message = self.network.remove(0);
            let lost = [message.from, message.to].iter().any(|end| self.isolated.contains(end));
            if !lost {
                self.deliver(message);
                look(self);
            }
        }
        panic!("the members never fall silent");
    }

    // Effects.

    fn drain(&mut self, id: NodeId) {
        let clock = self.clock(id);
        while let Some(effect) = self.node_mut(id).raft.as_mut().and_then(Raft::poll) {
            let node = self.node_mut(id);
            match effect {
                Effect::Persist { id: io, snapshot, entries, hard_state } => {
                    let mut write = Write::of(self.raft(id), io, entries, hard_state);
                    write.snapshot = snapshot.map(|snapshot| {
                        let (_, state) = &self.snapshots[&snapshot.index];
                        (*snapshot, state.clone())
                    });
                    assert!(!write.is_empty(), "{io:?} writes nothing");
                    self.node_mut(id).writes.push_back(write);
                }
                Effect::Send { message, after } => self.send(id, message, after),
                Effect::Commit(range) => self.apply(id, range),
                Effect::Restore(snapshot) => self.install(id, &snapshot),
                Effect::ReadReady { id: read, index } => node.answered.push((read, index)),
                Effect::ReadDropped { id: read } => node.dropped_reads.push(read),
                Effect::ProposalDropped(reason) => node.dropped_proposals.push(reason),
                Effect::SetTimer(kind) => {
                    node.timers.push(kind);
                    node.running.insert(kind, clock);
                }
                Effect::RoundBegun(round) => {
                    let before = node.begun.insert(round, clock);
                    assert_eq!(before, None, "{round:?} began twice");
                }
                Effect::RoundConfirmed(round) => {
                    assert!(node.begun.contains_key(&round), "{round:?} never began");
                    assert!(node.confirmed < Some(round), "{round:?} is no news");
                    node.confirmed = Some(round);
                }
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
        if let Body::Snapshot(snapshot) = &message.body {
            let (known, _) = &self.snapshots[&snapshot.index];
            assert_eq!(known, &**snapshot, "{from} sends a snapshot that nobody ever made");
            let newest = self.node(from).disk.snapshot.index;
            assert!(snapshot.index <= newest, "{from} sends a snapshot that it does not have");
        }
        self.network.push(message);
    }

    fn apply(&mut self, id: NodeId, range: EntryRange) {
        let node = self.node_mut(id);
        assert_eq!(range.first.0, node.applied.len() as u64 + 1, "applied in order, once");
        assert!(range.first <= range.last, "{range:?} is empty");
        let entries = entries_in(node.raft.as_ref().expect("it is up").log(), range);
        let on_disk = (range.first.0..=range.last.0).map(|index| node.disk.entry(index));
        let equal = on_disk.eq(entries.iter().map(Some));
        assert!(equal, "{id} applies {range:?}, which is not durable");
        node.applied.extend(entries);
    }

    fn install(&mut self, id: NodeId, snapshot: &Snapshot) {
        let (_, state) = self.snapshots[&snapshot.index].clone();
        let node = self.node_mut(id);
        assert_eq!(&node.disk.snapshot, snapshot, "{id} restores what is not durable");
        assert!(node.applied.len() < state.len(), "{id} goes back to {}", snapshot.index);
        node.applied = state;
    }
}

impl Node {
    fn new(id: NodeId, disk: Disk, options: Options) -> Node {
        Node {
            id,
            raft: None,
            options,
            disk,
            writes: VecDeque::new(),
            completions: VecDeque::new(),
            durable_sequence: 0,
            held: Vec::new(),
            gathers: 0,
            applied: Vec::new(),
            answered: Vec::new(),
            dropped_reads: Vec::new(),
            dropped_proposals: Vec::new(),
            timers: Vec::new(),
            running: BTreeMap::new(),
            clock_rate: 1000,
            begun: BTreeMap::new(),
            confirmed: None,
        }
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
            assert!(matched <= disk.last_index(), "{message:?}: entries are not durable");
        }
        _ => {}
    }
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

/// An answer to a request for a vote; what it says.
pub(super) fn vote_reply(message: &Message) -> Option<bool> {
    match message.body {
        Body::RequestVoteReply { granted } => Some(granted),
        _ => None,
    }
}

/// An append message as a leader of `term` sends it: entries of these terms after `previous`.
pub(super) fn append(
    from: NodeId,
    to: NodeId,
    term: u64,
    previous: (u64, u64),
    entries: &[u64],
) -> Message {
    let body = Body::Append {
        previous_index: LogIndex(previous.0),
        previous_term: Term(previous.1),
        entries: entries.iter().map(|&term| EntryMeta { term: Term(term), size: 8 }).collect(),
        changes: Vec::new(),
        commit: LogIndex::ZERO,
    };
    Message { from, to, term: Term(term), body }
}
