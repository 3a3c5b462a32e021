//! Logs that are shortened, and members that need what is gone (§7).

use super::group::{Group, N1, N2, N3, N4, from, is_append, to};
use crate::{
    AppendOutcome, Body, Change, Event, LogIndex, Message, NodeId, Options, ProgressState,
    Transition,
};

fn is_snapshot(message: &Message) -> bool {
    matches!(message.body, Body::Snapshot(_))
}

fn accepted(message: &Message) -> Option<u64> {
    match message.body {
        Body::AppendReply(AppendOutcome::Accepted { matched }) => Some(matched.0),
        _ => None,
    }
}

fn report(group: &mut Group, to: NodeId, delivered: bool) {
    group.event(N1, Event::SnapshotReport { to, delivered });
}

/// Member 1 leads, and has forgotten its log up to entry 10 of 12. Member 3 has two entries.
fn with_laggard() -> Group {
    Group::with_laggard(1, 11, 10)
}

/// The snapshot under way to member 3, which is not delivered yet.
fn snapshot_under_way(group: &mut Group) -> Message {
    group.heartbeat(N1);
    for _ in 0..6 {
        for id in [N1, N2, N3] {
            group.persist(id);
        }
        group.deliver_where(|message| !is_snapshot(message));
    }
    group.take_only()
}

#[test]
fn a_follower_that_lacks_what_is_forgotten_gets_the_snapshot_and_the_rest() {
    let mut group = with_laggard();
    assert_eq!(group.view(N1).log.first_index(), LogIndex(11));
    let message = snapshot_under_way(&mut group);
    let Body::Snapshot(snapshot) = &message.body else { panic!("{message:?}") };
    assert_eq!(
        (snapshot.index, &snapshot.configuration),
        (LogIndex(11), group.view(N1).configuration)
    );
    group.deliver(message);
    assert_eq!(group.node(N3).applied.len(), 2, "not durable yet");
    assert_eq!(group.take_where(from(N3)), []);
    group.persist(N3);
    assert_eq!(group.node(N3).applied.len(), 11);
    assert_eq!(group.network.iter().filter_map(accepted).collect::<Vec<_>>(), [11]);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    assert_eq!(group.log(N3), group.log(N1));
}

#[test]
fn nothing_else_is_sent_until_the_snapshot_has_arrived_or_failed() {
    let mut group = with_laggard();
    let lost = snapshot_under_way(&mut group);
    group.propose(N1, &[30]);
    group.heartbeat(N1);
    group.deliver_where(|message| !is_append(message));
    group.deliver_where(to(N1));
    assert!(!group.network.iter().any(|message| message.to == N3 && is_append(message)));
    assert!(!group.network.iter().any(is_snapshot), "one at a time");
    report(&mut group, N3, false);
    assert!(!group.network.iter().any(is_snapshot), "nor again at once: it just failed");
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    // It arrives after all, and is no news.
    group.deliver(lost);
    assert_eq!(group.network.iter().filter_map(accepted).collect::<Vec<_>>(), [13]);
}

#[test]
fn a_lost_answer_to_a_snapshot_is_made_up_for() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    group.deliver(message);
    group.persist(N3);
    assert_eq!(group.take_where(from(N3)).len(), 1);
    report(&mut group, N3, true);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    let sent = group.delivered.iter().filter(|message| is_snapshot(message)).count();
    assert_eq!(sent, 1, "the driver's report was enough");
}

#[test]
fn a_report_that_was_wrong_is_found_out() {
    let mut group = with_laggard();
    snapshot_under_way(&mut group);
    report(&mut group, N3, true);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied, "it was sent once more");
}

/// Found by a random walk: the leader forgot more of its log while the snapshot was under way.
#[test]
fn a_snapshot_that_has_arrived_is_followed_by_the_next_one() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    group.propose(N1, &[30]);
    group.settle();
    group.compact(N1, 13, 13);
    group.deliver(message);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    assert_eq!(group.view(N3).snapshot.index, LogIndex(13));
}

#[test]
fn a_snapshot_of_what_is_committed_here_changes_nothing() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    group.heartbeat(N1);
    group.deliver(message.clone());
    group.settle();
    let before = group.raft(N3).clone();
    group.deliver(message);
    assert_eq!(group.raft(N3), &before);
    assert_eq!(group.network.iter().filter_map(accepted).collect::<Vec<_>>(), [12]);
}

#[test]
fn a_snapshot_of_what_is_in_the_log_only_commits_it() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    // Meanwhile 3 has got the entries from somewhere, and does not know that they are committed.
    let entries = group.log(N1)[2..].to_vec();
    let body = Body::Append {
        previous_index: LogIndex(2),
        previous_term: crate::Term(2),
        entries: entries.into(),
        changes: Vec::new(),
        commit: LogIndex::ZERO,
    };
    group.deliver(Message { from: N1, to: N3, term: crate::Term(2), body });
    group.persist(N3);
    assert_eq!(group.view(N3).commit, LogIndex(2));
    group.deliver(message);
    let view = group.view(N3);
    assert_eq!((view.commit, view.log.base()), (LogIndex(11), LogIndex::ZERO));
    assert_eq!(group.node(N3).applied.len(), 11, "from its log");
}

/// A crash may leave the snapshot without the hard state that came with it.
#[test]
fn a_snapshot_without_its_hard_state_is_enough_to_come_up() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    group.deliver(message);
    let before = group.node(N3).disk.hard_state;
    group.crash_tearing(N3, 0, 1);
    assert_eq!(group.node(N3).disk.hard_state, before);
    assert!(before.commit < LogIndex(11));
    group.restart(N3);
    let view = group.view(N3);
    assert_eq!(
        (view.commit, view.applying, view.log.last_index()),
        (LogIndex(11), LogIndex(11), LogIndex(11))
    );
    report(&mut group, N3, true);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
}

#[test]
fn a_snapshot_that_was_lost_in_a_crash_was_not_acknowledged() {
    let mut group = with_laggard();
    let message = snapshot_under_way(&mut group);
    group.deliver(message);
    group.crash(N3, 0);
    assert_eq!(group.network.iter().filter_map(accepted).count(), 0);
    group.restart(N3);
    assert_eq!(group.log(N3).len(), 2);
    report(&mut group, N3, false);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
}

#[test]
fn a_member_joins_by_a_snapshot() {
    let mut group = with_laggard();
    group.settle();
    group.changed(N1, &[Change::AddVoter(N4)], Transition::Auto);
    assert_eq!(group.node(N4).applied, group.node(N1).applied);
    assert_eq!(group.view(N4).configuration.to_string(), "1 2 3 4");
    assert_eq!(group.view(N4).log.base(), LogIndex(11), "the founders' entry is in the snapshot");
    group.crash(N4, 0);
    group.restart(N4);
    assert_eq!(group.view(N4).configuration.to_string(), "1 2 3 4");
}

#[test]
fn a_snapshot_has_the_configuration_of_its_index() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.changed(N1, &[Change::AddVoter(N4)], Transition::Auto);
    group.changed(N1, &[Change::Remove(N3)], Transition::Auto);
    group.compact(N1, 3, 2);
    assert_eq!(group.view(N1).snapshot.configuration.to_string(), "1 2 3 4");
    assert_eq!(group.view(N1).configuration.to_string(), "1 2 4");
    group.crash(N1, 0);
    group.restart(N1);
    assert_eq!(group.view(N1).configuration.to_string(), "1 2 4", "entry 4 is still in the log");
}

#[test]
fn what_is_kept_before_the_snapshot_serves_those_who_are_a_little_late() {
    let mut group = with_laggard();
    group.heartbeat(N1);
    group.settle();
    group.isolate(&[N3]);
    group.propose(N1, &[40]);
    group.propose(N1, &[41]);
    group.settle();
    group.compact(N1, 14, 12);
    group.heal();
    let before = group.delivered.iter().filter(|message| is_snapshot(message)).count();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    let after = group.delivered.iter().filter(|message| is_snapshot(message)).count();
    assert_eq!(after, before, "no snapshot was needed");
}

#[test]
fn an_older_snapshot_of_the_members_own_is_passed_over() {
    let mut group = with_laggard();
    let before = group.raft(N1).clone();
    let (snapshot, through) = (LogIndex(8), LogIndex(5));
    group.event(N1, Event::Compact { snapshot, through });
    assert_eq!(group.raft(N1), &before);
}

#[test]
#[should_panic(expected = "has only what was applied")]
fn a_snapshot_of_what_was_not_applied_is_a_broken_invariant() {
    let mut group = with_laggard();
    let (snapshot, through) = (LogIndex(13), LogIndex(5));
    group.event(N1, Event::Compact { snapshot, through });
}

#[test]
fn a_lost_message_makes_the_leader_ask_where_the_logs_agree() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[5]);
    group.take_where(to(N2));
    group.event(N1, Event::Unreachable(N2));
    let progress = &group.view(N1).progress[0];
    assert_eq!(progress.state, ProgressState::Probe { waiting: false });
    assert_eq!((progress.matched, progress.next), (LogIndex(1), LogIndex(2)));
    group.propose(N1, &[6]);
    group.deliver_where(to(N2));
    assert_eq!(group.log(N2).len(), 3, "both, without waiting for a heartbeat");
}
