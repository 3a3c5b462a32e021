//! Why a log cannot be created or opened.

use crate::disk::{DiskError, DiskPath};
use crate::recovery::SnapshotId;

/// Why a log was not created or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is a log already.
    #[error("{dir}: holds a write-ahead log already; open it, or choose an empty directory")]
    AlreadyExists {
        /// The directory.
        dir: DiskPath,
    },
    /// There is no log.
    #[error("{dir}: holds no write-ahead log; create one, or point to the right data directory")]
    NoLog {
        /// The directory.
        dir: DiskPath,
    },
    /// A segment is missing between others.
    #[error(
        "{dir}: segment {missing:016x} of the write-ahead log is missing, though later ones are \
         there; put the file back, or restore this member from its peers"
    )]
    MissingSegment {
        /// The directory.
        dir: DiskPath,
        /// The sequence number that no file has.
        missing: u64,
    },
    /// The log has no record of a snapshot: it is that of another log, or newer than this one.
    #[error(
        "{dir}: the write-ahead log knows of no snapshot at entry {} of term {}; start from one that \
         it has a record of, or restore this member from its peers",
        .snapshot.index, .snapshot.term
    )]
    UnknownSnapshot {
        /// The directory.
        dir: DiskPath,
        /// The snapshot that it was to be opened from.
        snapshot: SnapshotId,
    },
    /// The log does not reach back to a snapshot.
    #[error(
        "{dir}: the write-ahead log begins with entry {first}, so that entries are missing behind \
         the snapshot at entry {}; put the file of a later snapshot back, or restore this member \
         from its peers",
        .snapshot.index
    )]
    EntriesMissing {
        /// The directory.
        dir: DiskPath,
        /// The snapshot that it was to be opened from; [`SnapshotId::BEGINNING`] for none.
        snapshot: SnapshotId,
        /// The index of the first entry that the log has, or could have.
        first: u64,
    },
    /// A segment holds something that was not written so, in a place where a loss of power cannot
    /// have caused it.
    #[error(
        "{segment}: corrupt at byte {offset}: {found}; {because}, so nothing was changed: restore \
         this member from its peers or from a backup"
    )]
    Corrupt {
        /// The segment's file.
        segment: DiskPath,
        /// Where the frame begins that is wrong, in bytes.
        offset: u64,
        /// What is wrong with it.
        found: Corruption,
        /// Why nothing can be done about it here.
        because: &'static str,
    },
    /// Entries are lost in the middle of the log; what the log came to behind them is known.
    #[error(
        "{damage}{}; entries up to {doubtful_up_to} may have been acknowledged, so nothing was \
         changed: in a cluster, let the member go on and make up for them from its peers; alone, \
         restore it from a backup",
        and_others(*.others)
    )]
    Damaged {
        /// The first damage.
        damage: Box<Damage>,
        /// How many more there are.
        others: usize,
        /// The highest index that may have been acknowledged.
        doubtful_up_to: u64,
    },
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        others => format!(" (and so it is in {others} more places)"),
    }
}

/// A part of a log that was durable and cannot be read any more, though something that was written
/// later can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{segment}: bytes {start} to {end} are damaged (at byte {found_at}: {found})")]
pub struct Damage {
    /// The segment's file.
    pub segment: DiskPath,
    /// The first byte that does not count: where the batch begins that is damaged.
    pub start: u64,
    /// The byte behind the last one that does not count.
    pub end: u64,
    /// Where the frame begins that is wrong, in bytes.
    pub found_at: u64,
    /// What is wrong with it.
    pub found: Corruption,
    /// The first and the last index of the entries that are lost, at most; none if the log had no
    /// more entries behind this than before it. Entries before these may have been replaced in it.
    pub lost: Option<(u64, u64)>,
}

/// A log that cannot have come to be as it is by what happens to disks.
pub(crate) fn corrupt(segment: &DiskPath, offset: u64, found: Corruption) -> WalError {
    let because = "no log is written so, and what is here may have been acknowledged";
    WalError::Corrupt { segment: segment.clone(), offset, found, because }
}

/// What is wrong with a frame of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// The length field cannot be right.
    #[error("the length field {field:#018x} is impossible")]
    Length {
        /// The field as read.
        field: u64,
    },
    /// The length field differs from the length of the record behind it, which is intact.
    #[error(
        "the length field says {field} bytes, but the record behind it, which is intact, has {record}"
    )]
    LengthOfIntactRecord {
        /// The record size in the field.
        field: u64,
        /// The record's own size.
        record: u64,
    },
    /// The frame would go on beyond the end of the file.
    #[error("the record ends before its length of {len} bytes")]
    Truncated {
        /// The record's size.
        len: u64,
    },
    /// The bytes are no record.
    #[error("this is no record")]
    Record,
    /// The padding is not zero.
    #[error("the padding behind the record is not zero")]
    Padding,
    /// The checksum differs.
    #[error("the checksum is {stored:#010x}, but that of the data is {computed:#010x}")]
    Checksum {
        /// What the record says.
        stored: u32,
        /// What its data and the chain before it give.
        computed: u32,
    },
    /// A record of a type that does not exist.
    #[error("a record of the unknown type {0}")]
    UnknownType(u64),
    /// A segment does not begin as segments do.
    #[error("a record of type {found} where a segment's header has one of type {expected}")]
    Header {
        /// The type that belongs here.
        expected: u64,
        /// The type that is here.
        found: u64,
    },
    /// The records up to a seal are not those that were sealed.
    #[error("the records since byte {start} are not those that were sealed here")]
    Seal {
        /// Where the sealed records begin.
        start: u64,
    },
    /// A record's data is not what its type says.
    #[error("a record that should hold {expected}: {message}")]
    Content {
        /// What should be there.
        expected: &'static str,
        /// Why it is not.
        message: String,
    },
    /// The log belongs to another member or cluster from here on.
    #[error("the metadata differs from that of the segments before")]
    Metadata,
    /// Entries are missing.
    #[error("entry {found} follows, where at most entry {expected} can")]
    IndexGap {
        /// The largest index that could come here.
        expected: u64,
        /// The index that is here.
        found: u64,
    },
    /// There is data behind the end of the log, and behind it records that were written only when
    /// all before was durable.
    #[error("nothing, although what was written later, at byte {later}, is there")]
    Hole {
        /// Where the later records begin.
        later: u64,
    },
    /// No seal can be found.
    #[error("no batch can be found that is intact")]
    NoSeal,
    /// A seal is intact, but does not fit what it seals.
    #[error("the seal names another last entry than the records before it come to")]
    Statement,
    /// What comes behind is older than what comes before.
    #[error("term {found} follows, though term {known} came before: this is an older file")]
    TermGoesBack {
        /// The term before.
        known: u64,
        /// The term behind.
        found: u64,
    },
    /// A segment ends before the next one begins.
    #[error("the log ends here, although another segment follows")]
    EndBeforeNextSegment,
}
