//! What the records of a log add up to, batch by batch.
//!
//! Owns the replay: which entries, which hard state and which snapshots count. Never reads a disk,
//! and never judges why the frames end where they do.

use bytes::Bytes;
use quorate_proto::raftpb::{Entry, EntryType, HardState};
use quorate_proto::walpb;

use crate::error::Corruption;
use crate::extent::{Extent, SnapshotFit};
use crate::record::RecordType;
use crate::record::seal::Statement;

/// What the records read so far add up to.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) metadata: Option<Bytes>,
    pub(crate) hard_state: HardState,
    /// The snapshots noted, in their order, that the log can be replayed from.
    pub(crate) snapshots: Vec<walpb::Snapshot>,
    /// The entries that count: those of `extent`.
    pub(crate) entries: Vec<Entry>,
    pub(crate) extent: Extent,
    /// As the last seal says.
    pub(crate) doubtful_up_to: u64,
    /// The index of the log's last entry as the last seal says; none before the first seal.
    pub(crate) stated_last: Option<u64>,
    /// Whether the last seal agrees with the entries about which one is the last.
    pub(crate) agrees: bool,
    /// The records since the last seal. They count with their seal, or when the log ends without.
    held: Vec<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    at: u64,
    kind: RecordType,
    data: Bytes,
}

/// A record that cannot count: where in its segment, and why.
pub(crate) type Misfit = (u64, Corruption);

impl Replay {
    /// Of a log whose first segment begins with this index. It is not the log's very first if
    /// those before were released.
    pub(crate) fn beginning_at(first_index: u64) -> Replay {
        Replay {
            metadata: None,
            hard_state: HardState::default(),
            snapshots: Vec::new(),
            entries: Vec::new(),
            extent: Extent::beginning_at(first_index),
            doubtful_up_to: 0,
            stated_last: None,
            agrees: true,
            held: Vec::new(),
        }
    }

    /// Of what comes behind damage, whose seal said `statement`: it is not known what the log held
    /// there, but for what it came to.
    pub(crate) fn behind_damage(metadata: Option<Bytes>, statement: &Statement) -> Replay {
        Replay {
            metadata,
            hard_state: statement.hard_state,
            extent: Extent::unknown(),
            doubtful_up_to: statement.doubtful_up_to,
            stated_last: Some(statement.last_index),
            ..Replay::beginning_at(0)
        }
    }

    /// Takes in a record whose seal has not come yet.
    pub(crate) fn hold(&mut self, at: u64, kind: RecordType, data: Bytes) {
        self.held.push(Held { at, kind, data });
    }

    /// The records held are a batch that was sealed so.
    pub(crate) fn seal(&mut self, statement: &Statement) -> Result<(), Misfit> {
        self.count_held()?;
        self.hard_state = statement.hard_state;
        self.doubtful_up_to = statement.doubtful_up_to;
        self.stated_last = Some(statement.last_index);
        self.agrees = self.extent.is_unknown() || self.extent.last() == statement.last_index;
        Ok(())
    }

    /// The records held end the log, or a segment of etcd's, which has no seals.
    pub(crate) fn count_held(&mut self) -> Result<(), Misfit> {
        for Held { at, kind, data } in std::mem::take(&mut self.held) {
            self.record(kind, data).map_err(|found| (at, found))?;
        }
        Ok(())
    }

    /// The records held are part of a batch that is damaged. Metadata is believed all the same: it
    /// is the same everywhere, and its checksum was right.
    pub(crate) fn drop_held(&mut self) {
        let metadata = self.held.drain(..).find(|held| held.kind == RecordType::Metadata);
        if self.metadata.is_none() {
            self.metadata = metadata.map(|held| held.data);
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

    /// The index of the last entry, as far as it is known: 0 at first.
    pub(crate) fn last_known(&self) -> u64 {
        match self.extent.is_unknown() {
            true => self.stated_last.unwrap_or(0),
            false => self.extent.last(),
        }
    }

    /// The entries behind a snapshot, if the snapshot is of this log and all those between are
    /// there.
    pub(crate) fn entries_behind(&self, index: u64, term: u64) -> Option<&[Entry]> {
        let at = index.checked_sub(self.extent.floor())?;
        let fits = self.extent.term(index).is_none_or(|known| known == term);
        self.entries.get(at as usize..).filter(|_| fits)
    }

    /// The entries behind a snapshot up to the last that the log holds, if this part of it has
    /// every one of them.
    pub(crate) fn all_behind(&self, index: u64, term: u64) -> Option<&[Entry]> {
        if self.extent.is_unknown() {
            return (self.stated_last? <= index).then_some(&[]);
        }
        self.entries_behind(index, term).filter(|_| self.agrees)
    }
}

fn decode<M: prost::Message + Default>(
    data: Bytes,
    expected: &'static str,
) -> Result<M, Corruption> {
    M::decode(data).map_err(|error| Corruption::Content { expected, message: error.to_string() })
}
