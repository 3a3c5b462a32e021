//! The files of snapshots, in etcd's format: `%016x-%016x.snap` of term and index holds a
//! `snappb.Snapshot`, which is a checksum and an encoded `raftpb.Snapshot`.
//!
//! Owns their names, how one comes into being (all of it under its name, or no such name), and
//! which of them can be trusted. Never notes one in the log, and never chooses one that the log
//! does not continue: that takes both, and is the member's.
//!
//! In what order a member does things follows from that:
//! - To keep a snapshot: [`write_ops`], then
//!   [`Wal::append_snapshot`](crate::Wal::append_snapshot) with a hard state whose commit index
//!   covers it (etcd's reader passes over it otherwise), and when that is durable
//!   [`Wal::release_to`](crate::Wal::release_to) and [`remove_ops`].
//! - To start: [`Wal::read`](crate::Wal::read), [`load_newest`] of those that the log
//!   [continues](crate::Contents::continues), neither of which changes anything, so that a start
//!   can still be refused; then [`prepare`], and [`Contents::open`](crate::Contents::open), or
//!   [`Contents::open_damaged`](crate::Contents::open_damaged) if peers can make up for what is
//!   lost, or [`Contents::start_over`](crate::Contents::start_over) if there is none. Those that
//!   were passed over are [set aside](set_aside).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use quorate_proto::{raftpb, snappb};

use crate::disk::{Disk, DiskError, DiskOp, DiskPath};
use crate::recovery::SnapshotId;
use crate::segment::DAMAGED_SUFFIX;

const SUFFIX: &str = ".snap";
const TEMPORARY_SUFFIX: &str = ".tmp";

// The fields of snappb.Snapshot as protobuf keys.
const CRC_KEY: u8 = 1 << 3;
const DATA_KEY: u8 = 2 << 3 | 2;

/// What was found in a directory of snapshots.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The newest intact one that is allowed, if there is any.
    pub snapshot: Option<raftpb::Snapshot>,
    /// The newer ones that were allowed but are damaged, newest first.
    pub damaged: Vec<DamagedSnapshot>,
}

/// A file that is not the snapshot which its name promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: damaged: {damage}; an older snapshot serves if the log continues it")]
pub struct DamagedSnapshot {
    /// The file.
    pub file: DiskPath,
    /// What is wrong with it.
    pub damage: SnapshotDamage,
}

/// What is wrong with a snapshot's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotDamage {
    /// The bytes are no file of a snapshot.
    #[error("not a snapshot's file: {0}")]
    File(String),
    /// The checksum differs.
    #[error("the checksum is {stored:#010x}, but that of the data is {computed:#010x}")]
    Checksum {
        /// What the file says.
        stored: u32,
        /// What its data gives.
        computed: u32,
    },
    /// What the checksum covers is no snapshot.
    #[error("its data is no snapshot: {0}")]
    Content(String),
    /// It is a snapshot, but not the one that the file is named for.
    #[error("it is the snapshot at entry {} of term {}", .0.index, .0.term)]
    Misnamed(SnapshotId),
}

/// Makes a directory fit for snapshots: creates it if only its parent exists, and removes what a
/// crash left of those that were being written. Durable on return.
///
/// # Errors
/// If the disk fails, or the parent does not exist.
pub fn prepare(disk: &mut dyn Disk, dir: &DiskPath) -> Result<(), DiskError> {
    if let Some(parent) = dir.parent_dir() {
        disk.create_dir(dir)?;
        disk.sync_dir(&parent)?;
    }
    for file in disk.list(dir)? {
        let name = file.name().strip_suffix(TEMPORARY_SUFFIX);
        if name.is_some_and(|name| FileName::parse(name).is_some()) {
            disk.remove(&file)?;
        }
    }
    // Names that a dead process left behind in the cache become durable as well.
    disk.sync_dir(dir)
}

/// What writes a snapshot's file; it is durable once all of it is done. A snapshot that has a file
/// already gets a new one in its place.
///
/// # Panics
/// If the snapshot covers no entry: there is nothing to keep.
#[must_use]
pub fn write_ops(dir: &DiskPath, snapshot: &raftpb::Snapshot) -> Vec<DiskOp> {
    let id = id(snapshot);
    assert!(id.index > 0, "a snapshot covers at least one entry");
    let data = Bytes::from(snapshot.encode_to_vec());
    // In two pieces, so that the state is not copied once more.
    let mut head = BytesMut::new();
    head.put_u8(CRC_KEY);
    prost::encoding::encode_varint(u64::from(crc32c::crc32c(&data)), &mut head);
    head.put_u8(DATA_KEY);
    prost::encoding::encode_varint(data.len() as u64, &mut head);
    let (head, name) = (head.freeze(), FileName(id).to_string());
    let temporary = dir.join(&format!("{name}{TEMPORARY_SUFFIX}"));
    let behind = head.len() as u64;
    vec![
        DiskOp::Create { file: temporary.clone() },
        DiskOp::Write { file: temporary.clone(), offset: 0, data: head },
        DiskOp::Write { file: temporary.clone(), offset: behind, data },
        DiskOp::Sync { file: temporary.clone() },
        DiskOp::Rename { from: temporary, to: dir.join(&name) },
        DiskOp::SyncDir { dir: dir.clone() },
    ]
}

/// Reads the newest intact snapshot of those that `allowed` names. A directory that does not exist
/// has none. Changes nothing.
///
/// # Errors
/// If the disk fails.
pub fn load_newest(
    disk: &dyn Disk,
    dir: &DiskPath,
    mut allowed: impl FnMut(SnapshotId) -> bool,
) -> Result<Loaded, DiskError> {
    let mut loaded = Loaded { snapshot: None, damaged: Vec::new() };
    let found = match newest_first(disk, dir) {
        Err(DiskError::NotFound { .. }) => return Ok(loaded),
        found => found?,
    };
    for (id, file) in found {
        if !allowed(id) {
            continue;
        }
        let len = disk.len(&file)?;
        let read = || Ok::<_, DiskError>(parse(disk.read(&file, 0, len as usize)?, id));
        // A read that went to another place goes to the right one the next time.
        let parsed = match read()? {
            Err(_) => read()?,
            sound => sound,
        };
        match parsed {
            Ok(snapshot) => {
                loaded.snapshot = Some(snapshot);
                break;
            }
            Err(damage) => loaded.damaged.push(DamagedSnapshot { file, damage }),
        }
    }
    Ok(loaded)
}

/// What removes all snapshots before `newest` but the last of them, so many that `keep` stay with
/// it, damaged ones counted; nothing if there are no more. For a member that has made `newest`
/// durable, or has just started from it.
///
/// Newer ones stay: a crash may have left files that the log does not know of, and which are not to
/// push out those that it needs.
///
/// # Errors
/// If the disk fails, or there is no such directory.
///
/// # Panics
/// If none is to be kept: the log without its beginning needs one.
pub fn remove_ops(
    disk: &dyn Disk,
    dir: &DiskPath,
    newest: SnapshotId,
    keep: usize,
) -> Result<Vec<DiskOp>, DiskError> {
    assert!(keep > 0, "at least one snapshot is kept");
    let mut ops = Vec::new();
    let known = newest_first(disk, dir)?.into_iter().filter(|(id, _)| *id <= newest);
    for (_, file) in known.skip(keep) {
        ops.push(DiskOp::Remove { file });
    }
    if !ops.is_empty() {
        ops.push(DiskOp::SyncDir { dir: dir.clone() });
    }
    Ok(ops)
}

/// What removes the file of a snapshot that has one.
#[must_use]
pub fn removal_ops(dir: &DiskPath, snapshot: SnapshotId) -> [DiskOp; 2] {
    let file = file(dir, snapshot);
    [DiskOp::Remove { file }, DiskOp::SyncDir { dir: dir.clone() }]
}

/// Renames the files of snapshots that were passed over, so that they are never chosen again: what
/// they stand for may go from now on. Durable on return, which gives their new names.
///
/// # Errors
/// If the disk fails, or one of them has no file.
pub fn set_aside(
    disk: &mut dyn Disk,
    dir: &DiskPath,
    files: &[DiskPath],
) -> Result<Vec<DiskPath>, DiskError> {
    let mut names = Vec::new();
    for file in files {
        let aside = dir.join(&format!("{}{DAMAGED_SUFFIX}", file.name()));
        disk.rename(file, &aside)?;
        names.push(aside);
    }
    if !names.is_empty() {
        disk.sync_dir(dir)?;
    }
    Ok(names)
}

/// The file of a snapshot, if it has one.
#[must_use]
pub fn file(dir: &DiskPath, snapshot: SnapshotId) -> DiskPath {
    dir.join(&FileName(snapshot).to_string())
}

/// The files of all snapshots in a directory, newest first.
///
/// # Errors
/// If the disk fails, or there is no such directory.
pub fn files(disk: &dyn Disk, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
    Ok(newest_first(disk, dir)?.into_iter().map(|(_, file)| file).collect())
}

/// Which snapshot this is.
fn id(snapshot: &raftpb::Snapshot) -> SnapshotId {
    SnapshotId { term: snapshot.metadata.term, index: snapshot.metadata.index }
}

/// The snapshots' files. A newer snapshot is of no lower term, and of a higher index.
fn newest_first(disk: &dyn Disk, dir: &DiskPath) -> Result<Vec<(SnapshotId, DiskPath)>, DiskError> {
    let mut found: Vec<_> = disk
        .list(dir)?
        .into_iter()
        .filter_map(|file| Some((FileName::parse(file.name())?.0, file)))
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

/// Reads a file's content, which should be the snapshot `expected`.
fn parse(content: Bytes, expected: SnapshotId) -> Result<raftpb::Snapshot, SnapshotDamage> {
    let file = snappb::Snapshot::decode(content)
        .map_err(|error| SnapshotDamage::File(error.to_string()))?;
    let data = file.data.unwrap_or_default();
    let computed = crc32c::crc32c(&data);
    if computed != file.crc {
        return Err(SnapshotDamage::Checksum { stored: file.crc, computed });
    }
    let snapshot = raftpb::Snapshot::decode(data)
        .map_err(|error| SnapshotDamage::Content(error.to_string()))?;
    let id = id(&snapshot);
    if id != expected { Err(SnapshotDamage::Misnamed(id)) } else { Ok(snapshot) }
}

/// A snapshot's file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileName(SnapshotId);

impl FileName {
    /// None if this is not the name of a snapshot's file.
    fn parse(name: &str) -> Option<FileName> {
        let (term, index) = crate::segment::parse_name(name, SUFFIX)?;
        Some(FileName(SnapshotId { term, index }))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileName(SnapshotId { term, index }) = self;
        write!(f, "{term:016x}-{index:016x}{SUFFIX}")
    }
}

#[cfg(test)]
mod tests;
