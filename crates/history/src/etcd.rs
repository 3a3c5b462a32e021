//! Operations of the model `etcd`, in the shape of etcd's own requests. They are only described
//! here: what a store should answer is the checker's business.

use serde::{Deserialize, Serialize};

use crate::{Data, LeaseId, Revision, Version};

const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a client asks of an etcd store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "snake_case")]
pub enum EtcdOp {
    /// Writes one key.
    Put(Put),
    /// Reads one key, or those of a range.
    Range(Range),
    /// Deletes one key, or those of a range.
    DeleteRange(DeleteRange),
    /// Several operations as one, chosen by comparisons.
    Txn(Txn),
    /// Gives up the history before a revision.
    Compact {
        /// The lowest revision that can still be read afterwards.
        at: Revision,
    },
    /// Opens a lease.
    LeaseGrant {
        /// The wished id; 0 lets the server choose.
        #[serde(default)]
        id: LeaseId,
        /// Time to live, in seconds.
        ttl: i64,
    },
    /// Ends a lease, which deletes the keys attached to it.
    LeaseRevoke {
        /// Which lease.
        id: LeaseId,
    },
    /// Renews a lease for its granted time.
    LeaseKeepAlive {
        /// Which lease.
        id: LeaseId,
    },
    /// Asks how long a lease still lives.
    LeaseTimeToLive {
        /// Which lease.
        id: LeaseId,
    },
    /// Opens a watch: a stream of responses that carry the operation's id.
    Watch(Watch),
}

impl EtcdOp {
    /// The name that stands in `f`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Range(_) => "range",
            Self::DeleteRange(_) => "delete_range",
            Self::Txn(_) => "txn",
            Self::Compact { .. } => "compact",
            Self::LeaseGrant { .. } => "lease_grant",
            Self::LeaseRevoke { .. } => "lease_revoke",
            Self::LeaseKeepAlive { .. } => "lease_keep_alive",
            Self::LeaseTimeToLive { .. } => "lease_time_to_live",
            Self::Watch(_) => "watch",
        }
    }
}

/// A put.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Put {
    /// Which key.
    pub key: Data,
    /// Its new value.
    #[serde(default)]
    pub value: Data,
    /// The lease that the key is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// Whether the answer shall hold what the key was before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prev_kv: bool,
    /// Whether the value stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_value: bool,
    /// Whether the lease stays as it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_lease: bool,
}

/// A range: a read of one key, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first key.
    pub key: Data,
    /// The key after the last: absent or empty means `key` alone, the byte 0 alone means to the
    /// end of all keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_end: Option<Data>,
    /// The revision to read; absent or 0 means the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Revision>,
    /// At most so many keys are answered; 0 means all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: u64,
    /// Whether some committed prefix is good enough.
    #[serde(default, skip_serializing_if = "is_false")]
    pub serializable: bool,
    /// Whether only the number of keys is asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub count_only: bool,
    /// Whether values are left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keys_only: bool,
    /// The order of the answer; absent means by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// Leaves out keys last written before this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_mod: Option<Revision>,
    /// Leaves out keys last written after this revision; 0 leaves out none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_mod: Option<Revision>,
    /// Leaves out keys created before this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_create: Option<Revision>,
    /// Leaves out keys created after this revision; 0 leaves out none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_create: Option<Revision>,
}

/// The order of a range's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sort {
    /// What is compared.
    pub target: SortTarget,
    /// In which direction.
    pub order: SortOrder,
}

/// What a range's answer is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortTarget {
    /// The key.
    Key,
    /// The version.
    Version,
    /// The creation revision.
    Create,
    /// The modification revision.
    Mod,
    /// The value.
    Value,
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortOrder {
    /// Not said, which etcd takes for ascending.
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// A delete of one key, or of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeleteRange {
    /// The first key.
    pub key: Data,
    /// The key after the last, as in [`Range::range_end`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_end: Option<Data>,
    /// Whether the answer shall hold what was deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prev_kv: bool,
}

/// A transaction: one branch is carried out as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Txn {
    /// All must hold for `then` to be taken; none always holds.
    #[serde(default)]
    pub compare: Vec<Compare>,
    /// Carried out if all comparisons hold. Put, range, delete_range or txn.
    #[serde(default)]
    pub then: Vec<EtcdOp>,
    /// Carried out otherwise.
    #[serde(default, rename = "else")]
    pub or_else: Vec<EtcdOp>,
}

/// One comparison of a transaction. It holds if it holds for every key of the range; a key that
/// does not exist compares as all zeros, and never by value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Compare {
    /// The first key.
    pub key: Data,
    /// The key after the last, as in [`Range::range_end`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_end: Option<Data>,
    /// How the key's side (left) must relate to the target's value (right).
    pub op: Relation,
    /// What is compared, and with what.
    #[serde(flatten)]
    pub target: CompareTarget,
}

/// How two sides of a comparison must relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Relation {
    /// Equal.
    #[serde(rename = "=")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// The key's side is smaller.
    #[serde(rename = "<")]
    Less,
    /// The key's side is larger.
    #[serde(rename = ">")]
    Greater,
}

/// What of a key is compared, and with what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "target", content = "value", rename_all = "snake_case")]
pub enum CompareTarget {
    /// The version; 0 for a key that does not exist.
    Version(Version),
    /// The creation revision; 0 for a key that does not exist.
    Create(Revision),
    /// The modification revision; 0 for a key that does not exist.
    Mod(Revision),
    /// The value.
    Value(Data),
    /// The lease; 0 for none.
    Lease(LeaseId),
}

/// A watch's opening.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// The first key.
    pub key: Data,
    /// The key after the last, as in [`Range::range_end`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_end: Option<Data>,
    /// The first revision of interest; absent or 0 means whatever comes after the opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Revision>,
    /// Whether events shall hold what the key was before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prev_kv: bool,
    /// Whether the server shall send progress notifications.
    #[serde(default, skip_serializing_if = "is_false")]
    pub progress: bool,
    /// Whether the server may split a large response.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fragment: bool,
    /// Kinds of events that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<WatchFilter>,
}

/// A kind of event that a watch leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchFilter {
    /// No puts.
    NoPut,
    /// No deletes.
    NoDelete,
}
