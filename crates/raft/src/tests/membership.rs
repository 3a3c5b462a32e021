//! Changes of the membership, as the group lives through them (§6, dissertation 4).

use super::group::{Group, N1, N2, N3, N4, N5, append, from, is_append, to};
use crate::{
    Body, Change, ChangeError, DropReason, Event, LogIndex, MembershipChange, NodeId, Options,
    Role, Term, Transition,
};

const ADD_4: Change = Change::AddVoter(N4);

fn joint(changes: &[Change]) -> MembershipChange {
    MembershipChange { changes: changes.to_vec(), transition: Transition::Joint }
}

fn explicit(changes: &[Change]) -> MembershipChange {
    MembershipChange { changes: changes.to_vec(), transition: Transition::JointExplicit }
}

fn configuration(group: &Group, id: NodeId) -> String {
    group.view(id).configuration.to_string()
}

/// Why the last proposal was dropped.
fn refused(group: &mut Group, id: NodeId, change: MembershipChange) -> Option<DropReason> {
    let before = group.node(id).dropped_proposals.len();
    group.change(id, change);
    group.node(id).dropped_proposals.get(before).cloned()
}

#[test]
fn a_new_voter_gets_the_log_and_votes() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    assert_eq!(configuration(&group, N4), "", "it knows of nobody");
    group.change(N1, MembershipChange::single(ADD_4));
    assert_eq!(configuration(&group, N1), "1 2 3 4", "in force before it is committed");
    group.settle();
    assert_eq!(group.log_terms(N4), [1, 2, 2], "without waiting for a heartbeat");
    for id in group.ids() {
        assert_eq!(configuration(&group, id), "1 2 3 4", "at {id}");
        assert_eq!(group.view(id).commit, LogIndex(3), "at {id}");
    }
    group.isolate(&[N1, N2]);
    group.campaign(N3);
    group.settle();
    assert_eq!(group.leaders(), [N1], "two of four elect nobody");
    group.isolate(&[N1]);
    group.campaign(N4);
    group.settle();
    assert!(group.leaders().contains(&N4), "three of four do");
}

#[test]
fn a_learner_counts_for_nothing_until_it_is_promoted() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.changed(N1, &[Change::AddLearner(N4)], Transition::Auto);
    assert_eq!(configuration(&group, N4), "1 2 3 + 4");
    group.isolate(&[N2, N3]);
    group.propose(N1, &[9]);
    group.settle();
    assert_eq!((group.log(N4).len(), group.view(N1).commit), (4, LogIndex(3)));
    group.pre_campaign(N4);
    assert_eq!(group.view(N4).role, Role::Follower, "it does not stand either");
    group.heal();
    group.heartbeat(N1);
    group.changed(N1, &[ADD_4], Transition::Auto);
    assert_eq!(configuration(&group, N4), "1 2 3 4");
    group.isolate(&[N3]);
    group.propose(N1, &[9]);
    group.settle();
    assert_eq!(group.view(N1).commit, LogIndex(6), "three of four");
}

#[test]
fn a_joint_configuration_needs_both_majorities_to_commit() {
    // Who is cut off, and whether the group of 1, 2 and 3 that becomes 1, 4 and 5 commits.
    for (cut_off, commits) in [
        (vec![N2], true),
        (vec![N4], true),
        (vec![N2, N4], true),
        (vec![N2, N3], false),
        (vec![N4, N5], false),
    ] {
        let mut group = Group::founded_with_leader(3, 2, Options::default());
        let change = [ADD_4, Change::AddVoter(N5), Change::Remove(N2), Change::Remove(N3)];
        group.change(N1, explicit(&change));
        group.settle();
        assert_eq!(configuration(&group, N5), "1 4 5 | 1 2 3");
        group.isolate(&cut_off);
        group.propose(N1, &[7]);
        group.settle();
        let expected = if commits { 4 } else { 3 };
        assert_eq!(group.view(N1).commit, LogIndex(expected), "without {cut_off:?}");
    }
}

#[test]
fn a_joint_configuration_needs_both_majorities_to_elect() {
    for (cut_off, elects) in [(vec![N1, N5], true), (vec![N1, N2], false), (vec![N4, N5], false)] {
        let mut group = Group::founded_with_leader(3, 2, Options::default());
        let change = [ADD_4, Change::AddVoter(N5), Change::Remove(N1), Change::Remove(N2)];
        group.change(N1, explicit(&change));
        group.settle();
        assert_eq!(configuration(&group, N3), "3 4 5 | 1 2 3");
        group.isolate(&cut_off);
        group.campaign(N3);
        group.settle();
        assert_eq!(group.leaders().contains(&N3), elects, "without {cut_off:?}");
    }
}

#[test]
fn a_joint_configuration_is_left_by_itself_or_by_somebody() {
    let mut group = Group::founded_with_leader(3, 2, Options::default());
    let swap = [ADD_4, Change::AddVoter(N5), Change::Remove(N2), Change::Remove(N3)];
    group.change(N1, joint(&swap));
    group.settle();
    assert_eq!(configuration(&group, N5), "1 4 5", "at once, when it is committed");
    let mut group = Group::founded_with_leader(3, 2, Options::default());
    group.changed(N1, &swap, Transition::JointExplicit);
    assert_eq!(configuration(&group, N5), "1 4 5 | 1 2 3");
    group.change(N1, MembershipChange::leave());
    group.settle();
    assert_eq!(configuration(&group, N5), "1 4 5");
}

#[test]
fn a_voter_is_demoted_when_the_joint_configuration_is_left() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.changed(N1, &[Change::AddLearner(N3)], Transition::JointExplicit);
    assert_eq!(configuration(&group, N3), "1 2 | 1 2 3 then 3", "it still votes in the old part");
    group.change(N1, MembershipChange::leave());
    group.settle();
    assert_eq!(configuration(&group, N3), "1 2 + 3");
}

#[test]
fn a_new_leader_leaves_the_joint_configuration_that_its_predecessor_entered() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.change(N1, joint(&[ADD_4, Change::Remove(N3)]));
    group.deliver_where(to(N2));
    group.persist(N2);
    group.crash(N1, 1);
    group.network.clear();
    assert_eq!(configuration(&group, N2), "1 2 4 | 1 2 3 (leaves by itself)");
    group.isolate(&[N4]);
    group.campaign(N2);
    group.settle();
    assert_eq!(group.leaders(), [], "it needs somebody of the new part as well");
    group.heal();
    group.restart(N1);
    group.campaign(N2);
    for _ in 0..3 {
        group.settle();
        group.heartbeat(N2);
    }
    group.settle();
    assert_eq!(group.view(N2).role, Role::Leader);
    for id in [N1, N2, N4] {
        assert_eq!(configuration(&group, id), "1 2 4", "at {id}");
        assert_eq!(group.view(id).commit, LogIndex(5), "at {id}");
    }
}

#[test]
fn a_change_that_is_truncated_is_taken_back() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.isolate(&[N1]);
    group.change(N1, MembershipChange::single(ADD_4));
    group.settle();
    assert_eq!(configuration(&group, N1), "1 2 3 4");
    group.campaign(N2);
    group.settle();
    group.heal();
    group.heartbeat(N2);
    group.settle();
    assert_eq!(configuration(&group, N1), "1 2 3");
    assert_eq!(group.log(N1), group.log(N2));
    group.crash(N1, 0);
    group.restart(N1);
    assert_eq!(configuration(&group, N1), "1 2 3", "on its disk as well");
}

#[test]
fn a_change_is_durable_with_its_entry() {
    for survivors in [0, 1] {
        let mut group = Group::founded_with_leader(3, 1, Options::default());
        group.change(N1, MembershipChange::single(ADD_4));
        group.crash(N1, survivors);
        group.restart(N1);
        let expected = ["1 2 3", "1 2 3 4"][survivors];
        assert_eq!(configuration(&group, N1), expected);
    }
}

#[test]
fn a_removed_leader_leads_until_that_is_committed_and_counts_itself_no_more() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.change(N1, MembershipChange::single(Change::Remove(N1)));
    group.persist(N1);
    group.deliver_where(to(N2));
    group.persist(N2);
    group.deliver_where(|message| message.from == N2);
    assert_eq!(group.view(N1).commit, LogIndex(2), "its own copy and one of the two others");
    assert_eq!(group.view(N1).role, Role::Leader);
    group.deliver_where(to(N3));
    group.persist(N3);
    group.deliver_where(|message| message.from == N3);
    assert_eq!(group.view(N1).commit, LogIndex(3), "the removal itself");
    assert_eq!(group.view(N1).role, Role::Follower);
    group.settle();
    let leaders = group.leaders();
    assert!(leaders == [N2] || leaders == [N3], "who has all is asked to take over: {leaders:?}");
    group.pre_campaign(N1);
    assert_eq!(group.view(N1).role, Role::Follower, "it is no longer needed");
}

#[test]
fn a_removed_leader_asks_nobody_to_stand_who_lacks_something() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.change(N1, MembershipChange::single(Change::Remove(N1)));
    let first = group.take_where(is_append);
    group.propose(N1, &[5]);
    let later = group.take_where(is_append);
    assert_eq!(later.len(), 2, "sent without waiting for an answer");
    for message in first {
        group.deliver(message);
    }
    for id in [N2, N3] {
        group.persist(id);
    }
    group.deliver_where(to(N1));
    assert_eq!(group.view(N1).role, Role::Follower);
    assert!(!group.network.iter().any(|message| message.body == Body::TimeoutNow));
    group.settle();
    group.campaign(N2);
    group.settle();
    assert_eq!(group.leaders(), [N2], "an election finds one");
}

/// Found by a random walk: 1 has the longest log, refuses its vote to 2, which needs it, and did
/// not stand itself, since by its own log it is no voter.
#[test]
fn a_leader_whose_removal_nobody_else_has_stands_again() {
    let mut group = Group::founded_with_leader(2, 0, Options::default());
    group.change(N1, MembershipChange::single(Change::Remove(N1)));
    group.persist(N1);
    group.network.clear();
    group.crash(N1, 0);
    group.restart(N1);
    group.campaign(N2);
    group.settle();
    assert!(group.leaders().is_empty(), "1 has more than 2");
    group.campaign(N1);
    group.settle();
    assert_eq!(group.leaders(), [N2], "1 was elected by 2, finished its removal and gave up");
    assert_eq!(configuration(&group, N2), "2");
    assert_eq!(group.view(N2).commit, LogIndex(5));
}

/// Found by a random walk: whoever is added to a group of one decides whether that one may lead
/// again, if it fell before the new member heard of it.
#[test]
fn a_member_that_knows_nothing_votes() {
    let mut group = Group::founded_with_leader(1, 1, Options::default());
    group.change(N1, MembershipChange::single(Change::AddVoter(N2)));
    group.persist(N1);
    group.network.clear();
    group.crash(N1, 0);
    group.restart(N1);
    group.campaign(N1);
    group.settle();
    assert_eq!(group.leaders(), [N1]);
    assert_eq!(configuration(&group, N2), "1 2");
    assert_eq!(group.view(N2).commit, LogIndex(4));
}

#[test]
fn who_joins_stands_for_nothing_before_it_has_the_log() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    for _ in 0..3 {
        group.pre_campaign(N4);
    }
    let view = group.view(N4);
    assert_eq!((view.role, view.term), (Role::Follower, Term(0)));
    assert!(!group.network.iter().any(|message| message.from == N4));
}

#[test]
fn a_removed_member_disturbs_nobody() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    group.isolate(&[N3]);
    group.changed(N1, &[Change::Remove(N3)], Transition::Auto);
    assert_eq!(configuration(&group, N3), "1 2 3", "nobody has told it");
    group.heal();
    let before = (group.raft(N1).clone(), group.raft(N2).clone());
    for _ in 0..5 {
        // Only its own time runs out.
        group.fire(N3, crate::TimerKind::Election);
        group.fire(N3, crate::TimerKind::Jitter);
        group.settle();
    }
    assert_eq!(group.leaders(), [N1]);
    assert_eq!((group.raft(N1), group.raft(N2)), (&before.0, &before.1));
    assert_eq!(group.view(N3).term, Term(2), "it never stood");
}

#[test]
fn a_member_that_returns_begins_anew() {
    let mut group = Group::founded_with_leader(3, 0, Options::default());
    let matched = |group: &Group| {
        let progress = group.view(N1).progress.iter().find(|peer| peer.id == N3).cloned();
        progress.map(|peer| peer.matched)
    };
    assert_eq!(matched(&group), Some(LogIndex(2)));
    group.changed(N1, &[Change::Remove(N3)], Transition::Auto);
    assert_eq!(matched(&group), None);
    group.change(N1, MembershipChange::single(Change::AddVoter(N3)));
    assert_eq!(matched(&group), Some(LogIndex::ZERO), "its disk may be another one");
    group.settle();
    assert_eq!(matched(&group), Some(LogIndex(4)));
}

#[test]
fn each_refusal_says_why() {
    let mut group = Group::founded_with_leader(3, 2, Options::default());
    let add = || MembershipChange::single(ADD_4);
    let change = |error| Some(DropReason::Change(error));
    assert_eq!(refused(&mut group, N2, add()), Some(DropReason::NotLeader));
    let leave = MembershipChange::leave();
    assert_eq!(refused(&mut group, N1, leave.clone()), change(ChangeError::NotJoint));
    let nobody = explicit(&[N1, N2, N3].map(Change::Remove));
    assert_eq!(refused(&mut group, N1, nobody), change(ChangeError::NoVoters));
    let twice = explicit(&[ADD_4, Change::Remove(N4)]);
    assert_eq!(refused(&mut group, N1, twice), change(ChangeError::NamedTwice(N4)));
    let same = MembershipChange::single(Change::AddVoter(N2));
    assert_eq!(refused(&mut group, N1, same), change(ChangeError::Unchanged));

    assert_eq!(refused(&mut group, N1, explicit(&[ADD_4])), None);
    let third = LogIndex(3);
    assert_eq!(refused(&mut group, N1, leave.clone()), change(ChangeError::Pending(third)));
    group.settle();
    assert_eq!(refused(&mut group, N1, add()), change(ChangeError::Joint));
    assert_eq!(refused(&mut group, N1, leave), None);
    group.settle();

    // 2 leads now, and has not committed anything of its own.
    group.stand(N2, N1);
    group.persist(N2);
    group.deliver_where(|message| message.from == N2);
    for id in [N1, N3, N4] {
        group.persist(id);
    }
    group.deliver_where(to(N2));
    assert_eq!(group.view(N2).role, Role::Leader);
    let nothing = ChangeError::NothingCommittedInTerm(Term(3));
    assert_eq!(refused(&mut group, N2, add()), change(nothing));
    group.settle();
    group.event(N2, Event::Transfer { to: N1 });
    let add_5 = MembershipChange::single(Change::AddVoter(N5));
    assert_eq!(refused(&mut group, N2, add_5), Some(DropReason::Transferring));
}

#[test]
fn a_change_counts_as_uncommitted_like_any_proposal() {
    let options = Options { max_uncommitted_bytes: 10, ..Options::default() };
    let mut group = Group::founded_with_leader(3, 1, options);
    group.propose(N1, &[10]);
    let add = MembershipChange::single(ADD_4);
    assert_eq!(refused(&mut group, N1, add.clone()), Some(DropReason::TooMuchUncommitted));
    assert_eq!(configuration(&group, N1), "1 2 3");
    group.settle();
    assert_eq!(refused(&mut group, N1, add), None);
}

#[test]
#[should_panic(expected = "does not begin with its founders")]
fn nobody_joins_a_group_whose_log_does_not_say_who_founded_it() {
    let mut group = Group::founded(1, 1, Options::default());
    group.deliver(append(N1, N2, 2, (0, 0), &[1, 2]));
}

#[test]
fn members_are_told_of_changes_by_the_entries_that_make_them() {
    let mut group = Group::founded_with_leader(3, 1, Options::default());
    group.change(N1, MembershipChange::single(ADD_4));
    let message = group.take_where(|message| is_append(message) && message.to == N2).remove(0);
    let Body::Append { changes, .. } = &message.body else { unreachable!("it is an append") };
    assert_eq!(changes[..], [(LogIndex(3), MembershipChange::single(ADD_4))]);
    // Twice, of which the second time is no news.
    group.deliver(message.clone());
    group.deliver(message);
    assert_eq!(configuration(&group, N2), "1 2 3 4");
    assert_eq!(group.view(N2).membership.current_index(), LogIndex(3));
    group.take_where(from(N2));
}
