//! The commands, one function each. Each refuses what it does not understand before it does
//! anything.

use quorate_raft::{
    Body, Change, Event, List, LogIndex, MembershipChange, Message, NodeId, Options, ReadId, Role,
    Snapshot, Term, TimerKind, Transition,
};

use crate::check;
use crate::disk::{Disk, Payload};
use crate::group::Source;
use crate::messages::{describe, link};
use crate::node::Node;
use crate::run::{Prepared, Run};
use crate::tell;
use crate::words::{Words, node, number};

/// Payload bytes of a command that does not say how large it is, and of a change.
const ENTRY_BYTES: u32 = 10;

impl Run {
    /// `options [nX] [max_entries=N] … [priority=N] [leases]`
    pub(crate) fn set_options(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let of = match words.peek().and_then(|word| node(word).ok()) {
            Some(id) => words.node().map(|_| Some(id))?,
            None => None,
        };
        let mut options = match of.and_then(|id| self.options_of.get(&id)) {
            Some(options) => options.clone(),
            None => self.options.clone(),
        };
        set(&mut options.max_entries_per_message, words.setting("max_entries")?);
        set(&mut options.max_bytes_per_message, words.setting("max_bytes")?);
        set(&mut options.max_inflight_messages, words.setting("inflight_messages")?);
        set(&mut options.max_inflight_bytes, words.setting("inflight_bytes")?);
        set(&mut options.max_uncommitted_bytes, words.setting("uncommitted_bytes")?);
        set(&mut options.priority, words.setting("priority")?);
        options.lease_reads |= words.take("leases");
        words.end()?;
        match of {
            Some(id) => drop(self.options_of.insert(id, options)),
            None => self.options = options,
        }
        Ok(())
    }

    fn options_for(&self, id: NodeId) -> Options {
        self.options_of.get(&id).unwrap_or(&self.options).clone()
    }

    /// `prepare nX log=1,1,2 [term=N] [vote=nX] [commit=N]`: what a founder's disk holds.
    pub(crate) fn prepare(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let log: String = words.setting("log")?.ok_or("log=1,… is missing")?;
        let log: Vec<u64> =
            log.split(',').map(|term| number(term, "a term")).collect::<Result<_, _>>()?;
        let vote: Option<String> = words.setting("vote")?;
        let prepared = Prepared {
            term: words.setting("term")?.unwrap_or(*log.last().expect("split gives a word")),
            vote: vote.map(|vote| node(&vote)).transpose()?,
            commit: words.setting("commit")?.unwrap_or(1),
            log,
        };
        words.end()?;
        self.prepared.insert(id, prepared);
        Ok(())
    }

    /// `start N`: founders n1 to nN, each from a new disk or from the one prepared for it. Where
    /// they begin is told as by `state`.
    pub(crate) fn start(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let count: u64 = words.number("how many members found the group")?;
        words.end()?;
        let founding = MembershipChange::found((1..=count).map(NodeId));
        for id in (1..=count).map(NodeId) {
            let prepared = self.prepared.remove(&id);
            let prepared =
                prepared.unwrap_or(Prepared { term: 1, vote: None, commit: 1, log: vec![1] });
            let mut disk = Disk::of_founder(founding.clone(), &prepared.log, ENTRY_BYTES);
            disk.hard_state.term = Term(prepared.term);
            disk.hard_state.vote = prepared.vote;
            disk.hard_state.commit = LogIndex(prepared.commit);
            self.group.add(id, self.options_for(id), disk)?;
        }
        if let Some(id) = self.prepared.keys().next() {
            return Err(format!("a disk was prepared for n{id}, which is no founder"));
        }
        self.group.told.clear();
        self.state(words)
    }

    /// `join nX`: a member that knows nothing yet.
    pub(crate) fn join(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        self.group.add(id, self.options_for(id), Disk::default())
    }

    /// `campaign nX`: nobody that follows hears of a leader, and nX's patience ends first.
    pub(crate) fn campaign(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        let others: Vec<_> = self.group.nodes.iter().filter(|node| node.id != id).collect();
        let waiting =
            others.into_iter().filter(|node| waits_for_a_leader(node)).map(|node| node.id);
        for other in waiting.collect::<Vec<_>>() {
            self.group.fire(other, TimerKind::Election)?;
        }
        if self.group.node(id)?.memory.timers.contains_key(&TimerKind::Election) {
            self.group.fire(id, TimerKind::Election)?;
        }
        self.group.fire(id, TimerKind::Jitter)
    }

    /// `elect nX`: it stands, and all messages arrive. It must lead then. Only where that leaves
    /// the group is told, as by `state`.
    pub(crate) fn elect(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.peek().map(node).ok_or("a member is missing")??;
        self.campaign(words)?;
        self.group.settle()?;
        match self.group.node(id)?.up()?.role() {
            Role::Leader => self.group.told.clear(),
            role => return Err(format!("n{id} was not elected: it is a {role:?}")),
        }
        self.state(words)
    }

    /// `fire election|jitter|heartbeat nX…`
    pub(crate) fn fire(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let timer = match words.word("a timer")? {
            "election" => TimerKind::Election,
            "jitter" => TimerKind::Jitter,
            "heartbeat" => TimerKind::Heartbeat,
            other => return Err(format!("{other:?} is no timer: election, jitter, heartbeat")),
        };
        words.nodes()?.into_iter().try_for_each(|id| self.group.fire(id, timer))
    }

    /// `propose nX a b:100 …`: one batch; a number after a colon is a size in bytes.
    pub(crate) fn propose(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let (mut payloads, mut sizes) = (Vec::new(), Vec::new());
        while !words.is_empty() {
            let word = words.word("a command")?;
            let (name, size) = match word.split_once(':') {
                Some((name, size)) => (name, number(size, "a size in bytes")?),
                None => (word, ENTRY_BYTES),
            };
            payloads.push(Payload::Command(name.to_owned()));
            sizes.push(size);
        }
        if sizes.is_empty() {
            return Err("nothing is proposed".to_owned());
        }
        self.group.handle(id, Event::Propose { sizes: sizes.into() }, Source::Proposed(payloads))
    }

    /// `say nX->nY after=N count=N`: an append of entries that nX has. Its core would begin
    /// elsewhere, or send more; but by the rules it may say this as well.
    pub(crate) fn say(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let (Some(from), Some(to)) = link(words.word("a link")?)? else {
            return Err("an append has one sender and one receiver".to_owned());
        };
        let previous_index = LogIndex(words.setting("after")?.ok_or("after=N is missing")?);
        let count: usize = words.setting("count")?.ok_or("count=N is missing")?;
        words.end()?;
        let node = self.group.node(from)?;
        let raft = node.up()?;
        if raft.role() != Role::Leader {
            return Err(format!("n{from} does not lead"));
        }
        let sent = node.memory.log.range(previous_index.next()..).take(count);
        let entries: List<_> = sent.map(|(_, entry)| entry.meta).collect();
        if entries.len() != count {
            return Err(format!("n{from} has no {count} entries after {previous_index}"));
        }
        let last = LogIndex(previous_index.0 + count as u64);
        let changes = raft.membership().changes(previous_index.next(), last);
        let body = Body::Append {
            previous_index,
            previous_term: raft.log().term(previous_index).ok_or("that entry is not there")?,
            entries,
            changes: changes.map(|(index, change)| (index, change.clone())).collect(),
            commit: raft.commit(),
        };
        let message = Message { from, to, term: raft.term(), body };
        self.group.send(from, message, None)
    }

    /// `cut nX->nY …`: what is sent there from now on is lost; `*` is anybody.
    pub(crate) fn cut(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        words.peek().ok_or("which link?")?;
        while !words.is_empty() {
            let (from, to) = link(words.word("a link")?)?;
            let ids: Vec<_> = self.group.nodes.iter().map(|node| node.id).collect();
            for id in [from, to].into_iter().flatten() {
                self.group.position(id)?;
            }
            let matches = |end: Option<NodeId>, id| end.is_none_or(|end| end == id);
            for &sender in ids.iter().filter(|&&id| matches(from, id)) {
                let receivers = ids.iter().filter(|&&id| id != sender && matches(to, id));
                self.group.links.cut.extend(receivers.map(|&receiver| (sender, receiver)));
            }
        }
        Ok(())
    }

    /// `isolate nX …`: these hear each other, and nobody else.
    pub(crate) fn isolate(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let inside = words.nodes()?;
        for &id in &inside {
            self.group.position(id)?;
        }
        let ids: Vec<_> = self.group.nodes.iter().map(|node| node.id).collect();
        for outside in ids.into_iter().filter(|id| !inside.contains(id)) {
            for &id in &inside {
                self.group.links.cut.extend([(id, outside), (outside, id)]);
            }
        }
        Ok(())
    }

    /// `heal`: all links work again.
    pub(crate) fn heal(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        words.end()?;
        self.group.links.cut.clear();
        Ok(())
    }

    /// `slow nX …`: from now on their writes wait for `sync`.
    pub(crate) fn slow(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        words.nodes()?.into_iter().try_for_each(|id| {
            self.group.node(id)?.slow = true;
            Ok(())
        })
    }

    /// `prompt nX …`: their writes complete, now and from now on.
    pub(crate) fn prompt(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        words.nodes()?.into_iter().try_for_each(|id| {
            let node = self.group.node(id)?;
            let under_way = node.memory.writes.len();
            // A write that follows from one of these still waits behind it.
            self.group.sync(id, under_way)?;
            while !self.group.node(id)?.memory.writes.is_empty() {
                self.group.sync(id, 1)?;
            }
            self.group.node(id)?.slow = false;
            Ok(())
        })
    }

    /// `sync nX [N]`: the first N writes under way become durable, or those under way now.
    pub(crate) fn sync(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let under_way = self.group.node(id)?.memory.writes.len();
        let count =
            if words.is_empty() { under_way } else { words.number("a number of writes")? };
        words.end()?;
        if count == 0 || count > under_way {
            return Err(format!("n{id} has {under_way} writes under way"));
        }
        self.group.sync(id, count)
    }

    /// `crash nX [keep=N] [torn=M]`: N writes under way still reach the disk, and of the next one
    /// the snapshot and M entries, but not the hard state.
    pub(crate) fn crash(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let keep = words.setting("keep")?.unwrap_or(0);
        let torn = words.setting("torn")?;
        words.end()?;
        let under_way = self.group.node(id)?.memory.writes.len();
        if keep > under_way {
            return Err(format!("n{id} has only {under_way} writes under way"));
        }
        self.group.crash(id, keep, torn)
    }

    /// `wipe nX`: the disk of a member that is down is replaced by a new one.
    pub(crate) fn wipe(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        let node = self.group.node(id)?;
        if node.raft.is_some() {
            return Err(format!("n{id} is up"));
        }
        node.disk = Disk::default();
        Ok(())
    }

    /// `restart nX`
    pub(crate) fn restart(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        self.group.start(id)
    }

    fn ask(&mut self, id: NodeId, event: impl FnOnce(ReadId) -> Event) -> Result<(), String> {
        self.reads += 1;
        let read = ReadId(self.reads);
        let committed = self.group.ledger.committed();
        let node = self.group.node(id)?;
        node.up()?;
        node.memory.asked.insert(read, committed);
        self.group.handle(id, event(read), Source::Core)
    }

    /// `read nX`: the next request, r1, r2, …
    pub(crate) fn read(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        self.ask(id, Event::Read)
    }

    /// `lease-read nX`: the same, under its lease if its clock says that it holds.
    pub(crate) fn lease_read(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        match self.group.node(id)?.lease() {
            Some(round) => self.ask(id, |id| Event::LeaseRead { id, round }),
            None => {
                self.group.tell_outcome(format!("n{id} has no lease, and asks"));
                self.ask(id, Event::Read)
            }
        }
    }

    /// `advance nX|all Nms`: time passes on these clocks. No timer fires by itself.
    pub(crate) fn advance(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let only = if words.take("all") { None } else { Some(words.node()?) };
        let time = words.word("a time")?;
        let ms: u64 = number(time.strip_suffix("ms").ok_or("times end in ms")?, "a time in ms")?;
        words.end()?;
        if let Some(id) = only {
            self.group.node(id)?;
        }
        let moved = self.group.nodes.iter_mut().filter(|node| only.is_none_or(|id| id == node.id));
        moved.for_each(|node| node.clock_ms += ms);
        Ok(())
    }

    /// `change nX add|learner|remove nY … [jointly] [until-left]`
    pub(crate) fn change(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let mut change = MembershipChange::default();
        while !words.is_empty() {
            let one = match words.word("a change")? {
                "add" => Change::AddVoter(words.node()?),
                "learner" => Change::AddLearner(words.node()?),
                "remove" => Change::Remove(words.node()?),
                "jointly" => {
                    let explicit = words.take("until-left");
                    change.transition =
                        if explicit { Transition::JointExplicit } else { Transition::Joint };
                    words.end()?;
                    break;
                }
                other => return Err(format!("{other:?} is no change: add, learner, remove")),
            };
            change.changes.push(one);
        }
        if change.is_leave() {
            return Err("nothing is changed; a joint configuration is left with leave".to_owned());
        }
        self.propose_change(id, change)
    }

    /// `leave nX`: it is to leave the joint configuration.
    pub(crate) fn leave(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        self.propose_change(id, MembershipChange::leave())
    }

    fn propose_change(&mut self, id: NodeId, change: MembershipChange) -> Result<(), String> {
        let source = Source::Proposed(vec![Payload::Change(change.clone())]);
        self.group.handle(id, Event::ProposeChange { change, size: ENTRY_BYTES }, source)
    }

    /// `transfer nX to nY`
    pub(crate) fn transfer(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.expect("to")?;
        let to = words.node()?;
        words.end()?;
        self.group.handle(id, Event::Transfer { to }, Source::Core)
    }

    /// `forget-leader nX`
    pub(crate) fn forget_leader(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        words.end()?;
        self.group.handle(id, Event::ForgetLeader, Source::Core)
    }

    /// `inform nX unreachable|snapshot-arrived|snapshot-failed nY`: what its transport says of nY.
    pub(crate) fn inform(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let what = words.word("what happened")?;
        let to = words.node()?;
        words.end()?;
        let event = match what {
            "unreachable" => Event::Unreachable(to),
            "snapshot-arrived" => Event::SnapshotReport { to, delivered: true },
            "snapshot-failed" => Event::SnapshotReport { to, delivered: false },
            _ => return Err(format!("{what:?} is nothing that a transport says")),
        };
        self.group.handle(id, event, Source::Core)
    }

    /// `compact nX snapshot=N [through=N]`: it has a snapshot on disk, and forgets what the log
    /// has up to there, or only up to `through`.
    pub(crate) fn compact(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let index = LogIndex(words.setting("snapshot")?.ok_or("snapshot=N is missing")?);
        let through = words.setting("through")?.map_or(index, LogIndex);
        words.end()?;
        let node = self.group.node(id)?;
        let raft = node.up()?;
        if index <= raft.view().snapshot.index || through > index {
            return Err("a new snapshot is later, and the log is kept from there on".to_owned());
        }
        let state = check::state_at(&node.memory.applied, index)?;
        let term = raft.log().term(index).ok_or("the snapshot's entry is not there")?;
        let (_, configuration) = raft.membership().at(index);
        node.disk.snapshot = Snapshot { index, term, configuration: configuration.clone() };
        node.disk.state = state;
        node.memory.log = node.memory.log.split_off(&through.next());
        self.group.handle(id, Event::Compact { snapshot: index, through }, Source::Core)
    }

    fn chosen(&self, words: &mut Words<'_>) -> Result<Vec<NodeId>, String> {
        if words.is_empty() {
            return Ok(self.group.nodes.iter().map(|node| node.id).collect());
        }
        words.nodes()
    }

    /// `state [nX …]`: role, term, commit, and the terms of the log.
    pub(crate) fn state(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        for id in self.chosen(words)? {
            let node = self.group.node(id)?;
            let line = describe_state(node);
            self.group.tell_outcome(line);
        }
        Ok(())
    }

    /// `log [nX …]`: every entry as index/term and what it says.
    pub(crate) fn log(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        for id in self.chosen(words)? {
            let node = self.group.node(id)?;
            let entries = node
                .memory
                .log
                .iter()
                .map(|(index, entry)| format!("{index}/{} {}", entry.meta.term, entry.payload));
            let entries = entries.collect::<Vec<_>>().join(", ");
            self.group.tell_outcome(format!("n{id}: {entries}"));
        }
        Ok(())
    }

    /// `progress nX [nY …]`: what a leader knows of its followers.
    pub(crate) fn progress(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        let id = words.node()?;
        let only = if words.is_empty() { Vec::new() } else { words.nodes()? };
        let view = self.group.node(id)?.up()?.view();
        if view.role != Role::Leader {
            return Err(format!("n{id} does not lead"));
        }
        let shown = view.progress.iter().filter(|peer| only.is_empty() || only.contains(&peer.id));
        for line in shown.map(tell::progress).collect::<Vec<_>>() {
            self.group.tell_outcome(line);
        }
        Ok(())
    }

    /// `network`: what is on its way.
    pub(crate) fn network(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        words.end()?;
        let mut lines: Vec<_> = self.group.network.iter().map(describe).collect();
        if lines.is_empty() {
            lines.push("nothing is on its way".to_owned());
        }
        lines.into_iter().for_each(|line| self.group.tell_outcome(line));
        Ok(())
    }

    /// `timers [nX …]`: which run, and since when on its clock.
    pub(crate) fn timers(&mut self, words: &mut Words<'_>) -> Result<(), String> {
        for id in self.chosen(words)? {
            let node = self.group.node(id)?;
            let timers = node.memory.timers.iter();
            let timers = timers.map(|(timer, since)| format!("{timer:?} since {since} ms"));
            let timers = timers.collect::<Vec<_>>().join(", ");
            let clock_ms = node.clock_ms;
            self.group.tell_outcome(format!("n{id} at {clock_ms} ms: {timers}"));
        }
        Ok(())
    }
}

/// Replaces a limit if one was given.
fn set<T>(limit: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *limit = given;
    }
}

/// Whether its election timer may fire: it is up, does not lead, and has not lost patience yet.
fn waits_for_a_leader(node: &Node) -> bool {
    let follows = node.raft.as_ref().is_some_and(|raft| raft.role() != Role::Leader);
    follows && node.memory.timers.contains_key(&TimerKind::Election)
}

fn describe_state(node: &Node) -> String {
    let id = node.id;
    let Some(raft) = &node.raft else {
        return format!("n{id} is down");
    };
    let view = raft.view();
    let role = match (view.role, view.leader) {
        (Role::Leader, _) => "leader".to_owned(),
        (Role::Candidate, _) => "candidate".to_owned(),
        (Role::PreCandidate, _) => "pre-candidate".to_owned(),
        (Role::Follower, Some(leader)) => format!("follower of n{leader}"),
        (Role::Follower, None) => "follower of nobody".to_owned(),
    };
    let mut terms = Vec::new();
    if view.log.base() > LogIndex::ZERO {
        terms.push(format!("({} forgotten)", view.log.base()));
    }
    let indexes = (view.log.first_index().0..=view.log.last_index().0).map(LogIndex);
    terms.extend(indexes.filter_map(|index| view.log.term(index)).map(|term| term.to_string()));
    let mut line = format!(
        "n{id} {role}, term {}, commit {}, log {}",
        view.term,
        view.commit,
        terms.join(" ")
    );
    if let Some(to) = view.transfer {
        line += &format!(", handing over to n{to}");
    }
    if view.durable_index < view.log.last_index() {
        line += &format!(", durable up to {}", view.durable_index);
    }
    line
}
