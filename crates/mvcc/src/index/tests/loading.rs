//! The index of a store on a disk, whose files still have some of what its compaction drops, and
//! transactions that could not be finished.

use super::*;

/// Puts and deletes of few keys, and with each whether its record is still there, should it be
/// dead.
fn lives() -> impl Strategy<Value = Vec<(u8, bool, bool)>> {
    vec((0..6_u8, prop::bool::weighted(0.7), any::<bool>()), 1..80)
}

fn record(key: &[u8], change: &Change) -> Record {
    let mut kv = KeyValue { key: Bytes::copy_from_slice(key), ..KeyValue::default() };
    kv.mod_revision = change.revision;
    if let Some(summary) = change.written {
        kv.create_revision = summary.create_revision;
        (kv.version, kv.lease) = (summary.version, summary.lease);
    }
    let revision = ChangeRevision { main: change.revision, sub: 0 };
    Record { revision, is_tombstone: change.written.is_none(), kv }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whichever of the dead records are left: the index is that of a swept store, and the dead
    /// are told, each once.
    #[test]
    fn what_is_loaded_with_dead_records_is_what_a_sweep_leaves(
        lives in lives(),
        compacted in 0..80_i64,
    ) {
        let mut pair = Pair::new();
        let mut is_left = BTreeMap::new();
        for (key, puts, left) in lives {
            match puts {
                true => pair.put(&[key]),
                false => pair.delete(KeyRange::Key(&[key])),
            }
            is_left.insert(pair.revision, left);
        }
        let compacted = Revision(compacted.min(pair.revision.0));
        let before = pair.twin.keys.clone();
        let dropped = pair.twin.compact(compacted);
        let (mut records, mut dead) = (BTreeMap::new(), Vec::new());
        for (key, changes) in &before {
            let mut older_are_left = false;
            for change in changes {
                let is_dead = dropped.contains(&change.location);
                // A tombstone goes from the files behind all that it hides, or those would return.
                let hides = change.written.is_none() && older_are_left;
                if is_dead && !is_left[&change.revision] && !hides {
                    continue;
                }
                older_are_left = true;
                records.insert(change.revision, (record(key, change), change.location));
                if is_dead {
                    dead.push(change.location);
                }
            }
        }

        let (mut index, mut told) = (Index::default(), Vec::new());
        for (record, location) in records.values() {
            let loaded = index.load(record, *location, compacted, |dead| told.push(dead));
            assert_eq!(loaded, Ok(()));
        }
        told.sort();
        dead.sort();
        assert_eq!(told, dead);
        pair.index = index;
        pair.check_held();
        for revision in compacted.0.max(1)..=pair.revision.0 {
            pair.check_read(KeyRange::From(b""), Revision(revision), usize::MAX);
        }
        // It goes on as the one that it was.
        (0..6).for_each(|key| pair.put(&[key]));
        pair.check_held();
    }

    /// Changes that are taken back leave no trace, wherever chunks were split for them.
    #[test]
    fn a_transaction_that_is_taken_back_was_never_there(
        before in vec(key(), 0..400),
        deleted in vec(key(), 0..40),
        writes in vec((key(), prop::bool::weighted(0.7)), 0..400),
    ) {
        let mut pair = Pair::new();
        before.iter().for_each(|key| pair.put(key));
        deleted.iter().for_each(|key| pair.delete(KeyRange::Key(key)));
        let revision = pair.revision.next();
        let mut undo = Vec::new();
        let writes: BTreeMap<_, _> = writes.into_iter().collect();
        for (number, (key, puts)) in writes.iter().enumerate() {
            let location = Location::nth(1_000_000 + number as u64);
            if *puts {
                let (_, life) = pair.index.put(key, revision, location, None);
                undo.push((key, life));
            } else {
                pair.index.delete(KeyRange::Key(key), revision, |_, life, _| {
                    undo.push((key, Some(life)));
                    location
                });
            }
        }
        for (key, life) in undo.into_iter().rev() {
            pair.index.take_back(key, revision, life);
        }
        pair.check_held();
        pair.check_read(KeyRange::From(b""), pair.revision, usize::MAX);
        before.iter().chain(writes.keys()).for_each(|key| pair.put(key));
        pair.check_held();
        pair.check_read(KeyRange::From(b""), pair.revision, usize::MAX);
    }
}
