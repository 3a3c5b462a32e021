//! Refusals as gRPC statuses: etcd's codes, and its texts, on which clients match.

use quorate_member::Error;
use quorate_member::wire::Malformed;
use quorate_mvcc::Error as StoreError;
use tonic::{Code, Status};

use crate::handle::Refusal;

/// What a client hears instead of an answer.
pub(super) fn from_refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Member(error) => Status::new(code(error), error.to_string()),
        Refusal::Overloaded => from_refusal(Refusal::Member(Error::TooManyRequests)),
        Refusal::Stopped => Status::unavailable("etcdserver: server stopped"),
    }
}

pub(super) fn from_malformed(malformed: Malformed) -> Status {
    match malformed {
        Malformed::Store(error) => from_refusal(Refusal::Member(Error::Store(error))),
        other => Status::invalid_argument(other.to_string()),
    }
}

fn code(error: Error) -> Code {
    match error {
        Error::Store(error) => store_code(error),
        Error::TooLarge => Code::InvalidArgument,
        Error::TooManyRequests => Code::ResourceExhausted,
        Error::NoLeader | Error::Change(_) | Error::TransferTimedOut | Error::TimedOut => {
            Code::Unavailable
        }
        Error::NotLeader | Error::BadTransferee => Code::FailedPrecondition,
        // The enumeration may grow; what has no code of its own is an unknown error to gRPC.
        _ => Code::Unknown,
    }
}

fn store_code(error: StoreError) -> Code {
    match error {
        StoreError::EmptyKey
        | StoreError::KeyNotFound
        | StoreError::ValueProvided
        | StoreError::LeaseProvided
        | StoreError::TooManyOperations
        | StoreError::DuplicateKey
        | StoreError::InvalidSortOption => Code::InvalidArgument,
        StoreError::Compacted | StoreError::FutureRevision => Code::OutOfRange,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refusal, code and text as `etcd` has them.
    #[test]
    fn each_refusal_has_etcds_code_and_text() {
        for (error, code, text) in [
            (
                Error::Store(StoreError::EmptyKey),
                Code::InvalidArgument,
                "etcdserver: key is not provided",
            ),
            (
                Error::Store(StoreError::Compacted),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            (
                Error::Store(StoreError::FutureRevision),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            (Error::TooLarge, Code::InvalidArgument, "etcdserver: request is too large"),
            (Error::TooManyRequests, Code::ResourceExhausted, "etcdserver: too many requests"),
            (Error::NoLeader, Code::Unavailable, "etcdserver: no leader"),
            (Error::TimedOut, Code::Unavailable, "etcdserver: request timed out"),
            (Error::NotLeader, Code::FailedPrecondition, "etcdserver: not leader"),
        ] {
            let status = from_refusal(Refusal::Member(error));
            assert_eq!((status.code(), status.message()), (code, text), "{error:?}");
        }
        let overloaded = from_refusal(Refusal::Overloaded);
        assert_eq!(overloaded.code(), Code::ResourceExhausted);
        assert_eq!(overloaded.message(), "etcdserver: too many requests");
        let stopped = from_refusal(Refusal::Stopped);
        assert_eq!(stopped.code(), Code::Unavailable);
        assert_eq!(stopped.message(), "etcdserver: server stopped");
    }
}
