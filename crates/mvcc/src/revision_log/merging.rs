//! What merges change of the log: segments are written from others, and take their place.

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskOp};

use super::damage::Defect;
use super::keys::KeysEntry;
use super::segment::Segment;
use super::{RevisionLog, Slot};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;

impl RevisionLog {
    /// The frame of a record on the disk, unchecked. `piece` is what was read so far, and from
    /// where on; records follow each other.
    pub(crate) fn frame_bytes(
        &self,
        segment: &Segment,
        entry: &KeysEntry,
        piece: &mut (u32, Bytes),
        disk: &dyn Disk,
    ) -> Result<Bytes, Defect> {
        let len = entry.frame_len as usize;
        let within = entry.offset.checked_sub(piece.0).map(|within| within as usize);
        if let Some(within) = within
            && within + len <= piece.1.len()
        {
            return Ok(piece.1.slice(within..within + len));
        }
        let place = self.place.as_ref().expect("what is on a disk has a place");
        let left = u64::from(segment.written).saturating_sub(u64::from(entry.offset));
        let wanted = len.max(READ_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
        let file = segment.info.id.data_file(&place.dir);
        *piece = (entry.offset, disk.read(&file, u64::from(entry.offset), wanted)?);
        if piece.1.len() < len { Err(Defect::Missing) } else { Ok(piece.1.slice(..len)) }
    }

    /// Queues what a step added to a merged segment, and after the last step what makes it durable.
    pub(crate) fn write_merged(&mut self, slot: Slot, data: Vec<u8>, keys: Vec<u8>, is_last: bool) {
        let dir = &self.place.as_ref().expect("only what has a place is merged").dir;
        let segment = self.slots[slot.0 as usize].as_mut().expect("a target is in use");
        let info = &mut segment.info;
        let (data_file, keys_file) = (info.id.data_file(dir), info.id.keys_file(dir));
        if !segment.has_files {
            segment.has_files = true;
            self.files.extend([data_file.clone(), keys_file.clone()]);
            self.queue.push(DiskOp::Create { file: data_file.clone() });
            self.queue.push(DiskOp::Create { file: keys_file.clone() });
        }
        if !data.is_empty() {
            let offset = info.data.len;
            info.data.append(&data);
            let (file, data) = (data_file.clone(), Bytes::from(data));
            self.queue.push(DiskOp::Write { file, offset, data });
        }
        if !keys.is_empty() {
            let (file, offset) = (keys_file.clone(), info.keys.len - keys.len() as u64);
            self.queue.push(DiskOp::Write { file, offset, data: Bytes::from(keys) });
        }
        if is_last {
            self.queue.push(DiskOp::Sync { file: data_file });
            self.queue.push(DiskOp::Sync { file: keys_file });
        }
    }

    /// Puts a merged segment in the place of its sources, or nothing if nothing of them lived.
    /// Their files stay until no manifest names them.
    ///
    /// # Panics
    /// If they are not neighbours.
    pub(crate) fn replace(&mut self, sources: &[Slot], target: Option<Slot>) {
        let first = self.order.iter().position(|slot| *slot == sources[0]);
        let first = first.expect("sources are segments of the log");
        let range = first..first + sources.len();
        assert_eq!(&self.order[range.clone()], sources, "only neighbours are merged");
        self.order.splice(range, target);
        for slot in sources {
            self.vacate(*slot);
        }
    }

    /// Gives up a segment into which others were being merged.
    pub(crate) fn discard(&mut self, slot: Slot) {
        let place = self.place.as_ref().expect("only what has a place is merged");
        let id = self.segment(slot).info.id;
        for file in [id.data_file(&place.dir), id.keys_file(&place.dir)] {
            if self.files.remove(&file) {
                self.queue.push(DiskOp::Remove { file });
            }
        }
        self.vacate(slot);
    }
}
