//! One key's history: its generations of revisions and where each lies.
//!
//! Owns which change of a key is visible at a revision and which a compaction may drop. Holds no
//! values. A *generation* is a key's life from its creation to the tombstone that ends it: here a
//! run of changes in one flat list, of which a tombstone is the last, so that a lookup is one
//! binary search and a key costs one allocation.

use crate::revision::Revision;
use crate::revision_log::{Location, Record};

/// The changes of one key, never empty.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    /// Strictly ascending by revision: no transaction writes a key twice.
    changes: Vec<Change>,
    /// The living generation, `None` while the key is deleted.
    generation: Option<Generation>,
}

/// What all writes of a generation share, and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// The revision that created the key.
    pub(crate) created: Revision,
    /// The number of writes since: the version of the newest.
    pub(crate) version: i64,
}

impl Generation {
    /// As a write says that it left its generation.
    fn of(record: &Record) -> Generation {
        Generation { created: record.kv.create_revision, version: record.kv.version }
    }
}

#[derive(Clone, Copy, Debug)]
struct Change {
    revision: Revision,
    is_tombstone: bool,
    location: Location,
}

impl KeyIndex {
    /// The index of a key that is created at a revision, and its generation.
    pub(crate) fn create(revision: Revision, location: Location) -> (KeyIndex, Generation) {
        let generation = Generation { created: revision, version: 1 };
        let change = Change { revision, is_tombstone: false, location };
        (KeyIndex { changes: vec![change], generation: Some(generation) }, generation)
    }

    /// Adds a write. Begins a generation if the key is deleted, else continues it; answers with
    /// the generation as it is now.
    pub(crate) fn put(&mut self, revision: Revision, location: Location) -> Generation {
        let generation = match self.generation {
            Some(Generation { created, version }) => Generation { created, version: version + 1 },
            None => Generation { created: revision, version: 1 },
        };
        self.push(Change { revision, is_tombstone: false, location });
        self.generation = Some(generation);
        generation
    }

    /// Ends the generation by a tombstone.
    ///
    /// # Panics
    /// If the key is deleted already: there is nothing to end.
    pub(crate) fn tombstone(&mut self, revision: Revision, location: Location) {
        assert!(self.generation.is_some(), "only a living generation is ended");
        self.push(Change { revision, is_tombstone: true, location });
        self.generation = None;
    }

    /// The index of a key of which this is the oldest change that a store, compacted at a
    /// revision, holds. The error says why it cannot be.
    pub(crate) fn restore_first(
        record: &Record,
        location: Location,
        compacted: Revision,
    ) -> Result<KeyIndex, &'static str> {
        let revision = record.revision.main;
        let change = Change { revision, is_tombstone: record.is_tombstone, location };
        if record.is_tombstone {
            // Any other has a write before it, or was dropped.
            let stays = revision == compacted;
            let index = KeyIndex { changes: vec![change], generation: None };
            return if stays { Ok(index) } else { Err("a tombstone ends no generation") };
        }
        let generation = Generation::of(record);
        let is_first = generation.created == revision && generation.version == 1;
        // Each write before it took a revision of its own, and none is the initial one's.
        let has_past = generation.version > 1
            && generation.created > Revision::INITIAL
            && revision.0 - generation.created.0 >= generation.version - 1;
        if is_first || (has_past && revision <= compacted) {
            Ok(KeyIndex { changes: vec![change], generation: Some(generation) })
        } else {
            Err("a write lacks those before it")
        }
    }

    /// Adds a change behind those of this key that were restored. The error says why it cannot
    /// follow them in a store that was compacted at a revision.
    pub(crate) fn restore_next(
        &mut self,
        record: &Record,
        location: Location,
        compacted: Revision,
    ) -> Result<(), &'static str> {
        let revision = record.revision.main;
        let newest = self.changes.last().expect("an index holds at least one change");
        if newest.revision >= revision {
            return Err("a key changes twice at one revision");
        }
        if revision <= compacted {
            return Err("a change is there that the compaction drops");
        }
        if record.is_tombstone {
            if self.generation.is_none() {
                return Err("a tombstone ends no generation");
            }
            self.tombstone(revision, location);
        } else if self.put(revision, location) != Generation::of(record) {
            return Err("a write is not the next of its generation");
        }
        Ok(())
    }

    fn push(&mut self, change: Change) {
        let newest = self.changes.last().expect("an index holds at least one change");
        assert!(newest.revision < change.revision, "a key is written once a revision");
        self.changes.push(change);
    }

    /// The change that is in force at a revision, `None` if the key does not exist there.
    pub(crate) fn visible_at(&self, revision: Revision) -> Option<Location> {
        // Almost every read is of the newest.
        let newest = self.changes.last()?;
        let change = if newest.revision <= revision {
            newest
        } else {
            let newer = self.changes.partition_point(|change| change.revision <= revision);
            self.changes.get(newer.checked_sub(1)?)?
        };
        (!change.is_tombstone).then_some(change.location)
    }

    /// The newest write, `None` if the key is deleted.
    pub(crate) fn newest(&self) -> Option<Location> {
        let newest = self.changes.last()?;
        (!newest.is_tombstone).then_some(newest.location)
    }

    /// Drops what no read at or above a revision can see, telling each dropped location. False if
    /// nothing is left, and the key with it.
    ///
    /// The newest change at or below the revision stays, unless it is a tombstone. A tombstone
    /// *at* the revision stays as well, until the next compaction: a watch may begin there, and
    /// has to see the delete (etcd's bugs 18089 and 19179).
    pub(crate) fn compact(&mut self, revision: Revision, mut drop: impl FnMut(Location)) -> bool {
        let covered = self.changes.partition_point(|change| change.revision <= revision);
        let Some(newest) = covered.checked_sub(1).map(|at| self.changes[at]) else { return true };
        let stays = !newest.is_tombstone || newest.revision == revision;
        let dropped = if stays { covered - 1 } else { covered };
        for change in self.changes.drain(..dropped) {
            drop(change.location);
        }
        !self.changes.is_empty()
    }

    /// The index of a key of which this is the oldest change that a store, compacted at a
    /// revision, still has on its disk; `None` if not even this one can be seen. The error says
    /// why it cannot be.
    pub(crate) fn load_first(
        record: &Record,
        location: Location,
        compacted: Revision,
    ) -> Result<Option<KeyIndex>, &'static str> {
        if record.is_tombstone && record.revision.main < compacted {
            return Ok(None);
        }
        KeyIndex::restore_first(record, location, compacted).map(Some)
    }

    /// All changes that are held.
    pub(crate) fn locations(&self) -> impl Iterator<Item = Location> {
        self.changes.iter().map(|change| change.location)
    }

    /// The living generation, `None` while the key is deleted.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Takes the newest change back, which was made at a revision. `generation` is the one that
    /// lived before. False if nothing is left, and the key with it.
    pub(crate) fn take_back(&mut self, revision: Revision, generation: Option<Generation>) -> bool {
        let newest = self.changes.pop().expect("an index holds at least one change");
        assert_eq!(newest.revision, revision, "only the newest transaction is taken back");
        self.generation = generation;
        !self.changes.is_empty()
    }

    fn change_at(&self, revision: Revision) -> Option<usize> {
        self.changes.binary_search_by_key(&revision, |change| change.revision).ok()
    }

    /// Where the change at exactly this revision lies.
    pub(crate) fn at(&self, revision: Revision) -> Option<Location> {
        self.change_at(revision).map(|at| self.changes[at].location)
    }

    /// Whether the change at exactly this revision is there, and stays when the store is
    /// compacted.
    pub(crate) fn keeps(&self, revision: Revision, compacted: Revision) -> bool {
        let Some(at) = self.change_at(revision) else { return false };
        if revision > compacted {
            return true;
        }
        let is_newest = self.changes.get(at + 1).is_none_or(|next| next.revision > compacted);
        is_newest && (!self.changes[at].is_tombstone || revision == compacted)
    }

    /// The change at exactly this revision lies elsewhere from now on. False if it is not there.
    pub(crate) fn relocate(&mut self, revision: Revision, location: Location) -> bool {
        let at = self.change_at(revision);
        if let Some(at) = at {
            self.changes[at].location = location;
        }
        at.is_some()
    }
}
