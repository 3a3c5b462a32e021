//! The copy of the code in which a canary is planted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The files of a tree, by their path below its root with `/` between the parts.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The working tree at `root`: what git tracks or would track, and without git all but the folders
/// that are built.
pub(crate) fn tracked(root: &Path) -> Result<Files, Error> {
    let mut files = Files::new();
    for name in names(root)? {
        let path = root.join(&name);
        // Git still lists a file that was deleted but not committed.
        if path.is_file() {
            let content = std::fs::read(&path).map_err(Error::io("read", &path))?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

fn names(root: &Path) -> Result<Vec<String>, Error> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    match listed {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .map(str::to_owned)
            .collect()),
        _ => Ok(walk(root)?.into_iter().collect()),
    }
}

/// All files below `root`, except in `target`, `out` and hidden folders.
fn walk(root: &Path) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let name = entry.map_err(Error::io("list", &path))?.file_name();
            let below = folder.join(&name);
            if !root.join(&below).is_dir() {
                found.insert(below.to_string_lossy().replace('\\', "/"));
            } else if !name.to_string_lossy().starts_with('.')
                && below != Path::new("target")
                && below != Path::new("out")
            {
                open.push(below);
            }
        }
    }
    Ok(found)
}

/// Makes the tree at `root` hold exactly `files`. A file that is right already is left alone, time
/// stamp and all, so that cargo does not compile it again.
pub(crate) fn write(root: &Path, files: &Files) -> Result<(), Error> {
    std::fs::create_dir_all(root).map_err(Error::io("create", root))?;
    for name in walk(root)?.iter().filter(|name| !files.contains_key(*name)) {
        // Cargo writes its lock file itself where none is tracked.
        if name != "Cargo.lock" {
            let path = root.join(name);
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    for (name, content) in files {
        let path = root.join(name);
        if std::fs::read(&path).is_ok_and(|old| old == *content) {
            continue;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        std::fs::write(&path, content).map_err(Error::io("write", &path))?;
    }
    Ok(())
}
