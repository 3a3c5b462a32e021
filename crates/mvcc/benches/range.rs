//! What reads and writes cost the index of large stores. What values cost that are on a disk is said
//! by the bench `disk`.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use quorate_mvcc::{
    CompactRequest, DeleteRangeRequest, PutRequest, RangeRequest, SortOrder, SortTarget, Store,
};

const SIZES: [u64; 2] = [100_000, 1_000_000];

/// Without a common divisor with any of the sizes: steps of it visit all numbers, in no order.
const STRIDE: u64 = 618_033_989;

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/default/{number:08}"))
}

/// A store of `keys` keys with even numbers, that came in no order, and one in sixteen of which
/// was deleted: no chunk is as simple as it could be.
fn store(keys: u64) -> Store {
    let mut store = Store::new();
    // All share one value: what is measured is not the allocator.
    let value = Bytes::from(vec![7; 256]);
    for number in 0..keys {
        let (key, value) = (key(number * STRIDE % keys * 2), value.clone());
        let put = PutRequest { key, value, ..PutRequest::default() };
        store.put(&put).expect("the put is valid");
    }
    for number in (0..keys).step_by(16) {
        let delete = DeleteRangeRequest { key: key(number * 2), ..DeleteRangeRequest::default() };
        store.delete_range(&delete).expect("the delete is valid");
    }
    store
}

/// Requests of ranges, each at another place of the store and from a key on that was not deleted.
fn ranges(
    store: &Store,
    keys: u64,
    request: &RangeRequest,
    until: impl Fn(u64) -> Bytes,
) -> Vec<RangeRequest> {
    let places = (0..1_000).map(|number| (number * STRIDE % (keys - 1_000)) | 1);
    let ranges = places.map(|first| RangeRequest {
        key: key(first * 2),
        range_end: until(first),
        ..request.clone()
    });
    let ranges: Vec<_> = ranges.collect();
    for range in &ranges {
        let answer = store.range(range).expect("the range is valid");
        assert!(answer.count > 0 && (range.count_only || !answer.kvs.is_empty()));
    }
    ranges
}

fn reads(criterion: &mut Criterion, keys: u64, filled: &Store) {
    let page = RangeRequest { limit: 500, keys_only: true, ..RangeRequest::default() };
    let count = RangeRequest { count_only: true, ..RangeRequest::default() };
    let descending = RangeRequest { sort_order: SortOrder::Descend, ..page.clone() };
    let few = |first: u64| key((first + 533) * 2);
    let rest = |_: u64| Bytes::from_static(b"\0");
    let cases = [
        ("range of 500 keys", ranges(filled, keys, &page, few)),
        ("500 keys and the count of the rest", ranges(filled, keys, &page, rest)),
        ("the last 500 keys of the rest", ranges(filled, keys, &descending, rest)),
        ("count of the rest", ranges(filled, keys, &count, rest)),
    ];
    let mut group = criterion.benchmark_group("range");
    for (name, requests) in &cases {
        let mut next = 0;
        group.bench_function(BenchmarkId::new(*name, keys), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % requests.len();
                black_box(filled.range(&requests[next]).expect("the range is valid"))
            });
        });
    }
    group.finish();
    newest_ten(criterion, keys, filled);
}

/// A sort by revision with a limit looks at every key, and fetches ten records.
fn newest_ten(criterion: &mut Criterion, keys: u64, filled: &Store) {
    let request = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        limit: 10,
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::ModRevision,
        ..RangeRequest::default()
    };
    criterion.bench_function(&format!("range/newest ten of all/{keys}"), |bencher| {
        bencher.iter(|| black_box(filled.range(&request).expect("the range is valid")));
    });
}

/// New keys, in no order, between those that are there.
fn creations(criterion: &mut Criterion, keys: u64, filled: &mut Store) {
    let puts = (0..keys).map(|number| PutRequest {
        key: key(number * STRIDE % keys * 2 + 1),
        value: Bytes::from_static(b"value"),
        ..PutRequest::default()
    });
    let puts: Vec<_> = puts.collect();
    let mut next = 0;
    criterion.bench_function(&format!("put of a new key/{keys}"), |bencher| {
        bencher.iter(|| {
            next = (next + 1) % puts.len();
            black_box(filled.put(&puts[next]).expect("the put is valid"))
        });
    });
    // Once all are there they are written again, which costs no less than a lookup.
    let current = CompactRequest { revision: filled.revision() };
    filled.compact(&current).expect("something was written");
}

fn benches(criterion: &mut Criterion) {
    for keys in SIZES {
        let mut filled = store(keys);
        reads(criterion, keys, &filled);
        creations(criterion, keys, &mut filled);
    }
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = benches
}
criterion_main!(all);
