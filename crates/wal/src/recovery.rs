//! Opening a log: what of it counts, and how it is made fit to be appended to again.
//!
//! Owns the replay of all segments and the repair of a torn tail. Never repairs anything else:
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
use quorate_proto::raftpb::{Entry, EntryType, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskOp, DiskPath};
use crate::error::{Corruption, WalError};
use crate::reader::{Frame, Reader, Tail};
use crate::record::{LENGTH_BYTES, Record, RecordType, seal};
use crate::segment::{self, SegmentName};
use crate::writer::{Wal, WalOptions};

/// What a log says after a crash, and the log itself, fit to be appended to. All of it is durable.
#[derive(Debug)]
pub struct Recovered {
    /// The log.
    pub wal: Wal,
    /// What it was created with.
    pub metadata: Bytes,
    /// The last hard state appended; the default if none was.
    pub hard_state: HardState,
    /// The last snapshot noted in the log. Entries up to its index are not given.
    pub snapshot: walpb::Snapshot,
    /// The entries, without gaps, those that were replaced left out.
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

/// Where a segment's frames end.
struct End {
    at: u64,
    /// The frame there, if it is a wrong one.
    bad: Option<Corruption>,
    /// Where the records begin that no seal covers, and the checksum of their frames.
    unsealed_from: u64,
    unsealed: u32,
}

impl Wal {
    /// Opens a log, replays it, repairs a torn tail and makes durable what it found.
    ///
    /// # Errors
    /// [`WalError::NoLog`], [`WalError::MissingSegment`] and [`WalError::Corrupt`] say what is
    /// wrong with the log; nothing was changed then. [`WalError::Disk`] if the disk fails.
    pub fn open(
        disk: &mut dyn Disk,
        dir: &DiskPath,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let mut segments = segments(disk, dir)?;
        let mut half_created = None;
        if segments.len() > 1 {
            let last = segments[segments.len() - 1];
            if is_half_created(disk, dir, last)? {
                segments.pop();
                half_created = Some(last.path(dir));
            }
        }
        let mut replay = Replay::default();
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

        // Nothing has been changed so far.
        let mut wal = replay.wal(disk, dir, *last, &end, metadata, options)?;
        repair(disk, dir, &file, torn.as_ref(), half_created.as_ref())?;
        if end.unsealed_from < end.at {
            wal.take_batch(seal::Seal {
                batch_len: u32::try_from(end.at - end.unsealed_from)
                    .expect("a segment is far below 4 GiB"),
                checksum: end.unsealed,
            });
            DiskOp::execute_all(&std::mem::take(&mut wal.ops), disk)?;
        }
        Ok(Recovered {
            metadata: wal.metadata.clone(),
            hard_state: wal.hard_state,
            wal,
            snapshot: replay.snapshot,
            entries: replay.entries,
            repaired: torn.or(half_created.map(|segment| TornTail {
                segment,
                offset: 0,
                bytes: 0,
            })),
        })
    }
}

fn corrupt(segment: &DiskPath, offset: u64, found: Corruption) -> WalError {
    WalError::Corrupt { segment: segment.clone(), offset, found }
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

/// What the records read so far add up to.
#[derive(Default)]
struct Replay {
    /// The chain's value; none before the first record.
    chain: Option<u32>,
    metadata: Option<Bytes>,
    hard_state: HardState,
    snapshot: walpb::Snapshot,
    entries: Vec<Entry>,
    /// The last index of entries and snapshot; none before the first.
    last_index: Option<u64>,
}

impl Replay {
    /// Replays one segment up to where its frames end.
    fn segment(
        &mut self,
        disk: &dyn Disk,
        file: &DiskPath,
        name: SegmentName,
    ) -> Result<End, WalError> {
        let mut reader = Reader::open(disk, file)?;
        let mut end = End {
            at: 0,
            bad: None,
            unsealed_from: 0,
            unsealed: seal::checksum(name.sequence, 0, &[]),
        };
        let mut header = [RecordType::Checksum, RecordType::Metadata].into_iter();
        loop {
            let (kind, record, frame) = match reader.frame(end.at, self.chain)? {
                Frame::Record { kind, record, frame } => (kind, record, frame),
                Frame::End => return Ok(end),
                Frame::Bad(found) => {
                    end.bad = Some(found);
                    return Ok(end);
                }
            };
            if let Some(expected) = header.next().filter(|expected| *expected != kind) {
                let found = Corruption::Header { expected: expected as u64, found: kind as u64 };
                return Err(corrupt(file, end.at, found));
            }
            self.chain = Some(record.crc);
            let body = frame.slice(LENGTH_BYTES..);
            if kind == RecordType::Checksum && record.data.is_some() {
                if !end.is_sealed_by(&record, &body) {
                    end.bad = Some(Corruption::Seal { start: end.unsealed_from });
                    return Ok(end);
                }
                end.at += frame.len() as u64;
                end.unsealed_from = end.at;
                end.unsealed = seal::checksum(name.sequence, end.at, &[]);
                continue;
            }
            let data = record.data.map_or_else(Bytes::new, |data| body.slice(data));
            self.record(kind, data).map_err(|found| corrupt(file, end.at, found))?;
            end.unsealed = crc32c::crc32c_append(end.unsealed, &frame);
            end.at += frame.len() as u64;
        }
    }

    fn record(&mut self, kind: RecordType, data: Bytes) -> Result<(), Corruption> {
        match kind {
            RecordType::Checksum => {}
            RecordType::Metadata => match &self.metadata {
                Some(metadata) if *metadata != data => return Err(Corruption::Metadata),
                _ => self.metadata = Some(data),
            },
            RecordType::Entry => self.entry(decode(data, "an entry")?)?,
            RecordType::State => self.hard_state = decode(data, "a hard state")?,
            RecordType::Snapshot => {
                let snapshot: walpb::Snapshot = decode(data, "a snapshot")?;
                if self.last_index.is_none_or(|last| last < snapshot.index) {
                    self.last_index = Some(snapshot.index);
                    self.entries.clear();
                }
                self.snapshot = snapshot;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Corruption> {
        let content = |message: String| Corruption::Content { expected: "an entry", message };
        if let Err(error) = EntryType::try_from(entry.r#type) {
            return Err(content(error.to_string()));
        }
        if entry.index == 0 {
            return Err(content("its index is 0, but entries count from 1".to_owned()));
        }
        // As in etcd's reader, what a snapshot covers does not matter any more.
        if entry.index <= self.snapshot.index {
            return Ok(());
        }
        if let Some(last) = self.last_index
            && entry.index > last + 1
        {
            return Err(Corruption::IndexGap { expected: last + 1, found: entry.index });
        }
        self.last_index = Some(entry.index);
        let first = self.entries.first().map_or(entry.index, |first| first.index);
        let place = entry.index.saturating_sub(first) as usize;
        self.entries.truncate(place);
        self.entries.push(entry);
        Ok(())
    }

    /// The log, to be appended to from `end` on.
    fn wal(
        &self,
        disk: &dyn Disk,
        dir: &DiskPath,
        segment: SegmentName,
        end: &End,
        metadata: Bytes,
        options: WalOptions,
    ) -> Result<Wal, WalError> {
        let file = segment.path(dir);
        Ok(Wal {
            dir: dir.clone(),
            metadata,
            segment_bytes: options.whole_sectors(),
            segment,
            file_len: disk.len(&file)?,
            file,
            end: end.at,
            chain: self.chain.expect("a log with metadata has a chain"),
            last_index: self.last_index.unwrap_or(0),
            hard_state: self.hard_state,
            batch: BytesMut::new(),
            ops: Vec::new(),
        })
    }
}

impl End {
    /// Whether the seal at this place is that of the records before it.
    fn is_sealed_by(&self, record: &Record, body: &[u8]) -> bool {
        seal::read(record, body).is_some_and(|seal| {
            u64::from(seal.batch_len) == self.at - self.unsealed_from
                && seal.checksum == self.unsealed
        })
    }
}

fn decode<M: prost::Message + Default>(
    data: Bytes,
    expected: &'static str,
) -> Result<M, Corruption> {
    M::decode(data).map_err(|error| Corruption::Content { expected, message: error.to_string() })
}
