//! Starting from what a disk holds.

use quorate_mvcc::Revision;
use quorate_proto::raftpb::Entry;
use quorate_raft::{NodeId, Role};
use quorate_wal::disk::{Disk, DiskOp, DiskPath, MemDisk};
use quorate_wal::{Wal, WalOptions};

use super::group::{Group, config, get, put, value};
use crate::{Member, RecoveryError, Time, Timer};

#[test]
fn what_was_acknowledged_survives_the_loss_of_power_everywhere() {
    let mut group = Group::led(3);
    for _ in 0..5 {
        let token = group.ask(1, put("a", "1"));
        group.settle();
        group.answer(token).expect("committed");
    }
    for index in 0..3 {
        group.power_loss(index);
    }
    group.messages.clear();
    group.campaign(2);
    group.settle();
    let read = group.ask(2, get("a"));
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
    assert_eq!(group.members[2].store().revision(), Revision(6));
}

#[test]
fn a_member_that_lost_what_it_had_not_synced_is_brought_up_to_date() {
    let mut group = Group::led(3);
    let token = group.ask(0, put("a", "1"));
    // The others have it; this one has received it and not written it.
    while let Some(message) = group.messages.pop_front() {
        group.deliver(message);
    }
    group.power_loss(2);
    group.settle();
    group.answer(token).expect("the others are a majority");
    group.fire(0, Timer::Heartbeat);
    group.settle();
    group.fire(0, Timer::Heartbeat);
    group.settle();
    assert_eq!(group.members[2].store().revision(), Revision(2));
}

#[test]
fn a_restart_finds_as_many_entries_as_were_written() {
    let mut group = Group::led(1);
    group.ask(0, put("a", "1"));
    group.settle();
    let (_, recovery) =
        Member::start(config(0, 1, 2), &mut group.disks[0], Time(0)).expect("readable");
    // The founding, the leader's own, and the write.
    assert_eq!((recovery.entries, recovery.torn_tail), (3, None));
}

#[test]
fn a_log_whose_terms_go_back_is_refused_and_named() {
    let mut disk = MemDisk::new();
    Member::start(config(0, 1, 1), &mut disk, Time(0)).expect("a fresh disk");
    let directory = DiskPath::new("member/wal").expect("a path");
    let mut wal = Wal::open(&mut disk, &directory, WalOptions::default()).expect("a log").wal;
    let entry = |index, term| Entry { index, term, ..Entry::default() };
    wal.append(None, [entry(2, 2), entry(3, 1)]);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("the disk works");
    let error = Member::start(config(0, 1, 2), &mut disk, Time(0)).expect_err("no such log");
    assert!(error.to_string().contains("entry 3 of term 1 after one of term 2"), "{error}");
}

#[test]
fn the_disk_of_another_member_or_cluster_is_refused() {
    let mut disk = MemDisk::new();
    Member::start(config(0, 3, 1), &mut disk, Time(0)).expect("a fresh disk");
    let error = Member::start(config(1, 3, 1), &mut disk, Time(0)).expect_err("another member's");
    assert_eq!(error, RecoveryError::Foreign { found: (7, 1), expected: (7, 2) });
    assert!(error.to_string().contains("its own data directory"), "{error}");
    let mut other = config(0, 3, 1);
    other.cluster_id = 8;
    Member::start(other, &mut disk, Time(0)).expect_err("another cluster's");
    Member::start(config(0, 3, 2), &mut disk, Time(0)).expect("its own");
}

#[test]
fn a_configuration_without_the_member_is_refused() {
    let mut wrong = config(0, 3, 1);
    wrong.founders = Some(vec![NodeId(2), NodeId(3)]);
    let error = Member::start(wrong, &mut MemDisk::new(), Time(0)).expect_err("not a voter");
    assert!(error.to_string().contains("not among the founders"), "{error}");
}

#[test]
fn who_votes_alone_waits_for_nobody() {
    let mut group = Group::new(1);
    group.settle();
    assert_eq!(group.members[0].view().role, Role::Leader);
    assert!(group.members[0].is_caught_up());
}

#[test]
fn a_member_without_its_log_does_not_begin_anew() {
    let mut group = Group::led(1);
    let token = group.ask(0, put("a", "1"));
    group.settle();
    group.answer(token).expect("committed");
    let mut disk = group.disks.remove(0);
    disk.create(&DiskPath::new("member/snap/0000000000000001-0000000000000002.snap").unwrap())
        .unwrap();
    for file in disk.list(&DiskPath::new("member/wal").unwrap()).unwrap() {
        disk.remove(&file).unwrap();
    }
    let before = format!("{disk:?}");
    let refused =
        Member::start(config(0, 1, 2), &mut disk, Time(0)).expect_err("its votes are lost");
    assert!(matches!(refused, RecoveryError::LogMissing { .. }), "{refused:?}");
    assert_eq!(format!("{disk:?}"), before, "nothing was changed");
}
