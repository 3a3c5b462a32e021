//! Tells the binary which commit it is built from: `QUORATE_COMMIT`, which whoever builds may set,
//! else what git's files say. Without either, reports say 'unknown'.
#![expect(clippy::disallowed_methods, reason = "a build script works on files and the environment")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=QUORATE_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = env::var("QUORATE_COMMIT").ok().filter(|commit| !commit.is_empty());
    if let Some(commit) = given.or_else(head_commit) {
        println!("cargo::rustc-env=QUORATE_COMMIT={commit}");
    }
}

/// The commit that is checked out, without running git.
fn head_commit() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let git = git_folder(&root.join(".git"))?;
    let head = read(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else {
        return is_commit(&head).then_some(head);
    };
    // A linked working tree keeps its branches with the main one.
    let common = read(&git.join("commondir")).map_or_else(|| git.clone(), |dir| git.join(dir));
    let commit = read(&common.join(name)).or_else(|| packed(&common, name))?;
    is_commit(&commit).then_some(commit)
}

/// `.git` is a folder, or in a linked working tree a file that names one.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let text = read(path)?;
    let folder = text.strip_prefix("gitdir: ")?;
    Some(path.parent()?.join(folder))
}

fn packed(git: &Path, name: &str) -> Option<String> {
    let text = read(&git.join("packed-refs"))?;
    let commit = text.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' '));
    commit.map(str::to_owned)
}

/// A file's text; a change of it builds anew.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
