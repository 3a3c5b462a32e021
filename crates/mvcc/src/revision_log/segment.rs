//! Segments: the pieces that the log consists of, each two files.
//!
//! Owns their names and what is known of each. A segment is appended to until it is large enough,
//! and never changed from then on but to repair it. It holds the changes of whole transactions.

use std::cell::OnceCell;
use std::fmt;

use quorate_wal::disk::DiskPath;

use crate::revision::{ChangeRevision, Revision};

const DATA_SUFFIX: &str = ".data";
const KEYS_SUFFIX: &str = ".keys";
const NEW_KEYS_SUFFIX: &str = ".keys.new";

/// A segment's name, never given twice in the life of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    pub(crate) fn next(self) -> SegmentId {
        SegmentId(self.0 + 1)
    }

    /// The file of the segment's records.
    #[must_use]
    pub fn data_file(self, dir: &DiskPath) -> DiskPath {
        dir.join(&format!("{self}{DATA_SUFFIX}"))
    }

    /// The file of everything that the records say but their values.
    #[must_use]
    pub fn keys_file(self, dir: &DiskPath) -> DiskPath {
        dir.join(&format!("{self}{KEYS_SUFFIX}"))
    }

    /// A keys' file that is being written anew, until it takes the other one's name. What a crash
    /// left of it is of no use.
    pub(crate) fn new_keys_file(self, dir: &DiskPath) -> DiskPath {
        dir.join(&format!("{self}{NEW_KEYS_SUFFIX}"))
    }

    /// The segment to which a file of this name belongs, if it is one.
    #[must_use]
    pub fn of_file(name: &str) -> Option<SegmentId> {
        let suffixes = [DATA_SUFFIX, KEYS_SUFFIX, NEW_KEYS_SUFFIX];
        let stem = suffixes.into_iter().find_map(|suffix| name.strip_suffix(suffix))?;
        let id = SegmentId(u64::from_str_radix(stem, 16).ok()?);
        (id.to_string() == stem).then_some(id)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The beginning of a file: how long it is, and the CRC-32C of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// In bytes.
    pub len: u64,
    /// CRC-32C of these bytes.
    pub crc: u32,
}

impl Extent {
    /// What it becomes when bytes are appended.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }
}

/// What a manifest says of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its name.
    pub id: SegmentId,
    /// The first change in it.
    pub(crate) first: ChangeRevision,
    /// The last change in it.
    pub(crate) last: ChangeRevision,
    /// A compaction of which it holds nothing any more that it drops; below all for a segment that
    /// was not merged from others.
    pub(crate) cleaned: Revision,
    /// How many changes it holds.
    pub records: u64,
    /// Of the records' file.
    pub data: Extent,
    /// Of the keys' file.
    pub keys: Extent,
}

impl SegmentInfo {
    /// A segment with nothing in it. Its first change is set with the first record.
    pub(crate) fn empty(id: SegmentId) -> SegmentInfo {
        let none = ChangeRevision { main: Revision(0), sub: 0 };
        let (data, keys) = (Extent::default(), Extent::default());
        let cleaned = Revision::NEVER_COMPACTED;
        SegmentInfo { id, first: none, last: none, cleaned, records: 0, data, keys }
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed { first: self.first, cleaned: self.cleaned }
    }

    /// The revision of the first change in it.
    #[must_use]
    pub fn first_revision(&self) -> Revision {
        self.first.main
    }

    /// The revision of the last change in it.
    #[must_use]
    pub fn last_revision(&self) -> Revision {
        self.last.main
    }
}

/// What a segment takes of the disk, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// Its name.
    pub id: SegmentId,
    /// How many changes it holds.
    pub records: u64,
    /// Of its data, in bytes.
    pub data_bytes: u64,
    /// Of its keys' file, in bytes.
    pub keys_bytes: u64,
    /// Of its data, how much is of changes that can still be seen, in bytes. It is an estimate, by
    /// less than one part in 64, and lags behind compactions.
    pub live_bytes: u64,
}

/// What checksums cover of the segment in whose files they are, so that what belongs to another
/// one does not pass. Two segments have the same only where their beginnings are the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    /// The first change.
    pub(crate) first: ChangeRevision,
    /// The compaction with which it was merged from others.
    pub(crate) cleaned: Revision,
}

impl Seed {
    pub(crate) const BYTES: usize = 8 + 4 + 8;

    pub(crate) fn to_bytes(self) -> [u8; Seed::BYTES] {
        let mut bytes = [0; Seed::BYTES];
        bytes[..8].copy_from_slice(&self.first.main.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.first.sub.to_le_bytes());
        bytes[12..].copy_from_slice(&self.cleaned.0.to_le_bytes());
        bytes
    }
}

/// A segment of a store at work.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Of what was encoded so far; first, last and the number of records of all.
    pub(crate) info: SegmentInfo,
    /// Where the next record will begin, in bytes.
    pub(crate) end: u32,
    /// Up to where its data can be read from the disk. What lies behind is in memory.
    pub(crate) written: u32,
    /// How much of its data is of changes that no read can see any more.
    pub(crate) dead_bytes: u64,
    /// A record that no read can see any more is damaged, and it cannot be asked for.
    pub(crate) must_rewrite: bool,
    /// Its files were created, or are about to be.
    pub(crate) has_files: bool,
    /// The name of its data's file: each read needs it.
    data_file: OnceCell<DiskPath>,
}

impl Segment {
    pub(crate) fn empty(id: SegmentId) -> Segment {
        let info = SegmentInfo::empty(id);
        Segment {
            info,
            end: 0,
            written: 0,
            dead_bytes: 0,
            must_rewrite: false,
            has_files: false,
            data_file: OnceCell::new(),
        }
    }

    /// A segment as a manifest names it, all of it on the disk.
    pub(crate) fn restored(info: SegmentInfo) -> Segment {
        let end = u32::try_from(info.data.len).expect("a manifest's lengths were checked");
        Segment { end, written: end, has_files: true, info, ..Segment::empty(info.id) }
    }

    /// The file of its data, in the directory of its store.
    pub(crate) fn data_file(&self, dir: &DiskPath) -> &DiskPath {
        self.data_file.get_or_init(|| self.info.id.data_file(dir))
    }

    /// Whether it is worth to copy what lives and give back the rest.
    pub(crate) fn is_mostly_dead(&self) -> bool {
        self.must_rewrite || self.dead_bytes * 2 >= u64::from(self.end)
    }

    /// How much of its data is of changes that can still be seen, in bytes.
    pub(crate) fn live_bytes(&self) -> u64 {
        u64::from(self.end).saturating_sub(self.dead_bytes)
    }
}
