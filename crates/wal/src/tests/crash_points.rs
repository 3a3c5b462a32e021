//! Power that goes after every single disk operation of a long life: appends, new segments,
//! snapshots with their files, releases.

use quorate_proto::raftpb::{Snapshot, SnapshotMetadata};
use quorate_proto::walpb;

use super::*;
use crate::{SnapshotId, snap};

/// What a loss of power spares of what was not synced.
#[derive(Debug, Clone, Copy)]
enum Spares {
    Nothing,
    Everything,
    /// Every second thing, from the first or the second on.
    Alternating(bool),
    /// Any, as this seed says.
    Random(u64),
}

const POLICIES: [Spares; 8] = [
    Spares::Nothing,
    Spares::Everything,
    Spares::Alternating(false),
    Spares::Alternating(true),
    Spares::Random(1),
    Spares::Random(2),
    Spares::Random(3),
    Spares::Random(4),
];

impl Spares {
    fn cut_power(self, disk: &mut MemDisk, salt: u64) {
        let (mut count, mut draws) = (0_u64, Draws(salt));
        disk.power_loss(|_| {
            count += 1;
            match self {
                Spares::Nothing => false,
                Spares::Everything => true,
                Spares::Alternating(first) => first == (count % 2 == 1),
                Spares::Random(seed) => (draws.next() ^ seed.rotate_left(40)).count_ones() % 2 == 1,
            }
        });
    }
}

/// What a member knows: all entries since the beginning, and its newest snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    hard_state: HardState,
    entries: Vec<Entry>,
    snapshot: u64,
}

/// A member's directory, as the member keeps it.
struct Life {
    disk: MemDisk,
    wal: Wal,
    snapshots: DiskPath,
    /// What is durable for certain.
    acknowledged: Known,
    /// The snapshots that have a file, oldest first.
    files: Vec<u64>,
    operations: u32,
    torn: u32,
    unacknowledged_kept: u32,
}

fn snapshot_of(known: &Known, index: u64) -> (Snapshot, walpb::Snapshot) {
    let term = known.entries[index as usize - 1].term;
    let metadata = SnapshotMetadata { index, term, ..SnapshotMetadata::default() };
    let data = Some(Bytes::from(vec![index as u8 | 1; 700]));
    (Snapshot { data, metadata }, walpb::Snapshot { index, term, conf_state: None })
}

impl Life {
    /// Carries operations out, and cuts the power before each of them and after the last.
    fn carry_out(&mut self, ops: &[DiskOp], allowed: &[Known]) {
        for op in ops {
            self.cut_power_everywhere(allowed);
            op.execute(&mut self.disk).expect("a healthy disk");
            self.operations += 1;
        }
        let done = allowed.last().expect("at least what was known before");
        self.acknowledged = done.clone();
        self.cut_power_everywhere(std::slice::from_ref(done));
    }

    fn cut_power_everywhere(&mut self, allowed: &[Known]) {
        for policy in POLICIES {
            let mut disk = self.disk.clone();
            policy.cut_power(&mut disk, u64::from(self.operations));
            let known = self.recover(&mut disk, allowed);
            self.unacknowledged_kept += u32::from(known != self.acknowledged);
        }
    }

    /// Starts as a member does, and compares with what may be there.
    fn recover(&mut self, disk: &mut MemDisk, allowed: &[Known]) -> Known {
        let contents = Wal::read(disk, &dir()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(contents.damage(), []);
        let loaded = snap::load_newest(disk, &self.snapshots, |id| contents.continues(id));
        let loaded = loaded.expect("a healthy disk");
        assert_eq!(loaded.damaged, []);
        let metadata = loaded.snapshot.map(|snapshot| snapshot.metadata).unwrap_or_default();
        let start = SnapshotId { term: metadata.term, index: metadata.index };
        assert!(start.index >= self.acknowledged.snapshot, "an acknowledged snapshot is lost");
        snap::prepare(disk, &self.snapshots).expect("a healthy disk");
        let recovered = contents.open(disk, start, SMALL).expect("it continues that snapshot");
        assert!(disk.is_clean(), "what was recovered is durable");
        self.torn += u32::from(recovered.repaired.is_some());
        let fits = |known: &&Known| {
            known.snapshot == start.index
                && known.entries[start.index as usize..] == recovered.entries[..]
                && known.hard_state == recovered.hard_state
        };
        let known = allowed.iter().find(fits);
        known.unwrap_or_else(|| panic!("{recovered:?} is none of {allowed:?}")).clone()
    }

    /// One batch: entries, perhaps in place of others, then a hard state.
    fn append(&mut self, draws: &mut Draws, term: u64) {
        let known = &self.acknowledged;
        let last = known.entries.len() as u64;
        let back = if draws.below(5) == 0 { draws.below(4) } else { 0 };
        let first = (last + 1 - back.min(last)).max(known.hard_state.commit + 1);
        let mut allowed = vec![known.clone()];
        for index in first..first + draws.below(4) {
            let size = if draws.below(6) == 0 { 1200 } else { draws.below(90) };
            // Zeros, too: a sector of them looks like one that was not written.
            let byte = if draws.below(3) == 0 { 0 } else { draws.below(256) as u8 };
            let new = entry(index, term, vec![byte; size as usize]);
            let mut next = allowed.last().expect("at least one").clone();
            next.entries.truncate(index as usize - 1);
            next.entries.push(new.clone());
            allowed.push(next);
            self.wal.append(None, [new]);
        }
        let mut next = allowed.last().expect("at least one").clone();
        let commit = next.entries.len() as u64;
        next.hard_state = state(term, draws.below(3), commit.saturating_sub(draws.below(3)));
        next.hard_state.commit = next.hard_state.commit.max(known.hard_state.commit);
        self.wal.append(Some(next.hard_state), [] as [&Entry; 0]);
        allowed.push(next);
        let ops = self.wal.take_ops();
        self.carry_out(&ops, &allowed);
    }

    /// A snapshot of what is committed: its file, its note; then what is not needed goes.
    fn take_snapshot(&mut self) {
        let index = self.acknowledged.hard_state.commit;
        if index <= self.acknowledged.snapshot {
            return;
        }
        let (file, note) = snapshot_of(&self.acknowledged, index);
        let mut ops = snap::write_ops(&self.snapshots, &file);
        self.wal.append_snapshot(&note);
        ops.extend(self.wal.take_ops());
        let with = Known { snapshot: index, ..self.acknowledged.clone() };
        self.carry_out(&ops, &[self.acknowledged.clone(), with]);
        self.files.push(index);
        if let [.., kept, _] = self.files[..] {
            self.wal.release_to(kept);
            let (newest, _) = snapshot_of(&self.acknowledged, index);
            let newest = SnapshotId { term: newest.metadata.term, index };
            let mut ops = self.wal.take_ops();
            let old = snap::remove_ops(&self.disk, &self.snapshots, newest, 2);
            ops.extend(old.expect("a healthy disk"));
            let known = self.acknowledged.clone();
            self.carry_out(&ops, std::slice::from_ref(&known));
        }
    }

    fn restart(&mut self) {
        let mut disk = self.disk.clone();
        let acknowledged = self.acknowledged.clone();
        let known = self.recover(&mut disk, std::slice::from_ref(&acknowledged));
        let start = match known.snapshot {
            0 => SnapshotId::BEGINNING,
            index => SnapshotId { term: known.entries[index as usize - 1].term, index },
        };
        let contents = Wal::read(&self.disk, &dir()).expect("a whole log");
        self.wal = contents.open(&mut self.disk, start, SMALL).expect("a whole log").wal;
    }
}

#[test]
fn power_goes_after_every_disk_operation_and_all_that_was_acknowledged_is_there_and_nothing_else() {
    let mut draws = Draws(4);
    let (mut disk, wal) = created(SMALL);
    let snapshots = DiskPath::new("snap").expect("a valid name");
    snap::prepare(&mut disk, &snapshots).expect("a healthy disk");
    let mut life = Life {
        disk,
        wal,
        snapshots,
        acknowledged: Known::default(),
        files: Vec::new(),
        operations: 0,
        torn: 0,
        unacknowledged_kept: 0,
    };
    for round in 1..=160 {
        life.append(&mut draws, 1 + round / 3);
        if round % 6 == 0 {
            life.take_snapshot();
        }
        if round % 25 == 0 {
            life.restart();
        }
    }
    let Life { operations, torn, unacknowledged_kept, acknowledged, files, .. } = life;
    assert!(operations > 600, "{operations} operations");
    assert!(torn > 100, "{torn} torn tails");
    assert!(unacknowledged_kept > 100, "{unacknowledged_kept} times more than was acknowledged");
    assert!(acknowledged.entries.len() > 100 && files.len() > 15, "{files:?}");
}
