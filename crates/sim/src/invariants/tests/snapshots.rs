//! Snapshots that stand for a part of the log, and leases.

use bytes::Bytes;
use quorate_mvcc::{PutRequest, Store};
use quorate_raft::{HardState, Log, LogIndex, Options, Raft, Restored, Role, Snapshot, Term};
use quorate_wal::disk::MemDisk;

use super::super::lease_exclusion::{self, LeaseExclusion};
use super::super::snapshot_consistent;
use super::*;

fn snapshot(index: u64, term: u64, nodes: &[u32]) -> Snapshot {
    Snapshot { index: LogIndex(index), term: Term(term), configuration: voters(nodes) }
}

#[test]
fn snapshot_consistent_reports_what_the_committed_log_does_not_say() {
    let mut books = books(&[&[1, 1, 2], &[1], &[1]]);
    books.committed = log(&[1, 1, 2]);
    let takes = |snapshot: Snapshot| {
        let mut made = Made::idle(&books, 0);
        made.snapshot = snapshot;
        snapshot_consistent::check(&made.change(), &books)
    };
    let name = snapshot_consistent::NAME;
    assert_eq!(takes(snapshot(3, 2, &[0, 1, 2])), Ok(()));
    assert_reports(takes(snapshot(3, 1, &[0, 1, 2])), name, "has term 1 and the group n0 n1 n2");
    assert_reports(takes(snapshot(2, 1, &[0, 1])), name, "has term 1 and n0 n1 n2 there");
    assert_reports(takes(snapshot(4, 2, &[0, 1, 2])), name, "but only 3 are committed");
}

#[test]
fn snapshot_consistent_reports_a_log_that_begins_after_what_was_never_committed() {
    let committed = log(&[1, 1, 2]);
    let begins = |index, term| {
        let raft = Raft::new(Restored {
            id: raft_id(0),
            snapshot: snapshot(index, term, &[0, 1, 2]),
            hard_state: HardState::default(),
            log: Log::after(LogIndex(index), Term(term)),
            changes: Vec::new(),
            doubtful: LogIndex::ZERO,
            options: Options::default(),
        });
        let raft = raft.expect("it is a state that a member can have");
        snapshot_consistent::stands_for(&committed, 0, &raft.view()).map(<[Slot]>::len)
    };
    let name = snapshot_consistent::NAME;
    assert_eq!((begins(2, 1), begins(3, 2)), (Ok(2), Ok(3)));
    assert_reports(begins(3, 1).map(drop), name, "of term 1, but of term 2 is what was committed");
    assert_reports(begins(4, 2).map(drop), name, "but only 3 are committed");
}

#[test]
fn snapshot_consistent_reports_a_restored_store_that_is_not_what_others_hold() {
    let store = |values: &[&'static str]| {
        let mut store = Store::new();
        for value in values {
            let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(value.as_bytes()));
            let put = PutRequest { key, value, ..PutRequest::default() };
            store.put(&put).expect("a put is valid");
        }
        store
    };
    let (ahead, same, other) = (store(&["v", "x"]), store(&["v"]), store(&["w"]));
    let disk = MemDisk::new();
    let restores = |restored: &Store| {
        let others = [(NodeId(0), ahead.reader(&disk))];
        snapshot_consistent::check_store(2, restored.reader(&disk), others)
    };
    assert_eq!(restores(&same), Ok(()), "as far as it goes");
    assert_eq!(restores(&ahead), Ok(()));
    let name = snapshot_consistent::NAME;
    assert_reports(restores(&other), name, "n2 has restored a snapshot, and up to revision 2");
}

#[test]
fn a_store_is_restored_when_it_holds_more_than_the_log_could_have_led_to() {
    let books = books(&[&[1, 1, 1], &[1], &[1]]);
    let mut made = Made::idle(&books, 0);
    (made.before.applied, made.after.applied) = (LogIndex(1), LogIndex(3));
    assert!(!made.change().restored(), "it applied the entries themselves");
    made.after.base = LogIndex(1);
    assert!(!made.change().restored(), "it has forgotten what it had applied");
    made.after.base = LogIndex(2);
    assert!(made.change().restored());
    made.after.applied = LogIndex(1);
    assert!(!made.change().restored(), "it waits for its disk");
    made.after.fetched = 1;
    assert!(made.change().restored(), "it is another member's");
    made.before.fetched = 1;
    (made.before.applied, made.after.applied, made.booted) = (LogIndex(3), LogIndex(3), true);
    assert!(made.change().restored(), "it started from it");
}

#[test]
fn lease_exclusion_reports_a_leader_while_another_ones_lease_is_valid() {
    let books = books(&[&[2], &[2], &[2]]);
    let wins = |term, lease: Option<(usize, u64)>| {
        let made = Made::into_role(&books, 1, Role::Leader, term);
        let lease_of = |member| lease.filter(|held| held.0 == member).map(|held| Term(held.1));
        LeaseExclusion::default().check(&made.change(), 3, lease_of)
    };
    assert_eq!(wins(3, None), Ok(()));
    let name = lease_exclusion::NAME;
    assert_reports(wins(3, Some((0, 2))), name, "n0 holds a lease of term 2 by its clock");
    assert_eq!(wins(3, Some((1, 3))), Ok(()), "its own");
    assert_eq!(wins(3, Some((0, 4))), Ok(()), "it wins too late, and will learn of it");
}

#[test]
fn lease_exclusion_reports_a_lease_that_begins_after_another_leads() {
    let books = books(&[&[2], &[2], &[2]]);
    let mut invariant = LeaseExclusion::default();
    let won = Made::into_role(&books, 1, Role::Leader, 3);
    assert_eq!(invariant.check(&won.change(), 3, |_| None), Ok(()));
    let mut deposed = Made::into_role(&books, 0, Role::Leader, 2);
    deposed.before.role = Role::Leader;
    assert_eq!(invariant.check(&deposed.change(), 3, |_| None), Ok(()), "it does not know yet");
    let renewed = invariant.check(&deposed.change(), 3, |_| Some(Term(2)));
    assert_reports(renewed, lease_exclusion::NAME, "though n1 leads in term 3");
}
