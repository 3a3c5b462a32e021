//! What a member is told when it starts.

use quorate_raft::{NodeId, Options};

/// A reading of the member's clock, in nanoseconds from an arbitrary beginning. Deadlines and
/// leases are counted with it; nothing else depends on it. It may go back, which ends a lease. It
/// has to count the time during which the machine is suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// Time that has passed by a clock which may be set back.
///
/// A request that waits must not wait longer because somebody set the clock back (the simulator
/// found a read that was never repeated after a jump of ten seconds): what the clock loses does not
/// count.
#[derive(Clone, Debug)]
pub(crate) struct Elapsed {
    /// The clock's last reading.
    reading: Time,
    total: Time,
}

impl Elapsed {
    pub(crate) fn begin(reading: Time) -> Elapsed {
        Elapsed { reading, total: Time(0) }
    }

    /// The time that has passed, given what the clock shows now; as an error if the clock was set
    /// back, so that it may have been more.
    pub(crate) fn at(&mut self, reading: Time) -> Result<Time, Time> {
        let passed = reading.0.checked_sub(self.reading.0);
        self.reading = reading;
        self.total.0 += passed.unwrap_or(0);
        if passed.is_some() { Ok(self.total) } else { Err(self.total) }
    }
}

/// A member's identity and limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// This member.
    pub id: NodeId,
    /// The cluster that it belongs to: a disk of another cluster is refused.
    pub cluster_id: u64,
    /// On an empty disk: the voters of the new cluster that this member founds with others, who
    /// are all given the same; or none, to join a cluster that exists. Without meaning on a disk
    /// that has a log, which says who the members are.
    pub founders: Option<Vec<NodeId>>,
    /// The first of 2³² request ids that no other process uses, in this cluster and for ever:
    /// an earlier life of this member would take answers meant for it.
    pub first_request_id: u64,
    /// Consensus: limits, and whether leaders answer reads by lease.
    pub raft: Options,
    /// How long [`crate::Timer::Election`] takes, in nanoseconds. Leases are counted from it.
    pub election_timeout_ns: u64,
    /// By how many parts in a million each member's clock may run too fast or too slow. Leases
    /// are shorter than the election timeout by what two clocks may then differ.
    pub clock_drift_ppm: u32,
    /// A snapshot is taken whenever so many entries were applied since the last one; not 0.
    pub snapshot_every: u64,
    /// So many entries behind a snapshot stay, so that a follower that is a little late need not
    /// be sent all of the state.
    pub snapshot_keep: u64,
    /// The log's payloads are in memory: once they take so many bytes, a snapshot is taken however
    /// few entries that are, and behind it entries of half as many bytes stay at most.
    pub snapshot_bytes: u64,
    /// A snapshot of which nothing was heard after so many nanoseconds is taken for lost.
    pub snapshot_retry_ns: u64,
    /// The store's files and cache.
    pub store: quorate_mvcc::StoreOptions,
    /// How much of its store a member looks at, or moves, at each [`crate::Timer::Upkeep`], in
    /// bytes.
    pub upkeep_bytes: usize,
    /// How much of a snapshot is asked for at once, in bytes; not 0.
    pub chunk_bytes: u32,
    /// The log's files.
    pub wal: quorate_wal::WalOptions,
    /// A request that was not answered after this many nanoseconds is answered with a time-out.
    pub request_timeout_ns: u64,
    /// A read index that was not confirmed after this many nanoseconds is asked for again.
    pub read_retry_ns: u64,
    /// Requests that may wait at once; more are refused.
    pub max_waiting_requests: usize,
    /// Operations in a transaction, at most (etcd's `--max-txn-ops`).
    pub max_txn_operations: usize,
    /// Bytes of an encoded request, at most (etcd's `--max-request-bytes`).
    pub max_request_bytes: usize,
}

impl Config {
    /// A member with etcd's limits.
    #[must_use]
    pub fn new(
        id: NodeId,
        cluster_id: u64,
        founders: Option<Vec<NodeId>>,
        first_request_id: u64,
    ) -> Config {
        Config {
            id,
            cluster_id,
            founders,
            first_request_id,
            raft: Options::default(),
            election_timeout_ns: 1_000_000_000,
            clock_drift_ppm: 10_000,
            snapshot_every: 10_000,
            snapshot_keep: 5_000,
            snapshot_bytes: 64 << 20,
            snapshot_retry_ns: 30_000_000_000,
            store: quorate_mvcc::StoreOptions::default(),
            upkeep_bytes: 1 << 20,
            chunk_bytes: 1 << 20,
            wal: quorate_wal::WalOptions::default(),
            request_timeout_ns: 7_000_000_000,
            read_retry_ns: 500_000_000,
            max_waiting_requests: 5_000,
            max_txn_operations: 128,
            max_request_bytes: 1_536 * 1024,
        }
    }
}
