//! Requests as log entries: etcd's `InternalRaftRequest`, so that etcd's own tools can read them.
//!
//! Owns both directions. What cannot be said on etcd's wire cannot be said in a [`Request`]
//! either, so that encoding never fails.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_mvcc as mvcc;
use quorate_mvcc::Revision;
use quorate_proto::etcdserverpb as pb;
use quorate_raft::NodeId;

use crate::proposals::RequestId;
use crate::request::Request;
use crate::wire::{self, Malformed};

/// Why an entry is not a request that a member can apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// It is not protobuf of that message.
    Malformed(prost::DecodeError),
    /// It has no header, or no request that this version knows.
    Unknown,
    /// Its request is not one that the API defines.
    Request(Malformed),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed(error) => write!(f, "not an InternalRaftRequest: {error}"),
            DecodeError::Unknown => f.write_str("it holds no request that this version knows"),
            DecodeError::Request(malformed) => malformed.fmt(f),
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
        Request::Put(put) => message.put = Some(wire::from_put(put)),
        Request::DeleteRange(delete) => {
            message.delete_range = Some(wire::from_delete_range(delete))
        }
        Request::Txn(txn) => message.txn = Some(wire::from_txn(txn)),
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
        Request::Put(wire::to_put(put))
    } else if let Some(txn) = message.txn {
        Request::Txn(wire::to_txn(txn).map_err(DecodeError::Request)?)
    } else if let Some(delete) = message.delete_range {
        Request::DeleteRange(wire::to_delete_range(delete))
    } else if let Some(compaction) = message.compaction {
        Request::Compact(mvcc::CompactRequest { revision: Revision(compaction.revision) })
    } else {
        return Err(DecodeError::Unknown);
    };
    Ok((NodeId(header.requester_member_id), RequestId(header.id), request))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quorate_mvcc::LeaseId;

    use super::*;

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
