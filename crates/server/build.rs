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

#[cfg(not(madsim))]
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

/// madsim's stubs, which hand messages over as they are. Its builder takes descriptors from a file
/// only.
#[cfg(madsim)]
fn main() -> Result<(), Box<dyn Error>> {
    use protox::prost::Message as _;

    println!("cargo::rerun-if-changed={FOLDER}");
    let files = protox::compile(FILES, [FOLDER])?;
    let out_dir = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let descriptors = std::path::Path::new(&out_dir).join("descriptors.bin");
    std::fs::write(&descriptors, files.encode_to_vec())?;
    let mut builder =
        madsim_tonic_build::configure().file_descriptor_set_path(&descriptors).skip_protoc_run();
    for (proto, rust) in EXTERNAL {
        builder = builder.extern_path(*proto, *rust);
    }
    builder.compile_protos(FILES, &[FOLDER])?;
    Ok(())
}
