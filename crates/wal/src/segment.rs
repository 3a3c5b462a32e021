//! What a segment is called, how it begins, and how it comes into being.

use std::fmt;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use quorate_proto::raftpb::HardState;
use quorate_proto::walpb;

use crate::disk::{DiskOp, DiskPath};
use crate::record::seal::{self, Batch, Place, Statement};
use crate::record::{self, RecordType};

const SUFFIX: &str = ".wal";
const TEMPORARY_SUFFIX: &str = ".tmp";
/// Behind the name of a file that was set aside.
pub(crate) const DAMAGED_SUFFIX: &str = ".damaged";

/// A segment's name: `%016x-%016x.wal` of its place in the log and of the first entry's index that
/// may be in it, as in etcd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) sequence: u64,
    pub(crate) first_index: u64,
}

impl SegmentName {
    /// None if this is not the name of a segment.
    pub(crate) fn parse(name: &str) -> Option<SegmentName> {
        let (sequence, first_index) = parse_name(name, SUFFIX)?;
        Some(SegmentName { sequence, first_index })
    }

    pub(crate) fn path(self, dir: &DiskPath) -> DiskPath {
        dir.join(&self.to_string())
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}{SUFFIX}", self.sequence, self.first_index)
    }
}

/// The two numbers of a name `%016x-%016x` with a suffix; none if it is not one.
pub(crate) fn parse_name(name: &str, suffix: &str) -> Option<(u64, u64)> {
    let (first, second) = name.strip_suffix(suffix)?.split_once('-')?;
    let number = |digits: &str| {
        let plain = digits.len() == 16
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u64::from_str_radix(digits, 16).ok())?
    };
    Some((number(first)?, number(second)?))
}

/// Whether a file is a segment that was being created.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(TEMPORARY_SUFFIX)
}

/// What a segment begins with: the chain so far, whose log it is, from which snapshot the log
/// begins if it does so here, the hard state, sealed.
pub(crate) fn header(
    name: SegmentName,
    chain: &mut u32,
    metadata: &[u8],
    start: Option<&walpb::Snapshot>,
    statement: &Statement,
) -> Bytes {
    let mut header = BytesMut::new();
    record::put_chain(&mut header, *chain);
    record::put(&mut header, chain, RecordType::Metadata, metadata, &[]);
    if let Some(start) = start {
        let start = start.encode_to_vec();
        record::put(&mut header, chain, RecordType::Snapshot, &start, &[]);
    }
    if statement.hard_state != HardState::default() {
        let state = statement.hard_state.encode_to_vec();
        record::put(&mut header, chain, RecordType::State, &state, &[]);
    }
    let start = Place { sequence: name.sequence, offset: 0 };
    let batch = Batch::of(start, &header);
    seal::put(&mut header, *chain, batch, statement);
    header.freeze()
}

/// What a segment is called while it is being created.
pub(crate) fn temporary_path(dir: &DiskPath, name: SegmentName) -> DiskPath {
    dir.join(&format!("{name}{TEMPORARY_SUFFIX}"))
}

/// Creates a segment so that there is either all of its header under its name, or no such name.
pub(crate) fn creation(
    dir: &DiskPath,
    name: SegmentName,
    header: Bytes,
    segment_bytes: u64,
) -> [DiskOp; 6] {
    let temporary = temporary_path(dir, name);
    [
        DiskOp::Create { file: temporary.clone() },
        DiskOp::SetLen { file: temporary.clone(), len: segment_bytes },
        DiskOp::Write { file: temporary.clone(), offset: 0, data: header },
        DiskOp::Sync { file: temporary.clone() },
        DiskOp::Rename { from: temporary, to: name.path(dir) },
        DiskOp::SyncDir { dir: dir.clone() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_etcds() {
        let name = SegmentName { sequence: 10, first_index: 0x1234_5678_9abc };
        assert_eq!(name.to_string(), "000000000000000a-0000123456789abc.wal");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
    }

    #[test]
    fn what_is_no_segment_is_not_taken_for_one() {
        for name in [
            "",
            "0.tmp",
            "000000000000000a-0000123456789abc.wal.tmp",
            "000000000000000A-0000123456789abc.wal",
            "00000000000000a-0000123456789abc.wal",
            "+00000000000000a-0000123456789abc.wal",
            "000000000000000a_0000123456789abc.wal",
            "000000000000000a-0000123456789abc",
        ] {
            assert_eq!(SegmentName::parse(name), None, "{name:?}");
        }
    }
}
