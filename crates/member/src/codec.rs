//! Requests as log entries: etcd's `InternalRaftRequest`, so that etcd's own tools can read them.
//!
//! Owns both directions. What cannot be said on etcd's wire cannot be said in a [`Request`]
//! either, so that encoding never fails.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_mvcc as mvcc;
use quorate_mvcc::{LeaseId, Revision};
use quorate_proto::etcdserverpb as pb;
use quorate_raft::NodeId;

use crate::proposals::RequestId;
use crate::request::Request;

/// Why an entry is not a request that a member can apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// It is not protobuf of that message.
    Malformed(prost::DecodeError),
    /// It has no header, or no request that this version knows.
    Unknown,
    /// An enumeration has a value that the protocol does not define.
    Enumeration(&'static str, i32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed(error) => write!(f, "not an InternalRaftRequest: {error}"),
            DecodeError::Unknown => f.write_str("it holds no request that this version knows"),
            DecodeError::Enumeration(name, value) => write!(f, "{value} is no {name}"),
        }
    }
}

/// A write as the payload of an entry, with the member that its client waits at.
///
/// # Panics
/// If it is not a write to the store.
pub(crate) fn encode(member: NodeId, id: RequestId, request: &Request) -> Bytes {
    let header =
        pb::RequestHeader { id: id.0, requester_member_id: member.0, ..Default::default() };
    let mut message = pb::InternalRaftRequest { header: Some(header), ..Default::default() };
    match request {
        Request::Put(put) => message.put = Some(from_put(put)),
        Request::DeleteRange(delete) => message.delete_range = Some(from_delete_range(delete)),
        Request::Txn(txn) => message.txn = Some(from_txn(txn)),
        Request::Compact(compact) => {
            let revision = compact.revision.0;
            message.compaction = Some(pb::CompactionRequest { revision, physical: false });
        }
        Request::Range(_) | Request::ChangeMembers(_) | Request::TransferLeadership(_) => {
            unreachable!("it is not a write to the store")
        }
    }
    Bytes::from(message.encode_to_vec())
}

/// The write in an entry's payload. Keys and values share the payload's memory.
pub(crate) fn decode(payload: &Bytes) -> Result<(NodeId, RequestId, Request), DecodeError> {
    let message =
        pb::InternalRaftRequest::decode(payload.clone()).map_err(DecodeError::Malformed)?;
    let header = message.header.ok_or(DecodeError::Unknown)?;
    let request = if let Some(put) = message.put {
        Request::Put(to_put(put))
    } else if let Some(txn) = message.txn {
        Request::Txn(to_txn(txn)?)
    } else if let Some(delete) = message.delete_range {
        Request::DeleteRange(to_delete_range(delete))
    } else if let Some(compaction) = message.compaction {
        Request::Compact(mvcc::CompactRequest { revision: Revision(compaction.revision) })
    } else {
        return Err(DecodeError::Unknown);
    };
    Ok((NodeId(header.requester_member_id), RequestId(header.id), request))
}

fn from_put(put: &mvcc::PutRequest) -> pb::PutRequest {
    pb::PutRequest {
        key: put.key.clone(),
        value: put.value.clone(),
        lease: LeaseId::to_wire(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

fn to_put(put: pb::PutRequest) -> mvcc::PutRequest {
    mvcc::PutRequest {
        key: put.key,
        value: put.value,
        lease: LeaseId::from_wire(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

fn from_delete_range(delete: &mvcc::DeleteRangeRequest) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: delete.key.clone(),
        range_end: delete.range_end.clone(),
        prev_kv: delete.prev_kv,
    }
}

fn to_delete_range(delete: pb::DeleteRangeRequest) -> mvcc::DeleteRangeRequest {
    mvcc::DeleteRangeRequest {
        key: delete.key,
        range_end: delete.range_end,
        prev_kv: delete.prev_kv,
    }
}

fn from_range(range: &mvcc::RangeRequest) -> pb::RangeRequest {
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

fn to_range(range: pb::RangeRequest) -> Result<mvcc::RangeRequest, DecodeError> {
    let sort_order = mvcc::SortOrder::try_from(range.sort_order)
        .map_err(|_| DecodeError::Enumeration("sort order", range.sort_order))?;
    let sort_target = mvcc::SortTarget::try_from(range.sort_target)
        .map_err(|_| DecodeError::Enumeration("sort target", range.sort_target))?;
    Ok(mvcc::RangeRequest {
        key: range.key,
        range_end: range.range_end,
        // Below zero is the newest, like zero.
        revision: Revision::from_wire(range.revision.max(0)),
        limit: u64::try_from(range.limit).unwrap_or(0),
        sort_target,
        sort_order,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: Revision::from_wire(range.min_mod_revision),
        max_mod_revision: Revision::from_wire(range.max_mod_revision),
        min_create_revision: Revision::from_wire(range.min_create_revision),
        max_create_revision: Revision::from_wire(range.max_create_revision),
    })
}

fn from_sort_order(order: mvcc::SortOrder) -> pb::range_request::SortOrder {
    match order {
        mvcc::SortOrder::None => pb::range_request::SortOrder::None,
        mvcc::SortOrder::Ascend => pb::range_request::SortOrder::Ascend,
        mvcc::SortOrder::Descend => pb::range_request::SortOrder::Descend,
    }
}

fn from_sort_target(target: mvcc::SortTarget) -> pb::range_request::SortTarget {
    match target {
        mvcc::SortTarget::Key => pb::range_request::SortTarget::Key,
        mvcc::SortTarget::Version => pb::range_request::SortTarget::Version,
        mvcc::SortTarget::CreateRevision => pb::range_request::SortTarget::Create,
        mvcc::SortTarget::ModRevision => pb::range_request::SortTarget::Mod,
        mvcc::SortTarget::Value => pb::range_request::SortTarget::Value,
    }
}

fn from_txn(txn: &mvcc::TxnRequest) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compare.iter().map(from_compare).collect(),
        success: txn.success.iter().map(from_operation).collect(),
        failure: txn.failure.iter().map(from_operation).collect(),
    }
}

fn to_txn(txn: pb::TxnRequest) -> Result<mvcc::TxnRequest, DecodeError> {
    Ok(mvcc::TxnRequest {
        compare: txn.compare.into_iter().map(to_compare).collect::<Result<_, _>>()?,
        success: txn.success.into_iter().map(to_operation).collect::<Result<_, _>>()?,
        failure: txn.failure.into_iter().map(to_operation).collect::<Result<_, _>>()?,
    })
}

fn from_operation(operation: &mvcc::RequestOp) -> pb::RequestOp {
    use pb::request_op::Request as Wire;
    let request = match operation {
        mvcc::RequestOp::Range(range) => Wire::RequestRange(from_range(range)),
        mvcc::RequestOp::Put(put) => Wire::RequestPut(from_put(put)),
        mvcc::RequestOp::DeleteRange(delete) => Wire::RequestDeleteRange(from_delete_range(delete)),
        mvcc::RequestOp::Txn(txn) => Wire::RequestTxn(from_txn(txn)),
    };
    pb::RequestOp { request: Some(request) }
}

fn to_operation(operation: pb::RequestOp) -> Result<mvcc::RequestOp, DecodeError> {
    use pb::request_op::Request as Wire;
    Ok(match operation.request.ok_or(DecodeError::Unknown)? {
        Wire::RequestRange(range) => mvcc::RequestOp::Range(to_range(range)?),
        Wire::RequestPut(put) => mvcc::RequestOp::Put(to_put(put)),
        Wire::RequestDeleteRange(delete) => mvcc::RequestOp::DeleteRange(to_delete_range(delete)),
        Wire::RequestTxn(txn) => mvcc::RequestOp::Txn(to_txn(txn)?),
    })
}

fn from_compare(compare: &mvcc::Compare) -> pb::Compare {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match compare.result {
        mvcc::CompareResult::Equal => CompareResult::Equal,
        mvcc::CompareResult::Greater => CompareResult::Greater,
        mvcc::CompareResult::Less => CompareResult::Less,
        mvcc::CompareResult::NotEqual => CompareResult::NotEqual,
    };
    let (target, operand) = match &compare.target {
        mvcc::CompareTarget::Version(version) => {
            (CompareTarget::Version, TargetUnion::Version(*version))
        }
        mvcc::CompareTarget::CreateRevision(revision) => {
            (CompareTarget::Create, TargetUnion::CreateRevision(*revision))
        }
        mvcc::CompareTarget::ModRevision(revision) => {
            (CompareTarget::Mod, TargetUnion::ModRevision(*revision))
        }
        mvcc::CompareTarget::Value(value) => {
            (CompareTarget::Value, TargetUnion::Value(value.clone()))
        }
        mvcc::CompareTarget::Lease(lease) => (CompareTarget::Lease, TargetUnion::Lease(*lease)),
    };
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: compare.key.clone(),
        range_end: compare.range_end.clone(),
        target_union: Some(operand),
    }
}

/// The target decides; an operand that is missing, or another target's, counts as zero or empty,
/// as it does in etcd.
fn to_compare(compare: pb::Compare) -> Result<mvcc::Compare, DecodeError> {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let result = match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => mvcc::CompareResult::Equal,
        Ok(CompareResult::Greater) => mvcc::CompareResult::Greater,
        Ok(CompareResult::Less) => mvcc::CompareResult::Less,
        Ok(CompareResult::NotEqual) => mvcc::CompareResult::NotEqual,
        Err(_) => return Err(DecodeError::Enumeration("compare result", compare.result)),
    };
    let operand = compare.target_union;
    let target = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => mvcc::CompareTarget::Version(match operand {
            Some(TargetUnion::Version(version)) => version,
            _ => 0,
        }),
        Ok(CompareTarget::Create) => mvcc::CompareTarget::CreateRevision(match operand {
            Some(TargetUnion::CreateRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(CompareTarget::Mod) => mvcc::CompareTarget::ModRevision(match operand {
            Some(TargetUnion::ModRevision(revision)) => revision,
            _ => 0,
        }),
        Ok(CompareTarget::Value) => mvcc::CompareTarget::Value(match operand {
            Some(TargetUnion::Value(value)) => value,
            _ => Bytes::new(),
        }),
        Ok(CompareTarget::Lease) => mvcc::CompareTarget::Lease(match operand {
            Some(TargetUnion::Lease(lease)) => lease,
            _ => 0,
        }),
        Err(_) => return Err(DecodeError::Enumeration("compare target", compare.target)),
    };
    Ok(mvcc::Compare { key: compare.key, range_end: compare.range_end, result, target })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..5).prop_map(Bytes::from)
    }

    fn lease() -> impl Strategy<Value = Option<LeaseId>> {
        any::<i64>().prop_map(LeaseId::from_wire)
    }

    fn revision() -> impl Strategy<Value = Option<Revision>> {
        (0i64..9).prop_map(Revision::from_wire)
    }

    fn put() -> impl Strategy<Value = mvcc::PutRequest> {
        (bytes(), bytes(), lease(), any::<[bool; 3]>()).prop_map(|(key, value, lease, flags)| {
            let [prev_kv, ignore_value, ignore_lease] = flags;
            mvcc::PutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease }
        })
    }

    fn delete_range() -> impl Strategy<Value = mvcc::DeleteRangeRequest> {
        (bytes(), bytes(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| {
            mvcc::DeleteRangeRequest { key, range_end, prev_kv }
        })
    }

    fn range() -> impl Strategy<Value = mvcc::RangeRequest> {
        let numbers = (revision(), 0u64..9, 0i32..5, 0i32..3);
        let bounds = (revision(), revision(), revision(), revision());
        (bytes(), bytes(), numbers, any::<[bool; 3]>(), bounds).prop_map(
            |(key, range_end, (revision, limit, target, order), flags, bounds)| {
                mvcc::RangeRequest {
                    key,
                    range_end,
                    revision,
                    limit,
                    sort_target: target.try_into().expect("a target"),
                    sort_order: order.try_into().expect("an order"),
                    serializable: flags[0],
                    keys_only: flags[1],
                    count_only: flags[2],
                    min_mod_revision: bounds.0,
                    max_mod_revision: bounds.1,
                    min_create_revision: bounds.2,
                    max_create_revision: bounds.3,
                }
            },
        )
    }

    fn compare() -> impl Strategy<Value = mvcc::Compare> {
        let result = prop_oneof![
            Just(mvcc::CompareResult::Equal),
            Just(mvcc::CompareResult::Greater),
            Just(mvcc::CompareResult::Less),
            Just(mvcc::CompareResult::NotEqual),
        ];
        let target = prop_oneof![
            any::<i64>().prop_map(mvcc::CompareTarget::Version),
            any::<i64>().prop_map(mvcc::CompareTarget::CreateRevision),
            any::<i64>().prop_map(mvcc::CompareTarget::ModRevision),
            bytes().prop_map(mvcc::CompareTarget::Value),
            any::<i64>().prop_map(mvcc::CompareTarget::Lease),
        ];
        (bytes(), bytes(), result, target).prop_map(|(key, range_end, result, target)| {
            mvcc::Compare { key, range_end, result, target }
        })
    }

    fn txn() -> impl Strategy<Value = mvcc::TxnRequest> {
        let leaf = prop_oneof![
            range().prop_map(mvcc::RequestOp::Range),
            put().prop_map(mvcc::RequestOp::Put),
            delete_range().prop_map(mvcc::RequestOp::DeleteRange),
        ];
        let nested = leaf.clone().prop_recursive(3, 12, 3, |inner| {
            branches(inner.boxed()).prop_map(mvcc::RequestOp::Txn)
        });
        branches(prop_oneof![leaf, nested].boxed())
    }

    fn branches(
        operation: BoxedStrategy<mvcc::RequestOp>,
    ) -> impl Strategy<Value = mvcc::TxnRequest> {
        let list = prop::collection::vec(operation, 0..3);
        (prop::collection::vec(compare(), 0..3), list.clone(), list)
            .prop_map(|(compare, success, failure)| mvcc::TxnRequest { compare, success, failure })
    }

    fn request() -> impl Strategy<Value = Request> {
        prop_oneof![
            put().prop_map(Request::Put),
            delete_range().prop_map(Request::DeleteRange),
            txn().prop_map(Request::Txn),
            any::<i64>().prop_map(|revision| {
                Request::Compact(mvcc::CompactRequest { revision: Revision(revision) })
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_write_is_decoded_as_it_was_encoded(request in request(), id: u64, member: u64) {
            let payload = encode(NodeId(member), RequestId(id), &request);
            prop_assert_eq!(decode(&payload), Ok((NodeId(member), RequestId(id), request)));
        }

        #[test]
        fn no_payload_makes_the_decoder_panic(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&Bytes::from(payload));
        }
    }

    #[test]
    fn what_holds_no_request_is_refused() {
        assert_eq!(decode(&Bytes::new()), Err(DecodeError::Unknown));
        let header = Some(pb::RequestHeader::default());
        let empty = pb::InternalRaftRequest { header, ..Default::default() };
        assert_eq!(decode(&Bytes::from(empty.encode_to_vec())), Err(DecodeError::Unknown));
    }
}
