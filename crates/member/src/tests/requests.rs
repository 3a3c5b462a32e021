//! Writes: where they go, and what is said of them.

use quorate_mvcc::{PutRequest, Revision, TxnRequest};

use super::group::{Group, SECOND, get, put, value};
use crate::{Error, HaltReason, Input, PeerMessage, Request, Time, Timer};

#[test]
fn a_write_at_a_follower_goes_through_the_leader_and_is_answered_where_it_was_asked() {
    let mut group = Group::led(3);
    let token = group.ask(2, put("a", "1"));
    group.settle();
    let response = group.answer(token).expect("committed");
    assert_eq!((response.member.0, response.body.revision()), (3, Revision(2)));
    for member in &group.members {
        assert_eq!(member.store().revision(), Revision(2));
    }
}

#[test]
fn a_forwarded_write_that_arrives_twice_happens_once() {
    let mut group = Group::led(3);
    let token = group.ask(2, put("a", "1"));
    let forwarded = group.messages.pop_front().expect("it is forwarded");
    assert!(matches!(forwarded, PeerMessage::Propose { .. }));
    group.deliver(forwarded.clone());
    group.settle();
    group.deliver(forwarded);
    group.settle();
    assert_eq!(group.answer(token).expect("committed").body.revision(), Revision(2));
    assert_eq!(group.members[0].store().revision(), Revision(2), "one write, one revision");
}

#[test]
fn a_forwarded_write_of_another_term_is_not_taken() {
    let mut group = Group::led(3);
    group.ask(2, put("a", "1"));
    let forwarded = group.messages.pop_front().expect("it is forwarded");
    // The same member leads again, in the next term but one.
    group.campaign(1);
    group.settle();
    group.campaign(0);
    group.settle();
    let last_index = group.members[0].view().log.last_index();
    group.deliver(forwarded);
    group.settle();
    assert_eq!(group.members[0].view().log.last_index(), last_index);
}

#[test]
fn without_a_leader_a_write_is_refused_for_certain() {
    let mut group = Group::new(3);
    let token = group.ask(1, put("a", "1"));
    let error = group.answer(token).expect_err("nobody leads");
    assert_eq!((error, error.is_definite()), (Error::NoLeader, true));
    assert_eq!(error.to_string(), "etcdserver: no leader");
}

#[test]
fn a_write_that_takes_too_long_has_an_unknown_outcome_and_may_still_happen() {
    let mut group = Group::led(3);
    let token = group.ask(0, put("a", "1"));
    // Its messages are under way.
    group.now = Time(group.now.0 + 8 * SECOND);
    assert!(group.timers.contains(&(0, Timer::Housekeeping)), "what waits is looked after");
    group.fire(0, Timer::Housekeeping);
    let error = group.answer(token).expect_err("too late");
    assert_eq!((error, error.is_definite()), (Error::TimedOut, false));
    group.settle();
    assert_eq!(group.members[0].store().revision(), Revision(2), "it happened after all");
    assert!(!group.replies.contains_key(&token), "and is not answered twice");
}

#[test]
fn what_is_invalid_costs_no_log_entry() {
    let mut group = Group::led(1);
    let last_index = group.members[0].view().log.last_index();
    let empty = Request::Put(PutRequest::default());
    let token = group.ask(0, empty);
    let error = group.answer(token).expect_err("no key");
    assert_eq!(error.to_string(), "etcdserver: key is not provided");
    let large = Request::Put(PutRequest {
        key: "a".into(),
        value: vec![0; 2 << 20].into(),
        ..PutRequest::default()
    });
    let token = group.ask(0, large);
    assert_eq!(group.answer(token), Err(Error::TooLarge));
    let Request::Put(operation) = put("a", "1") else { unreachable!() };
    let success = vec![quorate_mvcc::RequestOp::Put(operation); 129];
    let token = group.ask(0, Request::Txn(TxnRequest { success, ..TxnRequest::default() }));
    let error = group.answer(token).expect_err("too many");
    assert_eq!(error.to_string(), "etcdserver: too many operations in txn request");
    assert_eq!(group.members[0].view().log.last_index(), last_index);
}

#[test]
fn too_many_waiting_requests_are_refused_and_memory_is_bounded() {
    let mut group = Group::led(3);
    let limit = super::group::config(0, 3, 1).max_waiting_requests;
    for _ in 0..limit {
        group.ask(0, put("a", "1"));
    }
    let token = group.ask(0, get("a"));
    assert_eq!(group.answer(token), Err(Error::TooManyRequests));
    group.settle();
    assert_eq!(group.replies.len(), limit, "the others are answered");
    let token = group.ask(0, get("a"));
    group.settle();
    assert_eq!(value(group.answer(token)).as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_refused_transaction_is_refused_alike_on_every_member() {
    let mut group = Group::led(3);
    let missing =
        Request::Put(PutRequest { key: "a".into(), ignore_value: true, ..PutRequest::default() });
    let token = group.ask(1, missing);
    group.settle();
    assert_eq!(
        group.answer(token).expect_err("no such key").to_string(),
        "etcdserver: key not found"
    );
    let digests: Vec<u64> = group.members.iter().map(|member| member.store().digest()).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(group.members[2].store().revision(), Revision::INITIAL);
}

#[test]
fn a_failed_disk_halts_the_member_for_good() {
    let mut group = Group::led(1);
    let token = group.ask(0, put("a", "1"));
    let (batch, _) = group.batches[0].pop_front().expect("the write is on its way");
    let error = quorate_wal::disk::DiskError::NoSpace { path: quorate_wal::disk::DiskPath::root() };
    group.input(0, Input::Disk { batch, result: Err(error) });
    assert!(matches!(group.halted[..], [(0, HaltReason::Disk(_))]), "{:?}", group.halted);
    group.fire(0, Timer::Housekeeping);
    group.ask(0, get("a"));
    assert!(
        !group.replies.contains_key(&token) && group.replies.is_empty(),
        "it says nothing more"
    );
}
