//! Requests as etcd's messages, in both directions.
//!
//! Owns shapes only: what cannot be said in a member's types is refused here, everything else is
//! for the store to judge.

use quorate_mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, Error, LeaseId, PutRequest,
    RangeRequest, RequestOp, Revision, SortOrder, SortTarget, TxnRequest,
};
use quorate_proto::etcdserverpb as pb;

/// Why a message is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// As the store would say.
    #[error(transparent)]
    Store(#[from] Error),
    /// A comparison with a result or a target that the API does not define.
    #[error("etcdserver: invalid {part} {value} of a comparison in a txn request")]
    Compare {
        /// Which part.
        part: &'static str,
        /// Its number.
        value: i32,
    },
    /// Transactions in transactions, deeper than anybody needs.
    #[error("etcdserver: transactions are nested more than {MAX_TXN_DEPTH} deep")]
    Nesting,
}

/// How deep transactions may nest. The decoder has a limit as well, but the judgement of what a
/// transaction writes recurses too, on a thread that all clients share.
const MAX_TXN_DEPTH: usize = 32;

/// A range.
///
/// # Errors
/// If it is to be sorted in a way that the API does not define.
pub fn to_range(range: pb::RangeRequest) -> Result<RangeRequest, Malformed> {
    Ok(RangeRequest {
        key: range.key,
        range_end: range.range_end,
        // Below zero is the newest, like zero.
        revision: Revision::from_wire(range.revision.max(0)),
        // Below zero is no limit, like zero.
        limit: u64::try_from(range.limit).unwrap_or(0),
        sort_target: SortTarget::try_from(range.sort_target)?,
        sort_order: SortOrder::try_from(range.sort_order)?,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: Revision::from_wire(range.min_mod_revision),
        max_mod_revision: Revision::from_wire(range.max_mod_revision),
        min_create_revision: Revision::from_wire(range.min_create_revision),
        max_create_revision: Revision::from_wire(range.max_create_revision),
    })
}

/// A put, which says nothing that the API does not define.
pub fn to_put(put: pb::PutRequest) -> PutRequest {
    PutRequest {
        key: put.key,
        value: put.value,
        lease: LeaseId::from_wire(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

/// A deletion, which says nothing that the API does not define.
pub fn to_delete_range(delete: pb::DeleteRangeRequest) -> DeleteRangeRequest {
    DeleteRangeRequest { key: delete.key, range_end: delete.range_end, prev_kv: delete.prev_kv }
}

/// A transaction.
///
/// # Errors
/// If something in it is not what the API defines, or it nests too deep.
pub fn to_txn(txn: pb::TxnRequest) -> Result<TxnRequest, Malformed> {
    to_nested_txn(txn, MAX_TXN_DEPTH)
}

fn to_nested_txn(txn: pb::TxnRequest, depth: usize) -> Result<TxnRequest, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed::Nesting)?;
    let branch = |operations: Vec<pb::RequestOp>| {
        operations.into_iter().map(|operation| to_operation(operation, depth)).collect()
    };
    let compare: Result<_, Malformed> = txn.compare.into_iter().map(to_compare).collect();
    let success: Result<_, Malformed> = branch(txn.success);
    Ok(TxnRequest { compare: compare?, success: success?, failure: branch(txn.failure)? })
}

fn to_operation(operation: pb::RequestOp, depth: usize) -> Result<RequestOp, Malformed> {
    use pb::request_op::Request;
    Ok(match operation.request {
        Some(Request::RequestRange(range)) => RequestOp::Range(to_range(range)?),
        Some(Request::RequestPut(put)) => RequestOp::Put(to_put(put)),
        Some(Request::RequestDeleteRange(delete)) => {
            RequestOp::DeleteRange(to_delete_range(delete))
        }
        Some(Request::RequestTxn(txn)) => RequestOp::Txn(to_nested_txn(txn, depth)?),
        // As etcd says it.
        None => return Err(Error::KeyNotFound.into()),
    })
}

/// The target decides; an operand that is missing, or another target's, counts as zero or empty.
fn to_compare(compare: pb::Compare) -> Result<Compare, Malformed> {
    use pb::compare::CompareResult as Result;
    use pb::compare::{CompareTarget as Target, TargetUnion};
    let unknown = |part, value| move |_| Malformed::Compare { part, value };
    let result = Result::try_from(compare.result).map_err(unknown("comparison", compare.result))?;
    let result = match result {
        Result::Equal => CompareResult::Equal,
        Result::Greater => CompareResult::Greater,
        Result::Less => CompareResult::Less,
        Result::NotEqual => CompareResult::NotEqual,
    };
    let target = Target::try_from(compare.target).map_err(unknown("target", compare.target))?;
    let target = match (target, compare.target_union) {
        (Target::Version, Some(TargetUnion::Version(version))) => CompareTarget::Version(version),
        (Target::Version, _) => CompareTarget::Version(0),
        (Target::Create, Some(TargetUnion::CreateRevision(revision))) => {
            CompareTarget::CreateRevision(revision)
        }
        (Target::Create, _) => CompareTarget::CreateRevision(0),
        (Target::Mod, Some(TargetUnion::ModRevision(revision))) => {
            CompareTarget::ModRevision(revision)
        }
        (Target::Mod, _) => CompareTarget::ModRevision(0),
        (Target::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Target::Value, _) => CompareTarget::Value(bytes::Bytes::new()),
        (Target::Lease, Some(TargetUnion::Lease(lease))) => CompareTarget::Lease(lease),
        (Target::Lease, _) => CompareTarget::Lease(0),
    };
    Ok(Compare { key: compare.key, range_end: compare.range_end, result, target })
}

pub(crate) fn from_put(put: &PutRequest) -> pb::PutRequest {
    pb::PutRequest {
        key: put.key.clone(),
        value: put.value.clone(),
        lease: LeaseId::to_wire(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

pub(crate) fn from_delete_range(delete: &DeleteRangeRequest) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: delete.key.clone(),
        range_end: delete.range_end.clone(),
        prev_kv: delete.prev_kv,
    }
}

pub(crate) fn from_txn(txn: &TxnRequest) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compare.iter().map(from_compare).collect(),
        success: txn.success.iter().map(from_operation).collect(),
        failure: txn.failure.iter().map(from_operation).collect(),
    }
}

fn from_range(range: &RangeRequest) -> pb::RangeRequest {
    let wire = |revision: Option<Revision>| revision.map_or(0, |revision| revision.0);
    pb::RangeRequest {
        key: range.key.clone(),
        range_end: range.range_end.clone(),
        limit: i64::try_from(range.limit).unwrap_or(i64::MAX),
        revision: wire(range.revision),
        sort_order: from_sort_order(range.sort_order) as i32,
        sort_target: from_sort_target(range.sort_target) as i32,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: wire(range.min_mod_revision),
        max_mod_revision: wire(range.max_mod_revision),
        min_create_revision: wire(range.min_create_revision),
        max_create_revision: wire(range.max_create_revision),
    }
}

fn from_sort_order(order: SortOrder) -> pb::range_request::SortOrder {
    match order {
        SortOrder::None => pb::range_request::SortOrder::None,
        SortOrder::Ascend => pb::range_request::SortOrder::Ascend,
        SortOrder::Descend => pb::range_request::SortOrder::Descend,
    }
}

fn from_sort_target(target: SortTarget) -> pb::range_request::SortTarget {
    match target {
        SortTarget::Key => pb::range_request::SortTarget::Key,
        SortTarget::Version => pb::range_request::SortTarget::Version,
        SortTarget::CreateRevision => pb::range_request::SortTarget::Create,
        SortTarget::ModRevision => pb::range_request::SortTarget::Mod,
        SortTarget::Value => pb::range_request::SortTarget::Value,
    }
}

fn from_operation(operation: &RequestOp) -> pb::RequestOp {
    use pb::request_op::Request as Wire;
    let request = match operation {
        RequestOp::Range(range) => Wire::RequestRange(from_range(range)),
        RequestOp::Put(put) => Wire::RequestPut(from_put(put)),
        RequestOp::DeleteRange(delete) => Wire::RequestDeleteRange(from_delete_range(delete)),
        RequestOp::Txn(txn) => Wire::RequestTxn(from_txn(txn)),
    };
    pb::RequestOp { request: Some(request) }
}

fn from_compare(compare: &Compare) -> pb::Compare {
    use pb::compare::{CompareResult as Result, CompareTarget as Target, TargetUnion};
    let result = match compare.result {
        CompareResult::Equal => Result::Equal,
        CompareResult::Greater => Result::Greater,
        CompareResult::Less => Result::Less,
        CompareResult::NotEqual => Result::NotEqual,
    };
    let (target, operand) = match &compare.target {
        CompareTarget::Version(version) => (Target::Version, TargetUnion::Version(*version)),
        CompareTarget::CreateRevision(revision) => {
            (Target::Create, TargetUnion::CreateRevision(*revision))
        }
        CompareTarget::ModRevision(revision) => (Target::Mod, TargetUnion::ModRevision(*revision)),
        CompareTarget::Value(value) => (Target::Value, TargetUnion::Value(value.clone())),
        CompareTarget::Lease(lease) => (Target::Lease, TargetUnion::Lease(*lease)),
    };
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: compare.key.clone(),
        range_end: compare.range_end.clone(),
        target_union: Some(operand),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_does_not_define_is_refused_as_etcd_refuses_it() {
        for range in [
            pb::RangeRequest { sort_order: 3, ..Default::default() },
            pb::RangeRequest { sort_target: 5, ..Default::default() },
            pb::RangeRequest { sort_order: -1, ..Default::default() },
        ] {
            assert_eq!(to_range(range), Err(Malformed::Store(Error::InvalidSortOption)));
        }
        let empty =
            pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
        assert_eq!(to_txn(empty), Err(Malformed::Store(Error::KeyNotFound)));
        for (compare, part) in [
            (pb::Compare { result: 4, ..Default::default() }, "comparison"),
            (pb::Compare { target: 5, ..Default::default() }, "target"),
        ] {
            let value = compare.result + compare.target;
            let txn = pb::TxnRequest { compare: vec![compare], ..Default::default() };
            assert_eq!(to_txn(txn), Err(Malformed::Compare { part, value }));
        }
    }

    #[test]
    fn numbers_below_zero_mean_what_zero_means() {
        let range = pb::RangeRequest { revision: -3, limit: -1, ..Default::default() };
        let range = to_range(range).expect("a range");
        assert_eq!((range.revision, range.limit), (None, 0));
    }

    #[test]
    fn transactions_nest_up_to_a_bound() {
        let nested = |depth: usize| {
            (1..depth).fold(pb::TxnRequest::default(), |inner, _| pb::TxnRequest {
                success: vec![pb::RequestOp {
                    request: Some(pb::request_op::Request::RequestTxn(inner)),
                }],
                ..Default::default()
            })
        };
        assert!(to_txn(nested(MAX_TXN_DEPTH)).is_ok());
        assert_eq!(to_txn(nested(MAX_TXN_DEPTH + 1)), Err(Malformed::Nesting));
    }
}
