//! Reads: which state they are answered from.

use quorate_raft::{Body, Role};

use super::group::{Group, SECOND, get, get_serializable, put, value};
use crate::{Error, PeerMessage, Time, Timer};

#[test]
fn a_linearizable_read_at_a_follower_sees_what_was_acknowledged_before() {
    let mut group = Group::led(3);
    let write = group.ask(0, put("a", "1"));
    // Member 2 (of index 1) hears nothing of it.
    loop {
        if let Some(index) = [0, 2].into_iter().find(|index| !group.batches[*index].is_empty()) {
            group.sync(index);
            continue;
        }
        let Some(message) = group.messages.pop_front() else { break };
        let lost = matches!(&message, PeerMessage::Raft { message, .. } if message.to.0 == 2);
        if !lost {
            group.deliver(message);
        }
    }
    group.answer(write).expect("a majority has it");
    let stale = group.ask(1, get_serializable("a"));
    assert_eq!(value(group.answer(stale)), None, "a serializable read may be stale");
    let read = group.ask(1, get("a"));
    while let Some(message) = group.messages.pop_front() {
        group.deliver(message);
    }
    assert!(!group.replies.contains_key(&read), "it has to wait until the write is applied here");
    group.fire(0, Timer::Heartbeat);
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_leader_that_was_deposed_without_knowing_it_answers_no_linearizable_read() {
    let mut group = Group::led(3);
    group.ask(0, put("a", "old"));
    group.settle();
    // Member 1 (of index 0) is cut off; the others elect another leader and write.
    group.campaign(1);
    loop {
        if let Some(index) = [1, 2].into_iter().find(|index| !group.batches[*index].is_empty()) {
            group.sync(index);
            continue;
        }
        let Some(message) = group.messages.pop_front() else { break };
        let cut = matches!(&message, PeerMessage::Raft { message, .. } if message.to.0 == 1 || message.from.0 == 1);
        if !cut {
            group.deliver(message);
        }
    }
    assert_eq!(group.members[1].view().role, Role::Leader);
    assert_eq!(group.members[0].view().role, Role::Leader, "it does not know");
    let read = group.ask(0, get("a"));
    assert!(!group.replies.contains_key(&read), "nobody has confirmed that it leads");
    group.settle();
    assert!(!group.replies.contains_key(&read), "and nobody will");
    assert_eq!(group.members[0].view().role, Role::Follower);
    // It asks again, as a follower.
    group.fire(1, Timer::Heartbeat);
    group.settle();
    group.now = Time(group.now.0 + SECOND);
    group.fire(0, Timer::Housekeeping);
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"old"[..]));
}

#[test]
fn an_answer_to_an_earlier_read_index_is_not_taken_for_a_later_one() {
    let mut group = Group::led(3);
    let read = group.ask(1, get("a"));
    // The leader's answer is delayed, and the member asks again.
    group.deliver_until_read_index_reply();
    let late = group.messages.pop_back().expect("the answer to the first request");
    group.now = Time(group.now.0 + SECOND);
    group.fire(1, Timer::Housekeeping);
    group.messages.clear();
    group.deliver(late);
    assert!(!group.replies.contains_key(&read), "the first request is no longer under way");
    group.now = Time(group.now.0 + SECOND);
    group.fire(1, Timer::Housekeeping);
    group.settle();
    assert_eq!(value(group.answer(read)), None);
}

#[test]
fn a_clock_that_is_set_back_delays_neither_a_repetition_nor_a_time_out() {
    let mut group = Group::led(3);
    let read = group.ask(1, get("a"));
    group.messages.clear();
    group.now = Time(group.now.0 / 2);
    group.fire(1, Timer::Housekeeping);
    assert!(group.messages.is_empty(), "it is too early to ask again");
    group.now = Time(group.now.0 + SECOND);
    group.fire(1, Timer::Housekeeping);
    group.settle();
    assert_eq!(value(group.answer(read)), None, "it was asked for again");
    let write = group.ask(1, put("a", "1"));
    group.messages.clear();
    group.now = Time(0);
    group.fire(1, Timer::Housekeeping);
    group.now = Time(8 * SECOND);
    group.fire(1, Timer::Housekeeping);
    assert_eq!(group.answer(write), Err(Error::TimedOut));
}

#[test]
fn reads_that_arrive_while_one_is_confirmed_share_the_next_confirmation() {
    let mut group = Group::led(3);
    let first = group.ask(1, get("a"));
    let others: Vec<_> = (0..20).map(|_| group.ask(1, get("a"))).collect();
    let requests = |group: &Group| {
        let is_request = |message: &&PeerMessage| matches!(message, PeerMessage::Raft { message, .. } if matches!(message.body, Body::ReadIndex { .. }));
        group.messages.iter().filter(is_request).count()
    };
    assert_eq!(requests(&group), 1);
    group.deliver_until_read_index_reply();
    let reply = group.messages.pop_back().expect("the answer");
    group.deliver(reply);
    assert!(group.replies.contains_key(&first));
    assert_eq!(requests(&group), 1, "one more for all twenty");
    group.settle();
    assert!(others.iter().all(|token| group.replies.contains_key(token)));
}

#[test]
fn a_restarted_member_answers_serializable_reads_once_it_has_caught_up() {
    let mut group = Group::led(3);
    group.ask(0, put("a", "1"));
    group.settle();
    group.power_loss(1);
    group.messages.clear();
    let read = group.ask(1, get_serializable("a"));
    assert!(!group.replies.contains_key(&read), "it may have shown more than it has applied now");
    group.fire(0, Timer::Heartbeat);
    group.settle();
    group.now = Time(group.now.0 + SECOND);
    group.fire(1, Timer::Housekeeping);
    group.settle();
    assert_eq!(value(group.answer(read)).as_deref(), Some(&b"1"[..]));
    assert!(group.members[1].is_caught_up());
}

impl Group {
    /// Delivers until the leader's answer to a follower's read index is the last message under way.
    fn deliver_until_read_index_reply(&mut self) {
        let is_reply = |message: &PeerMessage| matches!(message, PeerMessage::Raft { message, .. } if matches!(message.body, Body::ReadIndexReply { .. }));
        while !self.messages.back().is_some_and(is_reply) {
            let message = self.messages.pop_front().expect("the answer comes");
            self.deliver(message);
        }
    }
}
