//! Compaction: the store gives up the history below a revision.
//!
//! Owns when a compaction is refused, and that index and log drop the same changes. What a key
//! keeps is the key index's to say. Takes no revision: what the store holds does not change.

use crate::error::Error;
use crate::request::CompactRequest;
use crate::response::CompactResponse;
use crate::store::Store;

impl Store {
    /// Makes a revision the oldest readable one. Visits every key.
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

        let mut sweep = self.log.sweep(revision);
        self.index.compact(revision, |location| sweep.drop_record(location));
        let relocations = sweep.finish();
        self.index.relocate(&relocations);
        Ok(CompactResponse { revision: self.current })
    }
}
