//! Random operations on a store in memory and on a model that keeps every keyspace whole: they must
//! answer alike, refusals included, and a second store, which applies the same to a disk, and now
//! and then starts again from there, must stay the same.

mod model;

use bytes::Bytes;
use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use quorate_mvcc::{
    CompactRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Error, Failure,
    KvHash, LeaseId, Manifest, PutRequest, RangeRequest, RequestOp, Revision, SortOrder,
    SortTarget, Store, StoreOptions, TxnRequest,
};
use quorate_wal::disk::{DiskOp, DiskPath, MemDisk};

const CASES: u32 = 160;
const OPERATIONS: std::ops::Range<usize> = 160..200;

#[derive(Clone, Debug)]
enum Operation {
    Range(RangeRequest),
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(i64),
    Hash(i64),
    Restart,
}

/// Neighbours in the order of keys, with the bytes at which ranges are easily wrong.
fn key() -> impl Strategy<Value = Bytes> {
    let keys: [&'static [u8]; 9] = [b"\0", b"\0\0", b"a", b"a\0", b"ab", b"b", b"c", b"d", b"\xff"];
    prop_oneof![80 => select(keys.to_vec()), 1 => Just(b"".as_slice())].prop_map(Bytes::from_static)
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just(Bytes::new()), 1 => Just(Bytes::from_static(b"\0")), 2 => key()]
}

fn value() -> impl Strategy<Value = Bytes> {
    select(vec!["", "x", "y", "somewhat longer"]).prop_map(Bytes::from)
}

fn lease() -> impl Strategy<Value = Option<LeaseId>> {
    (-1..3_i64).prop_map(LeaseId::from_wire)
}

/// A place in the store's life, in 256ths: [`place`] makes a revision of it, now and then one
/// that is not there any more or not there yet.
fn moment() -> impl Strategy<Value = Option<Revision>> {
    prop_oneof![4 => Just(None), 3 => (1..256_i64).prop_map(|part| Some(Revision(part)))]
}

fn place(part: i64, current: i64) -> i64 {
    part * (current + 5) / 256 - 2
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let sort = (
        select(vec![SortOrder::None, SortOrder::None, SortOrder::Ascend, SortOrder::Descend]),
        select(vec![
            SortTarget::Key,
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::CreateRevision,
            SortTarget::ModRevision,
            SortTarget::Value,
        ]),
    );
    let filter = || prop_oneof![5 => Just(None), 1 => (1..256_i64).prop_map(|p| Some(Revision(p)))];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (key(), range_end(), moment(), 0..6_u64, sort, [filter(), filter(), filter(), filter()], flags)
        .prop_map(|(key, range_end, revision, limit, (order, target), filters, flags)| {
            RangeRequest {
                key,
                range_end,
                revision,
                limit,
                sort_order: order,
                sort_target: target,
                min_mod_revision: filters[0],
                max_mod_revision: filters[1],
                min_create_revision: filters[2],
                max_create_revision: filters[3],
                serializable: flags.0,
                keys_only: flags.1,
                count_only: flags.2,
            }
        })
}

fn put() -> impl Strategy<Value = PutRequest> {
    let ignore = || prop::bool::weighted(0.1);
    (key(), value(), lease(), any::<bool>(), ignore(), ignore(), prop::bool::weighted(0.95))
        .prop_map(|(key, value, lease, prev_kv, ignore_value, ignore_lease, is_valid)| PutRequest {
            key,
            value: if ignore_value && is_valid { Bytes::new() } else { value },
            lease: lease.filter(|_| !(ignore_lease && is_valid)),
            prev_kv,
            ignore_value,
            ignore_lease,
        })
}

fn delete_range() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let target = prop_oneof![
        (-1..4_i64).prop_map(CompareTarget::Version),
        (0..256_i64).prop_map(CompareTarget::CreateRevision),
        (0..256_i64).prop_map(CompareTarget::ModRevision),
        value().prop_map(CompareTarget::Value),
        (-1..3_i64).prop_map(CompareTarget::Lease),
    ];
    let results = vec![
        CompareResult::Equal,
        CompareResult::NotEqual,
        CompareResult::Less,
        CompareResult::Greater,
    ];
    (key(), range_end(), select(results), target)
        .prop_map(|(key, range_end, result, target)| Compare { key, range_end, result, target })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let leaf = prop_oneof![
        3 => put().prop_map(RequestOp::Put),
        1 => delete_range().prop_map(RequestOp::DeleteRange),
        2 => range().prop_map(RequestOp::Range),
    ];
    let branches = |operation: BoxedStrategy<RequestOp>| {
        (vec(compare(), 0..3), vec(operation.clone(), 0..4), vec(operation, 0..4))
            .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
    };
    let operation = leaf
        .prop_recursive(2, 12, 4, move |inner| branches(inner.boxed()).prop_map(RequestOp::Txn));
    branches(operation.boxed())
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        30 => put().prop_map(Operation::Put),
        12 => delete_range().prop_map(Operation::DeleteRange),
        25 => range().prop_map(Operation::Range),
        25 => txn().prop_map(Operation::Txn),
        3 => (0..256_i64).prop_map(Operation::Compact),
        5 => (0..256_i64).prop_map(Operation::Hash),
        3 => Just(Operation::Restart),
    ]
}

fn place_range(request: &mut RangeRequest, current: i64) {
    for revision in [
        &mut request.revision,
        &mut request.min_mod_revision,
        &mut request.max_mod_revision,
        &mut request.min_create_revision,
        &mut request.max_create_revision,
    ] {
        *revision = revision.and_then(|Revision(part)| Revision::from_wire(place(part, current)));
    }
}

fn place_txn(request: &mut TxnRequest, current: i64) {
    for condition in &mut request.compare {
        match &mut condition.target {
            CompareTarget::CreateRevision(part) | CompareTarget::ModRevision(part) => {
                *part = place(*part, current);
            }
            _ => {}
        }
    }
    for operation in request.success.iter_mut().chain(&mut request.failure) {
        match operation {
            RequestOp::Range(range) => place_range(range, current),
            RequestOp::Txn(txn) => place_txn(txn, current),
            RequestOp::Put(_) | RequestOp::DeleteRange(_) => {}
        }
    }
}

/// What happened in a run, to see that it was not all refusals.
#[derive(Default)]
struct Seen {
    changes: usize,
    reads_of_the_past: usize,
    nested: usize,
    compactions: usize,
    restarts: usize,
    refusals: [usize; 7],
}

fn refusal(error: Error) -> usize {
    match error {
        Error::EmptyKey => 0,
        Error::KeyNotFound => 1,
        Error::ValueProvided => 2,
        Error::LeaseProvided => 3,
        Error::DuplicateKey => 4,
        Error::Compacted => 5,
        Error::FutureRevision => 6,
        other => panic!("{other:?} is no refusal of a store"),
    }
}

/// A store on a disk.
struct Replica {
    disk: MemDisk,
    store: Store,
}

impl Replica {
    fn new() -> Replica {
        let mut disk = MemDisk::new();
        let store = Replica::open(&mut disk, None);
        Replica { disk, store }
    }

    fn open(disk: &mut MemDisk, manifest: Option<&Manifest>) -> Store {
        // Small, so that a short life has many segments.
        let options = StoreOptions { segment_bytes: 600, flush_bytes: 150, cache_bytes: 4000 };
        let dir = DiskPath::root().join("store");
        Store::open(disk, &dir, manifest, options).expect("nothing is damaged").0
    }

    /// A step of what it does in the background, and all that it has for the disk.
    fn write(&mut self) {
        assert_eq!(self.store.work(&self.disk, 1000).damage, None);
        let operations = self.store.take_ops();
        DiskOp::execute_all(&operations, &mut self.disk).expect("a healthy disk");
        if !operations.is_empty() {
            self.store.ops_done();
        }
    }

    fn restart(&mut self) {
        let manifest = self.store.checkpoint();
        self.write();
        self.store.retain(&[&manifest], None);
        self.write();
        self.store = Replica::open(&mut self.disk, Some(&manifest));
    }
}

/// What a store on a disk without damage answers.
fn intact<T>(answer: Result<T, Failure>) -> Result<T, Error> {
    answer.map_err(|failure| match failure {
        Failure::Refused(error) => error,
        Failure::Damaged(damage) => panic!("nothing is damaged: {damage:?}"),
    })
}

struct Run {
    store: Store,
    replica: Replica,
    model: Model,
    seen: Seen,
}

impl Run {
    fn new() -> Run {
        let (store, replica, model) = (Store::new(), Replica::new(), Model::new());
        Run { store, replica, model, seen: Seen::default() }
    }

    fn step(&mut self, operation: Operation) {
        let current = self.model.revision();
        let before = (self.store.digest(), self.store.revision(), self.store.compact_revision());
        let refused = match operation {
            Operation::Range(mut request) => {
                place_range(&mut request, current);
                let answer = self.store.range(&request);
                assert_eq!(answer, self.model.range(&request), "{request:?}");
                self.seen.reads_of_the_past += usize::from(request.revision.is_some());
                answer.err()
            }
            Operation::Put(request) => {
                let answer = self.store.put(&request);
                assert_eq!(answer, self.model.put(&request), "{request:?}");
                let replica = self.replica.store.applier(&self.replica.disk).put(&request);
                assert_eq!(answer, intact(replica));
                answer.err()
            }
            Operation::DeleteRange(request) => {
                let answer = self.store.delete_range(&request);
                assert_eq!(answer, self.model.delete_range(&request), "{request:?}");
                let replica = self.replica.store.applier(&self.replica.disk).delete_range(&request);
                assert_eq!(answer, intact(replica));
                answer.err()
            }
            Operation::Txn(mut request) => {
                place_txn(&mut request, current);
                let answer = self.store.txn(&request);
                assert_eq!(answer, self.model.txn(&request), "{request:#?}");
                let replica = self.replica.store.applier(&self.replica.disk).txn(&request);
                assert_eq!(answer, intact(replica));
                let is_nested = |op: &RequestOp| matches!(op, RequestOp::Txn(_));
                let branches = [&request.success, &request.failure];
                let nests = branches.iter().any(|branch| branch.iter().any(is_nested));
                self.seen.nested += usize::from(answer.is_ok() && nests);
                answer.err()
            }
            Operation::Compact(part) => {
                let revision = Revision(place(part, current));
                let answer = self.store.compact(&CompactRequest { revision });
                assert_eq!(answer, self.model.compact(&CompactRequest { revision }));
                assert_eq!(answer, self.replica.store.compact(&CompactRequest { revision }));
                self.seen.compactions += usize::from(answer.is_ok());
                answer.err()
            }
            Operation::Hash(part) => self.hash(place(part, current)).err(),
            Operation::Restart => {
                self.replica.restart();
                self.seen.restarts += 1;
                None
            }
        };
        self.replica.write();
        let after = (self.store.digest(), self.store.revision(), self.store.compact_revision());
        if let Some(error) = refused {
            assert_eq!(before, after, "a refused request has no effect");
            self.seen.refusals[refusal(error)] += 1;
        }
        assert_eq!(self.store.revision().0, self.model.revision());
        assert_eq!(self.store.compact_revision().0, self.model.compacted);
        assert_eq!(self.store.digest(), self.replica.store.digest());
        let is_silent = (before.1, before.2) == (after.1, after.2);
        assert_eq!(is_silent, before.0 == after.0, "the digest follows the changes");
        self.seen.changes += usize::from(before.1 != after.1);
    }

    fn hash(&self, at: i64) -> Result<KvHash, Error> {
        let hash = self.store.hash_kv(Revision::from_wire(at));
        let reader = self.replica.store.reader(&self.replica.disk);
        assert_eq!(hash, intact(reader.hash_kv(Revision::from_wire(at))));
        if at > 0 && at < self.model.compacted {
            assert_eq!(hash, Err(Error::Compacted));
        } else if at > self.model.revision() {
            assert_eq!(hash, Err(Error::FutureRevision));
        } else {
            let taken = hash.expect("the revision can be read");
            assert_eq!(taken.hash_revision.0, if at > 0 { at } else { self.model.revision() });
            assert_eq!(taken.compact_revision.0, self.model.compacted);
        }
        hash
    }

    /// Reads everything, everywhere in the store's life and one beyond both of its ends.
    fn audit(&self) {
        for at in 0..=self.model.revision() + 1 {
            let everything = RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                revision: Revision::from_wire(at),
                ..RangeRequest::default()
            };
            let answer = self.store.range(&everything);
            assert_eq!(answer, self.model.range(&everything), "at {at}");
            let replica = self.replica.store.reader(&self.replica.disk).range(&everything);
            assert_eq!(answer, intact(replica), "the replica at {at}");
            let _ = self.hash(at);
        }
    }
}

#[test]
fn store_and_model_answer_alike() {
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    let total = std::cell::RefCell::new(Seen::default());
    let steps = std::cell::Cell::new(0_usize);
    proptest!(config, |(operations in vec(operation(), OPERATIONS))| {
        let mut run = Run::new();
        steps.set(steps.get() + operations.len());
        for operation in operations {
            run.step(operation);
        }
        run.audit();
        let mut total = total.borrow_mut();
        total.changes += run.seen.changes;
        total.reads_of_the_past += run.seen.reads_of_the_past;
        total.nested += run.seen.nested;
        total.compactions += run.seen.compactions;
        total.restarts += run.seen.restarts;
        for (sum, count) in total.refusals.iter_mut().zip(run.seen.refusals) {
            *sum += count;
        }
    });
    let total = total.into_inner();
    // Far below what a run reaches: this fails when the generator has gone blind.
    assert!(steps.get() >= 20_000, "{} steps", steps.get());
    assert!(total.changes >= 5_000, "{} changes", total.changes);
    assert!(total.reads_of_the_past >= 1_000, "{} reads of the past", total.reads_of_the_past);
    assert!(total.nested >= 100, "{} nested transactions", total.nested);
    assert!(total.compactions >= 100, "{} compactions", total.compactions);
    assert!(total.restarts >= 100, "{} restarts", total.restarts);
    for (kind, count) in total.refusals.iter().enumerate() {
        assert!(*count >= 10, "refusals of kind {kind}: {count}");
    }
}
