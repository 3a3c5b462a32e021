//! A stand-in for `protoc`, for the build scripts of dependencies: nobody who builds quorate needs
//! more than Rust.
//!
//! It understands what `prost-build` and `protobuf-build` say to protoc, writes the set of file
//! descriptors that was asked for, and refuses everything else. The work is protox's.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use protox::Compiler;

/// `protobuf-build` asks for a version, and takes one that begins with 3.
const VERSION: &str = "libprotoc 3.21 (protox)";

/// What build scripts ask for.
#[derive(Debug, Default)]
struct Arguments {
    output: Option<PathBuf>,
    includes: Vec<PathBuf>,
    files: Vec<PathBuf>,
    include_imports: bool,
    include_source_info: bool,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a build script reads them")]
fn main() -> ExitCode {
    let words = env::args_os().skip(1).map(|word| word.into_string());
    let words = words.collect::<Result<Vec<_>, _>>();
    let words = words.map_err(|word| format!("an argument is not UTF-8: {}", word.display()));
    if words.as_deref() == Ok(&["--version".to_owned()]) {
        println!("{VERSION}");
        return ExitCode::SUCCESS;
    }
    match words.and_then(|words| parse(words.into_iter())).and_then(compile) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("protoc (protox): {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--include_imports" => arguments.include_imports = true,
            "--include_source_info" => arguments.include_source_info = true,
            // What it allows is allowed anyway.
            "--experimental_allow_proto3_optional" => {}
            "-o" => arguments.output = Some(value(&word, words.next())?.into()),
            "-I" => arguments.includes.push(value(&word, words.next())?.into()),
            joined if joined.starts_with("-I") => arguments.includes.push(joined[2..].into()),
            option if option.starts_with('-') => {
                return Err(format!("{option} is not understood; set PROTOC to a real protoc"));
            }
            file => arguments.files.push(file.into()),
        }
    }
    Ok(arguments)
}

fn value(option: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("{option} comes with a path"))
}

fn compile(arguments: Arguments) -> Result<(), String> {
    let output = arguments.output.ok_or("-o names the file to write")?;
    let mut compiler = Compiler::new(arguments.includes).map_err(|error| error.to_string())?;
    compiler
        .include_imports(arguments.include_imports)
        .include_source_info(arguments.include_source_info)
        .open_files(arguments.files)
        .map_err(|error| error.to_string())?;
    let descriptors = compiler.encode_file_descriptor_set();
    write(&output, &descriptors).map_err(|error| format!("{}: {error}", output.display()))
}

#[expect(clippy::disallowed_methods, reason = "a build tool writes the file that it was asked for")]
fn write(output: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(output, bytes)
}
