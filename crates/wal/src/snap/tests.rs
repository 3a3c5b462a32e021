//! Snapshots' files: their bytes, what survives, which are trusted.

use proptest::prelude::*;
use quorate_proto::raftpb::{ConfState, SnapshotMetadata};

use super::*;
use crate::disk::{DiskFailure, MemDisk};

fn dir() -> DiskPath {
    DiskPath::new("snap").expect("a valid name")
}

fn snapshot(term: u64, index: u64, data: impl Into<Bytes>) -> raftpb::Snapshot {
    let conf_state = ConfState { voters: vec![1, 2, 3], ..ConfState::default() };
    let metadata = SnapshotMetadata { conf_state, index, term };
    raftpb::Snapshot { data: Some(data.into()), metadata }
}

fn prepared() -> MemDisk {
    let mut disk = MemDisk::new();
    prepare(&mut disk, &dir()).expect("an empty disk");
    disk
}

fn save(disk: &mut MemDisk, snapshot: &raftpb::Snapshot) {
    DiskOp::execute_all(&write_ops(&dir(), snapshot), disk).expect("a healthy disk");
}

fn load(disk: &MemDisk) -> Loaded {
    load_newest(disk, &dir(), |_| true).expect("a healthy disk")
}

fn content(disk: &MemDisk, file: &DiskPath) -> Bytes {
    disk.read(file, 0, usize::MAX >> 1).expect("the file is there")
}

#[test]
fn a_file_is_named_and_encoded_as_etcds() {
    let mut disk = prepared();
    let snapshot = snapshot(0x1f, 0xabc, "state");
    save(&mut disk, &snapshot);
    let files = disk.list(&dir()).expect("the directory");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name(), "000000000000001f-0000000000000abc.snap");
    let data = Bytes::from(snapshot.encode_to_vec());
    let file = snappb::Snapshot { crc: crc32c::crc32c(&data), data: Some(data) };
    assert_eq!(content(&disk, &files[0]), file.encode_to_vec());
    assert_eq!(load(&disk), Loaded { snapshot: Some(snapshot), damaged: vec![] });
}

#[test]
fn the_newest_allowed_one_is_loaded() {
    let mut disk = prepared();
    // A later term outweighs: indices of one term only are in the order of their names.
    for (term, index) in [(2, 30), (1, 20), (2, 31), (1, 9)] {
        save(&mut disk, &snapshot(term, index, format!("state {index}")));
    }
    let mut asked = Vec::new();
    let loaded = load_newest(&disk, &dir(), |id| {
        asked.push((id.term, id.index));
        id.index < 30
    });
    assert_eq!(loaded.expect("a healthy disk").snapshot, Some(snapshot(1, 20, "state 20")));
    assert_eq!(asked, [(2, 31), (2, 30), (1, 20)]);
    assert_eq!(load(&disk).snapshot, Some(snapshot(2, 31, "state 31")));
    let none = load_newest(&disk, &dir(), |_| false).expect("a healthy disk");
    assert_eq!(none, Loaded { snapshot: None, damaged: vec![] });
}

#[test]
fn no_directory_has_no_snapshot() {
    assert_eq!(load(&MemDisk::new()), Loaded { snapshot: None, damaged: vec![] });
}

#[test]
fn other_files_are_no_snapshots_and_leftovers_go() {
    let mut disk = prepared();
    let kept = ["db", "0.snap.tmp", "0000000000000001-0000000000000009.snap.broken"];
    for name in kept.into_iter().chain(["0000000000000001-0000000000000009.snap.tmp"]) {
        disk.create(&dir().join(name)).expect("a new file");
    }
    assert_eq!(load(&disk), Loaded { snapshot: None, damaged: vec![] });
    prepare(&mut disk, &dir()).expect("a healthy disk");
    let left: Vec<_> = disk.list(&dir()).expect("the directory");
    assert_eq!(left.iter().map(DiskPath::name).collect::<std::collections::BTreeSet<_>>(), {
        kept.into_iter().collect()
    });
    assert!(disk.is_clean());
}

#[test]
fn each_damage_is_named_and_an_older_one_serves() {
    let old = snapshot(1, 5, "old");
    let whole = {
        let mut disk = prepared();
        save(&mut disk, &snapshot(1, 9, "new"));
        content(&disk, &disk.list(&dir()).expect("the directory")[0])
    };
    let sealed = |data: Vec<u8>| {
        let crc = crc32c::crc32c(&data);
        snappb::Snapshot { crc, data: Some(data.into()) }.encode_to_vec()
    };
    let mut flipped = whole.to_vec();
    *flipped.last_mut().expect("not empty") ^= 1;
    type Case = (Vec<u8>, fn(&SnapshotDamage) -> bool);
    let cases: [Case; 6] = [
        (vec![], |damage| matches!(damage, SnapshotDamage::Misnamed(_))),
        (whole[..whole.len() - 1].to_vec(), |damage| matches!(damage, SnapshotDamage::File(_))),
        (flipped, |damage| matches!(damage, SnapshotDamage::Checksum { .. })),
        (vec![0; 600], |damage| matches!(damage, SnapshotDamage::File(_))),
        (sealed(vec![0xff; 4]), |damage| matches!(damage, SnapshotDamage::Content(_))),
        (sealed(snapshot(1, 8, "another").encode_to_vec()), |damage| {
            *damage == SnapshotDamage::Misnamed(SnapshotId { term: 1, index: 8 })
        }),
    ];
    for (bytes, is_expected) in cases {
        let mut disk = prepared();
        save(&mut disk, &old);
        let file = dir().join("0000000000000001-0000000000000009.snap");
        disk.create(&file).expect("a new file");
        disk.write(&file, 0, &bytes).expect("room");
        let loaded = load(&disk);
        assert_eq!(loaded.snapshot.as_ref(), Some(&old));
        assert_eq!(loaded.damaged.len(), 1);
        assert_eq!(loaded.damaged[0].file, file);
        assert!(is_expected(&loaded.damaged[0].damage), "{}", loaded.damaged[0]);
        assert_eq!(content(&disk, &file), bytes, "a damaged file is left as it is");
    }
}

#[test]
fn a_read_of_another_place_makes_no_damaged_snapshot() {
    let mut disk = prepared();
    save(&mut disk, &snapshot(1, 7, vec![5; 3000]));
    for place in 1..20 {
        disk.arm(DiskFailure::MisdirectedRead { dir: dir(), place: place * 100 });
        let loaded = load(&disk);
        assert_eq!(loaded.damaged, []);
        assert_eq!(loaded.snapshot, Some(snapshot(1, 7, vec![5; 3000])));
        assert_eq!(disk.take_struck().misdirected_reads, 1);
    }
}

#[test]
fn a_loss_of_power_while_one_is_written_leaves_all_of_it_or_none() {
    let old = snapshot(1, 5, vec![1; 700]);
    let new = snapshot(2, 9, vec![2; 2000]);
    let mut disk = prepared();
    save(&mut disk, &old);
    let ops = write_ops(&dir(), &new);
    let mut seen = [0; 2];
    for done in 0..=ops.len() {
        for mercy in 0..64_u64 {
            let mut disk = disk.clone();
            DiskOp::execute_all(&ops[..done], &mut disk).expect("a healthy disk");
            let mut unit = 0;
            disk.power_loss(|_| {
                unit += 1;
                mercy >> (unit % 6) & 1 == 1
            });
            prepare(&mut disk, &dir()).expect("a healthy disk");
            let loaded = load(&disk);
            assert_eq!(loaded.damaged, [], "after {done} operations");
            let is_new = loaded.snapshot.as_ref() == Some(&new);
            assert!(is_new || loaded.snapshot.as_ref() == Some(&old));
            assert!(is_new || done < ops.len(), "what was reported durable is lost");
            seen[usize::from(is_new)] += 1;
            // It can be written again.
            save(&mut disk, &new);
            assert_eq!(load(&disk).snapshot.as_ref(), Some(&new));
        }
    }
    assert!(seen[0] > 64 && seen[1] > 64, "{seen:?}");
}

#[test]
fn one_that_is_written_again_takes_the_place_of_the_first() {
    let mut disk = prepared();
    save(&mut disk, &snapshot(1, 5, "once"));
    save(&mut disk, &snapshot(1, 5, "again"));
    assert_eq!(disk.list(&dir()).expect("the directory").len(), 1);
    assert_eq!(load(&disk).snapshot, Some(snapshot(1, 5, "again")));
}

#[test]
fn all_but_the_newest_are_removed() {
    let mut disk = prepared();
    disk.create(&dir().join("db")).expect("a new file");
    for index in 1..=5 {
        save(&mut disk, &snapshot(index / 4 + 1, index, "state"));
    }
    let newest = SnapshotId { term: 2, index: 5 };
    assert_eq!(remove_ops(&disk, &dir(), newest, 5), Ok(vec![]));
    let ops = remove_ops(&disk, &dir(), newest, 2).expect("a healthy disk");
    DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
    let left = disk.list(&dir()).expect("the directory");
    let names: Vec<_> = left.iter().map(DiskPath::name).collect();
    assert_eq!(
        names,
        ["0000000000000002-0000000000000004.snap", "0000000000000002-0000000000000005.snap", "db"]
    );
}

#[test]
fn one_that_was_set_aside_is_kept_and_never_found_again() {
    let mut disk = prepared();
    for index in 1..=3 {
        save(&mut disk, &snapshot(1, index, "state"));
    }
    let all = files(&disk, &dir()).expect("a healthy disk");
    let named: Vec<_> = (1..=3).rev().map(|index| SnapshotId { term: 1, index }).collect();
    assert_eq!(all, named.iter().map(|id| file(&dir(), *id)).collect::<Vec<_>>());
    let bytes = content(&disk, &all[0]);
    let aside = set_aside(&mut disk, &dir(), &all[..2]).expect("a healthy disk");
    disk.power_loss(|_| false);
    assert_eq!(aside[0].name(), format!("{}.damaged", all[0].name()));
    assert_eq!(content(&disk, &aside[0]), bytes);
    assert_eq!(load(&disk).snapshot, Some(snapshot(1, 1, "state")));
    assert_eq!(files(&disk, &dir()).expect("a healthy disk"), all[2..]);
    // It can be taken once more.
    save(&mut disk, &snapshot(1, 3, "again"));
    assert_eq!(load(&disk).snapshot, Some(snapshot(1, 3, "again")));
}

#[test]
fn files_that_the_log_does_not_know_of_push_nothing_out() {
    let mut disk = prepared();
    for index in 1..=5 {
        save(&mut disk, &snapshot(1, index, "state"));
    }
    // The log ends behind 3: the others were written shortly before two crashes.
    let ops = remove_ops(&disk, &dir(), SnapshotId { term: 1, index: 3 }, 2);
    DiskOp::execute_all(&ops.expect("a healthy disk"), &mut disk).expect("a healthy disk");
    let left = disk.list(&dir()).expect("the directory");
    let names: Vec<_> = left.iter().map(DiskPath::name).collect();
    let name = |index| format!("0000000000000001-000000000000000{index}.snap");
    assert_eq!(names, [2, 3, 4, 5].map(name));
}

proptest! {
    #[test]
    fn any_bytes_in_a_file_are_refused_or_the_snapshot(
        data in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let mut disk = prepared();
        let file = dir().join("0000000000000001-0000000000000009.snap");
        disk.create(&file).expect("a new file");
        disk.write(&file, 0, &data).expect("room");
        prop_assert_eq!(load(&disk).snapshot, None);

        let written = snapshot(1, 9, data);
        save(&mut disk, &written);
        let mut bytes = content(&disk, &file).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        disk.write(&file, 0, &bytes).expect("room");
        let loaded = load(&disk);
        // The checksum's last byte has bits that count for nothing.
        let is_whole = loaded.snapshot.as_ref() == Some(&written);
        prop_assert!((is_whole && at < 6) || loaded.snapshot.is_none());
        prop_assert_eq!(loaded.damaged.len(), usize::from(!is_whole));
    }
}
