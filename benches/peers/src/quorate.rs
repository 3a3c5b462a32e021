//! Our side: the core, and a driver that carries its effects out in memory.
//!
//! The driver does what `member` does: it keeps the payloads, puts them beside the messages, sends
//! no message before the write that it rests on is done (which in memory is at once), and writes
//! together what came together (group commit).

use bytes::Bytes;
use quorate_raft::{
    Body, Configuration, Effect, EntryRange, Event, HardState, IoId, LogIndex, Message, NodeId,
    Options, Raft, Restored, Role, Snapshot, TimerKind,
};

use crate::network::Network;
use crate::segments::Segments;
use crate::workload::{Applied, Group};

/// A message, with the payload of each entry that it announces.
#[derive(Debug)]
struct Envelope {
    message: Message,
    payloads: Vec<Bytes>,
}

#[derive(Debug)]
struct Member {
    raft: Raft,
    /// Payloads of the entries from index 1 on; an empty one for that of a new leader.
    log: Segments<Bytes>,
    hard_state: HardState,
    /// Payloads that consensus was told of and has not asked to be written.
    proposed: Vec<Bytes>,
    /// The last write, which in memory is durable at once.
    written: Option<IoId>,
    applied: Applied,
}

/// Three members over [`Raft`].
#[derive(Debug)]
pub(crate) struct Quorate {
    members: [Member; 3],
    network: Network<Envelope>,
}

impl Group for Quorate {
    fn elect() -> Quorate {
        let mut group = Quorate { members: [1, 2, 3].map(Member::new), network: Network::new() };
        let [first, ..] = &mut group.members;
        for timer in [TimerKind::Election, TimerKind::Jitter] {
            first.step(Event::Timer(timer), Vec::new(), &mut group.network);
        }
        group.pump();
        assert_eq!(group.members[0].raft.role(), Role::Leader, "nobody else stood for election");
        group
    }

    fn propose(&mut self, payloads: impl ExactSizeIterator<Item = Bytes>) {
        let [leader, ..] = &mut self.members;
        let before = leader.proposed.len();
        leader.proposed.extend(payloads);
        let sizes = leader.proposed[before..].iter().map(|payload| payload.len() as u32).collect();
        // What else is proposed before the group is pumped is written and sent along with it.
        leader.raft.handle(Event::Propose { sizes });
    }

    fn pump(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for member in &mut self.members {
                busy |= member.turn(&mut self.network);
            }
        }
    }

    fn messages(&self) -> u64 {
        self.network.sent()
    }

    fn applied(&self) -> [Applied; 3] {
        self.members.each_ref().map(|member| member.applied)
    }

    fn drop_logs(&mut self) {
        for member in &mut self.members {
            member.log = Segments::new();
        }
    }
}

impl Member {
    fn new(id: u64) -> Member {
        let configuration = Configuration::of_voters([1, 2, 3].map(NodeId));
        let raft = Raft::new(Restored {
            snapshot: Snapshot { configuration, ..Snapshot::default() },
            ..Restored::joiner(NodeId(id), Options::default())
        })
        .expect("a new member's state is valid");
        Member {
            raft,
            log: Segments::new(),
            hard_state: HardState::default(),
            proposed: Vec::new(),
            written: None,
            applied: Applied::default(),
        }
    }

    /// Takes in all that has arrived, then writes at once what it led to. Says whether there was
    /// anything to do.
    fn turn(&mut self, network: &mut Network<Envelope>) -> bool {
        let mut busy = !self.proposed.is_empty();
        if busy {
            let mut proposed = std::mem::take(&mut self.proposed);
            let last = self.raft.log().last_index();
            let first = LogIndex(last.0 + 1 - proposed.len() as u64);
            self.carry_out(first, proposed.drain(..), network);
            self.proposed = proposed;
        }
        while let Some(Envelope { message, payloads }) = network.receive(self.raft.id().0) {
            busy = true;
            self.step(Event::Message(message), payloads, network);
        }
        busy
    }

    /// One event, with the payloads of the entries that it brings.
    fn step(&mut self, event: Event, payloads: Vec<Bytes>, network: &mut Network<Envelope>) {
        let first = match &event {
            Event::Message(Message { body: Body::Append { previous_index, .. }, .. }) => {
                previous_index.next()
            }
            _ => self.raft.log().last_index().next(),
        };
        self.raft.handle(event);
        self.carry_out(first, payloads.into_iter(), network);
    }

    /// Does what consensus asks for. `payloads` are those of the entries from `first` on, of which
    /// the log may have some already.
    fn carry_out(
        &mut self,
        first: LogIndex,
        mut payloads: impl Iterator<Item = Bytes>,
        network: &mut Network<Envelope>,
    ) {
        while let Some(effect) = self.raft.poll() {
            match effect {
                Effect::Persist { id, hard_state, entries, .. } => {
                    if let Some(hard_state) = hard_state {
                        self.hard_state = hard_state;
                    }
                    if let Some(range) = entries {
                        self.write(range, first, &mut payloads);
                    }
                    self.raft.handle(Event::Persisted(id));
                    self.written = Some(id);
                }
                Effect::Send { message, after } => {
                    assert!(
                        after.is_none() || after <= self.written,
                        "what it rests on is written"
                    );
                    let payloads = self.payloads_for(&message);
                    network.send(message.to.0, Envelope { message, payloads });
                }
                Effect::Commit(range) => self.apply(range),
                Effect::SetTimer(_) => {}
                Effect::ReadReady { .. }
                | Effect::ReadDropped { .. }
                | Effect::ProposalDropped(_)
                | Effect::Restore(_)
                | Effect::RoundBegun(_)
                | Effect::RoundConfirmed(_) => {
                    unreachable!("nobody reads, member 1 leads, and no log is shortened")
                }
            }
        }
    }

    /// Puts the entries of `range` into the log.
    fn write(
        &mut self,
        range: EntryRange,
        first: LogIndex,
        payloads: &mut impl Iterator<Item = Bytes>,
    ) {
        self.log.truncate(range.first.previous().0 as usize);
        let known = range.first.distance_from(first) as usize;
        self.log.extend(payloads.skip(known));
        if (self.log.len() as u64) < range.last.0 {
            // The entry with which a new leader begins its term comes from nobody.
            self.log.extend([Bytes::new()]);
        }
        assert_eq!(self.log.len() as u64, range.last.0, "each entry has its payload");
    }

    fn payloads_for(&self, message: &Message) -> Vec<Bytes> {
        let Body::Append { previous_index, entries, .. } = &message.body else {
            return Vec::new();
        };
        let start = previous_index.0 as usize;
        let mut payloads = Vec::with_capacity(entries.len());
        for run in self.log.runs(start, start + entries.len()) {
            payloads.extend_from_slice(run);
        }
        payloads
    }

    fn apply(&mut self, range: EntryRange) {
        for run in self.log.runs(range.first.previous().0 as usize, range.last.0 as usize) {
            for payload in run {
                self.applied.apply(payload);
            }
        }
    }
}
