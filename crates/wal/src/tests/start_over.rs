//! A log that is begun anew: nothing that it held stays, but for what must never be forgotten.

use quorate_proto::raftpb::ConfState;
use quorate_proto::walpb;

use super::*;
use crate::disk::CutOff;
use crate::{Contents, SnapshotId};

fn members() -> Option<ConfState> {
    Some(ConfState { voters: vec![1, 2, 3], ..ConfState::default() })
}

/// Entries up to 24, and a snapshot of entry 12. What only its beginning needs is released.
fn shortened() -> (MemDisk, Wal) {
    let (mut disk, mut wal) = created(SMALL);
    for index in 1..=24 {
        wal.append(Some(state(2, 3, index - 1)), [entry(index, 2, vec![index as u8; 180])]);
        if index == 14 {
            wal.append_snapshot(&walpb::Snapshot { index: 12, term: 2, conf_state: None });
        }
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    }
    wal.release_to(12);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    (disk, wal)
}

fn read(disk: &MemDisk) -> Contents {
    Wal::read(disk, &dir()).unwrap_or_else(|error| panic!("{error}"))
}

fn start_over(disk: &mut MemDisk) -> Recovered {
    let opened = read(disk).start_over(disk, members(), SMALL);
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// What must be there from the moment that a log was begun anew.
fn assert_begun_anew(recovered: &Recovered, hard_state: HardState, doubtful_up_to: u64) {
    assert_eq!(recovered.entries, []);
    assert_eq!(recovered.hard_state, hard_state);
    assert_eq!((recovered.snapshot.index, recovered.snapshot.term), (0, 0));
    assert_eq!(recovered.snapshot.conf_state, members());
    assert_eq!(recovered.doubtful_up_to, doubtful_up_to);
    assert_eq!(recovered.wal.doubtful_up_to(), doubtful_up_to);
    assert_eq!(recovered.metadata, Bytes::from("member"));
}

#[test]
fn term_and_vote_stay_and_all_that_was_acknowledged_is_in_doubt() {
    let (mut disk, _) = shortened();
    assert!(!read(&disk).continues(SnapshotId::BEGINNING));
    let held: Vec<_> =
        segments(&disk).iter().map(|file| (file.clone(), content(&disk, file))).collect();
    let recovered = start_over(&mut disk);
    assert_begun_anew(&recovered, state(2, 3, 0), 24);
    assert!(disk.is_clean(), "what was recovered is durable");
    assert_eq!(recovered.set_aside.len(), held.len());
    for ((file, bytes), aside) in held.iter().zip(&recovered.set_aside) {
        assert_eq!(aside.name(), format!("{}.damaged", file.name()));
        assert_eq!(content(&disk, aside), *bytes, "nothing is gone");
    }
    // A restart finds the same, and so does one after that.
    for _ in 0..2 {
        let contents = read(&disk);
        assert_eq!(contents.damage(), []);
        let snapshots: Vec<_> = contents.snapshots().iter().map(|noted| noted.index).collect();
        assert_eq!(snapshots, [0]);
        assert_begun_anew(&open(&mut disk).expect("a whole log"), state(2, 3, 0), 24);
    }
}

#[test]
fn what_others_send_goes_into_it_and_ends_the_doubt() {
    let (mut disk, _) = shortened();
    let mut wal = start_over(&mut disk).wal;
    for index in 1..=30 {
        assert_eq!(wal.doubtful_up_to(), 24);
        save(&mut disk, &mut wal, Some(state(4, 0, index - 1)), &[entry(index, 4, vec![7; 180])]);
        wal = open(&mut disk).expect("a whole log").wal;
    }
    wal.caught_up();
    save(&mut disk, &mut wal, Some(state(4, 0, 30)), &[]);
    let recovered = open(&mut disk).expect("a whole log");
    assert_eq!((recovered.entries.len(), recovered.doubtful_up_to), (30, 0));
    // Or a snapshot that replaces all.
    let (mut disk, _) = shortened();
    let mut wal = start_over(&mut disk).wal;
    wal.append_snapshot(&walpb::Snapshot { index: 40, term: 5, conf_state: members() });
    wal.append(Some(state(5, 0, 40)), [entry(41, 5, "next")]);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    let start = SnapshotId { term: 5, index: 40 };
    let recovered = read(&disk).open(&mut disk, start, SMALL).expect("it was noted");
    assert_eq!((recovered.entries.len(), recovered.doubtful_up_to), (1, 24));
}

#[test]
fn a_log_with_damage_forgets_neither_the_vote_behind_it_nor_an_earlier_doubt() {
    let (mut disk, mut wal) = shortened();
    let first = segments(&disk)[0].clone();
    let at = content(&disk, &first).len() / 2;
    overwrite(&mut disk, &first, at, &[0xa5; 40]);
    assert_eq!(read(&disk).damage().len(), 1);
    assert_begun_anew(&start_over(&mut disk.clone()), state(2, 3, 0), 24);
    // What was written last counts, not what is before the damage.
    save(&mut disk, &mut wal, Some(state(7, 1, 24)), &[]);
    assert_begun_anew(&start_over(&mut disk), state(7, 1, 0), 24);
    // Begun anew twice: of the second life less was acknowledged than of the first.
    let mut wal = start_over(&mut disk).wal;
    save(&mut disk, &mut wal, Some(state(8, 2, 3)), &[entry(1, 8, "a"), entry(2, 8, "b")]);
    assert_begun_anew(&start_over(&mut disk), state(8, 2, 0), 24);
}

#[test]
fn a_torn_tail_was_acknowledged_by_nobody() {
    let (mut disk, mut wal) = shortened();
    let first = segments(&disk).pop().expect("a segment");
    let before = disk.data_end(&first).expect("a segment") as usize;
    save(&mut disk, &mut wal, Some(state(3, 2, 24)), &[entry(25, 3, vec![1; 1200])]);
    let last = segments(&disk).pop().expect("a segment");
    assert_eq!(first, last, "it has room for this");
    overwrite(&mut disk, &last, before.next_multiple_of(512), &[0; 512]);
    assert!(read(&disk).torn_tail().is_some());
    assert_begun_anew(&start_over(&mut disk), state(2, 3, 0), 24);
}

#[test]
fn a_loss_of_power_at_any_step_leaves_the_old_log_or_the_new_one() {
    let (mut whole, _) = shortened();
    let mut damaged = whole.clone();
    let first = segments(&damaged)[0].clone();
    let at = content(&damaged, &first).len() / 2;
    overwrite(&mut damaged, &first, at, &[0xa5; 40]);
    let (mut interrupted, mut resumed) = (0, 0);
    for old in [&mut whole, &mut damaged] {
        let held = segments(old).len();
        for seed in 0..100 {
            let mut draws = Draws(seed);
            for changes_left in 0.. {
                let mut cut = CutOff { disk: old.clone(), changes_left };
                let begun = read(old).start_over(&mut cut, members(), SMALL);
                let mut disk = cut.disk;
                disk.power_loss(|_| match seed {
                    0 => false,
                    1 => true,
                    _ => draws.below(2) == 0,
                });
                interrupted += u32::from(begun.is_err());
                let contents = read(&disk);
                let is_new = contents.continues(SnapshotId::BEGINNING);
                assert!(is_new || begun.is_err(), "what was reported done is done");
                resumed += u32::from(is_new && begun.is_err());
                let recovered = match is_new {
                    true => contents.open(&mut disk, SnapshotId::BEGINNING, SMALL),
                    false => contents.start_over(&mut disk, members(), SMALL),
                };
                let recovered = recovered.expect("a healthy disk");
                assert_begun_anew(&recovered, state(2, 3, 0), 24);
                let names = disk.list(&dir()).expect("the log's directory");
                let aside = names.iter().filter(|file| file.name().ends_with(".damaged")).count();
                assert_eq!((names.len(), aside), (held + 1, held), "nothing is gone");
                let mut wal = recovered.wal;
                save(&mut disk, &mut wal, None, &[entry(1, 7, "next")]);
                let recovered = open(&mut disk).expect("a whole log");
                assert_eq!((recovered.entries.len(), recovered.doubtful_up_to), (1, 24));
                if begun.is_ok() {
                    break;
                }
            }
        }
    }
    assert!(interrupted > 1000 && resumed > 100, "{interrupted} {resumed}");
}
