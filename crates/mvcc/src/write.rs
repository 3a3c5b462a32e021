//! The changes of one transaction: they share its revision and are numbered within it.
//!
//! Owns that a transaction takes one revision exactly if it changes something, that whatever
//! enters the log also enters index and digest, and that all of it can be taken back until the
//! transaction ends. Never refuses: what could be refused was checked before the first change.

use bytes::Bytes;
use quorate_wal::disk::Disk;

use crate::hash::Fingerprint;
use crate::key_index::Life;
use crate::key_range::KeyRange;
use crate::request::{DeleteRangeRequest, PutRequest};
use crate::response::{DeleteRangeResponse, KeyValue, PutResponse};
use crate::revision::{ChangeRevision, Revision};
use crate::revision_log::damage::Damage;
use crate::revision_log::{Mark, Record};
use crate::store::Store;

/// A transaction under way. It becomes visible as a whole by [`Writer::finish`], or leaves no trace
/// by [`Writer::take_back`].
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) disk: &'a dyn Disk,
    /// Somebody wants to know more of it than what it changes.
    pub(crate) has_answer: bool,
    /// The revision that the transaction takes if it changes something.
    main: Revision,
    /// What it changed so far: each key, and how it lived before.
    changes: Vec<(Bytes, Option<Life>)>,
    /// How log and digest were.
    before: (Mark, Fingerprint),
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(store: &'a mut Store, disk: &'a dyn Disk, has_answer: bool) -> Writer<'a> {
        let main = store.current.next();
        let before = (store.log.mark(), store.digest);
        Writer { store, disk, has_answer, main, changes: Vec::new(), before }
    }

    /// The store's revision as the transaction sees it.
    pub(crate) fn revision(&self) -> Revision {
        if self.changes.is_empty() { self.store.current } else { self.main }
    }

    /// Ends the transaction: its revision is the store's if it changed something.
    pub(crate) fn finish(self) -> Revision {
        let revision = self.revision();
        self.store.current = revision;
        self.store.log.settle();
        revision
    }

    /// Ends the transaction as if it had never begun.
    pub(crate) fn take_back(self) {
        let Store { index, log, digest, .. } = self.store;
        for (key, before) in self.changes.into_iter().rev() {
            index.take_back(&key, self.main, before);
        }
        let (mark, before) = self.before;
        log.take_back(mark);
        *digest = before;
    }

    /// Writes a key.
    ///
    /// # Errors
    /// If the key's record is needed and cannot be read. Nothing was changed then.
    ///
    /// # Panics
    /// If its value or lease is to be kept and the key does not exist: `check_put` came before.
    pub(crate) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Damage> {
        let answers_previous = request.prev_kv && self.has_answer;
        let previous = if answers_previous || request.ignore_value {
            self.newest(&request.key, true)?
        } else if request.ignore_lease {
            self.newest(&request.key, false)?
        } else {
            None
        };
        let kept = || previous.as_ref().expect("a put that keeps something was checked");
        let value = if request.ignore_value { &kept().value } else { &request.value };
        let lease = if request.ignore_lease { kept().lease } else { request.lease };

        let revision = ChangeRevision { main: self.main, sub: self.changes.len() as u32 };
        let Store { index, log, digest, .. } = &mut *self.store;
        let kv = KeyValue {
            key: request.key.clone(),
            value: value.clone(),
            mod_revision: revision.main,
            lease,
            ..KeyValue::default()
        };
        let mut record = Record { revision, is_tombstone: false, kv };
        let location = log.next_location(&record);
        let (generation, before) = index.put(&request.key, revision.main, location, lease);
        record.kv.create_revision = generation.created;
        record.kv.version = generation.version;
        digest.record(&record);
        log.push(record);
        self.changes.push((request.key.clone(), before));
        let prev_kv = if answers_previous { previous } else { None };
        Ok(PutResponse { revision: self.main, prev_kv })
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// If the record of one of them is wanted and cannot be read.
    pub(crate) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Damage> {
        let answers_previous = request.prev_kv && self.has_answer;
        let mut newest_writes = Vec::new();
        let (main, changes) = (self.main, &mut self.changes);
        let before = changes.len();
        let Store { index, log, digest, .. } = &mut *self.store;
        let range = KeyRange::new(&request.key, &request.range_end);
        index.delete(range, main, |key, life, newest| {
            if answers_previous {
                newest_writes.push(newest);
            }
            let revision = ChangeRevision { main, sub: changes.len() as u32 };
            let record = tombstone(key, life.created(), revision);
            changes.push((record.kv.key.clone(), Some(life)));
            digest.record(&record);
            log.push(record)
        });
        let mut prev_kvs = Vec::with_capacity(newest_writes.len());
        for newest in newest_writes {
            prev_kvs.push(log.get(newest, self.disk)?.kv);
        }
        let deleted = (changes.len() - before) as u64;
        Ok(DeleteRangeResponse { revision: self.revision(), deleted, prev_kvs })
    }

    fn newest(&self, key: &[u8], needs_value: bool) -> Result<Option<KeyValue>, Damage> {
        let Some(location) = self.store.index.newest(key) else { return Ok(None) };
        let record = self.store.log.get_needed(location, needs_value, self.disk)?;
        Ok(Some(record.kv))
    }
}

fn tombstone(key: &Bytes, created: Revision, revision: ChangeRevision) -> Record {
    let kv = KeyValue {
        key: key.clone(),
        create_revision: created,
        mod_revision: revision.main,
        ..KeyValue::default()
    };
    Record { revision, is_tombstone: true, kv }
}
