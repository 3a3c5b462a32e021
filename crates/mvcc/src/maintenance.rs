//! What a store does in the background, in steps that have a bound: it carries out compactions.
//!
//! Owns that compactions give back memory and space without stopping anything. A compaction takes
//! effect at once, for every read; then, step by step, the index is *swept* of the changes that no
//! read can see any more, and segments of which most is dead are *merged*: what lives of
//! neighbours is copied into a new segment, and when that is on the disk the index is led there,
//! change by change. Records stay in the order of revisions, so that only neighbours are merged,
//! and of these only such that lie wholly at or below the compaction: what lies above it may all
//! still be asked for. (A segment with a dead record that is damaged is written anew wherever it
//! lies: all above the compaction lives, and is copied.)
//!
//! **A tombstone outlives what it buries.** A store is opened from what lies in its segments, so a
//! key whose tombstone had gone while one of its writes still lay in an older segment would be
//! there again. So a tombstone says when the generation that it ended was created, each merged
//! segment says of which compaction it holds nothing dead any more, and a dead tombstone is
//! dropped only if the segments since the creation are merged with it, or were cleaned since.
//!
//! A record that is met damaged on the way stops the merge, not the store.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_wal::disk::Disk;

use crate::index::Cursor;
use crate::revision::Revision;
use crate::revision_log::damage::{Damage, Defect};
use crate::revision_log::keys::{KeysEntry, KeysReader, KeysWriter};
use crate::revision_log::record::{FrameHeader, HEADER_BYTES};
use crate::revision_log::segment::Segment;
use crate::revision_log::{Location, Record, Slot};
use crate::store::Store;

/// How many changes a step of a sweep looks at.
const SWEPT_CHANGES: usize = 4096;
/// So many small neighbours are merged even though nothing in them is dead.
const SMALL_NEIGHBOURS: usize = 4;

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nothing is left to do until the next compaction.
    pub is_idle: bool,
    /// Nothing can be done before the batch of operations that is under way, or that
    /// [`Store::take_ops`] hands out next, was carried out.
    pub waits_for_disk: bool,
    /// A record that stands in the way. The work goes on when it was repaired, or after the next
    /// compaction.
    pub damage: Option<Damage>,
}

/// The work under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maintenance {
    /// Where the sweep goes on, and the compaction at which it began.
    sweep: Option<(Cursor, Revision)>,
    /// The compaction that the last sweep has carried out in the index.
    swept: Revision,
    /// Before the next sweep, what the last one has made worth merging is merged: compactions may
    /// come faster than sweeps. Never in the midst of one, or two segments that are not the same
    /// could say that they were cleaned alike.
    merges_first: bool,
    merge: Option<Merge>,
    /// Something may be worth merging.
    looks: bool,
    /// A damaged record stands in the way.
    pub(crate) is_blocked: bool,
}

/// Segments on their way into one.
#[derive(Clone, Debug)]
struct Merge {
    /// Neighbours, oldest first.
    sources: Vec<Slot>,
    /// The compaction that was carried out in the index when it began.
    cleaned: Revision,
    /// `None` as long as nothing that lives was found.
    target: Option<Slot>,
    keys: KeysWriter,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Copying(Copying),
    /// The target is written and synced in this batch.
    Written(u64),
    Switching(Switching),
}

#[derive(Clone, Debug)]
struct Copying {
    /// Which source.
    source: usize,
    reader: KeysReader,
    entries: VecDeque<KeysEntry>,
    /// What was read of the source's data, and from where on.
    piece: (u32, Bytes),
    /// The batch with what was copied last.
    batch: u64,
}

#[derive(Clone, Debug)]
struct Switching {
    reader: KeysReader,
}

/// What a step adds to a target.
#[derive(Default)]
struct Copied {
    data: Vec<u8>,
    keys: Vec<u8>,
}

impl Store {
    /// Does a bounded part of what compactions left to do: reads and writes some `budget` bytes at
    /// most, or looks at some thousand keys. What it writes goes out with
    /// [`take_ops`](Store::take_ops). A store in memory has nothing left to do, ever.
    pub fn work(&mut self, disk: &dyn Disk, budget: usize) -> Progress {
        if !self.maintenance.merges_first
            && let Some((cursor, began)) = self.maintenance.sweep.take()
        {
            self.sweep(&cursor, began);
            return Progress::default();
        }
        let progress = self.merge(disk, budget);
        self.maintenance.merges_first &= !progress.is_idle;
        Progress { is_idle: progress.is_idle && self.maintenance.sweep.is_none(), ..progress }
    }

    /// A step of a merge, if one is under way or worth it.
    fn merge(&mut self, disk: &dyn Disk, budget: usize) -> Progress {
        if self.maintenance.is_blocked {
            return Progress { is_idle: true, ..Progress::default() };
        }
        if self.maintenance.merge.is_none() && !self.begin_merge() {
            let waits_for_disk = self.maintenance.looks;
            return Progress { is_idle: !waits_for_disk, waits_for_disk, damage: None };
        }
        let mut merge = self.maintenance.merge.take().expect("it has begun");
        match self.merge_step(&mut merge, disk, budget) {
            Ok(Step::More) => self.maintenance.merge = Some(merge),
            Ok(Step::Waits) => {
                self.maintenance.merge = Some(merge);
                return Progress { waits_for_disk: true, ..Progress::default() };
            }
            Ok(Step::Done) => self.finish_merge(merge),
            Err(damage) => {
                self.maintenance.is_blocked = true;
                self.maintenance.looks = true;
                match merge.phase {
                    Phase::Copying(_) => self.abandon_merge(merge),
                    // Some of the index leads to the target already.
                    _ => self.maintenance.merge = Some(merge),
                }
                return Progress { damage: Some(damage), ..Progress::default() };
            }
        }
        Progress::default()
    }

    /// A compaction was decided: from now on there is something to sweep.
    pub(crate) fn begin_sweep(&mut self) {
        self.maintenance.is_blocked = false;
        // One under way goes on with the new revision, and then once more from the beginning.
        let begin = (Cursor::default(), self.compacted);
        self.maintenance.sweep.get_or_insert(begin);
    }

    /// What stood in the way is being repaired, or the store was just opened: what an earlier life
    /// left to merge is merged now.
    pub(crate) fn resume_work(&mut self) {
        self.maintenance.is_blocked = false;
        self.maintenance.looks = true;
        let merge = self.maintenance.merge.as_ref().map(|merge| (&merge.phase, merge.target));
        if let Some((Phase::Switching(_), Some(target))) = merge {
            // From the beginning: what was switched before is passed over.
            let phase = Phase::Switching(Switching { reader: self.keys_reader(target) });
            self.maintenance.merge.as_mut().expect("it is under way").phase = phase;
        }
    }

    fn sweep(&mut self, cursor: &Cursor, began: Revision) {
        // Large on purpose. glibc joins the small blocks that were freed only when a large one is:
        // without one in each step, the first later step with a large buffer paid for the whole
        // sweep (measured: 130 ms after a million keys, where other steps take 0.5 ms).
        let mut dead = Vec::with_capacity(2 * SWEPT_CHANGES);
        let rest = self.index.sweep(self.compacted, cursor, SWEPT_CHANGES, |location| {
            dead.push(location);
        });
        dead.into_iter().for_each(|location| self.log.note_dead(location));
        if rest.is_none() {
            self.maintenance.swept = began;
            (self.maintenance.looks, self.maintenance.merges_first) = (true, true);
        }
        self.maintenance.sweep = match rest {
            Some(cursor) => Some((cursor, began)),
            None => (began < self.compacted).then(|| (Cursor::default(), self.compacted)),
        };
    }

    /// Looks for segments that are worth merging. False if there are none.
    fn begin_merge(&mut self) -> bool {
        let Some(place) = &self.log.place else { return false };
        if !std::mem::take(&mut self.maintenance.looks) {
            return false;
        }
        let Some(sources) = self.worth_merging(place.options.segment_bytes) else {
            // What is not on the disk yet may be worth it.
            let (_, sealed) = self.log.order.split_last().expect("a log always has a tail");
            self.maintenance.looks = !sealed.iter().all(|slot| self.log.is_settled(*slot));
            return false;
        };
        let reader = KeysReader::new(&place.dir, &self.log.segment(sources[0]).info);
        let phase = Phase::Copying(Copying {
            source: 0,
            reader,
            entries: VecDeque::new(),
            piece: (0, Bytes::new()),
            batch: 0,
        });
        let keys = KeysWriter::default();
        let is_swept = self.maintenance.sweep.is_none();
        let cleaned = if is_swept { self.compacted } else { self.maintenance.swept };
        self.maintenance.merge = Some(Merge { sources, cleaned, target: None, keys, phase });
        true
    }

    fn worth_merging(&self, segment_bytes: u32) -> Option<Vec<Slot>> {
        let mut run: Vec<Slot> = Vec::new();
        let mut live = 0;
        let (_, sealed) = self.log.order.split_last().expect("a log always has a tail");
        for slot in sealed {
            let segment = self.log.segment(*slot);
            let is_settled = self.log.is_settled(*slot);
            let is_past = segment.info.last.main <= self.compacted;
            let is_small = u64::from(segment.end) * 4 <= u64::from(segment_bytes);
            let pays_to_merge = is_past && (is_small || segment.is_mostly_dead());
            let is_worth = is_settled && (pays_to_merge || segment.must_rewrite);
            let fits = live + segment.live_bytes() <= u64::from(segment_bytes);
            if !(is_worth && fits) {
                if self.pays(&run) {
                    return Some(run);
                }
                (run, live) = (Vec::new(), 0);
            }
            if is_worth {
                run.push(*slot);
                live += segment.live_bytes();
            }
        }
        self.pays(&run).then_some(run)
    }

    fn pays(&self, run: &[Slot]) -> bool {
        run.len() >= SMALL_NEIGHBOURS
            || run.iter().any(|slot| self.log.segment(*slot).is_mostly_dead())
    }

    fn merge_step(
        &mut self,
        merge: &mut Merge,
        disk: &dyn Disk,
        budget: usize,
    ) -> Result<Step, Damage> {
        match &mut merge.phase {
            Phase::Copying(copying) => {
                if !self.log.is_done(copying.batch) {
                    return Ok(Step::Waits);
                }
                self.copy_step(merge, disk, budget)
            }
            Phase::Written(batch) => {
                if !self.log.is_done(*batch) {
                    return Ok(Step::Waits);
                }
                let Some(target) = merge.target else { return Ok(Step::Done) };
                let segment = self.log.segment_mut(target);
                segment.written = segment.end;
                let reader = self.keys_reader(target);
                merge.phase = Phase::Switching(Switching { reader });
                Ok(Step::More)
            }
            Phase::Switching(switching) => {
                let target = merge.target.expect("nothing else is switched to");
                self.switch_step(&merge.sources, target, switching, disk, budget)
            }
        }
    }

    fn keys_reader(&self, slot: Slot) -> KeysReader {
        let place = self.log.place.as_ref().expect("only what has a place is merged");
        KeysReader::new(&place.dir, &self.log.segment(slot).info)
    }

    /// Copies what lives of the next records, and goes on to the next phase after the last one.
    fn copy_step(
        &mut self,
        merge: &mut Merge,
        disk: &dyn Disk,
        budget: usize,
    ) -> Result<Step, Damage> {
        let Merge { sources, cleaned, target, keys, phase } = merge;
        let Phase::Copying(copying) = phase else { unreachable!("it is asked while copying") };
        let (mut copied, mut looked_at) = (Copied::default(), 0);
        let is_last = loop {
            if copied.data.len() >= budget || looked_at >= SWEPT_CHANGES {
                break false;
            }
            let slot = sources[copying.source];
            let Some(entry) = copying.entries.pop_front() else {
                let block = copying.reader.next_block(disk);
                let segment = self.log.segment(slot);
                let block = block.map_err(|what| Damage::of_keys(segment.info.id, what))?;
                if !block.is_empty() {
                    copying.entries = block.into();
                } else if copying.source + 1 < sources.len() {
                    copying.source += 1;
                    copying.piece = (0, Bytes::new());
                    copying.reader = self.keys_reader(sources[copying.source]);
                } else {
                    break true;
                }
                continue;
            };
            looked_at += 1;
            let here = Location::new(slot, entry.offset, entry.frame_len);
            let (key, revision) = (&entry.record.kv.key, entry.record.revision.main);
            let lives = self.index.location_of(key, revision) == Some(here);
            if !lives && !self.is_needed(&entry.record, sources[0]) {
                continue;
            }
            let body = self.copy_body(slot, &entry, &mut copying.piece, disk)?;
            let slot = *target.get_or_insert_with(|| {
                let mut segment = Segment::empty(self.log.take_id());
                segment.info.cleaned = *cleaned;
                self.log.occupy(segment)
            });
            add(self.log.segment_mut(slot), keys, &entry, &body, &mut copied);
        };
        if let Some(slot) = *target {
            if is_last {
                let info = &mut self.log.segment_mut(slot).info;
                keys.flush(info, &mut copied.keys);
            }
            self.log.write_merged(slot, copied.data, copied.keys, is_last);
        }
        let batch = if target.is_some() { self.log.next_batch() } else { 0 };
        copying.batch = batch;
        if is_last {
            *phase = Phase::Written(batch);
        }
        Ok(Step::More)
    }

    /// Whether a dead record is a tombstone of which something may lie in segments older than a
    /// merge's first source.
    fn is_needed(&self, record: &Record, first: Slot) -> bool {
        if !record.is_tombstone {
            return false;
        }
        let buries = |slot: &&Slot| {
            let info = &self.log.segment(**slot).info;
            info.last.main >= record.kv.create_revision
        };
        let order = &self.log.order;
        let before = order.iter().take_while(|slot| **slot != first).count();
        let is_uncleaned =
            |slot: &Slot| self.log.segment(*slot).info.cleaned < record.revision.main;
        order[..before].iter().rev().take_while(buries).any(is_uncleaned)
    }

    /// The body of a record that lives, checked.
    fn copy_body(
        &self,
        slot: Slot,
        entry: &KeysEntry,
        piece: &mut (u32, Bytes),
        disk: &dyn Disk,
    ) -> Result<Bytes, Damage> {
        let segment = self.log.segment(slot);
        let mut read = || -> Result<Bytes, Defect> {
            let frame = self.log.frame_bytes(segment, entry, piece, disk)?;
            let header = FrameHeader::decode(&frame, segment.info.seed(), entry.offset);
            let header = header.ok_or(Defect::Header)?;
            let body = frame.slice(HEADER_BYTES..);
            let expected = FrameHeader { body_crc: entry.body_crc, body_len: entry.body_len() };
            if crc32c::crc32c(&body) != header.body_crc {
                Err(Defect::Body)
            } else if header != expected {
                Err(Defect::Foreign)
            } else {
                Ok(body)
            }
        };
        read().map_err(|what| self.log.damage(segment, entry.offset, what, disk))
    }

    /// Leads the index to the next records of the target.
    fn switch_step(
        &mut self,
        sources: &[Slot],
        target: Slot,
        switching: &mut Switching,
        disk: &dyn Disk,
        budget: usize,
    ) -> Result<Step, Damage> {
        let mut read = 0;
        while read < budget {
            let id = self.log.segment(target).info.id;
            let block = switching.reader.next_block(disk);
            let block = block.map_err(|what| Damage::of_keys(id, what))?;
            if block.is_empty() {
                return Ok(Step::Done);
            }
            for entry in block {
                // Some four times what the entry itself takes: a lookup for each.
                read += 256;
                let (key, revision) = (&entry.record.kv.key, entry.record.revision.main);
                let to = Location::new(target, entry.offset, entry.frame_len);
                let from = self.index.location_of(key, revision);
                match from.filter(|from| sources.contains(&from.slot())) {
                    Some(from) => {
                        let is_led = self.index.relocate_change(key, revision, from, to);
                        assert!(is_led, "it lay there a moment ago");
                    }
                    None if from == Some(to) => {}
                    // A tombstone that is needed is as good as alive.
                    None if entry.record.is_tombstone => {}
                    None => self.log.note_dead(to),
                }
            }
        }
        Ok(Step::More)
    }

    fn finish_merge(&mut self, merge: Merge) {
        self.log.replace(&merge.sources, merge.target);
        self.maintenance.looks = true;
    }

    fn abandon_merge(&mut self, merge: Merge) {
        if let Some(target) = merge.target {
            self.log.discard(target);
        }
    }
}

/// How far a merge came.
enum Step {
    More,
    Waits,
    Done,
}

/// Adds a record to a target.
fn add(
    target: &mut Segment,
    keys: &mut KeysWriter,
    entry: &KeysEntry,
    body: &[u8],
    copied: &mut Copied,
) {
    let info = &mut target.info;
    if info.records == 0 {
        info.first = entry.record.revision;
    }
    info.last = entry.record.revision;
    info.records += 1;
    let offset = target.end;
    let header = FrameHeader { body_crc: entry.body_crc, body_len: entry.body_len() };
    copied.data.extend_from_slice(&header.encode(info.seed(), offset));
    copied.data.extend_from_slice(body);
    keys.add_entry(entry, offset, info, &mut copied.keys);
    let end = offset.checked_add(entry.frame_len);
    target.end = end.expect("what lives of the sources fits into a segment");
}
