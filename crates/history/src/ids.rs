//! The numbers of a history, each with a type of its own. They carry no behaviour: what a revision
//! or a lease *means* is the checker's business.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(number: $inner) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// A moment on the one global clock of a history, in nanoseconds.
    Time(u64)
}
number! {
    /// A client: whoever issues operations one after another. It has at most one open.
    ClientId(u64)
}
number! {
    /// An operation: its invocation and its completion share it, nothing else does.
    OperationId(u64)
}
number! {
    /// A revision of an etcd store. An empty store is at 1.
    Revision(u64)
}
number! {
    /// How often a key was written in its current generation: 1 when it was just created.
    Version(u64)
}
number! {
    /// A lease. 0 stands for none.
    LeaseId(i64)
}
number! {
    /// The member of a cluster that answered.
    MemberId(u64)
}
number! {
    /// The Raft term in which a member answered.
    Term(u64)
}
