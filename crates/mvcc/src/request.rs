//! What a client may ask of the store: etcd's KV requests as types.
//!
//! Owns the shape of requests. Never judges them ([`crate::validate`] does) and knows no
//! protobuf: whoever speaks a protocol translates.
//!
//! **Ranges** follow etcd's convention in all requests. An empty `range_end` names the one key, a
//! `range_end` of one zero byte all keys from `key` on, anything else the half-open interval
//! [`key`, `range_end`). So the key `\0` with the end `\0` is the whole keyspace.

use bytes::Bytes;

use crate::error::Error;
use crate::revision::{LeaseId, Revision};

/// Reads one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// The key, or the first key of the range.
    pub key: Bytes,
    /// The range's end, by etcd's convention (see the module).
    pub range_end: Bytes,
    /// Reads the store as it was at this revision; the current one if not given.
    pub revision: Option<Revision>,
    /// Returns at most so many keys; 0 is no limit.
    pub limit: u64,
    /// By what the keys are sorted.
    pub sort_target: SortTarget,
    /// Whether and how the keys are sorted.
    pub sort_order: SortOrder,
    /// The client accepts an answer from some committed prefix. It makes no difference to the
    /// store; the member decides by it whether the read must be confirmed first.
    pub serializable: bool,
    /// Leaves out the values.
    pub keys_only: bool,
    /// Answers only how many keys there are.
    pub count_only: bool,
    /// Leaves out keys last written below this revision.
    pub min_mod_revision: Option<Revision>,
    /// Leaves out keys last written above this revision.
    pub max_mod_revision: Option<Revision>,
    /// Leaves out keys created below this revision.
    pub min_create_revision: Option<Revision>,
    /// Leaves out keys created above this revision.
    pub max_create_revision: Option<Revision>,
}

/// Whether and how a range is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// As etcd leaves it: by key, and ascending by any other target.
    #[default]
    None,
    /// Lowest first.
    Ascend,
    /// Highest first.
    Descend,
}

/// By what a range is sorted. Equals stay in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The number of writes since the key was created.
    Version,
    /// The revision that created the key.
    CreateRevision,
    /// The revision that last wrote the key.
    ModRevision,
    /// The value.
    Value,
}

impl TryFrom<i32> for SortOrder {
    type Error = Error;

    /// From etcd's enumeration; [`Error::InvalidSortOption`] for a number that it lacks.
    fn try_from(value: i32) -> Result<SortOrder, Error> {
        match value {
            0 => Ok(SortOrder::None),
            1 => Ok(SortOrder::Ascend),
            2 => Ok(SortOrder::Descend),
            _ => Err(Error::InvalidSortOption),
        }
    }
}

impl TryFrom<i32> for SortTarget {
    type Error = Error;

    /// From etcd's enumeration; [`Error::InvalidSortOption`] for a number that it lacks.
    fn try_from(value: i32) -> Result<SortTarget, Error> {
        match value {
            0 => Ok(SortTarget::Key),
            1 => Ok(SortTarget::Version),
            2 => Ok(SortTarget::CreateRevision),
            3 => Ok(SortTarget::ModRevision),
            4 => Ok(SortTarget::Value),
            _ => Err(Error::InvalidSortOption),
        }
    }
}

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// The new value; empty if `ignore_value`.
    pub value: Bytes,
    /// The lease to attach the key to, which replaces the one that it had. The store records the
    /// attachment; whether such a lease exists is not its to say.
    pub lease: Option<LeaseId>,
    /// Answers with the key as it was before.
    pub prev_kv: bool,
    /// Keeps the key's value. The key must exist.
    pub ignore_value: bool,
    /// Keeps the key's lease. The key must exist.
    pub ignore_lease: bool,
}

/// Deletes one key or a range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteRangeRequest {
    /// The key, or the first key of the range.
    pub key: Bytes,
    /// The range's end, by etcd's convention (see the module).
    pub range_end: Bytes,
    /// Answers with the deleted keys as they were.
    pub prev_kv: bool,
}

/// Runs `success` if all compares hold, else `failure`, as one atomic step.
///
/// All compares, those of nested transactions too, judge the store as it was before the
/// transaction; ranges see what was written before them within it. Both as in etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnRequest {
    /// The conditions, joined by 'and'; none at all hold.
    pub compare: Vec<Compare>,
    /// What runs when the conditions hold.
    pub success: Vec<RequestOp>,
    /// What runs when they do not.
    pub failure: Vec<RequestOp>,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOp {
    /// Reads keys.
    Range(RangeRequest),
    /// Writes a key.
    Put(PutRequest),
    /// Deletes keys.
    DeleteRange(DeleteRangeRequest),
    /// Runs a transaction within the transaction.
    Txn(TxnRequest),
}

/// One condition of a transaction: `key's target` `result` `target's operand`.
///
/// Over a range it holds if it holds for every key there. Where there is no key, versions,
/// revisions and leases compare as zero, and a compare of values fails, whatever its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key, or the first key of the range.
    pub key: Bytes,
    /// The range's end, by etcd's convention (see the module).
    pub range_end: Bytes,
    /// The relation that must hold.
    pub result: CompareResult,
    /// What of the key is compared, and with what.
    pub target: CompareTarget,
}

/// The relation of the key's side (left) to the operand (right).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareResult {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `!=`
    NotEqual,
}

/// What a condition compares, with its operand as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompareTarget {
    /// The number of writes since the key was created; 0: it does not exist.
    Version(i64),
    /// The revision that created the key; 0: it does not exist.
    CreateRevision(i64),
    /// The revision that last wrote the key; 0: it does not exist.
    ModRevision(i64),
    /// The value, in the order of its bytes.
    Value(Bytes),
    /// The lease's id; 0: none.
    Lease(i64),
}

/// Gives up the history below a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactRequest {
    /// The oldest revision that stays readable.
    pub revision: Revision,
}
