//! Why the store refuses a request.
//!
//! Owns the texts, which are etcd's to the letter because clients match on them. Never carries a
//! gRPC status: that belongs to the server's API modules.

use std::fmt;

use crate::revision_log::damage::Damage;

/// A refusal. The request had no effect at all, and every member that applies it at the same
/// place in the log refuses it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// A request, compare or operation names the empty key.
    EmptyKey,
    /// A put that keeps the key's value (`ignore_value`) or lease (`ignore_lease`) found no such
    /// key; or a transaction holds an operation without a request.
    KeyNotFound,
    /// A put says `ignore_value` and brings a value.
    ValueProvided,
    /// A put says `ignore_lease` and brings a lease.
    LeaseProvided,
    /// A transaction has a list longer than the configured limit, nested ones counted on top of
    /// those around them.
    TooManyOperations,
    /// One run of a transaction could write a key twice.
    DuplicateKey,
    /// A sort order or target that etcd's API does not define.
    InvalidSortOption,
    /// The revision lies below the last compaction (or, for a compaction, at or below it).
    Compacted,
    /// The revision lies above the store's current one.
    FutureRevision,
}

impl Error {
    /// etcd's text for this refusal.
    pub fn message(self) -> &'static str {
        match self {
            Error::EmptyKey => "etcdserver: key is not provided",
            Error::KeyNotFound => "etcdserver: key not found",
            Error::ValueProvided => "etcdserver: value is provided",
            Error::LeaseProvided => "etcdserver: lease is provided",
            Error::TooManyOperations => "etcdserver: too many operations in txn request",
            Error::DuplicateKey => "etcdserver: duplicate key given in txn request",
            Error::InvalidSortOption => "etcdserver: invalid sort option",
            Error::Compacted => "etcdserver: mvcc: required revision has been compacted",
            Error::FutureRevision => "etcdserver: mvcc: required revision is a future revision",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// Why a request got no answer. It had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store refuses it, as every member does that applies it at the same place in the log.
    Refused(Error),
    /// A record that it needs cannot be read here. It can be tried again once that is repaired.
    Damaged(Damage),
}

impl Failure {
    /// The refusal by a store that is all in memory.
    ///
    /// # Panics
    /// If it is none: memory is not damaged.
    pub(crate) fn refusal(self) -> Error {
        match self {
            Failure::Refused(error) => error,
            Failure::Damaged(damage) => panic!("a store in memory reads no disk, but: {damage}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Refused(error)
    }
}

impl From<Damage> for Failure {
    fn from(damage: Damage) -> Failure {
        Failure::Damaged(damage)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(error) => error.fmt(f),
            Failure::Damaged(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}
