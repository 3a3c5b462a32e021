//! What a damaged disk has lost is no broken promise of its member, as long as that says so and elects
//! nobody; without damage, or without saying so, it is.

use quorate_raft::{HardState, LogIndex, Progress, Role, Term};

use super::super::books::Recovered;
use super::super::monotonic_match::{self, MonotonicMatch};
use super::super::no_disjoint_quorums::NoDisjointQuorums;
use super::super::{
    acknowledged_is_durable, committed_is_durable, monotonic_term_and_vote, quorum_log,
    starts_again,
};
use super::*;
use crate::engine::FileKind;

/// What a member finds that abstains, with doubts up to an entry.
fn abstaining(terms: &[u64], doubtful: u64) -> Recovered {
    Recovered { abstains: true, doubtful: LogIndex(doubtful), ..recovered(log(terms)) }
}

/// n1 of three has lost all but its first entry to damage, and has come up.
fn damaged(books: &mut Books) {
    books.damage(1, FileKind::Log);
    books.crash(1);
    books.boot(1, abstaining(&[1], 3), true);
}

#[test]
fn a_damaged_member_may_come_up_with_less_if_its_doubts_cover_what_it_had() {
    let mut books = books(&[&[1, 1, 1], &[], &[]]);
    let restarts = |books: &Books, found| acknowledged_is_durable::check_recovery(books, 0, &found);
    let name = acknowledged_is_durable::NAME;
    let undamaged = restarts(&books, abstaining(&[1, 1], 3));
    assert_reports(undamaged, name, "n0 abstains from elections, though nothing has damaged");
    let whole = restarts(&books, abstaining(&[1, 1, 1], 3));
    assert_reports(whole, name, "n0 abstains from elections, though nothing has damaged");
    books.damage(0, FileKind::Log);
    assert_eq!(restarts(&books, abstaining(&[1, 1], 3)), Ok(()));
    assert_eq!(restarts(&books, abstaining(&[1, 1], 7)), Ok(()), "it may be too careful");
    let careless = restarts(&books, abstaining(&[1, 1], 2));
    assert_reports(careless, name, "those up to 2 to be in doubt, but it had 3");
    let silent = restarts(&books, recovered(log(&[1, 1])));
    assert_reports(silent, name, "with 2 entries, but 3 others");
    assert_eq!(restarts(&books, recovered(log(&[1, 1, 1]))), Ok(()), "the damage was harmless");
}

#[test]
fn a_damaged_member_keeps_its_term_and_its_vote() {
    let mut books = books(&[&[2], &[2], &[2]]);
    books.pages[0].durable_hard.vote = Some(raft_id(1));
    books.damage(0, FileKind::Log);
    let restarts = |term, vote| {
        let hard = HardState { term: Term(term), vote, commit: LogIndex::ZERO };
        let found = Recovered { hard, ..abstaining(&[], 1) };
        monotonic_term_and_vote::check_recovery(&books, 0, &found)
    };
    assert_reports(restarts(2, None), monotonic_term_and_vote::NAME, "without its vote in term 2");
    assert_reports(restarts(1, None), monotonic_term_and_vote::NAME, "restarts in term 1");
    assert_eq!(restarts(2, Some(raft_id(1))), Ok(()));
}

#[test]
fn what_a_member_in_doubt_had_counts_until_the_doubt_is_gone() {
    let mut books = books(&[&[1, 1, 1], &[1, 1, 1], &[1]]);
    let commits =
        |books: &Books| committed_is_durable::check(&Made::committing(books, 0, 3).change(), books);
    damaged(&mut books);
    assert_eq!(commits(&books), Ok(()));
    books.crash(1);
    assert_eq!(commits(&books), Ok(()), "it will be in doubt again when it comes up");
    books.boot(1, abstaining(&[1], 3), true);
    books.pages[1].state.abstains = false;
    assert_eq!(commits(&books), Ok(()), "its disk still says that it is in doubt");
    // It had another entry there.
    books.pages[1].lost = vec![forged(&[1, 1, 1], 7)];
    assert_reports(commits(&books), committed_is_durable::NAME, "on the disks of [n0], no quorum");
    books.pages[1].lost.clear();
    assert_reports(commits(&books), committed_is_durable::NAME, "on the disks of [n0], no quorum");
}

#[test]
fn a_second_damage_leaves_what_was_lost_to_the_first_in_doubt() {
    let mut books = books(&[&[1, 1, 1], &[1, 1, 1], &[1]]);
    damaged(&mut books);
    rewrite(&mut books, 1, &[1, 2]);
    books.damage(1, FileKind::Log);
    books.crash(1);
    books.boot(1, abstaining(&[], 3), true);
    let holds = |terms: &[u64]| {
        let log = log(terms);
        books.pages[1].vouches_for(LogIndex(log.len() as u64), log.last().copied())
    };
    assert!(holds(&[1, 1, 1]) && holds(&[1, 2]));
    assert!(!holds(&[1, 2, 2]));
}

/// n1's log in memory and on its disk goes on from an entry as these terms say.
fn rewrite(books: &mut Books, kept: usize, terms: &[u64]) {
    let page = &mut books.pages[1];
    page.log = log(terms);
    page.durable.truncate(kept);
    page.durable.extend_from_slice(&log(terms)[kept..]);
}

#[test]
fn a_quorum_without_a_committed_entry_matters_only_if_it_could_elect_somebody() {
    let mut books = books(&[&[1, 1, 1], &[1, 1, 1], &[1]]);
    books.committed = log(&[1, 1, 1]);
    books.pages[0].state.commit = LogIndex(3);
    damaged(&mut books);
    assert_eq!(quorum_log::check_all(&books), Ok(()), "n1 elects nobody");
    books.pages[1].state.abstains = false;
    let lacking = quorum_log::check_all(&books);
    assert_reports(lacking, quorum_log::NAME, "[n1 n2] are a quorum of n0 n1 n2 and lack entry 3");
}

#[test]
fn who_abstains_is_no_voter_that_two_groups_could_have_in_common() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1], &[1, 1]]);
    change_group(&mut books, 0, 2, &voters(&[0, 1, 2]));
    change_group(&mut books, 3, 2, &voters(&[2, 3]));
    let check = |books: &Books| NoDisjointQuorums::default().check(books);
    check(&books).expect_err("n3 and n2, and n0 and n1");
    books.pages[2].state.abstains = true;
    assert_eq!(check(&books), Ok(()), "n2 does not vote for n3");
}

#[test]
fn a_match_goes_back_only_to_what_the_follower_has_lost() {
    let mut books = books(&[&[1, 1, 1], &[1, 1, 1], &[1]]);
    let leads = |books: &Books, invariant: &mut MonotonicMatch, matched: u64| {
        let mut made = Made::into_role(books, 0, Role::Leader, 1);
        let mut progress = Progress::new(raft_id(1), LogIndex(3));
        progress.matched = LogIndex(matched);
        made.progress.push(progress);
        invariant.check(&made.change(), books)
    };
    let mut invariant = MonotonicMatch::new(3);
    assert_eq!(leads(&books, &mut invariant, 3), Ok(()));
    damaged(&mut books);
    assert_eq!(leads(&books, &mut invariant, 1), Ok(()), "it was told");
    assert_eq!(leads(&books, &mut invariant, 3), Ok(()), "an answer from before came late");
    books.pages[1].doubtful = LogIndex(2);
    let back = leads(&books, &mut invariant, 1);
    assert_reports(back, monotonic_match::NAME, "n1 at match 1 after 3");
    books.pages[1].lost.clear();
    let counts = leads(&books, &mut MonotonicMatch::new(3), 3);
    assert_reports(counts, monotonic_match::NAME, "up to 3, which is not on its disk");
}

#[test]
fn only_a_member_whose_log_is_damaged_may_refuse_to_start() {
    let mut books = books(&[&[1], &[1], &[1]]);
    let check = |books: &Books| starts_again::check(books, 0, "the log is corrupt");
    let assert_may_not = |books: &Books| {
        let message = "n0 does not start, though nothing has damaged its log: the log is corrupt";
        assert_reports(check(books), starts_again::NAME, message);
    };
    assert_may_not(&books);
    for files in [FileKind::Store, FileKind::Snapshot] {
        books.damage(0, files);
        assert_may_not(&books);
    }
    books.damage(0, FileKind::Log);
    assert_eq!(check(&books), Ok(()));
    books.replace(0);
    assert_may_not(&books);
}

#[test]
fn a_disk_may_be_damaged_only_where_the_others_can_make_up_for_it() {
    let mut three = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    assert!(!three.may_damage(0), "nothing is committed yet");
    three.committed = log(&[1]);
    assert!(three.may_damage(0));
    three.damage(0, FileKind::Log);
    assert!(!three.may_damage(1), "n0 has not got over its damage");
    assert!(three.may_damage(0), "but it may be hit again");
    three.crash(0);
    three.boot(0, recovered(log(&[1, 1])), true);
    let damage = three.pages[0].damage.expect("it has not caught up");
    assert!(damage.in_log && !damage.needs_start && !damage.needs_scrub);
    assert!(!three.may_damage(1), "it has only just started");
    three.pages[0].damage = None;
    assert!(three.may_damage(1));
    // A change that is not committed may be taken back, or not.
    change_group(&mut three, 0, 2, &voters(&[0, 1]));
    assert!(three.may_damage(2));
    assert!(!three.may_damage(1), "n0 alone is no majority of n0 and n1");
    let mut one = books(&[&[1]]);
    one.committed = log(&[1]);
    assert!(!one.may_damage(0), "nobody has what it would lose");
}

#[test]
fn a_damaged_store_needs_its_scrubber_and_a_damaged_log_a_start() {
    let mut books = books(&[&[1], &[1], &[1]]);
    for files in [FileKind::Store, FileKind::Log] {
        books.damage(0, files);
    }
    let needs = |books: &Books| {
        let damage = books.pages[0].damage.expect("it is damaged");
        (damage.needs_start, damage.needs_scrub)
    };
    assert_eq!(needs(&books), (true, true));
    books.crash(0);
    books.boot(0, recovered(log(&[1])), true);
    assert_eq!(needs(&books), (false, true));
    books.damage(0, FileKind::Snapshot);
    assert_eq!(needs(&books), (true, true));
}
