//! The store: the replicated state that committed entries change and reads are answered from.
//!
//! Owns the current and the compacted revision, and that a request takes effect as a whole or not
//! at all. Everything it does follows from the requests and their order alone: members that apply
//! the same log hold the same store, refusals included. Never grants a lease and never asks
//! whether a caller may do this: those are its member's.

use crate::error::Error;
use crate::hash::Fingerprint;
use crate::index::Index;
use crate::request::{DeleteRangeRequest, PutRequest, RangeRequest};
use crate::response::{DeleteRangeResponse, PutResponse, RangeResponse};
use crate::revision::Revision;
use crate::revision_log::RevisionLog;
use crate::validate::{validate_delete_range, validate_put, validate_range};
use crate::write::Writer;

/// A key-value store with etcd's revisions.
///
/// The field order of its parts is the dependency: the index points into the log.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) index: Index,
    pub(crate) log: RevisionLog,
    /// Of the last transaction that changed something. Never decreases.
    pub(crate) current: Revision,
    /// Of the last compaction. Never decreases, never above `current`.
    pub(crate) compacted: Revision,
    pub(crate) digest: Fingerprint,
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

impl Store {
    /// An empty store, at revision 1.
    pub fn new() -> Store {
        Store {
            index: Index::default(),
            log: RevisionLog::default(),
            current: Revision::INITIAL,
            compacted: Revision::NEVER_COMPACTED,
            digest: Fingerprint::new(),
        }
    }

    /// The current revision: that of the last transaction which changed something.
    pub fn revision(&self) -> Revision {
        self.current
    }

    /// The oldest readable revision, or [`Revision::NEVER_COMPACTED`].
    pub fn compact_revision(&self) -> Revision {
        self.compacted
    }

    /// A digest of all changes and compactions since the store was empty, in their order. Members
    /// that applied the same log have the same; it costs nothing to read.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// Reads keys.
    ///
    /// # Errors
    /// Those of [`validate_range`]; [`Error::Compacted`] below the last compaction,
    /// [`Error::FutureRevision`] above the current revision.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        validate_range(request)?;
        self.read(request, self.current)
    }

    /// Writes a key, at a revision of its own.
    ///
    /// # Errors
    /// Those of [`validate_put`]; [`Error::KeyNotFound`] if the key's value or lease is to be kept
    /// and the key does not exist.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        validate_put(request)?;
        self.check_put(request)?;
        let mut writer = Writer::begin(self);
        let response = writer.put(request);
        writer.finish();
        Ok(response)
    }

    /// Deletes keys, at one revision of their own, if any of them exists.
    ///
    /// # Errors
    /// Those of [`validate_delete_range`].
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        validate_delete_range(request)?;
        let mut writer = Writer::begin(self);
        let response = writer.delete_range(request);
        writer.finish();
        Ok(response)
    }

    /// Whether a put can take effect, judged by what the store holds.
    pub(crate) fn check_put(&self, request: &PutRequest) -> Result<(), Error> {
        let keeps = request.ignore_value || request.ignore_lease;
        if keeps && self.index.newest(&request.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }
}
