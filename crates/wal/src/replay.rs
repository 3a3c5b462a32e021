//! What the records of a log add up to, segment by segment.
//!
//! Owns the replay: which entries, which hard state and which snapshots count. Changes nothing,
//! and never judges why the frames end where they do: that is the reader's.

use bytes::Bytes;
use quorate_proto::raftpb::{Entry, EntryType, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskPath};
use crate::error::{Corruption, WalError, corrupt};
use crate::extent::{Extent, SnapshotFit};
use crate::reader::{Frame, Reader};
use crate::record::{LENGTH_BYTES, Record, RecordType, seal};
use crate::segment::SegmentName;

/// What the records read so far add up to.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The chain's value; none before the first record.
    pub(crate) chain: Option<u32>,
    pub(crate) metadata: Option<Bytes>,
    pub(crate) hard_state: HardState,
    /// The snapshots noted, in their order, that the log can be replayed from.
    pub(crate) snapshots: Vec<walpb::Snapshot>,
    /// The entries that count: those of `extent`.
    pub(crate) entries: Vec<Entry>,
    pub(crate) extent: Extent,
}

/// Where a segment's frames end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) at: u64,
    /// The frame there, if it is a wrong one.
    pub(crate) bad: Option<Corruption>,
    /// Where the records begin that no seal covers, and the checksum of their frames.
    pub(crate) unsealed_from: u64,
    pub(crate) unsealed: u32,
}

impl Replay {
    /// Of a log whose first segment is this one. It is not the log's very first if those before
    /// were released.
    pub(crate) fn beginning_with(first: SegmentName) -> Replay {
        Replay {
            chain: None,
            metadata: None,
            hard_state: HardState::default(),
            snapshots: Vec::new(),
            entries: Vec::new(),
            extent: Extent::beginning_at(first.first_index),
        }
    }

    /// Replays one segment up to where its frames end.
    pub(crate) fn segment(
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
            RecordType::Snapshot => self.snapshot(decode(data, "a snapshot")?),
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
        if entry.index <= self.extent.snapshot_index() {
            return Ok(());
        }
        let gap = |expected| Corruption::IndexGap { expected, found: entry.index };
        self.extent.append(entry.index, entry.term).map_err(gap)?;
        self.entries.truncate((entry.index - self.extent.floor() - 1) as usize);
        self.entries.push(entry);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: walpb::Snapshot) {
        match self.extent.snapshot(snapshot.index, snapshot.term) {
            SnapshotFit::OfThisLog => {}
            SnapshotFit::ReplacesLog => self.entries.clear(),
        }
        self.snapshots.push(snapshot);
    }

    /// Forgets the snapshots behind which entries are missing, once everything is replayed.
    pub(crate) fn finish(&mut self) {
        let floor = self.extent.floor();
        self.snapshots.retain(|snapshot| snapshot.index >= floor);
        let held = self.entries.len() as u64;
        assert_eq!(floor + held, self.extent.last(), "the entries are those of the extent");
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
