//! Linearizable reads without a log entry (dissertation 6.4).

use super::group::{Group, N1, N2, N3, from, is_heartbeat, to};
use crate::{Body, LogIndex, Message, Options, ReadId, Role, Term};

fn is_reply(message: &Message) -> bool {
    matches!(message.body, Body::HeartbeatReply { .. })
}

#[test]
fn a_leader_answers_with_its_commit_index_once_a_majority_confirms() {
    let mut group = Group::with_leader(5, Options::default());
    let read = group.read(N1);
    group.deliver_where(to(N2));
    group.deliver_where(from(N2));
    assert_eq!(group.answer(N1, read), None, "two of five");
    group.deliver_where(to(N3));
    group.deliver_where(from(N3));
    assert_eq!(group.answer(N1, read), Some(LogIndex(1)));
}

#[test]
fn a_heartbeat_sent_before_the_request_does_not_confirm_it() {
    let mut group = Group::with_leader(3, Options::default());
    let first = group.read(N1);
    let early = group.take_where(is_heartbeat);
    let second = group.read(N1);
    group.take_where(is_heartbeat);
    for message in early {
        group.deliver(message);
    }
    group.deliver_where(to(N1));
    assert_eq!(group.answer(N1, first), Some(LogIndex(1)));
    assert_eq!(group.answer(N1, second), None, "whoever answered may have followed another since");
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.answer(N1, second), Some(LogIndex(1)), "the next heartbeat carries the round");
}

#[test]
fn one_follower_that_answers_twice_is_no_majority() {
    let mut group = Group::with_leader(5, Options::default());
    let read = group.read(N1);
    group.deliver_where(to(N2));
    let reply = group.take_where(from(N2)).remove(0);
    for _ in 0..4 {
        group.deliver(reply.clone());
    }
    assert_eq!(group.answer(N1, read), None);
}

#[test]
fn a_read_waits_until_the_leader_has_committed_in_its_term() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.settle();
    group.crash(N1, 0);
    group.elect(N2, N3);
    assert_eq!(group.view(N2).role, Role::Leader);
    let read = group.read(N2);
    assert!(!group.network.iter().any(is_heartbeat), "it does not know yet what is committed");
    group.settle();
    assert_eq!(group.answer(N2, read), Some(LogIndex(3)), "its own empty entry");
}

#[test]
fn a_follower_reads_through_its_leader() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.settle();
    let read = group.read(N3);
    assert_eq!(group.answer(N3, read), None);
    group.settle();
    assert_eq!(group.answer(N3, read), Some(LogIndex(2)));
    assert_eq!(group.answer(N1, read), None, "the answer is for the one who asked");
}

#[test]
fn a_read_covers_what_was_committed_before_it_even_where_that_is_not_known_yet() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N3]);
    group.propose(N1, &[1]);
    group.settle();
    group.heal();
    assert_eq!(group.view(N3).commit, LogIndex(1));
    let read = group.read(N3);
    group.settle();
    assert_eq!(group.answer(N3, read), Some(LogIndex(2)));
}

#[test]
fn a_deposed_leader_answers_no_read() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N1]);
    group.campaign(N2);
    group.settle();
    group.propose(N2, &[1]);
    group.settle();
    let read = group.read(N1);
    assert_eq!(group.view(N1).role, Role::Leader, "as it thinks");
    group.heal();
    group.settle();
    assert_eq!(group.view(N1).role, Role::Follower);
    assert_eq!(group.answer(N1, read), None);
}

#[test]
fn a_leader_that_leads_again_does_not_answer_the_reads_of_its_earlier_term() {
    let mut group = Group::with_leader(3, Options::default());
    let read = group.read(N1);
    group.network.clear();
    group.campaign(N2);
    group.settle();
    group.campaign(N1);
    group.settle();
    assert_eq!(group.leaders(), [N1]);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.answer(N1, read), None);
}

/// Found in review. Member 2, in term 2, answers a heartbeat of term 1 only to tell its leader of
/// term 2. That leader may meet the answer as the leader of term 2 itself, after a restart, where
/// rounds begin anew: it must not pass for a confirmation.
#[test]
fn an_answer_to_an_earlier_terms_heartbeat_confirms_nothing() {
    let mut group = Group::with_leader(3, Options::default());
    group.read(N1);
    let heartbeat = group.take_where(|message| message.to == N2).remove(0);
    group.network.clear();
    group.campaign(N2);
    group.persist(N2);
    group.network.clear();
    group.deliver(heartbeat);
    let late = group.take_only();
    assert_eq!((late.term, late.to), (Term(2), N1));

    group.crash(N1, 0);
    group.restart(N1);
    // 2 would tell it that term 2 has begun, but 3 does not know.
    group.pre_campaign(N1);
    group.take_where(to(N2));
    group.settle();
    assert_eq!((group.leaders(), group.view(N1).term), (vec![N1], Term(2)));
    group.isolate(&[N1]);
    group.campaign(N2);
    group.settle();
    group.propose(N2, &[1]);
    group.settle();
    assert_eq!(group.view(N2).commit, LogIndex(4));

    let read = group.read(N1);
    group.deliver(late);
    assert_eq!(group.answer(N1, read), None, "2 and 3 have committed more under another leader");
}

#[test]
fn a_read_without_a_leader_is_dropped() {
    let mut group = Group::new(3);
    let read = group.read(N1);
    assert_eq!(group.node(N1).dropped_reads, [read]);
    group.campaign(N1);
    let read = group.read(N1);
    assert_eq!(group.node(N1).dropped_reads.last(), Some(&read), "a candidate has none either");
}

#[test]
fn who_does_not_lead_is_silent_when_asked() {
    let mut group = Group::with_leader(3, Options::default());
    let body = Body::ReadIndex { id: ReadId(99) };
    group.deliver(Message { from: N3, to: N2, term: Term(1), body });
    assert_eq!(group.network, []);
}

#[test]
fn a_single_member_reads_by_itself_once_it_has_committed() {
    let mut group = Group::new(1);
    group.campaign(N1);
    group.write_one(N1);
    group.complete_one(N1);
    let early = group.read(N1);
    assert_eq!(group.answer(N1, early), None, "its empty entry is not durable");
    group.persist(N1);
    assert_eq!(group.answer(N1, early), Some(LogIndex(1)));
    let read = group.read(N1);
    assert_eq!(group.answer(N1, read), Some(LogIndex(1)), "it is its own majority");
}

#[test]
fn lost_confirmations_are_asked_for_again_by_the_next_heartbeat() {
    let mut group = Group::with_leader(3, Options::default());
    let read = group.read(N1);
    group.deliver_where(is_heartbeat);
    assert_eq!(group.take_where(is_reply).len(), 2);
    assert_eq!(group.answer(N1, read), None);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.answer(N1, read), Some(LogIndex(1)));
}
