//! Random lives of a store on a disk, beside one in memory that gets the same requests: they must
//! answer alike, whatever is written, synced, compacted, lost and opened again in between.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_mvcc::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, Manifest, PutRequest, RangeRequest,
    RequestOp, Revision, Store, TxnRequest,
};
use quorate_wal::disk::{DiskOp, MemDisk};

use crate::support::{OPTIONS, Request, apply, dir};

#[derive(Clone, Debug)]
enum Step {
    Apply(Request),
    /// How far behind the current revision.
    Compact(i64),
    Range(RangeRequest),
    /// Hands the next batch to the disk.
    Write,
    Checkpoint,
    /// The process dies, and with it what was not written.
    Die,
    /// The power fails: of what was not synced, these stay (cyclic).
    PowerLoss(Vec<bool>),
    Work,
}

fn key() -> impl Strategy<Value = Bytes> {
    (0..12_u32).prop_map(|number| Bytes::from(format!("key {number:02}")))
}

fn put() -> impl Strategy<Value = PutRequest> {
    let flags = (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (key(), 0..120_usize, any::<u8>(), flags).prop_map(|(key, len, byte, flags)| PutRequest {
        key,
        value: if flags.1 { Bytes::new() } else { Bytes::from(vec![byte; len]) },
        prev_kv: flags.0,
        ignore_value: flags.1,
        ignore_lease: flags.2,
        ..PutRequest::default()
    })
}

fn delete() -> impl Strategy<Value = DeleteRangeRequest> {
    let end = prop_oneof![3 => Just(Bytes::new()), 1 => key()];
    (key(), end, any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn range() -> impl Strategy<Value = RangeRequest> {
    let end = prop_oneof![1 => Just(Bytes::new()), 2 => key(), 1 => Just(Bytes::from("\0"))];
    (key(), end, 0..4_u64, -1..12_i64).prop_map(|(key, range_end, limit, back)| RangeRequest {
        key,
        range_end,
        limit,
        // How far behind the current revision, until it is placed.
        revision: (back >= 0).then_some(Revision(back)),
        ..RangeRequest::default()
    })
}

fn txn() -> impl Strategy<Value = TxnRequest> {
    let compare = (key(), any::<u8>(), 0..120_usize).prop_map(|(key, byte, len)| Compare {
        key,
        range_end: Bytes::new(),
        result: CompareResult::Greater,
        target: CompareTarget::Value(Bytes::from(vec![byte; len])),
    });
    let operation = || {
        prop_oneof![
            3 => put().prop_map(RequestOp::Put),
            1 => delete().prop_map(RequestOp::DeleteRange),
            1 => range().prop_map(|range| {
                RequestOp::Range(RangeRequest { revision: None, ..range })
            }),
        ]
    };
    (vec(compare, 0..2), vec(operation(), 0..5), vec(operation(), 0..3))
        .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => put().prop_map(|put| Step::Apply(Request::Put(put))),
        6 => delete().prop_map(|delete| Step::Apply(Request::Delete(delete))),
        15 => txn().prop_map(|txn| Step::Apply(Request::Txn(txn))),
        4 => (0..20_i64).prop_map(Step::Compact),
        20 => range().prop_map(Step::Range),
        15 => Just(Step::Write),
        6 => Just(Step::Checkpoint),
        40 => Just(Step::Work),
        1 => Just(Step::Die),
        2 => vec(any::<bool>(), 1..9).prop_map(Step::PowerLoss),
    ]
}

/// A store on a disk, and what its member would have: snapshots and a log.
struct Member {
    disk: MemDisk,
    store: Store,
    /// The newest that is durable.
    manifest: Option<Manifest>,
    /// What was applied since that one was taken.
    log: Vec<Request>,
    restarts: usize,
}

impl Member {
    fn new() -> Member {
        let mut disk = MemDisk::new();
        let (store, _) = Store::open(&mut disk, &dir(), None, OPTIONS).expect("an empty disk");
        Member { disk, store, manifest: None, log: Vec::new(), restarts: 0 }
    }

    fn write(&mut self) {
        let operations = self.store.take_ops();
        if !operations.is_empty() {
            DiskOp::execute_all(&operations, &mut self.disk).expect("the disk is sound");
            self.store.ops_done();
        }
    }

    fn checkpoint(&mut self) {
        let manifest = self.store.checkpoint();
        self.write();
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest.clone()));
        self.log.clear();
        self.store.retain(&[&manifest], None);
        self.manifest = Some(manifest);
    }

    fn restart(&mut self) {
        let manifest = self.manifest.as_ref();
        let (store, opened) = Store::open(&mut self.disk, &dir(), manifest, OPTIONS)
            .expect("what was synced is there");
        assert_eq!(opened.rebuilt, [], "nothing was damaged");
        self.store = store;
        self.store.retain(&manifest.into_iter().collect::<Vec<_>>(), None);
        for request in self.log.clone() {
            apply(&mut self.store, &self.disk, &request);
        }
        self.restarts += 1;
    }
}

fn same(member: &Member, twin: &Store) {
    let store = &member.store;
    assert_eq!(store.revision(), twin.revision());
    assert_eq!(store.compact_revision(), twin.compact_revision());
    assert_eq!(store.digest(), twin.digest());
    assert_eq!(
        store.reader(&member.disk).hash_kv(None).expect("nothing is damaged"),
        twin.hash_kv(None).expect("the current revision is there")
    );
    assert!(store.cached_bytes() <= OPTIONS.cache_bytes);
}

fn run(steps: Vec<Step>) -> (usize, usize) {
    let (mut member, mut twin) = (Member::new(), Store::new());
    for step in steps {
        let current = twin.revision().0;
        let step = match step {
            Step::Compact(back) => Step::Apply(Request::Compact(current - back)),
            other => other,
        };
        match step {
            Step::Compact(_) => unreachable!("it became a request"),
            Step::Apply(request) => {
                let answer = apply(&mut member.store, &member.disk, &request);
                assert_eq!(answer, apply(&mut twin, &MemDisk::new(), &request), "{request:?}");
                member.log.push(request);
            }
            Step::Range(mut range) => {
                range.revision = range.revision.map(|back| Revision(current - back.0));
                let answer = member.store.reader(&member.disk).range(&range);
                assert_eq!(answer, twin.reader(&MemDisk::new()).range(&range), "{range:?}");
            }
            Step::Write => member.write(),
            Step::Checkpoint => member.checkpoint(),
            Step::Work => {
                let progress = member.store.work(&member.disk, 300);
                assert_eq!(progress.damage, None);
            }
            Step::Die => member.restart(),
            Step::PowerLoss(kept) => {
                let mut kept = kept.into_iter().cycle();
                member.disk.power_loss(|_| kept.next().expect("it is endless"));
                member.restart();
            }
        }
        same(&member, &twin);
    }
    member.checkpoint();
    member.disk.power_loss(|_| false);
    member.restart();
    same(&member, &twin);
    let segments = member.manifest.as_ref().map_or(0, |manifest| manifest.segments.len());
    (segments, member.restarts)
}

#[test]
fn a_store_on_a_disk_answers_like_one_in_memory_whatever_is_lost_and_opened_again() {
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    let seen = std::cell::Cell::new((0, 0));
    proptest!(config, |(steps in vec(step(), 150..250))| {
        let (segments, restarts) = run(steps);
        let (all_segments, all_restarts) = seen.get();
        seen.set((all_segments + segments, all_restarts + restarts));
    });
    let (segments, restarts) = seen.get();
    assert!(segments >= 500, "{segments} segments at the ends of all lives");
    assert!(restarts >= 500, "{restarts} restarts");
}
