//! Revisions and lease ids: the numbers that requests, responses and the index share.
//!
//! Owns their meaning and their order. Never decides when a revision is taken: that is the
//! store's.

use std::fmt;
use std::num::NonZeroI64;

/// The store's logical clock: each transaction that changes something takes the next one, and
/// all that it writes carries it.
///
/// Signed as on etcd's wire. A store's own revisions begin at [`Revision::INITIAL`]; anything
/// below is only ever seen in a request, or as [`Revision::NEVER_COMPACTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// The revision of a store that holds nothing yet.
    pub const INITIAL: Revision = Revision(1);

    /// What a store that was never compacted reports as its compacted revision: etcd's −1, below
    /// every revision that a compaction may name.
    pub const NEVER_COMPACTED: Revision = Revision(-1);

    /// A revision field of a request as etcd's wire has it: zero says 'not given'.
    pub fn from_wire(value: i64) -> Option<Revision> {
        (value != 0).then_some(Revision(value))
    }

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One change's place in the store's total order: the transaction's revision, and within it the
/// order of the request (etcd's main and sub revision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChangeRevision {
    pub(crate) main: Revision,
    pub(crate) sub: u32,
}

/// A lease's id. Zero says 'no lease' on etcd's wire, so it is not one of them: a key without a
/// lease has `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(NonZeroI64);

impl LeaseId {
    /// A lease field as etcd's wire has it: zero is no lease.
    pub fn from_wire(value: i64) -> Option<LeaseId> {
        NonZeroI64::new(value).map(LeaseId)
    }

    /// The lease field of etcd's wire: zero for no lease.
    pub fn to_wire(lease: Option<LeaseId>) -> i64 {
        lease.map_or(0, |LeaseId(id)| id.get())
    }
}
