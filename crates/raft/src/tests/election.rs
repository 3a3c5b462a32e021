//! Who is elected, and what a vote is worth (§5.2, §5.4.1).

use super::disk::Disk;
use super::group::{Group, N1, N2, N3, N4, N5, from, to, vote_reply};
use crate::{Body, HardState, LogIndex, Options, Role, Term, TimerKind};

#[test]
fn a_leader_is_elected_and_all_follow_it() {
    for size in 1..=5 {
        let mut group = Group::new(size);
        assert!(group.leaders().is_empty());
        group.campaign(N1);
        group.settle();
        assert_eq!(group.leaders(), [N1], "of {size}");
        for id in group.ids() {
            let view = group.view(id);
            assert_eq!((view.term, view.leader), (Term(1), Some(N1)), "{id} of {size}");
            assert_eq!(view.vote, Some(N1), "{id} of {size}");
            assert_eq!(view.commit, LogIndex(1), "the empty entry, at {id} of {size}");
        }
    }
}

#[test]
fn timers_are_set_when_they_are_needed() {
    let mut group = Group::new(3);
    assert_eq!(group.node(N1).timers, [TimerKind::Election], "from the start");
    group.campaign(N1);
    let expected =
        [TimerKind::Election, TimerKind::Jitter, TimerKind::Election, TimerKind::Election];
    assert_eq!(group.node(N1).timers, expected, "who asks tries again, and so does who stands");
    assert_eq!(group.node(N2).timers, expected[..2], "the others wait for their chance");
    group.settle();
    assert_eq!(group.node(N1).timers.last(), Some(&TimerKind::Heartbeat), "a leader");
    let before = group.node(N2).timers.len();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N1).timers.last(), Some(&TimerKind::Heartbeat), "again and again");
    assert_eq!(group.node(N2).timers.len(), before + 1, "a heartbeat puts off the election");
    group.campaign(N2);
    group.settle();
    assert_eq!(group.node(N1).timers.last(), Some(&TimerKind::Election), "who is deposed");
}

#[test]
fn a_vote_is_held_back_until_it_is_durable() {
    // Whether the voter has to write the term as well, or knew it before.
    for known_term in [0, 1] {
        let disks = vec![Disk::default(), Disk::with_log(known_term, &[]), Disk::default()];
        let mut group = Group::from_disks(disks, Options::default());
        group.pre_campaign(N1);
        group.take_where(to(N2));
        group.deliver_where(to(N3));
        group.deliver_where(to(N1));
        assert_eq!(group.view(N1).role, Role::Candidate);
        assert!(group.network.is_empty(), "a candidate votes for itself before it asks");
        group.persist(N1);
        group.deliver_where(to(N2));
        assert_eq!(group.take_where(from(N2)), [], "the vote is not durable");
        group.persist(N2);
        let votes: Vec<_> = group.take_where(from(N2)).iter().map(vote_reply).collect();
        assert_eq!(votes, [Some(true)]);
    }
}

#[test]
fn the_own_vote_counts_only_once_durable() {
    let mut group = Group::new(3);
    group.campaign(N1);
    assert!(group.write_one(N1), "on disk, but the core has not heard of it");
    group.deliver_where(to(N2));
    group.persist(N2);
    group.deliver_where(to(N1));
    assert_eq!(group.view(N1).role, Role::Candidate, "one vote of three is known to be durable");
    group.persist(N1);
    assert_eq!(group.view(N1).role, Role::Leader);
}

#[test]
fn a_single_member_leads_once_its_vote_is_durable() {
    let mut group = Group::new(1);
    group.campaign(N1);
    assert_eq!(group.view(N1).role, Role::Candidate);
    group.persist(N1);
    assert_eq!(group.view(N1).role, Role::Leader);
    assert_eq!(group.view(N1).commit, LogIndex(1));
}

#[test]
fn one_vote_a_term_across_a_crash() {
    for durable in [true, false] {
        let mut group = Group::new(3);
        group.campaign(N1);
        group.persist(N1);
        group.deliver_where(to(N2));
        if durable {
            group.persist(N2);
        }
        group.crash(N2, 0);
        group.restart(N2);
        let first: Vec<_> = group.take_where(from(N2)).iter().map(vote_reply).collect();
        assert_eq!(first, if durable { vec![Some(true)] } else { vec![] });

        group.stand(N3, N1);
        group.persist(N3);
        group.deliver_where(to(N2));
        group.persist(N2);
        let second: Vec<_> = group.take_where(from(N2)).iter().map(vote_reply).collect();
        assert_eq!(second, [Some(!durable)], "a vote that nobody heard of may be given again");
    }
}

#[test]
fn the_same_candidate_gets_its_vote_again() {
    let mut group = Group::new(3);
    group.campaign(N1);
    group.persist(N1);
    let request = group.take_where(to(N2)).remove(0);
    for _ in 0..2 {
        group.deliver(request.clone());
        group.persist(N2);
        let votes: Vec<_> = group.take_where(from(N2)).iter().map(vote_reply).collect();
        assert_eq!(votes, [Some(true)]);
    }
    assert_eq!(group.pending_writes(N2), 0);
}

#[test]
fn a_vote_counts_once_however_often_it_arrives() {
    let mut group = Group::new(5);
    group.campaign(N1);
    group.persist(N1);
    group.deliver_where(to(N2));
    group.persist(N2);
    let vote = group.take_where(to(N1)).remove(0);
    for _ in 0..3 {
        group.deliver(vote.clone());
        group.persist(N1);
    }
    assert_eq!(group.view(N1).role, Role::Candidate, "two of five");
    group.deliver_where(to(N3));
    group.settle();
    assert_eq!(group.view(N1).role, Role::Leader);
}

#[test]
fn logs_are_compared_by_the_last_term_then_by_length() {
    // The voter's log, the candidate's log, whether it gets the vote.
    let cases: &[(&[u64], &[u64], bool)] = &[
        (&[], &[], true),
        (&[1], &[], false),
        (&[], &[1], true),
        (&[1, 1], &[1, 1], true),
        (&[1, 1], &[1], false),
        (&[1, 1], &[1, 1, 1], true),
        (&[1, 2], &[1, 1, 1, 1], false),
        (&[1, 1, 1, 1], &[1, 2], true),
        (&[1, 3], &[1, 2, 2], false),
    ];
    for &(voter, candidate, granted) in cases {
        let disks = vec![Disk::with_log(5, candidate), Disk::with_log(5, voter)];
        let mut group = Group::from_disks(disks, Options::default());
        group.pre_campaign(N1);
        group.deliver_where(to(N2));
        let would_be = group.take_only().body;
        let expected = Body::PreVoteReply { campaign: Term(6), granted };
        assert_eq!(would_be, expected, "{voter:?} is asked beforehand by {candidate:?}");
        group.stand(N1, N2);
        group.persist(N1);
        group.deliver_where(to(N2));
        group.persist(N2);
        let reply = group.take_only();
        assert_eq!(vote_reply(&reply), Some(granted), "{voter:?} is asked by {candidate:?}");
        assert_eq!(group.view(N2).term, Term(6), "who refuses has seen the term as well");
    }
}

#[test]
fn who_has_a_leader_gives_its_free_vote_to_nobody_else() {
    let mut group = Group::new(5);
    group.campaign(N1);
    group.campaign(N5);
    group.persist(N5);
    let late = group.take_where(|message| message.from == N5 && message.to == N2);
    group.take_where(from(N5));
    group.persist(N1);
    group.take_where(to(N2));
    group.settle();
    let view = group.view(N2);
    assert_eq!((view.leader, view.vote), (Some(N1), None), "it was elected without this vote");
    for message in late {
        group.deliver(message);
    }
    group.persist(N2);
    let votes: Vec<_> = group.take_where(from(N2)).iter().filter_map(vote_reply).collect();
    assert_eq!(votes, [false]);
}

#[test]
fn a_candidate_that_can_no_longer_win_gives_up() {
    let disks = vec![Disk::default(), Disk::with_log(1, &[1]), Disk::with_log(1, &[1])];
    let mut group = Group::from_disks(disks, Options::default());
    group.stand(N1, N2);
    group.stand(N1, N2);
    group.settle();
    let view = group.view(N1);
    assert_eq!((view.role, view.term, view.vote), (Role::Follower, Term(2), Some(N1)));
}

#[test]
fn a_candidate_yields_to_the_leader_of_its_term() {
    let mut group = Group::new(3);
    group.campaign(N1);
    group.campaign(N3);
    group.persist(N3);
    group.take_where(from(N3));
    group.settle();
    let view = group.view(N3);
    assert_eq!((view.role, view.leader, view.vote), (Role::Follower, Some(N1), Some(N3)));
}

#[test]
fn a_deposed_leader_steps_down() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N1]);
    group.campaign(N2);
    group.settle();
    assert_eq!(group.leaders(), [N1, N2], "the old one does not know");
    group.heal();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.leaders(), [N2]);
    assert_eq!(group.view(N1).term, Term(2));
    group.heartbeat(N1);
    assert_eq!(group.network, [], "who does not lead sends no heartbeats");
}

#[test]
fn a_candidate_of_an_older_term_learns_of_the_newer_one() {
    let disks = vec![Disk::default(), Disk::with_log(7, &[]), Disk::default()];
    let mut group = Group::from_disks(disks, Options::default());
    group.campaign(N1);
    group.persist(N1);
    group.deliver_where(to(N2));
    group.deliver_where(to(N1));
    let view = group.view(N1);
    assert_eq!((view.role, view.term, view.vote), (Role::Follower, Term(7), None));
}

#[test]
fn a_term_is_not_spoken_of_before_it_is_durable() {
    let mut group = Group::with_leader(3, Options::default());
    group.elect(N2, N3);
    group.persist(N2);
    group.take_where(|_| true);
    // 1 hears of term 2 in a heartbeat; its answer waits until that term is on its disk.
    group.heartbeat(N2);
    group.deliver_where(to(N1));
    assert_eq!(group.take_where(from(N1)), []);
    group.persist(N1);
    assert_eq!(group.take_where(from(N1)).len(), 1);
    assert_eq!(group.node(N1).disk.hard_state.term, Term(2));
}

#[test]
fn an_election_timeout_means_nothing_to_a_leader() {
    let mut group = Group::with_leader(5, Options::default());
    let before = group.raft(N1).clone();
    group.campaign(N1);
    assert_eq!(group.raft(N1), &before);
    assert_eq!(group.pending_writes(N1), 0);
}

#[test]
fn a_split_vote_is_settled_in_a_later_term() {
    let mut group = Group::new(4);
    group.campaign(N1);
    group.campaign(N2);
    group.persist(N1);
    group.persist(N2);
    group.deliver_where(|message| message.from == N1 && message.to == N3);
    group.deliver_where(|message| message.from == N2 && message.to == N4);
    group.settle();
    assert!(group.leaders().is_empty(), "two votes each");
    group.campaign(N4);
    group.settle();
    assert_eq!(group.leaders(), [N4]);
    assert_eq!(
        group.node(N1).disk.hard_state,
        HardState { term: Term(2), vote: Some(N4), commit: LogIndex::ZERO }
    );
}

#[test]
fn a_minority_elects_nobody() {
    let mut group = Group::new(5);
    group.isolate(&[N3, N4, N5]);
    for _ in 0..3 {
        group.campaign(N1);
        group.campaign(N2);
        group.settle();
    }
    assert!(group.leaders().is_empty());
}
