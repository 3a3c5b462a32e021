//! Reads that nobody is asked for, and the promises on which they rest (dissertation 6.4).

use super::group::{ELECTION, Group, LEASE, N1, N2, N3, from, is_heartbeat, to};
use crate::{
    Body, Change, Event, LogIndex, Message, Options, ReadId, Round, Term, TimerKind, Transition,
};

fn leases() -> Options {
    Options { lease_reads: true, ..Options::default() }
}

/// A group whose leader, 1, has just had a round of heartbeats confirmed by all.
fn with_lease() -> Group {
    let mut group = Group::with_leader(3, leases());
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.lease(N1), Some(Round { term: Term(1), number: 1 }));
    group
}

/// Asks for a read as a driver whose clock vouches for `round`.
fn read_with(group: &mut Group, round: Round) -> Option<LogIndex> {
    let id = ReadId(77);
    group.node_mut(N1).answered.clear();
    group.event(N1, Event::LeaseRead { id, round });
    group.answer(N1, id)
}

#[test]
fn a_lease_answers_without_asking_anybody() {
    let mut group = with_lease();
    let read = group.lease_read(N1);
    assert_eq!(group.answer(N1, read), Some(LogIndex(1)));
    assert_eq!(group.network, []);
    group.now += LEASE;
    assert_eq!(group.lease(N1), None, "it is the driver who knows when it is over");
    let read = group.lease_read(N1);
    assert_eq!(group.answer(N1, read), None);
    assert!(group.network.iter().all(is_heartbeat), "then it is a read like any other");
    group.settle();
    assert_eq!(group.answer(N1, read), Some(LogIndex(1)));
}

#[test]
fn a_lease_begins_when_its_round_does() {
    let mut group = with_lease();
    group.now += 500;
    group.heartbeat(N1);
    group.deliver_where(is_heartbeat);
    group.now += LEASE - 1;
    group.settle();
    assert!(group.lease(N1).is_some(), "confirmed just in time");
    group.now += 1;
    assert_eq!(group.lease(N1), None, "not a lease's length after the confirmation");
}

#[test]
fn rounds_are_reported_only_where_leases_are_in_use() {
    let mut group = Group::with_leader(3, Options::default());
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N1).confirmed, None);
    let round = Round { term: Term(1), number: 1 };
    assert_eq!(read_with(&mut group, round), None, "it is an ordinary read");
    assert!(group.network.iter().any(is_heartbeat));
}

#[test]
fn a_round_that_no_quorum_confirmed_is_no_lease() {
    let mut group = with_lease();
    group.heartbeat(N1);
    let begun = Round { term: Term(1), number: 2 };
    assert_eq!(read_with(&mut group, begun), None);
    assert_eq!(read_with(&mut group, Round { term: Term(1), number: 0 }), None, "nor is none");
    group.settle();
    assert_eq!(read_with(&mut group, begun), Some(LogIndex(1)));
}

#[test]
fn a_round_of_an_earlier_term_is_no_lease() {
    let mut group = with_lease();
    group.campaign(N2);
    group.settle();
    group.campaign(N1);
    group.settle();
    assert_eq!((group.leaders(), group.view(N1).term), (vec![N1], Term(3)));
    group.heartbeat(N1);
    group.settle();
    let of = |term| Round { term: Term(term), number: 1 };
    assert_eq!(read_with(&mut group, of(1)), None);
    assert_eq!(read_with(&mut group, of(3)), Some(LogIndex(3)));
}

#[test]
fn a_new_leader_has_no_lease_before_it_has_committed_something_of_its_own() {
    let mut group = Group::with_leader(3, leases());
    group.propose(N1, &[5]);
    group.settle();
    group.crash(N1, 0);
    group.elect(N2, N3);
    group.heartbeat(N2);
    group.deliver_where(|message| is_heartbeat(message) && message.to == N3);
    group.deliver_where(|message| matches!(message.body, Body::HeartbeatReply { .. }));
    assert!(group.lease(N2).is_some(), "a quorum has confirmed it");
    let read = group.lease_read(N2);
    assert_eq!(group.view(N2).log.term(group.view(N2).commit), Some(Term(1)));
    assert_eq!(group.answer(N2, read), None, "it does not know what is committed");
    group.settle();
    group.heartbeat(N2);
    group.settle();
    assert_eq!(group.answer(N2, read), Some(LogIndex(3)));
}

#[test]
fn whoever_asked_somebody_to_stand_has_no_lease_left_in_its_term() {
    let mut group = with_lease();
    group.event(N1, Event::Transfer { to: N2 });
    group.network.clear();
    let round = Round { term: Term(1), number: 1 };
    assert_eq!(read_with(&mut group, round), None);
    // Given up, and a later round confirmed: the question may still be under way.
    for _ in 0..2 {
        group.heartbeat(N1);
        group.settle();
        group.fire(N1, TimerKind::Election);
    }
    assert_eq!(group.view(N1).transfer, None);
    group.heartbeat(N1);
    group.settle();
    let round = group.lease(N1).expect("a round was confirmed");
    assert_eq!(read_with(&mut group, round), None);
    assert!(group.view(N1).lease_forfeited);
}

#[test]
fn a_transfer_that_has_to_wait_for_its_successor_leaves_the_lease() {
    let mut group = with_lease();
    group.isolate(&[N2]);
    group.propose(N1, &[5]);
    group.settle();
    group.event(N1, Event::Transfer { to: N2 });
    assert_eq!(group.view(N1).transfer, Some(N2));
    let round = Round { term: Term(1), number: 1 };
    assert_eq!(read_with(&mut group, round), Some(LogIndex(2)), "nobody was asked to stand yet");
}

/// 3 stands: it has not heard its leader for an election timeout. 2 has, and says no.
#[test]
fn a_promise_survives_a_restart() {
    let mut group = with_lease();
    group.crash(N2, 0);
    group.restart(N2);
    for kind in [TimerKind::Election, TimerKind::Jitter] {
        group.fire(N3, kind);
    }
    group.settle();
    assert_eq!(group.leaders(), [N1]);
    group.isolate(&[N1]);
    group.stand_by_itself(N3);
    group.settle();
    assert_eq!(group.leaders(), [N1], "not even a vote");
    assert_eq!(group.view(N2).vote, Some(N1), "of term 1");
    group.fire(N2, TimerKind::Election);
    group.fire(N3, TimerKind::Jitter);
    group.settle();
    group.fire(N3, TimerKind::Election);
    group.fire(N3, TimerKind::Jitter);
    group.settle();
    assert_eq!(group.leaders(), [N1, N3], "its own time is over");
}

#[test]
fn who_was_in_no_leaders_term_has_promised_nothing() {
    let mut group = Group::founded(3, 1, leases());
    for id in group.ids() {
        assert!(group.view(id).leader_silent, "{id} is new");
        group.crash(id, 0);
        group.restart(id);
        assert!(group.view(id).leader_silent, "{id} is as new as before");
    }
    group.campaign(N1);
    group.settle();
    for id in [N2, N3] {
        group.crash(id, 0);
        group.restart(id);
        assert!(!group.view(id).leader_silent, "{id} may have heard one");
    }
}

#[test]
fn a_promise_is_kept_in_a_later_term() {
    let mut group = with_lease();
    // 2 learns of term 5 from an answer that means nothing else to it.
    let body = Body::PreVoteReply { campaign: Term(6), granted: false };
    group.deliver(Message { from: N3, to: N2, term: Term(5), body });
    assert_eq!((group.view(N2).term, group.view(N2).leader), (Term(5), None));
    assert!(!group.view(N2).leader_silent);
    for (term, granted) in [(5, Some(false)), (6, None)] {
        let (last_index, last_term) = (LogIndex(9), Term(4));
        let body = Body::RequestVote { last_index, last_term, transfer: false };
        group.deliver(Message { from: N3, to: N2, term: Term(term), body });
        group.persist(N2);
        let answers = group.take_where(from(N2));
        let answer = answers.first().and_then(super::group::vote_reply);
        assert_eq!(answer, granted, "in term {term}: a later one is not even looked at");
    }
    assert_eq!(group.view(N2).term, Term(5));
}

#[test]
fn where_leases_are_in_use_nobody_forgets_its_leader() {
    let mut group = with_lease();
    group.event(N2, Event::ForgetLeader);
    assert_eq!(group.view(N2).leader, Some(N1));
    assert!(!group.view(N2).leader_silent);
}

/// Found in review: the timer fired before the heartbeat was handled, and its event comes after
/// it, before the driver could know that the timer starts anew.
#[test]
fn a_timer_that_fired_in_the_same_breath_as_a_heartbeat_takes_no_promise_back() {
    let mut group = with_lease();
    group.heartbeat(N1);
    group.gather(N2, 2);
    group.deliver_where(to(N2));
    group.event(N2, Event::Timer(TimerKind::Election));
    assert!(!group.view(N2).leader_silent);
    assert!(group.node(N2).running.contains_key(&TimerKind::Election), "it is set anew");
    group.now += ELECTION;
    group.fire(N2, TimerKind::Election);
    assert!(group.view(N2).leader_silent);
}

#[test]
fn a_lease_in_a_joint_configuration_needs_both_majorities() {
    let mut group = Group::founded_with_leader(3, 2, leases());
    let swap = [4, 5].map(|id| Change::AddVoter(crate::NodeId(id)));
    let swap = [swap[0], swap[1], Change::Remove(N2), Change::Remove(N3)];
    group.changed(N1, &swap, Transition::JointExplicit);
    assert!(group.lease(N1).is_some());
    group.now += LEASE;
    group.heartbeat(N1);
    let old: Vec<Message> = group.take_where(|message| message.to.0 <= 3);
    group.settle();
    assert_eq!(group.lease(N1), None, "4 and 5 are a majority of the new part alone");
    for message in old.into_iter().filter(|message| message.to == N2) {
        group.deliver(message);
    }
    group.settle();
    assert!(group.lease(N1).is_some());
}
