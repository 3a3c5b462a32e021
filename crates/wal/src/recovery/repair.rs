//! Making a log fit to be appended to again: cutting off a torn tail, or replacing a damaged log.
//!
//! Owns every change that opening makes to a disk, in an order in which a crash at any moment
//! leaves a log that opens the same way again.

use bytes::BytesMut;
use quorate_proto::raftpb::Entry;
use quorate_proto::walpb;

use crate::disk::{Disk, DiskError, DiskOp, DiskPath};
use crate::error::WalError;
use crate::extent::Extent;
use crate::record::seal::Statement;
use crate::recovery::{Contents, Kept, Recovered, Remainder, Side, SnapshotId, TornTail};
use crate::segment::{self, SegmentName};
use crate::writer::{Wal, WalOptions};

/// How much of a log is copied at once, in bytes of entries.
const COPIED_BYTES: usize = 4 << 20;

impl Contents {
    /// Opens a log that is whole, but for a torn tail.
    pub(super) fn go_on(
        self,
        disk: &mut dyn Disk,
        snapshot: walpb::Snapshot,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let Kept { hard_state, doubtful_up_to, .. } = self.kept(id(&snapshot));
        let Contents { dir, mut segments, replaced, replay, metadata, end, torn, .. } = self;
        let (mut entries, extent) = (replay.entries, replay.extent);
        entries.drain(..(snapshot.index - extent.floor()) as usize);
        let segment = segments.pop().expect("a log has a segment");
        let file = segment.path(&dir);
        let mut wal = Wal {
            metadata: metadata.clone(),
            segment_bytes: options.whole_sectors(),
            earlier: segments.into(),
            segment,
            file_len: disk.len(&file)?,
            file: file.clone(),
            end: end.at,
            chain: end.chain.expect("a log with metadata has a chain"),
            extent,
            hard_state,
            doubtful_up_to,
            opened_in: 0,
            batch: BytesMut::new(),
            ops: Vec::new(),
            removals: Vec::new(),
            dir,
        };
        wal.opened_in = wal.latest_term();
        if let Some(torn) = &torn {
            // Later frames must not be followed by pieces of these.
            disk.write(&file, torn.offset, &vec![0; torn.bytes as usize])?;
        }
        // What a process wrote before it died may be in the page cache only.
        disk.sync(&file)?;
        if let Some(half_created) = &self.half_created {
            disk.remove(half_created)?;
        }
        remove_temporaries(disk, &wal.dir)?;
        let set_aside = set_aside(disk, &wal.dir, &replaced)?;
        if end.unsealed.len > 0 {
            wal.take_batch(end.unsealed);
            DiskOp::execute_all(&std::mem::take(&mut wal.ops), disk)?;
        }
        let removed = |segment| TornTail { segment, offset: 0, bytes: 0 };
        let repaired = torn.or(self.half_created.map(removed));
        let damage = Vec::new();
        Ok(Recovered {
            wal,
            metadata,
            hard_state,
            snapshot,
            entries,
            repaired,
            doubtful_up_to,
            damage,
            set_aside,
        })
    }

    /// Replaces a damaged log by what is kept of it.
    pub(super) fn replace(
        mut self,
        disk: &mut dyn Disk,
        snapshot: walpb::Snapshot,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let Kept { count, hard_state, doubtful_up_to, .. } = self.kept(id(&snapshot));
        let (side, count) = count.expect("a damaged log has two sides");
        let entries = match side {
            Side::Behind => &mut self.replay.entries,
            Side::Before => &mut self.before.as_mut().expect("it is damaged").entries,
        };
        let entries = entries.split_off(entries.len() - count);
        self.replace_by(disk, Remainder { snapshot, entries, hard_state, doubtful_up_to }, options)
    }

    /// Replaces a log by something else: in a segment that says of itself that the log begins with
    /// it. Its name is what makes it so; only then are the others set aside.
    pub(super) fn replace_by(
        self,
        disk: &mut dyn Disk,
        remainder: Remainder,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let Remainder { snapshot, entries, hard_state, doubtful_up_to } = remainder;
        let Contents { dir, segments, replaced, damage, metadata, .. } = self;
        let last = *segments.last().expect("a log has a segment");
        // Also behind one that was being created, and had no entry yet.
        let half_created = self.half_created.iter().count() as u64;
        let name =
            SegmentName { sequence: last.sequence + half_created + 1, first_index: snapshot.index };
        remove_temporaries(disk, &dir)?;
        let mut wal = Wal {
            metadata: metadata.clone(),
            // Everything goes into one segment, so that one name makes it count.
            segment_bytes: u64::MAX,
            earlier: Default::default(),
            segment: name,
            file: segment::temporary_path(&dir, name),
            file_len: 0,
            end: 0,
            chain: 0,
            extent: Extent::beginning_at(snapshot.index),
            hard_state,
            doubtful_up_to,
            opened_in: 0,
            batch: BytesMut::new(),
            ops: Vec::new(),
            removals: Vec::new(),
            dir,
        };
        copy(disk, &mut wal, &snapshot, &entries, options)?;
        wal.opened_in = wal.latest_term();
        wal.file = name.path(&wal.dir);
        wal.segment_bytes = options.whole_sectors();
        if let Some(half_created) = &self.half_created {
            disk.remove(half_created)?;
        }
        let set_aside = set_aside(disk, &wal.dir, &[replaced, segments].concat())?;
        Ok(Recovered {
            wal,
            metadata,
            hard_state,
            snapshot,
            entries,
            repaired: self.torn,
            doubtful_up_to,
            damage,
            set_aside,
        })
    }
}

/// Writes a log's only segment, and gives it its name. Durable on return.
fn copy(
    disk: &mut dyn Disk,
    wal: &mut Wal,
    snapshot: &walpb::Snapshot,
    entries: &[Entry],
    options: WalOptions,
) -> Result<(), WalError> {
    let _ = wal.extent.snapshot(snapshot.index, snapshot.term);
    let statement = Statement { begins_log: true, ..wal.statement() };
    let header =
        segment::header(wal.segment, &mut wal.chain, &wal.metadata, Some(snapshot), &statement);
    wal.end = header.len() as u64;
    wal.file_len = options.whole_sectors().max(wal.end);
    let [prepare @ .., rename, sync_dir] =
        segment::creation(&wal.dir, wal.segment, header, wal.file_len);
    DiskOp::execute_all(&prepare, disk)?;
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let is_within = |entry: &&Entry| {
            bytes += entry.data.as_ref().map_or(0, |data| data.len());
            bytes <= COPIED_BYTES
        };
        let count = rest.iter().take_while(is_within).count().max(1);
        let (piece, others) = rest.split_at(count);
        wal.append(None, piece);
        DiskOp::execute_all(&wal.take_ops(), disk)?;
        rest = others;
    }
    DiskOp::execute_all(&[rename, sync_dir], disk)?;
    Ok(())
}

/// Renames segments that do not count any more. Durable on return, with all that was removed
/// before.
fn set_aside(
    disk: &mut dyn Disk,
    dir: &DiskPath,
    segments: &[SegmentName],
) -> Result<Vec<DiskPath>, DiskError> {
    let mut names = Vec::new();
    for name in segments {
        let aside = dir.join(&format!("{name}{}", segment::DAMAGED_SUFFIX));
        disk.rename(&name.path(dir), &aside)?;
        names.push(aside);
    }
    disk.sync_dir(dir)?;
    Ok(names)
}

/// Removes segments that were being created.
fn remove_temporaries(disk: &mut dyn Disk, dir: &DiskPath) -> Result<(), DiskError> {
    for file in disk.list(dir)? {
        if segment::is_temporary(file.name()) {
            disk.remove(&file)?;
        }
    }
    Ok(())
}

fn id(snapshot: &walpb::Snapshot) -> SnapshotId {
    SnapshotId { term: snapshot.term, index: snapshot.index }
}
