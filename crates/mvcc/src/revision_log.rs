//! The log of changes, in the order of their revisions: what the index points into.
//!
//! Owns the records and their locations. Appends at the end, drops at a compaction, never changes
//! a record. It is in memory for now; the durable store takes its place behind the same few
//! functions.

use std::collections::VecDeque;

use crate::response::KeyValue;
use crate::revision::{ChangeRevision, Revision};

/// Where a record lies: its position counted from the first record ever. Valid until a compaction
/// moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location(u64);

#[cfg(test)]
impl Location {
    /// Any location, each number another one.
    pub(crate) fn nth(number: u64) -> Location {
        Location(number)
    }
}

/// One change of one key.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) revision: ChangeRevision,
    /// The change deleted the key: of `kv`, only key and mod revision mean something.
    pub(crate) is_tombstone: bool,
    /// The key as the change left it.
    pub(crate) kv: KeyValue,
}

/// The changes that are still readable, oldest first, without gaps between their locations.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevisionLog {
    /// The location of the first record.
    first: u64,
    /// Strictly ascending by revision.
    records: VecDeque<Record>,
}

impl RevisionLog {
    /// Where the next record will lie.
    pub(crate) fn end(&self) -> Location {
        Location(self.first + self.records.len() as u64)
    }

    /// Appends the newest change.
    ///
    /// # Panics
    /// If it is not newer than the last one.
    pub(crate) fn push(&mut self, record: Record) -> Location {
        if let Some(last) = self.records.back() {
            assert!(last.revision < record.revision, "changes are logged in revision order");
        }
        let location = self.end();
        self.records.push_back(record);
        location
    }

    /// The record at a location.
    ///
    /// # Panics
    /// If it was dropped or never written: whoever holds locations follows the compactions.
    pub(crate) fn get(&self, location: Location) -> &Record {
        let record =
            location.0.checked_sub(self.first).and_then(|at| self.records.get(at as usize));
        record.expect("an indexed location lies within the log")
    }

    /// The records of all changes up to and with a revision, oldest first.
    pub(crate) fn up_to(&self, revision: Revision) -> impl Iterator<Item = &Record> {
        self.records.iter().take_while(move |record| record.revision.main <= revision)
    }

    /// Begins to drop changes at or below a revision.
    pub(crate) fn sweep(&mut self, revision: Revision) -> Sweep<'_> {
        let swept = self.records.partition_point(|record| record.revision.main <= revision);
        Sweep { live: vec![true; swept], log: self }
    }
}

/// A compaction of the log under way: first all dead records are named, then it is finished.
pub(crate) struct Sweep<'a> {
    log: &'a mut RevisionLog,
    /// For each record at or below the compaction whether it stays.
    live: Vec<bool>,
}

impl Sweep<'_> {
    /// Says that a record is to go.
    ///
    /// # Panics
    /// If it lies above the compaction, or was named before.
    pub(crate) fn drop_record(&mut self, location: Location) {
        let at = (location.0 - self.log.first) as usize;
        assert!(self.live[at], "a record is dropped once");
        self.live[at] = false;
    }

    /// Drops the dead records. Survivors close up towards the newer ones, whose locations so stay
    /// as they are; where the survivors went is the result.
    pub(crate) fn finish(self) -> Relocations {
        let Sweep { log, live } = self;
        let before = log.first;
        let mut moved = vec![None; live.len()];
        let mut target = live.len();
        for source in (0..live.len()).rev() {
            if live[source] {
                target -= 1;
                log.records.swap(source, target);
                moved[source] = Some(Location(before + target as u64));
            }
        }
        log.records.drain(..target);
        log.first += target as u64;
        // A store that has shrunk gives its memory back, without doing so at each compaction.
        if log.records.capacity() > 4 * log.records.len() + 1024 {
            log.records.shrink_to(2 * log.records.len());
        }
        Relocations { before, moved }
    }
}

/// Where a compaction moved the records that it kept.
pub(crate) struct Relocations {
    /// The log's first location before the compaction.
    before: u64,
    moved: Vec<Option<Location>>,
}

impl Relocations {
    /// A record's location after the compaction.
    ///
    /// # Panics
    /// If the compaction dropped it.
    pub(crate) fn follow(&self, location: Location) -> Location {
        match self.moved.get((location.0 - self.before) as usize) {
            Some(moved) => moved.expect("the index points to no dropped record"),
            None => location,
        }
    }
}
