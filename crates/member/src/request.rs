//! What a client may ask of a member, and what it may hear.

use std::fmt;

use quorate_mvcc::{
    CompactRequest, CompactResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, Revision, TxnRequest, TxnResponse,
};
use quorate_raft::{ChangeError, Configuration, MembershipChange, NodeId, Term};

/// The driver's name for a request, by which it knows the answer. Unique among the requests that
/// wait at one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reads.
    Range(RangeRequest),
    /// Writes one key.
    Put(PutRequest),
    /// Deletes keys.
    DeleteRange(DeleteRangeRequest),
    /// Compares, then reads and writes, at once.
    Txn(TxnRequest),
    /// Forgets old revisions.
    Compact(CompactRequest),
    /// Adds, promotes, demotes or removes members, all at once. Only the leader takes it.
    ChangeMembers(MembershipChange),
    /// Makes another voter the leader. Only the leader takes it.
    TransferLeadership(NodeId),
}

/// A member's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The member that answers.
    pub member: NodeId,
    /// Its term, as far as it is durable: at one member it never goes back.
    pub term: Term,
    /// The answer itself, which has the store's revision.
    pub body: ResponseBody,
}

/// The answer to each kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// To [`Request::Range`].
    Range(RangeResponse),
    /// To [`Request::Put`].
    Put(PutResponse),
    /// To [`Request::DeleteRange`].
    DeleteRange(DeleteRangeResponse),
    /// To [`Request::Txn`].
    Txn(TxnResponse),
    /// To [`Request::Compact`].
    Compact(CompactResponse),
    /// To [`Request::ChangeMembers`]: the configuration that the change led to. A joint one is left
    /// by the leader later, unless that was to be done explicitly.
    Members {
        /// The store's revision.
        revision: Revision,
        /// Who belongs to the group from now on.
        configuration: Configuration,
    },
    /// To [`Request::TransferLeadership`]: the other member leads.
    Transferred {
        /// The store's revision.
        revision: Revision,
    },
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// The store refuses it.
    Store(quorate_mvcc::Error),
    /// Its encoding exceeds the limit.
    TooLarge,
    /// Too many requests wait already.
    TooManyRequests,
    /// There is no leader to send it to.
    NoLeader,
    /// Only the leader can do that.
    NotLeader,
    /// The membership cannot be changed so, or not now.
    Change(ChangeError),
    /// Leadership cannot go to a member that does not vote.
    BadTransferee,
    /// The other member did not come to lead in time.
    TransferTimedOut,
    /// It was under way for too long: a write may still happen, now or later.
    TimedOut,
}

impl Request {
    /// Whether it changes nothing, so that it need not go through the log.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Request::Range(_) => true,
            Request::Txn(txn) => is_read_only(txn),
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Compact(_)
            | Request::ChangeMembers(_)
            | Request::TransferLeadership(_) => false,
        }
    }

    /// Whether it may be answered from any committed prefix.
    #[must_use]
    pub fn is_serializable(&self) -> bool {
        match self {
            Request::Range(range) => range.serializable,
            Request::Txn(txn) => is_read_only(txn) && is_serializable(txn),
            Request::Put(_)
            | Request::DeleteRange(_)
            | Request::Compact(_)
            | Request::ChangeMembers(_)
            | Request::TransferLeadership(_) => false,
        }
    }
}

fn is_read_only(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|operation| match operation {
        RequestOp::Range(_) => true,
        RequestOp::Txn(nested) => is_read_only(nested),
        RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
    })
}

/// As etcd has it: a transaction is serializable when all its ranges are.
fn is_serializable(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).all(|operation| match operation {
        RequestOp::Range(range) => range.serializable,
        RequestOp::Txn(nested) => is_serializable(nested),
        RequestOp::Put(_) | RequestOp::DeleteRange(_) => false,
    })
}

impl ResponseBody {
    /// The header's revision: the store's revision when it answered.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            ResponseBody::Range(response) => response.revision,
            ResponseBody::Put(response) => response.revision,
            ResponseBody::DeleteRange(response) => response.revision,
            ResponseBody::Txn(response) => response.revision,
            ResponseBody::Compact(response) => response.revision,
            ResponseBody::Members { revision, .. } | ResponseBody::Transferred { revision } => {
                *revision
            }
        }
    }
}

impl Error {
    /// Whether the request certainly had no effect and never will.
    #[must_use]
    pub fn is_definite(self) -> bool {
        match self {
            Error::Store(_)
            | Error::TooLarge
            | Error::TooManyRequests
            | Error::NoLeader
            | Error::NotLeader
            | Error::Change(_)
            | Error::BadTransferee => true,
            Error::TimedOut | Error::TransferTimedOut => false,
        }
    }
}

impl From<quorate_mvcc::Error> for Error {
    fn from(error: quorate_mvcc::Error) -> Error {
        Error::Store(error)
    }
}

impl fmt::Display for Error {
    /// etcd's texts, on which clients match.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Store(error) => error.fmt(f),
            Error::TooLarge => f.write_str("etcdserver: request is too large"),
            Error::TooManyRequests => f.write_str("etcdserver: too many requests"),
            Error::NoLeader => f.write_str("etcdserver: no leader"),
            Error::NotLeader => f.write_str("etcdserver: not leader"),
            Error::Change(error) => write!(f, "etcdserver: unhealthy cluster: {error}"),
            Error::BadTransferee => f.write_str("etcdserver: bad leader transferee"),
            Error::TransferTimedOut => {
                f.write_str("etcdserver: request timed out, leader transfer took too long")
            }
            Error::TimedOut => f.write_str("etcdserver: request timed out"),
        }
    }
}

impl std::error::Error for Error {}
