//! Reading a segment batch by batch, up to where its frames end.
//!
//! Owns where batches begin and end, and whether a seal is that of its batch. Never decides what
//! counts, nor what it means that the frames end: that is the [replay](crate::replay)'s, and the
//! [recovery table](crate::verdict)'s.

use bytes::Bytes;

use crate::disk::{Disk, DiskError, DiskPath};
use crate::error::Corruption;
use crate::reader::{Frame, Reader};
use crate::record::seal::{self, Batch, Found, Seal};
use crate::record::{LENGTH_BYTES, RecordType};
use crate::segment::SegmentName;

/// A segment that is being read.
pub(crate) struct Scan<'a> {
    pub(crate) reader: Reader<'a>,
    sequence: u64,
    /// Where the next frame begins.
    pub(crate) at: u64,
    /// The chain's value there; none if it is not known.
    pub(crate) chain: Option<u32>,
    /// What was read of the batch.
    pub(crate) batch: Batch,
    /// How many records of the header were read.
    pub(crate) header: usize,
}

/// What comes next in a segment.
pub(crate) enum Item {
    /// A record whose checksum is right. It counts once its batch's seal does.
    Record { at: u64, kind: RecordType, data: Bytes },
    /// The seal of all records since the one before.
    Seal(Seal),
    /// There is no frame, or a wrong one. The scan stays here.
    Stop(Option<Corruption>),
}

/// Where reading goes on behind damage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resume {
    /// Where in the segment, in bytes: at a batch that is intact, or behind a seal.
    pub(crate) at: u64,
    /// The chain's value there; none in front of a batch, which its seal vouches for.
    pub(crate) chain: Option<u32>,
}

impl Resume {
    /// At or behind a seal: at its batch only if that is `ahead` of what was tried already.
    pub(crate) fn from(found: &Found, ahead: bool) -> Resume {
        match found.is_intact && ahead {
            true => Resume { at: found.start, chain: None },
            false => Resume { at: found.end, chain: Some(found.chain) },
        }
    }
}

/// What each segment begins with.
pub(crate) const HEADER: [RecordType; 2] = [RecordType::Checksum, RecordType::Metadata];

impl<'a> Scan<'a> {
    /// A segment from its beginning, where the chain has the value `chain`; none if it is the
    /// first that is read.
    pub(crate) fn open(
        disk: &'a dyn Disk,
        file: &'a DiskPath,
        name: SegmentName,
        chain: Option<u32>,
    ) -> Result<Scan<'a>, DiskError> {
        let sequence = name.sequence;
        Ok(Scan {
            reader: Reader::open(disk, file, name)?,
            sequence,
            at: 0,
            chain,
            batch: Batch::beginning_at(seal::Place { sequence, offset: 0 }),
            header: 0,
        })
    }

    /// Reads on behind damage.
    pub(crate) fn resume(&mut self, resume: &Resume) {
        (self.at, self.chain) = (resume.at, resume.chain);
        self.begin_batch();
        self.header = match self.at {
            0 => 0,
            _ => HEADER.len(),
        };
    }

    pub(crate) fn next(&mut self) -> Result<Item, DiskError> {
        let at = self.at;
        let (kind, record, frame) = match self.reader.frame(at, self.chain)? {
            Frame::Record { kind, record, frame } => (kind, record, frame),
            Frame::End => return Ok(Item::Stop(None)),
            Frame::Bad(found) => return Ok(Item::Stop(Some(found))),
        };
        if let Some(expected) = HEADER.get(self.header).filter(|expected| **expected != kind) {
            let found = Corruption::Header { expected: *expected as u64, found: kind as u64 };
            return Ok(Item::Stop(Some(found)));
        }
        let body = frame.slice(LENGTH_BYTES..);
        let frame_len = frame.len() as u64;
        if kind == RecordType::Checksum && record.data.is_some() {
            let place = seal::Place { sequence: self.sequence, offset: at };
            let seal = seal::read(&record, &body, place).filter(|seal| self.is_sealed_by(seal));
            let Some(seal) = seal else {
                let start = self.batch.start.offset;
                return Ok(Item::Stop(Some(Corruption::Seal { start })));
            };
            self.at += frame_len;
            self.chain = Some(record.crc);
            self.begin_batch();
            return Ok(Item::Seal(seal));
        }
        self.header += 1;
        self.at += frame_len;
        self.chain = Some(record.crc);
        self.batch.extend(&frame);
        let data = record.data.map_or_else(Bytes::new, |data| body.slice(data));
        Ok(Item::Record { at, kind, data })
    }

    fn is_sealed_by(&self, seal: &Seal) -> bool {
        u64::from(seal.batch_len) == self.batch.len && seal.checksum == self.batch.checksum
    }

    fn begin_batch(&mut self) {
        self.batch = Batch::beginning_at(seal::Place { sequence: self.sequence, offset: self.at });
    }
}
