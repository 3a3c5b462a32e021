//! A group in memory, and the driver's contract carried out to the letter: writes become durable
//! in order, messages wait for theirs, committed entries are applied in order.

use quorate_raft::{
    Body, Effect, Event, IoId, LogIndex, Message, NodeId, Options, Raft, ReadId, Role, TimerKind,
};

use crate::check::{self, Ledger};
use crate::disk::{Disk, Entry, Payload, Write};
use crate::node::{DRIFT_MS, ELECTION_TIMEOUT_MS, Face, Letter, Links, Memory, Node};
use crate::tell::{self, Told};

#[derive(Default)]
pub(crate) struct Group {
    /// In ascending order.
    pub(crate) nodes: Vec<Node>,
    /// Sent and neither delivered nor lost, in the order of sending.
    pub(crate) network: Vec<Letter>,
    pub(crate) links: Links,
    pub(crate) told: Vec<Told>,
    /// What is told now follows from a message.
    delivering: bool,
    pub(crate) ledger: Ledger,
}

/// Where the payloads of the entries that an event brings come from.
pub(crate) enum Source {
    /// The core itself adds nothing else than empty entries and the leaving of joint
    /// configurations.
    Core,
    /// Proposed here, in this order.
    Proposed(Vec<Payload>),
    /// Received in an append after this index.
    Received(LogIndex, Vec<Entry>),
}

impl Group {
    pub(crate) fn tell(&mut self, line: String) {
        self.told.push(Told { outcome: false, follows: self.delivering, line });
    }

    pub(crate) fn tell_outcome(&mut self, line: String) {
        self.told.push(Told { outcome: true, follows: self.delivering, line });
    }

    /// Forgets how the last command's outcomes came about.
    pub(crate) fn keep_outcomes(&mut self) {
        self.told.retain(|told| told.outcome);
        self.told.iter_mut().for_each(|told| told.follows = false);
    }

    pub(crate) fn position(&self, id: NodeId) -> Result<usize, String> {
        let position = self.nodes.iter().position(|node| node.id == id);
        position.ok_or_else(|| format!("there is no member n{id}"))
    }

    pub(crate) fn node(&mut self, id: NodeId) -> Result<&mut Node, String> {
        let position = self.position(id)?;
        Ok(&mut self.nodes[position])
    }

    /// A member with this disk, which starts at once.
    pub(crate) fn add(&mut self, id: NodeId, options: Options, disk: Disk) -> Result<(), String> {
        if self.position(id).is_ok() {
            return Err(format!("n{id} is there already"));
        }
        let position = self.nodes.partition_point(|node| node.id < id);
        self.nodes.insert(position, Node::new(id, options, disk));
        self.start(id)
    }

    /// Starts a member from its disk.
    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        if node.raft.is_some() {
            return Err(format!("n{id} is up already"));
        }
        let restored = node.disk.restored(id, node.options.clone());
        let raft = Raft::new(restored).map_err(|error| error.to_string())?;
        node.memory = Memory {
            log: node.disk.log.clone(),
            applied: node.disk.state.clone(),
            ..Memory::default()
        };
        node.memory.log = node.memory.log.split_off(&node.disk.snapshot.index.next());
        let payloads = node.memory.log.iter();
        node.memory.payloads = payloads
            .map(|(&index, entry)| ((index, entry.meta.term), entry.payload.clone()))
            .collect();
        node.raft = Some(raft);
        self.carry_out_all(id, None)
    }

    /// What a crash leaves on the disk: `keep` writes that were under way, and of the next one
    /// `torn` entries without the hard state.
    pub(crate) fn crash(
        &mut self,
        id: NodeId,
        keep: usize,
        torn: Option<usize>,
    ) -> Result<(), String> {
        let node = self.node(id)?;
        node.up()?;
        let memory = std::mem::take(&mut node.memory);
        let under_way = memory.writes.len();
        let mut writes = memory.writes.into_iter();
        for write in writes.by_ref().take(keep) {
            node.disk.write(write)?;
        }
        if let Some(entries) = torn {
            let write = writes.next().ok_or_else(|| format!("n{id} has no write to tear"))?;
            if entries > write.entries.len() {
                return Err(format!("that write has only {} entries", write.entries.len()));
            }
            node.disk.write_part(write, entries);
        }
        let lost = writes.len() + usize::from(torn.is_some());
        node.raft = None;
        node.together = None;
        let unsent = memory.unsent.len();
        let kept = under_way - lost;
        self.tell_outcome(match under_way {
            0 => format!("n{id} is down"),
            _ => format!(
                "n{id} is down: {kept} of its {under_way} writes reached the disk{}, {unsent} messages were never sent",
                if torn.is_some() { ", and a part of the next" } else { "" }
            ),
        });
        Ok(())
    }

    /// One event, with everything that follows from it at this member.
    pub(crate) fn handle(
        &mut self,
        id: NodeId,
        event: Event,
        source: Source,
    ) -> Result<(), String> {
        let node = self.node(id)?;
        let before = node.face();
        node.up()?;
        let last = node.up()?.log().last_index();
        node.raft.as_mut().expect("it is up").handle(event);
        keep_payloads(node, last, source)?;
        if node.together.is_some() { Ok(()) } else { self.carry_out_all(id, before) }
    }

    /// From now on events at this member are handled together, until [`Group::done`].
    pub(crate) fn together(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        node.together = node.face();
        node.up().map(|_| ())
    }

    /// What all the events have led to is carried out.
    pub(crate) fn done(&mut self, id: NodeId) -> Result<(), String> {
        let before = self.node(id)?.together.take();
        before.as_ref().ok_or_else(|| format!("n{id} handles nothing together"))?;
        self.carry_out_all(id, before)
    }

    fn carry_out_all(&mut self, id: NodeId, before: Option<Face>) -> Result<(), String> {
        self.tell_changes(id, before.as_ref())?;
        let mut last_write = None;
        while let Some(effect) = self.node(id)?.raft.as_mut().and_then(Raft::poll) {
            if let Effect::Persist { id, .. } = &effect {
                last_write = Some(*id);
            }
            self.carry_out(id, effect)?;
        }
        let position = self.position(id)?;
        self.ledger.check(&self.nodes, position, before.as_ref())?;
        self.answer_reads(id)?;
        match last_write {
            Some(write) if !self.node(id)?.slow => {
                self.handle(id, Event::Persisted(write), Source::Core)
            }
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Persist { .. } => self.persist(id, effect),
            Effect::Send { message, after } => self.send(id, message, after),
            Effect::Commit(range) => {
                let node = self.node(id)?;
                check::may_be_applied(node, range)?;
                let entries = node.memory.log.range(range.first..=range.last);
                let payloads: Vec<_> = entries.map(|(_, entry)| entry.payload.clone()).collect();
                node.memory.applied.extend(payloads.iter().cloned());
                let range = tell::range(range.first, range.last);
                self.tell_outcome(format!("n{id} applies {range}: {}", tell::names(&payloads)));
                Ok(())
            }
            Effect::Restore(snapshot) => {
                let node = self.node(id)?;
                if node.disk.snapshot != *snapshot {
                    return Err(format!("n{id} restores a snapshot that is not on its disk"));
                }
                node.memory.applied = node.disk.state.clone();
                let state = tell::names(&node.commands());
                self.tell_outcome(format!(
                    "n{id} restores the snapshot up to {}: {state}",
                    snapshot.index
                ));
                Ok(())
            }
            Effect::ReadReady { id: read, index } => self.read_ready(id, read, index),
            Effect::ReadDropped { id: read } => {
                self.node(id)?.memory.asked.remove(&read);
                self.tell_outcome(format!("n{id} drops r{}", read.0));
                Ok(())
            }
            Effect::ProposalDropped(reason) => {
                self.tell_outcome(format!("n{id} takes nothing: {reason}"));
                Ok(())
            }
            Effect::SetTimer(timer) => {
                let node = self.node(id)?;
                node.memory.timers.insert(timer, node.clock_ms);
                Ok(())
            }
            Effect::RoundBegun(round) => {
                let node = self.node(id)?;
                node.memory.rounds.insert(round, node.clock_ms);
                Ok(())
            }
            Effect::RoundConfirmed(round) => {
                let node = self.node(id)?;
                let began =
                    *node.memory.rounds.get(&round).ok_or("a round ends that never began")?;
                node.memory.rounds = node.memory.rounds.split_off(&round);
                node.memory.lease = Some((round, began));
                let until = began + ELECTION_TIMEOUT_MS - DRIFT_MS;
                self.tell_outcome(format!(
                    "n{id} has a lease until {until} ms of its clock: round {}, begun at {began} ms, is confirmed",
                    round.number
                ));
                Ok(())
            }
        }
    }

    fn persist(&mut self, id: NodeId, effect: Effect) -> Result<(), String> {
        let Effect::Persist { id: write, snapshot, entries: range, hard_state } = effect else {
            unreachable!("only writes are persisted")
        };
        let node = self.node(id)?;
        let mut parts = Vec::new();
        let snapshot = match snapshot {
            Some(snapshot) => {
                let state = node.memory.states.remove(&snapshot.index);
                let state = state.ok_or("a snapshot is to be written that never arrived")?;
                node.memory.log.clear();
                parts.push(format!("the snapshot up to {}", snapshot.index));
                Some((*snapshot, state))
            }
            None => None,
        };
        let mut entries = Vec::new();
        let mut replaced = None;
        if let Some(range) = range {
            for index in (range.first.0..=range.last.0).map(LogIndex) {
                entries.extend(entry_at(node, index)?.map(|entry| (index, entry)));
            }
            replaced = Some(node.memory.log.split_off(&range.first)).filter(|old| !old.is_empty());
            node.memory.log.extend(entries.iter().cloned());
            let term = node.up()?.term().0;
            let list: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
            parts.push(format!(
                "{} {}",
                tell::range(range.first, range.last),
                tell::entries(&list, term)
            ));
        }
        parts.extend(hard_state.map(tell::hard_state));
        let record = Write { id: write, snapshot, entries, hard_state };
        let what = parts.join("; ");
        let line = if node.slow {
            node.memory.writes.push_back(record);
            format!("n{id} begins write {}: {what}", write.sequence)
        } else {
            node.memory.durable_sequence = write.sequence;
            node.disk.write(record)?;
            format!("n{id} writes {what}")
        };
        if let Some(old) = replaced {
            let payloads: Vec<_> = old.values().map(|entry| entry.payload.clone()).collect();
            let first = *old.first_key_value().expect("there are some").0;
            let last = *old.last_key_value().expect("there are some").0;
            let range = tell::range(first, last);
            self.tell_outcome(format!("n{id} gives up {range}: {}", tell::names(&payloads)));
        }
        self.tell(line);
        Ok(())
    }

    /// The first `count` writes under way become durable: all of them, or the core is told of each.
    pub(crate) fn sync(&mut self, id: NodeId, count: usize) -> Result<(), String> {
        for _ in 0..count {
            let node = self.node(id)?;
            node.up()?;
            let write = node.memory.writes.pop_front().ok_or("no write is under way")?;
            let name = write.id;
            node.disk.write(write)?;
            node.memory.durable_sequence = name.sequence;
            self.tell(format!("n{id}'s write {} is durable", name.sequence));
            let unsent = std::mem::take(&mut self.node(id)?.memory.unsent);
            for (after, letter) in unsent {
                if after.sequence <= name.sequence {
                    self.post(letter)?;
                } else {
                    self.node(id)?.memory.unsent.push((after, letter));
                }
            }
            self.handle(id, Event::Persisted(name), Source::Core)?;
        }
        Ok(())
    }

    pub(crate) fn send(
        &mut self,
        id: NodeId,
        message: Message,
        after: Option<IoId>,
    ) -> Result<(), String> {
        let node = self.node(id)?;
        let entries = match &message.body {
            Body::Append { previous_index, entries, .. } => {
                let indexes = (previous_index.0 + 1..).map(LogIndex);
                let sent = indexes.zip(entries).map(|(index, &meta)| {
                    let payload = node.memory.payloads.get(&(index, meta.term));
                    let payload = payload.ok_or_else(|| format!("n{id} has no entry {index}"))?;
                    Ok(Entry { meta, payload: payload.clone() })
                });
                sent.collect::<Result<Vec<_>, String>>()?
            }
            _ => Vec::new(),
        };
        let state = match &message.body {
            Body::Snapshot(snapshot) if **snapshot == node.disk.snapshot => node.disk.state.clone(),
            Body::Snapshot(_) => {
                return Err(format!("n{id} sends a snapshot that it does not have"));
            }
            _ => Vec::new(),
        };
        let letter = Letter { message, entries, state, held: false };
        match after {
            Some(write) if write.sequence > node.memory.durable_sequence => {
                let what = tell::message(&letter.message, &letter.entries);
                let to = letter.message.to;
                node.memory.unsent.push((write, letter));
                self.tell(format!(
                    "n{id} ⋯ n{to} {what}, once write {} is durable",
                    write.sequence
                ));
                Ok(())
            }
            _ => self.post(letter),
        }
    }

    fn post(&mut self, letter: Letter) -> Result<(), String> {
        let Message { from, to, .. } = letter.message;
        check::term_is_durable(self.node(from)?, &letter.message)?;
        let what = tell::message(&letter.message, &letter.entries);
        if self.links.cut.contains(&(from, to)) {
            self.tell(format!("n{from} ✗ n{to} {what}"));
        } else {
            self.tell(format!("n{from} → n{to} {what}"));
            self.network.push(letter);
        }
        Ok(())
    }

    pub(crate) fn deliver(&mut self, letter: Letter) -> Result<(), String> {
        let Letter { message, entries, state, .. } = letter;
        let Message { from, to, .. } = message;
        let what = tell::message(&message, &entries);
        let Ok(position) = self.position(to) else {
            self.tell(format!("n{to} is not there for n{from}'s {what}"));
            return Ok(());
        };
        if self.nodes[position].raft.is_none() {
            self.tell(format!("n{to} is down when n{from}'s {what} arrives"));
            return Ok(());
        }
        self.tell(format!("n{to} ← n{from} {what}"));
        let source = match &message.body {
            Body::Append { previous_index, .. } => Source::Received(*previous_index, entries),
            _ => Source::Core,
        };
        if let Body::Snapshot(snapshot) = &message.body {
            self.nodes[position].memory.states.insert(snapshot.index, state);
        }
        self.delivering = true;
        let handled = self.handle(to, Event::Message(message), source);
        self.delivering = false;
        handled
    }

    fn read_ready(&mut self, id: NodeId, read: ReadId, index: LogIndex) -> Result<(), String> {
        let node = self.node(id)?;
        let Some(committed) = node.memory.asked.remove(&read) else {
            self.tell(format!("n{id} does not wait for r{} any more", read.0));
            return Ok(());
        };
        if index.0 < committed {
            return Err(format!(
                "r{} reads at {index}, but {committed} was committed when it was asked",
                read.0
            ));
        }
        node.memory.ready.push((index, read));
        Ok(())
    }

    fn answer_reads(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.node(id)?;
        let applied = LogIndex(node.memory.applied.len() as u64);
        let ready = std::mem::take(&mut node.memory.ready);
        let state = tell::names(&node.commands());
        for (index, read) in ready {
            if index <= applied {
                self.tell_outcome(format!("n{id} answers r{} from {index} on: {state}", read.0));
            } else {
                self.tell(format!("n{id} waits with r{} until it has applied {index}", read.0));
                self.node(id)?.memory.ready.push((index, read));
            }
        }
        Ok(())
    }

    pub(crate) fn fire(&mut self, id: NodeId, timer: TimerKind) -> Result<(), String> {
        let node = self.node(id)?;
        node.up()?;
        let set_at = node.memory.timers.get(&timer);
        let set_at = *set_at.ok_or_else(|| format!("n{id}'s {timer:?} timer does not run"))?;
        let left = (set_at + ELECTION_TIMEOUT_MS).saturating_sub(node.clock_ms);
        if timer == TimerKind::Election && node.options.lease_reads && left > 0 {
            return Err(format!(
                "leases rest on it: n{id}'s election timer still has {left} ms to go"
            ));
        }
        node.memory.timers.remove(&timer);
        self.handle(id, Event::Timer(timer), Source::Core)
    }

    fn tell_changes(&mut self, id: NodeId, before: Option<&Face>) -> Result<(), String> {
        let Some(now) = self.node(id)?.face() else {
            return Ok(());
        };
        let term = now.term;
        let role = |face: &Face| (face.term, face.role, face.leader);
        if before.is_none_or(|before| role(before) != role(&now)) {
            self.tell_outcome(match (now.role, now.leader) {
                (Role::Leader, _) => format!("n{id} leads in term {term}"),
                (Role::Candidate, _) => format!("n{id} stands for election in term {term}"),
                (Role::PreCandidate, _) => {
                    format!("n{id} asks whether it could win term {}", term.next())
                }
                (Role::Follower, Some(leader)) => format!("n{id} follows n{leader} in term {term}"),
                (Role::Follower, None) => format!("n{id} follows nobody in term {term}"),
            });
        }
        if before.is_none_or(|before| before.configuration != now.configuration) {
            let members = match now.configuration.is_empty() {
                true => "nobody yet".to_owned(),
                false => now.configuration.to_string(),
            };
            self.tell_outcome(format!("n{id} has as members: {members}"));
        }
        if before.is_some_and(|before| before.commit != now.commit) {
            self.tell(format!("n{id} commits {}", now.commit));
        }
        Ok(())
    }
}

/// Notes what the entries say that an event has brought. The log ended with `last` before it.
fn keep_payloads(node: &mut Node, last: LogIndex, source: Source) -> Result<(), String> {
    let raft = node.raft.as_ref().expect("it has handled the event");
    let payloads = &mut node.memory.payloads;
    let (first, mut proposed) = match source {
        Source::Received(previous, entries) => {
            for (index, entry) in (previous.0 + 1..).map(LogIndex).zip(entries) {
                if raft.log().meta(index) == Some(entry.meta) {
                    payloads.insert((index, entry.meta.term), entry.payload);
                }
            }
            return Ok(());
        }
        Source::Proposed(proposed) => (last.next(), proposed.into_iter()),
        Source::Core => (last.next(), Vec::new().into_iter()),
    };
    // What a snapshot has replaced is no entry.
    let first = first.max(raft.log().first_index());
    for index in (first.0..=raft.log().last_index().0).map(LogIndex) {
        let meta = raft.log().meta(index).ok_or("a new entry is not there")?;
        let change = raft.membership().changes(index, index).next();
        let change = change.map(|(_, change)| Payload::Change(change.clone()));
        let payload = match proposed.next() {
            Some(proposed) => proposed,
            None => change.clone().unwrap_or(Payload::Empty),
        };
        let is_change = matches!(payload, Payload::Change(_));
        if is_change != change.is_some() || (is_change && change.as_ref() != Some(&payload)) {
            return Err(format!("n{} takes entry {index} for another change than it is", node.id));
        }
        payloads.insert((index, meta.term), payload);
    }
    Ok(())
}

/// What the log has at `index` now; none if later events have shortened it.
fn entry_at(node: &Node, index: LogIndex) -> Result<Option<Entry>, String> {
    let Some(meta) = node.up()?.log().meta(index) else {
        return Ok(None);
    };
    let payload = node.memory.payloads.get(&(index, meta.term));
    let payload = payload.ok_or_else(|| format!("n{} does not know entry {index}", node.id))?;
    Ok(Some(Entry { meta, payload: payload.clone() }))
}
