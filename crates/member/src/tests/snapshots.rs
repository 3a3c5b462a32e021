//! Logs are shortened, and whoever needs what is gone gets the state itself.

use quorate_mvcc::{ChunkId, Revision};
use quorate_raft::{LogIndex, Role};
use quorate_wal::disk::{Disk, DiskPath};
use quorate_wal::inspect::{self, What};

use super::group::{Group, get, put, value};
use crate::{Config, Member, PeerMessage, StoreMessage, Time, Timer};

pub(super) fn often(config: &mut Config) {
    config.snapshot_every = 5;
    config.snapshot_keep = 2;
    config.wal.segment_bytes = 1 << 12;
}

pub(super) fn led(size: usize) -> Group {
    let mut group = Group::with(size, often);
    group.campaign(0);
    group.settle();
    assert_eq!(group.members[0].view().role, Role::Leader);
    group
}

pub(super) fn write(group: &mut Group, count: usize) {
    group.write((0..count).map(|_| put("a", "1")));
}

#[test]
fn the_log_is_shortened_behind_a_snapshot() {
    let mut group = led(1);
    write(&mut group, 40);
    let view = group.members[0].view();
    let snapshot = view.snapshot.index;
    assert!(snapshot > LogIndex(30), "{snapshot}");
    assert_eq!(view.log.base(), LogIndex(snapshot.0 - 2));
    assert!(group.members[0].entry(view.log.base()).is_none(), "its payload is forgotten too");
    let files = group.disks[0].list(&DiskPath::new("member/snap").unwrap()).unwrap();
    assert_eq!(files.len(), 2, "the newest, and the one before it: {files:?}");
}

#[test]
fn the_log_is_shortened_before_its_payloads_take_too_much_memory() {
    let mut group = Group::with(1, |config| config.snapshot_bytes = 10_000);
    group.campaign(0);
    group.settle();
    let (limit, large) = (10_000, &*"x".repeat(1000).leak());
    for _ in 0..40 {
        group.write([put("a", large)]);
        let log = group.members[0].view().log;
        let entries = (log.base().0 + 1..=log.last_index().0).map(LogIndex);
        let payload = |index| group.members[0].entry(index).map_or(0, |entry| entry.payload.len());
        let bytes: usize = entries.map(payload).sum();
        assert!(bytes <= limit + large.len() + 1000, "{bytes} bytes");
    }
    let view = group.members[0].view();
    let kept = view.snapshot.index.0 - view.log.base().0;
    assert!((1..=5).contains(&kept), "half of the bytes stay behind the snapshot: {kept}");
}

#[test]
fn the_log_never_notes_a_snapshot_that_its_own_commit_index_does_not_cover() {
    // etcd's reader passes over those.
    let mut group = led(1);
    let mut snapshots = 0;
    for _ in 0..40 {
        write(&mut group, 1);
        let (mut noted, mut commit) = (0, 0);
        let (disk, dir) = (&group.disks[0], DiskPath::new("member/wal").unwrap());
        let (segments, _) = inspect::segments(disk, &dir).unwrap();
        for segment in &segments {
            inspect::segment(disk, segment, None, |found| match found.what {
                What::Snapshot(snapshot) => noted = snapshot.index,
                What::HardState(state) => commit = state.commit,
                _ => {}
            })
            .unwrap();
        }
        assert!(noted <= commit, "the snapshot at {noted}, where {commit} is committed");
        snapshots = snapshots.max(noted);
    }
    assert!(snapshots > 30, "{snapshots}");
}

#[test]
fn a_restart_begins_with_the_newest_snapshot() {
    let mut group = led(1);
    write(&mut group, 23);
    let snapshot = group.members[0].view().snapshot.index;
    let mut config = super::group::config(0, 1, 9);
    often(&mut config);
    let (member, recovery) =
        Member::start(config, &mut group.disks[0], Time(0)).expect("it was written by a member");
    assert_eq!(recovery.snapshot, Some(snapshot));
    assert!(recovery.entries < 6, "only what came after it: {}", recovery.entries);
    assert!(member.applied() >= snapshot);
    group.power_loss(0);
    group.campaign(0);
    group.settle();
    assert_eq!(group.members[0].store().revision(), Revision(24));
}

#[test]
fn a_follower_that_is_far_behind_gets_the_state() {
    let mut group = led(3);
    write_without(&mut group, 2);
    assert!(group.members[0].view().log.base() > group.members[2].view().log.last_index());
    group.beat(0);
    assert_eq!(group.members[2].applied(), group.members[0].applied());
    assert!(group.members[2].view().snapshot.index > LogIndex::ZERO);
    assert_eq!(group.members[2].store().revision(), group.members[0].store().revision());
    // And it can lead from there, also after it has lost its power.
    group.power_loss(2);
    group.messages.clear();
    group.campaign(2);
    group.settle();
    let read = group.ask(2, get("a"));
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_snapshot_that_is_lost_is_sent_again() {
    let mut group = led(3);
    group.power_loss(2);
    write_without(&mut group, 2);
    group.fire(0, Timer::Heartbeat);
    let mut lost = 0;
    // Every snapshot is lost for a while.
    for _ in 0..6 {
        while let Some(message) = group.messages.pop_front() {
            if is_snapshot(&message) {
                lost += 1;
            } else {
                group.deliver(message);
            }
            for index in 0..3 {
                while !group.batches[index].is_empty() {
                    group.sync(index);
                }
            }
        }
        group.fire(0, Timer::Heartbeat);
    }
    assert_eq!(lost, 1, "it is taken to be under way");
    group.now.0 += 60_000_000_000;
    group.fire(0, Timer::Upkeep);
    group.beat(0);
    assert_eq!(group.members[2].applied(), group.members[0].applied());
}

/// A leader whose follower was sent a snapshot and asks for what these fetches make of its first one,
/// again and again. Says between which two snapshots.
fn asked_again(fetches: impl Fn(&ChunkId) -> Vec<ChunkId>) -> (LogIndex, LogIndex) {
    let mut group = led(3);
    group.power_loss(2);
    write_without(&mut group, 2);
    group.fire(0, Timer::Heartbeat);
    let mut fetch = None;
    while let Some(message) = group.messages.pop_front() {
        match message {
            PeerMessage::Store { message: StoreMessage::Fetch { .. }, .. } => fetch = Some(message),
            other => group.deliver(other),
        }
        while let Some(index) = group.batches.iter().position(|batches| !batches.is_empty()) {
            group.sync(index);
        }
    }
    let before = group.members[0].view().snapshot.index;
    let Some(PeerMessage::Store { from, to, message: StoreMessage::Fetch { index, chunk } }) =
        fetch
    else {
        panic!("the follower asks for the first chunk")
    };
    for _ in 0..10 {
        for chunk in fetches(&chunk) {
            let message = StoreMessage::Fetch { index, chunk };
            group.deliver(PeerMessage::Store { from, to, message });
        }
    }
    group.settle();
    (before, group.members[0].view().snapshot.index)
}

#[test]
fn a_leader_takes_another_snapshot_where_nobody_is_helped_by_the_last_one() {
    let (before, after) = asked_again(|chunk| vec![*chunk]);
    assert!(after > before, "{before}");
    // A damaged record that lies in two chunks.
    let (before, after) = asked_again(|chunk| {
        let len = chunk.len / 2;
        vec![ChunkId { len, ..*chunk }, ChunkId { offset: chunk.offset + u64::from(len), ..*chunk }]
    });
    assert!(after > before, "{before}");
}

fn is_snapshot(message: &PeerMessage) -> bool {
    let PeerMessage::Raft { message, .. } = message else { return false };
    matches!(message.body, quorate_raft::Body::Snapshot(_))
}

/// Writes that a member does not hear of.
fn write_without(group: &mut Group, index: usize) {
    for _ in 0..20 {
        group.ask(0, put("a", "1"));
        loop {
            let id = index as u64 + 1;
            group.messages.retain(|message| match message {
                PeerMessage::Raft { message, .. } => message.to.0 != id && message.from.0 != id,
                PeerMessage::Propose { .. } | PeerMessage::Store { .. } => true,
            });
            if let Some(message) = group.messages.pop_front() {
                group.deliver(message);
            } else if let Some(at) = group.batches.iter().position(|batches| !batches.is_empty()) {
                group.sync(at);
            } else {
                break;
            }
        }
    }
}

#[test]
fn what_is_no_state_is_not_installed() {
    let mut group = led(3);
    group.power_loss(2);
    write_without(&mut group, 2);
    group.fire(0, Timer::Heartbeat);
    let mut damaged = 0;
    while let Some(mut message) = group.messages.pop_front() {
        if is_snapshot(&message)
            && let PeerMessage::Raft { payloads, .. } = &mut message
        {
            payloads[0] = payloads[0].slice(1..);
            damaged += 1;
        }
        group.deliver(message);
        for index in 0..3 {
            while !group.batches[index].is_empty() {
                group.sync(index);
            }
        }
    }
    assert_eq!(damaged, 1);
    assert_eq!(group.members[2].view().snapshot.index, LogIndex::ZERO);
    group.now.0 += 60_000_000_000;
    group.fire(0, Timer::Upkeep);
    group.beat(0);
    assert_eq!(group.members[2].applied(), group.members[0].applied());
}
