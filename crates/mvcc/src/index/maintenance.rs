//! What compactions and the moving of records ask of the index, in steps that have a bound.
//!
//! Owns that a step goes on where the last one stopped, whatever was written in between: a cursor
//! names a key, not a place. A half swept index answers every read that a compaction allows as a
//! swept one does, and what one compaction leaves undone the next one does.

use crate::index::chunk::Chunk;
use crate::index::{Index, Place};
use crate::revision::Revision;
use crate::revision_log::Location;

/// The key with which a sweep goes on. The default is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor(Box<[u8]>);

impl Index {
    /// Drops what no read at or above a revision can see, telling each dropped location.
    pub(crate) fn compact(&mut self, revision: Revision, drop: impl FnMut(Location)) {
        let rest = self.sweep(revision, &Cursor::default(), usize::MAX, drop);
        assert!(rest.is_none(), "without a bound a sweep comes to the end");
    }

    /// One step of a compaction: looks at keys from the cursor on and drops what no read at or
    /// above a revision can see, telling each dropped location. A key looked at and a change
    /// dropped each count one towards `budget`; a step exceeds it by one change at most, and in
    /// time by what the number of chunks costs. `None` once the last key is done.
    ///
    /// # Panics
    /// If the budget is zero: such steps would never come to an end.
    pub(crate) fn sweep(
        &mut self,
        revision: Revision,
        cursor: &Cursor,
        budget: usize,
        mut drop: impl FnMut(Location),
    ) -> Option<Cursor> {
        assert!(budget > 0, "a step that may do nothing never ends");
        let start = self.lower_bound(&cursor.0);
        let (mut place, mut left, mut removed) = (start, budget, 0);
        let rest = loop {
            let chunk = &mut self.chunks[place.chunk];
            let before = chunk.len();
            let stopped = chunk.sweep(place.at, revision, &mut left, &mut drop);
            removed += before - chunk.len();
            if let Some(at) = stopped {
                break Some(Cursor(chunk.key(at).into()));
            }
            if place.chunk + 1 == self.chunks.len() {
                break None;
            }
            place = Place { chunk: place.chunk + 1, at: 0 };
        };
        if removed > 0 {
            self.merge_small(start.chunk, place.chunk);
        }
        rest
    }

    /// Merges neighbours that have become small, of some chunks and those next to them.
    pub(super) fn merge_small(&mut self, first: usize, last: usize) {
        let part = first.saturating_sub(1)..(last + 2).min(self.chunks.len());
        let (mut fences, mut chunks) = (Vec::new(), Vec::<Box<Chunk>>::new());
        let fenced = self.fences.drain(part.clone()).zip(self.chunks.drain(part.clone()));
        for (fence, chunk) in fenced {
            match chunks.last_mut() {
                Some(previous) if previous.merges_with(&chunk) => previous.merge(*chunk),
                _ => {
                    fences.push(fence);
                    chunks.push(chunk);
                }
            }
        }
        if chunks.len() < part.len() {
            let living = chunks.iter().map(|chunk| chunk.living() as u64);
            self.living.splice(part.clone(), living);
            self.changed.splice(part.clone(), chunks.iter().map(|chunk| chunk.changed()));
        }
        self.fences.splice(part.start..part.start, fences);
        self.chunks.splice(part.start..part.start, chunks);
    }

    /// Where the change that a key made at exactly this revision lies, tombstones included.
    pub(crate) fn location_of(&self, key: &[u8], revision: Revision) -> Option<Location> {
        let (found, location) = self.get(key)?.changes_from(revision).next()?;
        (found == revision).then_some(location)
    }

    /// Follows one record to another place. False, and nothing is changed, if that change is not
    /// there any more or lies elsewhere: it was swept or moved since whoever moves it looked.
    #[must_use]
    pub(crate) fn relocate_change(
        &mut self,
        key: &[u8],
        revision: Revision,
        from: Location,
        to: Location,
    ) -> bool {
        let Ok(Place { chunk, at }) = self.locate(key) else { return false };
        let history = &mut self.chunks[chunk].histories_mut()[at];
        match history.location_mut(revision) {
            Some(location) if *location == from => {
                *location = to;
                true
            }
            _ => false,
        }
    }
}
