//! What really happened: counts of what took effect, and of the marks that were reached.
//!
//! A fault that is scheduled but changes nothing is not counted; that is the point of counting.

use std::collections::BTreeMap;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Count {
            /// All counts there are.
            pub const ALL: &[Count] = &[$(Count::$variant),+];

            /// The count's name, as in summaries.
            pub fn name(self) -> &'static str {
                match self {
                    $(Count::$variant => $name,)+
                }
            }
        }
    };
}

counts! {
    /// Faults: a running process was killed.
    Crash => "crash",
    /// Faults: machines lost power (once a fault, however many machines).
    PowerLoss => "power_loss",
    /// Faults: a paused process really let an input wait.
    Pause => "pause",
    /// Faults: a partition really blocked a message.
    Partition => "partition",
    /// Faults: a one-way block really blocked a message.
    OneWay => "one_way",
    /// Faults: a slow link really delayed a message.
    SlowLink => "slow_link",
    /// Faults: a window of noise really changed a message's fate.
    Noise => "noise",
    /// Faults: a running process's clock jumped.
    ClockJump => "clock_jump",
    /// Faults: a running process's clock changed its rate.
    ClockDrift => "clock_drift",
    /// Faults: a slow disk really delayed a batch.
    SlowDisk => "slow_disk",
    /// Faults: an operation of a disk really failed.
    WriteError => "write_error",
    /// Faults: a sync really failed.
    SyncError => "sync_error",
    /// Faults: a full disk really refused something.
    DiskFull => "disk_full",
    /// Faults: bits of durable files really changed.
    BitRot => "bit_rot",
    /// Faults: a write really landed elsewhere.
    MisdirectedWrite => "misdirected_write",
    /// Faults: a read really gave something else.
    MisdirectedRead => "misdirected_read",
    /// Effects: a fault did not happen, since nobody could have made up for the damage.
    DamageSpared => "damage_spared",
    /// Effects: a process stopped because its disk had failed, and is started again.
    Halt => "halt",
    /// Effects: a process did not get up because its disk failed, and is started again.
    StartFailed => "start_failed",
    /// Effects: a process refused what its disk holds.
    StartRefused => "start_refused",
    /// Effects: a machine was replaced by one with an empty disk.
    MachineReplaced => "machine_replaced",
    /// Effects: a process started again.
    Restart => "restart",
    /// Effects: chance lost a message.
    MessageLost => "message_lost",
    /// Effects: a blocked link swallowed a message, when it was sent or when it would have arrived.
    MessageBlocked => "message_blocked",
    /// Effects: a message came to a node whose process was down.
    MessageToDownNode => "message_to_down_node",
    /// Effects: a process handled a message after a later one of the same link.
    MessageReordered => "message_reordered",
    /// Effects: a process handled a second copy of a message.
    MessageDuplicated => "message_duplicated",
    /// Effects: a process handled a copy that came long after the message.
    MessageReplayed => "message_replayed",
    /// Effects: an operation that was submitted was never carried out, because of a crash.
    DiskOperationCut => "disk_operation_cut",
    /// Effects: a sector, length or name that was not synced is gone after a power loss.
    UnsyncedWriteLost => "unsynced_write_lost",
    /// Effects: after a power loss a name of a file is gone, there again, or another file's, since
    /// its directory was not synced.
    DirectoryEntryLost => "directory_entry_lost",
    /// Effects: a batch of disk operations failed.
    DiskFailure => "disk_failure",
    /// Volume: messages sent.
    Sent => "sent",
    /// Volume: messages handled, copies included.
    Handled => "handled",
    /// Volume: timers handled.
    Timer => "timer",
    /// Volume: disk batches completed.
    DiskBatch => "disk_batch",
}

impl Count {
    /// Whether it counts a fault or an effect of one, rather than the run's volume.
    pub fn is_fault(self) -> bool {
        self < Count::Sent
    }
}

/// How often each [`Count`] happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    counts: [u64; Count::ALL.len()],
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { counts: [0; Count::ALL.len()] }
    }
}

impl Counters {
    /// How often `count` happened.
    pub fn get(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Faults that took effect, and their effects, by name; those that never happened are left out.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let happened = |count: &&Count| count.is_fault() && self.get(**count) > 0;
        Count::ALL.iter().filter(happened).map(|count| (count.name(), self.get(*count))).collect()
    }

    pub(crate) fn add(&mut self, count: Count, number: u64) {
        self.counts[count as usize] += number;
    }

    pub(crate) fn one(&mut self, count: Count) {
        self.add(count, 1);
    }
}
