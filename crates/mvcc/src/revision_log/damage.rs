//! What can be wrong with what the store has on its disk.

use std::fmt;

use bytes::Bytes;
use quorate_wal::disk::DiskError;

use super::segment::SegmentId;
use crate::revision::Revision;

/// Something on the disk that is not what was written there. The request that met it had no
/// effect; it can be tried again once it is [repaired](crate::Store::repair).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment in whose files it is.
    pub segment: SegmentId,
    /// Which part of them.
    pub part: DamagedPart,
    /// What is wrong.
    pub what: Defect,
}

/// A part of a segment's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamagedPart {
    /// One record of the data.
    Record {
        /// Where in the data, in bytes.
        offset: u32,
        /// Which change it was, so that a peer can be asked for it. `None` if the keys' file is
        /// damaged as well.
        change: Option<ChangeId>,
    },
    /// The keys' file. It is written anew from the data.
    Keys,
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

impl Damage {
    /// A segment's keys' file is damaged.
    #[must_use]
    pub fn of_keys(segment: SegmentId, what: Defect) -> Damage {
        Damage { segment, part: DamagedPart::Keys, what }
    }
}

impl From<DiskError> for Defect {
    fn from(error: DiskError) -> Defect {
        Defect::Unreadable(Box::new(error))
    }
}

/// Where it is, and what is wrong there. Who can repair it is for whoever knows of the others to say.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { segment, part, what } = self;
        match part {
            DamagedPart::Record { offset, change } => {
                write!(f, "the record at byte {offset} of segment {segment}")?;
                if let Some(ChangeId { key, revision }) = change {
                    write!(f, ", the change of {key:?} at revision {revision}")?;
                }
            }
            DamagedPart::Keys => write!(f, "the keys' file of segment {segment}")?,
        }
        write!(f, ": {what}")
    }
}

impl std::error::Error for Damage {}
