//! Looking at a log record by record, for people and tools.
//!
//! Owns a reading of every segment that stops at nothing: what cannot be read is shown as such, and
//! reading goes on at the next seal. Never decides what counts: that is [`Wal::read`]'s. Changes
//! nothing.

use bytes::Bytes;
use prost::Message;
use quorate_proto::raftpb::{Entry, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskPath};
use crate::error::{Corruption, WalError};
use crate::record::RecordType;
use crate::scan::{HEADER, Item, Resume, Scan};
use crate::segment::{self, SegmentName};
use crate::writer::Wal;

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub file: DiskPath,
    /// Its number in the log.
    pub sequence: u64,
    /// The index of the first entry that may be in it.
    pub first_index: u64,
    /// The file's length in bytes.
    pub bytes: u64,
}

/// Something in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// What it is.
    pub what: What,
}

/// What was found in a segment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The chain of checksums restated, as each segment begins.
    Chain(u32),
    /// Whose log it is.
    Metadata(Bytes),
    /// An entry.
    Entry(Entry),
    /// A hard state.
    HardState(HardState),
    /// The note of a snapshot.
    Snapshot(walpb::Snapshot),
    /// A record whose checksum is right, but whose data is not what its type says.
    Undecodable(Corruption),
    /// The end of a batch that is intact.
    Seal(Seal),
    /// The end of a batch that is damaged: the seal itself can be believed.
    SealOfDamaged(Seal),
    /// Bytes that cannot be read, up to `end`.
    Unreadable {
        /// Where reading goes on, in bytes; the end of the file if it does not.
        end: u64,
        /// What is wrong first.
        found: Corruption,
    },
    /// The end of the frames: only zeros follow.
    End,
}

/// What a seal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Bytes of the batch that it ends.
    pub batch_bytes: u32,
    /// How many sectors the batch leaves zero by rights, so that they were not lost in writing.
    pub zero_sectors: u32,
    /// What the log came to with the batch.
    pub statement: Statement,
}

/// What a log came to with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// The hard state.
    pub hard_state: HardState,
    /// The index of the last entry; what came before, if there is none.
    pub last_index: u64,
    /// Up to which index entries are [in doubt](crate::Recovered::doubtful_up_to); 0 if none is.
    pub doubtful_up_to: u64,
    /// Whether the log begins with this batch, those before having been damaged.
    pub begins_log: bool,
}

/// A log's segments in order, and the files that were set aside from it.
///
/// # Errors
/// [`WalError::NoLog`] if the directory has no segment. [`WalError::Disk`] if the disk fails.
pub fn segments(
    disk: &dyn Disk,
    dir: &DiskPath,
) -> Result<(Vec<Segment>, Vec<DiskPath>), WalError> {
    if !Wal::exists(disk, dir)? {
        return Err(WalError::NoLog { dir: dir.clone() });
    }
    let (mut segments, mut aside) = (Vec::new(), Vec::new());
    for file in disk.list(dir)? {
        if let Some(SegmentName { sequence, first_index }) = SegmentName::parse(file.name()) {
            let bytes = disk.len(&file)?;
            segments.push(Segment { file, sequence, first_index, bytes });
        } else if file.name().ends_with(segment::DAMAGED_SUFFIX) {
            aside.push(file);
        }
    }
    segments.sort_unstable_by_key(|segment| segment.sequence);
    Ok((segments, aside))
}

/// Shows everything in a segment, in order. `chain` is the chain's value at its beginning, as the
/// segment before gave it: with it, a segment that does not continue that one is noticed. Gives
/// back the chain's value at the end, if it is known.
///
/// # Errors
/// [`WalError::Disk`] if the disk fails.
pub fn segment(
    disk: &dyn Disk,
    segment: &Segment,
    chain: Option<u32>,
    mut show: impl FnMut(Found),
) -> Result<Option<u32>, WalError> {
    let name = SegmentName { sequence: segment.sequence, first_index: segment.first_index };
    let mut scan = Scan::open(disk, &segment.file, name, chain)?;
    loop {
        let offset = scan.at;
        let bad = match scan.next()? {
            Item::Record { kind, data, .. } => {
                let chain = scan.chain.unwrap_or_default();
                show(Found { offset, what: decode(kind, data, chain) });
                continue;
            }
            Item::Seal(seal) => {
                show(Found { offset, what: What::Seal(told(&seal)) });
                continue;
            }
            Item::Stop(bad) => bad,
        };
        let header = scan.header < HEADER.len();
        if bad.is_none() && scan.reader.zero_from(offset)? && !header {
            show(Found { offset, what: What::End });
            return Ok(scan.chain);
        }
        let found = bad.unwrap_or(match header {
            true => Corruption::Header { expected: HEADER[scan.header] as u64, found: 0 },
            false => Corruption::Length { field: 0 },
        });
        let Some(next) = scan.reader.find_seal(offset)? else {
            let end = scan.reader.end_of_data(offset)?;
            show(Found { offset, what: What::Unreadable { end, found } });
            return Ok(None);
        };
        let ahead = next.start > offset || (next.start == offset && scan.chain.is_some());
        let resume = Resume::from(&next, ahead);
        let end = if resume.chain.is_some() { next.at } else { next.start };
        if end > offset || resume.chain.is_none() {
            show(Found { offset, what: What::Unreadable { end, found } });
        }
        if resume.chain.is_some() {
            show(Found { offset: next.at, what: What::SealOfDamaged(told(&next.seal)) });
        }
        scan.resume(&resume);
    }
}

fn told(seal: &crate::record::seal::Seal) -> Seal {
    let crate::record::seal::Seal { batch_len: batch_bytes, zero_sectors, statement, .. } = *seal;
    let statement = Statement {
        hard_state: statement.hard_state,
        last_index: statement.last_index,
        doubtful_up_to: statement.doubtful_up_to,
        begins_log: statement.begins_log,
    };
    Seal { batch_bytes, zero_sectors, statement }
}

fn decode(kind: RecordType, data: Bytes, chain: u32) -> What {
    fn decoded<M: Message + Default>(
        data: Bytes,
        expected: &'static str,
        what: impl FnOnce(M) -> What,
    ) -> What {
        M::decode(data).map_or_else(
            |error| What::Undecodable(Corruption::Content { expected, message: error.to_string() }),
            what,
        )
    }
    match kind {
        RecordType::Checksum => What::Chain(chain),
        RecordType::Metadata => What::Metadata(data),
        RecordType::Entry => decoded(data, "an entry", What::Entry),
        RecordType::State => decoded(data, "a hard state", What::HardState),
        RecordType::Snapshot => decoded(data, "a snapshot", What::Snapshot),
    }
}

#[cfg(test)]
mod tests;
