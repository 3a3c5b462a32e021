//! The replicated state machine: revisions, generations, transactions, compaction.
//!
//! A [`Store`] is what a cluster's members agree on. Committed requests change it, each as a
//! whole or not at all; reads see it at any revision that was not compacted. It answers as etcd's
//! KV service does, down to the texts of its refusals, and knows nothing of the protocol, of Raft
//! or of time: equal requests in equal order make equal stores.
//!
//! ```
//! use quorate_mvcc::{PutRequest, RangeRequest, Revision, Store};
//!
//! let mut store = Store::new();
//! let put = PutRequest { key: "colour".into(), value: "blue".into(), ..PutRequest::default() };
//! assert_eq!(store.put(&put)?.revision, Revision(2));
//!
//! let range = RangeRequest { key: "colour".into(), ..RangeRequest::default() };
//! assert_eq!(store.range(&range)?.kvs[0].value, "blue");
//! # Ok::<(), quorate_mvcc::Error>(())
//! ```

mod compaction;
mod error;
mod hash;
mod incoming;
mod index;
pub mod inspect;
mod key_index;
mod key_range;
mod maintenance;
pub mod manifest;
mod open;
mod options;
mod range;
mod repair;
mod request;
mod response;
mod retain;
mod revision;
mod revision_log;
mod store;
mod txn;
mod validate;
mod write;
mod write_set;

pub use error::{Error, Failure};
pub use incoming::{ChunkError, ChunkId, Incoming};
pub use maintenance::Progress;
pub use manifest::{Manifest, ManifestError};
pub use open::{OpenError, Opened};
pub use options::StoreOptions;
pub use repair::{RepairError, Scrubber};
pub use request::{
    CompactRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest,
    RangeRequest, RequestOp, SortOrder, SortTarget, TxnRequest,
};
pub use response::{
    CompactResponse, DeleteRangeResponse, KeyValue, KvHash, PutResponse, RangeResponse, ResponseOp,
    TxnResponse,
};
pub use revision::{LeaseId, Revision};
pub use revision_log::damage::{ChangeId, Damage, DamagedPart, Defect};
pub use revision_log::segment::{Extent, SegmentId, SegmentInfo, SegmentUse};
pub use store::{Applier, Reader, Store};
pub use validate::{
    DEFAULT_MAX_TXN_OPERATIONS, validate_delete_range, validate_put, validate_range, validate_txn,
};
