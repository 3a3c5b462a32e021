//! The replicated state machine: revisions, generations, transactions, compaction.

mod error;
mod key_range;
mod request;
mod response;
mod revision;
mod validate;
mod write_set;

pub use error::Error;
pub use request::{
    CompactRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest,
    RangeRequest, RequestOp, SortOrder, SortTarget, TxnRequest,
};
pub use response::{
    CompactResponse, DeleteRangeResponse, KeyValue, KvHash, PutResponse, RangeResponse, ResponseOp,
    TxnResponse,
};
pub use revision::{LeaseId, Revision};
pub use validate::{
    DEFAULT_MAX_TXN_OPERATIONS, validate_delete_range, validate_put, validate_range, validate_txn,
};
