//! What is on the disks, and who may rely on it.

use quorate_raft::{LogIndex, Progress, Role, Term};

use super::super::monotonic_match::{self, MonotonicMatch};
use super::super::{acknowledged_is_durable, committed_is_durable, quorum_log};
use super::*;

/// A step of n0, which leads a term and takes n1 to hold its log up to `matched`.
fn leads(books: &Books, term: u64, matched: u64, next: u64) -> Made {
    let mut made = Made::into_role(books, 0, Role::Leader, term);
    let mut progress = Progress::new(raft_id(1), LogIndex(next - 1));
    progress.matched = LogIndex(matched);
    made.progress.push(progress);
    made
}

#[test]
fn monotonic_match_reports_a_match_that_goes_back_within_a_term() {
    let books = books(&[&[1, 1], &[1, 1], &[]]);
    let mut invariant = MonotonicMatch::new(3);
    assert_eq!(invariant.check(&leads(&books, 1, 2, 3).change(), &books), Ok(()));
    let back = invariant.check(&leads(&books, 1, 1, 3).change(), &books);
    assert_reports(back, monotonic_match::NAME, "n1 at match 1 after 2");
    let another = invariant.check(&leads(&books, 2, 0, 3).change(), &books);
    assert_eq!(another, Ok(()), "a new term begins knowing nothing");
    let past_next = invariant.check(&leads(&books, 2, 2, 2).change(), &books);
    assert_reports(past_next, monotonic_match::NAME, "match 2 and next 2");
}

#[test]
fn monotonic_match_reports_a_leader_that_counts_on_what_is_not_on_the_disk() {
    let mut books = books(&[&[1, 1], &[1, 1], &[]]);
    books.pages[1].durable.pop();
    let relies = |books: &Books, matched| {
        MonotonicMatch::new(3).check(&leads(books, 1, matched, 4).change(), books)
    };
    assert_eq!(relies(&books, 1), Ok(()));
    assert_reports(relies(&books, 2), monotonic_match::NAME, "up to 2, which is not on its disk");
    assert_reports(relies(&books, 3), monotonic_match::NAME, "up to 3, which is not on its disk");
    books.pages[1].durable_hard.term = Term(2);
    assert_eq!(relies(&books, 2), Ok(()), "a later leader may have overwritten it");
}

#[test]
fn monotonic_match_reports_a_follower_that_acknowledges_what_is_not_on_its_disk() {
    let mut books = books(&[&[2, 2], &[], &[]]);
    books.pages[0].durable.pop();
    let accepts = |term, matched| {
        let mut made = Made::idle(&books, 0);
        made.activity.accepted.push((Term(term), LogIndex(matched)));
        MonotonicMatch::new(3).check(&made.change(), &books)
    };
    assert_eq!(accepts(2, 1), Ok(()));
    assert_eq!(accepts(2, 0), Ok(()), "nothing is everywhere");
    assert_reports(accepts(2, 2), monotonic_match::NAME, "up to 2 in term 2");
    assert_reports(accepts(2, 3), monotonic_match::NAME, "up to 3 in term 2");
    assert_eq!(accepts(1, 2), Ok(()), "it speaks of an older term's log");
}

#[test]
fn quorum_log_reports_a_quorum_that_could_elect_a_leader_without_a_committed_entry() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1]]);
    books.committed = log(&[1, 1]);
    books.pages[0].state.commit = LogIndex(2);
    assert_eq!(quorum_log::check_all(&books), Ok(()), "each majority has one of the two");
    books.pages[1].durable.pop();
    assert_eq!(quorum_log::check_all(&books), Ok(()), "it runs, and has the entry in memory");
    books.crash(1);
    let lacking = quorum_log::check_all(&books);
    assert_reports(lacking, quorum_log::NAME, "[n1 n2] are a quorum of n0 n1 n2 and lack entry 2");
}

#[test]
fn committed_is_durable_reports_a_commit_that_a_majority_has_not_synced() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1]]);
    let commits = |books: &Books, commit| {
        committed_is_durable::check(&Made::committing(books, 0, commit).change(), books)
    };
    assert_eq!(commits(&books, 2), Ok(()));
    books.pages[0].durable.pop();
    let counted = commits(&books, 2);
    assert_reports(counted, committed_is_durable::NAME, "on the disks of [n1], no quorum");
    assert_eq!(commits(&books, 1), Ok(()));
    let past_the_end = commits(&books, 3);
    assert_reports(past_the_end, committed_is_durable::NAME, "on the disks of [], no quorum");
}

#[test]
fn acknowledged_is_durable_reports_an_answer_from_what_a_majority_has_not_synced() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1]]);
    let answers = |books: &Books, applied| {
        let mut made = Made::idle(books, 0);
        made.activity.answers.push(answer(RequestKind::Write, 1, 5, applied));
        acknowledged_is_durable::check(&made.change(), books)
    };
    assert_eq!(answers(&books, 2), Ok(()));
    assert_eq!(answers(&books, 0), Ok(()), "the empty store needs no entry");
    books.pages[1].durable.pop();
    let early = answers(&books, 2);
    assert_reports(
        early,
        acknowledged_is_durable::NAME,
        "entry 2, which is on the disks of [n0], no",
    );
}

#[test]
fn acknowledged_is_durable_reports_what_a_restart_does_not_find() {
    let books = books(&[&[1, 1, 1], &[], &[]]);
    let restarts =
        |log: Vec<Slot>| acknowledged_is_durable::check_recovery(&books, 0, &recovered(log));
    assert_eq!(restarts(log(&[1, 1, 1])), Ok(()));
    assert_eq!(restarts(log(&[1, 1, 1, 1])), Ok(()), "the batch under way was carried out");
    let name = acknowledged_is_durable::NAME;
    assert_reports(restarts(log(&[1, 1])), name, "with 2 entries, but 3 others");
    assert_reports(restarts(forged(&[1, 1, 1], 7)), name, "with 3 entries, but 3 others");
}

#[test]
fn a_batch_counts_once_it_is_done_and_not_before() {
    let mut books = books(&[&[1, 1]]);
    rewrite(&mut books, 2, &[1, 1, 1, 1]);
    books.pages[0].submitted(7);
    rewrite(&mut books, 4, &[1, 1, 1, 1, 1]);
    assert_eq!(books.pages[0].durable, log(&[1, 1]));
    books.completed(0, 7, true);
    assert_eq!(books.pages[0].durable, log(&[1, 1, 1, 1]), "what came later is in no batch yet");
}

#[test]
fn a_batch_under_way_vouches_only_for_what_it_does_not_replace() {
    let mut books = books(&[&[1, 1, 1]]);
    assert_eq!(books.untouched(0), 3);
    rewrite(&mut books, 1, &[1, 2]);
    assert_eq!(books.untouched(0), 3, "the disk knows nothing of it");
    books.pages[0].submitted(1);
    assert_eq!(books.untouched(0), 1, "a crash may leave either");
    books.completed(0, 1, true);
    assert_eq!((books.untouched(0), &books.pages[0].durable), (2, &log(&[1, 2])));
}

#[test]
fn a_batch_that_is_not_synced_counts_with_the_next_one_that_is() {
    let mut books = books(&[&[1]]);
    rewrite(&mut books, 1, &[1, 1]);
    books.pages[0].submitted(1);
    books.completed(0, 1, false);
    assert_eq!(books.pages[0].durable, log(&[1]));
    rewrite(&mut books, 2, &[1, 1, 1]);
    books.pages[0].submitted(2);
    books.completed(0, 2, true);
    assert_eq!(books.pages[0].durable, log(&[1, 1, 1]));
}

#[test]
fn what_a_restart_finds_in_the_page_cache_alone_counts_with_the_next_batch() {
    let mut books = books(&[&[1]]);
    books.crash(0);
    let found = || recovered(log(&[1, 1, 1]));
    books.boot(0, found(), false);
    assert_eq!(books.pages[0].durable, log(&[1]));
    rewrite(&mut books, 3, &[1, 1, 1, 2]);
    books.pages[0].submitted(1);
    books.completed(0, 1, true);
    assert_eq!(books.pages[0].durable, log(&[1, 1, 1, 2]));
    books.crash(0);
    books.boot(0, found(), true);
    assert_eq!(books.pages[0].durable, log(&[1, 1, 1]), "a clean disk is taken at its word");
}

/// The first member's log in memory becomes another one after `kept` entries.
fn rewrite(books: &mut Books, kept: usize, terms: &[u64]) {
    books.pages[0].log = log(terms);
    books.pages[0].changed_after(kept);
}
