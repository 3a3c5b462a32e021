//! Carrying out what consensus asks for: write, send, apply.

use bytes::Bytes;
use quorate_mvcc::Error;
use quorate_raft::{Body, Effect, EntryRange, Event, LogIndex, TimerKind};

use crate::codec;
use crate::journal::Entry;
use crate::member::{Member, Output, PeerMessage, Timer};
use crate::request::{Request, ResponseBody};

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
            Event::Propose { .. } => self.raft.log().last_index().next(),
            _ => LogIndex::ZERO,
        };
        self.raft.handle(event);
        self.carry_out_effects(first, payloads);
    }

    pub(crate) fn propose(&mut self, payload: Bytes) {
        let sizes = vec![payload.len() as u32];
        self.step(Event::Propose { sizes }, &[payload]);
    }

    /// `payloads` are those of the entries from `first` on.
    pub(crate) fn carry_out_effects(&mut self, first: LogIndex, payloads: &[Bytes]) {
        while let Some(effect) = self.raft.poll() {
            match effect {
                Effect::Persist { id, hard_state, entries: None } => {
                    let hard_state =
                        hard_state.expect("a write without entries is of the hard state");
                    self.journal.write_hard_state(id, hard_state);
                }
                Effect::Persist { id, hard_state, entries: Some(range) } => {
                    let log = self.raft.log();
                    let new = (range.first.0..=range.last.0).map(|index| {
                        let meta =
                            log.meta(LogIndex(index)).expect("what is written is in the log");
                        let brought = index.checked_sub(first.0).filter(|_| meta.size > 0);
                        let payload = brought
                            .map_or(Bytes::new(), |position| payloads[position as usize].clone());
                        assert_eq!(payload.len(), meta.size as usize, "payload of entry {index}");
                        Entry { term: meta.term, payload }
                    });
                    self.journal.append(id, hard_state, range.first, new);
                }
                Effect::Send { message, after } => {
                    let payloads = match &message.body {
                        Body::Append { previous_index, entries, .. } => {
                            self.journal.payloads(previous_index.next(), entries.len())
                        }
                        _ => Vec::new(),
                    };
                    let message = PeerMessage::Raft { message, payloads };
                    match after {
                        Some(write) => self.held.push_back((write, message)),
                        None => self.outputs.push_back(Output::Send(message)),
                    }
                }
                Effect::Commit(range) => self.apply(range),
                Effect::ReadReady { id, index } => self.reads.confirm(id, index),
                Effect::ReadDropped { id } => self.reads.dropped(id),
                Effect::ProposalDropped => {
                    unreachable!("a member proposes to itself only as leader")
                }
                Effect::SetTimer(TimerKind::Election) => self.set_timer(Timer::Election),
                Effect::SetTimer(TimerKind::Heartbeat) => self.set_timer(Timer::Heartbeat),
            }
        }
    }

    fn set_timer(&mut self, timer: Timer) {
        self.outputs.push_back(Output::SetTimer(timer));
    }

    fn apply(&mut self, range: EntryRange) {
        assert_eq!(range.first, self.applied.next(), "entries are applied in order, each once");
        for index in range.first.0..=range.last.0 {
            self.applied = LogIndex(index);
            let entry = self.journal.get(self.applied).expect("a committed entry is in the log");
            if entry.payload.is_empty() {
                continue;
            }
            let (requester, id, request) = codec::decode(&entry.payload).unwrap_or_else(|error| {
                panic!("committed entry {index} cannot be decoded: {error}")
            });
            let result = self.apply_request(&request);
            if requester == self.config.id
                && let Some(token) = self.proposals.take(id)
            {
                self.reply_from_store(token, result);
            }
        }
    }

    /// Every member applies every entry alike: what is refused here is refused everywhere.
    fn apply_request(&mut self, request: &Request) -> Result<ResponseBody, Error> {
        match request {
            Request::Put(put) => self.store.put(put).map(ResponseBody::Put),
            Request::DeleteRange(delete) => {
                self.store.delete_range(delete).map(ResponseBody::DeleteRange)
            }
            Request::Txn(txn) => self.store.txn(txn).map(ResponseBody::Txn),
            Request::Compact(compact) => self.store.compact(compact).map(ResponseBody::Compact),
            Request::Range(_) => unreachable!("a range does not go through the log"),
        }
    }
}
