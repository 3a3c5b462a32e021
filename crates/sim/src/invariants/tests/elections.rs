//! Terms, votes and leaders.

use quorate_raft::{HardState, LogIndex, Role, Term};

use super::super::books::Recovered;
use super::super::election_safety::{self, ElectionSafety};
use super::super::leader_completeness::{self, LeaderCompleteness};
use super::super::monotonic_term_and_vote::{self, MonotonicTermAndVote};
use super::super::{candidate_term_not_in_log, message_term, more_up_to_date};
use super::*;

#[test]
fn election_safety_reports_a_second_leader_of_a_term_even_after_the_first_is_gone() {
    let books = books(&[&[], &[], &[]]);
    let mut invariant = ElectionSafety::default();
    let wins = |member, term| Made::into_role(&books, member, Role::Leader, term);
    assert_eq!(invariant.check(&wins(0, 3).change()), Ok(()));
    assert_eq!(invariant.check(&wins(1, 4).change()), Ok(()), "another term");
    assert_eq!(invariant.check(&wins(0, 2).change()), Ok(()), "an older term, won late");
    let second = invariant.check(&wins(2, 3).change());
    assert_reports(second, election_safety::NAME, "n2 and n0 both lead in term 3");
    assert_eq!(invariant.elections(), 3);
}

#[test]
fn leader_completeness_reports_a_leader_without_what_an_earlier_term_committed() {
    let mut books = books(&[&[1, 2], &[1], &[1, 2]]);
    books.committed = log(&[1, 2]);
    let mut invariant = LeaderCompleteness::default();
    let mut commits = Made::committing(&books, 0, 2);
    commits.after.term = Term(3);
    invariant.note_commit(&commits.change());
    let wins = |member, term| Made::into_role(&books, member, Role::Leader, term);
    assert_eq!(invariant.check(&wins(2, 4).change(), &books), Ok(()));
    assert_eq!(
        invariant.check(&wins(1, 3).change(), &books),
        Ok(()),
        "the commit's term counts, and a delayed win of an older one is no mistake"
    );
    let lacking = invariant.check(&wins(1, 4).change(), &books);
    assert_reports(lacking, leader_completeness::NAME, "n1 leads term 4 without entry 2");
}

#[test]
fn monotonic_term_and_vote_reports_a_term_that_goes_back_and_a_vote_that_changes() {
    let books = books(&[&[2], &[2], &[2]]);
    let mut invariant = MonotonicTermAndVote::new(3);
    let back = Made::into_role(&books, 0, Role::Follower, 1);
    let back = invariant.check(&back.change(), &books);
    assert_reports(back, monotonic_term_and_vote::NAME, "from term 2 to 1");
    let mut votes = Made::idle(&books, 0);
    votes.after.vote = Some(raft_id(1));
    assert_eq!(invariant.check(&votes.change(), &books), Ok(()), "its first vote in the term");
    let mut changes = Made::idle(&books, 0);
    (changes.before.vote, changes.after.vote) = (Some(raft_id(1)), Some(raft_id(2)));
    let changed = invariant.check(&changes.change(), &books);
    assert_reports(changed, monotonic_term_and_vote::NAME, "changed its vote in term 2");
    changes.after.term = Term(3);
    assert_eq!(invariant.check(&changes.change(), &books), Ok(()), "a new term, a new vote");
}

#[test]
fn monotonic_term_and_vote_reports_votes_that_others_hear_of_twice_or_too_early() {
    let mut books = books(&[&[2], &[2], &[2]]);
    let mut invariant = MonotonicTermAndVote::new(3);
    let grants = |books: &Books, candidate| {
        let mut made = Made::idle(books, 0);
        made.activity.granted.push((Term(2), raft_id(candidate)));
        made
    };
    let early = invariant.check(&grants(&books, 1).change(), &books);
    assert_reports(early, monotonic_term_and_vote::NAME, "which is not on its disk");
    books.pages[0].durable_hard.vote = Some(raft_id(1));
    assert_eq!(invariant.check(&grants(&books, 1).change(), &books), Ok(()));
    assert_eq!(invariant.check(&grants(&books, 1).change(), &books), Ok(()), "the same again");
    // As if a crash had made it forget the first vote.
    books.pages[0].durable_hard.vote = Some(raft_id(2));
    let twice = invariant.check(&grants(&books, 2).change(), &books);
    assert_reports(twice, monotonic_term_and_vote::NAME, "voted for n1 and for n2 in term 2");
}

#[test]
fn monotonic_term_and_vote_reports_what_a_restart_forgot() {
    let mut books = books(&[&[2], &[2], &[2]]);
    books.pages[0].durable_hard.vote = Some(raft_id(1));
    let restarts = |term, vote| {
        let hard = HardState { term: Term(term), vote, commit: LogIndex::ZERO };
        let recovered = Recovered { hard, ..recovered(log(&[2])) };
        monotonic_term_and_vote::check_recovery(&books, 0, &recovered)
    };
    assert_reports(restarts(1, None), monotonic_term_and_vote::NAME, "restarts in term 1");
    assert_reports(restarts(2, None), monotonic_term_and_vote::NAME, "without its vote in term 2");
    assert_eq!(restarts(2, Some(raft_id(1))), Ok(()));
    assert_eq!(restarts(3, None), Ok(()), "the batch under way was carried out");
}

#[test]
fn more_up_to_date_reports_a_vote_for_who_lacks_what_the_voter_takes_for_committed() {
    let mut books = books(&[&[1, 1], &[1], &[1, 1, 1]]);
    for candidate in [1, 2] {
        books.pages[candidate].state.role = Role::Candidate;
        books.pages[candidate].state.term = Term(2);
    }
    let votes = |candidate| {
        let mut made = Made::committing(&books, 0, 2);
        made.after.term = Term(2);
        made.after.vote = Some(raft_id(candidate));
        made
    };
    assert_eq!(more_up_to_date::check(&votes(2).change(), &books), Ok(()));
    let lacking = more_up_to_date::check(&votes(1).change(), &books);
    assert_reports(lacking, more_up_to_date::NAME, "for n1, which lacks entry 2");
    let mut uncommitted = votes(1);
    uncommitted.after.commit = LogIndex(1);
    assert_eq!(more_up_to_date::check(&uncommitted.change(), &books), Ok(()));
    let late = votes(1);
    let mut moved_on = super::books(&[&[1, 1], &[1], &[1, 1, 1]]);
    moved_on.pages[1].state.term = Term(3);
    assert_eq!(
        more_up_to_date::check(&late.change(), &moved_on),
        Ok(()),
        "it stands in another term by now, and its log may be another"
    );
}

#[test]
fn message_term_reports_a_term_that_is_told_before_it_is_on_the_disk() {
    let books = books(&[&[2], &[2], &[2]]);
    let mut sends = Made::idle(&books, 0);
    sends.activity.sent_term = Term(2);
    assert_eq!(message_term::check(&sends.change(), &books), Ok(()));
    sends.activity.sent_term = Term(3);
    let sent = message_term::check(&sends.change(), &books);
    assert_reports(sent, message_term::NAME, "a message of term 3, but 2 is on its disk");
    let mut answers = Made::idle(&books, 0);
    answers.activity.answers.push(answer(RequestKind::Write, 2, 5, 1));
    assert_eq!(message_term::check(&answers.change(), &books), Ok(()));
    answers.activity.answers.push(answer(RequestKind::SerializableRead, 3, 5, 1));
    let told = message_term::check(&answers.change(), &books);
    assert_reports(told, message_term::NAME, "told a client of term 3");
}

#[test]
fn candidate_term_not_in_log_reports_an_entry_of_a_term_that_is_still_to_be_won() {
    let mut books = books(&[&[1, 3], &[1], &[1]]);
    let candidate = raft_id(1);
    books.pages[1].state.role = Role::Candidate;
    (books.pages[1].state.term, books.pages[1].state.vote) = (Term(3), Some(candidate));
    let has_entry = Made::idle(&books, 0);
    let open = candidate_term_not_in_log::check(&has_entry.change(), &books);
    assert_reports(open, candidate_term_not_in_log::NAME, "in which [n0 n1 n2] may still elect n1");
    // The other two have voted for the leader that wrote the entry.
    for voter in [0, 2] {
        (books.pages[voter].state.term, books.pages[voter].state.vote) =
            (Term(3), Some(raft_id(0)));
    }
    let decided = candidate_term_not_in_log::check(&has_entry.change(), &books);
    assert_eq!(decided, Ok(()), "the candidate has lost and does not know it");
    // One of them is down, and what is on its disk would let it vote again.
    books.pages[2].running = false;
    let forgotten = candidate_term_not_in_log::check(&has_entry.change(), &books);
    assert_reports(forgotten, candidate_term_not_in_log::NAME, "n0 has an entry of term 3");
}
