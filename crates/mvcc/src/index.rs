//! From keys to their histories, in the order of the keys.
//!
//! Owns the lookup structure, and hides it: a tree that also answers counts and pages without a
//! walk can take its place. Never sees a value.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::key_index::{Generation, KeyIndex};
use crate::key_range::KeyRange;
use crate::revision::Revision;
use crate::revision_log::{Location, Record, Relocations};

/// All keys that a read at or above the last compaction can see, deleted ones included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, KeyIndex>,
}

impl Index {
    /// The key's newest write, `None` if the key does not exist.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<Location> {
        self.keys.get(key)?.newest()
    }

    /// The writes in force at a revision, in the order of the keys.
    pub(crate) fn visible<'a>(
        &'a self,
        range: KeyRange<'a>,
        revision: Revision,
    ) -> impl Iterator<Item = Location> + 'a {
        // One key is found by one descent; a range of a tree takes two.
        let (one, bounds) = match range {
            KeyRange::Key(key) => (self.keys.get(key), None),
            KeyRange::From(_) | KeyRange::Between(..) => (None, range.bounds()),
        };
        let many = bounds.map(|bounds| self.keys.range::<[u8], _>(bounds));
        let entries = one.into_iter().chain(many.into_iter().flatten().map(|(_, key)| key));
        entries.filter_map(move |key| key.visible_at(revision))
    }

    /// Enters a write, whose record lies or will lie at `location`.
    pub(crate) fn put(
        &mut self,
        key: &Bytes,
        revision: Revision,
        location: Location,
    ) -> Generation {
        if let Some(entry) = self.keys.get_mut(key) {
            return entry.put(revision, location);
        }
        let (entry, generation) = KeyIndex::create(revision, location);
        // The key is copied, or it would keep alive the whole message in which it arrived.
        let present = self.keys.insert(Bytes::copy_from_slice(key), entry);
        assert!(present.is_none(), "a key that was not found is not there");
        generation
    }

    /// Enters a change that was entered before, in another store, which was compacted at a
    /// revision. The error says why no store holds such a change behind those entered so far.
    pub(crate) fn restore(
        &mut self,
        record: &Record,
        location: Location,
        compacted: Revision,
    ) -> Result<(), &'static str> {
        if record.kv.key.is_empty() {
            return Err("a change has no key");
        }
        match self.keys.get_mut(&record.kv.key) {
            Some(entry) => entry.restore_next(record, location, compacted),
            None => {
                let entry = KeyIndex::restore_first(record, location, compacted)?;
                self.keys.insert(record.kv.key.clone(), entry);
                Ok(())
            }
        }
    }

    /// Ends the generations of all existing keys of a range, in their order. `bury` is told each
    /// key and its newest write, and answers with the tombstone's location.
    pub(crate) fn delete(
        &mut self,
        range: KeyRange<'_>,
        revision: Revision,
        mut bury: impl FnMut(&Bytes, Location) -> Location,
    ) {
        let Some(bounds) = range.bounds() else { return };
        for (name, key) in self.keys.range_mut::<[u8], _>(bounds) {
            if let Some(newest) = key.newest() {
                let tombstone = bury(name, newest);
                key.tombstone(revision, tombstone);
            }
        }
    }

    /// Drops what no read at or above a revision can see, telling each dropped location.
    pub(crate) fn compact(&mut self, revision: Revision, mut drop: impl FnMut(Location)) {
        self.keys.retain(|_, key| key.compact(revision, &mut drop));
    }

    /// Follows the records that a compaction moved.
    pub(crate) fn relocate(&mut self, relocations: &Relocations) {
        for key in self.keys.values_mut() {
            key.relocate(relocations);
        }
    }
}
