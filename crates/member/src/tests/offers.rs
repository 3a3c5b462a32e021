//! A store that damage holds up, where nobody can repair it, becomes another member's.

use quorate_mvcc::{CompactRequest, PutRequest};
use quorate_raft::{Body, Role};

use super::group::{Group, SECOND, get, put, value};
use crate::{Error, PeerMessage, Request, RequestToken, StoreMessage, Timer};

/// Where the store is damaged.
const HELD_UP: usize = 2;

/// Keeps the value of a key: whoever applies it has to know what that is.
fn keep_value(key: &'static str) -> Request {
    let Request::Put(put) = put(key, "") else { unreachable!("it is a put") };
    Request::Put(PutRequest { ignore_value: true, ..put })
}

/// A group in which one member meets, in an entry, a record that is damaged there and that the
/// others have forgotten. The second result is that member's own request, for just this entry.
fn held_up(snapshot_every: fn(&mut crate::Config)) -> (Group, RequestToken) {
    let mut group = Group::with(3, snapshot_every);
    group.campaign(0);
    group.settle();
    group.write(["b", "a", "a", "a", "a", "a", "a", "a"].map(|key| put(key, "1")));
    group.beat(0);
    group.power_loss(HELD_UP);
    group.rot(HELD_UP, &[".data"]);
    group.beat(0);
    let token = group.ask(HELD_UP, keep_value("b"));
    group.settle();
    let revision = group.members[0].store().revision();
    group.write([Request::Compact(CompactRequest { revision }), put("a", "2")]);
    group.beat(0);
    for _ in 0..5 {
        group.fire(0, Timer::Upkeep);
        group.fire(1, Timer::Upkeep);
        group.settle();
    }
    group.fire(HELD_UP, Timer::Upkeep);
    group.settle();
    assert!(is_held_up(&group), "nobody has the record any more");
    (group, token)
}

fn is_held_up(group: &Group) -> bool {
    group.members[HELD_UP].applied() < group.members[HELD_UP].view().commit
}

/// Time passes, with all that follows, until the member is held up no more.
fn wait(group: &mut Group, leader: usize) {
    for _ in 0..40 {
        if !is_held_up(group) {
            return;
        }
        pass(group, leader);
    }
    panic!("it is held up for ever");
}

/// Carries everything out that waits, but messages that are lost.
fn settle_without(group: &mut Group, mut is_lost: impl FnMut(&PeerMessage) -> bool) {
    loop {
        if let Some(index) = group.batches.iter().position(|batches| !batches.is_empty()) {
            group.sync(index);
        } else if let Some(message) = group.messages.pop_front() {
            if !is_lost(&message) {
                group.deliver(message);
            }
        } else {
            return;
        }
    }
}

fn is_log_for_held_up(message: &PeerMessage) -> bool {
    matches!(message, PeerMessage::Raft { message, .. } if message.to.0 == HELD_UP as u64 + 1)
}

fn pass(group: &mut Group, leader: usize) {
    group.now.0 += SECOND;
    for index in 0..3 {
        group.fire(index, Timer::Upkeep);
    }
    group.settle();
    group.beat(leader);
}

fn assert_whole(group: &Group, leader: usize) {
    let (one, other) = (&group.members[HELD_UP], &group.members[(leader + 1) % 3]);
    let other = if leader == HELD_UP { other } else { &group.members[leader] };
    assert_eq!((one.applied(), one.store().digest()), (other.applied(), other.store().digest()));
    assert_eq!(one.damage().count(), 0, "what was damaged is gone");
    assert!(group.halted.is_empty());
}

fn often(config: &mut crate::Config) {
    (config.snapshot_every, config.snapshot_keep) = (5, 2);
}

fn seldom(config: &mut crate::Config) {
    (config.snapshot_every, config.snapshot_keep) = (8, 100);
    config.chunk_bytes = 60;
}

#[test]
fn a_member_that_nobody_can_repair_takes_another_ones_store() {
    for snapshot_every in [often, seldom] {
        let (mut group, token) = held_up(snapshot_every);
        pass(&mut group, 0);
        assert!(is_held_up(&group), "a repair may take a while");
        let before = group.members[HELD_UP].applied();
        wait(&mut group, 0);
        assert_whole(&group, 0);
        assert_eq!(group.members[HELD_UP].health().fetched, 1);
        assert!(group.members[HELD_UP].view().snapshot.index > before);
        // Nobody can say what the entries that it passed over came to.
        group.now.0 += 60 * SECOND;
        group.fire(HELD_UP, Timer::Housekeeping);
        assert_eq!(group.answer(token), Err(Error::TimedOut));
        // And it has all of it when it comes up again, and can lead.
        group.power_loss(HELD_UP);
        group.messages.clear();
        group.campaign(HELD_UP);
        group.settle();
        let read = group.ask(HELD_UP, get("b"));
        group.settle();
        assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
    }
}

#[test]
fn a_leader_that_is_held_up_takes_a_followers_store() {
    let (mut group, _) = held_up(seldom);
    group.campaign(HELD_UP);
    group.settle();
    assert_eq!(group.members[HELD_UP].view().role, Role::Leader);
    wait(&mut group, HELD_UP);
    assert_whole(&group, HELD_UP);
    let token = group.ask(HELD_UP, put("c", "3"));
    group.settle();
    group.answer(token).expect("committed, and applied");
}

#[test]
fn a_transfer_survives_a_loss_of_power_after_any_of_its_batches() {
    let mut in_the_middle = 0;
    for batches in 1.. {
        let (mut group, _) = held_up(seldom);
        let mut left = batches;
        for _ in 0..20 {
            group.now.0 += SECOND;
            for index in 0..3 {
                group.fire(index, Timer::Upkeep);
            }
            while left > 0 {
                let waiting = group.batches.iter().position(|batches| !batches.is_empty());
                if let Some(index) = waiting {
                    group.sync(index);
                    left -= u32::from(index == HELD_UP);
                } else if let Some(message) = group.messages.pop_front() {
                    group.deliver(message);
                } else {
                    break;
                }
            }
        }
        if left > 0 {
            assert!(batches > 5 && in_the_middle > 5, "the transfer has many batches");
            assert_eq!(group.members[HELD_UP].health().fetched, 1);
            return;
        }
        in_the_middle += u32::from(group.members[HELD_UP].health().fetched == 0);
        group.power_loss(HELD_UP);
        group.settle();
        group.beat(0);
        wait(&mut group, 0);
        group.beat(0);
        assert_whole(&group, 0);
    }
}

#[test]
fn what_consensus_sends_takes_the_place_of_an_offer() {
    let (mut group, _) = held_up(often);
    // An offer comes, and nothing of what is asked for then.
    let mut offers = 0;
    while offers == 0 {
        group.now.0 += SECOND;
        group.fire(HELD_UP, Timer::Upkeep);
        settle_without(&mut group, |message| match message {
            PeerMessage::Store { message, .. } => {
                offers += u32::from(matches!(message, StoreMessage::Offer { .. }));
                matches!(message, StoreMessage::Chunk { .. })
            }
            _ => false,
        });
    }
    // Meanwhile the log goes on without it.
    for _ in 0..20 {
        group.ask(0, put("a", "3"));
        settle_without(&mut group, is_log_for_held_up);
    }
    let last = group.members[HELD_UP].view().log.last_index();
    assert!(group.members[0].view().log.base() > last, "only a snapshot leads there");
    group.beat(0);
    wait(&mut group, 0);
    pass(&mut group, 0);
    assert_whole(&group, 0);
    assert_eq!(group.members[HELD_UP].health().fetched, 0);
}

#[test]
fn an_offer_ahead_of_what_is_known_to_be_committed_waits() {
    let (mut group, _) = held_up(often);
    // It gets the entries, and does not hear that the last one is committed.
    let is_newest = |group: &Group| {
        let view = group.members[0].view();
        view.snapshot.index == view.log.last_index()
    };
    while !is_newest(&group) {
        group.ask(0, put("a", "3"));
        settle_without(&mut group, |message| match message {
            PeerMessage::Raft { message, .. } => {
                message.to.0 == HELD_UP as u64 + 1 && matches!(message.body, Body::Commit { .. })
            }
            _ => false,
        });
    }
    let index = group.members[0].view().snapshot.index;
    let commit = group.members[HELD_UP].view().commit;
    assert_eq!(group.members[HELD_UP].view().log.last_index(), index);
    assert!(commit < index);
    for _ in 0..20 {
        group.now.0 += SECOND;
        for index in 0..3 {
            group.fire(index, Timer::Upkeep);
        }
        group.settle();
    }
    assert!(is_held_up(&group), "all is here, and its own log does not say so yet");
    assert_eq!(group.members[HELD_UP].view().commit, commit);
    group.beat(0);
    wait(&mut group, 0);
    assert_whole(&group, 0);
    assert_eq!(group.members[HELD_UP].health().fetched, 1);
    assert!(group.members[HELD_UP].applied() > commit);
}

#[test]
fn who_has_made_an_offer_and_falls_silent_is_not_waited_for() {
    let (mut group, _) = held_up(often);
    let mut silent = None;
    for _ in 0..60 {
        group.now.0 += 8 * SECOND;
        for index in 0..3 {
            group.fire(index, Timer::Upkeep);
        }
        settle_without(&mut group, |message| match message {
            PeerMessage::Store { from, message, .. } => match message {
                StoreMessage::Offer { .. } => *silent.get_or_insert(*from) != *from,
                StoreMessage::Chunk { .. } => silent == Some(*from),
                _ => false,
            },
            _ => false,
        });
        if silent.is_some() {
            break;
        }
    }
    let silent = silent.expect("somebody has made an offer");
    for _ in 0..60 {
        group.now.0 += 8 * SECOND;
        for index in 0..3 {
            group.fire(index, Timer::Upkeep);
        }
        settle_without(
            &mut group,
            |message| matches!(message, PeerMessage::Store { from, .. } if *from == silent),
        );
    }
    assert!(!is_held_up(&group));
    assert_whole(&group, 0);
    assert_eq!(group.members[HELD_UP].health().fetched, 1);
}
