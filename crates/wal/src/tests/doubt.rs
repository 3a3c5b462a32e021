//! Damage in the middle: what stays, what is in doubt, and that neither is ever forgotten.

use std::ops::RangeInclusive;

use quorate_proto::walpb;

use super::*;
use crate::disk::CutOff;
use crate::{Contents, SnapshotId};

/// Where each batch of one entry begins: segment and byte.
type Places = Vec<(DiskPath, u64)>;

/// Twenty-four entries in several segments, a batch each; all but the last of term 1.
fn written() -> (MemDisk, Places) {
    let (mut disk, mut wal) = created(SMALL);
    let mut places = Vec::new();
    for index in 1..=24 {
        let term = 1 + u64::from(index == 24);
        let new = entry(index, term, vec![index as u8; 180]);
        wal.append(Some(state(term, 3 - term, index - 1)), [new]);
        let ops = wal.take_ops();
        let [.., DiskOp::Write { file, offset, .. }, DiskOp::Sync { .. }] = &ops[..] else {
            panic!("{ops:?}");
        };
        places.push((file.clone(), *offset));
        DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
    }
    assert!(segments(&disk).len() >= 4);
    (disk, places)
}

/// Flips a bit in the payload of an entry of [`written`].
fn rot(disk: &mut MemDisk, places: &Places, index: usize) {
    let (file, offset) = &places[index - 1];
    let at = *offset as usize + 100;
    let flipped = content(disk, file)[at] ^ 4;
    overwrite(disk, file, at, &[flipped]);
}

fn read(disk: &MemDisk) -> Contents {
    Wal::read(disk, &dir()).unwrap_or_else(|error| panic!("{error}"))
}

fn open_damaged(disk: &mut MemDisk, start: SnapshotId) -> Recovered {
    let opened = read(disk).open_damaged(disk, start, SMALL);
    opened.unwrap_or_else(|error| panic!("{error}"))
}

fn indices(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|entry| entry.index).collect()
}

fn all(range: RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn damage_in_the_middle_is_told_with_its_place_and_what_is_lost() {
    for index in 1..24 {
        let (mut disk, places) = written();
        rot(&mut disk, &places, index);
        let (file, offset) = &places[index - 1];
        let contents = read(&disk);
        let [damage] = contents.damage() else { panic!("{:?}", contents.damage()) };
        assert_eq!((&damage.segment, damage.start, damage.found_at), (file, *offset, *offset));
        assert_eq!(damage.lost, Some((index as u64, index as u64)));
        if let Some((_, next)) = places.get(index).filter(|(next, _)| next == file) {
            assert_eq!(damage.end, *next);
        }
        assert_eq!(contents.doubtful_up_to(SnapshotId::BEGINNING), 24);
        let before = disk.clone();
        let error = open(&mut disk).expect_err("entries are lost");
        assert!(matches!(error, WalError::Damaged { doubtful_up_to: 24, others: 0, .. }));
        let message = error.to_string();
        for part in [file.as_str(), &format!("bytes {offset} to"), "up to 24", "peers", "backup"] {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
        for file in segments(&before) {
            assert_eq!(content(&disk, &file), content(&before, &file), "nothing is changed");
        }
    }
}

#[test]
fn what_is_before_the_damage_stays_and_the_vote_behind_it_is_not_forgotten() {
    for index in 1..24 {
        let (mut disk, places) = written();
        rot(&mut disk, &places, index);
        let damaged: Vec<_> =
            segments(&disk).iter().map(|file| (file.clone(), content(&disk, file))).collect();
        let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
        let kept = index as u64 - 1;
        assert_eq!(indices(&recovered), all(1..=kept));
        let commit = kept.saturating_sub(1);
        assert_eq!(recovered.hard_state, state(2, 1, commit), "term and vote are the last ones");
        assert_eq!(recovered.doubtful_up_to, 24);
        assert_eq!(recovered.damage.len(), 1);
        assert!(disk.is_clean(), "what was recovered is durable");
        // Nothing is gone.
        assert_eq!(recovered.set_aside.len(), damaged.len());
        for ((file, bytes), aside) in damaged.iter().zip(&recovered.set_aside) {
            assert_eq!(aside.name(), format!("{}.damaged", file.name()));
            assert_eq!(content(&disk, aside), *bytes);
        }
        assert_eq!(segments(&disk).len(), 1);
    }
}

#[test]
fn the_doubt_outlives_restarts_and_segments_until_the_member_has_caught_up() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 10);
    let mut wal = open_damaged(&mut disk, SnapshotId::BEGINNING).wal;
    for index in 10..=40 {
        assert_eq!(wal.doubtful_up_to(), 24);
        save(&mut disk, &mut wal, Some(state(3, 1, 9)), &[entry(index, 3, vec![9; 180])]);
        let recovered = open(&mut disk).expect("nothing is damaged any more");
        assert_eq!((recovered.doubtful_up_to, recovered.damage.len()), (24, 0));
        assert_eq!(indices(&recovered), all(1..=index));
        wal = recovered.wal;
    }
    assert!(segments(&disk).len() > 2);
    wal.caught_up();
    assert_eq!(open(&mut disk.clone()).expect("a whole log").doubtful_up_to, 24);
    save(&mut disk, &mut wal, Some(state(3, 1, 40)), &[]);
    let recovered = open(&mut disk).expect("a whole log");
    assert_eq!((recovered.doubtful_up_to, recovered.wal.doubtful_up_to()), (0, 0));
    assert_eq!(indices(&recovered), all(1..=40));
}

#[test]
#[should_panic(expected = "the log ends with entry 9, but 24 is in doubt")]
fn who_has_less_than_was_in_doubt_has_not_caught_up() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 10);
    open_damaged(&mut disk, SnapshotId::BEGINNING).wal.caught_up();
}

#[test]
fn an_entry_of_a_later_term_shows_that_nothing_behind_it_was_committed() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 10);
    let mut wal = open_damaged(&mut disk, SnapshotId::BEGINNING).wal;
    // A leader that this member did not elect had no more than eleven entries.
    save(&mut disk, &mut wal, Some(state(3, 0, 9)), &[entry(10, 2, "a"), entry(11, 3, "b")]);
    wal.caught_up();
    save(&mut disk, &mut wal, Some(state(3, 0, 11)), &[]);
    let recovered = open(&mut disk).expect("a whole log");
    assert_eq!((indices(&recovered), recovered.doubtful_up_to), (all(1..=11), 0));
}

#[test]
#[should_panic(expected = "the log ends with entry 11, but 24 is in doubt")]
fn an_entry_of_the_term_that_the_log_had_reached_shows_nothing() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 10);
    let mut wal = open_damaged(&mut disk, SnapshotId::BEGINNING).wal;
    save(&mut disk, &mut wal, Some(state(3, 0, 9)), &[entry(10, 2, "a"), entry(11, 2, "b")]);
    wal.caught_up();
}

#[test]
fn damage_found_before_the_member_has_caught_up_does_not_lower_the_doubt() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 4);
    let mut wal = open_damaged(&mut disk, SnapshotId::BEGINNING).wal;
    let file = segments(&disk)[0].clone();
    let mut ends = vec![];
    for index in 4..=6 {
        save(&mut disk, &mut wal, None, &[entry(index, 2, vec![7; 100])]);
        ends.push(disk.data_end(&file).expect("a segment") as usize);
    }
    overwrite(&mut disk, &file, ends[0] + 60, &[0xff]);
    let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
    assert_eq!(indices(&recovered), all(1..=4));
    assert_eq!((recovered.hard_state, recovered.doubtful_up_to), (state(2, 1, 2), 24));
}

#[test]
fn an_entry_that_may_have_been_replaced_is_not_taken_for_committed() {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 16 });
    let file = segments(&disk)[0].clone();
    let old: Vec<_> = (1..=9).map(|index| entry(index, 1, "old")).collect();
    save(&mut disk, &mut wal, Some(state(1, 1, 3)), &old);
    let start = disk.data_end(&file).expect("a segment") as usize;
    // Another leader's entries take the place of some; this is what gets lost.
    let new: Vec<_> = (5..=9).map(|index| entry(index, 2, "new")).collect();
    save(&mut disk, &mut wal, Some(state(2, 2, 4)), &new);
    save(&mut disk, &mut wal, Some(state(2, 2, 9)), &[]);
    overwrite(&mut disk, &file, start + 20, &[0xff]);
    let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
    assert_eq!(recovered.entries, old);
    assert_eq!(recovered.hard_state, state(2, 2, 3), "5 to 9 are not those that are committed");
    assert_eq!((recovered.doubtful_up_to, recovered.damage[0].lost), (9, None));
}

fn snapshot(index: u64) -> (walpb::Snapshot, SnapshotId) {
    (walpb::Snapshot { index, term: 1, conf_state: None }, SnapshotId { term: 1, index })
}

/// As [`written`], with a snapshot of entry 12 noted behind entry 14.
fn written_with_snapshot() -> (MemDisk, Places) {
    let (mut disk, mut wal) = created(SMALL);
    let mut places = Vec::new();
    for index in 1..=24 {
        wal.append(Some(state(1, 1, index - 1)), [entry(index, 1, vec![index as u8; 180])]);
        if index == 14 {
            wal.append_snapshot(&snapshot(12).0);
        }
        let ops = wal.take_ops();
        let [.., DiskOp::Write { file, offset, .. }, DiskOp::Sync { .. }] = &ops[..] else {
            panic!("{ops:?}");
        };
        places.push((file.clone(), *offset));
        DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
    }
    (disk, places)
}

#[test]
fn damage_to_what_only_older_snapshots_need_is_harmless() {
    for index in 1..=24 {
        let (mut disk, places) = written_with_snapshot();
        rot(&mut disk, &places, index);
        let (noted, start) = snapshot(12);
        let contents = read(&disk);
        if index == 14 {
            // The note itself is lost.
            assert!(!contents.continues(start));
            continue;
        }
        let lost = if index > 12 { 24 } else { 0 };
        assert_eq!(contents.doubtful_up_to(start), lost);
        assert_eq!(contents.doubtful_up_to(SnapshotId::BEGINNING), 24);
        assert_eq!(contents.damage().len(), 1);
        let opened = contents.open(&mut disk, start, SMALL);
        if lost > 0 {
            assert!(matches!(opened, Err(WalError::Damaged { doubtful_up_to: 24, .. })));
            continue;
        }
        let recovered = opened.expect("nothing behind the snapshot is lost");
        assert_eq!(indices(&recovered), all(13..=24));
        assert_eq!((recovered.doubtful_up_to, recovered.hard_state), (0, state(1, 1, 23)));
        assert_eq!(recovered.snapshot, noted);
        assert!(disk.is_clean());
        // It goes on, over segments, and opens from that snapshot.
        let mut wal = recovered.wal;
        for index in 25..=40 {
            save(&mut disk, &mut wal, None, &[entry(index, 1, vec![1; 180])]);
        }
        wal.append_snapshot(&snapshot(30).0);
        wal.release_to(12);
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
        let contents = read(&disk);
        assert_eq!(contents.damage(), []);
        assert!(!contents.continues(SnapshotId::BEGINNING));
        for (start, first) in [(start, 13), (snapshot(30).1, 31)] {
            let recovered = read(&disk).open(&mut disk.clone(), start, SMALL).expect("was noted");
            assert_eq!(indices(&recovered), all(first..=40));
        }
    }
}

#[test]
fn a_snapshot_behind_the_damage_opens_even_if_nothing_follows_it_without_a_gap() {
    let (mut disk, places) = written_with_snapshot();
    // Entries 10 and 16 are lost: behind the snapshot of entry 12 only 13 to 15 are whole, but on
    // neither end of the log.
    rot(&mut disk, &places, 10);
    rot(&mut disk, &places, 16);
    let contents = read(&disk);
    assert_eq!(contents.damage().len(), 2);
    assert_eq!(contents.damage()[1].lost, Some((16, 16)));
    let recovered = open_damaged(&mut disk, snapshot(12).1);
    assert_eq!(indices(&recovered), []);
    assert_eq!((recovered.doubtful_up_to, recovered.hard_state), (24, state(1, 1, 12)));
    let mut wal = recovered.wal;
    save(&mut disk, &mut wal, None, &[entry(13, 3, "again")]);
    let recovered = read(&disk).open(&mut disk, snapshot(12).1, SMALL).expect("was noted");
    assert_eq!((indices(&recovered), recovered.doubtful_up_to), (vec![13], 24));
}

#[test]
fn a_whole_segment_that_is_rotten_is_passed_from_header_to_header() {
    let (whole, _) = written();
    for place in 0..segments(&whole).len() - 1 {
        let mut disk = whole.clone();
        let file = segments(&disk)[place].clone();
        let len = content(&disk, &file).len();
        overwrite(&mut disk, &file, 0, &vec![0xa5; len]);
        let first = u64::from_str_radix(&file.name()[17..33], 16).expect("a segment's name");
        let contents = read(&disk);
        assert_eq!(contents.damage().len(), 1);
        assert_eq!(contents.damage()[0].segment, file);
        let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
        assert_eq!(indices(&recovered), all(1..=first.max(1) - 1));
        assert_eq!((recovered.doubtful_up_to, recovered.metadata), (24, Bytes::from("member")));
    }
    // Nothing says what was in the last one.
    let mut disk = whole.clone();
    let file = segments(&disk).pop().expect("a segment");
    let len = content(&disk, &file).len();
    overwrite(&mut disk, &file, 0, &vec![0xa5; len]);
    let refused = open(&mut disk).expect_err("it may have held acknowledged entries");
    assert!(matches!(refused, WalError::Corrupt { .. }), "{refused}");
}

#[test]
fn the_last_batch_is_in_doubt_if_its_seal_is_there_and_else_refused() {
    let (whole, places) = written();
    let (file, start) = places.last().expect("batches");
    let end = whole.data_end(file).expect("a segment");
    let (mut doubtful, mut refused) = (0, 0);
    for at in *start..end {
        let mut disk = whole.clone();
        let flipped = content(&disk, file)[at as usize] ^ 0x10;
        overwrite(&mut disk, file, at as usize, &[flipped]);
        match Wal::read(&disk, &dir()) {
            Ok(contents) => {
                assert_eq!(contents.damage()[0].lost, Some((24, 24)), "{at}");
                let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
                assert_eq!(indices(&recovered), all(1..=23), "{at}");
                assert_eq!(recovered.hard_state, state(2, 1, 22), "{at}");
                assert_eq!(recovered.doubtful_up_to, 24, "{at}");
                doubtful += 1;
            }
            Err(WalError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{at}: {error}"),
        }
    }
    // The seal has 80 bytes, of which that of padding does not count.
    assert_eq!((doubtful, refused), (end - start - 79, 79));
}

#[test]
fn a_torn_tail_behind_damage_is_left_behind() {
    let (mut disk, places) = written();
    rot(&mut disk, &places, 12);
    let mut wal = {
        // Written before the damage came.
        let (mut whole, _) = written();
        open(&mut whole).expect("a whole log").wal
    };
    wal.append(Some(state(5, 1, 24)), [entry(25, 5, vec![1; 1200])]);
    for op in wal.take_ops() {
        match op {
            DiskOp::Write { file, offset, data } if data.len() > 1000 => {
                disk.write(&file, offset, &data[..600]).expect("room");
                break;
            }
            op => op.execute(&mut disk).expect("a healthy disk"),
        }
    }
    let recovered = open_damaged(&mut disk, SnapshotId::BEGINNING);
    assert_eq!(indices(&recovered), all(1..=11));
    assert_eq!((recovered.doubtful_up_to, recovered.hard_state), (24, state(2, 1, 10)));
}

#[test]
fn a_segment_of_an_older_life_is_not_taken_for_what_came_later() {
    let (disk, _) = written();
    let old = {
        let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 });
        for _ in 0..12 {
            save(&mut disk, &mut wal, None, &[entry(1, 1, vec![1; 600])]);
        }
        disk
    };
    let last = segments(&disk).pop().expect("a segment");
    let stale = segments(&old).into_iter().find(|file| file.name()[..16] == last.name()[..16]);
    let image = content(&old, &stale.expect("as many segments"));
    let mut disk = disk.clone();
    disk.set_len(&last, 0).expect("a segment");
    overwrite(&mut disk, &last, 0, &image);
    let error = open(&mut disk).expect_err("its term is lower");
    assert!(error.to_string().contains("this is an older file"), "{error}");
}

#[test]
fn a_loss_of_power_at_any_step_of_the_repair_leaves_the_same_log() {
    let (mut damaged, places) = written();
    rot(&mut damaged, &places, 9);
    let expected = open_damaged(&mut damaged.clone(), SnapshotId::BEGINNING);
    let (mut interrupted, mut resumed) = (0, 0);
    for seed in 0..200 {
        let mut draws = Draws(seed);
        for changes_left in 0.. {
            let mut cut = CutOff { disk: damaged.clone(), changes_left };
            let opened = read(&damaged).open_damaged(&mut cut, SnapshotId::BEGINNING, SMALL);
            let mut disk = cut.disk;
            disk.power_loss(|_| match seed {
                0 => false,
                1 => true,
                _ => draws.below(2) == 0,
            });
            interrupted += u32::from(opened.is_err());
            let contents = read(&disk);
            let again = contents.damage().is_empty();
            resumed += u32::from(again && opened.is_err());
            assert!(again || opened.is_err(), "what was reported done is done");
            let recovered =
                contents.open_damaged(&mut disk, SnapshotId::BEGINNING, SMALL).expect("opens");
            assert_eq!(recovered.entries, expected.entries);
            assert_eq!(recovered.hard_state, expected.hard_state);
            assert_eq!(recovered.doubtful_up_to, 24);
            let names: Vec<_> = disk.list(&dir()).expect("the log's directory");
            let aside = names.iter().filter(|file| file.name().ends_with(".damaged")).count();
            assert_eq!((names.len(), aside), (aside + 1, expected.set_aside.len()));
            // It can be appended to, and the doubt stays.
            let mut wal = recovered.wal;
            save(&mut disk, &mut wal, None, &[entry(9, 7, "next")]);
            let recovered = open(&mut disk).expect("a whole log");
            assert_eq!((indices(&recovered), recovered.doubtful_up_to), (all(1..=9), 24));
            if opened.is_ok() {
                break;
            }
        }
    }
    assert!(interrupted > 1000 && resumed > 100, "{interrupted} {resumed}");
}
