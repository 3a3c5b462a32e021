//! Starting a member: from an empty disk, or from what an earlier life left on it.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::Metadata;
use quorate_proto::raftpb;
use quorate_raft::{
    EntryMeta, HardState, InvalidState, Log, LogIndex, NodeId, Raft, Restored, Term,
};
use quorate_wal::disk::{Disk, DiskPath};
use quorate_wal::{TornTail, Wal, WalError};

use crate::config::{Config, Time};
use crate::journal::{Entry, Journal};
use crate::member::Member;

/// Where etcd keeps what a member owns, below its root.
const DATA_DIRECTORY: &str = "member";
/// Where etcd keeps the log, below that.
const WAL_DIRECTORY: &str = "wal";

/// What a member found on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Entries in its log; 0 for a new member.
    pub entries: u64,
    /// What a loss of power had left half written, and was cut off.
    pub torn_tail: Option<TornTail>,
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
        disk.create_dir(&data).map_err(WalError::from)?;
        disk.sync_dir(&DiskPath::root()).map_err(WalError::from)?;
        let directory = data.join(WAL_DIRECTORY);
        let metadata = Metadata { node_id: config.id.0, cluster_id: config.cluster_id };
        if !Wal::exists(disk, &directory)? {
            let metadata = Bytes::from(metadata.encode_to_vec());
            let wal = Wal::create(disk, &directory, metadata, config.wal)?;
            let raft = restore(&config, HardState::default(), Log::new())?;
            let recovery = Recovery { entries: 0, torn_tail: None };
            return Ok((
                Member::assemble(config, raft, Journal::new(Vec::new(), wal), now),
                recovery,
            ));
        }
        let recovered = Wal::open(disk, &directory, config.wal)?;
        let found = Metadata::decode(recovered.metadata).map_err(RecoveryError::Metadata)?;
        if found != metadata {
            return Err(RecoveryError::Foreign {
                found: (found.cluster_id, found.node_id),
                expected: (metadata.cluster_id, metadata.node_id),
            });
        }
        let (log, entries) = replay(recovered.entries)?;
        let raft = restore(&config, from_record(recovered.hard_state), log)?;
        let recovery = Recovery { entries: entries.len() as u64, torn_tail: recovered.repaired };
        let journal = Journal::new(entries, recovered.wal);
        Ok((Member::assemble(config, raft, journal, now), recovery))
    }
}

fn restore(config: &Config, hard_state: HardState, log: Log) -> Result<Raft, RecoveryError> {
    let (id, voters, options) = (config.id, config.voters.clone(), config.raft.clone());
    let restored = Restored { id, voters, hard_state, log, options };
    Raft::new(restored).map_err(RecoveryError::State)
}

fn replay(records: Vec<raftpb::Entry>) -> Result<(Log, Vec<Entry>), RecoveryError> {
    let mut log = Log::new();
    let mut entries = Vec::with_capacity(records.len());
    for record in records {
        let expected = log.last_index().next();
        if record.index != expected.0 {
            return Err(RecoveryError::Gap { expected, found: LogIndex(record.index) });
        }
        let payload = record.data.unwrap_or_default();
        let (term, last_term) = (Term(record.term), log.last_term());
        if term < last_term.max(Term(1)) {
            return Err(RecoveryError::TermGoesBack { index: expected, term, last_term });
        }
        log.append(EntryMeta { term, size: payload.len() as u32 });
        entries.push(Entry { term, payload });
    }
    Ok((log, entries))
}

fn from_record(record: raftpb::HardState) -> HardState {
    HardState {
        term: Term(record.term),
        vote: (record.vote != 0).then_some(NodeId(record.vote)),
        commit: LogIndex(record.commit),
    }
}

impl From<WalError> for RecoveryError {
    fn from(error: WalError) -> RecoveryError {
        RecoveryError::Wal(error)
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
            RecoveryError::Gap { expected, found } => {
                write!(f, "the log has entry {found} where entry {expected} belongs")
            }
            RecoveryError::TermGoesBack { index, term, last_term } => write!(
                f,
                "the log has entry {index} of term {term} after one of term {last_term}: it was not \
                 written by consensus; restore the member from its peers"
            ),
            RecoveryError::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecoveryError {}
