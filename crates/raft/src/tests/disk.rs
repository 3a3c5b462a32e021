//! What survives a crash, and how it is written.

use std::collections::BTreeMap;

use crate::{
    EntryMeta, EntryRange, HardState, IoId, Log, LogIndex, MembershipChange, Raft, Snapshot, Term,
};

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Snapshot,
    /// What the snapshot holds: all entries up to its index.
    pub(super) state: Vec<EntryMeta>,
    /// The entries after the snapshot.
    pub(super) log: Vec<EntryMeta>,
    /// Which of them change the membership.
    pub(super) changes: BTreeMap<LogIndex, MembershipChange>,
    /// The last entry that it held when it lost some, or earlier.
    pub(super) doubtful: LogIndex,
    /// How often it lost some.
    pub(super) losses: usize,
    /// What stood behind an entry before it was replaced last.
    replaced: Option<(LogIndex, Vec<EntryMeta>, BTreeMap<LogIndex, MembershipChange>)>,
}

/// One write on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) id: IoId,
    pub(super) snapshot: Option<(Snapshot, Vec<EntryMeta>)>,
    entries: Option<(LogIndex, Vec<EntryMeta>)>,
    changes: Vec<(LogIndex, MembershipChange)>,
    hard_state: Option<HardState>,
}

impl Disk {
    /// A disk with a log of entries of these terms, all of the same size.
    pub(super) fn with_log(term: u64, entry_terms: &[u64]) -> Disk {
        Disk {
            hard_state: HardState { term: Term(term), vote: None, commit: LogIndex::ZERO },
            log: entry_terms.iter().map(|&term| EntryMeta { term: Term(term), size: 8 }).collect(),
            ..Disk::default()
        }
    }

    /// What the founder of a group writes before anything else.
    pub(super) fn of_founder(founding: &MembershipChange) -> Disk {
        let mut disk = Disk::with_log(1, &[1]);
        disk.hard_state.commit = LogIndex(1);
        disk.changes.insert(LogIndex(1), founding.clone());
        disk
    }

    pub(super) fn last_index(&self) -> LogIndex {
        LogIndex(self.snapshot.index.0 + self.log.len() as u64)
    }

    /// The entry of this index, which may be one that the snapshot holds.
    pub(super) fn entry(&self, index: u64) -> Option<&EntryMeta> {
        let position = index as usize - 1;
        self.state.get(position).or_else(|| self.log.get(position - self.state.len()))
    }

    /// All entries from the first one on.
    pub(super) fn entries(&self) -> Vec<EntryMeta> {
        [&self.state[..], &self.log].concat()
    }

    /// Whether it begins with these entries.
    pub(super) fn holds(&self, prefix: &[EntryMeta]) -> bool {
        let middle = self.state.len().min(prefix.len());
        let (before, after) = prefix.split_at(middle);
        self.state[..middle] == *before && self.log.get(..after.len()) == Some(after)
    }

    pub(super) fn restored_log(&self) -> Log {
        let mut log = Log::after(self.snapshot.index, self.snapshot.term);
        for &entry in &self.log {
            log.append(entry);
        }
        log
    }

    /// A snapshot of the member's own takes the place of the log's beginning.
    pub(super) fn compact(&mut self, snapshot: Snapshot, state: Vec<EntryMeta>) {
        assert!(self.holds(&state), "a snapshot of what is not on the disk");
        let old = self.snapshot.index;
        assert!(snapshot.index > old, "snapshot {} replaces {old}", snapshot.index);
        self.log.drain(..(snapshot.index.0 - old.0) as usize);
        self.changes.retain(|index, _| *index > snapshot.index);
        (self.snapshot, self.state) = (snapshot, state);
        self.replaced = None;
    }

    /// The last `entries` entries are gone, as far as they are not in the snapshot. If what replaced
    /// others is gone, those others are back.
    pub(super) fn lose(&mut self, entries: usize) {
        self.losses += 1;
        self.doubtful = self.doubtful.max(self.last_index());
        let mut kept = self.log.len().saturating_sub(entries);
        if let Some((behind, ..)) = &self.replaced {
            let all = behind.distance_from(self.snapshot.index) as usize;
            // All of what replaced others, or nothing of it.
            kept = if kept < self.log.len() && kept + 4 >= all {
                all.min(self.log.len())
            } else {
                kept
            };
        }
        self.log.truncate(kept);
        let last = self.last_index();
        self.changes.retain(|index, _| *index <= last);
        self.hard_state.commit = self.hard_state.commit.min(last);
        if let Some((behind, log, changes)) = self.replaced.take_if(|(behind, ..)| *behind == last)
        {
            self.hard_state.commit = self.hard_state.commit.min(behind);
            self.log.extend(log);
            self.changes.extend(changes);
            self.doubtful = self.doubtful.max(self.last_index());
        }
    }

    /// Everything is gone but term and vote. The group began with an entry: nothing is known of it.
    pub(super) fn lose_all(&mut self) {
        *self = Disk {
            hard_state: HardState { commit: LogIndex::ZERO, ..self.hard_state },
            doubtful: self.doubtful.max(self.last_index()),
            losses: self.losses + 1,
            ..Disk::default()
        };
    }

    pub(super) fn write(&mut self, write: Write) {
        if let Some((snapshot, state)) = write.snapshot {
            assert!(snapshot.index > self.snapshot.index, "a snapshot replaces a later one");
            (self.snapshot, self.state) = (snapshot, state);
            self.log.clear();
            self.changes.clear();
            self.replaced = None;
        }
        if let Some((first, entries)) = write.entries {
            let keep = first.previous().distance_from(self.snapshot.index) as usize;
            assert!(first > self.snapshot.index, "entry {first} is in the snapshot");
            assert!(first <= self.last_index().next(), "entry {first} leaves a gap");
            if keep < self.log.len() {
                let changes = self.changes.split_off(&first);
                self.replaced = Some((first.previous(), self.log.split_off(keep), changes));
            }
            self.log.extend(entries);
            let last = self.last_index();
            self.changes.extend(write.changes.into_iter().filter(|(index, _)| *index <= last));
        }
        if let Some(new) = write.hard_state {
            let old = self.hard_state;
            assert!(new.term >= old.term, "the durable term went back: {old:?} → {new:?}");
            assert!(new.commit >= old.commit, "the durable commit went back: {old:?} → {new:?}");
            let revoked = new.term == old.term && old.vote.is_some() && new.vote != old.vote;
            assert!(!revoked, "a durable vote was changed: {old:?} → {new:?}");
            self.hard_state = new;
        }
        assert!(
            self.hard_state.commit <= self.last_index(),
            "commit {} is written before its entries",
            self.hard_state.commit
        );
    }
}

impl Write {
    /// A write without a snapshot.
    pub(super) fn of(
        raft: &Raft,
        id: IoId,
        range: Option<EntryRange>,
        hard_state: Option<HardState>,
    ) -> Write {
        let entries = range.map(|range| (range.first, entries_in(raft.log(), range)));
        let changes = range.map_or(Vec::new(), |EntryRange { first, last }| {
            let changes = raft.membership().changes(first, last);
            changes.map(|(index, change)| (index, change.clone())).collect()
        });
        Write { id, snapshot: None, entries, changes, hard_state }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.entries.is_none() && self.hard_state.is_none()
    }

    /// What a crash in the middle leaves of it: the snapshot and the first few entries.
    pub(super) fn torn(mut self, entries: usize) -> Write {
        if let Some((_, written)) = &mut self.entries {
            written.truncate(entries);
        }
        self.hard_state = None;
        self
    }
}

pub(super) fn entries_in(log: &Log, range: EntryRange) -> Vec<EntryMeta> {
    (range.first.0..=range.last.0)
        .map(|index| log.meta(LogIndex(index)).expect("the range is within the log"))
        .collect()
}
