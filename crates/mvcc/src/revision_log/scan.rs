//! A segment's data read from its beginning, by nothing but its own bytes.

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskPath};

use super::damage::Defect;
use super::keys::{KeysEntry, KeysReader, KeysWriter};
use super::record::{FrameHeader, HEADER_BYTES, Record};
use super::segment::{Extent, Seed, SegmentInfo};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// A record as the data has it.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) record: Record,
    /// Where in the data its frame begins.
    pub(crate) offset: u32,
    /// CRC-32C of its body.
    pub(crate) body_crc: u32,
}

impl Scanned {
    /// What a keys' file would say of it.
    pub(crate) fn into_entry(self) -> KeysEntry {
        let Scanned { mut record, offset, body_crc } = self;
        let frame_len = record.frame_len();
        record.kv.value = Bytes::new();
        KeysEntry { record, offset, frame_len, body_crc }
    }
}

/// A segment's keys' file written anew from its data: the segment with it, and its bytes. One write
/// that went astray damages both: a record that is damaged is passed over if what is intact of the
/// keys' file says what it was.
///
/// # Errors
/// Where the data is damaged beyond that, and how.
pub(crate) fn rebuild_keys(
    dir: &DiskPath,
    info: &SegmentInfo,
    disk: &dyn Disk,
) -> Result<(SegmentInfo, Vec<u8>), (u64, Defect)> {
    let mut rebuilt = SegmentInfo { keys: Extent::default(), ..*info };
    let (mut writer, mut bytes) = (KeysWriter::default(), Vec::new());
    let mut scan = DataScan::new(dir, info);
    let mut intact: Option<Vec<KeysEntry>> = None;
    let (mut records, mut last) = (0, None);
    loop {
        let revision = match scan.next(disk) {
            Ok(None) => break,
            Ok(Some(Scanned { record, offset, body_crc })) => {
                writer.add(&record, (offset, body_crc), &mut rebuilt, &mut bytes);
                record.revision
            }
            Err((at, what)) => {
                let intact = intact.get_or_insert_with(|| intact_entries(dir, info, disk));
                let entry = intact.iter().find(|entry| u64::from(entry.offset) == at);
                let entry = entry.ok_or((at, what))?;
                writer.add_entry(entry, entry.offset, &mut rebuilt, &mut bytes);
                scan.pass_over(entry.frame_len);
                entry.record.revision
            }
        };
        (records, last) = (records + 1, Some(revision));
    }
    writer.flush(&mut rebuilt, &mut bytes);
    // Where a record was passed over, each of the others is known by its place all the same.
    let is_it = match intact {
        None => scan.extent() == info.data,
        Some(_) => (records, last) == (info.records, Some(info.last)),
    };
    if is_it { Ok((rebuilt, bytes)) } else { Err((0, Defect::Foreign)) }
}

/// What a keys' file says up to where it is damaged.
fn intact_entries(dir: &DiskPath, info: &SegmentInfo, disk: &dyn Disk) -> Vec<KeysEntry> {
    let (mut reader, mut intact) = (KeysReader::new(dir, info), Vec::new());
    while let Ok(entries) = reader.next_block(disk) {
        if entries.is_empty() {
            break;
        }
        intact.extend(entries);
    }
    intact
}

/// A walk over the records of a segment's data.
#[derive(Debug)]
pub(crate) struct DataScan {
    file: DiskPath,
    seed: Seed,
    /// How much of the file counts.
    len: u64,
    scanned: Extent,
    /// What was read and not decoded yet.
    buffer: Bytes,
}

impl DataScan {
    pub(crate) fn new(dir: &DiskPath, info: &SegmentInfo) -> DataScan {
        DataScan::of_file(&info.id.data_file(dir), info.seed(), info.data.len)
    }

    /// A walk over a file with the data of a segment.
    pub(crate) fn of_file(file: &DiskPath, seed: Seed, len: u64) -> DataScan {
        let (scanned, buffer) = (Extent::default(), Bytes::new());
        DataScan { file: file.clone(), seed, len, scanned, buffer }
    }

    /// What was read so far.
    pub(crate) fn extent(&self) -> Extent {
        self.scanned
    }

    /// The next record, and none at the end.
    ///
    /// # Errors
    /// Where the data is damaged, and how. There is no going on from there.
    pub(crate) fn next(&mut self, disk: &dyn Disk) -> Result<Option<Scanned>, (u64, Defect)> {
        let at = self.scanned.len;
        if at == self.len {
            return Ok(None);
        }
        self.decode(disk).map(Some).map_err(|what| (at, what))
    }

    /// Goes on behind a record that is damaged. What was read so far is not known any more.
    fn pass_over(&mut self, frame_len: u32) {
        self.scanned.len += u64::from(frame_len);
        self.buffer = Bytes::new();
    }

    fn decode(&mut self, disk: &dyn Disk) -> Result<Scanned, Defect> {
        let offset = self.scanned.len as u32;
        self.fill(HEADER_BYTES, disk)?;
        let header = FrameHeader::decode(&self.buffer, self.seed, offset).ok_or(Defect::Header)?;
        let frame_len = usize::try_from(header.frame_len()).map_err(|_| Defect::Header)?;
        self.fill(frame_len, disk)?;
        let frame = self.buffer.split_to(frame_len);
        let body = frame.slice(HEADER_BYTES..);
        if crc32c::crc32c(&body) != header.body_crc {
            return Err(Defect::Body);
        }
        let record = Record::decode_body(&body).ok_or(Defect::Undecodable)?;
        self.scanned.append(&frame);
        Ok(Scanned { record, offset, body_crc: header.body_crc })
    }

    fn fill(&mut self, wanted: usize, disk: &dyn Disk) -> Result<(), Defect> {
        if self.buffer.len() >= wanted {
            return Ok(());
        }
        let left = self.len - self.scanned.len;
        if wanted as u64 > left {
            return Err(Defect::Missing);
        }
        let len = wanted.max(READ_BYTES).min(left as usize);
        self.buffer = disk.read(&self.file, self.scanned.len, len).map_err(Defect::from)?;
        if self.buffer.len() < wanted { Err(Defect::Missing) } else { Ok(()) }
    }
}
