//! Leadership handed over on purpose (dissertation 3.10).

use super::group::{Group, N1, N2, N3, N4, from, is_append, to};
use crate::{
    Body, Change, DropReason, Event, Message, NodeId, Options, Role, Term, TimerKind, Transition,
};

fn is_timeout_now(message: &Message) -> bool {
    message.body == Body::TimeoutNow
}

fn transfer(group: &mut Group, to: NodeId) {
    group.event(N1, Event::Transfer { to });
}

#[test]
fn the_successor_leads_though_all_hear_their_leader() {
    let mut group = Group::with_leader(3, Options::default());
    transfer(&mut group, N3);
    assert_eq!(group.view(N1).transfer, Some(N3));
    group.settle();
    assert_eq!((group.leaders(), group.view(N3).term), (vec![N3], Term(2)));
    assert_eq!(group.view(N1).leader, Some(N3));
}

#[test]
fn the_successor_is_brought_up_to_date_first() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[5]);
    let lost = group.take_where(|message| is_append(message) && message.to == N3);
    assert_eq!(lost.len(), 1);
    transfer(&mut group, N3);
    assert!(!group.network.iter().any(is_timeout_now), "it lacks an entry");
    group.propose(N1, &[6]);
    assert_eq!(group.node(N1).dropped_proposals, [DropReason::Transferring]);
    group.settle();
    assert_eq!(group.leaders(), [N3]);
    assert_eq!(group.log_terms(N3), [1, 1, 2]);
}

#[test]
fn who_cannot_lead_is_not_asked() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.changed(N1, &[Change::AddLearner(N4)], Transition::Auto);
    for nobody in [N1, N4, NodeId(9)] {
        transfer(&mut group, nobody);
        assert_eq!(group.view(N1).transfer, None, "{nobody}");
    }
    group.event(N2, Event::Transfer { to: N3 });
    assert_eq!(group.network, [], "2 does not lead");
    // A learner that is asked nevertheless, since it was a voter just now.
    group.stand(N4, N1);
    assert_eq!(group.view(N4).role, Role::Follower);
    let before = group.raft(N1).clone();
    group.stand(N1, N2);
    assert_eq!(group.raft(N1), &before, "a leader does not stand");
}

#[test]
fn a_transfer_that_leads_nowhere_is_given_up() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N3]);
    group.propose(N1, &[5]);
    group.settle();
    transfer(&mut group, N3);
    for expected in [Some(N3), None] {
        group.heartbeat(N1);
        group.settle();
        group.fire(N1, TimerKind::Election);
        assert_eq!(group.view(N1).transfer, expected);
    }
    group.propose(N1, &[6]);
    assert_eq!(group.node(N1).dropped_proposals, []);
}

#[test]
fn another_successor_takes_the_place_of_the_first() {
    let mut group = Group::with_leader(3, Options::default());
    transfer(&mut group, N3);
    transfer(&mut group, N3);
    assert_eq!(group.take_where(is_timeout_now).len(), 1, "asked once");
    transfer(&mut group, N2);
    assert_eq!(group.view(N1).transfer, Some(N2));
    group.settle();
    assert_eq!(group.leaders(), [N2]);
}

#[test]
fn a_successor_that_is_removed_does_not_take_over() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.isolate(&[N3]);
    // The entry that leaves the joint configuration is appended by the leader itself, whatever it
    // is about to do.
    let swap = [Change::Remove(N3), Change::AddLearner(N2)];
    let joint = crate::MembershipChange { changes: swap.to_vec(), transition: Transition::Joint };
    group.change(N1, joint);
    group.persist(N1);
    transfer(&mut group, N3);
    assert_eq!(group.view(N1).transfer, Some(N3));
    group.settle();
    assert_eq!(group.view(N1).configuration.voters, [N1]);
    assert_eq!(group.view(N1).transfer, None);
    group.heal();
    group.settle();
    assert_eq!(group.leaders(), [N1]);
}

#[test]
fn a_late_request_to_stand_is_of_no_consequence() {
    let mut group = Group::with_leader(3, Options::default());
    transfer(&mut group, N3);
    let late = group.take_where(is_timeout_now);
    group.campaign(N2);
    group.settle();
    assert_eq!((group.leaders(), group.view(N3).term), (vec![N2], Term(2)));
    let before = group.raft(N3).clone();
    for message in late {
        group.deliver(message);
    }
    assert_eq!(group.raft(N3), &before, "it is one of term 1");
}

/// Of two elections in the next term, one of them asked for, only one is won.
#[test]
fn a_late_request_in_the_same_term_does_not_divide_it() {
    let mut group = Group::with_leader(3, Options::default());
    transfer(&mut group, N3);
    let late = group.take_where(is_timeout_now).remove(0);
    group.crash(N1, 0);
    group.restart(N1);
    group.isolate(&[N3]);
    group.campaign(N2);
    group.settle();
    assert_eq!((group.leaders(), group.view(N2).term), (vec![N2], Term(2)));
    group.deliver(late);
    group.persist(N3);
    assert_eq!((group.view(N3).role, group.view(N3).term), (Role::Candidate, Term(2)));
    group.heal();
    group.settle();
    assert_eq!(group.leaders(), [N2]);
    group.heartbeat(N2);
    group.settle();
    assert_eq!(group.view(N3).leader, Some(N2));
}

#[test]
fn who_was_asked_to_stand_says_so() {
    let mut group = Group::with_leader(3, Options::default());
    transfer(&mut group, N3);
    group.deliver_where(to(N3));
    group.persist(N3);
    let requests = group.take_where(from(N3));
    assert_eq!(requests.len(), 2);
    for message in requests {
        assert!(matches!(message.body, Body::RequestVote { transfer: true, .. }), "{message:?}");
    }
}
