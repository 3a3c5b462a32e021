//! What clients are told, and the stores that they are told it from.

use bytes::Bytes;
use quorate_mvcc::{PutRequest, Revision, Store};
use quorate_raft::{LogIndex, Term};
use quorate_wal::disk::MemDisk;

use super::super::revision_monotonic::{self, RevisionMonotonic};
use super::super::stores_agree::{self, StoresAgree};
use super::super::{Invariants, read_safety};
use super::*;

#[test]
fn read_safety_reports_a_linearizable_read_from_before_what_was_acknowledged() {
    let books = books(&[&[1, 1], &[1, 1], &[]]);
    let reads = |kind, applied, acknowledged| {
        let mut made = Made::idle(&books, 0);
        let answered = answer(kind, 1, 5, applied);
        made.activity.answers.push(Answer { acknowledged: LogIndex(acknowledged), ..answered });
        read_safety::check(&made.change())
    };
    assert_eq!(reads(RequestKind::LinearizableRead, 2, 2), Ok(()));
    assert_eq!(reads(RequestKind::SerializableRead, 1, 2), Ok(()), "that one may be stale");
    let stale = reads(RequestKind::LinearizableRead, 1, 2);
    assert_reports(stale, read_safety::NAME, "from entry 1, though entry 2");
}

#[test]
fn stores_agree_reports_two_stores_after_the_same_entries() {
    let books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    let mut invariant = StoresAgree::default();
    let mut applies = |member, applied, digest| {
        let mut made = Made::idle(&books, member);
        (made.after.applied, made.store.digest) = (LogIndex(applied), digest);
        invariant.check(&made.change())
    };
    assert_eq!(applies(0, 2, 17), Ok(()));
    assert_eq!(applies(1, 1, 3), Ok(()), "it has not applied all of it");
    assert_eq!(applies(1, 2, 17), Ok(()));
    assert_reports(applies(2, 2, 18), stores_agree::NAME, "n2 has applied 2");
}

#[test]
fn stores_agree_reports_stores_that_hash_differently_at_the_end() {
    let store = |values: &[&'static str]| {
        let mut store = Store::new();
        for value in values {
            let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value.as_bytes()));
            let put = PutRequest { key, value, ..PutRequest::default() };
            store.put(&put).expect("a put is valid");
        }
        store
    };
    let (one, same) = (store(&["v", "x"]), store(&["v", "x"]));
    let (behind, other) = (store(&["v"]), store(&["w"]));
    let disk = MemDisk::new();
    let compare = |stores: [&Store; 2]| {
        let readers = stores.map(|store| store.reader(&disk));
        stores_agree::compare([NodeId(0), NodeId(1)].into_iter().zip(readers))
    };
    assert_eq!(compare([&one, &same]), Ok(()));
    assert_eq!(compare([&one, &behind]), Ok(()), "at another revision");
    assert_reports(compare([&behind, &other]), stores_agree::NAME, "n1 and n0 hash differently");
}

#[test]
fn revision_monotonic_reports_answers_that_go_back_even_over_a_restart() {
    let books = books(&[&[1], &[1], &[1]]);
    let mut invariant = RevisionMonotonic::new(3);
    let mut answers = |member, term, revision, booted| {
        let mut made = Made::idle(&books, member);
        made.booted = booted;
        let told = answer(RequestKind::SerializableRead, term, revision, 1);
        made.activity.answers.push(told);
        invariant.check(&made.change(), &books)
    };
    assert_eq!(answers(0, 2, 9, false), Ok(()));
    assert_eq!(answers(0, 2, 9, false), Ok(()), "the same again");
    assert_eq!(answers(1, 1, 4, false), Ok(()), "another member may be behind");
    let revision = answers(0, 2, 8, true);
    assert_reports(revision, revision_monotonic::NAME, "revision 8 and term 2, after revision 9");
    let term = answers(0, 1, 9, true);
    assert_reports(term, revision_monotonic::NAME, "term 1, after revision 9 and term 2");
}

#[test]
fn revision_monotonic_reports_a_store_that_goes_back_within_a_life() {
    let books = books(&[&[1], &[1], &[1]]);
    let mut invariant = RevisionMonotonic::new(3);
    let mut holds = |revision, compacted, booted| {
        let mut made = Made::idle(&books, 0);
        (made.store.revision, made.booted) = (Revision(revision), booted);
        made.store.compacted = Revision(compacted);
        invariant.check(&made.change(), &books)
    };
    assert_eq!(holds(7, 4, false), Ok(()));
    assert_eq!(holds(3, 2, true), Ok(()), "a new life begins with what was committed on its disk");
    assert_reports(holds(2, 2, false), revision_monotonic::NAME, "from revision 3 to 2");
    assert_reports(holds(3, 1, false), revision_monotonic::NAME, "store went");
}

#[test]
fn revision_monotonic_reports_what_is_applied_and_could_be_forgotten() {
    let mut books = books(&[&[1, 1], &[1, 1], &[1, 1]]);
    books.pages[0].durable.pop();
    let applies = |applied| {
        let mut made = Made::idle(&books, 0);
        made.after.applied = LogIndex(applied);
        RevisionMonotonic::new(3).check(&made.change(), &books)
    };
    assert_eq!(applies(1), Ok(()));
    assert_reports(applies(2), revision_monotonic::NAME, "entry 2, which is not on its disk");
}

#[test]
fn what_a_step_committed_and_answered_is_entered_once_it_was_found_right() {
    let mut invariants = Invariants::new(3);
    invariants.books = books(&[&[1, 1], &[1, 1], &[]]);
    let mut made = Made::committing(&invariants.books, 0, 2);
    made.after.term = Term(1);
    made.activity.answers.push(answer(RequestKind::Write, 1, 3, 2));
    assert_eq!(invariants.check(&made.change()), Ok(()));
    invariants.books.settle(&made.change());
    assert_eq!((invariants.commits(), invariants.acknowledged()), (2, LogIndex(2)));
}
