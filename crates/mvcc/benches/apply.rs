//! What the store costs: one operation each on a store of some size.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use quorate_mvcc::{
    CompactRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest,
    RangeRequest, RequestOp, Revision, Store, TxnRequest,
};

const SMALL: u64 = 100;
const LARGE: u64 = 100_000;

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/default/{number:08}"))
}

fn put(number: u64) -> PutRequest {
    PutRequest { key: key(number), value: Bytes::from(vec![7; 64]), ..PutRequest::default() }
}

/// A store of `keys` keys, each written twice.
fn store(keys: u64) -> Store {
    let mut store = Store::new();
    for number in (0..keys).chain(0..keys) {
        store.put(&put(number)).expect("the put is valid");
    }
    store
}

/// Walks through the keys in an order that is none.
struct Walk {
    at: u64,
    keys: u64,
}

impl Walk {
    fn over(keys: u64) -> Walk {
        Walk { at: 0, keys }
    }

    fn next(&mut self) -> usize {
        self.at = (self.at + 61_803_399) % self.keys;
        self.at as usize
    }
}

/// Forgets the past now and then, as a cluster does: else a run measures its own memory.
fn forget(store: &mut Store) {
    if store.revision().0 - store.compact_revision().0 > 1_000_000 {
        store.compact(&CompactRequest { revision: store.revision() }).expect("it is current");
    }
}

fn puts(criterion: &mut Criterion) {
    for keys in [SMALL, LARGE] {
        let mut filled = store(keys);
        let requests: Vec<PutRequest> = (0..keys).map(put).collect();
        let mut walk = Walk::over(keys);
        criterion.bench_function(&format!("put/{keys}"), |bencher| {
            bencher.iter(|| {
                forget(&mut filled);
                black_box(filled.put(&requests[walk.next()]).expect("the put is valid"))
            });
        });
    }
}

fn compare_and_swap(criterion: &mut Criterion) {
    for keys in [SMALL, LARGE] {
        let mut filled = store(keys);
        let mut requests: Vec<TxnRequest> = Vec::new();
        for number in 0..keys {
            let compare = Compare {
                key: key(number),
                range_end: Bytes::new(),
                result: CompareResult::Greater,
                target: CompareTarget::ModRevision(1),
            };
            let read = RangeRequest { key: key(number), ..RangeRequest::default() };
            requests.push(TxnRequest {
                compare: vec![compare],
                success: vec![RequestOp::Put(put(number))],
                failure: vec![RequestOp::Range(read)],
            });
        }
        let mut walk = Walk::over(keys);
        criterion.bench_function(&format!("txn_compare_and_swap/{keys}"), |bencher| {
            bencher.iter(|| {
                forget(&mut filled);
                black_box(filled.txn(&requests[walk.next()]).expect("the txn is valid"))
            });
        });
    }
}

fn reads(criterion: &mut Criterion) {
    for keys in [SMALL, LARGE] {
        let filled = store(keys);
        let numbers = 0..keys;
        let requests: Vec<RangeRequest> =
            numbers.map(|n| RangeRequest { key: key(n), ..RangeRequest::default() }).collect();
        let mut walk = Walk::over(keys);
        criterion.bench_function(&format!("get/{keys}"), |bencher| {
            bencher.iter(|| {
                black_box(filled.range(&requests[walk.next()]).expect("the range is valid"))
            });
        });
    }
    let filled = store(LARGE);
    let page = |first: u64, past: u64, limit, count_only| RangeRequest {
        key: key(first),
        range_end: key(past),
        limit,
        count_only,
        ..RangeRequest::default()
    };
    let cases = [
        ("range_500", page(40_000, 40_500, 0, false)),
        ("range_page_of_500", page(0, LARGE, 500, false)),
        ("count_all", page(0, LARGE, 0, true)),
    ];
    for (name, request) in cases {
        criterion.bench_function(&format!("{name}/{LARGE}"), |bencher| {
            bencher.iter(|| black_box(filled.range(&request).expect("the range is valid")));
        });
    }
}

fn deletes(criterion: &mut Criterion) {
    for keys in [SMALL, LARGE] {
        let mut filled = store(keys);
        let puts: Vec<PutRequest> = (0..keys).map(put).collect();
        let numbers = 0..keys;
        let requests: Vec<DeleteRangeRequest> = numbers
            .map(|n| DeleteRangeRequest { key: key(n), ..DeleteRangeRequest::default() })
            .collect();
        let mut walk = Walk::over(keys);
        // A deleted key has to come back before it can be deleted again.
        criterion.bench_function(&format!("delete_and_put/{keys}"), |bencher| {
            bencher.iter(|| {
                forget(&mut filled);
                let at = walk.next();
                let deleted = filled.delete_range(&requests[at]).expect("the delete is valid");
                assert_eq!(deleted.deleted, 1);
                black_box(filled.put(&puts[at]).expect("the put is valid"))
            });
        });
    }
}

fn maintenance(criterion: &mut Criterion) {
    let filled = store(LARGE);
    let request = CompactRequest { revision: Revision(filled.revision().0) };
    criterion.bench_function(&format!("compact_half/{LARGE}"), |bencher| {
        bencher.iter_batched_ref(
            || filled.clone(),
            |store| black_box(store.compact(&request).expect("the revision is current")),
            BatchSize::LargeInput,
        );
    });
    criterion.bench_function(&format!("hash_kv/{LARGE}"), |bencher| {
        bencher.iter(|| black_box(filled.hash_kv(None).expect("the revision is current")));
    });
}

criterion_group!(benches, puts, compare_and_swap, reads, deletes, maintenance);
criterion_main!(benches);
