//! What consensus has agreed on, brought to the store: entries in order, each once, and states that
//! take the place of entries.

use std::collections::VecDeque;

use quorate_mvcc::{Damage, Failure};
use quorate_raft::{EntryRange, LogIndex, NodeId, Snapshot};
use quorate_wal::disk::Disk;

use crate::codec;
use crate::config::Time;
use crate::journal::EntryKind;
use crate::member::{Member, refusal};
use crate::membership;
use crate::proposals::RequestId;
use crate::request::{Request, ResponseBody};

/// What the store does not reflect yet, in order. It waits here while a record that it needs is
/// damaged.
#[derive(Debug, Default)]
pub(crate) struct Agreed {
    next: VecDeque<Next>,
    /// Behind which entry it waits, and since when.
    held_up: Option<(LogIndex, Time)>,
}

#[derive(Debug)]
enum Next {
    Entries(EntryRange),
    Snapshot(Snapshot),
}

impl Agreed {
    pub(crate) fn entries(&mut self, range: EntryRange) {
        self.next.push_back(Next::Entries(range));
    }

    /// The state that it stands for holds all that was agreed on before.
    pub(crate) fn snapshot(&mut self, snapshot: Snapshot) {
        self.forget_entries();
        self.next.push_back(Next::Snapshot(snapshot));
    }

    /// A snapshot takes the place of the log, and of entries that have not been applied.
    pub(crate) fn forget_entries(&mut self) {
        *self = Agreed::default();
    }

    /// Since when a damaged record has held up the entry that is next; `None` if none does.
    pub(crate) fn held_up_since(&self) -> Option<Time> {
        self.held_up.map(|(_, since)| since)
    }

    /// Whether an entry is among those that wait.
    pub(crate) fn reaches(&self, index: LogIndex) -> bool {
        matches!(self.next.back(), Some(Next::Entries(range)) if index <= range.last)
    }

    /// The store has come to reflect all entries up to one otherwise.
    pub(crate) fn forget_through(&mut self, index: LogIndex) {
        self.held_up = None;
        for next in std::mem::take(&mut self.next) {
            match next {
                Next::Entries(range) if range.last <= index => {}
                Next::Entries(EntryRange { first, last }) => {
                    self.entries(EntryRange { first: first.max(index.next()), last });
                }
                Next::Snapshot(_) => unreachable!("what waits behind damage are entries"),
            }
        }
    }
}

impl Member {
    /// Applies what was agreed on, as far as the store can be read.
    pub(crate) fn follow_up(&mut self, disk: &dyn Disk) {
        while let Some(next) = self.agreed.next.pop_front() {
            match next {
                Next::Snapshot(snapshot) => self.restore(&snapshot, disk),
                Next::Entries(range) => {
                    assert_eq!(range.first, self.applied.next(), "entries are applied in order");
                    if let Err(damage) = self.apply(range, disk) {
                        let rest = EntryRange { first: self.applied.next(), last: range.last };
                        self.agreed.next.push_front(Next::Entries(rest));
                        let is_here = |(at, _): &(LogIndex, Time)| *at == self.applied;
                        let earlier = self.agreed.held_up.filter(is_here);
                        self.agreed.held_up = earlier.or(Some((self.applied, self.now)));
                        self.note_damage(damage);
                        return;
                    }
                }
            }
        }
        self.agreed.held_up = None;
    }

    /// An error if an entry cannot be applied yet; those before it were.
    fn apply(&mut self, range: EntryRange, disk: &dyn Disk) -> Result<(), Damage> {
        for index in range.first.0..=range.last.0 {
            let index = LogIndex(index);
            let entry = self.journal.get(index).expect("a committed entry is in the log");
            if entry.kind == EntryKind::Change {
                let waiting = membership::waiting(&entry.payload);
                self.applied = index;
                self.answer_change(waiting);
                continue;
            }
            if entry.payload.is_empty() {
                self.applied = index;
                continue;
            }
            let (requester, id, request) = codec::decode(&entry.payload).unwrap_or_else(|error| {
                panic!("committed entry {index} cannot be decoded: {error}")
            });
            let is_awaited = requester == self.config.id && self.proposals.is_awaited(id);
            let result = refusal(self.apply_request(&request, is_awaited, disk))?;
            self.applied = index;
            if requester == self.config.id
                && let Some(token) = self.proposals.take(id)
            {
                self.reply_from_store(token, result);
            }
        }
        Ok(())
    }

    /// The change at the entry that was applied last is in force, and committed.
    fn answer_change(&mut self, waiting: Option<(NodeId, RequestId)>) {
        let Some((_, id)) = waiting.filter(|(member, _)| *member == self.config.id) else {
            return;
        };
        if let Some(token) = self.proposals.take(id) {
            let (_, configuration) = self.raft.membership().at(self.applied);
            let (revision, configuration) = (self.store.revision(), configuration.clone());
            let body = ResponseBody::Members { revision, configuration };
            self.reply_from_store(token, Ok(body));
        }
    }

    /// Every member applies every entry alike: what is refused here is refused everywhere. Only the
    /// answer is left out where nobody waits for it: a record that only it would say may be
    /// damaged, and the peers may have compacted it away meanwhile.
    fn apply_request(
        &mut self,
        request: &Request,
        is_awaited: bool,
        disk: &dyn Disk,
    ) -> Result<ResponseBody, Failure> {
        let mut store = self.store.applier(disk);
        if !is_awaited {
            store = store.without_answers();
        }
        match request {
            Request::Put(put) => store.put(put).map(ResponseBody::Put),
            Request::DeleteRange(delete) => {
                store.delete_range(delete).map(ResponseBody::DeleteRange)
            }
            Request::Txn(txn) => store.txn(txn).map(ResponseBody::Txn),
            Request::Compact(compact) => Ok(ResponseBody::Compact(self.store.compact(compact)?)),
            Request::Range(_) | Request::ChangeMembers(_) | Request::TransferLeadership(_) => {
                unreachable!("it does not go through the store's log")
            }
        }
    }
}
