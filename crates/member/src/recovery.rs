//! Starting a member: from an empty disk, or from what an earlier life left on it.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_mvcc::{Manifest, ManifestError, OpenError, Opened, Store};
use quorate_proto::etcdserverpb::Metadata;
use quorate_proto::raftpb;
use quorate_raft::{
    EntryMeta, HardState, InvalidState, Log, LogIndex, MembershipChange, NodeId, Raft, Restored,
    Snapshot, Term,
};
use quorate_wal::disk::{Disk, DiskError, DiskOp, DiskPath};
use quorate_wal::snap::DamagedSnapshot;
use quorate_wal::{Contents, Recovered, SnapshotId, TornTail, Wal, WalError, snap};

use crate::config::{Config, Time};
use crate::journal::{Entry, EntryKind, Journal, State};
use crate::member::{Member, Started};
use crate::membership::{self, ChangeDecodeError};

/// Where etcd keeps what a member owns, below its root.
const DATA_DIRECTORY: &str = "member";
/// Where etcd keeps the log, below that.
const WAL_DIRECTORY: &str = "wal";
/// Where etcd keeps the snapshots, beside the log.
const SNAPSHOT_DIRECTORY: &str = "snap";
/// Where the store is, beside them.
const STORE_DIRECTORY: &str = "store";

/// What a member found on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Entries in its log after its snapshot; 0 for a new member.
    pub entries: u64,
    /// The index of the snapshot that it started from.
    pub snapshot: Option<LogIndex>,
    /// Snapshots that could not be read and were passed over for older ones.
    pub damaged_snapshots: Vec<DamagedSnapshot>,
    /// There was nothing that it could start from, for this reason. So it has started from nothing
    /// but its term and its vote: it gets everything from the others, and takes no part in elections
    /// until it has what it may have acknowledged.
    pub started_over: Option<NothingLeft>,
    /// What a loss of power had left half written, and was cut off.
    pub torn_tail: Option<TornTail>,
    /// What of the log had been durable and was damaged. The member gets again from others what it
    /// needs of it, and takes no part in elections until then.
    pub log_damage: Vec<quorate_wal::Damage>,
    /// The files of log and snapshots that were set aside because of all that.
    pub set_aside: Vec<DiskPath>,
    /// What opening the store had to do.
    pub store: Opened,
}

/// Why a member does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The log cannot be read.
    Wal(WalError),
    /// The log begins with something else than a member's metadata.
    Metadata(prost::DecodeError),
    /// The disk belongs to another member, or another cluster.
    Foreign {
        /// The cluster and the member that wrote it.
        found: (u64, u64),
        /// The cluster and the member that wants to start from it.
        expected: (u64, u64),
    },
    /// There is no log, though an earlier life has left other files: what it has promised, and
    /// voted, is not known.
    LogMissing {
        /// One of those files.
        found: DiskPath,
        /// Where the log should be.
        directory: DiskPath,
    },
    /// The entries do not begin at index 1 or leave a gap.
    Gap {
        /// Where an entry was expected.
        expected: LogIndex,
        /// The index of the entry found there.
        found: LogIndex,
    },
    /// An entry's term is 0, or lower than that of the entry before it.
    TermGoesBack {
        /// The entry's index.
        index: LogIndex,
        /// Its term.
        term: Term,
        /// The term of the entry before it.
        last_term: Term,
    },
    /// The member is told to found a cluster to which it does not belong.
    NotAFounder(NodeId),
    /// An entry is of a type that no member of this version writes.
    EntryType {
        /// The entry's index.
        index: LogIndex,
        /// Its type's number.
        kind: i32,
    },
    /// An entry should change the membership, and cannot be decoded.
    Change {
        /// The entry's index.
        index: LogIndex,
        /// What is wrong.
        error: ChangeDecodeError,
    },
    /// A snapshot's file is intact, but does not hold the manifest of a store.
    Manifest {
        /// The snapshot's index.
        index: LogIndex,
        /// What is wrong.
        error: ManifestError,
    },
    /// The store cannot be opened, not even as the snapshot before had it.
    Store {
        /// The snapshot's index; 0 for an empty store.
        index: LogIndex,
        /// What is wrong.
        error: OpenError,
    },
    /// The log is damaged, and there is no other member from which to get what is lost.
    Alone,
    /// There is nothing to start from, and no other member from which to get everything.
    NothingLeft(Box<NothingLeft>),
    /// Consensus cannot have written such a state.
    State(InvalidState),
}

impl Member {
    /// A member as it comes up, at `now` on its clock, and what it found on its disk.
    ///
    /// # Errors
    /// If the disk does not hold what a member of this id and cluster can have written. Nothing
    /// was lost then.
    pub fn start(
        config: Config,
        disk: &mut dyn Disk,
        now: Time,
    ) -> Result<(Member, Recovery), RecoveryError> {
        let data = DiskPath::root().join(DATA_DIRECTORY);
        let directory = data.join(WAL_DIRECTORY);
        let metadata = Metadata { node_id: config.id.0, cluster_id: config.cluster_id };
        let paths =
            Paths { snapshots: data.join(SNAPSHOT_DIRECTORY), store: data.join(STORE_DIRECTORY) };
        // Nothing is changed before it is known that all of this is ours.
        let contents = match Wal::exists(disk, &directory)? {
            true => Some(Wal::read(disk, &directory)?),
            false => None,
        };
        if let Some(contents) = &contents {
            let found =
                Metadata::decode(contents.metadata().clone()).map_err(RecoveryError::Metadata)?;
            if found != metadata {
                return Err(RecoveryError::Foreign {
                    found: (found.cluster_id, found.node_id),
                    expected: (metadata.cluster_id, metadata.node_id),
                });
            }
        } else if let Some(found) = first_file(disk, [&paths.snapshots, &paths.store])? {
            return Err(RecoveryError::LogMissing { found, directory });
        }
        disk.create_dir(&data).map_err(WalError::from)?;
        disk.sync_dir(&DiskPath::root()).map_err(WalError::from)?;
        snap::prepare(disk, &paths.snapshots)?;
        let Some(contents) = contents else {
            let metadata = Bytes::from(metadata.encode_to_vec());
            let wal = Wal::create(disk, &directory, metadata, config.wal)?;
            return begin(config, disk, wal, &paths, now);
        };
        let (start, recovered) = match find_start(&config, disk, &contents, &paths)? {
            Ok(start) => go_on(&config, disk, contents, start, &paths)?,
            Err(why) => start_over(&config, disk, contents, why, &paths)?,
        };
        resume(config, disk, start, recovered, paths, now)
    }
}

/// A file in one of these directories, if there is any.
fn first_file(disk: &dyn Disk, dirs: [&DiskPath; 2]) -> Result<Option<DiskPath>, DiskError> {
    for dir in dirs {
        match disk.list(dir) {
            Ok(files) if files.is_empty() => {}
            Ok(files) => return Ok(files.into_iter().next()),
            Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Where a member keeps what.
struct Paths {
    snapshots: DiskPath,
    store: DiskPath,
}

/// From what a member starts.
struct Start {
    state: Started,
    damaged: Vec<DamagedSnapshot>,
    /// The files of the snapshots that it does not start from, or could not if the newer ones were
    /// damaged.
    passed_over: Vec<DiskPath>,
    opened: Opened,
    started_over: Option<NothingLeft>,
}

/// Why there is nothing on a member's disk that it could start from: neither a snapshot from which
/// its log goes on, nor the log's own beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NothingLeft {
    /// The snapshots whose files are damaged.
    pub snapshots: Vec<DamagedSnapshot>,
    /// Those whose stores are: each one's index, and what is wrong.
    pub stores: Vec<(LogIndex, OpenError)>,
}

/// The newest snapshot that the log continues and whose store can be opened. The one before it is
/// kept as well.
fn find_start(
    config: &Config,
    disk: &mut dyn Disk,
    contents: &Contents,
    paths: &Paths,
) -> Result<Result<Start, NothingLeft>, RecoveryError> {
    let mut damaged = Vec::new();
    let mut stores = Vec::new();
    let mut before = SnapshotId { term: u64::MAX, index: u64::MAX };
    loop {
        let candidate = load(disk, contents, paths, before, &mut damaged)?;
        if candidate.is_none() && !contents.continues(SnapshotId::BEGINNING) {
            return nothing_left(damaged, stores);
        }
        let manifest = candidate.as_ref().map(|state| &state.manifest);
        let index = candidate.as_ref().map_or(LogIndex::ZERO, |state| state.snapshot.index);
        let error = match Store::open(disk, &paths.store, manifest, config.store) {
            Ok((store, opened)) => {
                let older = match &candidate {
                    Some(newest) => load(disk, contents, paths, id_of(newest), &mut damaged)?,
                    None => None,
                };
                let kept = older.into_iter().chain(candidate).collect();
                let failed = stores.iter().map(|(id, _)| snap::file(&paths.snapshots, *id));
                let passed_over =
                    failed.chain(damaged.iter().map(|snapshot| snapshot.file.clone())).collect();
                let state = Started { store, kept };
                return Ok(Ok(Start { state, damaged, passed_over, opened, started_over: None }));
            }
            Err(error) => error,
        };
        match candidate {
            // A disk that fails says nothing about what is on it: the same start may do better later.
            Some(newest) if !matches!(error, OpenError::Disk(_)) => {
                before = id_of(&newest);
                stores.push((before, error));
            }
            _ => return Err(RecoveryError::Store { index, error }),
        }
    }
}

/// There is no snapshot to start from, nor the log's beginning.
fn nothing_left(
    snapshots: Vec<DamagedSnapshot>,
    stores: Vec<(SnapshotId, OpenError)>,
) -> Result<Result<Start, NothingLeft>, RecoveryError> {
    let stores = stores.into_iter().map(|(id, error)| (LogIndex(id.index), error));
    let stores: Vec<_> = stores.collect();
    // What no store has written has not come about by damage.
    let strange = stores.iter().find(|(_, error)| !matches!(error, OpenError::Lost { .. }));
    match strange.cloned() {
        Some((index, error)) => Err(RecoveryError::Store { index, error }),
        None => Ok(Err(NothingLeft { snapshots, stores })),
    }
}

/// The newest intact snapshot before another one.
fn load(
    disk: &dyn Disk,
    contents: &Contents,
    paths: &Paths,
    before: SnapshotId,
    damaged: &mut Vec<DamagedSnapshot>,
) -> Result<Option<State>, RecoveryError> {
    let loaded =
        snap::load_newest(disk, &paths.snapshots, |id| id < before && contents.continues(id))?;
    damaged.extend(loaded.damaged);
    let Some(raftpb::Snapshot { data, metadata }) = loaded.snapshot else { return Ok(None) };
    let snapshot = membership::from_metadata(metadata);
    let index = snapshot.index;
    let manifest = Manifest::decode(&data.unwrap_or_default())
        .map_err(|error| RecoveryError::Manifest { index, error })?;
    Ok(Some(State { snapshot, manifest }))
}

fn id_of(state: &State) -> SnapshotId {
    SnapshotId { term: state.snapshot.term.0, index: state.snapshot.index.0 }
}

/// The members of the group as of the newest snapshot that log or files know of, damaged or not.
fn last_members(
    disk: &dyn Disk,
    contents: &Contents,
    paths: &Paths,
) -> Result<Option<raftpb::ConfState>, RecoveryError> {
    let noted = contents.snapshots().iter();
    let noted = noted.filter_map(|noted| Some((noted.index, noted.conf_state.clone()?)));
    let newest = snap::load_newest(disk, &paths.snapshots, |_| true)?.snapshot;
    let file =
        newest.map(|raftpb::Snapshot { metadata, .. }| (metadata.index, metadata.conf_state));
    Ok(noted.chain(file).max_by_key(|(index, _)| *index).map(|(_, members)| members))
}

/// Whether the member is all of its group, as far as it knows before it has read its log.
fn is_alone(config: &Config, members: Option<&raftpb::ConfState>) -> bool {
    match members {
        Some(state) => membership::from_conf_state(state.clone()).members() == [config.id],
        None => config.founders.as_deref() == Some(&[config.id]),
    }
}

/// Opens the log behind the snapshot that was found.
fn go_on(
    config: &Config,
    disk: &mut dyn Disk,
    contents: Contents,
    start: Start,
    paths: &Paths,
) -> Result<(Start, Recovered), RecoveryError> {
    let (kept, wal) = (&start.state.kept, config.wal);
    let newest = kept.back().map_or(SnapshotId::BEGINNING, id_of);
    let oldest = kept.front().map_or(SnapshotId::BEGINNING, id_of);
    if contents.doubtful_up_to(newest) > 0 {
        let members = last_members(disk, &contents, paths)?;
        if is_alone(config, members.as_ref()) {
            // Nobody has what is lost.
            contents.open(disk, newest, wal)?;
            return Err(RecoveryError::Alone);
        }
    }
    let mut recovered = contents.open_damaged(disk, newest, wal)?;
    // What they stand for is not kept any more.
    recovered.set_aside.extend(snap::set_aside(disk, &paths.snapshots, &start.passed_over)?);
    DiskOp::execute_all(&snap::remove_ops(disk, &paths.snapshots, oldest, 1)?, disk)?;
    Ok((start, recovered))
}

/// Begins the log anew. What else is on the disk does not count any more from the moment that this
/// is durable.
fn start_over(
    config: &Config,
    disk: &mut dyn Disk,
    contents: Contents,
    why: NothingLeft,
    paths: &Paths,
) -> Result<(Start, Recovered), RecoveryError> {
    let members = last_members(disk, &contents, paths)?;
    if is_alone(config, members.as_ref()) {
        // Nobody has what is lost.
        return Err(RecoveryError::NothingLeft(Box::new(why)));
    }
    let mut recovered = contents.start_over(disk, members, config.wal)?;
    assert!(recovered.doubtful_up_to > 0, "a log without its beginning has held something");
    let snapshots = snap::files(disk, &paths.snapshots)?;
    recovered.set_aside.extend(snap::set_aside(disk, &paths.snapshots, &snapshots)?);
    let (store, opened) = Store::open(disk, &paths.store, None, config.store)
        .map_err(|error| RecoveryError::Store { index: LogIndex::ZERO, error })?;
    let start = Start {
        state: Started { store, kept: VecDeque::new() },
        damaged: why.snapshots.clone(),
        passed_over: Vec::new(),
        opened,
        started_over: Some(why),
    };
    Ok((start, recovered))
}

/// The member, from what it found.
fn resume(
    config: Config,
    disk: &mut dyn Disk,
    start: Start,
    recovered: Recovered,
    paths: Paths,
    now: Time,
) -> Result<(Member, Recovery), RecoveryError> {
    let Start { state, damaged, opened, started_over, .. } = start;
    let Recovered { wal, hard_state, entries, repaired, .. } = recovered;
    let untouched = hard_state == raftpb::HardState::default() && entries.is_empty();
    if untouched && state.kept.is_empty() && recovered.doubtful_up_to == 0 {
        // An earlier life ended before it had written how it began.
        return begin(config, disk, wal, &paths, now);
    }
    let base = state.kept.back().map_or(SnapshotId::BEGINNING, id_of);
    let snapshot = state.kept.back().map(|state| state.snapshot.clone());
    let replayed = replay(snapshot.as_ref(), entries)?;
    let raft = Raft::new(Restored {
        id: config.id,
        snapshot: snapshot.clone().unwrap_or_default(),
        hard_state: from_record(hard_state),
        log: replayed.log,
        changes: replayed.changes,
        doubtful: LogIndex(recovered.doubtful_up_to),
        options: config.raft.clone(),
    })
    .map_err(RecoveryError::State)?;
    let recovery = Recovery {
        entries: replayed.entries.len() as u64,
        snapshot: snapshot.map(|snapshot| snapshot.index),
        damaged_snapshots: damaged,
        started_over,
        torn_tail: repaired,
        log_damage: recovered.damage,
        set_aside: recovered.set_aside,
        store: opened,
    };
    let kept = state.kept.iter().map(id_of).collect();
    let journal = Journal::new(kept, base, replayed.entries, wal, paths.snapshots);
    Ok((Member::assemble(config, raft, journal, state, now, disk), recovery))
}

/// A member that knows nothing yet: it founds a cluster, or waits to be spoken to.
fn begin(
    config: Config,
    disk: &mut dyn Disk,
    mut wal: Wal,
    paths: &Paths,
    now: Time,
) -> Result<(Member, Recovery), RecoveryError> {
    let mut entries = VecDeque::new();
    let restored = match &config.founders {
        None => Restored::joiner(config.id, config.raft.clone()),
        Some(founders) => {
            if !founders.contains(&config.id) {
                return Err(RecoveryError::NotAFounder(config.id));
            }
            let founding = MembershipChange::found(founders.iter().copied());
            let payload = membership::encode(None, &founding);
            let size = payload.len() as u32;
            let restored = Restored::founder(config.id, founding, size, config.raft.clone());
            let HardState { term, commit, .. } = restored.hard_state;
            let entry = raftpb::Entry {
                r#type: raftpb::EntryType::EntryConfChangeV2 as i32,
                term: term.0,
                index: commit.0,
                data: Some(payload.clone()),
            };
            let hard_state = raftpb::HardState { term: term.0, vote: 0, commit: commit.0 };
            wal.append(Some(hard_state), [&entry]);
            DiskOp::execute_all(&wal.take_ops(), disk)?;
            entries.push_back(Entry { term, kind: EntryKind::Change, payload });
            restored
        }
    };
    let raft = Raft::new(restored).map_err(RecoveryError::State)?;
    let snapshots = paths.snapshots.clone();
    let journal = Journal::new(VecDeque::new(), SnapshotId::BEGINNING, entries, wal, snapshots);
    let (store, _) = Store::open(disk, &paths.store, None, config.store)
        .map_err(|error| RecoveryError::Store { index: LogIndex::ZERO, error })?;
    let state = Started { store, kept: VecDeque::new() };
    Ok((Member::assemble(config, raft, journal, state, now, disk), Recovery::default()))
}

/// What the entries of a log come to.
struct Replayed {
    log: Log,
    changes: Vec<(LogIndex, MembershipChange)>,
    entries: VecDeque<Entry>,
}

fn replay(
    snapshot: Option<&Snapshot>,
    records: Vec<raftpb::Entry>,
) -> Result<Replayed, RecoveryError> {
    let mut log = snapshot.map_or(Log::new(), |state| Log::after(state.index, state.term));
    let mut changes = Vec::new();
    let mut entries = VecDeque::with_capacity(records.len());
    for record in records {
        let index = log.last_index().next();
        if record.index != index.0 {
            return Err(RecoveryError::Gap { expected: index, found: LogIndex(record.index) });
        }
        let payload = record.data.unwrap_or_default();
        let (term, last_term) = (Term(record.term), log.last_term());
        if term < last_term.max(Term(1)) {
            return Err(RecoveryError::TermGoesBack { index, term, last_term });
        }
        let kind = match raftpb::EntryType::try_from(record.r#type) {
            Ok(raftpb::EntryType::EntryNormal) => EntryKind::Request,
            Ok(raftpb::EntryType::EntryConfChangeV2) => {
                let change = membership::decode(&payload)
                    .map_err(|error| RecoveryError::Change { index, error })?;
                changes.push((index, change));
                EntryKind::Change
            }
            _ => return Err(RecoveryError::EntryType { index, kind: record.r#type }),
        };
        log.append(EntryMeta { term, size: payload.len() as u32 });
        entries.push_back(Entry { term, kind, payload });
    }
    Ok(Replayed { log, changes, entries })
}

fn from_record(record: raftpb::HardState) -> HardState {
    HardState {
        term: Term(record.term),
        vote: (record.vote != 0).then_some(NodeId(record.vote)),
        commit: LogIndex(record.commit),
    }
}

impl fmt::Display for NothingLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for DamagedSnapshot { file, damage, .. } in &self.snapshots {
            write!(f, "{file} is damaged: {damage}; ")?;
        }
        for (index, error) in &self.stores {
            write!(f, "the store as of entry {index} cannot be opened: {error}; ")?;
        }
        write!(
            f,
            "the log goes on from no other snapshot, and does not reach back to its beginning"
        )
    }
}

impl From<WalError> for RecoveryError {
    fn from(error: WalError) -> RecoveryError {
        RecoveryError::Wal(error)
    }
}

impl From<DiskError> for RecoveryError {
    fn from(error: DiskError) -> RecoveryError {
        RecoveryError::Wal(WalError::from(error))
    }
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoveryError::Wal(error) => error.fmt(f),
            RecoveryError::Metadata(error) => {
                write!(f, "the log does not begin with a member's metadata: {error}")
            }
            RecoveryError::Foreign { found, expected } => write!(
                f,
                "the disk belongs to member {:x} of cluster {:x}, not to member {:x} of cluster \
                 {:x}: start the member with its own data directory",
                found.1, found.0, expected.1, expected.0
            ),
            RecoveryError::LogMissing { found, directory } => write!(
                f,
                "{found} is there, but {directory} has no file of a log: bring the log's files \
                 back; if they are lost, remove the member from its cluster, and add it anew with \
                 an empty data directory"
            ),
            RecoveryError::Gap { expected, found } => {
                write!(f, "the log has entry {found} where entry {expected} belongs")
            }
            RecoveryError::TermGoesBack { index, term, last_term } => write!(
                f,
                "the log has entry {index} of term {term} after one of term {last_term}: it was not \
                 written by consensus; restore the member from its peers"
            ),
            RecoveryError::NotAFounder(id) => write!(
                f,
                "member {id} is not among the founders of the cluster: name it there, or let it \
                 join the cluster"
            ),
            RecoveryError::EntryType { index, kind } => write!(
                f,
                "entry {index} of the log has type {kind}, which no member of this version writes"
            ),
            RecoveryError::Change { index, error } => {
                write!(f, "entry {index} of the log changes the membership, but it is {error}")
            }
            RecoveryError::Manifest { index, error } => write!(
                f,
                "the snapshot at entry {index} is intact, but what it holds is not what this \
                 version keeps there: {error}"
            ),
            RecoveryError::Store { index, error } => {
                write!(f, "the store as of entry {index} cannot be opened: {error}")
            }
            RecoveryError::Alone => write!(
                f,
                "the log is damaged, and there is no other member to get from what is lost"
            ),
            RecoveryError::NothingLeft(why) => write!(
                f,
                "{why}; there is no other member to get everything from, so nothing was changed: \
                 restore a backup"
            ),
            RecoveryError::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecoveryError {}
