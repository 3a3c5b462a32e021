//! Where raft-rs keeps its log: what comes with it, and something leaner.

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Snapshot};
use raft::storage::MemStorage;
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use crate::segments::Segments;

/// A log that raft-rs reads and its driver writes.
pub(crate) trait Store: Storage {
    /// An empty log of a group of the members 1, 2 and 3.
    fn new() -> Self;

    /// Writes entries, in the place of all from the first of them on.
    fn write(&mut self, entries: Vec<Entry>, hard_state: Option<HardState>);

    /// Frees all entries.
    fn clear(&mut self);
}

fn voters() -> ConfState {
    ConfState::from((vec![1, 2, 3], vec![]))
}

/// raft-rs's own storage in memory, with its lock.
pub(crate) type Memory = MemStorage;

impl Store for MemStorage {
    fn new() -> MemStorage {
        MemStorage::new_with_conf_state(voters())
    }

    fn write(&mut self, entries: Vec<Entry>, hard_state: Option<HardState>) {
        let mut core = self.wl();
        core.append(&entries).expect("entries follow what is there");
        if let Some(hard_state) = hard_state {
            core.set_hardstate(hard_state);
        }
    }

    fn clear(&mut self) {
        *self = MemStorage::new();
    }
}

/// Of each entry only what differs from entry to entry, without a lock.
#[derive(Debug)]
pub(crate) struct Lean {
    /// The entries from index 1 on.
    entries: Segments<Stored>,
    hard_state: HardState,
}

#[derive(Debug)]
struct Stored {
    term: u64,
    kind: EntryType,
    data: Bytes,
}

impl Store for Lean {
    fn new() -> Lean {
        Lean { entries: Segments::new(), hard_state: HardState::default() }
    }

    fn write(&mut self, entries: Vec<Entry>, hard_state: Option<HardState>) {
        if let Some(first) = entries.first() {
            let before = first.index - 1;
            assert!(before <= self.entries.len() as u64, "entries leave no gap");
            self.entries.truncate(before as usize);
        }
        // One at a time is faster here than `extend`, which moves whole entries once more.
        for entry in entries {
            assert!(entry.context.is_empty(), "nobody here gives an entry a context");
            let Entry { term, entry_type, data, .. } = entry;
            self.entries.push(Stored { term, kind: entry_type, data });
        }
        if let Some(hard_state) = hard_state {
            self.hard_state = hard_state;
        }
    }

    fn clear(&mut self) {
        self.entries = Segments::new();
    }
}

impl Storage for Lean {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), voters()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity((high - low) as usize);
        for run in self.entries.runs(low as usize - 1, high as usize - 1) {
            for stored in run {
                entries.push(Entry {
                    entry_type: stored.kind,
                    term: stored.term,
                    index: low + entries.len() as u64,
                    data: stored.data.clone(),
                    ..Entry::default()
                });
            }
        }
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == 0 {
            return Ok(0);
        }
        let stored = self.entries.get(index as usize - 1);
        stored.map(|stored| stored.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.entries.len() as u64)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        // Nothing is ever compacted, so nobody needs one.
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
