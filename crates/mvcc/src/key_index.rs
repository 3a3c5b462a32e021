//! One key's history: its generations of revisions and where each lies.
//!
//! Owns which change of a key is visible at a revision and which a compaction may drop. Holds no
//! values. A *generation* is a key's life from its creation to the tombstone that ends it: here a
//! run of changes in one flat list, of which a tombstone is the last, so that a lookup is one
//! binary search.
//!
//! Most keys have one change. The newest lies in the index itself, with what else a read answers
//! about it; those before it, which only a compaction's lag keeps, lie apart and know no more than
//! where they are. A key so costs 48 bytes and no allocation; its first older change 48
//! more, each further one 16.

use std::collections::VecDeque;

use crate::response::KeyValue;
use crate::revision::{LeaseId, Revision};
use crate::revision_log::{Location, Record};

/// The changes of one key, never empty.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    newest: Change,
    /// The living generation; without meaning while the key is deleted.
    generation: Generation,
    /// The lease of the newest write; without meaning while the key is deleted.
    lease: Option<LeaseId>,
    /// Absent when it would be empty.
    older: Option<Box<Older>>,
}

/// The changes before the newest, strictly ascending by revision and all below it: no transaction
/// writes a key twice.
#[derive(Clone, Debug)]
struct Older {
    /// A queue, as compactions take from the front: of a key that is written all the time they
    /// would otherwise move the whole past at each step.
    changes: VecDeque<Change>,
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
    /// Without a living generation these are never read.
    const ENDED: Generation = Generation { created: Revision(0), version: 0 };

    /// As a write says that it left its generation.
    fn of(record: &Record) -> Generation {
        Generation { created: record.kv.create_revision, version: record.kv.version }
    }
}

/// How a key lives between two of its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    generation: Generation,
    lease: Option<LeaseId>,
}

impl Life {
    /// The revision that created the key.
    pub(crate) fn created(&self) -> Revision {
        self.generation.created
    }
}

/// All that a read answers about a key besides its name and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) create_revision: Revision,
    pub(crate) mod_revision: Revision,
    pub(crate) version: i64,
    pub(crate) lease: Option<LeaseId>,
}

impl Summary {
    /// What a read of this key would say.
    pub(crate) fn of(kv: &KeyValue) -> Summary {
        Summary {
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

/// A write that is in force at the revision of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) location: Location,
    /// It is the key's newest change, of which the index knows all but the value.
    pub(crate) is_newest: bool,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    stamp: Stamp,
    location: Location,
}

/// A change's revision, and in the lowest bit whether it is a tombstone.
#[derive(Clone, Copy, Debug)]
struct Stamp(i64);

impl Stamp {
    /// Far beyond what a store reaches: a million transactions a second take 146,000 years.
    const LAST: Revision = Revision(i64::MAX >> 1);

    fn new(revision: Revision, is_tombstone: bool) -> Stamp {
        let fits = (Revision(0)..=Stamp::LAST).contains(&revision);
        assert!(fits, "a change's revision is positive and has a bit to spare");
        Stamp(revision.0 << 1 | i64::from(is_tombstone))
    }

    fn revision(self) -> Revision {
        Revision(self.0 >> 1)
    }

    fn is_tombstone(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Change {
    fn new(revision: Revision, is_tombstone: bool, location: Location) -> Change {
        Change { stamp: Stamp::new(revision, is_tombstone), location }
    }

    fn revision(&self) -> Revision {
        self.stamp.revision()
    }
}

/// How far a compaction of one key came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// The changes that were dropped.
    pub(crate) dropped: usize,
    pub(crate) outcome: Outcome,
}

/// What a compaction left of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Whatever reads may still see.
    Kept,
    /// Nothing: the key has to go.
    Gone,
    /// There is more to drop than was allowed in one go.
    Unfinished,
}

impl KeyIndex {
    /// The index of a key that is created at a revision.
    pub(crate) fn create(
        revision: Revision,
        location: Location,
        lease: Option<LeaseId>,
    ) -> KeyIndex {
        let generation = Generation { created: revision, version: 1 };
        let newest = Change::new(revision, false, location);
        KeyIndex { newest, generation, lease, older: None }
    }

    /// Adds a write. Begins a generation if the key is deleted, else continues it.
    pub(crate) fn put(&mut self, revision: Revision, location: Location, lease: Option<LeaseId>) {
        self.generation = match self.generation() {
            Some(Generation { created, version }) => Generation { created, version: version + 1 },
            None => Generation { created: revision, version: 1 },
        };
        self.lease = lease;
        self.push(Change::new(revision, false, location));
    }

    /// Ends the generation by a tombstone.
    ///
    /// # Panics
    /// If the key is deleted already: there is nothing to end.
    pub(crate) fn tombstone(&mut self, revision: Revision, location: Location) {
        assert!(self.is_living(), "only a living generation is ended");
        self.push(Change::new(revision, true, location));
        self.generation = Generation::ENDED;
        self.lease = None;
    }

    /// The index of a key of which this is the oldest change that a store, compacted at a
    /// revision, holds. The error says why it cannot be.
    pub(crate) fn restore_first(
        record: &Record,
        location: Location,
        compacted: Revision,
    ) -> Result<KeyIndex, &'static str> {
        let revision = storable(record)?;
        let newest = Change::new(revision, record.is_tombstone, location);
        if record.is_tombstone {
            // Any other has a write before it, or was dropped.
            let stays = revision == compacted;
            let index =
                KeyIndex { newest, generation: Generation::ENDED, lease: None, older: None };
            return if stays { Ok(index) } else { Err("a tombstone ends no generation") };
        }
        let generation = Generation::of(record);
        let is_first = generation.created == revision && generation.version == 1;
        // Each write before it took a revision of its own, and none is the initial one's.
        let has_past = generation.version > 1
            && generation.created > Revision::INITIAL
            && revision.0 - generation.created.0 >= generation.version - 1;
        if is_first || (has_past && revision <= compacted) {
            Ok(KeyIndex { newest, generation, lease: record.kv.lease, older: None })
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
        let revision = storable(record)?;
        if self.newest.revision() >= revision {
            return Err("a key changes twice at one revision");
        }
        if revision <= compacted {
            return Err("a change is there that the compaction drops");
        }
        if record.is_tombstone {
            if !self.is_living() {
                return Err("a tombstone ends no generation");
            }
            self.tombstone(revision, location);
            return Ok(());
        }
        self.put(revision, location, record.kv.lease);
        if self.generation == Generation::of(record) {
            Ok(())
        } else {
            Err("a write is not the next of its generation")
        }
    }

    fn push(&mut self, change: Change) {
        assert!(self.newest.revision() < change.revision(), "a key is written once a revision");
        let older = std::mem::replace(&mut self.newest, change);
        // Not the four that a queue would begin with: most keys are written rarely.
        let empty = || Box::new(Older { changes: VecDeque::with_capacity(1) });
        self.older.get_or_insert_with(empty).changes.push_back(older);
    }

    /// Whether the key exists now.
    pub(crate) fn is_living(&self) -> bool {
        !self.newest.stamp.is_tombstone()
    }

    /// The living generation, `None` if the key is deleted.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.is_living().then_some(self.generation)
    }

    /// How the key lives now, `None` if it is deleted.
    pub(crate) fn life(&self) -> Option<Life> {
        let generation = self.generation()?;
        Some(Life { generation, lease: self.lease })
    }

    /// Takes the newest change back, which was made at a revision, so that the key lives again as
    /// it did before. False if there was no change before: the key is deleted then, and has to go.
    pub(crate) fn take_back(&mut self, revision: Revision, before: Option<Life>) -> bool {
        assert_eq!(self.newest.revision(), revision, "only the newest change is taken back");
        let Some(older) = &mut self.older else {
            assert!(before.is_none(), "a key that had no change before did not live");
            self.bury();
            return false;
        };
        self.newest = older.changes.pop_back().expect("an empty past is not kept");
        if older.changes.is_empty() {
            self.older = None;
        }
        assert_eq!(self.is_living(), before.is_some(), "the key lives as it did before");
        self.generation = before.map_or(Generation::ENDED, |life| life.generation);
        self.lease = before.and_then(|life| life.lease);
        true
    }

    /// Makes the newest change a tombstone, of a key that is about to go.
    pub(crate) fn bury(&mut self) {
        self.newest.stamp = Stamp::new(self.newest.revision(), true);
    }

    /// The revision of the newest change.
    pub(crate) fn newest_revision(&self) -> Revision {
        self.newest.revision()
    }

    /// The newest write, `None` if the key is deleted.
    pub(crate) fn newest(&self) -> Option<Location> {
        self.is_living().then_some(self.newest.location)
    }

    /// The change that is in force at a revision, `None` if the key does not exist there.
    pub(crate) fn visible_at(&self, revision: Revision) -> Option<Visible> {
        // Almost every read is of the newest.
        if self.newest.revision() <= revision {
            return self.newest().map(|location| Visible { location, is_newest: true });
        }
        let change = *self.older_changes()?.get(self.older_up_to(revision).checked_sub(1)?)?;
        let location = change.location;
        (!change.stamp.is_tombstone()).then_some(Visible { location, is_newest: false })
    }

    /// What a read answers about the newest write, `None` if the key is deleted.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let Generation { created, version } = self.generation()?;
        let mod_revision = self.newest.revision();
        Some(Summary { create_revision: created, mod_revision, version, lease: self.lease })
    }

    fn older_changes(&self) -> Option<&VecDeque<Change>> {
        self.older.as_ref().map(|older| &older.changes)
    }

    /// How many of the changes before the newest have at most a revision.
    fn older_up_to(&self, revision: Revision) -> usize {
        self.older_changes()
            .map_or(0, |changes| changes.partition_point(|change| change.revision() <= revision))
    }

    /// The changes from a revision on, oldest first.
    pub(crate) fn changes_from(
        &self,
        revision: Revision,
    ) -> impl Iterator<Item = (Revision, Location)> {
        let older = match self.older_changes() {
            Some(changes) => changes.range(changes.partition_point(|c| c.revision() < revision)..),
            None => Default::default(),
        };
        let newest = (self.newest.revision() >= revision).then_some(&self.newest);
        older.chain(newest).map(|change| (change.revision(), change.location))
    }

    /// Drops what no read at or above a revision can see, at most so many changes, oldest first,
    /// telling each dropped location.
    ///
    /// The newest change at or below the revision stays, unless it is a tombstone. A tombstone
    /// *at* the revision stays as well, until the next compaction: a watch may begin there, and
    /// has to see the delete (etcd's bugs 18089 and 19179). What earlier compactions left undone
    /// makes no difference to what this one leaves.
    pub(crate) fn compact(
        &mut self,
        revision: Revision,
        most: usize,
        mut drop: impl FnMut(Location),
    ) -> Compacted {
        let stays = |change: &Change| !change.stamp.is_tombstone() || change.revision() == revision;
        let covered = self.older_up_to(revision);
        let (dead, is_gone) = if self.newest.revision() <= revision {
            (covered, !stays(&self.newest))
        } else {
            let newest = covered.checked_sub(1).map(|at| &self.older_changes().expect("some")[at]);
            (covered - usize::from(newest.is_some_and(stays)), false)
        };
        let mut dropped = dead.min(most);
        self.drop_oldest(dropped, &mut drop);
        let outcome = if dropped < dead || (is_gone && dropped == most) {
            Outcome::Unfinished
        } else if is_gone {
            drop(self.newest.location);
            dropped += 1;
            Outcome::Gone
        } else {
            Outcome::Kept
        };
        Compacted { dropped, outcome }
    }

    fn drop_oldest(&mut self, count: usize, drop: &mut impl FnMut(Location)) {
        let Some(older) = self.older.as_mut().filter(|_| count > 0) else { return };
        for change in older.changes.drain(..count) {
            drop(change.location);
        }
        if older.changes.is_empty() {
            self.older = None;
        } else if older.changes.capacity() > 4 * older.changes.len() {
            older.changes.shrink_to_fit();
        }
    }

    /// Where the change of exactly this revision is noted to lie, tombstones included.
    pub(crate) fn location_mut(&mut self, revision: Revision) -> Option<&mut Location> {
        if self.newest.revision() == revision {
            return Some(&mut self.newest.location);
        }
        let changes = &mut self.older.as_mut()?.changes;
        let at = changes.binary_search_by_key(&revision, Change::revision).ok()?;
        Some(&mut changes[at].location)
    }
}

/// A record's revision, if the index can hold it.
fn storable(record: &Record) -> Result<Revision, &'static str> {
    let revision = record.revision.main;
    let fits = (Revision(0)..=Stamp::LAST).contains(&revision);
    fits.then_some(revision).ok_or("a revision is beyond all that a store reaches")
}
