//! The way of the log's records to the disk.
//!
//! Owns in which order what is written and synced. One batch of operations is under way at a time;
//! what it holds is read from memory until it was carried out. A segment is synced when it is
//! ended, the tail when a checkpoint is taken: so a checkpoint costs the same however large the
//! store is.

use bytes::Bytes;
use quorate_wal::disk::{DiskOp, DiskPath};

use super::record::{FrameHeader, HEADER_BYTES};
use super::segment::{SegmentId, SegmentInfo};
use super::{Recent, RevisionLog, Slot};

impl RevisionLog {
    /// Ends a transaction: what has gathered may go to the disk, and the next transaction into a
    /// new segment.
    pub(crate) fn settle(&mut self) {
        let slot = self.tail_slot();
        let tail = self.segment(slot);
        let limit = match &self.place {
            Some(place) => {
                let is_due = u64::from(tail.end) - tail.info.data.len
                    >= u64::from(place.options.flush_bytes);
                let segment_bytes = place.options.segment_bytes;
                if is_due {
                    self.encode();
                }
                segment_bytes
            }
            None => crate::StoreOptions::MAX_SEGMENT_BYTES,
        };
        if self.segment(slot).end >= limit {
            self.seal();
        }
    }

    /// Puts everything into the queue, and what makes it durable. Afterwards the segments are as
    /// their infos say once the queue was carried out.
    pub(crate) fn flush(&mut self) {
        self.encode();
        self.sync_tail();
        let dir = self.place.as_ref().expect("only what has a place is flushed").dir.clone();
        self.queue.push(DiskOp::SyncDir { dir });
    }

    /// What the segments are, oldest first, without a tail that has nothing in it.
    pub(crate) fn infos(&self) -> impl Iterator<Item = SegmentInfo> {
        let infos = self.order.iter().map(|slot| self.segment(*slot).info);
        infos.filter(|info| info.records > 0)
    }

    /// Adds operations to the queue.
    pub(crate) fn enqueue(&mut self, operations: impl IntoIterator<Item = DiskOp>) {
        self.queue.extend(operations);
    }

    /// Adds a write to the queue that is durable with its batch. Several to the same file share a
    /// sync.
    pub(crate) fn enqueue_durable(&mut self, file: DiskPath, offset: u32, data: Bytes) {
        let sync = DiskOp::Sync { file: file.clone() };
        if self.queue.last() == Some(&sync) {
            self.queue.pop();
        }
        self.queue.extend([DiskOp::Write { file, offset: offset.into(), data }, sync]);
    }

    /// The number of the batch that will hold what is in the queue.
    pub(crate) fn next_batch(&self) -> u64 {
        self.batches + 1
    }

    /// Whether a batch was carried out.
    pub(crate) fn is_done(&self, batch: u64) -> bool {
        batch < self.batches || (batch == self.batches && !self.is_under_way)
    }

    /// Whether what is queued or under way concerns the files of a segment.
    pub(crate) fn is_being_written(&self, slot: Slot) -> bool {
        let id = self.segment(slot).info.id;
        self.written_under_way.contains(&id) || segments_of(&self.queue).any(|other| other == id)
    }

    /// Ends the tail early, if there is anything in it.
    pub(crate) fn end_tail(&mut self) {
        if self.segment(self.tail_slot()).end > 0 {
            self.seal();
        }
    }

    /// Whether [`take_ops`](Self::take_ops) would hand out any.
    pub(crate) fn has_ops(&self) -> bool {
        !self.is_under_way && !self.queue.is_empty()
    }

    /// The next batch of operations; none while one is under way.
    pub(crate) fn take_ops(&mut self) -> Vec<DiskOp> {
        if !self.has_ops() {
            return Vec::new();
        }
        self.is_under_way = true;
        self.batches += 1;
        self.submitted = self.encoded;
        self.written_under_way = segments_of(&self.queue).collect();
        std::mem::take(&mut self.queue)
    }

    /// The batch was carried out: from now on its records are read from the disk.
    ///
    /// # Panics
    /// If none is under way.
    pub(crate) fn ops_done(&mut self) {
        assert!(self.is_under_way, "a batch is done after it was handed out");
        self.is_under_way = false;
        self.written_under_way.clear();
        let submitted = std::mem::take(&mut self.submitted);
        self.encoded -= submitted;
        for Recent { segment, slot, offset, record } in self.recent.drain(..submitted) {
            let end = offset + record.frame_len();
            let of = self.slots[slot.0 as usize].as_mut().expect("it holds what is written");
            of.written = end;
            self.cache.get_mut().insert_copy((segment, offset), &record);
        }
        if self.recent.capacity() > 4 * self.recent.len() + 1024 {
            self.recent.shrink_to(2 * self.recent.len());
        }
    }

    /// Puts the tail's records into the queue, as bytes.
    fn encode(&mut self) {
        let slot = self.tail_slot();
        let place = self.place.as_ref().expect("only what has a place is encoded");
        let segment = self.slots[slot.0 as usize].as_mut().expect("the tail is in use");
        let info = &mut segment.info;
        let (begin, keys_begin) = (info.data.len, info.keys.len);
        let len = u64::from(segment.end) - begin;
        if len == 0 {
            return;
        }
        let (mut data, mut keys) = (Vec::with_capacity(len as usize), Vec::new());
        for Recent { offset, record, .. } in self.recent.range(self.encoded..) {
            let crc = put_frame(record, info, *offset, &mut data);
            self.keys.add(record, (*offset, crc), info, &mut keys);
        }
        assert_eq!(data.len() as u64, len, "what is not encoded is of the tail");
        info.data.append(&data);
        self.encoded = self.recent.len();
        let id = info.id;
        let (data_file, keys_file) = (id.data_file(&place.dir), id.keys_file(&place.dir));
        if !segment.has_files {
            segment.has_files = true;
            self.files.extend([data_file.clone(), keys_file.clone()]);
            self.queue.push(DiskOp::Create { file: data_file.clone() });
            self.queue.push(DiskOp::Create { file: keys_file.clone() });
        }
        let data = Bytes::from(data);
        self.queue.push(DiskOp::Write { file: data_file, offset: begin, data });
        if !keys.is_empty() {
            let data = Bytes::from(keys);
            self.queue.push(DiskOp::Write { file: keys_file, offset: keys_begin, data });
        }
    }

    /// Writes what is left of the tail's keys, and syncs its files.
    fn sync_tail(&mut self) {
        let slot = self.tail_slot();
        let dir = &self.place.as_ref().expect("only what has a place is synced").dir;
        let segment = self.slots[slot.0 as usize].as_mut().expect("the tail is in use");
        if !segment.has_files {
            return;
        }
        let (id, begin) = (segment.info.id, segment.info.keys.len);
        let (data_file, keys_file) = (id.data_file(dir), id.keys_file(dir));
        let mut keys = Vec::new();
        self.keys.flush(&mut segment.info, &mut keys);
        if !keys.is_empty() {
            let (file, data) = (keys_file.clone(), Bytes::from(keys));
            self.queue.push(DiskOp::Write { file, offset: begin, data });
        }
        self.queue.push(DiskOp::Sync { file: data_file });
        self.queue.push(DiskOp::Sync { file: keys_file });
    }

    /// Ends the tail, and begins a new one.
    fn seal(&mut self) {
        if self.place.is_some() {
            self.encode();
            self.sync_tail();
        }
        self.begin_tail();
    }
}

/// The segments with whose files operations do something.
fn segments_of(operations: &[DiskOp]) -> impl Iterator<Item = SegmentId> {
    operations.iter().filter_map(|operation| SegmentId::of_file(operation.path().name()))
}

/// Appends a record's frame, and answers with the checksum of its body.
pub(crate) fn put_frame(
    record: &super::Record,
    segment: &SegmentInfo,
    offset: u32,
    data: &mut Vec<u8>,
) -> u32 {
    let begin = data.len();
    data.resize(begin + HEADER_BYTES, 0);
    record.encode_body(data);
    let body = &data[begin + HEADER_BYTES..];
    let header = FrameHeader { body_crc: crc32c::crc32c(body), body_len: body.len() as u32 };
    let encoded = header.encode(segment.seed(), offset);
    data[begin..begin + HEADER_BYTES].copy_from_slice(&encoded);
    header.body_crc
}
