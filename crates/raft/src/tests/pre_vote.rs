//! Elections asked for beforehand, leaders without a quorum, and the ways in which the two could
//! keep each other from ever electing anybody (dissertation 4.2.3, 6.2, 9.6).

use super::disk::Disk;
use super::group::{ELECTION, Group, N1, N2, N3, N4, N5, from, to};
use crate::{Body, Message, NodeId, Options, Role, Term, TimerKind};

fn is_pre_vote(message: &Message) -> bool {
    matches!(message.body, Body::PreVote { .. })
}

fn pre_vote_reply(message: &Message) -> Option<bool> {
    match message.body {
        Body::PreVoteReply { granted, .. } => Some(granted),
        _ => None,
    }
}

/// Time runs out for this member alone, `times` times, and what it says is delivered.
fn alone_with_its_timers(group: &mut Group, id: NodeId, times: usize) {
    for _ in 0..times {
        group.fire(id, TimerKind::Election);
        group.fire(id, TimerKind::Jitter);
        group.settle();
    }
}

/// Lets timers fire in turn until somebody leads, for at most so many election timeouts.
fn must_elect(group: &mut Group, timeouts: u64) -> NodeId {
    for round in 0..timeouts {
        group.silence();
        let ids = group.ids();
        let first = ids[(round % ids.len() as u64) as usize];
        group.fire(first, TimerKind::Jitter);
        group.settle();
        for leader in group.leaders() {
            group.heartbeat(leader);
        }
        group.settle();
        if let [leader] = group.leaders()[..] {
            return leader;
        }
    }
    panic!("nobody leads after {timeouts} election timeouts");
}

#[test]
fn who_asks_changes_nothing_at_anybody() {
    let mut group = Group::new(3);
    group.silence();
    let before = (group.raft(N2).clone(), group.raft(N3).clone());
    group.fire(N1, TimerKind::Jitter);
    assert_eq!((group.view(N1).role, group.view(N1).term), (Role::PreCandidate, Term(0)));
    assert_eq!(group.pending_writes(N1), 0, "nothing to remember");
    group.deliver_where(is_pre_vote);
    assert_eq!((group.raft(N2), group.raft(N3)), (&before.0, &before.1));
    assert_eq!(group.network.iter().filter_map(pre_vote_reply).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn who_hears_its_leader_encourages_nobody() {
    let mut group = Group::with_leader(3, Options::default());
    group.fire(N3, TimerKind::Election);
    group.fire(N3, TimerKind::Jitter);
    group.deliver_where(is_pre_vote);
    let answers: Vec<_> = group.network.iter().filter_map(pre_vote_reply).collect();
    assert_eq!(answers, [false, false], "neither the leader nor its follower");
    group.settle();
    assert_eq!((group.view(N3).role, group.view(N3).term), (Role::Follower, Term(1)));
}

#[test]
fn an_election_that_would_be_lost_is_not_held() {
    let logs: [&[u64]; 3] = [&[1], &[1, 1], &[1, 1]];
    let disks = logs.map(|log| Disk::with_log(1, log)).to_vec();
    let mut group = Group::from_disks(disks, Options::default());
    group.campaign(N1);
    group.settle();
    assert_eq!((group.view(N1).role, group.view(N1).term), (Role::Follower, Term(1)));
}

#[test]
fn an_answer_to_another_campaign_does_not_count() {
    let mut group = Group::new(3);
    group.pre_campaign(N1);
    group.deliver_where(is_pre_vote);
    let late = group.take_where(|message| pre_vote_reply(message).is_some());
    // It learns of a later term, in which those answers mean nothing.
    let body = Body::PreVoteReply { campaign: Term(1), granted: false };
    group.deliver(Message { from: N3, to: N1, term: Term(4), body });
    group.pre_campaign(N1);
    for message in late {
        group.deliver(message);
    }
    assert_eq!((group.view(N1).role, group.view(N1).term), (Role::PreCandidate, Term(4)));
}

#[test]
fn an_old_jitter_timer_is_passed_over() {
    let mut group = Group::with_leader(3, Options::default());
    group.fire(N2, TimerKind::Election);
    group.heartbeat(N1);
    group.settle();
    group.fire(N2, TimerKind::Jitter);
    assert_eq!(group.view(N2).role, Role::Follower, "it has heard its leader since");
    assert_eq!(group.network, []);
}

#[test]
fn a_leader_that_no_quorum_answers_steps_down() {
    let mut group = Group::with_leader(5, Options::default());
    group.isolate(&[N3, N4, N5]);
    for _ in 0..2 {
        assert_eq!(group.view(N1).role, Role::Leader);
        group.heartbeat(N1);
        group.settle();
        group.fire(N1, TimerKind::Election);
    }
    assert_eq!(group.view(N1).role, Role::Follower, "at the second look: the first saw answers");
    assert_eq!((group.view(N1).term, group.view(N1).leader), (Term(1), None));
}

#[test]
fn a_leader_that_a_quorum_answers_stays() {
    let mut group = Group::with_leader(5, Options::default());
    group.isolate(&[N4, N5]);
    for _ in 0..5 {
        group.heartbeat(N1);
        group.settle();
        group.fire(N1, TimerKind::Election);
    }
    assert_eq!(group.leaders(), [N1]);
    let mut alone = Group::with_leader(1, Options::default());
    alone.fire(N1, TimerKind::Election);
    alone.fire(N1, TimerKind::Election);
    assert_eq!(alone.leaders(), [N1], "its own quorum");
}

#[test]
fn a_member_that_was_cut_off_returns_without_a_new_election() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N3]);
    alone_with_its_timers(&mut group, N3, 5);
    assert_eq!(group.view(N3).term, Term(1), "it could not ask anybody");
    group.heal();
    alone_with_its_timers(&mut group, N3, 1);
    group.heartbeat(N1);
    group.settle();
    assert_eq!((group.leaders(), group.view(N1).term), (vec![N1], Term(1)));
    assert_eq!(group.view(N3).leader, Some(N1));
}

/// Its term is ahead, so that it takes nothing from the leader; and nobody answers its questions
/// as long as that leader leads. The leader has to learn of the term from its refusals.
#[test]
fn a_member_whose_term_is_ahead_is_heard_again() {
    for cut_off in [N2, N3] {
        let mut group = Group::with_leader(3, Options::default());
        group.isolate(&[cut_off]);
        group.stand(cut_off, N1);
        group.settle();
        assert_eq!(group.view(cut_off).term, Term(2));
        group.heal();
        group.heartbeat(N1);
        group.settle();
        assert_eq!(group.view(N1).role, Role::Follower);
        let leader = must_elect(&mut group, 4);
        assert_eq!(group.view(cut_off).leader, Some(leader));
        for id in group.ids() {
            assert_eq!(group.log(id), group.log(leader), "at {id}");
        }
    }
}

/// The one with the longest log cannot be reached. The others elect one of themselves, and it
/// gives up what nobody else has.
#[test]
fn a_longer_log_that_is_cut_off_stops_nobody() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N1]);
    group.propose(N1, &[10, 11, 12]);
    group.settle();
    group.crash(N1, 9);
    group.restart(N1);
    let leader = must_elect(&mut group, 4);
    group.propose(leader, &[20]);
    group.settle();
    alone_with_its_timers(&mut group, N1, 3);
    group.heal();
    let leader = must_elect(&mut group, 6);
    for id in group.ids() {
        assert_eq!(group.log(id), group.log(leader), "at {id}");
        assert!(group.log(id).iter().any(|entry| entry.size == 20), "at {id}");
    }
}

/// Its heartbeats arrive, the answers do not: it would keep the others from electing somebody
/// who gets something done.
#[test]
fn a_leader_that_hears_nobody_does_not_lead_for_ever() {
    let mut group = Group::with_leader(3, Options::default());
    for _ in 0..2 {
        group.heartbeat(N1);
        group.deliver_where(from(N1));
        group.take_where(to(N1));
        group.fire(N1, TimerKind::Election);
    }
    assert_eq!(group.view(N1).role, Role::Follower);
    group.isolate(&[N1]);
    assert_ne!(must_elect(&mut group, 4), N1);
}

/// It hears nothing and is heard by all. It asks again and again, and disturbs nobody.
#[test]
fn a_member_that_hears_nobody_deposes_nobody() {
    let mut group = Group::with_leader(3, Options::default());
    for _ in 0..5 {
        group.fire(N3, TimerKind::Election);
        group.fire(N3, TimerKind::Jitter);
        group.deliver_where(from(N3));
        group.heartbeat(N1);
        group.take_where(to(N3));
        group.settle();
    }
    assert_eq!((group.leaders(), group.view(N1).term), (vec![N1], Term(1)));
}

/// 1 and 3 do not hear each other; 2 hears both. Whoever leads, the third cannot take over as long
/// as 2 hears that leader.
#[test]
fn a_chain_of_three_keeps_its_leader() {
    let mut group = Group::with_leader(3, Options::default());
    let cut = |message: &Message| [(N1, N3), (N3, N1)].contains(&(message.from, message.to));
    for _ in 0..5 {
        group.fire(N3, TimerKind::Election);
        group.fire(N3, TimerKind::Jitter);
        group.heartbeat(N1);
        for _ in 0..3 {
            group.take_where(cut);
            group.deliver_where(|_| true);
        }
        group.fire(N1, TimerKind::Election);
    }
    assert_eq!((group.leaders(), group.view(N1).term), (vec![N1], Term(1)));
}

#[test]
fn among_equal_logs_the_highest_priority_leads() {
    let mut group = Group::new(3);
    for (id, priority) in [(N1, 1), (N2, 5), (N3, 1)] {
        group.node_mut(id).options.priority = priority;
        group.crash(id, 0);
        group.restart(id);
    }
    group.pre_campaign(N1);
    group.deliver_where(is_pre_vote);
    let answer = |group: &Group, voter: NodeId| {
        group.network.iter().find(|message| message.from == voter).and_then(pre_vote_reply)
    };
    assert_eq!(answer(&group, N2), Some(false), "it would rather lead itself");
    assert_eq!(answer(&group, N3), Some(true));
    group.network.clear();
    // Who has more is not held up.
    let logs: [&[u64]; 3] = [&[1, 1], &[1], &[1]];
    let mut group =
        Group::from_disks(logs.map(|log| Disk::with_log(1, log)).to_vec(), Options::default());
    group.node_mut(N2).options.priority = 5;
    group.crash(N2, 0);
    group.restart(N2);
    group.campaign(N1);
    group.settle();
    assert_eq!(group.leaders(), [N1]);
}

#[test]
fn a_priority_that_cannot_lead_does_not_stop_the_others() {
    let mut group = Group::new(3);
    group.node_mut(N3).options.priority = 9;
    group.crash(N3, 0);
    group.restart(N3);
    group.isolate(&[N3]);
    group.campaign(N1);
    group.settle();
    assert_eq!(group.leaders(), [N1]);
}

/// It hears the others, and they do not hear it. It insists on leading only until it has tried.
#[test]
fn a_priority_that_is_not_heard_does_not_stop_the_others_for_long() {
    let mut group = Group::new(2);
    group.node_mut(N2).options.priority = 9;
    group.crash(N2, 0);
    group.restart(N2);
    let leads = |group: &mut Group| {
        group.pre_campaign(N1);
        for _ in 0..6 {
            group.persist(N1);
            group.persist(N2);
            group.take_where(|message| message.from == N2 && is_pre_vote(message));
            group.deliver_where(|_| true);
        }
        group.view(N1).role == Role::Leader
    };
    assert!(!leads(&mut group), "2 would rather lead itself");
    group.pre_campaign(N2);
    assert!(leads(&mut group), "it has tried");
}

#[test]
fn who_votes_for_another_no_longer_asks_for_itself() {
    let mut group = Group::new(3);
    group.pre_campaign(N2);
    assert_eq!(group.view(N2).role, Role::PreCandidate);
    group.network.clear();
    group.fire(N1, TimerKind::Jitter);
    group.settle();
    assert_eq!(group.leaders(), [N1]);
    assert_eq!(group.view(N2).vote, Some(N1));
}

#[test]
fn a_forgotten_leader_may_be_replaced_at_once() {
    let mut group = Group::with_leader(3, Options::default());
    group.crash(N1, 0);
    for id in [N2, N3] {
        group.event(id, crate::Event::ForgetLeader);
        assert_eq!(group.view(id).leader, None);
    }
    // Only 2 waits for its own timers.
    group.fire(N2, TimerKind::Election);
    group.fire(N2, TimerKind::Jitter);
    group.settle();
    assert_eq!(group.leaders(), [N2]);
}

#[test]
fn timers_that_keep_running_are_enough_to_elect_somebody() {
    let mut group = Group::new(5);
    assert!(group.node(N1).running.contains_key(&TimerKind::Election), "from the start");
    group.now += ELECTION;
    let leader = must_elect(&mut group, 2);
    assert_eq!(leader, N1);
    let ids = group.ids();
    for id in ids {
        let running = &group.node(id).running;
        assert!(running.contains_key(&TimerKind::Election), "at {id}: {running:?}");
    }
}
