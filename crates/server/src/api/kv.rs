//! The KV service: reads, writes, transactions, compactions.

use quorate_member::{Request as MemberRequest, Response as MemberResponse, ResponseBody, wire};
use quorate_mvcc::{CompactRequest, Revision};
use quorate_proto::etcdserverpb as pb;
use tonic::{Request, Response, Status};

use super::{Identity, status, translate};
use crate::handle::MemberHandle;
use crate::stubs::etcdserverpb::kv_server::Kv;

/// The service at one member.
#[derive(Clone, Debug)]
pub(crate) struct KvService {
    member: MemberHandle,
    identity: Identity,
}

impl KvService {
    pub(crate) fn new(member: MemberHandle, identity: Identity) -> KvService {
        KvService { member, identity }
    }

    async fn ask(&self, request: MemberRequest) -> Result<MemberResponse, Status> {
        self.member.ask(request).await.map_err(status::from_refusal)
    }
}

/// A member answers each request in its own kind.
fn wrong_kind(asked: &str, answer: &ResponseBody) -> ! {
    unreachable!("the member answered a {asked} with {answer:?}")
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let range = wire::to_range(request.into_inner()).map_err(status::from_malformed)?;
        let answer = self.ask(MemberRequest::Range(range)).await?;
        let header = self.identity.header(&answer);
        match answer.body {
            ResponseBody::Range(range) => Ok(Response::new(translate::from_range(header, range))),
            other => wrong_kind("range", &other),
        }
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let put = wire::to_put(request.into_inner());
        let answer = self.ask(MemberRequest::Put(put)).await?;
        let header = self.identity.header(&answer);
        match answer.body {
            ResponseBody::Put(put) => Ok(Response::new(translate::from_put(header, put))),
            other => wrong_kind("put", &other),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let delete = wire::to_delete_range(request.into_inner());
        let answer = self.ask(MemberRequest::DeleteRange(delete)).await?;
        let header = self.identity.header(&answer);
        match answer.body {
            ResponseBody::DeleteRange(delete) => {
                Ok(Response::new(translate::from_delete_range(header, delete)))
            }
            other => wrong_kind("delete_range", &other),
        }
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        let txn = wire::to_txn(request.into_inner()).map_err(status::from_malformed)?;
        let answer = self.ask(MemberRequest::Txn(txn)).await?;
        let header = self.identity.header(&answer);
        match answer.body {
            ResponseBody::Txn(txn) => Ok(Response::new(translate::from_txn(header, txn))),
            other => wrong_kind("txn", &other),
        }
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let revision = Revision(request.into_inner().revision);
        let answer = self.ask(MemberRequest::Compact(CompactRequest { revision })).await?;
        let header = self.identity.header(&answer);
        match answer.body {
            ResponseBody::Compact(_) => {
                Ok(Response::new(pb::CompactionResponse { header: Some(header) }))
            }
            other => wrong_kind("compact", &other),
        }
    }
}
