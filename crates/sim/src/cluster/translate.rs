//! Between what a client plans, what a member is asked, and what a history says.

use bytes::Bytes;
use quorate_history as history;
use quorate_history::{Data, EtcdOp, EtcdResponse, EtcdResult};
use quorate_member::{Request, Response, ResponseBody};
use quorate_mvcc as mvcc;
use quorate_mvcc::{LeaseId, Revision};

use crate::schedule::{Action, Key};

use super::client::Knowledge;

/// The first key of the workload's keyspace, and the end behind its last.
const FIRST_KEY: &[u8] = b"k";
const END_KEY: &[u8] = b"l";

/// The request that carries an action out, given what the client knows.
pub(crate) fn to_request(action: &Action, knowledge: &Knowledge) -> Request {
    match action {
        Action::Put(key, value) => Request::Put(put(*key, value.bytes())),
        Action::Get(key) => Request::Range(get(*key)),
        Action::GetSerializable(key) => {
            Request::Range(mvcc::RangeRequest { serializable: true, ..get(*key) })
        }
        Action::GetBack(key, back) => {
            let revision = (knowledge.revision - i64::from(*back)).max(1);
            Request::Range(mvcc::RangeRequest { revision: Some(Revision(revision)), ..get(*key) })
        }
        Action::List(limit) => Request::Range(list(*limit)),
        Action::ListSerializable(limit) => {
            Request::Range(mvcc::RangeRequest { serializable: true, ..list(*limit) })
        }
        Action::Delete(key) => Request::DeleteRange(mvcc::DeleteRangeRequest {
            key: key.bytes(),
            range_end: Bytes::new(),
            prev_kv: true,
        }),
        Action::DeleteRange(from, to) => Request::DeleteRange(mvcc::DeleteRangeRequest {
            key: from.bytes(),
            range_end: to.bytes(),
            prev_kv: true,
        }),
        Action::CompareAndSwap(key, value) => {
            let known = knowledge.mod_revision(&key.bytes());
            Request::Txn(mvcc::TxnRequest {
                compare: vec![compare(*key, mvcc::CompareTarget::ModRevision(known))],
                success: vec![mvcc::RequestOp::Put(put(*key, value.bytes()))],
                failure: vec![mvcc::RequestOp::Range(get(*key))],
            })
        }
        Action::WriteBoth(one, other, value) => Request::Txn(mvcc::TxnRequest {
            compare: vec![mvcc::Compare {
                result: mvcc::CompareResult::Greater,
                ..compare(*one, mvcc::CompareTarget::Version(0))
            }],
            success: vec![
                mvcc::RequestOp::Put(put(*one, value.bytes())),
                mvcc::RequestOp::Put(put(*other, value.bytes())),
                mvcc::RequestOp::Range(get(*one)),
            ],
            failure: vec![mvcc::RequestOp::Put(put(*other, value.bytes()))],
        }),
        Action::ReadBoth(one, other) => Request::Txn(mvcc::TxnRequest {
            compare: Vec::new(),
            success: vec![mvcc::RequestOp::Range(get(*one)), mvcc::RequestOp::Range(get(*other))],
            failure: Vec::new(),
        }),
        Action::Compact(keep) => {
            let revision = (knowledge.revision - i64::from(*keep)).max(1);
            Request::Compact(mvcc::CompactRequest { revision: Revision(revision) })
        }
    }
}

fn put(key: Key, value: Bytes) -> mvcc::PutRequest {
    mvcc::PutRequest { key: key.bytes(), value, prev_kv: true, ..mvcc::PutRequest::default() }
}

fn get(key: Key) -> mvcc::RangeRequest {
    mvcc::RangeRequest { key: key.bytes(), ..mvcc::RangeRequest::default() }
}

fn list(limit: u32) -> mvcc::RangeRequest {
    mvcc::RangeRequest {
        key: Bytes::from_static(FIRST_KEY),
        range_end: Bytes::from_static(END_KEY),
        limit: u64::from(limit),
        ..mvcc::RangeRequest::default()
    }
}

fn compare(key: Key, target: mvcc::CompareTarget) -> mvcc::Compare {
    mvcc::Compare {
        key: key.bytes(),
        range_end: Bytes::new(),
        result: mvcc::CompareResult::Equal,
        target,
    }
}

/// What the history says that was asked.
pub(crate) fn to_operation(request: &Request) -> EtcdOp {
    match request {
        Request::Range(range) => EtcdOp::Range(from_range(range)),
        Request::Put(put) => EtcdOp::Put(from_put(put)),
        Request::DeleteRange(delete) => EtcdOp::DeleteRange(from_delete(delete)),
        Request::Txn(txn) => EtcdOp::Txn(from_txn(txn)),
        Request::Compact(compact) => EtcdOp::Compact { at: revision(compact.revision) },
        Request::ChangeMembers(_) | Request::TransferLeadership(_) => {
            unreachable!("clients of the store do not change the cluster")
        }
    }
}

fn data(bytes: &Bytes) -> Data {
    Data(bytes.clone())
}

fn range_end(bytes: &Bytes) -> Option<Data> {
    (!bytes.is_empty()).then(|| data(bytes))
}

/// # Panics
/// If the revision is negative, which no workload of ours asks for and no store answers.
fn revision(revision: Revision) -> history::Revision {
    history::Revision(u64::try_from(revision.0).expect("revisions in a history are not negative"))
}

fn lease(lease: Option<LeaseId>) -> Option<history::LeaseId> {
    lease.map(|lease| history::LeaseId(LeaseId::to_wire(Some(lease))))
}

fn from_range(range: &mvcc::RangeRequest) -> history::Range {
    history::Range {
        key: data(&range.key),
        range_end: range_end(&range.range_end),
        at: range.revision.map(revision),
        limit: range.limit,
        serializable: range.serializable,
        count_only: range.count_only,
        keys_only: range.keys_only,
        sort: from_sort(range.sort_target, range.sort_order),
        min_mod: range.min_mod_revision.map(revision),
        max_mod: range.max_mod_revision.map(revision),
        min_create: range.min_create_revision.map(revision),
        max_create: range.max_create_revision.map(revision),
    }
}

fn from_sort(target: mvcc::SortTarget, order: mvcc::SortOrder) -> Option<history::Sort> {
    if (target, order) == (mvcc::SortTarget::Key, mvcc::SortOrder::None) {
        return None;
    }
    let target = match target {
        mvcc::SortTarget::Key => history::SortTarget::Key,
        mvcc::SortTarget::Version => history::SortTarget::Version,
        mvcc::SortTarget::CreateRevision => history::SortTarget::Create,
        mvcc::SortTarget::ModRevision => history::SortTarget::Mod,
        mvcc::SortTarget::Value => history::SortTarget::Value,
    };
    let order = match order {
        mvcc::SortOrder::None => history::SortOrder::None,
        mvcc::SortOrder::Ascend => history::SortOrder::Ascend,
        mvcc::SortOrder::Descend => history::SortOrder::Descend,
    };
    Some(history::Sort { target, order })
}

fn from_put(put: &mvcc::PutRequest) -> history::Put {
    history::Put {
        key: data(&put.key),
        value: data(&put.value),
        lease: lease(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

fn from_delete(delete: &mvcc::DeleteRangeRequest) -> history::DeleteRange {
    history::DeleteRange {
        key: data(&delete.key),
        range_end: range_end(&delete.range_end),
        prev_kv: delete.prev_kv,
    }
}

fn from_txn(txn: &mvcc::TxnRequest) -> history::Txn {
    let branch = |operations: &[mvcc::RequestOp]| {
        let operations = operations.iter().map(|operation| match operation {
            mvcc::RequestOp::Range(range) => EtcdOp::Range(from_range(range)),
            mvcc::RequestOp::Put(put) => EtcdOp::Put(from_put(put)),
            mvcc::RequestOp::DeleteRange(delete) => EtcdOp::DeleteRange(from_delete(delete)),
            mvcc::RequestOp::Txn(txn) => EtcdOp::Txn(from_txn(txn)),
        });
        operations.collect()
    };
    history::Txn {
        compare: txn.compare.iter().map(from_compare).collect(),
        then: branch(&txn.success),
        or_else: branch(&txn.failure),
    }
}

fn from_compare(compare: &mvcc::Compare) -> history::Compare {
    let number =
        |number: i64| u64::try_from(number).expect("the workload compares with numbers from 0 on");
    history::Compare {
        key: data(&compare.key),
        range_end: range_end(&compare.range_end),
        op: match compare.result {
            mvcc::CompareResult::Equal => history::Relation::Equal,
            mvcc::CompareResult::Greater => history::Relation::Greater,
            mvcc::CompareResult::Less => history::Relation::Less,
            mvcc::CompareResult::NotEqual => history::Relation::NotEqual,
        },
        target: match &compare.target {
            mvcc::CompareTarget::Version(version) => {
                history::CompareTarget::Version(history::Version(number(*version)))
            }
            mvcc::CompareTarget::CreateRevision(revision) => {
                history::CompareTarget::Create(history::Revision(number(*revision)))
            }
            mvcc::CompareTarget::ModRevision(revision) => {
                history::CompareTarget::Mod(history::Revision(number(*revision)))
            }
            mvcc::CompareTarget::Value(value) => history::CompareTarget::Value(data(value)),
            mvcc::CompareTarget::Lease(lease) => {
                history::CompareTarget::Lease(history::LeaseId(*lease))
            }
        },
    }
}

/// What the history says that was answered to `request`: everything that can be seen.
pub(crate) fn to_result(request: &Request, response: &Response) -> EtcdResult {
    EtcdResult {
        revision: Some(revision(response.body.revision())),
        member: Some(history::MemberId(response.member.0)),
        term: Some(history::Term(response.term.0)),
        response: match (request, &response.body) {
            (_, ResponseBody::Range(range)) => from_range_response(range),
            (Request::Put(asked), ResponseBody::Put(put)) => from_put_response(asked, put),
            (Request::DeleteRange(asked), ResponseBody::DeleteRange(delete)) => {
                from_delete_response(asked, delete)
            }
            (Request::Txn(asked), ResponseBody::Txn(txn)) => from_txn_response(asked, txn),
            (_, ResponseBody::Compact(_)) => EtcdResponse::Done {},
            (asked, answered) => unreachable!("{answered:?} does not answer {asked:?}"),
        },
    }
}

fn key_value(kv: &mvcc::KeyValue) -> history::KeyValue {
    history::KeyValue {
        key: data(&kv.key),
        value: Some(data(&kv.value)),
        create: Some(revision(kv.create_revision)),
        modified: Some(revision(kv.mod_revision)),
        version: Some(history::Version(u64::try_from(kv.version).expect("versions count from 1"))),
        lease: Some(lease(kv.lease).unwrap_or_default()),
    }
}

fn from_range_response(range: &mvcc::RangeResponse) -> EtcdResponse {
    EtcdResponse::Range(history::RangeResponse {
        kvs: Some(range.kvs.iter().map(key_value).collect()),
        count: Some(range.count),
        more: Some(range.more),
    })
}

fn from_put_response(asked: &mvcc::PutRequest, put: &mvcc::PutResponse) -> EtcdResponse {
    let observed = asked.prev_kv.then(|| put.prev_kv.as_ref().map(key_value));
    EtcdResponse::Put(history::PutResponse { prev_kv: observed })
}

fn from_delete_response(
    asked: &mvcc::DeleteRangeRequest,
    delete: &mvcc::DeleteRangeResponse,
) -> EtcdResponse {
    EtcdResponse::DeleteRange(history::DeleteRangeResponse {
        deleted: Some(delete.deleted),
        prev_kvs: asked.prev_kv.then(|| delete.prev_kvs.iter().map(key_value).collect()),
    })
}

fn from_txn_response(asked: &mvcc::TxnRequest, txn: &mvcc::TxnResponse) -> EtcdResponse {
    let branch = if txn.succeeded { &asked.success } else { &asked.failure };
    let responses = branch.iter().zip(&txn.responses).map(|pair| match pair {
        (_, mvcc::ResponseOp::Range(range)) => from_range_response(range),
        (mvcc::RequestOp::Put(asked), mvcc::ResponseOp::Put(put)) => from_put_response(asked, put),
        (mvcc::RequestOp::DeleteRange(asked), mvcc::ResponseOp::DeleteRange(delete)) => {
            from_delete_response(asked, delete)
        }
        (mvcc::RequestOp::Txn(asked), mvcc::ResponseOp::Txn(txn)) => from_txn_response(asked, txn),
        (asked, answered) => unreachable!("{answered:?} does not answer {asked:?}"),
    });
    EtcdResponse::Txn(history::TxnResponse {
        succeeded: Some(txn.succeeded),
        responses: Some(responses.collect()),
    })
}
