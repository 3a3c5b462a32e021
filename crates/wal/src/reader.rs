//! Reading a segment frame by frame, and what the place shows where that ends.
//!
//! Owns the evidence of tears: which sectors were not written. What that means is the
//! [recovery table's](crate::verdict) to say. Never changes anything.

use bytes::Bytes;

use crate::disk::{Disk, DiskError, DiskPath, SECTOR_BYTES};
use crate::error::Corruption;
use crate::record::seal::{self, Found, Place};
use crate::record::{self, LENGTH_BYTES, Record, RecordType};
use crate::segment::SegmentName;
use crate::verdict::{Rest, Tear};

/// How much is read at once, in bytes. Entries that were read keep their piece in memory.
const CHUNK_BYTES: u64 = 256 << 10;

/// Three numbers of ten bytes with their keys, the record around them, its length field, and padding.
const LONGEST_STATE_FRAME_BYTES: usize = 56;

/// A segment's file.
pub(crate) struct Reader<'a> {
    disk: &'a dyn Disk,
    file: &'a DiskPath,
    /// The segment's place in the log.
    sequence: u64,
    /// The file's length.
    len: u64,
    /// From where on it is zero.
    data_end: u64,
    /// Some of its content, and where that begins.
    piece: Bytes,
    piece_at: u64,
}

/// What is at one place of a segment.
pub(crate) enum Frame {
    /// A record whose checksum is right.
    Record {
        kind: RecordType,
        record: Record,
        /// The whole frame.
        frame: Bytes,
    },
    /// No frame begins here: the length is zero, or the file ends.
    End,
    /// Something else.
    Bad(Corruption),
}

impl<'a> Reader<'a> {
    pub(crate) fn open(
        disk: &'a dyn Disk,
        file: &'a DiskPath,
        name: SegmentName,
    ) -> Result<Reader<'a>, DiskError> {
        Ok(Reader {
            disk,
            file,
            sequence: name.sequence,
            len: disk.len(file)?,
            data_end: disk.data_end(file)?,
            piece: Bytes::new(),
            piece_at: 0,
        })
    }

    /// Up to `len` bytes at `at`, fewer only where the file ends.
    fn bytes(&mut self, at: u64, len: u64) -> Result<Bytes, DiskError> {
        let len = len.min(self.len.saturating_sub(at));
        let held = self.piece_at + self.piece.len() as u64;
        if at < self.piece_at || at + len > held {
            let ahead = self.data_end.saturating_sub(at).min(CHUNK_BYTES);
            self.piece = self.disk.read(self.file, at, len.max(ahead) as usize)?;
            self.piece_at = at;
        }
        let start = (at - self.piece_at) as usize;
        let end = self.piece.len().min(start + len as usize);
        Ok(self.piece.slice(start..end))
    }

    /// The file's length.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The frame at `at`, where the chain has the value `chain`; none if that is not known, so that
    /// the frame is believed, as the first one of a log is.
    pub(crate) fn frame(&mut self, at: u64, chain: Option<u32>) -> Result<Frame, DiskError> {
        let field = self.bytes(at, LENGTH_BYTES as u64)?;
        let Some(field) = field.first_chunk().map(|field| u64::from_le_bytes(*field)) else {
            return Ok(match field.iter().all(|byte| *byte == 0) {
                true => Frame::End,
                false => Frame::Bad(Corruption::Truncated { len: 0 }),
            });
        };
        if field == 0 {
            return Ok(Frame::End);
        }
        let Some(len) = record::record_len(field) else {
            return Ok(Frame::Bad(Corruption::Length { field }));
        };
        let frame_len = record::frame_len(len);
        if self.len - at < frame_len as u64 {
            return Ok(Frame::Bad(Corruption::Truncated { len: len as u64 }));
        }
        let frame = self.bytes(at, frame_len as u64)?;
        let (bytes, padding) = frame[LENGTH_BYTES..].split_at(len);
        let Some(record) = record::parse(bytes).filter(|record| record.len == len) else {
            return Ok(Frame::Bad(Corruption::Record));
        };
        let computed = chain.map_or(record.crc, |chain| record.checksum(chain, bytes));
        if computed != record.crc {
            return Ok(Frame::Bad(Corruption::Checksum { stored: record.crc, computed }));
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Ok(Frame::Bad(Corruption::Padding));
        }
        Ok(match RecordType::from_number(record.kind) {
            None => Frame::Bad(Corruption::UnknownType(record.kind)),
            Some(kind) => Frame::Record { kind, record, frame },
        })
    }

    /// What is there from where the frames end, at `at`, with a wrong frame or none.
    pub(crate) fn rest(&self, at: u64, bad: Option<&Corruption>) -> Result<Rest, DiskError> {
        Ok(match bad.is_none() && self.zero_from(at)? {
            true => Rest::Zeros,
            false => Rest::Data,
        })
    }

    /// Whether a sector that was not written, or a file that lost its end, explains why there is
    /// no frame (`bad` is none) or a wrong one at `at`, where the chain has the value `chain`. From
    /// `limit` on, if there is one, everything is intact.
    pub(crate) fn tear(
        &self,
        at: u64,
        chain: Option<u32>,
        bad: Option<&Corruption>,
        limit: Option<u64>,
    ) -> Result<Tear, DiskError> {
        let data = self.data()?;
        let place = at as usize;
        let field = length_field(&data, place);
        if let Some(record) = self.intact_record(&data, place, chain) {
            // A lost sector takes a length field from an intact record only where it ends between
            // the two.
            let lost = field == 0 && (at + LENGTH_BYTES as u64).is_multiple_of(SECTOR_BYTES);
            if record::record_len(field) != Some(record) && !lost {
                return Ok(Tear::RuledOut);
            }
        }
        // Truncated files lost their end: nobody else cuts within a frame.
        let truncated = limit.is_none() && matches!(bad, Some(Corruption::Truncated { .. }));
        let frame_len = record::record_len(field).map_or(LENGTH_BYTES, record::frame_len);
        let end = at.saturating_add(frame_len as u64).min(limit.unwrap_or(u64::MAX).max(at));
        Ok(match truncated || has_lost_sector(&data, at, end) {
            true => Tear::Explains,
            false => Tear::RuledOut,
        })
    }

    /// The first seal at or behind `from` that can be believed.
    pub(crate) fn find_seal(&self, from: u64) -> Result<Option<Found>, DiskError> {
        Ok(seal::find(&self.data()?, self.sequence, from))
    }

    /// Whether etcd saved something behind the frame at `at`, wrong or not, when that was durable.
    /// What it saves at once is entries, then a hard state, and it syncs that if there are entries;
    /// what is longer than a hard state is always synced. So an intact entry behind a hard state
    /// behind such a frame was written later.
    pub(crate) fn has_later_save(&mut self, at: u64) -> Result<bool, DiskError> {
        let (mut place, mut chain) = (at, None);
        let mut awaited = [RecordType::Entry, RecordType::State, RecordType::Entry].into_iter();
        let mut next = awaited.next();
        while next.is_some() {
            let (kind, len) = match self.frame(place, chain)? {
                Frame::Record { kind, record, frame } => {
                    // What the wrong frame says of itself is believed, but not that the one behind
                    // it continues it.
                    chain = (place > at).then_some(record.crc);
                    (Some(kind), frame.len())
                }
                Frame::Bad(_) if place == at => match self.frame_len(at)? {
                    Some(len) if len > LONGEST_STATE_FRAME_BYTES => (next, len),
                    _ => return Ok(false),
                },
                Frame::Bad(_) | Frame::End => return Ok(false),
            };
            if kind == next {
                next = awaited.next();
            }
            place += len as u64;
        }
        Ok(true)
    }

    /// Bytes of the frame at `at`, as far as its length field can be right.
    fn frame_len(&mut self, at: u64) -> Result<Option<usize>, DiskError> {
        let field = self.bytes(at, LENGTH_BYTES as u64)?;
        let field = field.first_chunk().map(|field| u64::from_le_bytes(*field));
        let len = field.and_then(record::record_len).map(record::frame_len);
        Ok(len.filter(|len| at + *len as u64 <= self.len))
    }

    /// Where the last byte that is not zero ends, but not before `at`.
    pub(crate) fn end_of_data(&self, at: u64) -> Result<u64, DiskError> {
        let data = self.data()?;
        let zeros = data.iter().rev().take_while(|byte| **byte == 0).count();
        Ok(((data.len() - zeros) as u64).max(at))
    }

    fn data(&self) -> Result<Bytes, DiskError> {
        self.disk.read(self.file, 0, self.data_end as usize)
    }

    /// The size of the record behind the length field at `at`, whatever that says, if the record's
    /// checksum proves it.
    fn intact_record(&self, data: &[u8], at: usize, chain: Option<u32>) -> Option<usize> {
        let bytes = data.get(at + LENGTH_BYTES..)?;
        let record = record::parse(bytes)?;
        let kind = RecordType::from_number(record.kind)?;
        // The checksum says nothing of a checksum record's own end, so that half a seal is one.
        let place = Place { sequence: self.sequence, offset: at as u64 };
        let whole = kind != RecordType::Checksum || seal::read(&record, bytes, place).is_some();
        (whole && record.checksum(chain?, bytes) == record.crc).then_some(record.len)
    }

    /// Whether only zeros follow.
    pub(crate) fn zero_from(&self, at: u64) -> Result<bool, DiskError> {
        let mut at = at;
        while at < self.data_end {
            let len = (self.data_end - at).min(CHUNK_BYTES);
            let piece = self.disk.read(self.file, at, len as usize)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }
}

/// The length field at `at`, with zeros for what is behind the data.
fn length_field(data: &[u8], at: usize) -> u64 {
    let mut field = [0; LENGTH_BYTES];
    let held = data.get(at..).unwrap_or_default();
    let held = &held[..held.len().min(LENGTH_BYTES)];
    field[..held.len()].copy_from_slice(held);
    u64::from_le_bytes(field)
}

/// Whether a sector that `at..end` touches is zero from `at` on: it was not written, or the data is
/// zero there.
fn has_lost_sector(data: &[u8], at: u64, end: u64) -> bool {
    if end > (data.len() as u64).next_multiple_of(SECTOR_BYTES) {
        return true;
    }
    let mut start = at;
    while start < end {
        let next = (start + 1).next_multiple_of(SECTOR_BYTES);
        let sector = &data[(start as usize).min(data.len())..(next as usize).min(data.len())];
        if sector.iter().all(|byte| *byte == 0) {
            return true;
        }
        start = next;
    }
    false
}
