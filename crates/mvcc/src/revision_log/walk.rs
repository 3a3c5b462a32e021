//! Records in the order of their revisions.

use bytes::Bytes;
use quorate_wal::disk::Disk;

use super::RevisionLog;
use super::damage::{Damage, Defect};
use super::record::{FrameHeader, HEADER_BYTES, Record};
use super::segment::Segment;
use crate::revision::Revision;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// A walk over the log's records, whether they can still be seen or not.
pub(crate) struct Walk<'a> {
    log: &'a RevisionLog,
    /// The segment's place in the order.
    segment: usize,
    /// Where in it the next record begins.
    offset: u32,
    /// What was read of its data, and from where on.
    piece: (u32, Bytes),
    /// The place in memory of the next record that is not on the disk.
    recent: usize,
}

impl RevisionLog {
    /// A walk from the first record of the segment on in which a revision may be.
    pub(crate) fn walk(&self, from: Revision) -> Walk<'_> {
        let segment = self.order.partition_point(|slot| {
            let info = &self.segment(*slot).info;
            info.records > 0 && info.last.main < from
        });
        let recent = match self.order.get(segment).map(|slot| self.segment(*slot)) {
            // What is in memory lies behind it. (Names ascend only from one tail to the next: a
            // segment that was merged from others has a later one than those behind it.)
            Some(begin) if begin.end > 0 && begin.written == begin.end => 0,
            Some(begin) => self.recent.partition_point(|recent| recent.segment < begin.info.id),
            None => self.recent.len(),
        };
        Walk { log: self, segment, offset: 0, piece: (0, Bytes::new()), recent }
    }
}

impl Walk<'_> {
    /// The next record, and none after the last one. `matters` is asked whether a record that
    /// cannot be read can still be seen; if not, it is passed over.
    ///
    /// # Errors
    /// If a record that matters cannot be read.
    pub(crate) fn next(
        &mut self,
        disk: &dyn Disk,
        matters: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, Damage> {
        loop {
            let Some(slot) = self.log.order.get(self.segment) else { return Ok(None) };
            let segment = self.log.segment(*slot);
            if self.offset >= segment.written {
                let in_memory = self.log.recent.get(self.recent);
                match in_memory.filter(|recent| recent.segment == segment.info.id) {
                    Some(recent) => {
                        self.recent += 1;
                        self.offset = recent.offset + recent.record.frame_len();
                        return Ok(Some(recent.record.clone()));
                    }
                    None => {
                        self.segment += 1;
                        self.offset = 0;
                        self.piece = (0, Bytes::new());
                        continue;
                    }
                }
            }
            match self.read(segment, disk) {
                Ok((header, body)) => {
                    let at = self.offset;
                    self.offset += header.frame_len() as u32;
                    let record = Record::decode_body(&body);
                    let damage = || self.log.damage(segment, at, Defect::Undecodable, disk);
                    return record.ok_or_else(damage).map(Some);
                }
                Err(what) => {
                    let at = self.offset;
                    let entry = self.log.keys_entry(segment, at, disk);
                    match entry.filter(|entry| !matters(&entry.record)) {
                        Some(entry) => self.offset = entry.end(),
                        None => return Err(self.log.damage(segment, at, what, disk)),
                    }
                }
            }
        }
    }

    fn read(&mut self, segment: &Segment, disk: &dyn Disk) -> Result<(FrameHeader, Bytes), Defect> {
        let header = self.take(segment, HEADER_BYTES, disk)?;
        let header =
            FrameHeader::decode(&header, segment.info.seed(), self.offset).ok_or(Defect::Header)?;
        let frame_len = usize::try_from(header.frame_len()).map_err(|_| Defect::Header)?;
        let body = self.take(segment, frame_len, disk)?.slice(HEADER_BYTES..);
        if crc32c::crc32c(&body) != header.body_crc {
            return Err(Defect::Body);
        }
        Ok((header, body))
    }

    /// So many bytes from the next record's beginning on.
    fn take(&mut self, segment: &Segment, len: usize, disk: &dyn Disk) -> Result<Bytes, Defect> {
        if u64::from(self.offset) + len as u64 > u64::from(segment.written) {
            return Err(Defect::Missing);
        }
        let within = (self.offset - self.piece.0) as usize;
        if within + len > self.piece.1.len() {
            let place = self.log.place.as_ref().expect("what was written has a place");
            let left = (segment.written - self.offset) as usize;
            let wanted = len.max(READ_BYTES).min(left);
            let file = segment.info.id.data_file(&place.dir);
            let bytes = disk.read(&file, u64::from(self.offset), wanted);
            self.piece = (self.offset, bytes.map_err(Defect::from)?);
            if self.piece.1.len() < len {
                return Err(Defect::Missing);
            }
            return Ok(self.piece.1.slice(..len));
        }
        Ok(self.piece.1.slice(within..within + len))
    }
}
