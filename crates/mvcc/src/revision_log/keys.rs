//! The keys' file of a segment: everything that its records say but their values.
//!
//! Owns the encoding. A store is opened from these files alone, and what is damaged in the data is
//! known by them: the record's key and revision, and the checksum by which a peer's copy of it is
//! known to be the same.
//!
//! ```text
//! block    checksum u32 · length of the content u32 · content
//! content  offset of the first of these records in the data · entries
//! entry    kind u8 · revision, less that of the entry before · place in it · length of the key
//!          revision less creation
//!          a put only: version · lease, zigzag · length of the value
//!          checksum of the record's body u32 · key
//! ```
//!
//! Numbers are variable-length (LEB128) but where a width stands. Records follow each other in the
//! data without gaps, so that an entry's offset follows from the lengths of those before it. A
//! block's checksum also covers the segment's [seed](Seed) and the block's own offset.

use bytes::{Buf, BufMut, Bytes};
use quorate_wal::disk::{Disk, DiskPath};

use super::damage::Defect;
use super::record::{HEADER_BYTES, Record};
use super::segment::{Extent, Seed, SegmentInfo};
use crate::response::KeyValue;
use crate::revision::{ChangeRevision, LeaseId, Revision};

/// A block is ended when its content is at least so long, in bytes.
const BLOCK_BYTES: usize = 16 << 10;
const BLOCK_HEADER_BYTES: usize = 8;
/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

const PUT: u8 = 0;
const TOMBSTONE: u8 = 1;

/// What a keys' file says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeysEntry {
    /// The record without its value.
    pub(crate) record: Record,
    /// Where in the data its frame begins.
    pub(crate) offset: u32,
    /// Of its frame, in bytes.
    pub(crate) frame_len: u32,
    /// CRC-32C of its body.
    pub(crate) body_crc: u32,
}

impl KeysEntry {
    /// Where the next record's frame begins.
    pub(crate) fn end(&self) -> u32 {
        self.offset + self.frame_len
    }

    /// The length of the record's body, in bytes.
    pub(crate) fn body_len(&self) -> u32 {
        self.frame_len - HEADER_BYTES as u32
    }
}

/// Reads a segment's keys' file, and says where it is not the one that the segment's info names.
pub(crate) fn check_keys(
    dir: &DiskPath,
    info: &SegmentInfo,
    disk: &dyn Disk,
) -> Result<(), (u64, Defect)> {
    let mut reader = KeysReader::new(dir, info);
    loop {
        let at = reader.extent().len;
        if reader.next_block(disk).map_err(|what| (at, what))?.is_empty() {
            break;
        }
    }
    // Blocks that were all written one time or another, but not all of them this time.
    if reader.extent() == info.keys { Ok(()) } else { Err((0, Defect::Foreign)) }
}

/// What is encoded of a record.
struct EntryFields<'a> {
    record: &'a Record,
    value_len: usize,
    body_crc: u32,
}

/// Encodes a keys' file, block by block.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeysWriter {
    /// The content of the block that is not full yet.
    content: Vec<u8>,
    previous: i64,
}

impl KeysWriter {
    /// Adds an entry for a record of a segment, and its block to `out` once that is full. `out` goes
    /// to the end of the file that the segment has so far.
    pub(crate) fn add(
        &mut self,
        record: &Record,
        (offset, body_crc): (u32, u32),
        segment: &mut SegmentInfo,
        out: &mut Vec<u8>,
    ) {
        let entry = EntryFields { record, value_len: record.kv.value.len(), body_crc };
        self.put(&entry, offset, segment, out);
    }

    /// Adds an entry of another segment, whose record is copied to an offset of this one.
    pub(crate) fn add_entry(
        &mut self,
        entry: &KeysEntry,
        offset: u32,
        segment: &mut SegmentInfo,
        out: &mut Vec<u8>,
    ) {
        let value_len = entry.frame_len as usize - HEADER_BYTES - entry.record.body_len_with(0);
        let fields = EntryFields { record: &entry.record, value_len, body_crc: entry.body_crc };
        self.put(&fields, offset, segment, out);
    }

    fn put(
        &mut self,
        fields: &EntryFields<'_>,
        offset: u32,
        segment: &mut SegmentInfo,
        out: &mut Vec<u8>,
    ) {
        let EntryFields { record, value_len, body_crc } = *fields;
        if self.content.is_empty() {
            put_number(u64::from(offset), &mut self.content);
            self.previous = 0;
        }
        let Record { revision, is_tombstone, ref kv } = *record;
        let content = &mut self.content;
        content.put_u8(if is_tombstone { TOMBSTONE } else { PUT });
        put_number((revision.main.0 - self.previous) as u64, content);
        self.previous = revision.main.0;
        put_number(u64::from(revision.sub), content);
        put_number(kv.key.len() as u64, content);
        put_number((revision.main.0 - kv.create_revision.0) as u64, content);
        if !is_tombstone {
            put_number(kv.version as u64, content);
            let lease = LeaseId::to_wire(kv.lease);
            put_number((lease << 1 ^ lease >> 63) as u64, content);
            put_number(value_len as u64, content);
        }
        content.put_u32_le(body_crc);
        content.put_slice(&kv.key);
        if content.len() >= BLOCK_BYTES {
            self.flush(segment, out);
        }
    }

    /// Ends the block that is not full.
    pub(crate) fn flush(&mut self, segment: &mut SegmentInfo, out: &mut Vec<u8>) {
        if self.content.is_empty() {
            return;
        }
        let begin = out.len();
        let crc = block_checksum(segment.seed(), segment.keys.len, &self.content);
        out.put_u32_le(crc);
        out.put_u32_le(self.content.len() as u32);
        out.put_slice(&self.content);
        self.content.clear();
        segment.keys.append(&out[begin..]);
    }

    /// The entries that are in no block of the file yet.
    pub(crate) fn unwritten(&self) -> Vec<KeysEntry> {
        let content = Bytes::copy_from_slice(&self.content);
        decode(content).expect("what was just encoded can be decoded")
    }
}

/// Reads the keys' file of a segment, block by block.
#[derive(Clone, Debug)]
pub(crate) struct KeysReader {
    file: DiskPath,
    seed: Seed,
    /// How much of the file counts.
    len: u64,
    /// Of the blocks that were read.
    read: Extent,
    /// What was read from the disk and not decoded yet.
    buffer: Bytes,
    /// Where in the data the next record begins.
    offset: u32,
}

impl KeysReader {
    pub(crate) fn new(dir: &DiskPath, segment: &SegmentInfo) -> KeysReader {
        KeysReader {
            file: segment.id.keys_file(dir),
            seed: segment.seed(),
            len: segment.keys.len,
            read: Extent::default(),
            buffer: Bytes::new(),
            offset: 0,
        }
    }

    /// What was read so far.
    pub(crate) fn extent(&self) -> Extent {
        self.read
    }

    /// The entries of the next block; none at the end of the file.
    ///
    /// # Errors
    /// If the block cannot be read, or is not the one that was written there.
    pub(crate) fn next_block(&mut self, disk: &dyn Disk) -> Result<Vec<KeysEntry>, Defect> {
        if self.read.len == self.len {
            return Ok(Vec::new());
        }
        self.fill(BLOCK_HEADER_BYTES, disk)?;
        let mut header = &self.buffer[..BLOCK_HEADER_BYTES];
        let (stored, content_len) = (header.get_u32_le(), header.get_u32_le() as usize);
        let left = self.len - self.read.len - BLOCK_HEADER_BYTES as u64;
        if content_len as u64 > left {
            return Err(Defect::Header);
        }
        self.fill(BLOCK_HEADER_BYTES + content_len, disk)?;
        let block = self.buffer.split_to(BLOCK_HEADER_BYTES + content_len);
        let content = block.slice(BLOCK_HEADER_BYTES..);
        if block_checksum(self.seed, self.read.len, &content) != stored {
            return Err(Defect::Body);
        }
        let entries = decode(content).ok_or(Defect::Undecodable)?;
        match (entries.first(), entries.last()) {
            (Some(first), Some(last)) if first.offset == self.offset => self.offset = last.end(),
            _ => return Err(Defect::Undecodable),
        }
        self.read.append(&block);
        Ok(entries)
    }

    fn fill(&mut self, wanted: usize, disk: &dyn Disk) -> Result<(), Defect> {
        if self.buffer.len() >= wanted {
            return Ok(());
        }
        let left = self.len - self.read.len;
        let len = wanted.max(READ_BYTES).min(left as usize);
        let bytes = disk.read(&self.file, self.read.len, len).map_err(Defect::from)?;
        if bytes.len() < wanted {
            return Err(Defect::Missing);
        }
        self.buffer = bytes;
        Ok(())
    }
}

fn block_checksum(seed: Seed, at: u64, content: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&at.to_le_bytes());
    place[8..].copy_from_slice(&(content.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&seed.to_bytes()), &place);
    crc32c::crc32c_append(crc, content)
}

fn decode(mut content: Bytes) -> Option<Vec<KeysEntry>> {
    let mut entries = Vec::new();
    if content.is_empty() {
        return Some(entries);
    }
    let mut offset = u32::try_from(get_number(&mut content)?).ok()?;
    let mut previous = 0_i64;
    while content.has_remaining() {
        let entry = decode_entry(&mut content, previous, offset)?;
        previous = entry.record.revision.main.0;
        offset = offset.checked_add(entry.frame_len)?;
        entries.push(entry);
    }
    Some(entries)
}

fn decode_entry(content: &mut Bytes, previous: i64, offset: u32) -> Option<KeysEntry> {
    let is_tombstone = match content.try_get_u8().ok()? {
        PUT => false,
        TOMBSTONE => true,
        _ => return None,
    };
    let main = Revision(previous.checked_add(get_number(content)? as i64)?);
    let revision = ChangeRevision { main, sub: u32::try_from(get_number(content)?).ok()? };
    let key_len = usize::try_from(get_number(content)?).ok()?;
    let create_revision = Revision(main.0.checked_sub(get_number(content)? as i64)?);
    let mut kv = KeyValue { create_revision, mod_revision: main, ..KeyValue::default() };
    let mut value_len = 0;
    if !is_tombstone {
        kv.version = get_number(content)? as i64;
        let lease = get_number(content)?;
        kv.lease = LeaseId::from_wire((lease >> 1) as i64 ^ -((lease & 1) as i64));
        value_len = usize::try_from(get_number(content)?).ok()?;
    }
    let body_crc = content.try_get_u32_le().ok()?;
    if key_len > content.len() {
        return None;
    }
    kv.key = content.split_to(key_len);
    let record = Record { revision, is_tombstone, kv };
    let frame_len = record.body_len_with(value_len).checked_add(HEADER_BYTES)?;
    Some(KeysEntry { record, offset, frame_len: u32::try_from(frame_len).ok()?, body_crc })
}

fn put_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn get_number(bytes: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        for number in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(number, &mut bytes);
            let mut bytes = Bytes::from(bytes);
            assert_eq!(get_number(&mut bytes), Some(number));
            assert!(bytes.is_empty());
        }
        assert_eq!(get_number(&mut Bytes::from_static(&[0x80])), None);
    }
}
