//! Who belongs to the cluster, who leads it, and for how long it is sure of that.

use quorate_mvcc::Revision;
use quorate_raft::{Body, Change, ChangeError, MembershipChange, NodeId, Role, Transition};

use super::group::{Group, get, put, value};
use crate::{Error, PeerMessage, Request, RequestToken, ResponseBody, Timer};

fn change(group: &mut Group, changes: &[Change]) -> RequestToken {
    let change = MembershipChange { changes: changes.to_vec(), transition: Transition::Auto };
    group.ask(0, Request::ChangeMembers(change))
}

fn configuration(group: &mut Group, token: RequestToken) -> String {
    match group.answer(token).expect("it is committed").body {
        ResponseBody::Members { configuration, .. } => configuration.to_string(),
        other => panic!("an answer to another request: {other:?}"),
    }
}

#[test]
fn a_member_joins_as_a_learner_and_is_promoted() {
    let mut group = Group::led(1);
    for _ in 0..3 {
        group.ask(0, put("a", "1"));
    }
    group.settle();
    let joining = group.join();
    assert!(group.members[joining].view().configuration.is_empty());
    let token = change(&mut group, &[Change::AddLearner(NodeId(2))]);
    group.settle();
    assert_eq!(configuration(&mut group, token), "1 + 2");
    group.beat(0);
    assert_eq!(group.members[1].store().revision(), Revision(4));
    let token = change(&mut group, &[Change::AddVoter(NodeId(2))]);
    group.settle();
    assert_eq!(configuration(&mut group, token), "1 2");
    let read = group.ask(1, get("a"));
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
}

#[test]
fn several_members_change_at_once() {
    let mut group = Group::led(3);
    group.join();
    group.join();
    let changes = [
        Change::AddVoter(NodeId(4)),
        Change::AddVoter(NodeId(5)),
        Change::Remove(NodeId(2)),
        Change::Remove(NodeId(3)),
    ];
    let token = change(&mut group, &changes);
    group.settle();
    assert_eq!(configuration(&mut group, token), "1 4 5 | 1 2 3 (leaves by itself)");
    group.beat(0);
    assert_eq!(group.members[3].view().configuration.to_string(), "1 4 5");
    for index in [1, 2] {
        group.power_loss(index);
    }
    let token = group.ask(4, put("a", "2"));
    group.settle();
    group.answer(token).expect("the new members are a majority");
}

#[test]
fn the_leader_leaves_somebody_in_its_place() {
    let mut group = Group::led(3);
    let token = change(&mut group, &[Change::Remove(NodeId(1))]);
    group.settle();
    assert_eq!(configuration(&mut group, token), "2 3");
    assert_eq!(group.members[0].view().role, Role::Follower);
    let leader = (1..3).find(|&index| group.members[index].view().role == Role::Leader);
    let token = group.ask(leader.expect("it was asked to stand"), put("a", "1"));
    group.settle();
    group.answer(token).expect("two of two");
}

#[test]
fn a_change_that_is_not_possible_is_refused_with_the_reason() {
    let mut group = Group::led(3);
    let refused = |group: &mut Group, token| group.answer(token).expect_err("it is refused");
    let token = change(&mut group, &[Change::AddVoter(NodeId(1))]);
    assert_eq!(refused(&mut group, token), Error::Change(ChangeError::Unchanged));
    let under_way = change(&mut group, &[Change::AddLearner(NodeId(9))]);
    let token = change(&mut group, &[Change::AddLearner(NodeId(8))]);
    assert!(matches!(refused(&mut group, token), Error::Change(ChangeError::Pending(_))));
    group.settle();
    assert_eq!(configuration(&mut group, under_way), "1 2 3 + 9");
    let elsewhere = Request::ChangeMembers(MembershipChange::single(Change::Remove(NodeId(9))));
    let token = group.ask(1, elsewhere);
    let error = refused(&mut group, token);
    assert_eq!(error, Error::NotLeader);
    assert_eq!(error.to_string(), "etcdserver: not leader");
}

#[test]
fn leadership_is_handed_over() {
    let mut group = Group::led(3);
    let token = group.ask(0, Request::TransferLeadership(NodeId(3)));
    group.settle();
    assert!(matches!(group.answer(token), Ok(answer) if answer.member == NodeId(1)));
    assert_eq!(group.members[2].view().role, Role::Leader);
    let token = group.ask(2, Request::TransferLeadership(NodeId(7)));
    assert_eq!(group.answer(token).unwrap_err(), Error::BadTransferee);
    // One that cannot be reached: the leader gives up, and tells whoever waits.
    let token = group.ask(2, Request::TransferLeadership(NodeId(2)));
    group.messages.clear();
    let write = group.ask(2, put("a", "1"));
    assert_eq!(group.answer(write).unwrap_err(), Error::NoLeader, "meanwhile it takes nothing");
    group.now.0 += 60_000_000_000;
    group.fire(2, Timer::Housekeeping);
    assert_eq!(group.answer(token).unwrap_err(), Error::TransferTimedOut);
}

#[test]
fn a_leader_with_a_lease_answers_reads_alone() {
    let mut group = Group::with(3, |config| config.raft.lease_reads = true);
    group.campaign(0);
    group.settle();
    let token = group.ask(0, put("a", "1"));
    group.settle();
    group.answer(token).expect("committed");
    group.beat(0);
    assert!(group.members[0].holds_lease(group.now));
    let read = group.ask(0, get("a"));
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]), "at once");
    // The lease is shorter than the election timeout of a second.
    group.now.0 += 985_000_000;
    assert!(!group.members[0].holds_lease(group.now));
    let read = group.ask(0, get("a"));
    assert!(!group.replies.contains_key(&read), "it asks the others first");
    group.settle();
    group.answer(read).expect("they confirm it");
    // Whoever was asked to stand may be voted for by everybody.
    group.beat(0);
    group.ask(0, Request::TransferLeadership(NodeId(2)));
    let asked = |message: &PeerMessage| matches!(message, PeerMessage::Raft { message, .. } if message.body == Body::TimeoutNow);
    assert!(group.messages.iter().any(asked));
    assert!(!group.members[0].holds_lease(group.now));
}
