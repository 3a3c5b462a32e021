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
