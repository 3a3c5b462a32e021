//! Nothing is said before it is durable.

use quorate_mvcc::{PutRequest, Revision};
use quorate_raft::{AppendOutcome, Body, LogIndex, Role};

use super::group::{Group, put};
use crate::{PeerMessage, Request, Timer};

fn sent(group: &Group, wanted: impl Fn(&Body) -> bool) -> usize {
    let wanted = |message: &&PeerMessage| match message {
        PeerMessage::Raft { message, .. } => wanted(&message.body),
        PeerMessage::Propose { .. } | PeerMessage::Store { .. } => false,
    };
    group.messages.iter().filter(wanted).count()
}

#[test]
fn a_single_member_answers_once_its_own_disk_has_the_write() {
    let mut group = Group::led(1);
    let token = group.ask(0, put("a", "1"));
    assert!(!group.replies.contains_key(&token));
    group.sync(0);
    assert_eq!(group.answer(token).expect("committed").body.revision(), Revision(2));
}

#[test]
fn a_candidate_asks_for_votes_once_its_own_is_durable() {
    let mut group = Group::new(3);
    group.campaign(0);
    assert_eq!(sent(&group, |body| matches!(body, Body::RequestVote { .. })), 0);
    group.sync(0);
    assert_eq!(sent(&group, |body| matches!(body, Body::RequestVote { .. })), 2);
}

#[test]
fn a_follower_acknowledges_once_its_disk_has_the_entry() {
    let mut group = Group::led(3);
    group.ask(0, put("a", "1"));
    let accepted = |body: &Body| matches!(body, Body::AppendReply(AppendOutcome::Accepted { matched }) if *matched == LogIndex(3));
    while let Some(message) = group.messages.pop_front() {
        group.deliver(message);
    }
    assert_eq!(sent(&group, accepted), 0, "received, not written");
    group.sync(1);
    assert_eq!(sent(&group, accepted), 1);
}

#[test]
fn writes_that_gather_behind_a_sync_share_the_next_one() {
    let mut group = Group::led(1);
    let tokens: Vec<_> = (0..10).map(|_| group.ask(0, put("a", "1"))).collect();
    group.sync(0);
    assert_eq!(group.replies.len(), 1, "the first went alone");
    group.sync(0);
    assert_eq!(group.replies.len(), 10, "the other nine went together");
    let revisions: Vec<_> = tokens
        .into_iter()
        .map(|token| group.answer(token).expect("committed").body.revision().0)
        .collect();
    assert_eq!(revisions, (2..12).collect::<Vec<_>>());
}

#[test]
fn the_term_in_an_answer_is_on_the_disk() {
    let mut group = Group::led(3);
    // The member hears of a later term and has not written it yet.
    group.campaign(1);
    group.sync(1);
    while let Some(message) = group.messages.pop_front() {
        group.deliver(message);
    }
    group.sync(2);
    group.fire(0, Timer::Heartbeat);
    while let Some(message) = group.messages.pop_front() {
        group.deliver(message);
    }
    assert!(group.members[0].view().term > group.members[0].view().durable.term);
    let token = group.ask(0, super::group::get_serializable("a"));
    let answered = group.answer(token).expect("from its own state").term;
    assert_eq!(answered, group.members[0].view().durable.term);
    assert_ne!(group.members[0].view().role, Role::Leader);
}

#[test]
fn damage_that_only_an_answer_would_tell_holds_nobody_up_who_has_none_to_give() {
    let mut group = Group::with(3, |config| config.snapshot_every = 5);
    group.campaign(0);
    group.settle();
    group.write(["b", "a", "a", "a", "a", "a", "a", "a"].map(|key| put(key, "1")));
    group.beat(0);
    group.power_loss(2);
    group.rot(2, &[".data"]);
    group.beat(0);
    let Request::Put(again) = put("b", "2") else { unreachable!("it is a put") };
    group.write([Request::Put(PutRequest { prev_kv: true, ..again })]);
    group.beat(0);
    assert_eq!(group.members[2].applied(), group.members[0].applied());
    assert_eq!(group.members[2].damage().count(), 0, "it was not even met");
    assert_eq!(group.members[2].store().digest(), group.members[0].store().digest());
}
