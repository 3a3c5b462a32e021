//! The files that this crate reads and writes: scenarios, repro files and the artifacts of a
//! failure. Nothing inside a run comes here.
#![expect(
    clippy::disallowed_methods,
    reason = "scenarios come from files and a failure's artifacts go to files, before and after runs"
)]

use std::io;
use std::path::Path;

/// The text of a file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Writes a whole file, and the directories above it where they are missing.
pub(crate) fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, contents)
}
