//! Disk operations as data.

use bytes::Bytes;

use super::{Disk, DiskError, DiskPath};

/// One operation that changes a disk, as data.
///
/// Logs do not write: they hand out operations. Their driver carries these out in the order given
/// and then reports that they are done, so that it decides when that is, and what is lost between
/// any two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskOp {
    /// [`Disk::create`].
    Create {
        /// The file's name.
        file: DiskPath,
    },
    /// [`Disk::set_len`].
    SetLen {
        /// The file.
        file: DiskPath,
        /// Its new length in bytes.
        len: u64,
    },
    /// [`Disk::write`].
    Write {
        /// The file.
        file: DiskPath,
        /// Where in it, in bytes.
        offset: u64,
        /// What to write.
        data: Bytes,
    },
    /// [`Disk::sync`].
    Sync {
        /// The file.
        file: DiskPath,
    },
    /// [`Disk::sync_dir`].
    SyncDir {
        /// The directory.
        dir: DiskPath,
    },
    /// [`Disk::rename`].
    Rename {
        /// The old name.
        from: DiskPath,
        /// The new name.
        to: DiskPath,
    },
    /// [`Disk::remove`].
    Remove {
        /// The file.
        file: DiskPath,
    },
}

impl DiskOp {
    /// What it changes or makes durable: a file, the new name of one, or a directory.
    #[must_use]
    pub fn path(&self) -> &DiskPath {
        match self {
            DiskOp::Create { file }
            | DiskOp::SetLen { file, .. }
            | DiskOp::Write { file, .. }
            | DiskOp::Sync { file }
            | DiskOp::Remove { file } => file,
            DiskOp::SyncDir { dir } => dir,
            DiskOp::Rename { to, .. } => to,
        }
    }

    /// Carries the operation out.
    ///
    /// # Errors
    /// What the disk's method says. Whoever gave the operation out must then not be told that it
    /// is done, and none of those after it may be carried out.
    pub fn execute(&self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        match self {
            DiskOp::Create { file } => disk.create(file),
            DiskOp::SetLen { file, len } => disk.set_len(file, *len),
            DiskOp::Write { file, offset, data } => disk.write(file, *offset, data),
            DiskOp::Sync { file } => disk.sync(file),
            DiskOp::SyncDir { dir } => disk.sync_dir(dir),
            DiskOp::Rename { from, to } => disk.rename(from, to),
            DiskOp::Remove { file } => disk.remove(file),
        }
    }

    /// Carries operations out in order, up to the first that fails.
    ///
    /// # Errors
    /// That of the operation that failed.
    pub fn execute_all(ops: &[DiskOp], disk: &mut dyn Disk) -> Result<(), DiskError> {
        ops.iter().try_for_each(|op| op.execute(disk))
    }

    /// Whether the operation makes earlier ones durable.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self, DiskOp::Sync { .. } | DiskOp::SyncDir { .. })
    }

    /// How many bytes the operation writes.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        match self {
            DiskOp::Write { data, .. } => data.len() as u64,
            _ => 0,
        }
    }
}
