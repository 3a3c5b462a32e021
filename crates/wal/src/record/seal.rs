//! The seal that ends each batch: a batch's own description of itself, and of what the log comes to
//! with it.
//!
//! ```text
//! 0      4           8       12         16     24     32      40     48         56      57          61
//! ├──────┼───────────┼───────┼──────────┼──────┼──────┼───────┼──────┼──────────┼───────┼───────────┤
//! │ seal │ batch len │ zeros │ checksum │ term │ vote │ commit│ last │ doubtful │ begins│ own check │
//! └──────┴───────────┴───────┴──────────┴──────┴──────┴───────┴──────┴──────────┴───────┴───────────┘
//! ```
//!
//! All numbers are little-endian. `checksum` is over the batch's frames, `own check` over the seal
//! itself: so a seal can be believed whose batch is damaged. Both cover the place, so that a copy
//! of a log, stored as somebody's value in this one, does not pass for a batch.
//!
//! `zeros` says how many sectors the batch leaves zero by rights: a value may well have some. More
//! of them than that were lost in writing; no more, and the batch was written as a whole.

use bytes::BytesMut;
use quorate_proto::raftpb::HardState;

use super::{LENGTH_BYTES, Record, RecordType, frame_len, parse, record_len};
use crate::disk::SECTOR_BYTES;

const MAGIC: &[u8; 4] = b"seal";
/// Where the statement begins, behind what is said of the batch itself.
const STATEMENT_AT: usize = 16;
const STATEMENT_BYTES: usize = 5 * 8 + 1;
const DATA_BYTES: usize = STATEMENT_AT + STATEMENT_BYTES + 4;
/// Type, checksum, key and length of the data, and the data: with the longest checksum.
const MAX_RECORD_BYTES: usize = 2 + 1 + 5 + 1 + 1 + DATA_BYTES;

/// What the log comes to with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) hard_state: HardState,
    /// The index of the last entry that the log holds or, if there is none, of what came before.
    pub(crate) last_index: u64,
    /// The highest index that was perhaps acknowledged before the log was damaged; 0 if nothing
    /// is in doubt.
    pub(crate) doubtful_up_to: u64,
    /// Whether the log begins with this batch: the segments before are those of a damaged one,
    /// which this one has replaced.
    pub(crate) begins_log: bool,
}

impl Statement {
    fn encode(&self) -> [u8; STATEMENT_BYTES] {
        let HardState { term, vote, commit } = self.hard_state;
        let numbers = [term, vote, commit, self.last_index, self.doubtful_up_to];
        let mut bytes = [0; STATEMENT_BYTES];
        for (field, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[STATEMENT_BYTES - 1] = u8::from(self.begins_log);
        bytes
    }

    /// None if the last byte is none that is written.
    fn decode(bytes: &[u8; STATEMENT_BYTES]) -> Option<Statement> {
        let (numbers, begins_log) = bytes.as_chunks::<8>();
        let number = |at: usize| u64::from_le_bytes(numbers[at]);
        Some(Statement {
            hard_state: HardState { term: number(0), vote: number(1), commit: number(2) },
            last_index: number(3),
            doubtful_up_to: number(4),
            begins_log: match begins_log {
                [0] => false,
                [1] => true,
                _ => return None,
            },
        })
    }
}

/// A seal as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Bytes of the batch, which end where the seal begins.
    pub(crate) batch_len: u32,
    /// As in [`Batch::zero_sectors`].
    pub(crate) zero_sectors: u32,
    /// As in [`Batch::checksum`].
    pub(crate) checksum: u32,
    pub(crate) statement: Statement,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's.
    pub(crate) sequence: u64,
    /// In the segment, in bytes.
    pub(crate) offset: u64,
}

impl Place {
    fn checksum(self) -> u32 {
        let sequence = crc32c::crc32c(&self.sequence.to_le_bytes());
        crc32c::crc32c_append(sequence, &self.offset.to_le_bytes())
    }
}

/// The checksum of a seal's data before it, for a seal whose frame is at `at`.
fn own_check(at: Place, chain: u32, data: &[u8]) -> u32 {
    let chained = crc32c::crc32c_append(at.checksum(), &chain.to_le_bytes());
    crc32c::crc32c_append(chained, data)
}

/// What a batch needs to be sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// Where it begins.
    pub(crate) start: Place,
    /// Bytes.
    pub(crate) len: u64,
    /// Of its frames as raw bytes, and of its place.
    pub(crate) checksum: u32,
    /// How many sectors are zero from where the batch comes into them to their end. The one in
    /// which its seal begins is none of them: the seal proves that it was written.
    pub(crate) zero_sectors: u32,
    /// Whether the batch is zero so far in the sector in which it ends.
    ends_in_zeros: bool,
}

impl Batch {
    /// One without frames yet.
    pub(crate) fn beginning_at(start: Place) -> Batch {
        Batch { start, len: 0, checksum: start.checksum(), zero_sectors: 0, ends_in_zeros: true }
    }

    pub(crate) fn of(start: Place, frames: &[u8]) -> Batch {
        let mut batch = Batch::beginning_at(start);
        batch.extend(frames);
        batch
    }

    /// Takes more frames in.
    pub(crate) fn extend(&mut self, frames: &[u8]) {
        self.checksum = crc32c::crc32c_append(self.checksum, frames);
        let mut rest = frames;
        while !rest.is_empty() {
            let room = SECTOR_BYTES - (self.start.offset + self.len) % SECTOR_BYTES;
            let (part, behind) = rest.split_at(rest.len().min(room as usize));
            self.ends_in_zeros = self.ends_in_zeros && part.iter().all(|byte| *byte == 0);
            if part.len() as u64 == room {
                self.zero_sectors += u32::from(self.ends_in_zeros);
                self.ends_in_zeros = true;
            }
            self.len += part.len() as u64;
            rest = behind;
        }
    }
}

/// Ends a batch, behind whose records the chain has the value `chain`.
pub(crate) fn put(buffer: &mut BytesMut, chain: u32, batch: Batch, statement: &Statement) {
    let batch_len = u32::try_from(batch.len).expect("a batch is far below 4 GiB");
    let at = Place { offset: batch.start.offset + batch.len, ..batch.start };
    let mut data = [0; DATA_BYTES];
    let (sealed, check) = data.split_at_mut(DATA_BYTES - 4);
    let (of_batch, of_log) = sealed.split_at_mut(STATEMENT_AT);
    let numbers = [batch_len, batch.zero_sectors, batch.checksum].map(u32::to_le_bytes);
    of_batch[..4].copy_from_slice(MAGIC);
    of_batch[4..].copy_from_slice(numbers.as_flattened());
    of_log.copy_from_slice(&statement.encode());
    check.copy_from_slice(&own_check(at, chain, sealed).to_le_bytes());
    super::put_frame(buffer, RecordType::Checksum, chain, &data, &[]);
}

/// The seal that a checksum record is whose frame is at `at`, if it is one that can be believed.
pub(crate) fn read(record: &Record, bytes: &[u8], at: Place) -> Option<Seal> {
    let data: &[u8; DATA_BYTES] = bytes[record.data.clone()?].try_into().ok()?;
    let (sealed, check) = data.split_at(DATA_BYTES - 4);
    if check != own_check(at, record.crc, sealed).to_le_bytes() {
        return None;
    }
    let (of_batch, of_log) = sealed.split_first_chunk::<STATEMENT_AT>()?;
    let (numbers, _) = of_batch.strip_prefix(MAGIC)?.as_chunks::<4>();
    let number = |at: usize| u32::from_le_bytes(numbers[at]);
    Some(Seal {
        batch_len: number(0),
        zero_sectors: number(1),
        checksum: number(2),
        statement: Statement::decode(of_log.first_chunk()?)?,
    })
}

/// A seal that was found by looking for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seal: Seal,
    /// Where its batch begins in the segment, in bytes.
    pub(crate) start: u64,
    /// Where its frame begins, and ends.
    pub(crate) at: u64,
    pub(crate) end: u64,
    /// The chain's value there.
    pub(crate) chain: u32,
    /// Whether its batch is what was sealed.
    pub(crate) is_intact: bool,
    /// Whether more sectors of its batch are zero than were when it was sealed.
    pub(crate) lacks_sectors: bool,
}

/// The first seal in a segment's `bytes` at or behind `from` that can be believed.
pub(crate) fn find(bytes: &[u8], sequence: u64, from: u64) -> Option<Found> {
    let (frames, _) = bytes.as_chunks::<LENGTH_BYTES>();
    let from = (from as usize).div_ceil(LENGTH_BYTES);
    frames.iter().enumerate().skip(from).find_map(|(frame, field)| {
        let field = u64::from_le_bytes(*field);
        let len = record_len(field).filter(|len| *len <= MAX_RECORD_BYTES)?;
        let at = frame * LENGTH_BYTES;
        let end = at + frame_len(len);
        let body = bytes.get(at + LENGTH_BYTES..end)?;
        let record = parse(&body[..len]).filter(|record| record.len == len)?;
        if record.kind != RecordType::Checksum as u64 {
            return None;
        }
        let seal = read(&record, body, Place { sequence, offset: at as u64 })?;
        let start = at.checked_sub(seal.batch_len as usize)?;
        let place = Place { sequence, offset: start as u64 };
        let batch = Batch::of(place, &bytes[start..at]);
        Some(Found {
            seal,
            start: start as u64,
            at: at as u64,
            end: end as u64,
            chain: record.crc,
            is_intact: batch.checksum == seal.checksum,
            lacks_sectors: batch.zero_sectors > seal.zero_sectors,
        })
    })
}
