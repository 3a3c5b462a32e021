//! Opening a log: what of it counts, and how it is made fit to be appended to again.
//!
//! Owns what a log is opened from, and the repair of a torn tail. Never repairs anything else:
//! what a loss of power cannot have caused is an error, and then nothing was changed.
//!
//! # What is taken for a torn tail
//! Where frames end in the last segment, at the first that is missing or wrong:
//!
//! | what is there | decision |
//! | --- | --- |
//! | zeros to the end of the file | the end |
//! | an intact sealed batch begins behind it | corrupt: that was written when all before was durable |
//! | an intact record with another length than its length field says | corrupt: a sector has both or neither (but for the one case where a sector ends between them) |
//! | a sector of the frame is zero, or the file ends within the frame | torn: the sector or the length was not written |
//! | anything else | corrupt |
//!
//! What the format cannot tell: a sector of the *last* batch that was durable and then lost as a
//! whole looks like one that was never written. So does damage to a record of that batch whose
//! data has a sector of zeros.

use bytes::{Bytes, BytesMut};
use quorate_proto::raftpb::{Entry, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskOp, DiskPath};
use crate::error::{Corruption, WalError, corrupt};
use crate::reader::{Frame, Reader, Tail};
use crate::record::{RecordType, seal};
use crate::replay::{End, Replay};
use crate::segment::{self, SegmentName};
use crate::writer::{Wal, WalOptions};

/// Which snapshot: that of the state up to an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The term of the last entry that it covers.
    pub term: u64,
    /// The index of that entry.
    pub index: u64,
}

impl SnapshotId {
    /// No snapshot: the state before the first entry.
    pub const BEGINNING: SnapshotId = SnapshotId { term: 0, index: 0 };
}

/// A log as it was read: it says from which snapshots it can be [opened](Contents::open). Nothing
/// of the disk has been changed yet, and nothing must change until then.
#[derive(Debug)]
pub struct Contents {
    dir: DiskPath,
    /// Oldest first.
    segments: Vec<SegmentName>,
    replay: Replay,
    metadata: Bytes,
    /// Where the last segment's frames end.
    end: End,
    torn: Option<TornTail>,
    half_created: Option<DiskPath>,
}

/// What a log says after a crash, and the log itself, fit to be appended to. All of it is durable.
#[derive(Debug)]
pub struct Recovered {
    /// The log.
    pub wal: Wal,
    /// What it was created with.
    pub metadata: Bytes,
    /// The last hard state appended; the default if none was. If it is behind `snapshot`, whose
    /// batch then lost its end, it is raised to the snapshot's index and, without a vote, to its
    /// term: a snapshot is of what was committed.
    pub hard_state: HardState,
    /// What the log noted of the snapshot that it was opened from; the default for the beginning.
    pub snapshot: walpb::Snapshot,
    /// The entries behind it, without gaps, those that were replaced left out.
    pub entries: Vec<Entry>,
    /// What was cut off, if the last batch was being written when the power went. None of it was
    /// durable, so none of it was acknowledged.
    pub repaired: Option<TornTail>,
}

/// A batch that was only partly written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file.
    pub segment: DiskPath,
    /// From where on it was set back to zeros; 0 for a segment that was removed because not even
    /// its header was complete.
    pub offset: u64,
    /// How many bytes that were.
    pub bytes: u64,
}

impl Wal {
    /// Opens a log from its very beginning: [`read`](Wal::read) and [`open`](Contents::open) at
    /// once, for a member without a snapshot.
    ///
    /// # Errors
    /// Those of [`Wal::read`] and [`Contents::open`].
    pub fn open(
        disk: &mut dyn Disk,
        dir: &DiskPath,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        Wal::read(disk, dir)?.open(disk, SnapshotId::BEGINNING, options)
    }

    /// Reads a log, to find out from where it can be opened. Changes nothing.
    ///
    /// # Errors
    /// [`WalError::NoLog`], [`WalError::MissingSegment`] and [`WalError::Corrupt`] say what is
    /// wrong with the log. [`WalError::Disk`] if the disk fails.
    pub fn read(disk: &dyn Disk, dir: &DiskPath) -> Result<Contents, WalError> {
        let mut segments = segments(disk, dir)?;
        let mut half_created = None;
        if segments.len() > 1 {
            let last = segments[segments.len() - 1];
            if is_half_created(disk, dir, last)? {
                segments.pop();
                half_created = Some(last.path(dir));
            }
        }
        let mut replay = Replay::beginning_with(segments[0]);
        let (last, earlier) = segments.split_last().expect("a log has a segment");
        for name in earlier {
            let file = name.path(dir);
            let end = replay.segment(disk, &file, *name)?;
            if let Some(found) = end.bad {
                return Err(corrupt(&file, end.at, found));
            }
        }
        let file = last.path(dir);
        let end = replay.segment(disk, &file, *last)?;
        let tail = Reader::open(disk, &file)?.tail(
            end.at,
            replay.chain,
            end.bad.clone(),
            last.sequence,
        )?;
        let torn = match tail {
            Tail::Clean => None,
            Tail::Torn { end: torn_end } => {
                Some(TornTail { segment: file.clone(), offset: end.at, bytes: torn_end - end.at })
            }
            Tail::Corrupt(found) => return Err(corrupt(&file, end.at, found)),
        };
        let metadata = replay
            .metadata
            .clone()
            .ok_or_else(|| corrupt(&file, end.at, missing_header(&replay)))?;
        replay.finish();
        Ok(Contents { dir: dir.clone(), segments, replay, metadata, end, torn, half_created })
    }
}

impl Contents {
    /// The snapshots from which the log can be opened, in the order they were noted. The default
    /// one stands for the beginning, which is there until it is
    /// [released](Wal::release_to).
    ///
    /// etcd leaves out those that the last hard state's commit index does not cover, because its
    /// consensus refuses such a pair. Here they count: they are durable before they are noted, and
    /// [`open`](Contents::open) raises the hard state.
    #[must_use]
    pub fn snapshots(&self) -> &[walpb::Snapshot] {
        &self.replay.snapshots
    }

    /// Whether the log can be opened from a snapshot. The newest one for which this holds, and of
    /// which there is an intact file, is the one to choose.
    #[must_use]
    pub fn continues(&self, snapshot: SnapshotId) -> bool {
        self.noted(snapshot).is_some()
    }

    /// What the log noted of a snapshot last.
    fn noted(&self, snapshot: SnapshotId) -> Option<&walpb::Snapshot> {
        let SnapshotId { index, term } = snapshot;
        self.replay.snapshots.iter().rfind(|noted| (noted.index, noted.term) == (index, term))
    }

    /// What the log was created with.
    #[must_use]
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    /// Opens the log behind a snapshot: repairs a torn tail, and makes durable what was found.
    ///
    /// # Errors
    /// [`WalError::UnknownSnapshot`] and [`WalError::EntriesMissing`] if the log does not
    /// [continue](Contents::continues) that snapshot; nothing was changed then.
    /// [`WalError::Disk`] if the disk fails.
    pub fn open(
        self,
        disk: &mut dyn Disk,
        start: SnapshotId,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let Some(snapshot) = self.noted(start).cloned() else {
            return Err(self.refusal(start));
        };
        let Contents { dir, mut segments, replay, metadata, end, torn, half_created } = self;
        let Replay { chain, mut hard_state, mut entries, extent, .. } = replay;
        entries.drain(..(start.index - extent.floor()) as usize);
        if hard_state.term < start.term {
            hard_state = HardState { term: start.term, vote: 0, ..hard_state };
        }
        hard_state.commit = hard_state.commit.max(start.index);
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
            chain: chain.expect("a log with metadata has a chain"),
            extent,
            hard_state,
            batch: BytesMut::new(),
            ops: Vec::new(),
            removals: Vec::new(),
            dir,
        };
        repair(disk, &wal.dir, &file, torn.as_ref(), half_created.as_ref())?;
        if end.unsealed_from < end.at {
            wal.take_batch(seal::Seal {
                batch_len: u32::try_from(end.at - end.unsealed_from)
                    .expect("a segment is far below 4 GiB"),
                checksum: end.unsealed,
            });
            DiskOp::execute_all(&std::mem::take(&mut wal.ops), disk)?;
        }
        let removed = |segment| TornTail { segment, offset: 0, bytes: 0 };
        let repaired = torn.or(half_created.map(removed));
        Ok(Recovered { wal, metadata, hard_state, snapshot, entries, repaired })
    }

    /// Why the log cannot be opened from a snapshot that it does not continue.
    fn refusal(&self, snapshot: SnapshotId) -> WalError {
        let dir = self.dir.clone();
        let floor = self.replay.extent.floor();
        match snapshot.index < floor {
            true => WalError::EntriesMissing { dir, snapshot, first: floor + 1 },
            false => WalError::UnknownSnapshot { dir, snapshot },
        }
    }
}

fn missing_header(replay: &Replay) -> Corruption {
    let expected = match replay.chain {
        None => RecordType::Checksum,
        Some(_) => RecordType::Metadata,
    };
    Corruption::Header { expected: expected as u64, found: 0 }
}

/// The log's segments in order.
fn segments(disk: &dyn Disk, dir: &DiskPath) -> Result<Vec<SegmentName>, WalError> {
    let no_log = || WalError::NoLog { dir: dir.clone() };
    if !Wal::exists(disk, dir)? {
        return Err(no_log());
    }
    let mut names: Vec<SegmentName> =
        disk.list(dir)?.iter().filter_map(|file| SegmentName::parse(file.name())).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if pair[1].sequence != pair[0].sequence + 1 {
            return Err(WalError::MissingSegment {
                dir: dir.clone(),
                missing: pair[0].sequence + 1,
            });
        }
    }
    Ok(names)
}

/// Whether the log's last segment has no header, because it was being created.
///
/// Our own segments get their name when their header is durable, so that this is for those of
/// writers that are less careful.
fn is_half_created(disk: &dyn Disk, dir: &DiskPath, name: SegmentName) -> Result<bool, WalError> {
    let file = name.path(dir);
    let mut reader = Reader::open(disk, &file)?;
    let (mut at, mut chain) = (0, None);
    for _ in [RecordType::Checksum, RecordType::Metadata] {
        let bad = match reader.frame(at, chain)? {
            Frame::Record { record, frame, .. } => {
                chain = Some(record.crc);
                at += frame.len() as u64;
                continue;
            }
            Frame::End => None,
            Frame::Bad(found) => Some(found),
        };
        return match reader.tail(at, chain, bad, name.sequence)? {
            Tail::Clean | Tail::Torn { .. } => Ok(true),
            Tail::Corrupt(found) => Err(corrupt(&file, at, found)),
        };
    }
    Ok(false)
}

/// Makes durable what was replayed, and takes away what was not.
fn repair(
    disk: &mut dyn Disk,
    dir: &DiskPath,
    file: &DiskPath,
    torn: Option<&TornTail>,
    half_created: Option<&DiskPath>,
) -> Result<(), WalError> {
    if let Some(torn) = torn {
        // Later frames must not be followed by pieces of these.
        disk.write(file, torn.offset, &vec![0; torn.bytes as usize])?;
    }
    // What a process wrote before it died may be in the page cache only.
    disk.sync(file)?;
    if let Some(half_created) = half_created {
        disk.remove(half_created)?;
    }
    for other in disk.list(dir)? {
        if segment::is_temporary(other.name()) {
            disk.remove(&other)?;
        }
    }
    disk.sync_dir(dir)?;
    Ok(())
}
