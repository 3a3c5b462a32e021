//! Members with nothing left on their disks that they could start from.

use quorate_mvcc::Revision;
use quorate_raft::{Change, LogIndex, MembershipChange, NodeId, Role, Transition};
use quorate_wal::WalError;
use quorate_wal::disk::{CutOff, Disk, DiskPath, MemDisk};
use quorate_wal::inspect::{self, What};

use super::group::{Group, config, get, put, value};
use super::snapshots::{led, often, write};
use crate::{Member, RecoveryError, Request, Time};

fn files(disk: &MemDisk, dir: &str, suffix: &str) -> Vec<DiskPath> {
    let mut files = disk.list(&DiskPath::new(dir).expect("a path")).expect("a directory");
    files.retain(|file| file.name().ends_with(suffix));
    files
}

fn content(disk: &MemDisk, file: &DiskPath) -> Vec<u8> {
    let len = disk.len(file).expect("the file is there") as usize;
    disk.read(file, 0, len).expect("the file is there").to_vec()
}

/// Flips bits in a file.
fn damage(disk: &mut MemDisk, file: &DiskPath, at: usize) {
    let flipped = content(disk, file)[at] ^ 0x55;
    disk.write(file, at as u64, &[flipped]).expect("room");
    disk.sync(file).expect("the file is there");
}

fn damage_snapshots(disk: &mut MemDisk) -> Vec<DiskPath> {
    let snapshots = files(disk, "member/snap", ".snap");
    for file in &snapshots {
        damage(disk, file, content(disk, file).len() / 2);
    }
    snapshots
}

/// Three members, each with two snapshots and a log that goes on from there.
fn shortened() -> Group {
    let mut group = led(3);
    write(&mut group, 40);
    group.beat(0);
    assert!(group.members[2].view().snapshot.index > LogIndex(30));
    group
}

/// What a member has on its disk, by name.
fn image(disk: &MemDisk) -> Vec<(DiskPath, Vec<u8>)> {
    let dirs = ["member/wal", "member/snap", "member/store"];
    let files = dirs.iter().flat_map(|dir| files(disk, dir, ""));
    files.map(|file| (file.clone(), content(disk, &file))).collect()
}

/// The member abstains, is brought back by its leader, and then elects and is elected again.
fn assert_is_brought_back(group: &mut Group, index: usize) {
    assert!(group.members[index].view().abstains);
    group.beat(0);
    let (leader, member) = (&group.members[0], &group.members[index]);
    assert!(!member.view().abstains, "{:?}", member.view().log);
    assert_eq!(member.applied(), leader.applied());
    assert_eq!(member.store().digest(), leader.store().digest());
    let recovery = group.power_loss(index);
    assert_eq!((recovery.started_over, recovery.damaged_snapshots), (None, vec![]));
    group.messages.clear();
    group.campaign(index);
    group.settle();
    assert_eq!(group.members[index].view().role, Role::Leader);
    let read = group.ask(index, get("a"));
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_member_without_a_snapshot_that_can_be_read_starts_over_and_is_brought_back() {
    let mut group = shortened();
    let (term, last_index) =
        (group.members[2].view().term, group.members[2].view().log.last_index());
    let vote = group.members[2].view().vote;
    assert_eq!(vote, Some(NodeId(1)));
    let snapshots = damage_snapshots(&mut group.disks[2]);
    let before = image(&group.disks[2]);
    let recovery = group.power_loss(2);
    let why = recovery.started_over.expect("there was nothing to start from");
    assert_eq!((why.snapshots.len(), why.stores.len()), (2, 0));
    assert!(why.to_string().contains(snapshots[0].as_str()), "{why}");
    // All of log and snapshots is there still, under other names.
    for (file, bytes) in before {
        let aside = DiskPath::new(&format!("{file}.damaged")).expect("a path");
        let is_of_store = file.as_str().contains("/store/");
        assert_eq!(recovery.set_aside.contains(&aside), !is_of_store, "{file}");
        let now = if is_of_store { file } else { aside };
        assert_eq!(content(&group.disks[2], &now), bytes);
    }
    let view = group.members[2].view();
    assert_eq!((view.term, view.vote), (term, vote), "it has not forgotten its vote");
    assert_eq!((view.commit, view.log.last_index()), (LogIndex::ZERO, LogIndex::ZERO));
    assert_eq!(group.members[2].store().revision(), Revision::INITIAL);
    // Neither does a restart make it forget what it may have acknowledged.
    let recovery = group.power_loss(2);
    assert_eq!((recovery.started_over, recovery.set_aside), (None, vec![]));
    assert!(group.members[2].view().abstains && last_index > LogIndex::ZERO);
    // Nobody is elected with its help.
    group.messages.clear();
    group.campaign(2);
    group.settle();
    assert_eq!(group.members[2].view().role, Role::Follower);
    assert_eq!(group.members[2].view().term, term);
    assert_is_brought_back(&mut group, 2);
}

#[test]
fn it_starts_over_if_the_log_goes_on_from_none_of_its_snapshots() {
    let mut group = shortened();
    // All notes of snapshots are destroyed.
    let dir = DiskPath::new("member/wal").expect("a path");
    let (segments, _) = inspect::segments(&group.disks[2], &dir).expect("a log");
    let mut notes = Vec::new();
    for segment in &segments {
        let looked = inspect::segment(&group.disks[2], segment, None, |found| {
            if let What::Snapshot(_) = found.what {
                notes.push((segment.file.clone(), found.offset as usize));
            }
        });
        looked.expect("a segment");
    }
    assert!(notes.len() >= 2, "{notes:?}");
    for (file, at) in notes {
        damage(&mut group.disks[2], &file, at + 20);
    }
    write(&mut group, 1);
    let recovery = group.power_loss(2);
    assert!(recovery.started_over.is_some() && !recovery.log_damage.is_empty());
    assert_is_brought_back(&mut group, 2);
}

#[test]
fn it_starts_over_if_its_stores_are_lost() {
    let mut group = shortened();
    // The first segment's keys and the data from which they would be written anew.
    for suffix in [".keys", ".data"] {
        let file = files(&group.disks[2], "member/store", suffix)[0].clone();
        damage(&mut group.disks[2], &file, 20);
    }
    let recovery = group.power_loss(2);
    let why = recovery.started_over.expect("there was nothing to start from");
    assert_eq!((why.snapshots.len(), why.stores.len()), (0, 2));
    assert!(why.to_string().contains("damaged twice"), "{why}");
    assert_is_brought_back(&mut group, 2);
}

#[test]
fn whoever_is_alone_has_nobody_to_ask_and_changes_nothing() {
    let mut group = led(1);
    write(&mut group, 40);
    let snapshots = damage_snapshots(&mut group.disks[0]);
    let before = image(&group.disks[0]);
    let config = group.next_life(0);
    let error =
        Member::start(config, &mut group.disks[0], Time(0)).expect_err("nobody has the rest");
    assert!(matches!(error, RecoveryError::NothingLeft(_)), "{error}");
    let message = error.to_string();
    for part in [snapshots[0].as_str(), snapshots[1].as_str(), "is damaged", "restore a backup"] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    assert_eq!(image(&group.disks[0]), before);
}

/// Has all but the first member leave, or others join.
fn change(group: &mut Group, changes: Vec<Change>) {
    let change = MembershipChange { changes, transition: Transition::Auto };
    let token = group.ask(0, Request::ChangeMembers(change));
    group.settle();
    group.answer(token).expect("committed");
    group.beat(0);
}

#[test]
fn who_is_alone_is_what_the_newest_snapshot_said_and_not_who_founded_the_group() {
    let mut group = led(3);
    change(&mut group, vec![Change::Remove(NodeId(2)), Change::Remove(NodeId(3))]);
    write(&mut group, 40);
    damage_snapshots(&mut group.disks[0]);
    let config = group.next_life(0);
    let error = Member::start(config, &mut group.disks[0], Time(0)).expect_err("it is alone");
    assert!(matches!(error, RecoveryError::NothingLeft(_)), "{error}");

    let mut group = led(1);
    group.join();
    group.join();
    change(&mut group, vec![Change::AddVoter(NodeId(2)), Change::AddVoter(NodeId(3))]);
    write(&mut group, 40);
    group.beat(0);
    damage_snapshots(&mut group.disks[0]);
    // It still says that it founded the group alone, here and the next time.
    for life in 0..2 {
        group.batches[0].clear();
        let mut founder = config_of_founder(life);
        often(&mut founder);
        let disk = &mut group.disks[0];
        let (member, recovery) = Member::start(founder, disk, group.now).expect("others are there");
        assert_eq!(recovery.started_over.is_some(), life == 0);
        assert!(member.view().abstains);
    }
}

fn config_of_founder(life: u64) -> crate::Config {
    config(0, 1, 7 + life)
}

#[test]
fn whose_vote_may_be_lost_does_not_start_though_others_have_everything() {
    let mut group = shortened();
    damage_snapshots(&mut group.disks[2]);
    let last = files(&group.disks[2], "member/wal", ".wal").pop().expect("a segment");
    let end = group.disks[2].data_end(&last).expect("a segment") as usize;
    // The seal of the last batch.
    damage(&mut group.disks[2], &last, end - 40);
    let before = image(&group.disks[2]);
    let config = group.next_life(2);
    let error =
        Member::start(config, &mut group.disks[2], Time(0)).expect_err("it could vote twice");
    assert!(matches!(error, RecoveryError::Wal(WalError::Corrupt { .. })), "{error}");
    assert!(error.to_string().contains("may have been acknowledged"), "{error}");
    assert_eq!(image(&group.disks[2]), before);
}

#[test]
fn a_loss_of_power_at_any_step_of_starting_over_is_made_up_for_by_the_next_start() {
    let mut group = shortened();
    damage_snapshots(&mut group.disks[2]);
    let old = group.disks[2].clone();
    let mut resumed = 0;
    for keeps in [false, true] {
        for changes_left in 0.. {
            let mut cut = CutOff { disk: old.clone(), changes_left };
            let config = group.next_life(2);
            let begun = Member::start(config, &mut cut, group.now);
            let done = begun.is_ok();
            group.disks[2] = cut.disk;
            group.disks[2].power_loss(|_| keeps);
            let again = group.power_loss(2).started_over.is_some();
            resumed += u32::from(!done && !again);
            assert!(!(done && again), "what was reported done is done");
            let view = group.members[2].view();
            assert_eq!((view.log.last_index(), view.abstains), (LogIndex::ZERO, true));
            assert_eq!(view.vote, Some(NodeId(1)));
            if done {
                break;
            }
        }
    }
    assert!(resumed > 4, "{resumed}");
    assert_is_brought_back(&mut group, 2);
}

#[test]
fn a_disk_that_fails_is_no_reason_to_pass_a_snapshot_over() {
    let mut group = shortened();
    let old = group.disks[2].clone();
    let newest = group.members[2].view().snapshot.index;
    for changes_left in 0.. {
        let mut cut = CutOff { disk: old.clone(), changes_left };
        let config = group.next_life(2);
        match Member::start(config, &mut cut, group.now) {
            Ok((_, recovery)) => {
                assert_eq!(recovery.snapshot, Some(newest), "after {changes_left} changes");
                assert_eq!(recovery.set_aside, []);
                break;
            }
            Err(error) => assert!(error.to_string().contains("a bad day"), "{error}"),
        }
    }
}

#[test]
fn a_snapshot_that_was_passed_over_is_never_chosen_again() {
    let mut group = shortened();
    let newest = files(&group.disks[2], "member/snap", ".snap").pop().expect("a snapshot");
    damage(&mut group.disks[2], &newest, 30);
    let recovery = group.power_loss(2);
    assert_eq!((recovery.damaged_snapshots.len(), recovery.started_over), (1, None));
    let aside = DiskPath::new(&format!("{newest}.damaged")).expect("a path");
    assert_eq!(recovery.set_aside, std::slice::from_ref(&aside));
    assert!(!files(&group.disks[2], "member/snap", ".snap").contains(&newest));
    assert!(files(&group.disks[2], "member/snap", ".damaged").contains(&aside));
    // What it stands for goes, with the next snapshot; so it must not be found once more.
    write(&mut group, 10);
    group.beat(0);
    assert_eq!(group.members[2].applied(), group.members[0].applied());
    assert_eq!(group.power_loss(2).damaged_snapshots, []);
}

#[test]
fn an_entry_of_a_later_leader_ends_a_doubt_that_reaches_further_than_its_log() {
    let mut group = Group::led(3);
    write(&mut group, 3);
    // The leader appends what nobody else ever gets.
    for _ in 0..6 {
        group.ask(0, put("a", "2"));
    }
    while !group.batches[0].is_empty() {
        group.sync(0);
    }
    group.messages.clear();
    let last_index = group.members[0].view().log.last_index();
    let log = files(&group.disks[0], "member/wal", ".wal").pop().expect("a segment");
    let end = group.disks[0].data_end(&log).expect("a segment") as usize;
    damage(&mut group.disks[0], &log, end / 2);
    group.power_loss(0);
    assert!(group.members[0].view().abstains);
    group.messages.clear();
    group.campaign(1);
    group.settle();
    assert_eq!(group.members[1].view().role, Role::Leader);
    group.beat(1);
    assert!(group.members[1].view().log.last_index() < last_index);
    assert_eq!(group.members[0].applied(), group.members[1].applied());
    assert!(!group.members[0].view().abstains);
    group.power_loss(0);
    assert!(!group.members[0].view().abstains, "its log knows that it has caught up");
}
