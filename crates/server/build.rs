//! Generates the stubs of the services that `crates/proto/proto` names. Their messages are
//! quorate-proto's.

use std::error::Error;

const FILES: &[&str] = &["peer.proto", "rpc.proto"];
const FOLDER: &str = "../proto/proto";
const EXTERNAL: &[(&str, &str)] = &[
    (".etcdserverpb", "::quorate_proto::etcdserverpb"),
    (".mvccpb", "::quorate_proto::mvccpb"),
    (".quoratepb", "::quorate_proto::quoratepb"),
    (".raftpb", "::quorate_proto::raftpb"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let files = protox::compile(FILES, [FOLDER])?;
    let mut builder = tonic_prost_build::configure();
    for (proto, rust) in EXTERNAL {
        builder = builder.extern_path(*proto, *rust);
    }
    builder.compile_fds(files)?;
    Ok(())
}
