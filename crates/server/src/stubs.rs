//! The generated stubs of the services; see `build.rs`.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

pub(crate) mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

pub(crate) mod quoratepb {
    tonic::include_proto!("quoratepb");
}
