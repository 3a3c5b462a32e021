//! The guarantees of a KV service that the store alone can keep, each by the number that it has
//! in the project's contract with etcd, and etcd's own bugs that broke them.

use bytes::Bytes;
use quorate_mvcc::{
    CompactRequest, Compare, CompareResult, CompareTarget, DEFAULT_MAX_TXN_OPERATIONS,
    DeleteRangeRequest, Error, KeyValue, KvHash, LeaseId, PutRequest, RangeRequest, RequestOp,
    ResponseOp, Revision, SortOrder, SortTarget, Store, TxnRequest, validate_delete_range,
    validate_put, validate_range, validate_txn,
};

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() }
}

fn delete(key: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() }
}

fn delete_between(key: &'static str, range_end: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: range_end.into(), prev_kv: false }
}

fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..RangeRequest::default() }
}

fn get_at(key: &'static str, revision: i64) -> RangeRequest {
    RangeRequest { revision: Revision::from_wire(revision), ..get(key) }
}

fn everything() -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), ..RangeRequest::default() }
}

fn all_of(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    RequestOp::Txn(TxnRequest { compare: Vec::new(), success, failure })
}

fn compare(key: &'static str, result: CompareResult, target: CompareTarget) -> Compare {
    Compare { key: key.into(), range_end: Bytes::new(), result, target }
}

fn kv(store: &Store, request: &RangeRequest) -> Option<KeyValue> {
    store.range(request).expect("the range is readable").kvs.pop()
}

fn value_at(store: &Store, key: &'static str, revision: i64) -> Option<Bytes> {
    kv(store, &get_at(key, revision)).map(|kv| kv.value)
}

fn compact(store: &mut Store, revision: i64) -> Result<Revision, Error> {
    let answer = store.compact(&CompactRequest { revision: Revision(revision) });
    answer.map(|response| response.revision)
}

/// All by which two stores could be told apart.
fn fingerprint(store: &Store) -> (u64, KvHash, Revision) {
    let hash = store.hash_kv(None).expect("the current revision is readable");
    (store.digest(), hash, store.compact_revision())
}

use RequestOp::{DeleteRange, Put, Range};

#[test]
fn guarantee_06_the_revision_starts_at_1_and_counts_transactions_that_change_something() {
    let mut store = Store::new();
    assert_eq!(store.revision(), Revision(1));
    assert_eq!(store.put(&put("a", "1")).expect("valid").revision, Revision(2));
    // The same value again is a write all the same.
    assert_eq!(store.put(&put("a", "1")).expect("valid").revision, Revision(3));

    assert_eq!(store.delete_range(&delete("none")).expect("valid").revision, Revision(3));
    assert_eq!(store.range(&get("a")).expect("valid").revision, Revision(3));
    let read_only = store.txn(&all_of(vec![Range(get("a"))])).expect("valid");
    assert_eq!(read_only.revision, Revision(3));
    let nothing = store.txn(&all_of(vec![DeleteRange(delete("none"))])).expect("valid");
    assert_eq!(nothing.revision, Revision(3));
    assert_eq!(compact(&mut store, 2), Ok(Revision(3)));
    assert_eq!(store.revision(), Revision(3));

    let many = all_of(vec![Put(put("b", "1")), Put(put("c", "1")), DeleteRange(delete("a"))]);
    assert_eq!(store.txn(&many).expect("valid").revision, Revision(4));
    assert_eq!(store.delete_range(&delete_between("a", "z")).expect("valid").deleted, 2);
    assert_eq!(store.revision(), Revision(5));
}

#[test]
fn guarantee_07_keys_written_by_one_transaction_share_its_revision() {
    let mut store = Store::new();
    store.put(&put("d", "old")).expect("valid");
    let request = all_of(vec![
        Range(everything()),
        Put(put("b", "1")),
        nested(vec![Put(put("a", "2")), DeleteRange(delete("d"))], vec![]),
        Put(put("c", "3")),
        Range(everything()),
    ]);
    let response = store.txn(&request).expect("valid");
    assert_eq!(response.revision, Revision(3));
    let [ResponseOp::Range(before), .., ResponseOp::Range(after)] = response.responses.as_slice()
    else {
        panic!("ranges answer as ranges");
    };
    // A read sees what was written before it in the same transaction, and its revision.
    assert_eq!((before.revision, before.count), (Revision(2), 1));
    assert_eq!((after.revision, after.count), (Revision(3), 3));
    let found = store.range(&everything()).expect("valid");
    assert_eq!(found.kvs, after.kvs);
    for kv in found.kvs {
        assert_eq!(
            (kv.mod_revision, kv.create_revision, kv.version),
            (Revision(3), Revision(3), 1)
        );
    }
}

#[test]
fn guarantee_08_versions_restart_and_creation_is_fixed_within_a_generation() {
    let mut store = Store::new();
    let mut check = |request: Option<PutRequest>, create: i64, modified: i64, version: i64| {
        match request {
            Some(request) => drop(store.put(&request).expect("valid")),
            None => drop(store.delete_range(&delete("a")).expect("valid")),
        }
        let kv = kv(&store, &get("a")).unwrap_or_default();
        let expected = (Revision(create), Revision(modified), version);
        assert_eq!((kv.create_revision, kv.mod_revision, kv.version), expected);
    };
    check(Some(put("a", "1")), 2, 2, 1);
    check(Some(put("a", "2")), 2, 3, 2);
    check(Some(put("b", "other keys do not count")), 2, 3, 2);
    check(Some(put("a", "3")), 2, 5, 3);
    check(None, 0, 0, 0);
    check(None, 0, 0, 0);
    check(Some(put("a", "4")), 7, 7, 1);
    check(Some(put("a", "5")), 7, 8, 2);
    // Neither a compaction within the generation nor one past its start changes that.
    compact(&mut store, 8).expect("revision 8 exists");
    store.put(&put("a", "6")).expect("valid");
    let kv = kv(&store, &get("a")).expect("a exists");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (Revision(7), Revision(9), 3));
}

/// Transactions that write first and fail afterwards.
fn failing_transactions() -> Vec<(TxnRequest, Error)> {
    let ignore_value = PutRequest { ignore_value: true, ..put("none", "") };
    let ignore_lease = PutRequest { ignore_lease: true, ..put("none", "x") };
    let both_ignored_and_given = PutRequest { ignore_value: true, ..put("a", "x") };
    let write = || Put(put("a", "written"));
    vec![
        (all_of(vec![write(), Range(get_at("a", 2))]), Error::Compacted),
        (all_of(vec![write(), Range(get_at("a", 9))]), Error::FutureRevision),
        // The revision that the transaction itself would reach is not there yet.
        (all_of(vec![write(), Range(get_at("a", 6))]), Error::FutureRevision),
        (all_of(vec![write(), Put(ignore_value.clone())]), Error::KeyNotFound),
        (all_of(vec![write(), Put(ignore_lease)]), Error::KeyNotFound),
        (all_of(vec![write(), Put(both_ignored_and_given)]), Error::ValueProvided),
        (all_of(vec![write(), Put(put("", "x"))]), Error::EmptyKey),
        (all_of(vec![write(), write()]), Error::DuplicateKey),
        (all_of(vec![write(), nested(vec![Range(get_at("a", 1))], vec![])]), Error::Compacted),
        (all_of(vec![write(), nested(vec![Put(ignore_value)], vec![])]), Error::KeyNotFound),
        (all_of(vec![DeleteRange(delete("b")), Range(get_at("a", 2))]), Error::Compacted),
    ]
}

/// Revision 5, compacted at 3, with the keys a and b.
fn store_with_a_past() -> Store {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        store.put(&put("a", value)).expect("valid");
    }
    store.put(&put("b", "1")).expect("valid");
    compact(&mut store, 3).expect("revision 3 exists");
    store
}

#[test]
fn guarantee_09_a_failed_transaction_has_no_effect_on_any_member() {
    for (request, error) in failing_transactions() {
        let mut members = [store_with_a_past(), store_with_a_past()];
        let before = fingerprint(&members[0]);
        for member in &mut members {
            assert_eq!(member.txn(&request), Err(error), "{request:?}");
            assert_eq!(fingerprint(member), before, "{request:?}");
            assert_eq!(value_at(member, "a", 0), Some("3".into()));
        }
    }
}

#[test]
fn bug_18667_members_that_compacted_at_different_times_refuse_alike() {
    // One member applies the compaction before the transaction, as agreed; both must then refuse
    // the read although the transaction also writes, before anything was written.
    let request = all_of(vec![Put(put("a", "x")), Range(get_at("a", 3)), Put(put("b", "x"))]);
    let mut store = store_with_a_past();
    assert!(store.txn(&request).is_ok());
    compact(&mut store, 5).expect("revision 5 exists");
    let before = fingerprint(&store);
    assert_eq!(store.txn(&request), Err(Error::Compacted));
    assert_eq!(fingerprint(&store), before);
    // The branch that is not taken is not judged.
    let never = compare("a", CompareResult::Equal, CompareTarget::Version(99));
    let request = TxnRequest { compare: vec![never], ..request };
    assert!(!store.txn(&request).expect("valid").succeeded);
}

#[test]
fn guarantee_10_no_transaction_writes_a_key_twice() {
    let a = || Put(put("a", ""));
    let delete_a = || DeleteRange(delete("a"));
    let range = |from, to| DeleteRange(delete_between(from, to));
    let twice = Err(Error::DuplicateKey);
    let cases = vec![
        (vec![a(), Put(put("b", ""))], Ok(())),
        (vec![a(), a()], twice),
        (vec![a(), delete_a()], twice),
        (vec![delete_a(), a()], twice),
        (vec![delete_a(), delete_a()], Ok(())),
        (vec![range("a", "c"), range("b", "d")], Ok(())),
        (vec![a(), range("a", "b")], twice),
        (vec![Put(put("b", "")), range("a", "b")], Ok(())),
        (vec![Put(put("a\0", "")), range("a", "b")], twice),
        (vec![Put(put("a\0", "")), delete_a()], Ok(())),
        // The open end is an end, not a key.
        (vec![a(), range("\0", "\0")], twice),
        (vec![a(), range("b", "\0")], Ok(())),
        // An inverted range holds nothing.
        (vec![a(), range("b", "a")], Ok(())),
        (vec![a(), range("a", "a")], Ok(())),
        // Two that overlap are as one.
        (vec![range("c", "e"), range("a", "d"), Put(put("d", ""))], twice),
        (vec![range("c", "e"), range("a", "d"), Put(put("e", ""))], Ok(())),
        (vec![range("a", "z"), range("c", "d"), Put(put("x", ""))], twice),
        (vec![a(), Range(everything())], Ok(())),
        // Of the branches of a nested transaction only one runs, but either may.
        (vec![nested(vec![a()], vec![a()])], Ok(())),
        (vec![nested(vec![a()], vec![delete_a()])], Ok(())),
        (vec![nested(vec![a()], vec![]), a()], twice),
        (vec![a(), nested(vec![], vec![a()])], twice),
        (vec![nested(vec![a()], vec![]), nested(vec![], vec![a()])], twice),
        (vec![nested(vec![delete_a()], vec![]), nested(vec![a()], vec![])], twice),
        // etcd lets this one pass.
        (vec![nested(vec![a()], vec![]), nested(vec![delete_a()], vec![])], twice),
        (vec![nested(vec![nested(vec![a()], vec![])], vec![]), range("\0", "b")], twice),
        (vec![nested(vec![nested(vec![], vec![a(), delete_a()])], vec![])], twice),
    ];
    for (operations, expected) in cases {
        for is_success in [true, false] {
            let mut request = TxnRequest::default();
            let branch = if is_success { &mut request.success } else { &mut request.failure };
            branch.clone_from(&operations);
            assert_eq!(validate_txn(&request, 128), expected, "{request:?}");
            let applied = Store::new().txn(&request).map(|_| ());
            assert_eq!(applied, expected, "whichever branch would run: {request:?}");
        }
    }
}

#[test]
fn guarantee_12_reads_are_refused_below_the_compaction_and_in_the_future() {
    let mut store = Store::new();
    for value in ["2", "3", "4", "5"] {
        store.put(&put("a", value)).expect("valid");
    }
    let read = |store: &Store, at| store.range(&get_at("a", at)).map(|mut found| found.kvs.pop());
    for (at, value) in [(1, None), (2, Some("2")), (4, Some("4")), (5, Some("5")), (0, Some("5"))] {
        let found = read(&store, at).expect("readable").map(|kv| kv.value);
        assert_eq!(found, value.map(Bytes::from), "at {at}");
    }
    assert_eq!(read(&store, 6), Err(Error::FutureRevision));
    compact(&mut store, 4).expect("revision 4 exists");
    for at in 1..4 {
        assert_eq!(read(&store, at), Err(Error::Compacted), "at {at}");
    }
    assert_eq!(value_at(&store, "a", 4), Some("4".into()));
    assert_eq!(value_at(&store, "a", 5), Some("5".into()));
    assert_eq!(read(&store, 6), Err(Error::FutureRevision));
}

#[test]
fn guarantee_13_compactions_are_refused_behind_the_last_one_and_in_the_future() {
    let mut store = Store::new();
    assert_eq!(store.compact_revision(), Revision::NEVER_COMPACTED);
    assert_eq!(compact(&mut store, 2), Err(Error::FutureRevision));
    assert_eq!(compact(&mut store, -1), Err(Error::Compacted));
    for value in ["2", "3", "4", "5"] {
        store.put(&put("a", value)).expect("valid");
    }
    let steps = [
        (3, Ok(Revision(5))),
        (3, Err(Error::Compacted)),
        (2, Err(Error::Compacted)),
        (6, Err(Error::FutureRevision)),
        (5, Ok(Revision(5))),
        (5, Err(Error::Compacted)),
    ];
    for (revision, expected) in steps {
        assert_eq!(compact(&mut store, revision), expected, "at {revision}");
    }
    assert_eq!(store.compact_revision(), Revision(5));
}

/// Some life, in which nothing is special.
fn live(store: &mut Store) {
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "3")] {
        store.put(&put(key, value)).expect("valid");
    }
    store.delete_range(&delete("b")).expect("valid");
    store.txn(&all_of(vec![Put(put("b", "2")), DeleteRange(delete("c"))])).expect("valid");
    store.put(&put("c", "2")).expect("valid");
}

#[test]
fn guarantee_14_hashes_agree_between_members_at_every_revision() {
    let mut members = [Store::new(), Store::new()];
    for member in &mut members {
        live(member);
    }
    let current = members[0].revision().0;
    let hash = |store: &Store, at: i64| store.hash_kv(Revision::from_wire(at));
    let mut distinct = std::collections::BTreeSet::new();
    for at in 1..=current {
        assert_eq!(hash(&members[0], at), hash(&members[1], at));
        distinct.insert(hash(&members[0], at).expect("readable").hash);
    }
    assert_eq!(distinct.len() as i64, current, "each revision has a hash of its own");

    // A member that compacted in two steps holds what one holds that did it in one.
    compact(&mut members[0], 4).expect("exists");
    compact(&mut members[0], 7).expect("exists");
    compact(&mut members[1], 7).expect("exists");
    assert_eq!(hash(&members[0], 6), Err(Error::Compacted));
    assert_eq!(hash(&members[0], current + 1), Err(Error::FutureRevision));
    for at in 7..=current {
        let taken = hash(&members[0], at).expect("readable");
        assert_eq!(Ok(taken), hash(&members[1], at), "at {at}");
        assert_eq!((taken.hash_revision, taken.compact_revision), (Revision(at), Revision(7)));
    }
    // What is written later does not change an earlier hash.
    let earlier = hash(&members[0], current).expect("readable").hash;
    members[0].put(&put("d", "1")).expect("valid");
    assert_eq!(hash(&members[0], current).expect("readable").hash, earlier);
}

#[test]
fn guarantee_14_hashes_tell_stores_apart_by_every_field() {
    let lease = |id| LeaseId::from_wire(id);
    let one = || put("key", "value");
    let others = [
        put("kez", "value"),
        put("key", "valuf"),
        put("key", ""),
        PutRequest { lease: lease(1), ..one() },
        PutRequest { lease: lease(2), ..one() },
    ];
    let mut hashes = std::collections::BTreeSet::new();
    let mut digests = std::collections::BTreeSet::new();
    for request in others.into_iter().chain([one()]) {
        let mut store = Store::new();
        store.put(&request).expect("valid");
        digests.insert(store.digest());
        hashes.insert(store.hash_kv(None).expect("readable").hash);
        // The same pair in another generation, or at another version, is another state.
        store.put(&request).expect("valid");
        hashes.insert(store.hash_kv(None).expect("readable").hash);
        store.delete_range(&delete("key")).expect("valid");
        digests.insert(store.digest());
    }
    assert_eq!((hashes.len(), digests.len()), (12, 12));
}

#[test]
fn guarantee_14_hashes_tell_generations_apart_whose_past_is_compacted() {
    // Key a ends at revision 5 in all, created at 2 or 3 and written two or three times.
    let pasts = [["a", "b", "a", "a"], ["b", "a", "a", "a"], ["a", "b", "b", "a"]];
    let mut hashes = std::collections::BTreeSet::new();
    for past in pasts {
        let mut store = Store::new();
        for key in past {
            store.put(&put(key, "")).expect("valid");
        }
        store.delete_range(&delete("b")).expect("valid");
        store.put(&put("c", "")).expect("valid");
        compact(&mut store, 7).expect("revision 7 exists");
        assert_eq!(store.range(&everything()).expect("valid").count, 2);
        hashes.insert(store.hash_kv(None).expect("readable").hash);
    }
    assert_eq!(hashes.len(), pasts.len());
}

#[test]
fn conditions_compare_as_in_etcd() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use CompareTarget::{CreateRevision, Lease, ModRevision, Value, Version};
    let mut store = Store::new();
    store.put(&PutRequest { lease: LeaseId::from_wire(7), ..put("a", "m") }).expect("valid");
    store.put(&PutRequest { ignore_lease: true, ..put("a", "m") }).expect("valid");
    store.put(&put("b", "n")).expect("valid");
    // Each target of key a, with an operand below it, one equal to it and one above.
    type Number = fn(i64) -> CompareTarget;
    let numbers: [(Number, i64); 4] =
        [(Version, 2), (CreateRevision, 2), (ModRevision, 3), (Lease, 7)];
    let mut cases: Vec<(&'static str, [CompareTarget; 3])> = Vec::new();
    for (target, is) in numbers {
        cases.push(("a", [target(is - 1), target(is), target(is + 1)]));
        cases.push(("none", [target(-1), target(0), target(1)]));
    }
    cases.push(("a", [Value("l".into()), Value("m".into()), Value("m\0".into())]));
    for (key, operands) in cases {
        // Rows: operand below, equal, above. Columns: =, !=, <, >.
        let expected =
            [[false, true, false, true], [true, false, false, false], [false, true, true, false]];
        for (operand, row) in operands.into_iter().zip(expected) {
            for (result, holds) in [Equal, NotEqual, Less, Greater].into_iter().zip(row) {
                let condition = compare(key, result, operand.clone());
                let request = TxnRequest { compare: vec![condition], ..TxnRequest::default() };
                assert_eq!(store.txn(&request).expect("valid").succeeded, holds, "{request:?}");
            }
        }
    }
    let range = |key: &'static str, end: &'static str, result, target| Compare {
        range_end: end.into(),
        ..compare(key, result, target)
    };
    let cases = [
        // The value of a key that is not there fails every comparison.
        (compare("none", Equal, Value("".into())), false),
        (compare("none", NotEqual, Value("x".into())), false),
        (compare("none", Less, Value("x".into())), false),
        // A range holds if all of its keys do.
        (range("a", "c", Greater, Value("l".into())), true),
        (range("a", "c", Greater, Value("m".into())), false),
        (range("a", "\0", Greater, Version(0)), true),
        (range("\0", "\0", Greater, Version(1)), false),
        (range("c", "\0", Equal, Version(0)), true),
        (range("b", "a", Equal, Version(0)), true),
    ];
    for (condition, holds) in cases {
        let request = TxnRequest { compare: vec![condition], ..TxnRequest::default() };
        assert_eq!(store.txn(&request).expect("valid").succeeded, holds, "{request:?}");
    }
}

#[test]
fn conditions_of_nested_transactions_see_the_state_before_the_whole() {
    let mut store = Store::new();
    let missing = compare("a", CompareResult::Equal, CompareTarget::Version(0));
    let inner =
        TxnRequest { compare: vec![missing], success: vec![Range(get("a"))], failure: vec![] };
    let request = all_of(vec![Put(put("a", "1")), RequestOp::Txn(inner)]);
    let response = store.txn(&request).expect("valid");
    let ResponseOp::Txn(inner) = &response.responses[1] else { panic!("a txn answers as one") };
    assert!(inner.succeeded, "key a was not there before");
    assert_eq!(inner.revision, Revision(0), "etcd leaves a nested header empty");
    let ResponseOp::Range(range) = &inner.responses[0] else { panic!("a range answers as one") };
    assert_eq!(range.kvs[0].value, "1", "but the read within sees the write");
}

#[test]
fn ranges_follow_etcds_conventions() {
    let mut store = Store::new();
    for key in ["a", "a\0", "ab", "b", "c"] {
        store.put(&put(key, "")).expect("valid");
    }
    let cases: [(&str, &str, &[&str]); 9] = [
        ("a", "", &["a"]),
        ("aa", "", &[]),
        ("a", "b", &["a", "a\0", "ab"]),
        ("a", "a\0", &["a"]),
        ("ab", "\0", &["ab", "b", "c"]),
        ("\0", "\0", &["a", "a\0", "ab", "b", "c"]),
        ("b", "a", &[]),
        ("b", "b", &[]),
        ("b", "zz", &["b", "c"]),
    ];
    for (key, range_end, expected) in cases {
        let (key, range_end) = (Bytes::from(key), Bytes::from(range_end));
        let request = RangeRequest { key, range_end, ..RangeRequest::default() };
        let found = store.range(&request).expect("valid");
        let keys: Vec<&[u8]> = found.kvs.iter().map(|kv| &kv.key[..]).collect();
        assert_eq!(keys, expected.iter().map(|key| key.as_bytes()).collect::<Vec<_>>());
        let counted = store.range(&RangeRequest { count_only: true, limit: 1, ..request.clone() });
        let counted = counted.expect("valid");
        assert_eq!((counted.count, counted.kvs.len()), (expected.len() as u64, 0));
        assert!(!counted.more);
        let delete =
            DeleteRangeRequest { key: request.key, range_end: request.range_end, prev_kv: true };
        let deleted = store.clone().delete_range(&delete).expect("valid");
        assert_eq!((deleted.deleted, deleted.prev_kvs), (expected.len() as u64, found.kvs));
    }
}

#[test]
fn a_page_says_whether_there_is_more_and_counts_all() {
    let mut store = Store::new();
    for key in ["a", "b", "c"] {
        store.put(&put(key, "value")).expect("valid");
    }
    let cases = [(0, 3, false), (1, 1, true), (2, 2, true), (3, 3, false), (u64::MAX, 3, false)];
    for (limit, kvs, more) in cases {
        let page = store.range(&RangeRequest { limit, ..everything() }).expect("valid");
        assert_eq!((page.kvs.len(), page.more, page.count), (kvs, more, 3), "limit {limit}");
    }
    let filter = RangeRequest { min_mod_revision: Some(Revision(3)), limit: 1, ..everything() };
    let page = store.range(&filter).expect("valid");
    assert_eq!((page.kvs[0].key.as_ref(), page.more, page.count), (b"b".as_ref(), true, 3));
    assert_eq!(page.kvs.len(), 1);
    let keys = store.range(&RangeRequest { keys_only: true, ..everything() }).expect("valid");
    assert!(keys.kvs.iter().all(|kv| kv.value.is_empty() && kv.version == 1));
}

#[test]
fn a_range_is_sorted_by_its_target() {
    use SortOrder::{Ascend, Descend, None};
    use SortTarget::{CreateRevision, Key, ModRevision, Value, Version};
    let mut store = Store::new();
    for (key, value) in [("c", "1"), ("a", "3"), ("b", "2"), ("a", "3"), ("c", "1"), ("c", "1")] {
        store.put(&put(key, value)).expect("valid");
    }
    let cases = [
        (Key, None, "abc"),
        (Key, Ascend, "abc"),
        (Key, Descend, "cba"),
        (Version, Ascend, "bac"),
        (Version, Descend, "cab"),
        (CreateRevision, Ascend, "cab"),
        (ModRevision, Descend, "cab"),
        (ModRevision, Ascend, "bac"),
        (Value, Ascend, "cba"),
        (Value, Descend, "abc"),
        (Value, None, "cba"),
    ];
    let keys = |limit, sort_target, sort_order| {
        let request = RangeRequest { sort_target, sort_order, limit, ..everything() };
        let found = store.range(&request).expect("valid");
        let keys: Vec<u8> = found.kvs.iter().map(|kv| kv.key[0]).collect();
        String::from_utf8(keys).expect("the keys are ASCII")
    };
    for (target, order, expected) in cases {
        assert_eq!(keys(0, target, order), expected, "{target:?} {order:?}");
        if (target, order) != (Value, None) {
            assert_eq!(keys(2, target, order), expected[..2], "{target:?} {order:?}");
        }
    }
    // Without an order etcd takes the lowest keys first and sorts afterwards: of a, b and c.
    assert_eq!(keys(2, Value, None), "cb");
    assert_eq!(keys(1, Value, None), "b", "c was not fetched");
    assert_eq!(SortOrder::try_from(3), Err(Error::InvalidSortOption));
    assert_eq!(SortTarget::try_from(-1), Err(Error::InvalidSortOption));
    assert_eq!(SortTarget::try_from(4), Ok(Value));
}

#[test]
fn a_put_can_keep_value_or_lease_and_answer_with_what_was() {
    let mut store = Store::new();
    let keep_value = PutRequest { ignore_value: true, prev_kv: true, ..put("a", "") };
    assert_eq!(store.put(&keep_value), Err(Error::KeyNotFound));
    assert_eq!(store.revision(), Revision(1));
    let lease = LeaseId::from_wire(5);
    store.put(&PutRequest { lease, ..put("a", "1") }).expect("valid");
    let previous = store.put(&keep_value).expect("a exists").prev_kv.expect("a existed");
    assert_eq!((previous.value.as_ref(), previous.lease), (b"1".as_ref(), lease));
    let now = kv(&store, &get("a")).expect("a exists");
    assert_eq!((now.value.as_ref(), now.lease, now.version), (b"1".as_ref(), None, 2));
    store.put(&PutRequest { lease, ..put("a", "1") }).expect("valid");
    store.put(&PutRequest { ignore_lease: true, ..put("a", "2") }).expect("a exists");
    let now = kv(&store, &get("a")).expect("a exists");
    assert_eq!((now.value.as_ref(), now.lease), (b"2".as_ref(), lease));
    let silent = store.put(&put("a", "3")).expect("valid");
    assert_eq!(silent.prev_kv, None, "it was not asked for");
}

#[test]
fn requests_are_judged_before_they_are_proposed() {
    let lease = LeaseId::from_wire(1);
    assert_eq!(validate_range(&get("")), Err(Error::EmptyKey));
    assert_eq!(validate_delete_range(&delete("")), Err(Error::EmptyKey));
    let cases = [
        (put("a", ""), Ok(())),
        (put("", "x"), Err(Error::EmptyKey)),
        (PutRequest { ignore_value: true, ..put("a", "x") }, Err(Error::ValueProvided)),
        (PutRequest { ignore_value: true, ..put("a", "") }, Ok(())),
        (PutRequest { ignore_lease: true, lease, ..put("a", "x") }, Err(Error::LeaseProvided)),
        (PutRequest { ignore_value: true, lease, ..put("a", "") }, Ok(())),
    ];
    for (request, expected) in cases {
        assert_eq!(validate_put(&request), expected, "{request:?}");
        assert_eq!(validate_txn(&all_of(vec![Put(request)]), 1), expected);
    }
    let unnamed = compare("", CompareResult::Equal, CompareTarget::Version(0));
    let request = TxnRequest { compare: vec![unnamed], ..TxnRequest::default() };
    assert_eq!(validate_txn(&request, 1), Err(Error::EmptyKey));
}

#[test]
fn the_longest_list_counts_and_nested_ones_have_what_it_leaves() {
    let reads = |count: usize| vec![Range(get("a")); count];
    let condition = compare("a", CompareResult::Equal, CompareTarget::Version(0));
    let limit = DEFAULT_MAX_TXN_OPERATIONS;
    assert_eq!(limit, 128);
    let too_many = Err(Error::TooManyOperations);
    for (length, expected) in [(limit, Ok(())), (limit + 1, too_many)] {
        let success = all_of(reads(length));
        let failure = TxnRequest { failure: reads(length), ..TxnRequest::default() };
        let compare =
            TxnRequest { compare: vec![condition.clone(); length], ..TxnRequest::default() };
        for request in [success, failure, compare] {
            assert_eq!(validate_txn(&request, limit), expected);
        }
    }
    let both = TxnRequest { success: reads(128), failure: reads(128), ..TxnRequest::default() };
    assert_eq!(validate_txn(&both, limit), Ok(()));
    for (inner, expected) in [(3, Ok(())), (4, too_many)] {
        let mut outer = reads(1);
        outer.push(nested(reads(inner), vec![]));
        assert_eq!(validate_txn(&all_of(outer), 5), expected);
    }
    // A member whose limit is lower still applies what another member let pass.
    assert!(Store::new().txn(&all_of(reads(200))).is_ok());
}

#[test]
fn refusals_have_etcds_texts() {
    let texts = [
        (Error::EmptyKey, "key is not provided"),
        (Error::KeyNotFound, "key not found"),
        (Error::ValueProvided, "value is provided"),
        (Error::LeaseProvided, "lease is provided"),
        (Error::TooManyOperations, "too many operations in txn request"),
        (Error::DuplicateKey, "duplicate key given in txn request"),
        (Error::InvalidSortOption, "invalid sort option"),
        (Error::Compacted, "mvcc: required revision has been compacted"),
        (Error::FutureRevision, "mvcc: required revision is a future revision"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), format!("etcdserver: {text}"));
    }
}
