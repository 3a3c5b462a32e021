//! The log's end, where records are added.
//!
//! Owns what the next frame chains to and where it goes. Never touches a disk after the log was
//! created or opened: it hands out operations.

use std::borrow::Borrow;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use quorate_proto::raftpb::{Entry, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskOp, DiskPath, SECTOR_BYTES};
use crate::error::WalError;
use crate::extent::Extent;
use crate::record::seal::{self, Batch, Place, Statement};
use crate::record::{self, Fields, RecordType};
use crate::segment::{self, SegmentName};

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalOptions {
    /// The size that a segment is preallocated with, in bytes, rounded up to whole sectors. A
    /// batch that begins below it goes into the segment as a whole, so that it may grow larger.
    pub segment_bytes: u64,
}

impl Default for WalOptions {
    /// Segments of 64 MiB.
    fn default() -> WalOptions {
        WalOptions { segment_bytes: 64 << 20 }
    }
}

impl WalOptions {
    pub(crate) fn whole_sectors(self) -> u64 {
        self.segment_bytes.next_multiple_of(SECTOR_BYTES)
    }
}

/// A write-ahead log that can be appended to.
///
/// [`append`](Wal::append) gathers records, [`take_ops`](Wal::take_ops) hands out what makes all
/// of them durable with one sync: that is group commit. The driver carries the operations out in
/// order, those of one call before those of the next. When the last one of a call is done, what
/// was appended before that call is durable. If one fails, the driver must not go on: what is on
/// the disk is then unknown until the log is [opened](Wal::open) again.
#[derive(Debug)]
pub struct Wal {
    pub(crate) dir: DiskPath,
    pub(crate) metadata: Bytes,
    pub(crate) segment_bytes: u64,
    /// The segments before the one that is appended to, oldest first.
    pub(crate) earlier: VecDeque<SegmentName>,
    /// The segment that is appended to.
    pub(crate) segment: SegmentName,
    pub(crate) file: DiskPath,
    /// The file's length.
    pub(crate) file_len: u64,
    /// Where in the file the next batch begins.
    pub(crate) end: u64,
    /// The chain's value after everything appended.
    pub(crate) chain: u32,
    pub(crate) extent: Extent,
    pub(crate) hard_state: HardState,
    /// The highest index that was perhaps acknowledged and is lost; 0 if nothing is in doubt.
    pub(crate) doubtful_up_to: u64,
    /// The term that the log had reached when it was opened: what is in doubt is of no later one.
    pub(crate) opened_in: u64,
    /// The frames appended since operations were last taken.
    pub(crate) batch: BytesMut,
    /// What has to be done before the batch is written.
    pub(crate) ops: Vec<DiskOp>,
    /// What can be done once the batch is durable.
    pub(crate) removals: Vec<DiskOp>,
}

impl Wal {
    /// Creates a log in a directory, which is created as well if only its parent exists. It is
    /// durable on return. `metadata` says whose log it is; it is kept in each segment and given
    /// back by [`open`](Wal::open).
    ///
    /// # Errors
    /// [`WalError::AlreadyExists`] if the directory has a log, [`WalError::Disk`] if the disk
    /// fails.
    pub fn create(
        disk: &mut dyn Disk,
        dir: &DiskPath,
        metadata: Bytes,
        options: WalOptions,
    ) -> Result<Wal, WalError> {
        if Wal::exists(disk, dir)? {
            return Err(WalError::AlreadyExists { dir: dir.clone() });
        }
        if let Some(parent) = dir.parent_dir() {
            disk.create_dir(dir)?;
            disk.sync_dir(&parent)?;
        }
        for file in disk.list(dir)? {
            if segment::is_temporary(file.name()) {
                disk.remove(&file)?;
            }
        }
        let name = SegmentName { sequence: 0, first_index: 0 };
        let mut chain = 0;
        let start = walpb::Snapshot::default();
        let statement = Statement {
            hard_state: HardState::default(),
            last_index: 0,
            doubtful_up_to: 0,
            begins_log: false,
        };
        let header = segment::header(name, &mut chain, &metadata, Some(&start), &statement);
        let end = header.len() as u64;
        let segment_bytes = options.whole_sectors();
        DiskOp::execute_all(&segment::creation(dir, name, header, segment_bytes), disk)?;
        Ok(Wal {
            dir: dir.clone(),
            metadata,
            segment_bytes,
            earlier: VecDeque::new(),
            segment: name,
            file: name.path(dir),
            file_len: segment_bytes.max(end),
            end,
            chain,
            extent: Extent::beginning_at(1),
            hard_state: HardState::default(),
            doubtful_up_to: 0,
            opened_in: 0,
            batch: BytesMut::new(),
            ops: Vec::new(),
            removals: Vec::new(),
        })
    }

    /// Whether a directory has a log: whether to [open](Wal::open) or to [create](Wal::create).
    /// A log whose creation was interrupted is none yet.
    ///
    /// # Errors
    /// [`WalError::Disk`] if the disk fails. A directory that does not exist has no log.
    pub fn exists(disk: &dyn Disk, dir: &DiskPath) -> Result<bool, WalError> {
        match disk.list(dir) {
            Ok(files) => Ok(files.iter().any(|file| SegmentName::parse(file.name()).is_some())),
            Err(crate::disk::DiskError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends entries, then a hard state, to the batch that [`take_ops`](Wal::take_ops) hands
    /// out. An entry whose index is not behind the last one replaces it and all that follow it.
    ///
    /// # Panics
    /// If an entry leaves a gap to those before it, or one that a snapshot covers is replaced: then
    /// consensus itself is broken.
    pub fn append<E: Borrow<Entry>>(
        &mut self,
        hard_state: Option<HardState>,
        entries: impl IntoIterator<Item = E>,
    ) {
        for entry in entries {
            self.append_entry(entry.borrow());
        }
        if let Some(state) = hard_state {
            self.begin();
            self.hard_state = state;
            let HardState { term, vote, commit } = state;
            let fields = Fields::new()
                .byte(1 << 3)
                .varint(term)
                .byte(2 << 3)
                .varint(vote)
                .byte(3 << 3)
                .varint(commit);
            let (batch, chain) = (&mut self.batch, &mut self.chain);
            record::put(batch, chain, RecordType::State, fields.as_bytes(), &[]);
        }
    }

    fn append_entry(&mut self, entry: &Entry) {
        let Entry { r#type, term, index, ref data } = *entry;
        let snapshot = self.extent.snapshot_index();
        assert!(
            index > snapshot,
            "entry {index} of term {term} does not follow the snapshot at entry {snapshot}"
        );
        self.begin();
        if let Err(next) = self.extent.append(index, term) {
            panic!("entry {index} of term {term} does not follow entry {}", next - 1);
        }
        let kind = u64::try_from(r#type).expect("an entry's type is not negative");
        let mut fields = Fields::new()
            .byte(1 << 3)
            .varint(kind)
            .byte(2 << 3)
            .varint(term)
            .byte(3 << 3)
            .varint(index);
        // The payload is the last field: it goes straight to where it is written from.
        let mut payload = &[][..];
        if let Some(data) = data {
            fields = fields.byte(4 << 3 | 2).varint(data.len() as u64);
            payload = data;
        }
        let (batch, chain) = (&mut self.batch, &mut self.chain);
        record::put(batch, chain, RecordType::Entry, fields.as_bytes(), payload);
    }

    /// Notes a snapshot, whose file must be durable already: from the moment that the batch is
    /// durable, the log can be [opened](crate::Contents::open) from it.
    ///
    /// A snapshot of an entry that the log has, of the same term, says only that. Any other came
    /// from a leader and replaces the whole log: the next entry is the one behind it. Append the
    /// hard state and the entries that come with such a snapshot after it.
    ///
    /// # Panics
    /// If it is older than the one noted last: the state never goes back.
    pub fn append_snapshot(&mut self, snapshot: &walpb::Snapshot) {
        let walpb::Snapshot { index, term, .. } = *snapshot;
        let newest = self.extent.snapshot_index();
        assert!(index >= newest, "the snapshot at entry {index} is older than that at {newest}");
        self.begin();
        let _ = self.extent.snapshot(index, term);
        let data = snapshot.encode_to_vec();
        record::put(&mut self.batch, &mut self.chain, RecordType::Snapshot, &data, &[]);
    }

    /// Gives up entries that a snapshot covers: lets [`take_ops`](Wal::take_ops) remove the
    /// segments that are not needed to open the log from any snapshot noted at or above `index`.
    /// Entries up to `index` may still be there afterwards.
    ///
    /// # Panics
    /// If no snapshot at or above `index` was noted: what it covers would be lost.
    pub fn release_to(&mut self, index: u64) {
        let newest = self.extent.snapshot_index();
        assert!(index <= newest, "entries above the snapshot at {newest} are not to be released");
        // A segment's first index is behind what the log held when it began. So the last one that
        // is not above `index` has that entry as it is now, and all that came to be behind it.
        let needed = match self.segment.first_index <= index {
            true => self.earlier.len(),
            false => self.earlier.iter().rposition(|name| name.first_index <= index).unwrap_or(0),
        };
        for name in self.earlier.drain(..needed) {
            // One by one: a loss of power must not leave a gap.
            self.removals.push(DiskOp::Remove { file: name.path(&self.dir) });
            self.removals.push(DiskOp::SyncDir { dir: self.dir.clone() });
        }
    }

    /// Goes on to a new segment if the current one is full. Only between batches: a segment's
    /// header is part of the chain.
    fn begin(&mut self) {
        if !self.batch.is_empty() || self.end < self.segment_bytes {
            return;
        }
        if self.file_len > self.end {
            let file = self.file.clone();
            self.ops.push(DiskOp::SetLen { file: file.clone(), len: self.end });
            self.ops.push(DiskOp::Sync { file });
        }
        let next = SegmentName {
            sequence: self.segment.sequence + 1,
            first_index: self.extent.last() + 1,
        };
        self.earlier.push_back(std::mem::replace(&mut self.segment, next));
        self.file = self.segment.path(&self.dir);
        let statement = self.statement();
        let header =
            segment::header(self.segment, &mut self.chain, &self.metadata, None, &statement);
        self.end = header.len() as u64;
        self.file_len = self.segment_bytes.max(self.end);
        self.ops.extend(segment::creation(&self.dir, self.segment, header, self.segment_bytes));
    }

    /// Hands out what makes everything durable that was appended since the last call, and removes
    /// what was released; nothing if nothing was.
    #[must_use = "the operations are handed out once"]
    pub fn take_ops(&mut self) -> Vec<DiskOp> {
        if !self.batch.is_empty() {
            let start = Place { sequence: self.segment.sequence, offset: self.end };
            self.take_batch(Batch::of(start, &self.batch));
        }
        // Only once what made segments dispensable is durable.
        self.ops.append(&mut self.removals);
        std::mem::take(&mut self.ops)
    }

    /// Ends a batch whose records are on the disk already, or are those that were gathered.
    pub(crate) fn take_batch(&mut self, batch: Batch) {
        let statement = self.statement();
        seal::put(&mut self.batch, self.chain, batch, &statement);
        let data = self.batch.split().freeze();
        let offset = self.end;
        self.end += data.len() as u64;
        self.file_len = self.file_len.max(self.end);
        self.ops.push(DiskOp::Write { file: self.file.clone(), offset, data });
        self.ops.push(DiskOp::Sync { file: self.file.clone() });
    }

    /// What the log comes to with what was appended.
    pub(crate) fn statement(&self) -> Statement {
        Statement {
            hard_state: self.hard_state,
            last_index: self.extent.last(),
            doubtful_up_to: self.doubtful_up_to,
            begins_log: false,
        }
    }

    /// Whether something was appended or released that [`take_ops`](Wal::take_ops) has not handed
    /// out yet.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.batch.is_empty() || !self.removals.is_empty()
    }

    /// The index of the last entry appended or, if a snapshot replaced all, of the last one that
    /// it covers; 0 for none.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.extent.last()
    }

    /// The hard state appended last.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The highest index of an entry that may have been acknowledged and was lost to damage, until
    /// the member has [caught up](Wal::caught_up); 0 if nothing is in doubt. It is written with
    /// each batch.
    #[must_use]
    pub fn doubtful_up_to(&self) -> u64 {
        self.doubtful_up_to
    }

    /// Nothing is in doubt any more: what was appended so far, together with the snapshots noted,
    /// has all that is committed up to [`doubtful_up_to`](Wal::doubtful_up_to), as a leader of a
    /// later time says. It is durable with the next batch; until then a restart has the doubt
    /// again.
    ///
    /// # Panics
    /// If the log ends before that index, and not with an entry of a later term than any when it was
    /// opened: then it cannot have caught up.
    pub fn caught_up(&mut self) {
        let (last, doubtful) = (self.extent.last(), self.doubtful_up_to);
        // A leader of a later term was elected without this member, so that it has all that was
        // committed before its own first entry.
        let is_of_later_leader = self.extent.term(last).is_some_and(|term| term > self.opened_in);
        assert!(
            last >= doubtful || is_of_later_leader,
            "the log ends with entry {last}, but {doubtful} is in doubt"
        );
        self.doubtful_up_to = 0;
    }

    /// The term that the log has reached.
    pub(crate) fn latest_term(&self) -> u64 {
        let last = self.extent.term(self.extent.last());
        self.hard_state.term.max(last.unwrap_or(0))
    }

    /// What [`create`](Wal::create) was given.
    #[must_use]
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }
}
