//! What a store on a disk asks of the index: to be filled from what lies there, and to forget a
//! transaction that could not be finished.

use super::{Index, Place};
use crate::key_index::{KeyIndex, Life};
use crate::revision::Revision;
use crate::revision_log::{Location, Record};

impl Index {
    /// Enters a change that a store, compacted at a revision, has on its disk, where those may
    /// still be that the compaction drops: `dead` is told of them. The error says why no store has
    /// such a change behind those entered so far.
    ///
    /// Any of the dead may have gone from the disk already, but for one: a tombstone has to stay
    /// there while anything older of its key does. Without it a put that it hides would look like
    /// one in force, and the key would be back.
    pub(crate) fn load(
        &mut self,
        record: &Record,
        location: Location,
        compacted: Revision,
        mut dead: impl FnMut(Location),
    ) -> Result<(), &'static str> {
        let revision = record.revision.main;
        if revision > compacted {
            return self.restore(record, location, compacted);
        }
        // Nothing before it can be seen any more, and of a tombstone not even itself.
        let is_dead = record.is_tombstone && revision < compacted;
        if is_dead {
            dead(location);
        }
        let Ok(place) = self.locate(&record.kv.key) else {
            return if is_dead { Ok(()) } else { self.restore(record, location, compacted) };
        };
        let history = self.chunks[place.chunk].history(place.at);
        if history.newest_revision() >= revision {
            return Err("a key changes twice at one revision");
        }
        history.changes_from(Revision::default()).for_each(|(_, location)| dead(location));
        if is_dead {
            self.remove(place);
        } else {
            let only = KeyIndex::restore_first(record, location, compacted)?;
            self.update(place, |history| *history = only);
        }
        Ok(())
    }

    /// Takes back a key's newest change, which was made at a revision, so that the key lives again
    /// as it did before.
    ///
    /// # Panics
    /// If it has no such change.
    pub(crate) fn take_back(&mut self, key: &[u8], revision: Revision, before: Option<Life>) {
        let place = self.locate(key).expect("a key that was changed is there");
        if !self.update(place, |history| history.take_back(revision, before)) {
            self.remove(place);
        }
    }

    /// Whether a change is there, and stays when the store is compacted.
    pub(crate) fn keeps(&self, record: &Record, compacted: Revision) -> bool {
        let revision = record.revision.main;
        let Some(history) = self.get(&record.kv.key) else { return false };
        let mut changes = history.changes_from(revision);
        if changes.next().is_none_or(|(found, _)| found != revision) {
            return false;
        }
        let is_superseded = changes.next().is_some_and(|(next, _)| next <= compacted);
        revision > compacted || (!is_superseded && (!record.is_tombstone || revision == compacted))
    }

    fn remove(&mut self, place: Place) {
        self.update(place, KeyIndex::bury);
        self.chunks[place.chunk].remove(&[place.at]);
        if self.chunks[place.chunk].len() == 0 {
            self.merge_small(place.chunk, place.chunk);
        }
    }
}
