//! etcd's v3 API: a file for each service, and the translation apart from them.
//!
//! Owns gRPC: what is asked, what is answered, with which status. Never decides what a store
//! answers; that is the member's.

pub(crate) mod kv;
mod status;
mod translate;

use quorate_member::Response;
use quorate_proto::etcdserverpb::ResponseHeader;

/// What the header of each answer says besides the answer's own revision and term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// The cluster's id.
    pub(crate) cluster_id: u64,
}

impl Identity {
    fn header(self, response: &Response) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: response.member.0,
            revision: response.body.revision().0,
            raft_term: response.term.0,
        }
    }
}
