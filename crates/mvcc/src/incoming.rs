//! A store that is being received, segment by segment, in chunks.
//!
//! Owns that nothing counts which was not verified: each record as it arrives, and each segment as
//! a whole against the checksum in the manifest, before the store can be opened from it. Fetches
//! the records only: the keys' files are written here, by what the records say. What arrived stays
//! when the transfer breaks off, or the process dies; the next one goes on behind it. What the
//! store here has already, from an earlier transfer or of itself, is not fetched again.
//!
//! While a segment arrives, its files have names of their own: `in-`, the transfer, and what the
//! manifest says of the segment. They get the store's names when all are complete.

use bytes::{Bytes, BytesMut};
use quorate_wal::disk::{Disk, DiskError, DiskOp, DiskPath};

use crate::manifest::Manifest;
use crate::revision_log::damage::Defect;
use crate::revision_log::keys::KeysWriter;
use crate::revision_log::record::{FrameHeader, HEADER_BYTES};
use crate::revision_log::segment::{Extent, SegmentId, SegmentInfo};
use crate::revision_log::{DataScan, Record, Scanned};
use crate::store::{Reader, Store};

const PREFIX: &str = "in-";

/// A part of a segment's data, as one member asks another for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkId {
    /// The segment, by its name at the sender.
    pub segment: SegmentId,
    /// Where in its data, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
}

/// Why a chunk was not taken. Another one is to be asked for: see [`Incoming::next_missing`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// It is not the one that is missing next: it came late, or twice.
    #[error("it is not the chunk that is missing next")]
    Unexpected,
    /// The record at an offset is not one that a store wrote there.
    #[error("segment {segment}: the record at byte {offset} is damaged: {what}; ask for it again")]
    Damaged {
        /// The segment, by its name at the sender.
        segment: SegmentId,
        /// Where in its data.
        offset: u64,
        /// What is wrong.
        what: Defect,
    },
    /// All records are sound, but they are not those of the segment. It is fetched anew.
    #[error("segment {segment} is not the one that the manifest names; it is fetched anew")]
    Different {
        /// The segment, by its name at the sender.
        segment: SegmentId,
    },
}

/// A store on its way here.
#[derive(Clone, Debug)]
pub struct Incoming {
    dir: DiskPath,
    manifest: Manifest,
    /// The name that the first segment gets here; the others follow.
    first_id: SegmentId,
    /// Which segments are here already.
    complete: Vec<Option<SegmentInfo>>,
    /// The one that is being fetched.
    arriving: Option<Arriving>,
    /// What is to be done on the disk with the next chunk.
    owed: Vec<DiskOp>,
    /// Where the data of each segment that is fetched is written.
    data_files: Vec<Option<DiskPath>>,
    /// For which segments a keys' file is there.
    keys_files: Vec<bool>,
    max_chunk: u32,
}

/// A segment on its way here.
#[derive(Clone, Debug)]
struct Arriving {
    /// Which of the manifest.
    number: usize,
    /// What was taken so far.
    info: SegmentInfo,
    keys: KeysWriter,
    /// The blocks of its keys' file, which is written when all is here.
    blocks: Vec<u8>,
    /// The beginning of a record that is not all here, behind what was taken.
    rest: BytesMut,
    /// Its data's file is there.
    has_file: bool,
}

impl Reader<'_> {
    /// A part of a segment's data, for a member that is far behind: fewer bytes only where it ends.
    /// It is as the disk has it; whoever gets it verifies it. The segment stays as long as a
    /// manifest that is [retained](Store::retain) names it.
    ///
    /// # Errors
    /// If it is not there (any more), or cannot be read.
    pub fn chunk(&self, chunk: &ChunkId) -> Result<Bytes, DiskError> {
        let Some(place) = &self.store.log.place else {
            return Err(DiskError::NotFound { path: DiskPath::root() });
        };
        let file = chunk.segment.data_file(&place.dir);
        self.disk.read(&file, chunk.offset, chunk.len as usize)
    }
}

impl Store {
    /// Begins, or goes on, to receive the store that a manifest of another member names. What is
    /// known to be damaged here is fetched anew. `max_chunk` is how much is asked for at once, in
    /// bytes.
    ///
    /// # Panics
    /// If the store is all in memory, or `max_chunk` is zero.
    pub fn receive(
        &mut self,
        manifest: Manifest,
        damaged: &[SegmentId],
        max_chunk: u32,
    ) -> Incoming {
        assert!(max_chunk > 0, "a chunk of nothing leads nowhere");
        let place = self.log.place.as_ref().expect("a store in memory receives nothing");
        let dir = place.dir.clone();
        let sound = |info: &SegmentInfo| !damaged.contains(&info.id);
        let have = self.log.settled().map(|slot| self.log.segment(slot).info);
        let have: Vec<SegmentInfo> = have.filter(sound).collect();
        let is_same = |one: &SegmentInfo, other: &SegmentInfo| {
            (one.first, one.last, one.records, one.data)
                == (other.first, other.last, other.records, other.data)
        };
        let here = |remote: &SegmentInfo| have.iter().find(|info| is_same(info, remote)).copied();
        let complete: Vec<_> = manifest.segments.iter().map(here).collect();
        let keys_files = vec![false; complete.len()];
        let data_files = vec![None; complete.len()];
        let first_id = self.log.take_ids(manifest.segments.len() as u64);
        Incoming {
            dir,
            manifest,
            first_id,
            complete,
            arriving: None,
            owed: Vec::new(),
            data_files,
            keys_files,
            max_chunk,
        }
    }
}

impl Incoming {
    /// The manifest of the sender.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The segments of the store here that it consists of so far. They must stay.
    pub(crate) fn shared(&self) -> impl Iterator<Item = SegmentId> {
        self.complete.iter().flatten().map(|info| info.id)
    }

    /// How many bytes are here, and how many there will be.
    #[must_use]
    pub fn received(&self) -> (u64, u64) {
        let complete = self.complete.iter().flatten().map(|info| info.data.len);
        let arriving = self.arriving.as_ref().map_or(0, |arriving| arriving.info.data.len);
        let total = self.manifest.segments.iter().map(|info| info.data.len).sum();
        (complete.sum::<u64>() + arriving, total)
    }

    /// What to ask for next, `None` once all is here. What an earlier transfer left is read from
    /// the disk and verified before.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn next_missing(&mut self, disk: &dyn Disk) -> Result<Option<ChunkId>, DiskError> {
        while self.arriving.is_none() {
            let Some(number) = self.complete.iter().position(Option::is_none) else {
                return Ok(None);
            };
            let arriving = self.resume(number, disk)?;
            if arriving.is(&self.manifest.segments[number]) {
                // Perhaps it was never synced.
                let operations = self.complete(arriving);
                self.owed.extend(operations);
            } else {
                self.arriving = Some(arriving);
            }
        }
        let arriving = self.arriving.as_ref().expect("one is being fetched");
        let remote = &self.manifest.segments[arriving.number];
        let offset = arriving.info.data.len + arriving.rest.len() as u64;
        let left = remote.data.len - offset;
        let len = left.min(u64::from(self.max_chunk)) as u32;
        Ok(Some(ChunkId { segment: remote.id, offset, len }))
    }

    /// Takes a chunk, and answers with what is to be done on the disk before it counts.
    ///
    /// # Errors
    /// If it is not the one that is missing next, or is damaged. Nothing of it was taken then.
    pub fn accept(&mut self, chunk: &ChunkId, data: &[u8]) -> Result<Vec<DiskOp>, ChunkError> {
        let mut arriving = self.arriving.take().ok_or(ChunkError::Unexpected)?;
        let remote = self.manifest.segments[arriving.number];
        let offset = arriving.info.data.len + arriving.rest.len() as u64;
        let end = offset + data.len() as u64;
        let is_next = (chunk.segment, chunk.offset) == (remote.id, offset);
        if !is_next || data.is_empty() || end > remote.data.len {
            self.arriving = Some(arriving);
            return Err(ChunkError::Unexpected);
        }
        arriving.rest.extend_from_slice(data);
        let begin = arriving.info.data.len;
        let sound = arriving.sound_records();
        let sound = match sound {
            Ok(sound) => sound,
            Err((offset, what)) => {
                // What came before of the same record may be what is damaged.
                arriving.rest.clear();
                self.arriving = Some(arriving);
                return Err(ChunkError::Damaged { segment: remote.id, offset, what });
            }
        };
        let data = arriving.take(sound);
        let (data_file, _) = self.files(arriving.number);
        let mut operations = std::mem::take(&mut self.owed);
        if !std::mem::replace(&mut arriving.has_file, true) {
            operations.push(DiskOp::Create { file: data_file.clone() });
        }
        if !data.is_empty() {
            let file = data_file.clone();
            operations.push(DiskOp::Write { file, offset: begin, data });
        }
        if end < remote.data.len {
            self.arriving = Some(arriving);
            return Ok(operations);
        }
        if !arriving.is(&remote) {
            self.owed = operations;
            self.arriving = Some(Arriving::new(arriving.number, &remote, true));
            return Err(ChunkError::Different { segment: remote.id });
        }
        operations.extend(self.complete(arriving));
        Ok(operations)
    }

    /// All of a segment is here, and sound: what makes it durable.
    fn complete(&mut self, arriving: Arriving) -> Vec<DiskOp> {
        let Arriving { number, mut info, mut keys, mut blocks, .. } = arriving;
        let (data_file, keys_file) = self.files(number);
        let mut operations = Vec::new();
        keys.flush(&mut info, &mut blocks);
        if !std::mem::replace(&mut self.keys_files[number], true) {
            operations.push(DiskOp::Create { file: keys_file.clone() });
        }
        operations.extend([
            DiskOp::SetLen { file: keys_file.clone(), len: 0 },
            DiskOp::Write { file: keys_file.clone(), offset: 0, data: Bytes::from(blocks) },
            DiskOp::SetLen { file: data_file.clone(), len: info.data.len },
            DiskOp::Sync { file: data_file },
            DiskOp::Sync { file: keys_file },
            DiskOp::SyncDir { dir: self.dir.clone() },
        ]);
        self.complete[number] = Some(info);
        operations
    }

    /// All is here: the manifest by which the store can be [opened](Store::open) once these
    /// operations were carried out, after all those before.
    ///
    /// # Panics
    /// If something is missing.
    #[must_use]
    pub fn finish(self) -> (Manifest, Vec<DiskOp>) {
        let mut operations = self.owed.clone();
        let mut segments = Vec::with_capacity(self.complete.len());
        let mut id = self.first_id;
        for (number, complete) in self.complete.iter().enumerate() {
            let mut info = complete.expect("a transfer is finished when all is here");
            let has_arrived = info.id == SegmentId::default();
            if has_arrived {
                let (data, keys) = self.files(number);
                operations.push(DiskOp::Rename { from: data, to: id.data_file(&self.dir) });
                operations.push(DiskOp::Rename { from: keys, to: id.keys_file(&self.dir) });
                info.id = id;
            }
            id = id.next();
            segments.push(info);
        }
        operations.push(DiskOp::SyncDir { dir: self.dir.clone() });
        (Manifest { segments, ..self.manifest }, operations)
    }

    /// Removes what is there of other transfers than this one.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn remove_others(&self, disk: &dyn Disk) -> Result<Vec<DiskOp>, DiskError> {
        let ends: Vec<String> = self.manifest.segments.iter().map(name_end).collect();
        let is_own = |file: &DiskPath| {
            let stem = file.name().rsplit_once('.').map_or(file.name(), |(stem, _)| stem);
            ends.iter().any(|end| stem.ends_with(end))
        };
        let is_other = |file: &DiskPath| file.name().starts_with(PREFIX) && !is_own(file);
        let others = disk.list(&self.dir)?.into_iter().filter(is_other);
        Ok(others.map(|file| DiskOp::Remove { file }).collect())
    }

    /// The files of a segment on its way. Their names are this transfer's own, since the files of
    /// another one of the same segment may be about to be created.
    fn own_files(&self, number: usize) -> (DiskPath, DiskPath) {
        let stem = format!("{PREFIX}{}", self.first_id);
        let end = name_end(&self.manifest.segments[number]);
        let file = |kind| self.dir.join(&format!("{stem}{end}.{kind}"));
        (file("data"), file("keys"))
    }

    /// The data of a segment that some transfer left on the disk.
    fn left_behind(&self, number: usize, disk: &dyn Disk) -> Result<Option<DiskPath>, DiskError> {
        let end = format!("{}.data", name_end(&self.manifest.segments[number]));
        let is_it =
            |file: &DiskPath| file.name().starts_with(PREFIX) && file.name().ends_with(&end);
        Ok(disk.list(&self.dir)?.into_iter().find(is_it))
    }

    /// The files of a segment that is being fetched, or was.
    fn files(&self, number: usize) -> (DiskPath, DiskPath) {
        let (_, keys) = self.own_files(number);
        let data = self.data_files[number].clone();
        (data.expect("its file was chosen when its fetching began"), keys)
    }

    /// What is there of a segment: the records of its data up to the first that is not sound.
    fn resume(&mut self, number: usize, disk: &dyn Disk) -> Result<Arriving, DiskError> {
        let remote = self.manifest.segments[number];
        let (own_data, keys_file) = self.own_files(number);
        let data_file = self.left_behind(number, disk)?.unwrap_or(own_data);
        self.data_files[number] = Some(data_file.clone());
        let found_len = |file: &DiskPath| match disk.len(file) {
            Ok(len) => Ok(Some(len)),
            Err(DiskError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        self.keys_files[number] = found_len(&keys_file)?.is_some();
        let Some(len) = found_len(&data_file)? else {
            return Ok(Arriving::new(number, &remote, false));
        };
        let mut arriving = Arriving::new(number, &remote, true);
        let mut scan = DataScan::of_file(&data_file, remote.seed(), len.min(remote.data.len));
        while let Ok(Some(scanned)) = scan.next(disk) {
            if !arriving.follows(&scanned.record) {
                break;
            }
            arriving.add(&scanned);
            arriving.info.data = scan.extent();
        }
        if arriving.info.data.len == remote.data.len && !arriving.is(&remote) {
            return Ok(Arriving::new(number, &remote, true));
        }
        Ok(arriving)
    }
}

/// How the names of a segment's files end while it is on its way.
fn name_end(remote: &SegmentInfo) -> String {
    let Extent { len, crc } = remote.data;
    format!("-{}-{crc:08x}-{len}", remote.id)
}

impl Arriving {
    fn new(number: usize, remote: &SegmentInfo, has_file: bool) -> Arriving {
        Arriving {
            number,
            info: SegmentInfo {
                first: remote.first,
                cleaned: remote.cleaned,
                ..SegmentInfo::empty(SegmentId::default())
            },
            keys: KeysWriter::default(),
            blocks: Vec::new(),
            rest: BytesMut::new(),
            has_file,
        }
    }

    /// The records that are all in the rest.
    fn sound_records(&self) -> Result<Vec<Scanned>, (u64, Defect)> {
        let rest = Bytes::copy_from_slice(&self.rest);
        let mut sound: Vec<Scanned> = Vec::new();
        let mut at = 0;
        while rest.len() - at >= HEADER_BYTES {
            let offset = self.info.data.len + at as u64;
            let damaged = |what| (offset, what);
            let header = u32::try_from(offset)
                .ok()
                .and_then(|offset| FrameHeader::decode(&rest[at..], self.info.seed(), offset));
            let header = header.ok_or(damaged(Defect::Header))?;
            let frame_len = usize::try_from(header.frame_len());
            let frame_len = frame_len.map_err(|_| damaged(Defect::Header))?;
            if rest.len() - at < frame_len {
                break;
            }
            let body = rest.slice(at + HEADER_BYTES..at + frame_len);
            if crc32c::crc32c(&body) != header.body_crc {
                return Err(damaged(Defect::Body));
            }
            let record = Record::decode_body(&body).ok_or(damaged(Defect::Undecodable))?;
            let follows = match sound.last() {
                Some(before) => before.record.revision < record.revision,
                None => self.follows(&record),
            };
            if !follows {
                return Err(damaged(Defect::Foreign));
            }
            let (offset, body_crc) = (offset as u32, header.body_crc);
            sound.push(Scanned { record, offset, body_crc });
            at += frame_len;
        }
        Ok(sound)
    }

    /// Takes records off the rest. The result is their bytes.
    fn take(&mut self, sound: Vec<Scanned>) -> Bytes {
        let len: usize = sound.iter().map(|scanned| scanned.record.frame_len() as usize).sum();
        let data = self.rest.split_to(len).freeze();
        for scanned in &sound {
            self.add(scanned);
        }
        self.info.data.append(&data);
        data
    }

    fn add(&mut self, scanned: &Scanned) {
        let Scanned { record, offset, body_crc } = scanned;
        self.info.last = record.revision;
        self.info.records += 1;
        self.keys.add(record, (*offset, *body_crc), &mut self.info, &mut self.blocks);
    }

    fn follows(&self, record: &Record) -> bool {
        if self.info.records == 0 {
            record.revision == self.info.first
        } else {
            record.revision > self.info.last
        }
    }

    /// Whether what was taken is all of a segment of the manifest.
    fn is(&self, remote: &SegmentInfo) -> bool {
        let SegmentInfo { last, records, data, .. } = self.info;
        self.rest.is_empty() && (last, records, data) == (remote.last, remote.records, remote.data)
    }
}
