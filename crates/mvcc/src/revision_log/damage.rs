//! What can be wrong with what the store has on its disk.

use std::fmt;

use bytes::Bytes;
use quorate_wal::disk::DiskError;

use super::segment::SegmentId;
use crate::revision::Revision;

/// A record that cannot be read. The request that met it had no effect; it can be tried again once
/// the record is repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment in whose data the record lies.
    pub segment: SegmentId,
    /// Where in the data, in bytes.
    pub offset: u32,
    /// Which change it was, so that a peer can be asked for it. `None` if the keys' file of the
    /// segment is damaged as well.
    pub lost: Option<ChangeId>,
    /// What is wrong.
    pub what: Defect,
}

/// A change of a key, as members know it of each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeId {
    /// The key.
    pub key: Bytes,
    /// The revision that changed it.
    pub revision: Revision,
}

/// What is wrong with bytes on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The disk refuses to read them.
    #[error("it cannot be read: {0}")]
    Unreadable(Box<DiskError>),
    /// The file ends before they do.
    #[error("the file ends before it does")]
    Missing,
    /// The header is not the one that was written there.
    #[error("its header is not the one that was written there")]
    Header,
    /// The checksum of the content differs.
    #[error("its checksum differs from that of its bytes")]
    Body,
    /// They are intact, but not what belongs there.
    #[error("it is intact, but not what belongs there")]
    Foreign,
    /// They are intact, but no store of this version writes such.
    #[error("it is intact, but no store of this version writes such")]
    Undecodable,
}

impl From<DiskError> for Defect {
    fn from(error: DiskError) -> Defect {
        Defect::Unreadable(Box::new(error))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}: the record at byte {}", self.segment, self.offset)?;
        if let Some(ChangeId { key, revision }) = &self.lost {
            write!(f, ", the change of {key:?} at revision {revision},")?;
        }
        write!(f, " is damaged: {}; it can be repaired from any peer that has it", self.what)
    }
}

impl std::error::Error for Damage {}
