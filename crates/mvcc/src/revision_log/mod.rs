//! The log of changes, in the order of their revisions: what the index points into.
//!
//! Owns the records: in memory until they are on the disk, on the disk from then on, and read from
//! there by location through a bounded cache. Never writes by itself: it hands out operations.
//! Never knows which record is visible where: that is the index's to say.
//!
//! Segments are in the order of revisions, and so are the records in each. New records go to the
//! last segment, the tail. A log that was never given a directory keeps everything in memory.

pub(crate) mod cache;
pub(crate) mod damage;
pub(crate) mod keys;
pub(crate) mod location;
mod merging;
pub(crate) mod record;
mod scan;
pub(crate) mod segment;
mod walk;
mod writing;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskOp, DiskPath};

use self::cache::Cache;
use self::damage::{ChangeId, Damage, DamagedPart, Defect};
use self::keys::{KeysEntry, KeysReader, KeysWriter};
pub(crate) use self::location::{Location, Slot};
pub(crate) use self::record::Record;
use self::record::{FrameHeader, HEADER_BYTES};
pub(crate) use self::scan::{DataScan, Scanned, rebuild_keys};
use self::segment::{Extent, Segment, SegmentId, SegmentInfo, SegmentUse};
use crate::options::StoreOptions;
use crate::revision::ChangeRevision;

/// Where a log's files are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: DiskPath,
    pub(crate) options: StoreOptions,
}

/// A record that is not on the disk yet.
#[derive(Clone, Debug)]
struct Recent {
    segment: SegmentId,
    slot: Slot,
    offset: u32,
    record: Record,
}

/// Where a log stood between two transactions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    recent: usize,
    end: u32,
    first: ChangeRevision,
    last: ChangeRevision,
    records: u64,
}

/// The changes of a store, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct RevisionLog {
    /// `None`: everything stays in memory.
    pub(crate) place: Option<Place>,
    slots: Vec<Option<Segment>>,
    /// In the order of their revisions. The last one is the tail.
    pub(crate) order: Vec<Slot>,
    next_id: SegmentId,
    /// The files in the directory, or about to be there, whether the log needs them or not.
    pub(crate) files: BTreeSet<DiskPath>,
    /// What is not on the disk yet, oldest first. First what is in the batch under way, then what
    /// is encoded in the queue, then what is not encoded.
    recent: VecDeque<Recent>,
    encoded: usize,
    submitted: usize,
    /// Of the tail.
    keys: KeysWriter,
    /// What is to be done on the disk.
    queue: Vec<DiskOp>,
    is_under_way: bool,
    /// The segments into whose files the batch under way writes.
    written_under_way: BTreeSet<SegmentId>,
    /// How many batches were handed out.
    batches: u64,
    /// Reading is what fills it, and needs no more than `&self`.
    cache: RefCell<Cache>,
    /// The block of a keys' file in which something was looked up last: where much is damaged, the
    /// next one is mostly in it as well.
    keys_block: RefCell<Option<KeysBlock>>,
}

impl Default for RevisionLog {
    fn default() -> RevisionLog {
        RevisionLog::new(None, SegmentId(1))
    }
}

impl RevisionLog {
    /// An empty log, whose first segment has a given name.
    pub(crate) fn new(place: Option<Place>, first: SegmentId) -> RevisionLog {
        let cache_bytes = place.as_ref().map_or(0, |place| place.options.cache_bytes);
        let mut log = RevisionLog {
            place,
            slots: Vec::new(),
            order: Vec::new(),
            next_id: first,
            files: BTreeSet::new(),
            recent: VecDeque::new(),
            encoded: 0,
            submitted: 0,
            keys: KeysWriter::default(),
            queue: Vec::new(),
            is_under_way: false,
            written_under_way: BTreeSet::new(),
            batches: 0,
            cache: RefCell::new(Cache::new(cache_bytes)),
            keys_block: RefCell::new(None),
        };
        log.begin_tail();
        log
    }

    /// Where the next record, if it is this one, will lie.
    pub(crate) fn next_location(&self, record: &Record) -> Location {
        let slot = self.tail_slot();
        Location::new(slot, self.segment(slot).end, record.frame_len())
    }

    /// Appends the newest change.
    ///
    /// # Panics
    /// If it is not newer than the last one.
    pub(crate) fn push(&mut self, record: Record) -> Location {
        let location = self.next_location(&record);
        let slot = location.slot();
        let segment = self.segment_mut(slot);
        if segment.info.records == 0 {
            segment.info.first = record.revision;
        } else {
            let is_newer = segment.info.last < record.revision;
            assert!(is_newer, "changes are logged in revision order");
        }
        segment.info.last = record.revision;
        segment.info.records += 1;
        let (id, offset) = (segment.info.id, segment.end);
        let end = offset.checked_add(record.frame_len());
        segment.end = end.expect("a segment is far below 4 GiB");
        self.recent.push_back(Recent { segment: id, slot, offset, record });
        location
    }

    /// Where the log stands between two transactions.
    pub(crate) fn mark(&self) -> Mark {
        let tail = self.segment(self.tail_slot());
        let SegmentInfo { first, last, records, .. } = tail.info;
        Mark { recent: self.recent.len(), end: tail.end, first, last, records }
    }

    /// Takes back what was pushed since a mark.
    ///
    /// # Panics
    /// If the log has [settled](Self::settle) since then.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        assert!(mark.recent >= self.encoded, "only what was not encoded can be taken back");
        self.recent.truncate(mark.recent);
        let slot = self.tail_slot();
        let tail = self.segment_mut(slot);
        assert!(mark.end <= tail.end, "a transaction adds to the tail");
        tail.end = mark.end;
        (tail.info.first, tail.info.last, tail.info.records) =
            (mark.first, mark.last, mark.records);
    }

    /// The record at a location.
    ///
    /// # Errors
    /// If it cannot be read from the disk.
    ///
    /// # Panics
    /// If nothing was ever written there: whoever holds locations follows the merges.
    pub(crate) fn get(&self, location: Location, disk: &dyn Disk) -> Result<Record, Damage> {
        let (segment, offset) = (self.segment(location.slot()), location.offset());
        let id = segment.info.id;
        if offset >= segment.written {
            let at = self
                .recent
                .partition_point(|recent| (recent.segment, recent.offset) < (id, offset));
            let recent = self.recent.get(at).filter(|recent| recent.offset == offset);
            return Ok(recent.expect("an indexed location lies within the log").record.clone());
        }
        if let Some(record) = self.cache.borrow_mut().get((id, offset)) {
            return Ok(record);
        }
        let body = self.read_body(segment, offset, location.size_bound() as usize, disk)?;
        let record = Record::decode_body(&body);
        let record =
            record.ok_or_else(|| self.damage(segment, offset, Defect::Undecodable, disk))?;
        // It has the bytes that were read to itself.
        self.cache.borrow_mut().insert((id, offset), record.clone());
        Ok(record)
    }

    /// The record at a location. Whoever does not need its value may get one without it: all else
    /// of a damaged record is in the keys' file.
    ///
    /// # Errors
    /// If what is needed cannot be read.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub(crate) fn get_needed(
        &self,
        location: Location,
        needs_value: bool,
        disk: &dyn Disk,
    ) -> Result<Record, Damage> {
        self.get(location, disk).or_else(|damage| {
            if needs_value {
                return Err(damage);
            }
            let segment = self.segment(location.slot());
            let entry = self.keys_entry(segment, location.offset(), disk);
            entry.map(|entry| entry.record).ok_or(damage)
        })
    }

    /// The body of the record at an offset of a segment, read from the disk.
    fn read_body(
        &self,
        segment: &Segment,
        offset: u32,
        bound: usize,
        disk: &dyn Disk,
    ) -> Result<Bytes, Damage> {
        let dir = &self.place.as_ref().expect("what was written has a place").dir;
        read_frame(dir, segment, offset, bound, disk)
            .map(|(_, body)| body)
            .map_err(|what| self.damage(segment, offset, what, disk))
    }

    /// Tells which record is damaged, as far as that can be found out.
    pub(crate) fn damage(
        &self,
        segment: &Segment,
        offset: u32,
        what: Defect,
        disk: &dyn Disk,
    ) -> Damage {
        let entry = self.keys_entry(segment, offset, disk);
        let change = entry.map(|entry| ChangeId {
            key: entry.record.kv.key.clone(),
            revision: entry.record.revision.main,
        });
        let part = DamagedPart::Record { offset, change };
        Damage { segment: segment.info.id, part, what }
    }

    /// What the keys' file says of the record at an offset; `None` if it cannot be read so far.
    pub(crate) fn keys_entry(
        &self,
        segment: &Segment,
        offset: u32,
        disk: &dyn Disk,
    ) -> Option<KeysEntry> {
        let place = self.place.as_ref()?;
        let (id, keys) = (segment.info.id, segment.info.keys);
        let mut known = self.keys_block.borrow_mut();
        let found = known.as_ref().filter(|known| (known.segment, known.keys) == (id, keys));
        if let Some(entry) = found.and_then(|known| entry_at(&known.entries, offset)) {
            return Some(entry);
        }
        let mut reader = KeysReader::new(&place.dir, &segment.info);
        while let Ok(entries) = reader.next_block(disk) {
            match entries.last() {
                None => break,
                Some(last) if last.offset < offset => {}
                Some(_) => {
                    let entry = entry_at(&entries, offset);
                    *known = Some(KeysBlock { segment: id, keys, entries });
                    return entry;
                }
            }
        }
        let is_tail = self.segment(self.tail_slot()).info.id == segment.info.id;
        let unwritten = if is_tail { self.unwritten_keys() } else { Vec::new() };
        unwritten.into_iter().find(|entry| entry.offset == offset)
    }

    /// The entries of the tail's encoded records that its keys' file does not have yet.
    pub(crate) fn unwritten_keys(&self) -> Vec<KeysEntry> {
        self.keys.unwritten()
    }

    pub(crate) fn segment(&self, slot: Slot) -> &Segment {
        self.slots[slot.0 as usize].as_ref().expect("a slot in use has a segment")
    }

    pub(crate) fn segment_mut(&mut self, slot: Slot) -> &mut Segment {
        self.slots[slot.0 as usize].as_mut().expect("a slot in use has a segment")
    }

    /// The segments in use: those of the log, and what they are being merged into.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SegmentId> {
        self.slots.iter().flatten().map(|segment| segment.info.id)
    }

    /// The segment of a name, if it is in use.
    pub(crate) fn slot_of(&self, id: SegmentId) -> Option<Slot> {
        let is_it = |segment: &Option<Segment>| {
            segment.as_ref().is_some_and(|segment| segment.info.id == id)
        };
        self.slots.iter().position(is_it).map(|at| Slot(at as u32))
    }

    /// The newest change.
    pub(crate) fn last_change(&self) -> ChangeRevision {
        let infos = self.order.iter().rev().map(|slot| self.segment(*slot).info);
        let newest = infos.into_iter().find(|info| info.records > 0);
        newest.map_or(SegmentInfo::empty(SegmentId::default()).last, |info| info.last)
    }

    pub(crate) fn tail_slot(&self) -> Slot {
        *self.order.last().expect("a log always has a tail")
    }

    /// Accounts for a change that no read can see any more.
    pub(crate) fn note_dead(&mut self, location: Location) {
        self.segment_mut(location.slot()).dead_bytes += location.size_bound();
    }

    /// Frees memory of records that no location leads to any more. Those of a log with a place go
    /// to the disk first.
    pub(crate) fn forget(&mut self, dead: &BTreeSet<Location>) {
        assert!(self.place.is_none(), "what has a place is forgotten by merging segments");
        self.recent.retain(|recent| {
            !dead.contains(&Location::new(recent.slot, recent.offset, recent.record.frame_len()))
        });
        if self.recent.capacity() > 4 * self.recent.len() + 1024 {
            self.recent.shrink_to(2 * self.recent.len());
        }
    }

    /// How many bytes of records are in memory because they are not on the disk yet.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        let unwritten = |slot: &Slot| self.segment(*slot).end - self.segment(*slot).written;
        let of_segments = self.order.iter().rev().map(unwritten);
        of_segments.take_while(|bytes| *bytes > 0).map(u64::from).sum()
    }

    /// What the cache holds, in bytes.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.cache.borrow().bytes()
    }

    /// Puts a segment into a free slot.
    pub(crate) fn occupy(&mut self, segment: Segment) -> Slot {
        let free = self.slots.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[at] = Some(segment);
        Slot(at as u32)
    }

    /// Frees the slot of a segment to which nothing points any more.
    pub(crate) fn vacate(&mut self, slot: Slot) {
        assert!(!self.order.contains(&slot), "a segment of the log keeps its slot");
        assert!(self.slots[slot.0 as usize].take().is_some(), "a slot is vacated once");
    }

    /// Puts a segment of a manifest behind those that were restored before.
    pub(crate) fn restore(&mut self, segment: Segment) -> Slot {
        let slot = self.occupy(segment);
        self.order.insert(self.order.len() - 1, slot);
        slot
    }

    /// Goes on in the last segment that was restored, if there is room in it.
    pub(crate) fn resume_tail(&mut self) {
        let [.., last, empty] = self.order[..] else { return };
        assert_eq!(self.segment(empty).end, 0, "nothing was logged yet");
        let options = self.place.as_ref().expect("what was restored has a place").options;
        if self.segment(last).end < options.segment_bytes {
            self.order.pop();
            self.vacate(empty);
        }
    }

    /// A name for a new segment.
    pub(crate) fn take_id(&mut self) -> SegmentId {
        let id = self.next_id;
        self.next_id = id.next();
        id
    }

    /// The name that comes next.
    pub(crate) fn unused_id(&self) -> SegmentId {
        self.next_id
    }

    /// So many names for segments that come from elsewhere: the first of them.
    pub(crate) fn take_ids(&mut self, count: u64) -> SegmentId {
        let first = self.next_id;
        self.next_id = SegmentId(first.0 + count);
        first
    }

    /// What the segments take of the disk, oldest first.
    pub(crate) fn uses(&self) -> impl Iterator<Item = SegmentUse> {
        let segments = self.order.iter().map(|slot| self.segment(*slot));
        segments.filter(|segment| segment.info.records > 0).map(|segment| SegmentUse {
            id: segment.info.id,
            records: segment.info.records,
            data_bytes: u64::from(segment.end),
            keys_bytes: segment.info.keys.len,
            live_bytes: segment.live_bytes(),
        })
    }

    /// The segments that are complete, written and synced.
    pub(crate) fn settled(&self) -> impl Iterator<Item = Slot> {
        let (_, sealed) = self.order.split_last().expect("a log always has a tail");
        sealed.iter().copied().filter(|slot| self.is_settled(*slot))
    }

    /// Whether all of a segment is on the disk, its keys as well.
    pub(crate) fn is_settled(&self, slot: Slot) -> bool {
        let segment = self.segment(slot);
        segment.written == segment.end && !self.is_being_written(slot)
    }

    fn begin_tail(&mut self) {
        let id = self.take_id();
        let slot = self.occupy(Segment::empty(id));
        self.order.push(slot);
    }
}

/// A block of a segment's keys' file as it was then.
#[derive(Clone, Debug)]
struct KeysBlock {
    segment: SegmentId,
    keys: Extent,
    entries: Vec<KeysEntry>,
}

fn entry_at(entries: &[KeysEntry], offset: u32) -> Option<KeysEntry> {
    let at = entries.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
    Some(entries[at].clone())
}

/// Header and body of the frame at an offset of a segment. `bound` is how long it may be; of what
/// is longer, the rest is read in a second go.
pub(crate) fn read_frame(
    dir: &DiskPath,
    segment: &Segment,
    offset: u32,
    bound: usize,
    disk: &dyn Disk,
) -> Result<(FrameHeader, Bytes), Defect> {
    let file = segment.data_file(dir);
    let read = |len| disk.read(file, u64::from(offset), len).map_err(Defect::from);
    let mut bytes = read(bound.max(HEADER_BYTES))?;
    if bytes.len() < HEADER_BYTES {
        return Err(Defect::Missing);
    }
    let header = FrameHeader::decode(&bytes, segment.info.seed(), offset).ok_or(Defect::Header)?;
    let frame_len = usize::try_from(header.frame_len()).map_err(|_| Defect::Header)?;
    if bytes.len() < frame_len {
        bytes = read(frame_len)?;
        if bytes.len() < frame_len {
            return Err(Defect::Missing);
        }
    }
    let body = bytes.slice(HEADER_BYTES..frame_len);
    if crc32c::crc32c(&body) != header.body_crc {
        return Err(Defect::Body);
    }
    Ok((header, body))
}
