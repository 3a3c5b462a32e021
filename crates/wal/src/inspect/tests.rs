//! Everything that was written is shown, also around damage.

use quorate_proto::raftpb::Entry;

use super::*;
use crate::WalOptions;
use crate::disk::{DiskOp, MemDisk};

fn dir() -> DiskPath {
    DiskPath::new("wal").expect("a valid name")
}

/// Six entries in two segments, each in a batch with its state; a snapshot of the third.
fn written() -> MemDisk {
    let mut disk = MemDisk::new();
    let options = WalOptions { segment_bytes: 1024 };
    let mut wal = Wal::create(&mut disk, &dir(), Bytes::from("me"), options).expect("empty");
    for index in 1..=6 {
        let data = Some(Bytes::from(vec![index as u8; 150]));
        wal.append(
            Some(HardState { term: 1, vote: 2, commit: index - 1 }),
            [Entry { term: 1, index, data, ..Entry::default() }],
        );
        if index == 4 {
            wal.append_snapshot(&walpb::Snapshot { index: 3, term: 1, conf_state: None });
        }
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    }
    disk
}

fn shown(disk: &MemDisk) -> Vec<Vec<Found>> {
    let mut chain = None;
    let (files, _) = segments(disk, &dir()).expect("a log");
    let show = |file: &Segment| {
        let mut all = Vec::new();
        chain = segment(disk, file, chain, |found| all.push(found)).expect("a healthy disk");
        all
    };
    files.iter().map(show).collect()
}

fn entries(shown: &[Vec<Found>]) -> Vec<u64> {
    let all = shown.iter().flatten();
    let index = |found: &Found| match &found.what {
        What::Entry(entry) => Some(entry.index),
        _ => None,
    };
    all.filter_map(index).collect()
}

#[test]
fn a_whole_log_is_shown_with_everything_that_was_appended() {
    let shown = shown(&written());
    assert_eq!(shown.len(), 2);
    assert_eq!(entries(&shown), [1, 2, 3, 4, 5, 6]);
    let [chain, metadata, start, seal, ..] = &shown[0][..] else { panic!("{shown:?}") };
    assert_eq!((chain.offset, &chain.what), (0, &What::Chain(0)));
    assert_eq!(metadata.what, What::Metadata(Bytes::from("me")));
    assert_eq!(start.what, What::Snapshot(walpb::Snapshot::default()));
    assert!(matches!(seal.what, What::Seal(Seal { zero_sectors: 0, .. })));
    let snapshots = |found: &&Found| matches!(&found.what, What::Snapshot(it) if it.index == 3);
    assert_eq!(shown.iter().flatten().filter(snapshots).count(), 1);
    let last = &shown[1][shown[1].len() - 2..];
    let [Found { what: What::Seal(seal), .. }, Found { what: What::End, .. }] = last else {
        panic!("{last:?}");
    };
    let statement = seal.statement;
    assert_eq!(statement.hard_state, HardState { term: 1, vote: 2, commit: 5 });
    assert_eq!(
        (statement.last_index, statement.doubtful_up_to, statement.begins_log),
        (6, 0, false)
    );
    for found in shown.iter().flatten() {
        assert!(found.offset % 8 == 0, "{found:?}");
    }
}

#[test]
fn any_flipped_bit_hides_one_batch_at_most_and_is_shown() {
    let whole = written();
    let (files, _) = segments(&whole, &dir()).expect("a log");
    for file in &files {
        let data_end = whole.data_end(&file.file).expect("a segment");
        let bytes = whole.read(&file.file, 0, data_end as usize).expect("a segment");
        for at in 0..bytes.len() {
            let mut disk = whole.clone();
            let flipped = bytes[at] ^ 1 << (at % 8);
            disk.write(&file.file, at as u64, &[flipped]).expect("room");
            let shown = shown(&disk);
            let bad = |found: &&Found| {
                matches!(found.what, What::Unreadable { .. } | What::SealOfDamaged(_))
            };
            assert!(shown.iter().flatten().filter(bad).count() > 0, "byte {at} of {}", file.file);
            assert!(entries(&shown).len() >= 5, "byte {at} of {}", file.file);
        }
    }
}
