//! Records that were read not long ago.
//!
//! Owns the bound on their memory. Two generations: what is read enters the young one, which
//! becomes the old one when it is full, and what was old is forgotten then. What is used again
//! while it is old is young again. So what is used often stays, nothing is reordered at each read,
//! and equal reads leave equal caches.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::record::Record;
use super::segment::SegmentId;

/// What a record costs besides the bytes of its key and value: the map's share of a node, and the
/// allocation's header.
const OVERHEAD_BYTES: usize = 256;

/// Where a record lies, by a name that is never given again.
type Place = (SegmentId, u32);

/// A bounded cache of records.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Of both generations together, at most.
    limit_bytes: usize,
    young: BTreeMap<Place, Record>,
    young_bytes: usize,
    old: BTreeMap<Place, Record>,
    old_bytes: usize,
}

impl Cache {
    pub(crate) fn new(limit_bytes: usize) -> Cache {
        Cache {
            limit_bytes,
            young: BTreeMap::new(),
            young_bytes: 0,
            old: BTreeMap::new(),
            old_bytes: 0,
        }
    }

    pub(crate) fn get(&mut self, place: Place) -> Option<Record> {
        if let Some(record) = self.young.get(&place) {
            return Some(record.clone());
        }
        let record = self.old.remove(&place)?;
        self.old_bytes -= cost(&record);
        self.enter(place, record.clone());
        Some(record)
    }

    /// Keeps a record, and with it what its key and value are parts of.
    pub(crate) fn insert(&mut self, place: Place, record: Record) {
        if self.takes(place, &record) {
            self.enter_anew(place, record);
        }
    }

    /// Keeps a copy of a record, which so keeps nothing else in memory.
    pub(crate) fn insert_copy(&mut self, place: Place, record: &Record) {
        if !self.takes(place, record) {
            return;
        }
        let (key_len, kv) = (record.kv.key.len(), &record.kv);
        let mut bytes = Vec::with_capacity(key_len + kv.value.len());
        bytes.extend_from_slice(&kv.key);
        bytes.extend_from_slice(&kv.value);
        let mut copy = record.clone();
        copy.kv.value = Bytes::from(bytes);
        copy.kv.key = copy.kv.value.split_to(key_len);
        self.enter_anew(place, copy);
    }

    fn takes(&self, place: Place, record: &Record) -> bool {
        cost(record) <= self.limit_bytes / 2 && !self.young.contains_key(&place)
    }

    fn enter_anew(&mut self, place: Place, record: Record) {
        if let Some(old) = self.old.remove(&place) {
            self.old_bytes -= cost(&old);
        }
        self.enter(place, record);
    }

    /// What the cache holds, in bytes, never above its limit.
    pub(crate) fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    fn enter(&mut self, place: Place, record: Record) {
        let bytes = cost(&record);
        if self.young_bytes + bytes > self.limit_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert(place, record);
        assert!(self.bytes() <= self.limit_bytes, "the cache is bounded");
    }
}

fn cost(record: &Record) -> usize {
    OVERHEAD_BYTES + record.kv.key.len() + record.kv.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::KeyValue;
    use crate::revision::{ChangeRevision, Revision};

    fn record(number: u32, value_len: usize) -> Record {
        let revision = ChangeRevision { main: Revision(i64::from(number)), sub: 0 };
        let kv = KeyValue {
            key: Bytes::from(format!("key {number}")),
            value: Bytes::from(vec![number as u8; value_len]),
            ..KeyValue::default()
        };
        Record { revision, is_tombstone: false, kv }
    }

    #[test]
    fn it_never_exceeds_its_limit_and_keeps_what_is_used() {
        let mut cache = Cache::new(20_000);
        let favourite = (SegmentId(1), 0);
        cache.insert(favourite, record(0, 100));
        for number in 1..1000 {
            cache.insert((SegmentId(1), number), record(number, (number as usize * 7) % 900));
            assert!(cache.bytes() <= 20_000);
            assert_eq!(cache.get(favourite), Some(record(0, 100)), "used each time");
        }
        assert_eq!(cache.get((SegmentId(1), 1)), None, "used long ago");
        assert_eq!(cache.get((SegmentId(2), 0)), None, "of another segment");
    }

    #[test]
    fn what_is_larger_than_half_of_it_is_not_kept() {
        let mut cache = Cache::new(2000);
        cache.insert((SegmentId(1), 0), record(1, 1000));
        assert_eq!((cache.get((SegmentId(1), 0)), cache.bytes()), (None, 0));
    }
}
