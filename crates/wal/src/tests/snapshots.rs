//! Snapshots in the log: what they keep, what they replace, and what is released behind them.

use quorate_proto::raftpb::ConfState;
use quorate_proto::walpb;

use super::*;
use crate::SnapshotId;

mod crash;

fn noted(term: u64, index: u64) -> walpb::Snapshot {
    let conf_state = ConfState { voters: vec![1, 2, index], ..ConfState::default() };
    walpb::Snapshot { index, term, conf_state: Some(conf_state) }
}

fn id(term: u64, index: u64) -> SnapshotId {
    SnapshotId { term, index }
}

/// Appends a batch that begins with a snapshot and makes it durable.
fn save_snapshot(
    disk: &mut MemDisk,
    wal: &mut Wal,
    (term, index): (u64, u64),
    hard_state: Option<HardState>,
    entries: &[Entry],
) {
    wal.append_snapshot(&noted(term, index));
    save(disk, wal, hard_state, entries);
}

fn read(disk: &MemDisk) -> crate::Contents {
    Wal::read(disk, &dir()).unwrap_or_else(|error| panic!("{error}"))
}

fn open_from(disk: &mut MemDisk, start: SnapshotId) -> Result<Recovered, WalError> {
    read(disk).open(disk, start, SMALL)
}

fn listed(disk: &MemDisk) -> Vec<(u64, u64)> {
    read(disk).snapshots().iter().map(|snapshot| (snapshot.term, snapshot.index)).collect()
}

fn indices(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|entry| entry.index).collect()
}

fn entries(term: u64, indices: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    indices.map(|index| entry(index, term, vec![term as u8; 100])).collect()
}

#[test]
fn a_log_opens_behind_any_snapshot_of_it() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, Some(state(1, 1, 4)), &entries(1, 1..=5));
    save_snapshot(&mut disk, &mut wal, (1, 2), None, &[]);
    save_snapshot(&mut disk, &mut wal, (1, 4), Some(state(2, 1, 6)), &entries(2, 6..=7));
    assert_eq!(listed(&disk), [(0, 0), (1, 2), (1, 4)]);
    for (snapshot, first) in [(SnapshotId::BEGINNING, 1), (id(1, 2), 3), (id(1, 4), 5)] {
        assert!(read(&disk).continues(snapshot));
        let recovered = open_from(&mut disk, snapshot).expect("it is listed");
        assert_eq!(indices(&recovered), (first..=7).collect::<Vec<_>>());
        assert_eq!(recovered.hard_state, state(2, 1, 6));
        assert_eq!(recovered.wal.last_index(), 7);
        let expected = match snapshot {
            SnapshotId::BEGINNING => walpb::Snapshot::default(),
            SnapshotId { term, index } => noted(term, index),
        };
        assert_eq!(recovered.snapshot, expected);
    }
}

#[test]
fn a_leaders_snapshot_beyond_the_end_leaves_no_gap() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, Some(state(1, 1, 3)), &entries(1, 1..=5));
    save_snapshot(&mut disk, &mut wal, (4, 100), Some(state(4, 0, 100)), &entries(4, 101..=102));
    assert_eq!(wal.last_index(), 102);
    let recovered = open_from(&mut disk, id(4, 100)).expect("it was noted");
    assert_eq!(indices(&recovered), [101, 102]);
    let mut wal = recovered.wal;
    save(&mut disk, &mut wal, None, &entries(4, 103..=103));
    let recovered = open_from(&mut disk, id(4, 100)).expect("it was noted");
    assert_eq!(indices(&recovered), [101, 102, 103]);
    assert_eq!(listed(&disk), [(4, 100)]);
}

#[test]
fn a_leaders_snapshot_that_conflicts_leaves_nothing_of_the_log() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, Some(state(1, 1, 3)), &entries(1, 1..=20));
    save_snapshot(&mut disk, &mut wal, (4, 10), Some(state(4, 0, 10)), &[]);
    assert_eq!(wal.last_index(), 10);
    let recovered = open_from(&mut disk, id(4, 10)).expect("it was noted");
    assert_eq!(indices(&recovered), [], "entries of a log that was discarded came back");
    assert_eq!(recovered.wal.last_index(), 10);
    let mut wal = recovered.wal;
    save(&mut disk, &mut wal, None, &entries(4, 11..=11));
    assert_eq!(indices(&open_from(&mut disk, id(4, 10)).expect("it was noted")), [11]);
    assert_eq!(
        open(&mut disk).map(|_| ()),
        Err(WalError::EntriesMissing { dir: dir(), snapshot: SnapshotId::BEGINNING, first: 11 })
    );
}

#[test]
fn a_snapshot_that_the_log_does_not_know_is_refused_and_nothing_changed() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &entries(2, 1..=5));
    save_snapshot(&mut disk, &mut wal, (2, 3), None, &entries(2, 6..=6));
    // A torn batch, which opening would repair.
    wal.append(None, [entry(7, 2, vec![2; 2000])]);
    let DiskOp::Write { file, offset, data } = &wal.take_ops()[0] else { panic!("no cut") };
    disk.write(file, *offset, &data[..1024]).expect("room");
    let before = content(&disk, file);
    for unknown in [id(2, 4), id(3, 3), id(2, 6), id(2, 100), id(0, 3)] {
        assert!(!read(&disk).continues(unknown));
        let refused = open_from(&mut disk, unknown).map(|_| ());
        assert_eq!(refused, Err(WalError::UnknownSnapshot { dir: dir(), snapshot: unknown }));
        assert_eq!(content(&disk, file), before);
    }
    let recovered = open_from(&mut disk, id(2, 3)).expect("it was noted");
    assert!(recovered.repaired.is_some());
}

#[test]
fn released_segments_go_and_the_log_opens_behind_every_snapshot_kept() {
    let (mut disk, mut wal) = created(SMALL);
    let mut seen_most = 0;
    for round in 1..=40 {
        let last = round * 10;
        for index in last - 9..=last {
            save(&mut disk, &mut wal, Some(state(1, 1, index)), &entries(1, index..=index));
        }
        save_snapshot(&mut disk, &mut wal, (1, last - 3), None, &[]);
        // As with a file kept besides the newest one.
        let older = (round > 1).then(|| last - 13);
        let before = segments(&disk);
        wal.release_to(older.unwrap_or(0));
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
        assert!(disk.is_clean());
        let after = segments(&disk);
        assert!(before.ends_with(&after));
        seen_most = seen_most.max(after.len());
        for index in older.into_iter().chain([last - 3]) {
            let recovered = open_from(&mut disk, id(1, index)).expect("it was kept");
            assert_eq!(indices(&recovered), (index + 1..=last).collect::<Vec<_>>());
            assert_eq!(recovered.hard_state, state(1, 1, last));
            assert_eq!(recovered.metadata, "member");
            wal = recovered.wal;
        }
    }
    assert!(seen_most <= 4, "{seen_most} segments were there at once");
    assert!(matches!(
        open(&mut disk).map(|_| ()),
        Err(WalError::EntriesMissing { snapshot: SnapshotId::BEGINNING, .. })
    ));
}

#[test]
fn nothing_is_removed_that_an_open_needs() {
    let (mut disk, mut wal) = created(SMALL);
    for index in 1..=100 {
        save(&mut disk, &mut wal, Some(state(1, 1, index)), &entries(1, index..=index));
    }
    save_snapshot(&mut disk, &mut wal, (1, 100), None, &[]);
    let firsts: Vec<u64> = segments(&disk)
        .iter()
        .map(|file| u64::from_str_radix(&file.name()[17..33], 16).expect("a segment's name"))
        .collect();
    for index in 0..=100 {
        wal.release_to(index);
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
        let left = segments(&disk).len();
        // The one with the entry itself is the first that stays.
        let needed = firsts.iter().filter(|first| **first > index).count() + 1;
        assert_eq!(left, needed.min(firsts.len()), "released to {index}");
    }
}

#[test]
fn segments_go_one_by_one_and_only_once_the_snapshot_is_durable() {
    let (mut disk, mut wal) = created(SMALL);
    for index in 1..=100 {
        save(&mut disk, &mut wal, None, &entries(1, index..=index));
    }
    wal.append_snapshot(&noted(1, 99));
    wal.release_to(99);
    assert!(wal.has_pending());
    let ops = wal.take_ops();
    let removes = |op: &DiskOp| matches!(op, DiskOp::Remove { .. });
    let first = ops.iter().position(removes).expect("there is something to remove");
    assert!(matches!(&ops[first - 2..first], [DiskOp::Write { .. }, DiskOp::Sync { .. }]));
    for pair in ops[first..].chunks(2) {
        assert!(matches!(pair, [DiskOp::Remove { .. }, DiskOp::SyncDir { .. }]), "{pair:?}");
    }
    assert_eq!(ops.iter().filter(|op| removes(op)).count(), segments(&disk).len() - 1);
    assert!(!wal.has_pending() && wal.take_ops().is_empty());
    wal.release_to(99);
    assert!(!wal.has_pending(), "what is gone is not removed again");
}

#[test]
fn a_snapshot_whose_hard_state_was_torn_off_raises_the_one_before() {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 16 });
    save(&mut disk, &mut wal, Some(state(3, 2, 1)), &entries(3, 1..=2));
    wal.append_snapshot(&noted(5, 50));
    let long = entry(51, 5, vec![5; 2000]);
    wal.append(Some(state(6, 2, 51)), [long]);
    let ops = wal.take_ops();
    let DiskOp::Write { file, offset, data } = &ops[0] else { panic!("{ops:?}") };
    disk.write(file, *offset, &data[..700]).expect("room");
    let recovered = open_from(&mut disk, id(5, 50)).expect("it was noted");
    assert!(recovered.repaired.is_some());
    assert_eq!(recovered.hard_state, state(5, 0, 50), "neither a vote nor a commit index is old");
    assert_eq!(indices(&recovered), []);

    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, Some(state(5, 2, 1)), &entries(5, 1..=2));
    save_snapshot(&mut disk, &mut wal, (5, 2), None, &[]);
    let recovered = open_from(&mut disk, id(5, 2)).expect("it was noted");
    assert_eq!(recovered.hard_state, state(5, 2, 2), "a vote in the snapshot's term stays");
}

#[test]
#[should_panic(expected = "not to be released")]
fn releasing_what_no_snapshot_covers_is_a_mistake() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &entries(1, 1..=5));
    save_snapshot(&mut disk, &mut wal, (1, 3), None, &[]);
    wal.release_to(4);
}

#[test]
#[should_panic(expected = "is older than that at 3")]
fn a_snapshot_older_than_the_last_is_a_mistake() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &entries(1, 1..=5));
    save_snapshot(&mut disk, &mut wal, (1, 3), None, &[]);
    wal.append_snapshot(&noted(1, 2));
}

#[test]
#[should_panic(expected = "does not follow the snapshot at entry 3")]
fn replacing_what_a_snapshot_covers_is_a_mistake_also_after_a_restart() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &entries(1, 1..=5));
    save_snapshot(&mut disk, &mut wal, (1, 3), None, &[]);
    let mut wal = open_from(&mut disk, id(1, 3)).expect("it was noted").wal;
    wal.append(None, entries(2, 3..=3));
}
