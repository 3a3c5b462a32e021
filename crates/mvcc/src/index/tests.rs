//! The index against a naive twin: every key's changes in a plain list, and every answer a walk
//! of all of them.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::chunk::MAX_KEY_BYTES;
use super::maintenance::Cursor;
use super::*;
use crate::response::KeyValue;
use crate::revision::ChangeRevision;

mod loading;
mod memory;

/// A change of the twin's, with all that a read could want of it.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    revision: Revision,
    location: Location,
    /// `None` is a tombstone.
    written: Option<Summary>,
}

#[derive(Clone, Debug, Default)]
struct Twin {
    keys: BTreeMap<Vec<u8>, Vec<Change>>,
}

impl Twin {
    fn put(&mut self, key: &[u8], revision: Revision, location: Location, lease: Option<LeaseId>) {
        let changes = self.keys.entry(key.to_vec()).or_default();
        let before = changes.last().and_then(|change| change.written);
        let summary = Summary {
            create_revision: before.map_or(revision, |before| before.create_revision),
            mod_revision: revision,
            version: before.map_or(1, |before| before.version + 1),
            lease,
        };
        changes.push(Change { revision, location, written: Some(summary) });
    }

    fn matching(&self, range: KeyRange<'_>) -> Vec<(Vec<u8>, Vec<Change>)> {
        let matches = |key: &[u8]| match range {
            KeyRange::Key(only) => key == only,
            KeyRange::From(first) => key >= first,
            KeyRange::Between(first, end) => key >= first && key < end,
        };
        let matching = self.keys.iter().filter(|(key, _)| matches(key));
        matching.map(|(key, changes)| (key.clone(), changes.clone())).collect()
    }

    fn visible(&self, range: KeyRange<'_>, revision: Revision) -> Vec<(Vec<u8>, Change)> {
        let visible = self.matching(range).into_iter().filter_map(|(key, changes)| {
            let change = changes.into_iter().rfind(|change| change.revision <= revision)?;
            change.written.is_some().then_some((key, change))
        });
        visible.collect()
    }

    fn compact(&mut self, revision: Revision) -> Vec<Location> {
        let mut dropped = Vec::new();
        for changes in self.keys.values_mut() {
            let newest = changes.iter().rposition(|change| change.revision <= revision);
            let mut at = 0;
            changes.retain(|change| {
                let is_newest = newest == Some(at);
                let stays = change.revision > revision
                    || (is_newest && (change.written.is_some() || change.revision == revision));
                at += 1;
                if !stays {
                    dropped.push(change.location);
                }
                stays
            });
        }
        self.keys.retain(|_, changes| !changes.is_empty());
        dropped
    }
}

/// What must hold of every index whatever was done to it.
fn check_structure(index: &Index) {
    assert_eq!(index.fences.len(), index.chunks.len());
    assert_eq!(index.changed.len(), index.chunks.len());
    assert!(index.changed.iter().all(|changed| *changed <= index.newest));
    assert!(index.fences[0].is_empty());
    let (mut living, mut last) = (0, None::<Vec<u8>>);
    for (at, chunk) in index.chunks.iter().enumerate() {
        assert_eq!(index.living.before(at), living, "before chunk {at}");
        assert!(chunk.len() > 0 || index.chunks.len() == 1, "chunk {at} of several is empty");
        let mut alive = 0;
        for key in 0..chunk.len() {
            let name = chunk.key(key);
            assert!(last.as_ref().is_none_or(|last| *last < name), "keys are in their order");
            assert!(*index.fences[at] <= *name, "no key is below its chunk's fence");
            let next = index.fences.get(at + 1);
            assert!(next.is_none_or(|fence| **fence > *name), "all are below the next one's");
            assert_eq!(chunk.find(&name), Ok(key));
            let newest = chunk.history(key).newest_revision();
            assert!(newest <= index.changed[at], "of each chunk the newest change is known");
            alive += usize::from(chunk.history(key).is_living());
            last = Some(name);
        }
        assert_eq!(chunk.living(), alive);
        living += alive as u64;
    }
    assert_eq!(index.living.before(index.chunks.len()), living);
}

/// Both at once, and the revision and the next location that they have reached.
#[derive(Clone, Debug)]
struct Pair {
    index: Index,
    twin: Twin,
    revision: Revision,
    written: u64,
}

impl Pair {
    fn new() -> Pair {
        let (index, twin) = (Index::default(), Twin::default());
        Pair { index, twin, revision: Revision::INITIAL, written: 0 }
    }

    fn location(&mut self) -> Location {
        self.written += 1;
        Location::nth(self.written)
    }

    fn put(&mut self, key: &[u8]) {
        self.revision = self.revision.next();
        let location = self.location();
        let lease = LeaseId::from_wire((self.written % 3) as i64);
        let generation = self.index.put(key, self.revision, location, lease);
        self.twin.put(key, self.revision, location, lease);
        let newest = self.twin.keys[key].last().and_then(|change| change.written);
        let newest = newest.expect("it was just written");
        let expected = Generation { created: newest.create_revision, version: newest.version };
        assert_eq!(generation.0, expected);
    }

    fn delete(&mut self, range: KeyRange<'_>) {
        let revision = self.revision.next();
        let (mut buried, first) = (Vec::new(), self.written);
        let written = &mut self.written;
        self.index.delete(range, revision, |key, _, newest| {
            *written += 1;
            buried.push((key.to_vec(), newest));
            Location::nth(*written)
        });
        let expected = self.twin.visible(range, self.revision);
        let expected: Vec<_> =
            expected.into_iter().map(|(key, change)| (key, change.location)).collect();
        assert_eq!(buried, expected);
        for (place, (key, _)) in buried.into_iter().enumerate() {
            let location = Location::nth(first + 1 + place as u64);
            let changes = self.twin.keys.get_mut(&key).expect("it was found there");
            changes.push(Change { revision, location, written: None });
        }
        if self.written > first {
            self.revision = revision;
        }
    }

    fn check_read(&self, range: KeyRange<'_>, revision: Revision, most: usize) {
        let expected = self.twin.visible(range, revision);
        assert_eq!(self.index.count(range, revision), expected.len() as u64, "{range:?}");
        let check = |found: &Found<'_>, expected: &(Vec<u8>, Change)| {
            assert_eq!(found.key(), expected.0);
            assert_eq!(found.location(), expected.1.location);
            let is_newest = self.twin.keys[&expected.0].last() == Some(&expected.1);
            assert_eq!(found.summary(), expected.1.written.filter(|_| is_newest));
        };
        let found: Vec<_> = self.index.find(range, revision).take(most).collect();
        assert_eq!(found.len(), expected.len().min(most));
        found.iter().zip(&expected).for_each(|(found, expected)| check(found, expected));
        let found: Vec<_> = self.index.find(range, revision).rev().take(most).collect();
        assert_eq!(found.len(), expected.len().min(most));
        found.iter().zip(expected.iter().rev()).for_each(|(found, one)| check(found, one));
        let locations: Vec<_> = self.index.visible(range, revision).collect();
        let expected: Vec<_> = expected.into_iter().map(|(_, change)| change.location).collect();
        assert_eq!(locations, expected);
        if let KeyRange::Key(key) = range {
            let newest = self.twin.visible(range, self.revision);
            assert_eq!(self.index.newest(key), newest.first().map(|(_, one)| one.location));
        }
    }

    /// Every change that is held, with where it lies.
    fn held(&self) -> Vec<(Revision, Location)> {
        let chunks = self.index.chunks.iter();
        let histories = chunks.flat_map(|chunk| (0..chunk.len()).map(|at| chunk.history(at)));
        histories.flat_map(|history| history.changes_from(Revision(0))).collect()
    }

    fn check_held(&self) {
        check_structure(&self.index);
        let changes = self.twin.keys.values().flatten();
        let expected: Vec<_> = changes.map(|change| (change.revision, change.location)).collect();
        assert_eq!(self.held(), expected);
    }

    /// Sweeps both to the end, and checks that they drop the same.
    fn sweep(&mut self, revision: Revision, budget: usize, mut dropped: Vec<Location>) {
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            let before = dropped.len();
            cursor = self.index.sweep(revision, &from, budget, |location| dropped.push(location));
            assert!(dropped.len() - before <= budget.saturating_add(1), "a step has a bound");
        }
        dropped.sort();
        let mut expected = self.twin.compact(revision);
        expected.sort();
        assert_eq!(dropped, expected);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>),
    Delete(Vec<u8>, Vec<u8>),
    Read {
        key: Vec<u8>,
        end: Vec<u8>,
        part: i64,
        most: usize,
    },
    /// A part of a sweep that is never finished, and then a whole one.
    Compact {
        parts: [i64; 2],
        abandoned: usize,
        budget: usize,
    },
}

/// Two levels of names, so that prefixes are shared, lost and found again; some are long.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let name = (select(vec!["", "a/", "a/b/", "b/"]), 0..400_u32);
    prop_oneof![
        30 => name.prop_map(|(folder, number)| format!("{folder}{number:03}").into_bytes()),
        1 => select(vec![b"\0".to_vec(), b"\0\0".to_vec(), b"a".to_vec(), vec![0xff; 3]]),
        1 => (0..9_usize).prop_map(|number| [vec![b'a'; 30_000], vec![b'0'; number]].concat()),
    ]
}

fn range_end() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => Just(Vec::new()), 1 => Just(vec![0]), 5 => key()]
}

fn step() -> impl Strategy<Value = Step> {
    let part = || 0..=256_i64;
    let read = (key(), range_end(), part(), prop_oneof![Just(usize::MAX), 0..40_usize]);
    prop_oneof![
        120 => key().prop_map(Step::Put),
        3 => (key(), Just(Vec::new())).prop_map(|(key, end)| Step::Delete(key, end)),
        1 => (key(), range_end()).prop_map(|(key, end)| Step::Delete(key, end)),
        8 => read.prop_map(|(key, end, part, most)| Step::Read { key, end, part, most }),
        1 => ([part(), part()], 0..9_usize, 1..200_usize).prop_map(|(parts, abandoned, budget)| {
            Step::Compact { parts, abandoned, budget }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sweeps are abandoned half done, and later ones take over: what they drop together, and what
    /// stays, is what one sweep at the later revision makes of it.
    #[test]
    fn the_index_answers_as_its_naive_twin_through_writes_deletes_and_half_done_sweeps(
        steps in vec(step(), 1..1500),
    ) {
        let (mut pair, mut compacted) = (Pair::new(), Revision(0));
        for step in steps {
            // Something between the last compaction and now.
            let place = |part: i64| {
                Revision(compacted.0 + (pair.revision.0 - compacted.0) * part / 256)
            };
            match step {
                Step::Put(key) => pair.put(&key),
                Step::Delete(key, end) => pair.delete(KeyRange::new(&key, &end)),
                Step::Read { key, end, part, most } => {
                    let range = KeyRange::new(&key, &end);
                    pair.check_read(range, place(part), most);
                    pair.check_read(range, pair.revision, most);
                }
                Step::Compact { parts, abandoned, budget } => {
                    let (first, second) = (place(parts[0]), place(parts[0].max(parts[1])));
                    let (mut dropped, mut cursor) = (Vec::new(), Cursor::default());
                    for _ in 0..abandoned {
                        let drop = |location| dropped.push(location);
                        match pair.index.sweep(first, &cursor, budget, drop) {
                            Some(next) => cursor = next,
                            None => break,
                        }
                        check_structure(&pair.index);
                    }
                    // A read that the half done compaction allows.
                    pair.check_read(KeyRange::From(b""), second, usize::MAX);
                    pair.sweep(second, budget, dropped);
                    compacted = second;
                    pair.check_held();
                }
            }
        }
        pair.check_held();
    }
}

fn numbered(number: u32) -> Vec<u8> {
    format!("/registry/pods/default/{number:08}").into_bytes()
}

#[test]
fn keys_in_ascending_order_fill_their_chunks() {
    let mut pair = Pair::new();
    for number in 0..10 * MAX_KEYS as u32 {
        pair.put(&numbered(number));
    }
    pair.check_held();
    assert_eq!(pair.index.chunks.len(), 10);
}

#[test]
fn keys_in_any_other_order_leave_chunks_half_full_at_least() {
    let count = 20 * MAX_KEYS as u32;
    let descending: Vec<u32> = (0..count).rev().collect();
    let shuffled: Vec<u32> = (0..count).map(|number| number * 2_753 % count).collect();
    for order in [descending, shuffled] {
        let mut pair = Pair::new();
        for number in order {
            pair.put(&numbered(number));
        }
        pair.check_held();
        assert_eq!(pair.held().len(), count as usize);
        // The last may have just been split off.
        for chunk in &pair.index.chunks[..pair.index.chunks.len() - 1] {
            assert!(chunk.len() >= MAX_KEYS / 2, "a chunk has {} keys", chunk.len());
        }
    }
}

#[test]
fn chunks_that_have_become_small_are_merged_and_at_the_end_one_is_left() {
    let mut pair = Pair::new();
    let count = 20 * MAX_KEYS as u32;
    (0..count).for_each(|number| pair.put(&numbered(number)));
    for keep in [64, 1024, u32::MAX] {
        (0..count).filter(|number| number % keep != 1).for_each(|number| {
            pair.delete(KeyRange::Key(&numbered(number)));
        });
        pair.put(b"z");
        let revision = pair.revision;
        pair.sweep(revision, 100, Vec::new());
        pair.check_held();
        let keys = pair.held().len();
        assert!(pair.index.chunks.len() <= 1 + 4 * keys / MAX_KEYS, "{keys} keys left");
    }
    assert_eq!(pair.index.chunks.len(), 1);
}

#[test]
fn a_chunk_at_its_limit_splits_with_the_next_key_wherever_that_lies() {
    for place in [0, 1, MAX_KEYS / 2, MAX_KEYS / 2 + 1, MAX_KEYS] {
        let mut pair = Pair::new();
        for number in 0..MAX_KEYS as u32 {
            pair.put(&numbered(2 * number + 1));
        }
        assert_eq!(pair.index.chunks.len(), 1);
        pair.put(&numbered(2 * place as u32));
        assert_eq!(pair.index.chunks.len(), 2);
        pair.check_held();
        pair.check_read(KeyRange::From(b""), pair.revision, usize::MAX);
    }
}

#[test]
fn long_keys_split_a_chunk_by_their_bytes() {
    let mut pair = Pair::new();
    let long = |first: u8, number: u8| [&[first; 40_000][..], &[number]].concat();
    // Those of one beginning share it, until another one comes between.
    for number in [5, 3, 9, 4] {
        pair.put(&long(b'm', number));
    }
    assert_eq!(pair.index.chunks.len(), 1);
    for (first, number) in [(b'a', 1), (b'z', 1), (b'a', 0), (b'n', 7)] {
        pair.put(&long(first, number));
        pair.check_held();
    }
    assert!(pair.index.chunks.len() > 2);
    // A key between two long ones that share all but their end.
    pair.put(&[&[b'm'; 39_999][..], b"a"].concat());
    pair.put(&vec![b'm'; 2 * MAX_KEY_BYTES]);
    pair.check_held();
    pair.check_read(KeyRange::From(b"b"), pair.revision, usize::MAX);
}

#[test]
fn a_count_at_an_older_revision_is_exact_where_chunks_have_changed_and_where_not() {
    let mut pair = Pair::new();
    let count = 8 * MAX_KEYS as u32;
    (0..count).for_each(|number| pair.put(&numbered(number)));
    let then = pair.revision;
    pair.delete(KeyRange::Between(&numbered(100), &numbered(600)));
    pair.put(&numbered(count));
    for (revision, expected) in [(then, count), (pair.revision, count - 499)] {
        assert_eq!(pair.index.count(KeyRange::From(b""), revision), u64::from(expected));
        pair.check_read(KeyRange::From(&numbered(90)), revision, 20);
    }
    assert_eq!(pair.index.count(KeyRange::Between(b"z", b"a"), then), 0);
}

#[test]
fn one_hot_key_is_swept_in_steps_that_have_a_bound() {
    let mut pair = Pair::new();
    (0..1_000).for_each(|_| pair.put(b"hot"));
    let (revision, mut steps, mut cursor) = (pair.revision, 0, Some(Cursor::default()));
    let mut dropped = Vec::new();
    while let Some(from) = cursor {
        let before = dropped.len();
        cursor = pair.index.sweep(revision, &from, 10, |location| dropped.push(location));
        assert!(dropped.len() - before <= 10);
        steps += 1;
    }
    assert_eq!(dropped, pair.twin.compact(revision));
    assert!(steps >= 100);
    pair.check_held();
}

#[test]
fn one_change_of_a_key_is_found_by_its_revision_and_follows_its_record() {
    let mut pair = Pair::new();
    for key in [b"a", b"b", b"a", b"a"] {
        pair.put(key);
    }
    pair.delete(KeyRange::Key(b"a"));
    let (index, elsewhere) = (&mut pair.index, Location::nth(77));
    for (revision, written) in [(2, 1), (4, 3), (5, 4), (6, 5)] {
        let (revision, written) = (Revision(revision), Location::nth(written));
        assert_eq!(index.location_of(b"a", revision), Some(written));
        assert!(!index.relocate_change(b"a", revision, elsewhere, written), "it lies here");
        assert!(index.relocate_change(b"a", revision, written, elsewhere));
        assert_eq!(index.location_of(b"a", revision), Some(elsewhere));
    }
    assert_eq!(index.location_of(b"b", Revision(3)), Some(Location::nth(2)));
    for (key, revision) in [(b"a", 3), (b"a", 1), (b"a", 7), (b"b", 2), (b"c", 2)] {
        assert_eq!(index.location_of(key, Revision(revision)), None);
        assert!(!index.relocate_change(key, Revision(revision), elsewhere, elsewhere));
    }
}

#[test]
fn a_restored_change_beyond_all_revisions_is_refused() {
    let mut index = Index::default();
    let kv = KeyValue {
        key: "a".into(),
        create_revision: Revision(i64::MAX),
        mod_revision: Revision(i64::MAX),
        version: 1,
        ..KeyValue::default()
    };
    let revision = ChangeRevision { main: Revision(i64::MAX), sub: 0 };
    let record = Record { revision, is_tombstone: false, kv };
    let refused = index.restore(&record, Location::nth(1), Revision::NEVER_COMPACTED);
    assert_eq!(refused, Err("a revision is beyond all that a store reaches"));
}
