//! Damage to what was durable: found, said where, and never taken for the end of the log.

use quorate_proto::raftpb::ConfState;
use quorate_proto::walpb;

use super::*;
use crate::Corruption;

/// Batches of one entry each, all in one segment; where each begins, and where the last one ends.
fn with_batches(count: u64, data_bytes: usize) -> (MemDisk, DiskPath, Vec<usize>) {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 20 });
    let file = segments(&disk)[0].clone();
    let end = |disk: &MemDisk| disk.data_end(&file).expect("a segment") as usize;
    let mut starts = vec![end(&disk)];
    for index in 1..=count {
        let entry = entry(index, 1, vec![index as u8; data_bytes]);
        save(&mut disk, &mut wal, Some(state(1, 1, index)), &[entry]);
        starts.push(end(&disk));
    }
    (disk, file, starts)
}

fn corruption(disk: &mut MemDisk) -> (u64, Corruption) {
    let before = disk.clone();
    match open(disk) {
        Err(WalError::Corrupt { offset, found, .. }) => {
            assert_untouched(disk, &before);
            (offset, found)
        }
        Err(WalError::Damaged { damage, .. }) => {
            assert_untouched(disk, &before);
            (damage.found_at, damage.found)
        }
        other => panic!("{other:?}"),
    }
}

fn assert_untouched(disk: &MemDisk, before: &MemDisk) {
    let files = |disk: &MemDisk| disk.list(&dir()).expect("the log's directory");
    assert_eq!(files(disk), files(before));
    for file in files(before) {
        assert_eq!(content(disk, &file), content(before, &file));
    }
    assert_eq!(disk.is_clean(), before.is_clean());
}

#[test]
fn what_is_refused_is_left_as_it_is_with_all_that_lies_beside_it() {
    let (whole, files) = with_segments();
    let flip = |disk: &mut MemDisk, file: &DiskPath, at: usize| {
        let flipped = content(disk, file)[at] ^ 1;
        overwrite(disk, file, at, &[flipped]);
    };
    let last = files.last().expect("segments");
    let end = 1 + content(&whole, last).iter().rposition(|byte| *byte != 0).expect("a log");
    type Harm<'a> = &'a dyn Fn(&mut MemDisk);
    let harms: [(&str, Harm<'_>); 4] = [
        ("damaged", &|disk| flip(disk, &files[1], 700)),
        ("missing", &|disk| disk.remove(&files[2]).expect("a segment")),
        ("corrupt", &|disk| flip(disk, last, end - 20)),
        ("log begins with", &|disk| disk.remove(&files[0]).expect("a segment")),
    ];
    for (says, harm) in harms {
        let mut disk = whole.clone();
        let beside = [("segment", ".wal.tmp"), ("segment", ".wal.damaged"), ("0", ".tmp")];
        for (name, suffix) in beside {
            let file = dir().join(&format!("{name}{suffix}"));
            disk.create(&file).expect("a free name");
            overwrite(&mut disk, &file, 0, b"left behind");
        }
        harm(&mut disk);
        disk.sync_dir(&dir()).expect("the directory");
        // A process that died may have left this in the page cache.
        disk.write(last, end as u64 + 4096, &[0]).expect("room");
        let before = disk.clone();
        let refused = open(&mut disk).expect_err(says).to_string();
        assert!(refused.contains(says), "{refused:?} does not say {says:?}");
        assert_untouched(&disk, &before);
        let refused = Wal::create(&mut disk, &dir(), Bytes::new(), SMALL).expect_err(says);
        assert_eq!(refused, WalError::AlreadyExists { dir: dir() });
        assert_untouched(&disk, &before);
    }
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let mut disk = created(WalOptions { segment_bytes: 2560 });
    let file = segments(&disk.0)[0].clone();
    // Small terms, so that a hard state and an entry could be mistaken for each other; an entry
    // without a payload; records of a power of two bytes; one across sectors. No length field of the last
    // batch ends a sector: that one is taken for torn when it becomes zero.
    let no_payload = Entry { term: 1, index: 1, ..Entry::default() };
    save(&mut disk.0, &mut disk.1, Some(state(1, 1, 0)), &[no_payload]);
    let entries = [entry(2, 1, "ab"), entry(3, 1, vec![7; 620])];
    save(&mut disk.0, &mut disk.1, Some(state(1, 2, 2)), &entries);
    let conf_state = Some(ConfState { voters: vec![1, 2], ..ConfState::default() });
    disk.1.append_snapshot(&walpb::Snapshot { index: 2, term: 1, conf_state });
    save(&mut disk.0, &mut disk.1, Some(state(2, 1, 3)), &[entry(4, 2, "c")]);
    save(&mut disk.0, &mut disk.1, Some(state(2, 1, 4)), &[]);
    let disk = disk.0;
    let end = disk.data_end(&file).expect("a segment") as usize;
    let expected = open(&mut disk.clone()).expect("a valid log");
    assert_eq!(expected.entries.len(), 4);
    let snapshots = Wal::read(&disk, &dir()).expect("a valid log").snapshots().to_vec();
    assert_eq!(snapshots.len(), 2);

    let image = content(&disk, &file);
    for bit in 0..image.len() * 8 {
        let mut disk = disk.clone();
        let (byte, flipped) = (bit / 8, image[bit / 8] ^ 1 << (bit % 8));
        overwrite(&mut disk, &file, byte, &[flipped]);
        match open(&mut disk) {
            Err(WalError::Corrupt { .. } | WalError::Damaged { .. }) => {}
            Err(error) => panic!("bit {bit} of byte {byte}: {error}"),
            Ok(recovered) => {
                assert_eq!(recovered.entries, expected.entries, "byte {byte}");
                assert_eq!(recovered.hard_state, expected.hard_state, "byte {byte}");
                assert_eq!(recovered.doubtful_up_to, 0);
                if byte < end {
                    // Where only the header is damaged, nothing is lost.
                    assert!(!recovered.damage.is_empty(), "bit {bit} of {byte} was not noticed");
                    assert_eq!(recovered.set_aside.len(), 1);
                } else {
                    assert_eq!(Wal::read(&disk, &dir()).expect("opened").snapshots(), snapshots);
                    assert!(recovered.repaired.is_some(), "byte {byte}");
                }
            }
        }
    }
}

#[test]
fn a_lost_sector_before_a_later_batch_is_no_torn_tail() {
    let (disk, file, starts) = with_batches(20, 400);
    let last = starts[19];
    for sector in 1..last / 512 {
        let mut disk = disk.clone();
        overwrite(&mut disk, &file, sector * 512, &[0; 512]);
        let (offset, _) = corruption(&mut disk);
        let batch = starts.iter().rev().find(|start| **start <= sector * 512);
        assert!(
            (*batch.expect("behind the header") as u64..=sector as u64 * 512 + 512)
                .contains(&offset),
            "sector {sector}: {offset}"
        );
    }
}

#[test]
fn a_lost_length_before_a_later_batch_is_a_hole_and_not_the_end() {
    let (mut disk, file, starts) = with_batches(20, 400);
    let frame = starts[5];
    overwrite(&mut disk, &file, frame, &[0; 1100]);
    let (offset, found) = corruption(&mut disk);
    assert_eq!(offset as usize, frame);
    let later = *starts.iter().find(|start| **start > frame + 600).expect("more") as u64;
    assert!(matches!(found, Corruption::Hole { later: at } if at >= later - 600), "{found}");
}

#[test]
fn damage_is_named_with_its_place_and_a_remedy() {
    let (mut disk, file, starts) = with_batches(3, 40);
    let at = starts[1];
    overwrite(&mut disk, &file, at + 30, &[0xff]);
    let error = open(&mut disk).expect_err("a damaged log");
    let message = error.to_string();
    for part in [file.as_str(), &format!("byte {at}"), "checksum", "restore"] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

#[test]
fn a_value_that_is_a_copy_of_the_log_is_not_taken_for_later_batches() {
    // Torn behind its first sector; the value itself holds sealed batches.
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 16 });
    let file = segments(&disk)[0].clone();
    save(&mut disk, &mut wal, None, &[entry(1, 1, vec![1; 200])]);
    for shift in 0..8 {
        let mut disk = disk.clone();
        let mut wal = open(&mut disk).expect("a valid log").wal;
        let end = disk.data_end(&file).expect("a segment") as usize;
        let mut copy = vec![9; 1024 + shift];
        copy.extend_from_slice(&content(&disk, &file)[..end]);
        save(&mut disk, &mut wal, None, &[entry(2, 1, copy)]);
        let lost = end.next_multiple_of(512);
        overwrite(&mut disk, &file, lost, &[0; 512]);
        let recovered = open(&mut disk).expect("a torn log");
        assert_eq!(recovered.entries.len(), 1);
        assert_eq!(recovered.repaired.expect("was torn").offset as usize, end);
    }
}

fn with_segments() -> (MemDisk, Vec<DiskPath>) {
    let (mut disk, mut wal) = created(SMALL);
    for index in 1..=40 {
        let entry = entry(index, 1, vec![index as u8; 200]);
        save(&mut disk, &mut wal, Some(state(1, 1, index)), &[entry]);
    }
    let files = segments(&disk);
    assert!(files.len() >= 4);
    (disk, files)
}

#[test]
fn an_earlier_segment_is_never_torn() {
    let (disk, files) = with_segments();
    let earlier = &files[1];
    let len = disk.len(earlier).expect("a segment") as usize;
    for sector in 0..len / 512 {
        let mut disk = disk.clone();
        overwrite(&mut disk, earlier, sector * 512, &[0; 512]);
        match open(&mut disk) {
            Err(WalError::Damaged { damage, .. }) => {
                assert!(damage.segment == *earlier, "{damage}");
                assert!(damage.start < (sector as u64 + 1) * 512);
                assert!(damage.end > sector as u64 * 512);
            }
            other => panic!("sector {sector}: {other:?}"),
        }
    }
    let expected = open(&mut disk.clone()).expect("a valid log").entries;
    let mut complete = 0;
    for len in 0..len {
        let mut disk = disk.clone();
        disk.set_len(earlier, len as u64).expect("a segment");
        match open(&mut disk) {
            Err(WalError::Damaged { damage, .. }) => assert_eq!(damage.segment, *earlier),
            // Nothing but the last seal is gone.
            Ok(recovered) => {
                assert_eq!(recovered.entries, expected, "cut off at {len}");
                complete += 1;
            }
            Err(error) => panic!("cut off at {len}: {error}"),
        }
    }
    assert_eq!(complete, 1);
}

#[test]
fn a_missing_segment_is_named() {
    let (mut disk, files) = with_segments();
    disk.remove(&files[2]).expect("a segment");
    let missing = WalError::MissingSegment { dir: dir(), missing: 2 };
    assert_eq!(open(&mut disk).map(|_| ()), Err(missing));
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let (mut disk, _) = with_segments();
    let mut other = MemDisk::new();
    let mut wal =
        Wal::create(&mut other, &dir(), Bytes::from_static(b"else"), SMALL).expect("an empty disk");
    for index in 1..=40 {
        let entry = entry(index, 1, vec![index as u8; 200]);
        save(&mut other, &mut wal, Some(state(1, 1, index)), &[entry]);
    }
    let files = segments(&disk);
    let foreign = content(&other, &segments(&other)[2]);
    disk.set_len(&files[2], 0).expect("a segment");
    overwrite(&mut disk, &files[2], 0, &foreign);
    let Err(WalError::Corrupt { segment, .. }) = open(&mut disk) else {
        panic!("a foreign segment was accepted");
    };
    assert!(segment == files[2] || segment == files[1]);
}

#[test]
fn a_segment_that_was_being_created_is_taken_away() {
    let (disk, files) = with_segments();
    let expected = open(&mut disk.clone()).expect("a valid log").entries;
    let next = dir().join(&format!("{:016x}-{:016x}.wal", files.len(), 41));
    let header = {
        let mut disk = disk.clone();
        let tiny = WalOptions { segment_bytes: 1 };
        let mut wal = Wal::open(&mut disk, &dir(), tiny).expect("a valid log").wal;
        save(&mut disk, &mut wal, None, &[entry(41, 1, "a")]);
        assert_eq!(segments(&disk).last(), Some(&next));
        content(&disk, &next)[..40].to_vec()
    };
    let cases: [(u64, &[u8]); 4] = [(0, &[]), (2048, &[]), (20, &header[..20]), (7, &header[..7])];
    for (len, start) in cases {
        for temporary in [false, true] {
            let mut disk = disk.clone();
            let file =
                if temporary { dir().join(&format!("{}.tmp", next.name())) } else { next.clone() };
            disk.create(&file).expect("a free name");
            overwrite(&mut disk, &file, 0, start);
            disk.set_len(&file, len).expect("the file is there");
            let recovered = open(&mut disk).expect("a log whose next segment is not ready");
            assert_eq!(recovered.entries, expected);
            let reported = recovered.repaired.map(|torn| torn.segment);
            assert_eq!(reported, (!temporary).then(|| next.clone()));
            assert_eq!(segments(&disk), files);
            let mut wal = recovered.wal;
            for index in 41..=60 {
                save(&mut disk, &mut wal, None, &[entry(index, 1, vec![1; 200])]);
            }
            assert_eq!(open(&mut disk).expect("a valid log").entries.len(), 60);
        }
    }
}

#[test]
fn a_log_whose_only_header_is_lost_is_no_empty_log() {
    let (mut disk, file, _) = with_batches(1, 10);
    let len = content(&disk, &file).len();
    overwrite(&mut disk, &file, 0, &vec![0; len]);
    let (offset, found) = corruption(&mut disk);
    assert_eq!(offset, 0);
    assert!(matches!(found, Corruption::Header { expected: 4, found: 0 }));
}
