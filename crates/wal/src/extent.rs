//! Which entries a log holds and of which terms: what may follow, and what a snapshot replaces.
//!
//! Owns the one rule by which the writer and recovery judge a snapshot, so that what is read is
//! what was appended. Never holds an entry.

/// Entries of one term that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// The index of the first one.
    first: u64,
    term: u64,
}

/// The entries that a log holds, as indices and terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The index before the first entry held.
    floor: u64,
    /// The index of the last entry held; `floor` if there is none.
    last: u64,
    /// Ascending by first index, neighbours of different terms. Those below the newest snapshot
    /// may be missing.
    runs: Vec<Run>,
    /// Index and term of the newest snapshot noted; zeros for none.
    snapshot: (u64, u64),
}

/// What a snapshot means for the entries that the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SnapshotFit {
    /// It was taken of this log: the entries behind it stay.
    OfThisLog,
    /// It came from elsewhere: none of the entries counts any more, and the next one is the one
    /// behind it.
    ReplacesLog,
}

impl Extent {
    /// That of a log which is known from `first_index` on.
    pub(crate) fn beginning_at(first_index: u64) -> Extent {
        let floor = first_index.saturating_sub(1);
        Extent { floor, last: floor, runs: Vec::new(), snapshot: (0, 0) }
    }

    /// That of a log of which nothing is known before its next record.
    pub(crate) fn unknown() -> Extent {
        Extent::beginning_at(u64::MAX)
    }

    /// Whether nothing was learnt yet of what the log holds.
    pub(crate) fn is_unknown(&self) -> bool {
        self.last == u64::MAX - 1
    }

    /// Takes an entry in, which replaces the one with its index and all behind that. If it leaves
    /// a gap, nothing changes, and the error is the largest index that could come.
    pub(crate) fn append(&mut self, index: u64, term: u64) -> Result<(), u64> {
        let next = self.last.saturating_add(1);
        if index > next {
            return Err(next);
        }
        self.floor = self.floor.min(index.saturating_sub(1));
        while self.runs.last().is_some_and(|run| run.first >= index) {
            self.runs.pop();
        }
        if self.runs.last().is_none_or(|run| run.term != term) {
            self.runs.push(Run { first: index, term });
        }
        self.last = index;
        Ok(())
    }

    /// Takes a snapshot in, by the Raft paper's rule (section 7): a log that has the snapshot's
    /// last entry, of the same term, stays as it is; any other is discarded.
    pub(crate) fn snapshot(&mut self, index: u64, term: u64) -> SnapshotFit {
        // Where the term is not known, the segment with the entry was released, so that it was
        // committed; of this log then, since later records have replaced whatever was not.
        let fits = index <= self.last && self.term(index).is_none_or(|known| known == term);
        self.snapshot = (index, term);
        if fits {
            // No snapshot will be of an earlier entry.
            let behind = self.runs.partition_point(|run| run.first <= index);
            self.runs.drain(..behind.saturating_sub(1));
            return SnapshotFit::OfThisLog;
        }
        self.runs.clear();
        (self.floor, self.last) = (index, index);
        SnapshotFit::ReplacesLog
    }

    /// The term of the entry at `index`; none if it is not known.
    pub(crate) fn term(&self, index: u64) -> Option<u64> {
        if self.floor < index && index <= self.last {
            let behind = self.runs.partition_point(|run| run.first <= index);
            return behind.checked_sub(1).map(|at| self.runs[at].term);
        }
        (index == self.snapshot.0 && index > 0).then_some(self.snapshot.1)
    }

    /// The index before the first entry held.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The index of the last entry or, if there is none, of what came before.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The index of the newest snapshot noted, 0 for none: no entry up to it can be replaced.
    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_terms(terms: &[u64]) -> Extent {
        let mut extent = Extent::beginning_at(1);
        for (index, term) in (1..).zip(terms) {
            extent.append(index, *term).expect("no gap");
        }
        extent
    }

    #[test]
    fn terms_are_those_of_the_entries_appended_last() {
        let mut extent = with_terms(&[1, 1, 2, 2, 3]);
        extent.append(4, 5).expect("no gap");
        let terms: Vec<_> = (0..=6).map(|index| extent.term(index)).collect();
        assert_eq!(terms, [None, Some(1), Some(1), Some(2), Some(5), None, None]);
        assert_eq!(extent.append(6, 5), Err(5));
        assert_eq!(extent.last(), 4);
    }

    #[test]
    fn a_snapshot_of_an_entry_that_is_there_keeps_those_behind_it() {
        for (index, term) in [(0, 0), (1, 1), (3, 2), (4, 2), (5, 3)] {
            let mut extent = with_terms(&[1, 1, 2, 2, 3]);
            assert_eq!(extent.snapshot(index, term), SnapshotFit::OfThisLog, "{index}");
            assert_eq!((extent.floor(), extent.last()), (0, 5), "{index}");
            assert_eq!(extent.term(5), Some(3));
        }
    }

    #[test]
    fn a_snapshot_of_any_other_entry_replaces_the_log() {
        for (index, term) in [(1, 2), (3, 3), (5, 4), (6, 3), (100, 9)] {
            let mut extent = with_terms(&[1, 1, 2, 2, 3]);
            assert_eq!(extent.snapshot(index, term), SnapshotFit::ReplacesLog, "{index}");
            assert_eq!((extent.floor(), extent.last()), (index, index));
            assert_eq!(extent.append(index + 2, 9), Err(index + 1));
            extent.append(index + 1, 9).expect("follows");
            // Noted again, it is of this log.
            assert_eq!(extent.snapshot(index, term), SnapshotFit::OfThisLog);
            assert_eq!(extent.last(), index + 1);
        }
    }

    #[test]
    fn in_a_log_without_its_beginning_an_earlier_snapshot_replaces_nothing() {
        let mut extent = Extent::beginning_at(11);
        extent.append(11, 3).expect("no gap");
        assert_eq!(extent.snapshot(5, 2), SnapshotFit::OfThisLog);
        assert_eq!((extent.floor(), extent.last()), (10, 11));
        // An entry before the known ones makes the log known from there on.
        extent.append(8, 4).expect("no gap");
        assert_eq!((extent.floor(), extent.last()), (7, 8));
    }
}
