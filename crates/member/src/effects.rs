//! What consensus asks for, carried out: writes, messages, timers.

use bytes::Bytes;
use quorate_raft::{
    Body, DropReason, Effect, EntryRange, Event, HardState, IoId, List, LogIndex, MembershipChange,
    Message, TimerKind,
};

use crate::journal::{Entry, EntryKind};
use crate::member::{Member, Output, PeerMessage, Timer};
use crate::membership;
use crate::proposals::RequestId;

impl Member {
    /// One event through consensus. `payloads` are those of the entries that it brings.
    pub(crate) fn step(&mut self, event: Event, payloads: &[Bytes]) {
        let first = match &event {
            Event::Message(message) => match &message.body {
                Body::Append { previous_index, entries, .. } => {
                    assert_eq!(entries.len(), payloads.len(), "each entry comes with its payload");
                    previous_index.next()
                }
                _ => LogIndex::ZERO,
            },
            Event::Propose { .. } | Event::ProposeChange { .. } => {
                self.raft.log().last_index().next()
            }
            _ => LogIndex::ZERO,
        };
        self.raft.handle(event);
        self.carry_out_effects(first, payloads);
    }

    /// Hands a write to consensus, as the leader. Says why if it is not taken.
    pub(crate) fn propose(&mut self, payload: Bytes) -> Result<(), DropReason> {
        let sizes = List::from(payload.len() as u32);
        self.step(Event::Propose { sizes }, &[payload]);
        self.dropped.take().map_or(Ok(()), Err)
    }

    /// Hands a change of the membership to consensus.
    pub(crate) fn propose_change(
        &mut self,
        id: RequestId,
        change: &MembershipChange,
    ) -> Result<(), DropReason> {
        let payload = membership::encode(Some((self.config.id, id)), change);
        let (change, size) = (change.clone(), payload.len() as u32);
        self.step(Event::ProposeChange { change, size }, &[payload]);
        self.dropped.take().map_or(Ok(()), Err)
    }

    /// `payloads` are those of the entries from `first` on.
    pub(crate) fn carry_out_effects(&mut self, first: LogIndex, payloads: &[Bytes]) {
        while let Some(effect) = self.raft.poll() {
            match effect {
                Effect::Persist { id, snapshot: Some(snapshot), hard_state, entries } => {
                    assert!(entries.is_none(), "no entries come along with a snapshot");
                    self.install(id, &snapshot, hard_state);
                }
                Effect::Persist { id, hard_state, entries: None, .. } => {
                    let hard_state =
                        hard_state.expect("a write without entries is of the hard state");
                    self.journal.write_hard_state(id, hard_state);
                }
                Effect::Persist { id, hard_state, entries: Some(range), .. } => {
                    self.write_entries(id, hard_state, range, first, payloads);
                }
                Effect::Send { message, after } => self.send(message, after),
                Effect::Commit(range) => self.agreed.entries(range),
                Effect::Restore(snapshot) => self.agreed.snapshot(*snapshot),
                Effect::ReadReady { id, index } => self.reads.confirm(id, index),
                Effect::ReadDropped { id } => self.reads.dropped(id),
                Effect::ProposalDropped(reason) => self.dropped = Some(reason),
                Effect::SetTimer(TimerKind::Election) => self.set_timer(Timer::Election),
                Effect::SetTimer(TimerKind::Jitter) => self.set_timer(Timer::Jitter),
                Effect::SetTimer(TimerKind::Heartbeat) => self.set_timer(Timer::Heartbeat),
                Effect::RoundBegun(round) => self.lease.begun(round, self.now),
                Effect::RoundConfirmed(round) => self.lease.confirmed(round),
            }
        }
    }

    fn write_entries(
        &mut self,
        id: IoId,
        hard_state: Option<HardState>,
        range: EntryRange,
        first: LogIndex,
        payloads: &[Bytes],
    ) {
        let log = self.raft.log();
        let mut changes = self.raft.membership().changes(range.first, range.last).peekable();
        let new = (range.first.0..=range.last.0).map(|index| {
            let meta = log.meta(LogIndex(index)).expect("what is written is in the log");
            let brought = index.checked_sub(first.0).filter(|_| meta.size > 0);
            let payload =
                brought.map_or(Bytes::new(), |position| payloads[position as usize].clone());
            assert_eq!(payload.len(), meta.size as usize, "payload of entry {index}");
            let change = changes.next_if(|(at, _)| at.0 == index);
            let kind = if change.is_some() { EntryKind::Change } else { EntryKind::Request };
            Entry { term: meta.term, kind, payload }
        });
        self.journal.append(id, hard_state, range.first, new);
    }

    fn send(&mut self, message: Message, after: Option<IoId>) {
        let payloads = match &message.body {
            Body::Append { previous_index, entries, .. } => {
                self.journal.payloads(previous_index.next(), entries.len())
            }
            Body::Snapshot(snapshot) => {
                vec![self.snapshot_data(snapshot, message.to)]
            }
            _ => Vec::new(),
        };
        let message = PeerMessage::Raft { message, payloads };
        match after {
            Some(write) => self.held.push_back((write, message)),
            None => self.outputs.push_back(Output::Send(message)),
        }
    }

    fn set_timer(&mut self, timer: Timer) {
        self.outputs.push_back(Output::SetTimer(timer));
    }
}
