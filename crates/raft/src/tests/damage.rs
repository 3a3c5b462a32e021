//! Members whose disks have lost entries that they had acknowledged (protocol-aware recovery).

use super::group::{Group, N1, N2, N3, vote_reply};
use crate::{Body, Event, LogIndex, Options, Role, Term};

/// Member 1 leads, all have four entries, and member 3 comes up without the last `lost` of them.
fn damaged(lost: usize) -> Group {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[8, 8, 8]);
    group.settle();
    group.heartbeat(N1);
    group.settle();
    group.crash(N3, 0);
    group.damage(N3, lost);
    group.restart(N3);
    group
}

#[test]
fn who_has_lost_what_it_acknowledged_elects_nobody() {
    let mut group = damaged(2);
    assert!(group.view(N3).abstains);
    assert!(group.view(N3).commit <= LogIndex(2), "no more than it has");
    group.crash(N1, 0);
    // It does not stand, whatever it is told.
    group.silence();
    group.pre_campaign(N3);
    group.settle();
    assert_eq!((group.view(N3).role, group.view(N3).term), (Role::Follower, Term(1)));
    group.stand(N3, N1);
    group.settle();
    assert_eq!(group.view(N3).role, Role::Follower);
    // It votes for nobody, not even for one that has everything.
    group.silence();
    group.pre_campaign(N2);
    group.settle();
    assert_eq!(group.leaders(), []);
    group.stand_by_itself(N2);
    group.settle();
    assert_eq!(group.leaders(), []);
    assert_eq!(group.view(N3).vote, None);
    let votes: Vec<_> = group.delivered.iter().filter_map(vote_reply).collect();
    assert_eq!(votes.last(), Some(&false));
}

#[test]
fn a_leader_that_counts_on_it_sends_what_was_lost_again() {
    let mut group = damaged(2);
    // The leader has nothing new to send: the commit index that it names tells.
    group.heartbeat(N1);
    group.settle();
    assert!(group.delivered.iter().any(|message| matches!(
        message.body,
        Body::AppendReply(crate::AppendOutcome::Lost {
            committed: LogIndex(1),
            doubtful: LogIndex(4)
        })
    )));
    assert_eq!(group.log(N3), group.log(N1));
    group.heartbeat(N1);
    group.settle();
    assert!(!group.view(N3).abstains);
    assert_eq!(group.view(N3).commit, LogIndex(4));
    group.crash(N1, 0);
    group.campaign(N2);
    group.settle();
    assert_eq!(group.leaders(), [N2], "it votes again");
}

#[test]
fn a_leader_that_has_more_to_send_hears_of_it_as_well() {
    let mut group = damaged(4);
    group.propose(N1, &[8]);
    group.settle();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.log(N3), group.log(N1));
    assert!(!group.view(N3).abstains);
}

/// Member 1 leads, all have four entries, and member 3 comes up without any of them. The leader
/// has forgotten the first `through`.
fn destroyed(through: u64) -> Group {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.propose(N1, &[8, 8]);
    group.settle();
    group.heartbeat(N1);
    group.settle();
    if through > 0 {
        group.compact(N1, through, through);
    }
    group.crash(N3, 0);
    group.destroy(N3);
    group.restart(N3);
    group
}

#[test]
fn who_has_lost_everything_elects_nobody_until_it_has_it_again() {
    for through in [0, 2, 4] {
        let mut group = destroyed(through);
        let view = group.view(N3);
        assert_eq!((view.commit, view.log.last_index()), (LogIndex(0), LogIndex(0)));
        assert_eq!((view.term, view.vote), (Term(2), Some(N1)), "this it has not forgotten");
        assert!(view.abstains && view.configuration.is_empty());
        // It neither stands nor votes, though it goes by no group at all.
        let mut leaderless = destroyed(through);
        leaderless.crash(N1, 0);
        leaderless.silence();
        leaderless.pre_campaign(N3);
        leaderless.settle();
        leaderless.stand(N3, N1);
        leaderless.settle();
        assert_eq!(leaderless.view(N3).role, Role::Follower);
        leaderless.silence();
        leaderless.pre_campaign(N2);
        leaderless.settle();
        leaderless.stand_by_itself(N2);
        leaderless.settle();
        let votes: Vec<_> = leaderless.delivered.iter().filter_map(vote_reply).collect();
        assert_eq!((leaderless.leaders(), votes.last()), (vec![], Some(&false)));
        assert_eq!((leaderless.view(N3).term, leaderless.view(N3).vote), (Term(3), None));
        // Its leader counts on it and has nothing new to say; it hears of the loss all the same.
        group.heartbeat(N1);
        group.settle();
        let lost = crate::AppendOutcome::Lost { committed: LogIndex(0), doubtful: LogIndex(4) };
        let says_so = |message: &crate::Message| message.body == Body::AppendReply(lost);
        assert!(group.delivered.iter().any(says_so), "{through}");
        assert_eq!(group.log(N3), group.log(N1), "{through}");
        group.heartbeat(N1);
        group.settle();
        let view = group.view(N3);
        assert_eq!((view.abstains, view.commit), (false, LogIndex(4)), "{through}");
        assert_eq!(view.configuration, group.view(N1).configuration);
        group.crash(N1, 0);
        group.campaign(N2);
        group.settle();
        assert_eq!(group.leaders(), [N2], "it votes again");
    }
}

#[test]
fn a_part_of_what_was_lost_is_not_enough() {
    let mut group = destroyed(3);
    group.isolate(&[N3]);
    let snapshot = group.view(N1).snapshot.clone();
    let (from, to, term) = (N1, N3, group.view(N1).term);
    let body = Body::Snapshot(Box::new(snapshot));
    group.event(N3, Event::Message(crate::Message { from, to, term, body }));
    group.settle();
    let view = group.view(N3);
    assert_eq!((view.commit, view.abstains), (LogIndex(3), true), "entry 4 is in doubt");
    group.crash(N3, usize::MAX);
    group.restart(N3);
    assert!(group.view(N3).abstains, "a restart makes it no better");
}

#[test]
fn news_of_a_loss_that_comes_late_changes_nothing() {
    let mut group = damaged(2);
    group.heartbeat(N1);
    group.settle();
    let lost = |body: &Body| matches!(body, Body::AppendReply(crate::AppendOutcome::Lost { .. }));
    let late = group.delivered.iter().find(|message| lost(&message.body)).cloned();
    group.propose(N1, &[8]);
    group.settle();
    let before = group.view(N1).progress.to_vec();
    group.event(N1, Event::Message(late.expect("it was sent")));
    assert_eq!(group.view(N1).progress, before);
}

/// Member 3 alone has everything that member 1 proposed, also what its disk had lost, and one entry
/// more. Nothing of it is committed.
fn caught_up_without_a_commit() -> Group {
    let mut group = Group::with_leader(5, Options::default());
    let others = group.ids().into_iter().filter(|id| ![N1, N3].contains(id)).collect::<Vec<_>>();
    group.isolate(&others);
    group.propose(N1, &[8, 8, 8]);
    group.settle();
    group.crash(N3, 0);
    group.damage(N3, 2);
    group.restart(N3);
    group.propose(N1, &[8]);
    group.settle();
    assert_eq!(group.log(N3), group.log(N1));
    let view = group.view(N3);
    assert_eq!(
        (view.abstains, view.commit, view.log.last_index()),
        (true, LogIndex(1), LogIndex(5))
    );
    group
}

#[test]
fn what_is_lost_on_the_way_to_who_is_still_in_doubt_is_sent_again() {
    let mut group = caught_up_without_a_commit();
    group.propose(N1, &[8]);
    assert_eq!(group.take_where(|message| message.to == N3).len(), 1, "the network loses it");
    for _ in 0..3 {
        group.heartbeat(N1);
        group.settle();
    }
    assert_eq!(group.log(N3), group.log(N1));
}

#[test]
fn who_has_everything_again_learns_what_is_committed_though_nothing_is_proposed() {
    let mut group = caught_up_without_a_commit();
    group.heal();
    for _ in 0..3 {
        group.heartbeat(N1);
        group.settle();
    }
    assert_eq!(group.view(N1).commit, LogIndex(5));
    assert_eq!((group.view(N3).commit, group.view(N3).abstains), (LogIndex(5), false));
}

#[test]
fn an_entry_of_a_later_term_ends_the_doubt() {
    let mut group = Group::with_leader(5, Options::default());
    group.propose(N1, &[8]);
    group.settle();
    // So much that nobody else ever gets: it was in doubt for nothing.
    group.isolate(&[N1]);
    group.propose(N1, &[8, 8, 8, 8]);
    group.settle();
    group.crash(N1, 0);
    group.damage(N1, 2);
    group.restart(N1);
    group.heal();
    group.campaign(N2);
    group.settle();
    assert_eq!((group.leaders(), group.view(N2).term), (vec![N2], Term(2)));
    group.heartbeat(N2);
    group.settle();
    assert_eq!(group.log(N1), group.log(N2));
    let view = group.view(N1);
    assert!(view.commit < LogIndex(6) && !view.abstains, "its leader was elected without it");
}

#[test]
fn who_was_emptied_unawares_hears_of_it_from_its_leader_and_gets_everything_again() {
    let mut group = damaged(2);
    group.crash(N3, 0);
    group.empty(N3);
    group.restart(N3);
    assert!(!group.view(N3).abstains, "it does not know yet");
    group.heartbeat(N1);
    group.deliver_where(|message| message.to == N3);
    assert!(group.view(N3).abstains);
    group.settle();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.log(N3), group.log(N1));
    assert_eq!((group.view(N3).commit, group.view(N3).abstains), (LogIndex(4), false));
}
