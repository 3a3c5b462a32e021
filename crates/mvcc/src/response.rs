//! What the store answers: etcd's KV responses as types.
//!
//! Owns the shape of responses. `revision` is the header's: the store's revision once the request
//! was served. Within a transaction it is as etcd fills it: what the store had reached at that
//! operation, and [`Revision`] 0 for a nested transaction, whose header etcd leaves empty.

use bytes::Bytes;

use crate::revision::{LeaseId, Revision};

/// A key at some revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty where the request asked for keys only.
    pub value: Bytes,
    /// The revision that created the key, the same throughout a generation: until it is deleted.
    pub create_revision: Revision,
    /// The revision that last wrote the key.
    pub mod_revision: Revision,
    /// The number of writes since the key was created: 1 at its creation.
    pub version: i64,
    /// The lease that the key is attached to.
    pub lease: Option<LeaseId>,
}

/// Answers a [`RangeRequest`](crate::RangeRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The header's revision: the store's current one, whichever was read.
    pub revision: Revision,
    /// The keys; none if only the count was asked for.
    pub kvs: Vec<KeyValue>,
    /// The limit left some keys out.
    pub more: bool,
    /// How many keys the range holds at that revision, whatever limit and filters left out.
    pub count: u64,
}

/// Answers a [`PutRequest`](crate::PutRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutResponse {
    /// The header's revision: that of the write.
    pub revision: Revision,
    /// The key as it was before, if asked for and if it existed.
    pub prev_kv: Option<KeyValue>,
}

/// Answers a [`DeleteRangeRequest`](crate::DeleteRangeRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeResponse {
    /// The header's revision.
    pub revision: Revision,
    /// How many keys were deleted.
    pub deleted: u64,
    /// The deleted keys as they were, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// Answers a [`TxnRequest`](crate::TxnRequest).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnResponse {
    /// The header's revision; 0 in a nested transaction, as in etcd.
    pub revision: Revision,
    /// Whether all compares held, and so whether `success` ran.
    pub succeeded: bool,
    /// One answer for each operation of the branch that ran, in its order.
    pub responses: Vec<ResponseOp>,
}

/// The answer of one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseOp {
    /// Of a range.
    Range(RangeResponse),
    /// Of a put.
    Put(PutResponse),
    /// Of a delete.
    DeleteRange(DeleteRangeResponse),
    /// Of a nested transaction.
    Txn(TxnResponse),
}

/// Answers a [`CompactRequest`](crate::CompactRequest).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactResponse {
    /// The header's revision: the store's current one.
    pub revision: Revision,
}

/// A hash of the store's history up to a revision. Two members' hashes must be equal where their
/// `hash_revision` and `compact_revision` are; otherwise they cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHash {
    /// The header's revision: the store's current one.
    pub revision: Revision,
    /// The hash. Our own function: it differs from what etcd computes over its file.
    pub hash: u64,
    /// The revision up to which it was taken.
    pub hash_revision: Revision,
    /// The last compaction, or [`Revision::NEVER_COMPACTED`].
    pub compact_revision: Revision,
}
