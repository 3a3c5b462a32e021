//! The changes of one transaction: they share its revision and are numbered within it.
//!
//! Owns that a transaction takes one revision exactly if it changes something, and that whatever
//! enters the log also enters index and digest. Never refuses: what could be refused was checked
//! before the first change.

use bytes::Bytes;

use crate::key_range::KeyRange;
use crate::request::{DeleteRangeRequest, PutRequest};
use crate::response::{DeleteRangeResponse, KeyValue, PutResponse};
use crate::revision::{ChangeRevision, Revision};
use crate::revision_log::Record;
use crate::store::Store;

/// A transaction under way. It becomes visible as a whole by [`Writer::finish`].
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a mut Store,
    /// The revision that the transaction takes if it changes something.
    main: Revision,
    /// How many changes it made so far.
    changes: u32,
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(store: &'a mut Store) -> Writer<'a> {
        let main = store.current.next();
        Writer { store, main, changes: 0 }
    }

    /// The store's revision as the transaction sees it.
    pub(crate) fn revision(&self) -> Revision {
        if self.changes > 0 { self.main } else { self.store.current }
    }

    /// Ends the transaction: its revision is the store's if it changed something.
    pub(crate) fn finish(self) -> Revision {
        let revision = self.revision();
        self.store.current = revision;
        revision
    }

    /// Writes a key.
    ///
    /// # Panics
    /// If its value or lease is to be kept and the key does not exist: `check_put` came before.
    pub(crate) fn put(&mut self, request: &PutRequest) -> PutResponse {
        let wants_previous = request.prev_kv || request.ignore_value || request.ignore_lease;
        let previous = match wants_previous {
            true => self.newest(&request.key).cloned(),
            false => None,
        };
        let kept = || previous.as_ref().expect("a put that keeps something was checked");
        let value = if request.ignore_value { &kept().value } else { &request.value };
        let lease = if request.ignore_lease { kept().lease } else { request.lease };

        let revision = self.next_change();
        let Store { index, log, digest, .. } = &mut *self.store;
        let generation = index.put(&request.key, revision.main, log.end(), lease);
        let kv = KeyValue {
            key: request.key.clone(),
            value: value.clone(),
            create_revision: generation.created,
            mod_revision: revision.main,
            version: generation.version,
            lease,
        };
        let record = Record { revision, is_tombstone: false, kv };
        digest.record(&record);
        log.push(record);
        let prev_kv = if request.prev_kv { previous } else { None };
        PutResponse { revision: self.main, prev_kv }
    }

    /// Deletes keys.
    pub(crate) fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut deleted = 0;
        let mut prev_kvs = Vec::new();
        let (main, changes) = (self.main, &mut self.changes);
        let Store { index, log, digest, .. } = &mut *self.store;
        let range = KeyRange::new(&request.key, &request.range_end);
        index.delete(range, main, |key, newest| {
            deleted += 1;
            if request.prev_kv {
                prev_kvs.push(log.get(newest).kv.clone());
            }
            let revision = ChangeRevision { main, sub: *changes };
            *changes += 1;
            let record = tombstone(key, revision);
            digest.record(&record);
            log.push(record)
        });
        DeleteRangeResponse { revision: self.revision(), deleted, prev_kvs }
    }

    fn newest(&self, key: &[u8]) -> Option<&KeyValue> {
        self.store.index.newest(key).map(|location| &self.store.log.get(location).kv)
    }

    fn next_change(&mut self) -> ChangeRevision {
        let sub = self.changes;
        self.changes += 1;
        ChangeRevision { main: self.main, sub }
    }
}

fn tombstone(key: &Bytes, revision: ChangeRevision) -> Record {
    let kv = KeyValue { key: key.clone(), mod_revision: revision.main, ..KeyValue::default() };
    Record { revision, is_tombstone: true, kv }
}
