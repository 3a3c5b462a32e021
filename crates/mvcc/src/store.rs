//! The store: the replicated state that committed entries change and reads are answered from.
//!
//! Owns the current and the compacted revision, and that a request takes effect as a whole or not
//! at all. Everything it does follows from the requests and their order alone: members that apply
//! the same log hold the same store, refusals included. Never grants a lease and never asks
//! whether a caller may do this: those are its member's.
//!
//! # On a disk
//! A store that was [opened](Store::open) in a directory keeps its records there, and in memory an
//! index of them. Each call that may have to read one is given the disk: see [`Store::reader`] and
//! [`Store::applier`]. What is to be written it hands out as operations, and is told when they were
//! carried out: [`Store::take_ops`], [`Store::ops_done`]. A store that was made by [`Store::new`]
//! has no directory and is all in memory.

use quorate_wal::disk::{Disk, DiskOp, MemDisk};

use crate::error::{Error, Failure};
use crate::hash::Fingerprint;
use crate::index::Index;
use crate::maintenance::Maintenance;
use crate::manifest::Manifest;
use crate::request::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use crate::response::{DeleteRangeResponse, KvHash, PutResponse, RangeResponse, TxnResponse};
use crate::revision::Revision;
use crate::revision_log::RevisionLog;
use crate::revision_log::segment::SegmentUse;
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
    pub(crate) maintenance: Maintenance,
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

/// Reads of a store, which may reach its disk.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub(crate) store: &'a Store,
    pub(crate) disk: &'a dyn Disk,
}

/// Requests that change a store, and may have to read its disk for that.
pub struct Applier<'a> {
    store: &'a mut Store,
    disk: &'a dyn Disk,
    has_answer: bool,
}

impl Store {
    /// An empty store in memory, at revision 1.
    pub fn new() -> Store {
        Store::with_log(RevisionLog::default())
    }

    pub(crate) fn with_log(log: RevisionLog) -> Store {
        Store {
            index: Index::default(),
            log,
            current: Revision::INITIAL,
            compacted: Revision::NEVER_COMPACTED,
            digest: Fingerprint::new(),
            maintenance: Maintenance::default(),
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

    /// Reads it, from the disk on which it was opened where need be.
    pub fn reader<'a>(&'a self, disk: &'a dyn Disk) -> Reader<'a> {
        Reader { store: self, disk }
    }

    /// Applies requests to it, reading from the disk on which it was opened where need be.
    pub fn applier<'a>(&'a mut self, disk: &'a dyn Disk) -> Applier<'a> {
        Applier { store: self, disk, has_answer: true }
    }

    /// Whether [`take_ops`](Self::take_ops) has something to hand out now.
    pub fn has_ops(&self) -> bool {
        self.log.has_ops()
    }

    /// The next batch of operations for the disk, to be carried out in their order: empty while one
    /// is under way, and while less has gathered than is worth writing.
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        self.log.take_ops()
    }

    /// The batch that was handed out last was carried out, all of it. After a failure the store
    /// must be dropped, and opened again.
    ///
    /// # Panics
    /// If none is under way.
    pub fn ops_done(&mut self) {
        self.log.ops_done();
    }

    /// Records that are in memory because they are not on the disk yet, in bytes. It grows while
    /// the disk is slower than the requests.
    pub fn unwritten_bytes(&self) -> u64 {
        self.log.unwritten_bytes()
    }

    /// What the cache of records holds, in bytes: at most what the options say.
    pub fn cached_bytes(&self) -> usize {
        self.log.cached_bytes()
    }

    /// The segments that the store consists of, oldest first: how much of the disk each takes, and
    /// how much of its data is of changes that can still be seen.
    pub fn segments(&self) -> Vec<SegmentUse> {
        self.log.uses().collect()
    }

    /// Notes what the store is now. The manifest may be written down once the operations were
    /// carried out that [`take_ops`](Self::take_ops) hands out next (which may have to wait for the
    /// batch under way), and from then on [`open`](Self::open) brings the store back by it. Costs
    /// what was written since the last one, and a little for each segment.
    ///
    /// # Panics
    /// If the store is all in memory.
    pub fn checkpoint(&mut self) -> Manifest {
        self.log.flush();
        Manifest {
            current: self.current,
            compacted: self.compacted,
            digest: self.digest.value(),
            segments: self.log.infos().collect(),
        }
    }

    /// Reads keys of a store in memory.
    ///
    /// # Errors
    /// Those of [`validate_range`]; [`Error::Compacted`] below the last compaction,
    /// [`Error::FutureRevision`] above the current revision.
    ///
    /// # Panics
    /// If the store has a directory, and what is read lies there.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.reader(&MemDisk::new()).range(request).map_err(Failure::refusal)
    }

    /// Writes a key of a store in memory, at a revision of its own.
    ///
    /// # Errors
    /// Those of [`validate_put`]; [`Error::KeyNotFound`] if the key's value or lease is to be kept
    /// and the key does not exist.
    ///
    /// # Panics
    /// If the store has a directory, and what is read lies there.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        self.applier(&MemDisk::new()).put(request).map_err(Failure::refusal)
    }

    /// Deletes keys of a store in memory, at one revision of their own, if any of them exists.
    ///
    /// # Errors
    /// Those of [`validate_delete_range`].
    ///
    /// # Panics
    /// If the store has a directory, and what is read lies there.
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        self.applier(&MemDisk::new()).delete_range(request).map_err(Failure::refusal)
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

impl Reader<'_> {
    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.store.current
    }

    /// Reads keys.
    ///
    /// # Errors
    /// Refused: those of [`validate_range`]; [`Error::Compacted`] below the last compaction,
    /// [`Error::FutureRevision`] above the current revision. Damaged: a record that is to be
    /// answered cannot be read.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Failure> {
        validate_range(request)?;
        self.store.read(request, self.store.current, self.disk)
    }

    /// Hashes all that a read at or above the last compaction can see of the history up to a
    /// revision, the current one if not given: etcd's HashKV. Walks the whole store.
    ///
    /// # Errors
    /// Refused: [`Error::Compacted`] below the last compaction, [`Error::FutureRevision`] above the
    /// current revision. Damaged: a record that is part of it cannot be read.
    pub fn hash_kv(&self, revision: Option<Revision>) -> Result<KvHash, Failure> {
        self.store.hash_of(revision, self.disk)
    }
}

/// A request that meets a record which cannot be read is not applied at all, so that it can be
/// applied once the record is [repaired](Store::repair). It must be, before any other is: members
/// apply the same requests in the same order.
impl Applier<'_> {
    /// Nobody waits for the answers. What only they would say is not read, and they are without it:
    /// without previous key-values, and what ranges in transactions find. So damage to it does not
    /// hold up the requests after it, which matters most where a store is brought up to date:
    /// compacted as they are, its peers may no longer have what it is about to forget.
    #[must_use]
    pub fn without_answers(self) -> Self {
        Applier { has_answer: false, ..self }
    }

    /// Writes a key, at a revision of its own.
    ///
    /// # Errors
    /// Refused: those of [`validate_put`]; [`Error::KeyNotFound`] if the key's value or lease is to
    /// be kept and the key does not exist. Damaged: the key's record is needed and cannot be read.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Failure> {
        validate_put(request)?;
        self.store.check_put(request)?;
        let mut writer = Writer::begin(self.store, self.disk, self.has_answer);
        match writer.put(request) {
            Ok(response) => {
                writer.finish();
                Ok(response)
            }
            Err(damage) => {
                writer.take_back();
                Err(damage.into())
            }
        }
    }

    /// Deletes keys, at one revision of their own, if any of them exists.
    ///
    /// # Errors
    /// Refused: those of [`validate_delete_range`]. Damaged: a key is to be answered with and its
    /// record cannot be read.
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Failure> {
        validate_delete_range(request)?;
        let mut writer = Writer::begin(self.store, self.disk, self.has_answer);
        match writer.delete_range(request) {
            Ok(response) => {
                writer.finish();
                Ok(response)
            }
            Err(damage) => {
                writer.take_back();
                Err(damage.into())
            }
        }
    }

    /// Runs a transaction, at one revision of its own if it changes something.
    ///
    /// # Errors
    /// Refused: those of [`validate_txn`](crate::validate_txn) but for the limit of operations,
    /// which is for the proposer to hold; and of the branch that would run, what a put and a range
    /// refuse. A range at a revision that only this transaction would reach is refused as future.
    /// Damaged: a record that it compares, or is to answer with, cannot be read.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Failure> {
        self.store.apply_txn(request, self.disk, self.has_answer)
    }
}
