//! Opening a log: from where it can be opened, and what it says then.
//!
//! Owns what a log is opened from, and when it is refused. What its bytes mean is found out by the
//! [survey]; what is done to a disk is in [repair].

mod repair;
mod survey;

use bytes::Bytes;
use quorate_proto::raftpb::{ConfState, Entry, HardState};
use quorate_proto::walpb;

use crate::disk::{Disk, DiskPath};
use crate::error::{Damage, WalError};
use crate::replay::Replay;
use crate::segment::SegmentName;
use crate::writer::{Wal, WalOptions};
use survey::{Ending, Survey};

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

/// A log as it was read: it says from which snapshots it can be [opened](Contents::open), and what
/// of it is [damaged](Contents::damage). Nothing of the disk has been changed yet, and nothing must
/// change until then.
#[derive(Debug)]
pub struct Contents {
    dir: DiskPath,
    /// Oldest first.
    segments: Vec<SegmentName>,
    /// What an interrupted repair has replaced but not set aside yet.
    replaced: Vec<SegmentName>,
    /// What the log comes to; if it is damaged, what comes behind the last damage does.
    replay: Replay,
    /// What the log comes to before the first damage, if there is any.
    before: Option<Replay>,
    damage: Vec<Damage>,
    noted: Vec<walpb::Snapshot>,
    metadata: Bytes,
    /// Where the last segment's frames end.
    end: Ending,
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
    ///
    /// Of a damaged log, term and vote are the last ones all the same. The commit index is the one
    /// known where the entries end: of those that stay, some behind it may have been replaced in
    /// the part that is lost.
    pub hard_state: HardState,
    /// What the log noted of the snapshot that it was opened from; at index 0 for the beginning.
    pub snapshot: walpb::Snapshot,
    /// The entries behind it, without gaps, those that were replaced left out.
    pub entries: Vec<Entry>,
    /// What was cut off, if the last batch was being written when the power went. None of it was
    /// durable, so none of it was acknowledged.
    pub repaired: Option<TornTail>,
    /// The highest index of an entry that may have been acknowledged and is lost: by damage found
    /// now, or earlier and not made up for yet. 0 if nothing is in doubt.
    ///
    /// Until the log has, from a leader, all that is committed up to there, its member must not
    /// vote for anybody and not lead: it may have been the one that made an entry committed which
    /// it does not have any more. Then [`Wal::caught_up`] forgets the doubt. It outlives restarts.
    pub doubtful_up_to: u64,
    /// The damage that was found now, harmless or not.
    pub damage: Vec<Damage>,
    /// The files that were set aside because of it, or because the log was
    /// [begun anew](Contents::start_over), under their new names. They are never read again, and
    /// never removed: they are for people, and for tools.
    pub set_aside: Vec<DiskPath>,
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

    /// Reads a log, to find out from where it can be opened, and whether it is
    /// [damaged](Contents::damage). Changes nothing.
    ///
    /// # Errors
    /// [`WalError::NoLog`], [`WalError::MissingSegment`] and [`WalError::Corrupt`] say what is
    /// wrong with the log, if nothing in it says what was lost. [`WalError::Disk`] if the disk
    /// fails.
    pub fn read(disk: &dyn Disk, dir: &DiskPath) -> Result<Contents, WalError> {
        Survey::of(disk, dir)?.finish()
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
        &self.noted
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
        self.noted.iter().rfind(|noted| (noted.index, noted.term) == (index, term))
    }

    /// What the log was created with.
    #[must_use]
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    /// What of the log was durable and cannot be read any more, though something written later
    /// can, in the order of the log. A torn tail is no damage.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The highest index of an entry that may have been acknowledged and is missing if the log is
    /// opened from this snapshot; 0 if nothing is. Damage to what only older snapshots need is
    /// harmless. An earlier doubt counts for as long as it lasts.
    #[must_use]
    pub fn doubtful_up_to(&self, start: SnapshotId) -> u64 {
        self.kept(start).doubtful_up_to
    }

    /// Opens the log behind a snapshot: repairs a torn tail, and makes durable what was found.
    /// Damage that is harmless to what is behind the snapshot is repaired as well, as by
    /// [`open_damaged`](Contents::open_damaged).
    ///
    /// # Errors
    /// [`WalError::UnknownSnapshot`] and [`WalError::EntriesMissing`] if the log does not
    /// [continue](Contents::continues) that snapshot, [`WalError::Damaged`] if entries behind it
    /// are lost; nothing was changed then. [`WalError::Disk`] if the disk fails.
    pub fn open(
        self,
        disk: &mut dyn Disk,
        start: SnapshotId,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let kept = self.kept(start);
        match self.damage.first() {
            Some(first) if kept.loses && self.continues(start) => Err(WalError::Damaged {
                damage: Box::new(first.clone()),
                others: self.damage.len() - 1,
                doubtful_up_to: kept.doubtful_up_to,
            }),
            _ => self.open_damaged(disk, start, options),
        }
    }

    /// Opens the log behind a snapshot even if entries behind it are lost. What is before the
    /// damage stays; the member has to make up for the rest, as
    /// [`doubtful_up_to`](Recovered::doubtful_up_to) says.
    ///
    /// What stays goes into a new segment, with the last hard state that the log knew; the segments
    /// that were there are renamed to end in `.damaged`. Interrupted at any moment, it is done or
    /// can be done again.
    ///
    /// # Errors
    /// [`WalError::UnknownSnapshot`] and [`WalError::EntriesMissing`] if the log does not
    /// [continue](Contents::continues) that snapshot; nothing was changed then.
    /// [`WalError::Disk`] if the disk fails.
    pub fn open_damaged(
        self,
        disk: &mut dyn Disk,
        start: SnapshotId,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let Some(snapshot) = self.noted(start).cloned() else {
            return Err(self.refusal(start));
        };
        match self.damage.is_empty() {
            true => self.go_on(disk, snapshot, options),
            false => self.replace(disk, snapshot, options),
        }
    }

    /// Begins the log anew, without anything that it held, for a member that has no snapshot which
    /// the log continues and can get everything from others. What stays is the hard state: term and
    /// vote are the last ones that the log knew, nothing is committed, and all that the member may
    /// have acknowledged is in doubt, as [`doubtful_up_to`](Recovered::doubtful_up_to) says.
    ///
    /// `members` are those of the newest snapshot that is known of. The log notes them with its
    /// beginning, since nothing else says after a restart whom the member can ask.
    ///
    /// The segments that were there are renamed to end in `.damaged`. Interrupted at any moment, it
    /// is done or can be done again.
    ///
    /// # Errors
    /// [`WalError::Disk`] if the disk fails.
    pub fn start_over(
        self,
        disk: &mut dyn Disk,
        members: Option<ConfState>,
        options: WalOptions,
    ) -> Result<Recovered, WalError> {
        let what_stays = Remainder {
            snapshot: walpb::Snapshot { index: 0, term: 0, conf_state: members },
            entries: Vec::new(),
            hard_state: HardState { commit: 0, ..self.replay.hard_state },
            doubtful_up_to: self.last_acknowledged(),
        };
        self.replace_by(disk, what_stays, options)
    }

    /// What was being written when the power went, and will be cut off. None of it was durable.
    #[must_use]
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// What opening from a snapshot would come to, damaged or not. Changes nothing.
    ///
    /// # Errors
    /// [`WalError::UnknownSnapshot`] and [`WalError::EntriesMissing`] if the log does not
    /// [continue](Contents::continues) that snapshot.
    pub fn outlook(&self, start: SnapshotId) -> Result<Outlook, WalError> {
        if !self.continues(start) {
            return Err(self.refusal(start));
        }
        let Kept { count, hard_state, doubtful_up_to, loses } = self.kept(start);
        let last_index = match count {
            None => self.replay.extent.last(),
            Some((_, count)) => start.index + count as u64,
        };
        Ok(Outlook { hard_state, last_index, doubtful_up_to, loses })
    }

    /// What there is behind a snapshot.
    fn kept(&self, start: SnapshotId) -> Kept {
        let Replay { ref hard_state, doubtful_up_to, .. } = self.replay;
        let raised = |commit: u64, last: u64| {
            let current = hard_state.term >= start.term;
            let (term, vote) =
                if current { (hard_state.term, hard_state.vote) } else { (start.term, 0) };
            HardState { term, vote, commit: commit.min(last).max(start.index) }
        };
        let Some(before) = &self.before else {
            let hard_state = raised(hard_state.commit, u64::MAX);
            return Kept { count: None, hard_state, doubtful_up_to, loses: false };
        };
        if let Some(entries) = self.replay.all_behind(start.index, start.term) {
            let hard_state = raised(hard_state.commit, start.index + entries.len() as u64);
            let count = Some((Side::Behind, entries.len()));
            return Kept { count, hard_state, doubtful_up_to, loses: false };
        }
        let entries = before.entries_behind(start.index, start.term).unwrap_or_default();
        Kept {
            count: Some((Side::Before, entries.len())),
            // Not the last one: an entry that stays may have been replaced where the log is lost,
            // and then another one is committed in its place.
            hard_state: raised(before.hard_state.commit, start.index + entries.len() as u64),
            doubtful_up_to: self.last_acknowledged(),
            loses: true,
        }
    }

    /// The highest index of an entry that may have been acknowledged and counted to the end.
    fn last_acknowledged(&self) -> u64 {
        let Replay { hard_state, doubtful_up_to, .. } = &self.replay;
        self.replay.last_known().max(hard_state.commit).max(*doubtful_up_to)
    }

    /// Why the log cannot be opened from a snapshot that it does not continue.
    fn refusal(&self, snapshot: SnapshotId) -> WalError {
        let dir = self.dir.clone();
        let floor = self.before.as_ref().unwrap_or(&self.replay).extent.floor();
        match snapshot.index < floor {
            true => WalError::EntriesMissing { dir, snapshot, first: floor + 1 },
            false => WalError::UnknownSnapshot { dir, snapshot },
        }
    }
}

/// What opening a log from a snapshot comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// As in [`Recovered::hard_state`].
    pub hard_state: HardState,
    /// The index of the last entry; the snapshot's if there is none behind it.
    pub last_index: u64,
    /// As in [`Recovered::doubtful_up_to`].
    pub doubtful_up_to: u64,
    /// Whether damage takes away entries that count, so that [`Contents::open`] refuses.
    pub loses: bool,
}

/// What is kept of a log when it is opened from a snapshot.
#[derive(Debug)]
struct Kept {
    /// On which side of the damage the entries are, and how many of the last ones there; none if
    /// there is no damage.
    count: Option<(Side, usize)>,
    hard_state: HardState,
    doubtful_up_to: u64,
    /// Whether damage takes away something that counts.
    loses: bool,
}

/// What takes the place of a log.
#[derive(Debug)]
struct Remainder {
    /// Behind which the new log begins.
    snapshot: walpb::Snapshot,
    entries: Vec<Entry>,
    hard_state: HardState,
    doubtful_up_to: u64,
}

/// A side of the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    Behind,
}
