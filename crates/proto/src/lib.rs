//! Wire and log messages, wire-compatible with etcd's and generated from our own `.proto` files.
//!
//! Owns the messages and nothing else: no service (the stubs of those that the `.proto` files name
//! live in the server), no validation, no conversion. A module is a
//! protobuf package. Byte fields are [`bytes::Bytes`], so that decoding from one copies nothing.

/// The consensus messages and log entries (etcd's `raftpb`).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
pub mod raftpb {
    include!(concat!(env!("OUT_DIR"), "/raftpb.rs"));
}

/// The records of the write-ahead log (etcd's `walpb`).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
pub mod walpb {
    include!(concat!(env!("OUT_DIR"), "/walpb.rs"));
}

/// The files of snapshots (etcd's `snappb`).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
pub mod snappb {
    include!(concat!(env!("OUT_DIR"), "/snappb.rs"));
}

/// Keys and events (etcd's `mvccpb`).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
pub mod mvccpb {
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}

/// Requests and responses of clients, and how requests travel in the log (etcd's `etcdserverpb`).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
pub mod etcdserverpb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// What members of a cluster say to each other (ours).
#[allow(missing_docs, reason = "generated; the .proto files say what means what")]
#[allow(clippy::large_enum_variant, reason = "nearly all frames are of the largest kind")]
pub mod quoratepb {
    include!(concat!(env!("OUT_DIR"), "/quoratepb.rs"));
}

#[cfg(test)]
mod tests;
