//! What a disk may answer instead of doing as told.

use super::DiskPath;

/// Why a disk did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// No file or directory of that name.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// What was looked for.
        path: DiskPath,
    },
    /// The name is taken.
    #[error("{path}: exists already")]
    AlreadyExists {
        /// The name.
        path: DiskPath,
    },
    /// The disk, or the quota on it, is full.
    #[error("{path}: no space left on the disk; free some, then restart")]
    NoSpace {
        /// What was to be written.
        path: DiskPath,
    },
    /// A name that is none, or not usable for the operation.
    #[error("{path:?}: {reason}")]
    InvalidPath {
        /// The name as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system or the medium failed.
    #[error("{path}: cannot {operation}: {message}")]
    Io {
        /// What was operated on.
        path: DiskPath,
        /// What was tried, as a verb.
        operation: &'static str,
        /// What the operating system said.
        message: String,
    },
}
