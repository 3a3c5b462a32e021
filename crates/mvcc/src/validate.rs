//! What makes a request invalid by itself, whatever the store holds.
//!
//! Owns etcd's rules for the shape of requests. A server calls these before it proposes, so that
//! an invalid request costs no log entry; the store calls them again when it applies, so that an
//! invalid entry has no effect on any member. The one rule that the store does not repeat is the
//! number of operations: its limit is a member's configuration, and members whose limits differ
//! must still apply alike.

use crate::error::Error;
use crate::key_range::KeyRange;
use crate::request::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use crate::write_set::WriteSet;

/// etcd's default for the operations in one list of a transaction.
pub const DEFAULT_MAX_TXN_OPERATIONS: usize = 128;

/// Judges a range.
///
/// # Errors
/// [`Error::EmptyKey`].
pub fn validate_range(request: &RangeRequest) -> Result<(), Error> {
    require_key(&request.key)
}

/// Judges a put.
///
/// # Errors
/// [`Error::EmptyKey`], [`Error::ValueProvided`], [`Error::LeaseProvided`].
pub fn validate_put(request: &PutRequest) -> Result<(), Error> {
    require_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease.is_some() {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

/// Judges a delete.
///
/// # Errors
/// [`Error::EmptyKey`].
pub fn validate_delete_range(request: &DeleteRangeRequest) -> Result<(), Error> {
    require_key(&request.key)
}

/// Judges a transaction as a whole, before it is proposed.
///
/// `max_operations` bounds the longest of its three lists; a nested transaction has what its
/// parent's longest list leaves over. [`DEFAULT_MAX_TXN_OPERATIONS`] is etcd's default.
///
/// # Errors
/// [`Error::TooManyOperations`], [`Error::DuplicateKey`], and those of its operations. As in etcd
/// the first in the order of the request is reported, duplicates last of all.
pub fn validate_txn(request: &TxnRequest, max_operations: usize) -> Result<(), Error> {
    check_operations(request, Some(max_operations))?;
    check_duplicates(request)
}

/// Judges a transaction when it is applied: all of [`validate_txn`] but the limit.
pub(crate) fn validate_applied_txn(request: &TxnRequest) -> Result<(), Error> {
    check_operations(request, None)?;
    check_duplicates(request)
}

fn require_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_operations(request: &TxnRequest, max_operations: Option<usize>) -> Result<(), Error> {
    let TxnRequest { compare, success, failure } = request;
    let longest = compare.len().max(success.len()).max(failure.len());
    let left = match max_operations {
        Some(max) => Some(max.checked_sub(longest).ok_or(Error::TooManyOperations)?),
        None => None,
    };
    for condition in compare {
        require_key(&condition.key)?;
    }
    for operation in success.iter().chain(failure) {
        match operation {
            RequestOp::Range(range) => validate_range(range)?,
            RequestOp::Put(put) => validate_put(put)?,
            RequestOp::DeleteRange(delete) => validate_delete_range(delete)?,
            RequestOp::Txn(txn) => check_operations(txn, left)?,
        }
    }
    Ok(())
}

fn check_duplicates(request: &TxnRequest) -> Result<(), Error> {
    for branch in [&request.success, &request.failure] {
        // Most branches write one key at most, and cannot write it twice.
        if may_write_twice(branch) {
            branch_writes(branch)?;
        }
    }
    Ok(())
}

fn may_write_twice(operations: &[RequestOp]) -> bool {
    let mut writes = 0;
    for operation in operations {
        writes += match operation {
            RequestOp::Range(_) => 0,
            RequestOp::Put(_) | RequestOp::DeleteRange(_) => 1,
            RequestOp::Txn(_) => 2,
        };
    }
    writes > 1
}

fn branch_writes(operations: &[RequestOp]) -> Result<WriteSet<'_>, Error> {
    let mut writes = WriteSet::default();
    for operation in operations {
        let is_new = match operation {
            RequestOp::Range(_) => true,
            RequestOp::Put(put) => writes.put(&put.key),
            RequestOp::DeleteRange(delete) => {
                writes.delete(KeyRange::new(&delete.key, &delete.range_end))
            }
            RequestOp::Txn(txn) => {
                let (success, failure) =
                    (branch_writes(&txn.success)?, branch_writes(&txn.failure)?);
                writes.either(success, failure)
            }
        };
        if !is_new {
            return Err(Error::DuplicateKey);
        }
    }
    Ok(writes)
}
