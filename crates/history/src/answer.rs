//! Answers of the model `etcd`. A field that is `None` was not observed, which is not the same as
//! a `null` that was.

use serde::{Deserialize, Serialize};

use crate::{Data, LeaseId, MemberId, Revision, Term, Version};

/// Reads a field that may be `null`: `null` is an observed value, absence is not.
fn observed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A key as a store shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    pub key: Data,
    /// The value; empty where only keys were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Data>,
    /// The revision that created the key's current generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<Revision>,
    /// The revision that last wrote the key.
    #[serde(default, rename = "mod", skip_serializing_if = "Option::is_none")]
    pub modified: Option<Revision>,
    /// How often the key was written in its current generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The lease that the key is attached to, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
}

/// An `ok` of the model `etcd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EtcdResult {
    /// The header's revision: the store's when it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The member that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
    /// The Raft term in which it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
    /// What was answered.
    #[serde(flatten)]
    pub response: EtcdResponse,
}

/// What an operation, or one operation within a transaction, answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EtcdResponse {
    /// To a put.
    Put(PutResponse),
    /// To a range.
    Range(RangeResponse),
    /// To a delete_range.
    DeleteRange(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a grant, a keep-alive or a question about a lease.
    Lease(LeaseResponse),
    /// To what only says that it is done: a compaction, a lease's end, a closed watch.
    Done {},
}

/// The answer to a put.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PutResponse {
    /// What the key was before; `Some(None)` where it did not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_kv: Option<Option<KeyValue>>,
}

/// The answer to a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RangeResponse {
    /// The keys, in the order that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kvs: Option<Vec<KeyValue>>,
    /// How many keys the range holds, whatever limit or filter was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whether the limit cut keys off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<bool>,
}

/// The answer to a delete_range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeleteRangeResponse {
    /// How many keys were deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<u64>,
    /// What the deleted keys were before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_kvs: Option<Vec<KeyValue>>,
}

/// The answer to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TxnResponse {
    /// Whether all comparisons held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
    /// One answer for each operation of the branch that was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<Vec<EtcdResponse>>,
}

/// The answer to a lease operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeaseResponse {
    /// The lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<LeaseId>,
    /// Its time to live in seconds; -1 for a lease that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
}

/// One response of a watch's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchResponse {
    /// The header's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What happened, in order of revision.
    #[serde(default)]
    pub events: Vec<WatchEvent>,
    /// Whether this only says how far the stream is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
    /// Set where the watch was cancelled since it started below the compaction: the lowest
    /// revision that can still be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact_revision: Option<Revision>,
    /// Whether the rest of these events follows in another response.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fragment: bool,
}

/// One change that a watch saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEvent {
    /// What happened to the key.
    #[serde(rename = "type")]
    pub kind: WatchEventKind,
    /// The key after the change; a deleted key has no value.
    pub kv: KeyValue,
    /// The key before the change; `Some(None)` where it did not exist.
    #[serde(default, deserialize_with = "observed", skip_serializing_if = "Option::is_none")]
    pub prev_kv: Option<Option<KeyValue>>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// Every field that any result may have, before the operation says which of them count.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ResultFields {
    #[serde(default, deserialize_with = "observed")]
    pub(crate) value: Option<crate::Value>,
    pub(crate) revision: Option<Revision>,
    pub(crate) member: Option<MemberId>,
    pub(crate) term: Option<Term>,
    #[serde(default, deserialize_with = "observed")]
    prev_kv: Option<Option<KeyValue>>,
    kvs: Option<Vec<KeyValue>>,
    count: Option<u64>,
    more: Option<bool>,
    deleted: Option<u64>,
    prev_kvs: Option<Vec<KeyValue>>,
    pub(crate) succeeded: Option<bool>,
    responses: Option<Vec<ResultFields>>,
    id: Option<LeaseId>,
    ttl: Option<i64>,
}

impl ResultFields {
    /// The answer to `op`. Fails where the operation does not say what the fields mean.
    pub(crate) fn into_response(self, op: &crate::EtcdOp) -> Result<EtcdResponse, &'static str> {
        use crate::EtcdOp;
        Ok(match op {
            EtcdOp::Put(_) => self.into_put(),
            EtcdOp::Range(_) => self.into_range(),
            EtcdOp::DeleteRange(_) => self.into_delete_range(),
            EtcdOp::Txn(txn) => return self.into_txn(txn),
            EtcdOp::LeaseGrant { .. }
            | EtcdOp::LeaseKeepAlive { .. }
            | EtcdOp::LeaseTimeToLive { .. } => {
                EtcdResponse::Lease(LeaseResponse { id: self.id, ttl: self.ttl })
            }
            EtcdOp::Compact { .. } | EtcdOp::LeaseRevoke { .. } | EtcdOp::Watch(_) => {
                EtcdResponse::Done {}
            }
        })
    }

    fn into_put(self) -> EtcdResponse {
        EtcdResponse::Put(PutResponse { prev_kv: self.prev_kv })
    }

    fn into_range(self) -> EtcdResponse {
        EtcdResponse::Range(RangeResponse { kvs: self.kvs, count: self.count, more: self.more })
    }

    fn into_delete_range(self) -> EtcdResponse {
        EtcdResponse::DeleteRange(DeleteRangeResponse {
            deleted: self.deleted,
            prev_kvs: self.prev_kvs,
        })
    }

    fn into_txn(self, txn: &crate::Txn) -> Result<EtcdResponse, &'static str> {
        let succeeded = self.succeeded;
        let responses = match (self.responses, succeeded) {
            (None, _) => None,
            (Some(_), None) => {
                return Err("\"responses\" cannot be read without \"succeeded\": add it, or \
                            leave \"responses\" out");
            }
            (Some(responses), Some(succeeded)) => {
                let branch = if succeeded { &txn.then } else { &txn.or_else };
                let mut typed = Vec::with_capacity(responses.len());
                for (index, fields) in responses.into_iter().enumerate() {
                    typed.push(match branch.get(index) {
                        Some(op) => fields.into_response(op)?,
                        None => fields.into_guess(),
                    });
                }
                Some(typed)
            }
        };
        Ok(EtcdResponse::Txn(TxnResponse { succeeded, responses }))
    }

    /// A response beyond the branch's last operation: a store's mistake, which the checker shall
    /// see and not the reader, so that its shape is taken from its fields.
    fn into_guess(self) -> EtcdResponse {
        if self.kvs.is_some() || self.count.is_some() {
            self.into_range()
        } else if self.deleted.is_some() {
            self.into_delete_range()
        } else if self.succeeded.is_some() {
            EtcdResponse::Txn(TxnResponse { succeeded: self.succeeded, responses: None })
        } else {
            self.into_put()
        }
    }
}
