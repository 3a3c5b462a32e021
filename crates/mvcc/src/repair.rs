//! Damage: found before it is read, and repaired from peers.
//!
//! Owns that a repaired record is the one that was written, byte for byte: what a peer sends is
//! taken only if it has the length and the checksum that the keys' file says. Records are the same
//! at every member; where they lie is not. Never asks a peer itself.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskOp};

use crate::revision::ChangeRevision;
use crate::revision_log::damage::{ChangeId, Damage, DamagedPart, Defect};
use crate::revision_log::keys::{KeysEntry, KeysReader, check_keys};
use crate::revision_log::record::{FrameHeader, HEADER_BYTES};
use crate::revision_log::segment::{Extent, Segment, SegmentId};
use crate::revision_log::{RevisionLog, Slot, rebuild_keys};
use crate::store::{Reader, Store};

/// Why a repair was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The store has no such record any more: there is nothing to repair.
    #[error("the store has no such record any more: there is nothing to repair")]
    Gone,
    /// The segment is still being written: it can be repaired once that is done, soon.
    #[error("the segment is still being written; try again in a moment")]
    NotYet,
    /// The record is not the one that was damaged.
    #[error("the record is not the one that was damaged; ask another peer")]
    Different,
    /// The keys' file does not say what the record was.
    #[error("the keys' file is damaged as well; it has to be repaired first")]
    Unknown,
    /// The data is damaged where the keys' file would be written anew from it.
    #[error("the data is damaged at byte {at} as well ({what}); restore the member from its peers")]
    Lost {
        /// Where in the data.
        at: u64,
        /// What is wrong there.
        what: Defect,
    },
}

impl Reader<'_> {
    /// The record of a change as bytes, for a peer whose copy is damaged: see [`Store::repair`].
    /// `None` if the store does not have it (any more).
    ///
    /// # Errors
    /// If it is damaged here as well.
    pub fn record_at(&self, change: &ChangeId) -> Result<Option<Bytes>, Damage> {
        let Some(location) = self.store.index.location_of(&change.key, change.revision) else {
            return Ok(None);
        };
        let record = self.store.log.get(location, self.disk)?;
        let mut body = Vec::new();
        record.encode_body(&mut body);
        Ok(Some(Bytes::from(body)))
    }
}

impl Store {
    /// Writes a damaged record anew, as a peer [has it](Reader::record_at), in its place. What it
    /// queues goes out with [`take_ops`](Store::take_ops); once that was carried out, the record
    /// can be read again.
    ///
    /// # Errors
    /// If it is not the record that was there. Nothing was changed then.
    pub fn repair(
        &mut self,
        damage: &Damage,
        record: &[u8],
        disk: &dyn Disk,
    ) -> Result<(), RepairError> {
        let DamagedPart::Record { offset, .. } = damage.part else {
            return self.repair_keys(damage.segment, disk);
        };
        let slot = self.log.slot_of(damage.segment).ok_or(RepairError::Gone)?;
        let segment = self.log.segment(slot);
        let entry = self.log.keys_entry(segment, offset, disk).ok_or(RepairError::Unknown)?;
        let is_same =
            record.len() == entry.body_len() as usize && crc32c::crc32c(record) == entry.body_crc;
        if !is_same {
            return Err(RepairError::Different);
        }
        let header = FrameHeader { body_crc: entry.body_crc, body_len: entry.body_len() };
        let mut frame = Vec::with_capacity(HEADER_BYTES + record.len());
        frame.extend_from_slice(&header.encode(segment.info.seed(), offset));
        frame.extend_from_slice(record);
        let dir = &self.log.place.as_ref().expect("what is on a disk has a place").dir;
        self.log.enqueue_durable(damage.segment.data_file(dir), offset, Bytes::from(frame));
        self.resume_work();
        Ok(())
    }

    /// Looks once more at a record that was damaged, and tells whether it is sound: a read may have
    /// gone to another place.
    pub fn look_again(&mut self, segment: SegmentId, offset: u32, disk: &dyn Disk) -> bool {
        let Some(slot) = self.log.slot_of(segment) else { return true };
        let segment = self.log.segment(slot);
        let is_sound = self.log.keys_entry(segment, offset, disk).is_some_and(|entry| {
            let mut piece = (0, Bytes::new());
            check_record(&self.log, segment, &entry, &mut piece, disk).is_ok()
        });
        if is_sound {
            self.resume_work();
        }
        is_sound
    }

    /// A record is damaged that no peer has any more, since no read can see it: its segment is
    /// written anew without it, wherever it lies, since whoever is sent the segment takes sound
    /// records only. A tombstone may have to stay even so; it is written anew from what the keys'
    /// file says of it, which is all of it. False if the record is one that can be read.
    pub fn give_up(&mut self, damage: &Damage, disk: &dyn Disk) -> bool {
        let Some(slot) = self.log.slot_of(damage.segment) else { return true };
        let DamagedPart::Record { offset, change: Some(change) } = &damage.part else {
            return false;
        };
        let location = self.index.location_of(&change.key, change.revision);
        if location.is_some_and(|at| (at.slot(), at.offset()) == (slot, *offset)) {
            return false;
        }
        if let Some(entry) = self.log.keys_entry(self.log.segment(slot), *offset, disk)
            && entry.record.is_tombstone
        {
            let mut record = Vec::new();
            entry.record.encode_body(&mut record);
            return self.repair(damage, &record, disk).is_ok();
        }
        if slot == self.log.tail_slot() {
            self.log.end_tail();
        }
        self.log.segment_mut(slot).must_rewrite = true;
        self.resume_work();
        true
    }

    /// Writes a segment's keys' file anew from its data, all of it at once. The one that is there
    /// stays until the new one is durable.
    fn repair_keys(&mut self, id: SegmentId, disk: &dyn Disk) -> Result<(), RepairError> {
        let slot = self.log.slot_of(id).ok_or(RepairError::Gone)?;
        if slot == self.log.tail_slot() {
            self.log.end_tail();
            return Err(RepairError::NotYet);
        }
        let segment = self.log.segment(slot);
        if segment.written != segment.end {
            return Err(RepairError::NotYet);
        }
        let dir = self.log.place.as_ref().expect("what is on a disk has a place").dir.clone();
        if check_keys(&dir, &segment.info, disk).is_ok() {
            // It was only read wrongly. And what a manifest names should stay what it is.
            return Ok(());
        }
        let lost = |(at, what)| RepairError::Lost { at, what };
        let (info, keys) = rebuild_keys(&dir, &segment.info, disk).map_err(lost)?;
        self.log.segment_mut(slot).info = info;
        let (new, file) = (id.new_keys_file(&dir), id.keys_file(&dir));
        let mut operations = Vec::new();
        // What an earlier attempt left.
        if !self.log.files.remove(&new) {
            operations.push(DiskOp::Create { file: new.clone() });
        }
        operations.extend([
            DiskOp::SetLen { file: new.clone(), len: 0 },
            DiskOp::Write { file: new.clone(), offset: 0, data: Bytes::from(keys) },
            DiskOp::Sync { file: new.clone() },
            DiskOp::Rename { from: new, to: file.clone() },
            DiskOp::SyncDir { dir },
        ]);
        self.log.files.insert(file);
        self.log.enqueue(operations);
        self.resume_work();
        Ok(())
    }
}

/// Reads all that a store has on its disk, again and again, a little at a time.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    /// The last change that there was when the round began. It ends behind that one: otherwise it
    /// never would where much is written.
    until: Option<ChangeRevision>,
    /// All changes up to this one were looked at in this round.
    done: Option<ChangeRevision>,
    at: Option<Place>,
    rounds: u64,
}

#[derive(Clone, Debug)]
struct Place {
    segment: SegmentId,
    /// The segment's keys' file as it was when the look at it began.
    keys: Extent,
    reader: KeysReader,
    entries: VecDeque<KeysEntry>,
    /// What follows those of the file: of the tail, what its file did not say yet.
    in_memory: Vec<KeysEntry>,
    piece: (u32, Bytes),
}

impl Scrubber {
    /// How often it has come to the end.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Reads some `budget` bytes more, from where the last step ended; at the end it begins anew.
    /// Answers with what is damaged there.
    pub fn step(&mut self, store: &Store, disk: &dyn Disk, budget: usize) -> Vec<Damage> {
        let mut found = Vec::new();
        let mut left = budget as u64;
        while left > 0 {
            let slot = match self.next(store) {
                Next::Segment(slot) => slot,
                // What is being written was not looked at.
                Next::Waits => break,
                Next::End => {
                    (self.until, self.done, self.at) = (None, None, None);
                    self.rounds += 1;
                    break;
                }
            };
            let segment = store.log.segment(slot);
            let at = self.at.as_mut().expect("it is at a segment");
            let Some(entry) = at.entries.pop_front() else {
                let block = at.reader.next_block(disk);
                left = left.saturating_sub(1 << 14);
                match block {
                    Ok(block) if !block.is_empty() => at.entries = block.into(),
                    Ok(_) if at.reader.extent() == at.keys && !at.in_memory.is_empty() => {
                        at.entries = std::mem::take(&mut at.in_memory).into();
                    }
                    // What was appended meanwhile is looked at in the next round: otherwise the
                    // rounds would never end where much is written.
                    Ok(_) if at.reader.extent() == at.keys => self.pass(segment),
                    // It was written anew: begin with it once more.
                    _ if at.keys != segment.info.keys => self.at = None,
                    // Its blocks are intact, but not all of the same time.
                    Ok(_) => {
                        found.push(Damage::of_keys(segment.info.id, Defect::Foreign));
                        self.pass(segment);
                    }
                    Err(what) => {
                        found.push(Damage::of_keys(segment.info.id, what));
                        self.pass(segment);
                    }
                }
                continue;
            };
            left = left.saturating_sub(u64::from(entry.frame_len));
            found.extend(check_record(&store.log, segment, &entry, &mut at.piece, disk).err());
            self.done = Some(entry.record.revision);
        }
        found
    }

    fn pass(&mut self, segment: &Segment) {
        self.done = Some(segment.info.last);
        self.at = None;
    }

    /// The segment to look at. Of the tail, it is what has been written: it may stay the tail for
    /// ever, and a snapshot that is sent names it as well. What is in memory needs no look.
    fn next(&mut self, store: &Store) -> Next {
        if let Some(at) = &self.at {
            if let Some(slot) = store.log.slot_of(at.segment) {
                return Next::Segment(slot);
            }
            // It was merged; what follows lies in another one.
            self.at = None;
        }
        let Some(place) = &store.log.place else { return Next::End };
        let until = *self.until.get_or_insert_with(|| store.log.last_change());
        if self.done.is_some_and(|done| done >= until) {
            return Next::End;
        }
        let is_next = |slot: &&Slot| {
            let segment = store.log.segment(**slot);
            segment.written > 0 && self.done.is_none_or(|done| segment.info.last > done)
        };
        let Some(slot) = store.log.order.iter().find(is_next).copied() else { return Next::End };
        if store.log.is_being_written(slot) {
            return Next::Waits;
        }
        let info = &store.log.segment(slot).info;
        let is_tail = slot == store.log.tail_slot();
        let in_memory = if is_tail { store.log.unwritten_keys() } else { Vec::new() };
        let reader = KeysReader::new(&place.dir, info);
        let (entries, piece) = (VecDeque::new(), (0, Bytes::new()));
        let (segment, keys) = (info.id, info.keys);
        self.at = Some(Place { segment, keys, reader, entries, in_memory, piece });
        Next::Segment(slot)
    }
}

/// What a look at a store goes on with.
enum Next {
    Segment(Slot),
    /// With one that is being written: nobody can say what of it is on the disk.
    Waits,
    End,
}

/// Whether a record is on the disk as its segment's keys' file says.
pub(crate) fn check_record(
    log: &RevisionLog,
    segment: &Segment,
    entry: &KeysEntry,
    piece: &mut (u32, Bytes),
    disk: &dyn Disk,
) -> Result<(), Damage> {
    let mut check = || -> Result<(), Defect> {
        let frame = log.frame_bytes(segment, entry, piece, disk)?;
        let header = FrameHeader::decode(&frame, segment.info.seed(), entry.offset);
        let expected = FrameHeader { body_crc: entry.body_crc, body_len: entry.body_len() };
        if header.ok_or(Defect::Header)? != expected {
            Err(Defect::Foreign)
        } else if crc32c::crc32c(&frame[HEADER_BYTES..]) != entry.body_crc {
            Err(Defect::Body)
        } else {
            Ok(())
        }
    };
    check().map_err(|what| {
        let (key, revision) = (entry.record.kv.key.clone(), entry.record.revision.main);
        let change = Some(ChangeId { key, revision });
        let part = DamagedPart::Record { offset: entry.offset, change };
        Damage { segment: segment.info.id, part, what }
    })
}
