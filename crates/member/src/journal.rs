//! The payloads of the log, and the way of log and snapshots to the disk.
//!
//! Consensus knows entries by number, term and size; here are their bytes. Written is what
//! [`Journal::append`] encoded, in one batch at a time: what comes while a batch is under way
//! goes into the next one, so that the disk's own speed decides how much one sync carries (group
//! commit).

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_mvcc::{Manifest, Store};
use quorate_proto::{raftpb, walpb};
use quorate_raft::{HardState, IoId, LogIndex, Snapshot, Term};
use quorate_wal::disk::{DiskOp, DiskPath};
use quorate_wal::{SnapshotId, Wal, snap};

use crate::member::BatchId;
use crate::membership;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Term of the leader that appended it.
    pub term: Term,
    /// What the payload is.
    pub kind: EntryKind,
    /// Empty for the entry with which a leader begins its term, and for the one with which it
    /// leaves a joint configuration.
    pub payload: Bytes,
}

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// An encoded request, or nothing.
    Request,
    /// An encoded change of the membership.
    Change,
}

/// A snapshot, and where the store has the state that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) snapshot: Snapshot,
    pub(crate) manifest: Manifest,
}

/// A batch on the disk.
#[derive(Debug)]
struct Submitted {
    batch: BatchId,
    /// The last write in it.
    last: Option<IoId>,
    /// It has operations of the store.
    of_store: bool,
}

#[derive(Debug)]
pub(crate) struct Journal {
    /// The last entry that is forgotten.
    base: LogIndex,
    /// The entries after it, as consensus has them in memory.
    entries: VecDeque<Entry>,
    /// Of the payloads of these.
    bytes: u64,
    wal: Wal,
    /// Where the snapshots' files are.
    snapshots: DiskPath,
    /// Those that have a file, oldest first.
    files: VecDeque<SnapshotId>,
    /// What has to be on the disk before the log's own operations are.
    before_log: Vec<DiskOp>,
    /// What may go once they are.
    after_log: Vec<DiskOp>,
    /// The last write handed to the log file and not to the disk yet.
    unsubmitted: Option<IoId>,
    /// The batch on the disk, and the last write in it.
    submitted: Option<Submitted>,
    batches: u64,
    /// The first entry that changed since an observer last asked.
    changed_from: Option<LogIndex>,
}

impl Journal {
    pub(crate) fn new(
        files: VecDeque<SnapshotId>,
        base: SnapshotId,
        entries: VecDeque<Entry>,
        wal: Wal,
        snapshots: DiskPath,
    ) -> Journal {
        let changed_from = (!entries.is_empty()).then_some(LogIndex(base.index + 1));
        Journal {
            base: LogIndex(base.index),
            bytes: bytes_of(entries.iter()),
            entries,
            wal,
            snapshots,
            files,
            before_log: Vec::new(),
            after_log: Vec::new(),
            unsubmitted: None,
            submitted: None,
            batches: 0,
            changed_from,
        }
    }

    /// The entry at `index`, if there is one.
    pub(crate) fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(index.0.checked_sub(self.base.0 + 1)? as usize)
    }

    /// The first entry that changed since the last call.
    pub(crate) fn take_changed_from(&mut self) -> Option<LogIndex> {
        self.changed_from.take()
    }

    /// The payloads of `count` entries from `first` on.
    pub(crate) fn payloads(&self, first: LogIndex, count: usize) -> Vec<Bytes> {
        let start = self.position(first);
        self.entries.range(start..start + count).map(|entry| entry.payload.clone()).collect()
    }

    /// Replaces the log from `first` on, and notes the write.
    pub(crate) fn append(
        &mut self,
        id: IoId,
        hard_state: Option<HardState>,
        first: LogIndex,
        new: impl Iterator<Item = Entry>,
    ) {
        let kept = self.position(first);
        assert!(kept <= self.entries.len(), "entries are appended without a gap");
        self.bytes -= bytes_of(self.entries.range(kept..));
        self.entries.truncate(kept);
        self.note_change(first);
        self.entries.extend(new);
        self.bytes += bytes_of(self.entries.range(kept..));
        let records = self.entries.range(kept..).zip(first.0..).map(|(entry, index)| {
            let kind = match entry.kind {
                EntryKind::Request => raftpb::EntryType::EntryNormal,
                EntryKind::Change => raftpb::EntryType::EntryConfChangeV2,
            };
            raftpb::Entry {
                r#type: kind as i32,
                term: entry.term.0,
                index,
                data: (!entry.payload.is_empty()).then(|| entry.payload.clone()),
            }
        });
        self.wal.append(hard_state.map(to_record), records);
        self.unsubmitted = Some(id);
    }

    /// Notes a write of the hard state alone.
    pub(crate) fn write_hard_state(&mut self, id: IoId, hard_state: HardState) {
        self.wal.append(Some(to_record(hard_state)), std::iter::empty::<raftpb::Entry>());
        self.unsubmitted = Some(id);
    }

    /// A snapshot came from the leader: it replaces the log, and is written before anything else
    /// of this write is.
    pub(crate) fn install(&mut self, id: IoId, hard_state: Option<HardState>, state: &State) {
        self.write_snapshot(state);
        self.base = state.snapshot.index;
        self.entries.clear();
        self.bytes = 0;
        self.note_change(self.base.next());
        self.wal.append(hard_state.map(to_record), std::iter::empty::<raftpb::Entry>());
        self.unsubmitted = Some(id);
    }

    /// Writes a snapshot: its file, then a record in the log that says so.
    pub(crate) fn write_snapshot(&mut self, state: &State) {
        let metadata = membership::to_metadata(&state.snapshot);
        let (index, term) = (metadata.index, metadata.term);
        let record = walpb::Snapshot { index, term, conf_state: Some(metadata.conf_state.clone()) };
        let snapshot = raftpb::Snapshot { data: Some(state.manifest.encode()), metadata };
        self.before_log.extend(snap::write_ops(&self.snapshots, &snapshot));
        self.wal.append_snapshot(&record);
        // A snapshot is of what is committed. etcd passes over those that the commit index of the
        // log does not cover, so that it has to be in the log with them: consensus hands out its
        // hard state when something else is to be written, which may be long after.
        let state = self.wal.hard_state();
        if state.commit < index {
            let raised = raftpb::HardState { commit: index, ..state };
            self.wal.append(Some(raised), std::iter::empty::<raftpb::Entry>());
        }
        self.files.push_back(SnapshotId { term, index });
    }

    /// The newest snapshot is durable: gives up what only older ones need than the one before it,
    /// which stays for the case that the newest is damaged one day.
    pub(crate) fn release_old(&mut self) {
        while self.files.len() > 2 {
            let old = self.files.pop_front().expect("there are three");
            self.after_log.extend(snap::removal_ops(&self.snapshots, old));
        }
        if let [kept, _] = self.files.make_contiguous() {
            self.wal.release_to(kept.index);
        }
    }

    /// What the payloads in memory take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last entry that need not stay if behind `snapshot` so many entries should, and no more
    /// than so many bytes of them.
    pub(crate) fn superfluous(&self, snapshot: LogIndex, entries: u64, bytes: u64) -> LogIndex {
        let through = LogIndex(snapshot.0.saturating_sub(entries)).max(self.base);
        let behind = self.position(through.next())..self.position(snapshot.next());
        let mut left = bytes_of(self.entries.range(behind.clone()));
        let is_too_much = |entry: &&Entry| {
            let too_much = left > bytes;
            left -= entry.payload.len() as u64;
            too_much
        };
        let more = self.entries.range(behind).take_while(is_too_much).count();
        LogIndex(through.0 + more as u64)
    }

    /// Forgets the payloads up to `through`.
    pub(crate) fn compact(&mut self, through: LogIndex) {
        if through > self.base {
            let forgotten = ..self.position(through.next());
            self.bytes -= bytes_of(self.entries.range(forgotten));
            self.entries.drain(forgotten);
            self.base = through;
        }
    }

    /// What is done before the next writes to the log are.
    pub(crate) fn before_log(&mut self, operations: Vec<DiskOp>) {
        self.before_log.extend(operations);
    }

    /// What of the log is in doubt was made up for.
    pub(crate) fn caught_up(&mut self) {
        if self.wal.doubtful_up_to() > 0 {
            self.wal.caught_up();
        }
    }

    /// What to give the disk now: nothing while a batch is under way. What the store has to write
    /// comes first, since snapshots name it.
    pub(crate) fn submit(&mut self, store: &mut Store) -> Option<(BatchId, Vec<DiskOp>)> {
        let idle = self.before_log.is_empty() && self.after_log.is_empty();
        if self.submitted.is_some() || (idle && !self.wal.has_pending() && !store.has_ops()) {
            return None;
        }
        self.batches += 1;
        let batch = BatchId(self.batches);
        let mut operations = store.take_ops();
        let of_store = !operations.is_empty();
        self.submitted = Some(Submitted { batch, last: self.unsubmitted.take(), of_store });
        operations.append(&mut self.before_log);
        operations.extend(self.wal.take_ops());
        operations.append(&mut self.after_log);
        Some((batch, operations))
    }

    /// The batch on the disk is durable, and with it all writes up to the one returned.
    pub(crate) fn completed(&mut self, batch: BatchId, store: &mut Store) -> Option<IoId> {
        let submitted = self.submitted.take().expect("a batch completes after it was submitted");
        assert_eq!(submitted.batch, batch, "batches complete in order");
        if submitted.of_store {
            store.ops_done();
        }
        submitted.last
    }

    /// The name of the batch that is handed out next.
    pub(crate) fn next_batch(&self) -> BatchId {
        BatchId(self.batches + 1)
    }

    fn note_change(&mut self, first: LogIndex) {
        self.changed_from = Some(self.changed_from.map_or(first, |changed| changed.min(first)));
    }

    /// Where the entry is, or would be.
    fn position(&self, index: LogIndex) -> usize {
        let position = index.0.checked_sub(self.base.0 + 1);
        position.unwrap_or_else(|| panic!("entry {index} is forgotten")) as usize
    }
}

fn bytes_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> u64 {
    entries.map(|entry| entry.payload.len() as u64).sum()
}

fn to_record(hard_state: HardState) -> raftpb::HardState {
    raftpb::HardState {
        term: hard_state.term.0,
        vote: hard_state.vote.map_or(0, |vote| vote.0),
        commit: hard_state.commit.0,
    }
}
