//! From keys to their histories, in the order of the keys.
//!
//! Owns the lookup structure, and hides it: a tree that also answers counts and pages without a
//! walk can take its place. Never sees a value.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::key_index::{Generation, KeyIndex};
use crate::key_range::KeyRange;
use crate::revision::Revision;
use crate::revision_log::{Location, Record};

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
    /// key with the generation and its newest write, and answers with the tombstone's location.
    pub(crate) fn delete(
        &mut self,
        range: KeyRange<'_>,
        revision: Revision,
        mut bury: impl FnMut(&Bytes, Generation, Location) -> Location,
    ) {
        let Some(bounds) = range.bounds() else { return };
        for (name, key) in self.keys.range_mut::<[u8], _>(bounds) {
            if let (Some(newest), Some(generation)) = (key.newest(), key.generation()) {
                let tombstone = bury(name, generation, newest);
                key.tombstone(revision, tombstone);
            }
        }
    }

    /// Drops what no read at or above a revision can see, telling each dropped location.
    pub(crate) fn compact(&mut self, revision: Revision, mut drop: impl FnMut(Location)) {
        self.keys.retain(|_, key| key.compact(revision, &mut drop));
    }

    /// Enters a change that a store, compacted at a revision, has on its disk, where those may
    /// still be that the compaction drops: `dead` is told of them. The error says why no store has
    /// such a change behind those entered so far.
    pub(crate) fn load(
        &mut self,
        record: &Record,
        location: Location,
        compacted: Revision,
        mut dead: impl FnMut(Location),
    ) -> Result<(), &'static str> {
        if record.kv.key.is_empty() {
            return Err("a change has no key");
        }
        let supersedes = record.revision.main <= compacted;
        match self.keys.get_mut(&record.kv.key) {
            Some(entry) if supersedes => {
                entry.locations().for_each(&mut dead);
                match KeyIndex::load_first(record, location, compacted)? {
                    Some(only) => *entry = only,
                    None => {
                        self.keys.remove(&record.kv.key);
                        dead(location);
                    }
                }
            }
            Some(entry) => entry.restore_next(record, location, compacted)?,
            None => match KeyIndex::load_first(record, location, compacted)? {
                Some(only) => {
                    let key = Bytes::copy_from_slice(&record.kv.key);
                    self.keys.insert(key, only);
                }
                None => dead(location),
            },
        }
        Ok(())
    }

    /// Takes back a key's newest change, which was made at a revision. `generation` is the one
    /// that lived before.
    pub(crate) fn take_back(
        &mut self,
        key: &[u8],
        revision: Revision,
        generation: Option<Generation>,
    ) {
        let entry = self.keys.get_mut(key).expect("a key that was changed is there");
        if !entry.take_back(revision, generation) {
            self.keys.remove(key);
        }
    }

    /// Where a key's change at exactly this revision lies.
    pub(crate) fn at(&self, key: &[u8], revision: Revision) -> Option<Location> {
        self.keys.get(key)?.at(revision)
    }

    /// Whether a key's change at exactly this revision is there, and stays when the store is
    /// compacted.
    pub(crate) fn keeps(&self, key: &[u8], revision: Revision, compacted: Revision) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.keeps(revision, compacted))
    }

    /// A key's change at exactly this revision lies elsewhere from now on. False if it is not
    /// there.
    pub(crate) fn relocate(&mut self, key: &[u8], revision: Revision, location: Location) -> bool {
        self.keys.get_mut(key).is_some_and(|entry| entry.relocate(revision, location))
    }
}
