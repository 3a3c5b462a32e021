//! A member's answers as the messages of etcd's KV service.

use quorate_mvcc::{
    DeleteRangeResponse, KeyValue, LeaseId, PutResponse, RangeResponse, ResponseOp, Revision,
    TxnResponse,
};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::ResponseHeader;
use quorate_proto::mvccpb;

pub(super) fn from_range(header: ResponseHeader, range: RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: range.kvs.into_iter().map(from_key_value).collect(),
        more: range.more,
        count: count(range.count),
    }
}

pub(super) fn from_put(header: ResponseHeader, put: PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: put.prev_kv.map(from_key_value) }
}

pub(super) fn from_delete_range(
    header: ResponseHeader,
    delete: DeleteRangeResponse,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: count(delete.deleted),
        prev_kvs: delete.prev_kvs.into_iter().map(from_key_value).collect(),
    }
}

pub(super) fn from_txn(header: ResponseHeader, txn: TxnResponse) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(header),
        succeeded: txn.succeeded,
        responses: txn.responses.into_iter().map(from_operation).collect(),
    }
}

/// As etcd fills them, the headers within a transaction say the revision and nothing else.
fn from_operation(operation: ResponseOp) -> pb::ResponseOp {
    use pb::response_op::Response;
    let header = |revision: Revision| ResponseHeader { revision: revision.0, ..Default::default() };
    let response = match operation {
        ResponseOp::Range(range) => {
            Response::ResponseRange(from_range(header(range.revision), range))
        }
        ResponseOp::Put(put) => Response::ResponsePut(from_put(header(put.revision), put)),
        ResponseOp::DeleteRange(delete) => {
            Response::ResponseDeleteRange(from_delete_range(header(delete.revision), delete))
        }
        ResponseOp::Txn(txn) => Response::ResponseTxn(from_txn(header(txn.revision), txn)),
    };
    pb::ResponseOp { response: Some(response) }
}

fn from_key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        value: kv.value,
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        lease: LeaseId::to_wire(kv.lease),
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).expect("a store has fewer than 2^63 keys")
}
