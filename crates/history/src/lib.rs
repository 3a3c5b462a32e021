//! What clients saw: the history format, its recorder, reader and writer.
//!
//! The format (JSON Lines, version 1) is a contract: a header, then one event a line. This crate
//! owns its shape and what makes a sequence of events a history. It never judges whether a store
//! should have answered so: that is the checker's business, and this crate knows of no store.

mod answer;
mod data;
mod error;
mod etcd;
mod event;
mod ids;
mod kv;
mod reader;
mod recorder;
mod register;
mod sequence;
mod writer;

#[cfg(test)]
mod tests;

pub use answer::{
    DeleteRangeResponse, EtcdResponse, EtcdResult, KeyValue, LeaseResponse, PutResponse,
    RangeResponse, TxnResponse, WatchEvent, WatchEventKind, WatchResponse,
};
pub use data::{Data, Value};
pub use error::{Problem, ReadError};
pub use etcd::{
    Compare, CompareTarget, DeleteRange, EtcdOp, Put, Range, Relation, Sort, SortOrder, SortTarget,
    Txn, Watch, WatchFilter,
};
pub use event::{Event, EventKind, Header, History, Model, Op, OpResult, Step};
pub use ids::{ClientId, LeaseId, MemberId, OperationId, Revision, Term, Time, Version};
pub use kv::{KvOp, KvResult};
pub use reader::Reader;
pub use recorder::Recorder;
pub use register::{RegisterOp, RegisterResult};
pub use writer::{write_event, write_header};
