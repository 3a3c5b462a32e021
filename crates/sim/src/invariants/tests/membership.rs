//! Groups that change, and what a quorum is meanwhile.

use quorate_raft::{LogIndex, Progress, Role, Term};

use super::super::configuration_from_log::{self, ConfigurationFromLog};
use super::super::monotonic_match::MonotonicMatch;
use super::super::monotonic_term_and_vote::{self, MonotonicTermAndVote};
use super::super::no_disjoint_quorums::{self, NoDisjointQuorums};
use super::super::{committed_is_durable, one_pending_configuration};
use super::*;

/// Two majorities have to agree.
fn joint(incoming: &[u32], outgoing: &[u32]) -> Configuration {
    Configuration { outgoing: voters(outgoing).voters, ..voters(incoming) }
}

#[test]
fn configuration_from_log_reports_a_group_that_the_log_does_not_say() {
    let mut books = books(&[&[1, 1], &[1], &[1]]);
    let mut invariant = ConfigurationFromLog::new(3);
    let mut goes_by = |books: &Books, nodes: &[u32]| {
        let mut made = Made::idle(books, 0);
        made.configuration = voters(nodes);
        invariant.check(&made.change(), books)
    };
    assert_eq!(goes_by(&books, &[0, 1, 2]), Ok(()));
    change_group(&mut books, 0, 1, &voters(&[0, 1]));
    assert_eq!(goes_by(&books, &[0, 1]), Ok(()), "from the moment at which it is in the log");
    let stale = goes_by(&books, &[0, 1, 2]);
    assert_reports(stale, configuration_from_log::NAME, "but its log says n0 n1 since entry 3");
    books.pages[0].log.pop();
    let kept = goes_by(&books, &[0, 1]);
    assert_reports(kept, configuration_from_log::NAME, "but its log says n0 n1 n2 since entry 1");
    books.pages[0].log.clear();
    let unfounded = goes_by(&books, &[0, 1]);
    assert_reports(unfounded, configuration_from_log::NAME, "but its log says nobody");
}

/// n0, which leads term 2 and has `commit` committed, changes the group.
fn changes(books: &mut Books, commit: u64, to: &Configuration) -> Made {
    let mut made = Made::committing(books, 0, commit);
    (made.after.role, made.after.term) = (Role::Leader, Term(2));
    made.before.last_index = LogIndex(books.pages[0].log.len() as u64);
    change_group(books, 0, 2, to);
    made.first_changed = Some(made.before.last_index.next());
    made.group = books.pages[0].group();
    made
}

#[test]
fn one_pending_configuration_reports_a_change_before_the_one_before_is_committed() {
    let mut books = books(&[&[1, 2], &[1], &[1]]);
    let first = changes(&mut books, 2, &voters(&[0, 1]));
    assert_eq!(one_pending_configuration::check(&first.change(), &books), Ok(()));
    let second = changes(&mut books, 2, &voters(&[0]));
    let name = one_pending_configuration::NAME;
    let early = one_pending_configuration::check(&second.change(), &books);
    assert_reports(early, name, "though 2 is committed and the change of entry 3 is not");
    let mut follows = second;
    follows.after.role = Role::Follower;
    let told = one_pending_configuration::check(&follows.change(), &books);
    assert_eq!(told, Ok(()), "a follower may hear of two at once");
    books.pages[0].log.pop();
    let later = changes(&mut books, 3, &voters(&[0]));
    assert_eq!(one_pending_configuration::check(&later.change(), &books), Ok(()));
}

#[test]
fn one_pending_configuration_reports_a_change_by_a_leader_that_has_committed_nothing() {
    let mut books = books(&[&[1, 1, 2], &[1], &[1]]);
    let made = changes(&mut books, 2, &voters(&[0, 1]));
    let early = one_pending_configuration::check(&made.change(), &books);
    let name = one_pending_configuration::NAME;
    assert_reports(early, name, "no entry of its term 2 is committed");
    books.pages[0].log.pop();
    let made = changes(&mut books, 3, &voters(&[0, 1]));
    assert_eq!(one_pending_configuration::check(&made.change(), &books), Ok(()));
}

#[test]
fn one_pending_configuration_reports_groups_that_can_do_without_each_other() {
    let mut apart = books(&[&[1, 2], &[1], &[1], &[], &[]]);
    let made = changes(&mut apart, 2, &voters(&[0, 1]));
    let two_gone = one_pending_configuration::check(&made.change(), &apart);
    assert_reports(two_gone, one_pending_configuration::NAME, "from n0 n1 n2 n3 n4 to n0 n1");
    let mut together = books(&[&[1, 2], &[1], &[1], &[], &[]]);
    let made = changes(&mut together, 2, &joint(&[0, 1], &[0, 1, 2, 3, 4]));
    assert_eq!(one_pending_configuration::check(&made.change(), &together), Ok(()));
}

#[test]
fn no_disjoint_quorums_reports_two_groups_that_could_each_elect_a_leader() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1], &[1, 1]]);
    let check = |books: &Books| NoDisjointQuorums::default().check(books);
    assert_eq!(check(&books), Ok(()), "majorities of one group overlap");
    change_group(&mut books, 0, 2, &voters(&[0]));
    let alone = check(&books);
    assert_reports(alone, no_disjoint_quorums::NAME, "n0 could be elected by n0");
    books.pages[0].log.pop();
    change_group(&mut books, 0, 2, &voters(&[0, 1, 2]));
    assert_eq!(check(&books), Ok(()), "any two of those three leave two of the four");
    change_group(&mut books, 3, 2, &voters(&[2, 3]));
    let apart = check(&books);
    assert_reports(apart, no_disjoint_quorums::NAME, "and at the same time n3 by");
    // Both have what they would have to overrule in their logs.
    for member in [1, 2] {
        change_group(&mut books, member, 3, &voters(&[0, 1, 2]));
    }
    assert_eq!(check(&books), Ok(()), "n2 no longer votes for n3");
}

#[test]
fn a_joint_group_needs_a_majority_of_both_halves() {
    let mut books = books(&[&[1, 2], &[1, 2], &[1], &[1], &[1]]);
    books.pages[0].log.pop();
    change_group(&mut books, 0, 2, &joint(&[0, 1], &[0, 2, 3]));
    let commits =
        |books: &Books| committed_is_durable::check(&Made::committing(books, 0, 2).change(), books);
    assert_reports(commits(&books), committed_is_durable::NAME, "no quorum of n0 n1 | n0 n2 n3");
    let first = books.pages[0].log.clone();
    books.pages[1].durable = first.clone();
    assert_reports(commits(&books), committed_is_durable::NAME, "on the disks of [n0 n1], no");
    books.pages[2].durable = first;
    assert_eq!(commits(&books), Ok(()));
}

#[test]
fn what_is_known_to_be_committed_is_asked_of_those_who_decided_it() {
    let mut books = books(&[&[1, 2], &[1, 2], &[1], &[1], &[1]]);
    let commits = |books: &Books, member| {
        committed_is_durable::check(&Made::committing(books, member, 2).change(), books)
    };
    assert_reports(commits(&books, 1), committed_is_durable::NAME, "[n0 n1], no quorum");
    // n0 was the first to know, when it went by a smaller group that n1 has not heard of.
    books.committed = log(&[1, 2]);
    books.committed_by = books.groups.enter(LogIndex(3), Group::of(&voters(&[0, 1, 2])));
    assert_eq!(commits(&books, 1), Ok(()));
}

#[test]
fn a_machine_is_replaced_only_if_nobody_could_be_elected_with_what_it_forgets() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    books.pages.iter_mut().for_each(|page| page.state.commit = LogIndex(2));
    assert!(!books.may_replace(2), "n0 could be elected by n2 alone");
    for member in [0, 1] {
        change_group(&mut books, member, 1, &voters(&[0, 1]));
    }
    assert!(!books.may_replace(2), "its removal is not committed, and may be taken back");
    books.pages[0].state.commit = LogIndex(3);
    books.pages[1].state.commit = LogIndex(3);
    assert!(books.may_replace(2));
    assert!(!books.may_replace(1), "it belongs to the group");
    // n2 has not heard of it, and n1 is no longer there to keep it from leading.
    change_group(&mut books, 0, 1, &voters(&[0]));
    books.pages[0].state.commit = LogIndex(4);
    assert!(!books.may_replace(1), "n2 could be elected by n1");
    let heard = books.pages[0].log[..3].to_vec();
    books.pages[2].log.clear();
    books.pages[2].durable.clear();
    assert!(!books.may_replace(1), "n2 would vote for n1 when that has got the beginning again");
    books.pages[2].log.clone_from(&heard);
    assert!(!books.may_replace(1), "n2 could crash, and then do so");
    books.pages[2].durable = heard;
    assert!(!books.may_replace(1), "n2 may take back what it does not know to be committed");
    books.pages[2].state.commit = LogIndex(3);
    assert!(
        books.may_replace(1),
        "n2 goes by a group without itself, and has all of the older one"
    );
    books.replace(2);
    assert!(!books.may_replace(1), "the founders' group would begin anew with n1 and n2");
}

#[test]
fn a_machine_is_not_replaced_while_a_leader_counts_on_it() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1], &[1, 1]]);
    books.pages.iter_mut().for_each(|page| page.state.commit = LogIndex(2));
    for member in [1, 2] {
        change_group(&mut books, member, 2, &voters(&[0, 1, 2]));
        books.pages[member].state.commit = LogIndex(3);
    }
    assert!(books.may_replace(3), "n0 alone goes by a group with it, and three of four elect");
    books.pages[0].state.role = Role::Leader;
    assert!(!books.may_replace(3), "n0 has yet to hear that it no longer leads");
}

#[test]
fn monotonic_term_and_vote_reports_an_empty_disk_at_a_member_of_the_group() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    books.committed = books.pages[0].log.clone();
    let mut invariant = MonotonicTermAndVote::new(3);
    let member = invariant.forget(&books, 2);
    assert_reports(member, monotonic_term_and_vote::NAME, "n2 gets an empty disk");
    change_group(&mut books, 0, 1, &voters(&[0, 1]));
    books.committed = books.pages[0].log.clone();
    assert_eq!(invariant.forget(&books, 2), Ok(()), "it was removed");
    let removed = invariant.forget(&books, 1);
    assert_reports(removed, monotonic_term_and_vote::NAME, "the group n0 n1 of entry 3");
}

#[test]
fn monotonic_match_begins_anew_with_a_member_that_was_away() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    let mut invariant = MonotonicMatch::new(3);
    let leads = |books: &Books, peers: &[(u32, u64)]| {
        let mut made = Made::into_role(books, 0, Role::Leader, 1);
        made.progress = peers
            .iter()
            .map(|&(peer, matched)| {
                let mut progress = Progress::new(raft_id(peer), LogIndex(2));
                progress.matched = LogIndex(matched);
                progress
            })
            .collect();
        made
    };
    let with_both = leads(&books, &[(1, 2), (2, 2)]);
    assert_eq!(invariant.check(&with_both.change(), &books), Ok(()));
    let mut without = leads(&books, &[(1, 2)]);
    without.group = books.groups.enter(LogIndex(3), Group::of(&voters(&[0, 1])));
    assert_eq!(invariant.check(&without.change(), &books), Ok(()));
    books.replace(2);
    let anew = invariant.check(&leads(&books, &[(1, 2), (2, 0)]).change(), &books);
    assert_eq!(anew, Ok(()), "its match went back, as its disk did");
    let with_both = leads(&books, &[(1, 2), (2, 2)]);
    let kept = invariant.check(&with_both.change(), &books);
    let name = super::super::monotonic_match::NAME;
    assert_reports(kept, name, "counts on n2 up to 2, which is not on its disk");
    assert_eq!(invariant.check(&with_both.change(), &books), Ok(()), "it was reported");
    invariant.forget(2);
    let never_dropped = invariant.check(&with_both.change(), &books);
    assert_reports(never_dropped, name, "counts on n2 up to 2, which is not on its disk");
}
