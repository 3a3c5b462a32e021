//! Compiles `proto/` with protox, so that nobody needs protoc.

use std::error::Error;

const FILES: &[&str] = &[
    "etcdserver.proto",
    "mvccpb.proto",
    "peer.proto",
    "raft_internal.proto",
    "raftpb.proto",
    "rpc.proto",
    "snappb.proto",
    "walpb.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new().bytes(["."]).btree_map(["."]).compile_fds(files)?;
    Ok(())
}
