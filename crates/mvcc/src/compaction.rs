//! Compaction: the store gives up the history below a revision.
//!
//! Owns when a compaction is refused. It takes effect for all reads at once; memory and space come
//! back step by step, as [`Store::work`] is called, but for a store in memory, which drops all at
//! once. What a key keeps is the key index's to say. Takes no revision: what the store holds does
//! not change.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::request::CompactRequest;
use crate::response::CompactResponse;
use crate::store::Store;

impl Store {
    /// Makes a revision the oldest readable one. In memory it visits every key; of a store with a
    /// directory, [`work`](Store::work) has something to do from then on.
    ///
    /// # Errors
    /// [`Error::Compacted`] at or below the last compaction, [`Error::FutureRevision`] above the
    /// current revision.
    pub fn compact(&mut self, request: &CompactRequest) -> Result<CompactResponse, Error> {
        let revision = request.revision;
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.current {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        self.digest.compaction(revision);

        if self.log.place.is_some() {
            self.begin_sweep();
        } else {
            let mut dead = BTreeSet::new();
            self.index.compact(revision, |location| {
                dead.insert(location);
            });
            self.log.forget(&dead);
        }
        Ok(CompactResponse { revision: self.current })
    }
}

#[cfg(test)]
mod tests {
    use quorate_wal::disk::MemDisk;

    use super::*;
    use crate::request::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
    use crate::revision::Revision;

    /// Runs a script, from revision 2 on one transaction a word: `a+` puts the key a, `a-`
    /// deletes it, and `a+b-` does both at once.
    fn run(store: &mut Store, script: &str) {
        for word in script.split_whitespace() {
            let changes = word.as_bytes().chunks(2);
            let success = changes.map(|change| {
                let key = bytes::Bytes::copy_from_slice(&change[..1]);
                match change[1] {
                    b'+' => RequestOp::Put(PutRequest { key, ..PutRequest::default() }),
                    _ => RequestOp::DeleteRange(DeleteRangeRequest {
                        key,
                        ..DeleteRangeRequest::default()
                    }),
                }
            });
            let request = TxnRequest { success: success.collect(), ..TxnRequest::default() };
            store.txn(&request).expect("the script is valid");
        }
    }

    /// All changes that the store holds, as `revision.sub:key±`.
    fn held(store: &Store) -> String {
        let mut held = Vec::new();
        let mut walk = store.log.walk(Revision::INITIAL);
        while let Some(record) = walk.next(&MemDisk::new(), |_| true).expect("it is in memory") {
            let (revision, key) = (record.revision, String::from_utf8_lossy(&record.kv.key));
            let sign = if record.is_tombstone { '-' } else { '+' };
            held.push(format!("{}.{}:{key}{sign}", revision.main, revision.sub));
        }
        held.join(" ")
    }

    fn check(script: &str, compactions: &[i64], expected: &str) {
        let mut store = Store::new();
        run(&mut store, script);
        for revision in compactions {
            let request = CompactRequest { revision: Revision(*revision) };
            store.compact(&request).expect("the compaction is valid");
        }
        assert_eq!(held(&store), expected, "{script} compacted at {compactions:?}");
    }

    #[test]
    fn guarantee_07_changes_are_held_in_the_order_of_the_request() {
        check("c+ b+a+c- d+", &[], "2.0:c+ 3.0:b+ 3.1:a+ 3.2:c- 4.0:d+");
    }

    #[test]
    fn each_key_keeps_its_newest_change_at_the_compaction_and_all_above() {
        let script = "a+ a+ b+ a+ b+ a+";
        check(script, &[1], "2.0:a+ 3.0:a+ 4.0:b+ 5.0:a+ 6.0:b+ 7.0:a+");
        check(script, &[2], "2.0:a+ 3.0:a+ 4.0:b+ 5.0:a+ 6.0:b+ 7.0:a+");
        check(script, &[3], "3.0:a+ 4.0:b+ 5.0:a+ 6.0:b+ 7.0:a+");
        check(script, &[4], "3.0:a+ 4.0:b+ 5.0:a+ 6.0:b+ 7.0:a+");
        check(script, &[5], "4.0:b+ 5.0:a+ 6.0:b+ 7.0:a+");
        check(script, &[7], "6.0:b+ 7.0:a+");
        check(script, &[3, 5, 6, 7], "6.0:b+ 7.0:a+");
        check("a+b+ b+c+ a+b+", &[3], "2.0:a+ 3.0:b+ 3.1:c+ 4.0:a+ 4.1:b+");
    }

    #[test]
    fn generations_that_ended_before_the_compaction_go() {
        let script = "a+ a+ a- b+ a+ a- b+ a+";
        check(script, &[3], "3.0:a+ 4.0:a- 5.0:b+ 6.0:a+ 7.0:a- 8.0:b+ 9.0:a+");
        check(script, &[5], "5.0:b+ 6.0:a+ 7.0:a- 8.0:b+ 9.0:a+");
        check(script, &[8], "8.0:b+ 9.0:a+");
        check("a+ a- b+", &[4], "4.0:b+");
        check("a+ b+ a-b- c+", &[5], "5.0:c+");
    }

    /// etcd dropped it, and a watch that resumed there never heard of the delete (18089, 19179).
    #[test]
    fn bugs_18089_and_19179_a_tombstone_at_the_compaction_stays_until_the_next() {
        let script = "a+ b+ a- b+ a+ a-";
        check(script, &[4], "3.0:b+ 4.0:a- 5.0:b+ 6.0:a+ 7.0:a-");
        check(script, &[3, 4], "3.0:b+ 4.0:a- 5.0:b+ 6.0:a+ 7.0:a-");
        check(script, &[4, 5], "5.0:b+ 6.0:a+ 7.0:a-");
        check(script, &[7], "5.0:b+ 7.0:a-");
        check("a+ b+a-", &[3], "3.0:b+ 3.1:a-");
    }

    #[test]
    fn a_key_that_returns_after_its_tombstone_was_kept_begins_a_generation() {
        let mut store = Store::new();
        run(&mut store, "a+ a+ a-");
        store.compact(&CompactRequest { revision: Revision(4) }).expect("revision 4 exists");
        run(&mut store, "a+");
        assert_eq!(held(&store), "4.0:a- 5.0:a+");
        let newest = store.index.newest(b"a").expect("a exists");
        let kv = store.log.get(newest, &MemDisk::new()).expect("it is in memory").kv;
        assert_eq!((kv.create_revision, kv.version), (Revision(5), 1));
    }
}
