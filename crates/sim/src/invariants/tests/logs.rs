//! What logs hold, and what of them is committed.

use quorate_raft::{LogIndex, Role, Term};

use super::super::log_matching::{self, LogMatching};
use super::super::{
    commit_current_term, committed_append_only, leader_append_only, monotonic_log,
    state_machine_safety,
};
use super::*;

#[test]
fn leader_append_only_reports_a_leader_that_changes_its_log() {
    let books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    let changes = |from: u64, before: Role, after: Role| {
        let mut made = Made::into_role(&books, 0, after, 1);
        made.before.role = before;
        made.first_changed = Some(LogIndex(from));
        leader_append_only::check(&made.change())
    };
    assert_eq!(changes(3, Role::Leader, Role::Leader), Ok(()), "it appends");
    assert_eq!(changes(2, Role::Follower, Role::Follower), Ok(()), "a follower may");
    assert_eq!(changes(2, Role::Leader, Role::Follower), Ok(()), "it was deposed");
    let leading = changes(2, Role::Leader, Role::Leader);
    assert_reports(leading, leader_append_only::NAME, "changed its entry 2");
    let winning = changes(2, Role::Candidate, Role::Leader);
    assert_reports(winning, leader_append_only::NAME, "changed its entry 2");
}

#[test]
fn log_matching_reports_equal_terms_over_different_prefixes() {
    let mut books = books(&[&[1, 1, 2], &[1, 2, 2], &[]]);
    let mut invariant = LogMatching::default();
    let wrote = |books: &Books, member, from: u64, invariant: &mut LogMatching| {
        let mut made = Made::idle(books, member);
        made.first_changed = Some(LogIndex(from));
        invariant.check(&made.change(), books)
    };
    assert_eq!(wrote(&books, 0, 1, &mut invariant), Ok(()));
    assert_eq!(wrote(&books, 0, 3, &mut invariant), Ok(()), "its own entries again");
    // Entry 3 is of term 2 in both, and entry 2 before it is not.
    let differs = wrote(&books, 1, 1, &mut invariant);
    assert_reports(differs, log_matching::NAME, "n1's log up to entry 3 of term 2 differs");
    assert_reports(log_matching::check_fully(&books), log_matching::NAME, "entry 3 of term 2");
    books.pages[1].log = log(&[1, 2]);
    assert_eq!(log_matching::check_fully(&books), Ok(()), "terms differ, so the entries may");
}

#[test]
fn log_matching_reports_one_entry_with_two_payloads() {
    let mut books = books(&[&[1], &[1], &[]]);
    books.pages[1].log = forged(&[1], 7);
    let mut invariant = LogMatching::default();
    for member in [0, 1] {
        let mut made = Made::idle(&books, member);
        made.first_changed = Some(LogIndex(1));
        let checked = invariant.check(&made.change(), &books);
        if member == 0 {
            assert_eq!(checked, Ok(()));
        } else {
            assert_reports(checked, log_matching::NAME, "n1's log up to entry 1 of term 1");
        }
    }
}

#[test]
fn state_machine_safety_reports_two_entries_committed_at_one_index() {
    let mut books = books(&[&[1, 1], &[1, 2], &[1]]);
    books.committed = log(&[1, 1]);
    let commits = |member, commit| {
        let made = Made::committing(&books, member, commit);
        state_machine_safety::check(&made.change(), &books)
    };
    assert_eq!(commits(0, 2), Ok(()));
    assert_eq!(commits(1, 1), Ok(()), "what differs is not committed there");
    let differs = commits(1, 2);
    assert_reports(differs, state_machine_safety::NAME, "they differ from what was committed");
}

#[test]
fn state_machine_safety_reports_what_is_applied_before_it_is_committed() {
    let books = books(&[&[1, 1], &[1, 1], &[1]]);
    let mut applies = Made::idle(&books, 0);
    applies.after.applied = LogIndex(1);
    let early = state_machine_safety::check(&applies.change(), &books);
    assert_reports(early, state_machine_safety::NAME, "has applied 1, but only 0 is committed");
    (applies.before.commit, applies.after.commit) = (LogIndex(1), LogIndex(1));
    assert_eq!(state_machine_safety::check(&applies.change(), &books), Ok(()));
}

#[test]
fn committed_append_only_reports_a_commit_that_shrinks_or_is_overwritten() {
    let books = books(&[&[1, 1, 1], &[], &[]]);
    let mut made = Made::committing(&books, 0, 1);
    made.before.commit = LogIndex(2);
    let shrinks = committed_append_only::check(&made.change());
    assert_reports(shrinks, committed_append_only::NAME, "takes 1 for committed, after 2");
    made.after.commit = LogIndex(2);
    made.first_changed = Some(LogIndex(3));
    assert_eq!(committed_append_only::check(&made.change()), Ok(()));
    made.first_changed = Some(LogIndex(2));
    let overwritten = committed_append_only::check(&made.change());
    assert_reports(overwritten, committed_append_only::NAME, "from entry 2 on");
    made.booted = true;
    assert_eq!(committed_append_only::check(&made.change()), Ok(()), "a new life reads all anew");
}

#[test]
fn monotonic_log_reports_terms_that_decrease_or_are_ahead_of_the_member() {
    let check = |terms: &[u64], from: u64, term: u64| {
        let books = books(&[terms, &[], &[]]);
        let mut made = Made::into_role(&books, 0, Role::Follower, term);
        made.first_changed = Some(LogIndex(from));
        monotonic_log::check(&made.change(), &books)
    };
    assert_eq!(check(&[1, 1, 3], 3, 3), Ok(()));
    assert_reports(check(&[1, 3, 2], 3, 3), monotonic_log::NAME, "decrease");
    assert_reports(check(&[1, 1, 3], 3, 2), monotonic_log::NAME, "has an entry of term 3");
}

#[test]
fn commit_current_term_reports_a_leader_that_commits_an_older_term_by_counting() {
    let books = books(&[&[1, 2, 4], &[], &[]]);
    let commits = |role, commit| {
        let mut made = Made::committing(&books, 0, commit);
        (made.after.role, made.after.term) = (role, Term(4));
        commit_current_term::check(&made.change(), &books)
    };
    assert_eq!(commits(Role::Leader, 3), Ok(()), "older ones go along with one of its own");
    assert_eq!(commits(Role::Follower, 2), Ok(()), "a follower is told, and does not count");
    assert_reports(commits(Role::Leader, 2), commit_current_term::NAME, "an entry of term 2");
}
