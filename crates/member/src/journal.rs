//! The payloads of the log, and the log's way to the disk.
//!
//! Consensus knows entries by number, term and size; here are their bytes. Written is what
//! [`Journal::append`] encoded, in one batch at a time: what comes while a batch is under way
//! goes into the next one, so that the disk's own speed decides how much one sync carries (group
//! commit).

use bytes::Bytes;
use quorate_proto::raftpb;
use quorate_raft::{HardState, IoId, LogIndex, Term};
use quorate_wal::Wal;
use quorate_wal::disk::DiskOp;

use crate::member::BatchId;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Term of the leader that appended it.
    pub term: Term,
    /// An encoded request; empty for the entry with which a leader begins its term.
    pub payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Journal {
    /// Entries from index 1 on, as consensus has them in memory.
    entries: Vec<Entry>,
    wal: Wal,
    /// The last write handed to the log file and not to the disk yet.
    unsubmitted: Option<IoId>,
    /// The batch on the disk, and the last write in it.
    submitted: Option<(BatchId, IoId)>,
    batches: u64,
    /// The first entry that changed since an observer last asked.
    changed_from: Option<LogIndex>,
}

impl Journal {
    pub(crate) fn new(entries: Vec<Entry>, wal: Wal) -> Journal {
        let changed_from = (!entries.is_empty()).then_some(LogIndex(1));
        Journal { entries, wal, unsubmitted: None, submitted: None, batches: 0, changed_from }
    }

    /// The entry at `index`, if there is one.
    pub(crate) fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(index.0.checked_sub(1)? as usize)
    }

    /// The first entry that changed since the last call.
    pub(crate) fn take_changed_from(&mut self) -> Option<LogIndex> {
        self.changed_from.take()
    }

    /// The payloads of `count` entries from `first` on.
    pub(crate) fn payloads(&self, first: LogIndex, count: usize) -> Vec<Bytes> {
        let start = first.previous().0 as usize;
        self.entries[start..start + count].iter().map(|entry| entry.payload.clone()).collect()
    }

    /// Replaces the log from `first` on, and notes the write.
    pub(crate) fn append(
        &mut self,
        id: IoId,
        hard_state: Option<HardState>,
        first: LogIndex,
        new: impl Iterator<Item = Entry>,
    ) {
        let kept = first.previous().0 as usize;
        assert!(kept <= self.entries.len(), "entries are appended without a gap");
        self.entries.truncate(kept);
        self.changed_from = Some(self.changed_from.map_or(first, |changed| changed.min(first)));
        self.entries.extend(new);
        let records =
            self.entries[kept..].iter().zip(first.0..).map(|(entry, index)| raftpb::Entry {
                r#type: raftpb::EntryType::EntryNormal as i32,
                term: entry.term.0,
                index,
                data: (!entry.payload.is_empty()).then(|| entry.payload.clone()),
            });
        self.wal.append(hard_state.map(to_record), records);
        self.unsubmitted = Some(id);
    }

    /// Notes a write of the hard state alone.
    pub(crate) fn write_hard_state(&mut self, id: IoId, hard_state: HardState) {
        self.wal.append(Some(to_record(hard_state)), std::iter::empty::<raftpb::Entry>());
        self.unsubmitted = Some(id);
    }

    /// What to give the disk now: nothing while a batch is under way.
    pub(crate) fn submit(&mut self) -> Option<(BatchId, Vec<DiskOp>)> {
        if self.submitted.is_some() {
            return None;
        }
        let last = self.unsubmitted.take()?;
        self.batches += 1;
        let batch = BatchId(self.batches);
        self.submitted = Some((batch, last));
        Some((batch, self.wal.take_ops()))
    }

    /// The batch on the disk is durable, and with it all writes up to the one returned.
    pub(crate) fn completed(&mut self, batch: BatchId) -> IoId {
        let (submitted, last) =
            self.submitted.take().expect("a batch completes after it was submitted");
        assert_eq!(submitted, batch, "batches complete in order");
        last
    }
}

fn to_record(hard_state: HardState) -> raftpb::HardState {
    raftpb::HardState {
        term: hard_state.term.0,
        vote: hard_state.vote.map_or(0, |vote| vote.0),
        commit: hard_state.commit.0,
    }
}
