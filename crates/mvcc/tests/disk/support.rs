//! What the tests of the store on a disk share.

use bytes::Bytes;
use quorate_mvcc::{
    CompactRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, KvHash, Manifest,
    PutRequest, RangeRequest, RangeResponse, RequestOp, Revision, Store, StoreOptions, TxnRequest,
};
use quorate_wal::disk::{Disk, DiskOp, DiskPath, MemDisk};

/// Small, so that a short life has many segments.
pub(crate) const OPTIONS: StoreOptions =
    StoreOptions { segment_bytes: 600, flush_bytes: 150, cache_bytes: 4000 };

pub(crate) fn dir() -> DiskPath {
    DiskPath::new("store").expect("a valid name")
}

#[derive(Clone, Debug)]
pub(crate) enum Request {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    /// At which revision.
    Compact(i64),
}

/// The answer, as text.
pub(crate) fn apply(store: &mut Store, disk: &dyn Disk, request: &Request) -> String {
    let mut applier = store.applier(disk);
    match request {
        Request::Put(put) => format!("{:?}", applier.put(put)),
        Request::Delete(delete) => format!("{:?}", applier.delete_range(delete)),
        Request::Txn(txn) => format!("{:?}", applier.txn(txn)),
        Request::Compact(revision) => {
            format!("{:?}", store.compact(&CompactRequest { revision: Revision(*revision) }))
        }
    }
}

pub(crate) fn everything(at: Option<Revision>) -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        revision: at,
        ..RangeRequest::default()
    }
}

/// All that can be read of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    digest: u64,
    compacted: Revision,
    at: Vec<(RangeResponse, KvHash)>,
}

impl Content {
    /// # Panics
    /// Where it first differs from another one.
    pub(crate) fn assert_is(&self, other: &Content) {
        assert_eq!((self.digest, self.compacted), (other.digest, other.compacted));
        assert_eq!(self.at.len(), other.at.len(), "how many revisions can be read");
        for (one, other) in self.at.iter().zip(&other.at) {
            assert_eq!(one, other);
        }
    }

    /// # Panics
    /// If something of it is damaged.
    pub(crate) fn of(store: &Store, disk: &dyn Disk) -> Content {
        let reader = store.reader(disk);
        let oldest = store.compact_revision().max(Revision::INITIAL);
        let at = (oldest.0..=store.revision().0).map(|revision| {
            let revision = Some(Revision(revision));
            let all = reader.range(&everything(revision)).expect("nothing is damaged");
            (all, reader.hash_kv(revision).expect("nothing is damaged"))
        });
        let (digest, compacted) = (store.digest(), store.compact_revision());
        Content { digest, compacted, at: at.collect() }
    }
}

/// A sequence that looks random and is always the same.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }

    fn key(&mut self) -> Bytes {
        Bytes::from(format!("key {:02}", self.below(12)))
    }

    pub(crate) fn put(&mut self) -> PutRequest {
        let (byte, len) = (self.below(256) as u8, self.below(120) as usize);
        let (key, prev_kv) = (self.key(), self.below(3) == 0);
        PutRequest { key, value: vec![byte; len].into(), prev_kv, ..PutRequest::default() }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let range_end = if self.below(4) == 0 { self.key() } else { Bytes::new() };
        DeleteRangeRequest { key: self.key(), range_end, prev_kv: self.below(2) == 0 }
    }

    fn txn(&mut self) -> TxnRequest {
        let compare = Compare {
            key: self.key(),
            range_end: Bytes::new(),
            result: CompareResult::Greater,
            target: CompareTarget::Value(vec![self.below(200) as u8].into()),
        };
        let success = vec![
            RequestOp::Put(self.put()),
            RequestOp::Range(RangeRequest { limit: 3, ..everything(None) }),
            RequestOp::DeleteRange(self.delete()),
        ];
        let failure = vec![RequestOp::Put(self.put())];
        TxnRequest { compare: vec![compare], success, failure }
    }

    pub(crate) fn request(&mut self, current: Revision) -> Request {
        match self.below(20) {
            0..12 => Request::Put(self.put()),
            12..15 => Request::Delete(self.delete()),
            15..19 => Request::Txn(self.txn()),
            _ => Request::Compact(current.0 - self.below(12) as i64),
        }
    }
}

/// A store with its disk, all whose operations are carried out at once.
pub(crate) struct Machine {
    pub(crate) disk: MemDisk,
    pub(crate) store: Store,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let mut disk = MemDisk::new();
        let (store, _) = Store::open(&mut disk, &dir(), None, OPTIONS).expect("an empty disk");
        Machine { disk, store }
    }

    /// One that has lived for a while.
    pub(crate) fn aged(seed: u64, requests: usize) -> Machine {
        let (mut machine, mut draws) = (Machine::new(), Draws::new(seed));
        for _ in 0..requests {
            let request = draws.request(machine.store.revision());
            machine.apply(&request);
        }
        machine
    }

    pub(crate) fn apply(&mut self, request: &Request) -> String {
        let answer = apply(&mut self.store, &self.disk, request);
        self.write();
        answer
    }

    pub(crate) fn write(&mut self) {
        while self.store.has_ops() {
            let operations = self.store.take_ops();
            DiskOp::execute_all(&operations, &mut self.disk).expect("the disk is sound");
            self.store.ops_done();
        }
    }

    pub(crate) fn checkpoint(&mut self) -> Manifest {
        let manifest = self.store.checkpoint();
        self.write();
        manifest
    }

    /// Carries out all that compactions left to do.
    pub(crate) fn work(&mut self) {
        loop {
            let progress = self.store.work(&self.disk, 400);
            assert_eq!(progress.damage, None);
            if progress.is_idle {
                break;
            }
            self.write();
        }
    }

    pub(crate) fn content(&self) -> Content {
        Content::of(&self.store, &self.disk)
    }
}
