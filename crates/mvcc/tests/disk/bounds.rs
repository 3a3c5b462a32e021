//! What the store keeps in memory and reads from the disk, and how much it does at once.

use std::cell::Cell;

use bytes::Bytes;
use quorate_mvcc::{PutRequest, RangeRequest, Revision, Store, StoreOptions};
use quorate_wal::disk::{Disk, DiskError, DiskOp, DiskPath, MemDisk};

use crate::support::{Request, apply, dir, everything};

const OPTIONS: StoreOptions =
    StoreOptions { segment_bytes: 64 << 10, flush_bytes: 8 << 10, cache_bytes: 32 << 10 };

/// A disk that counts what is read.
struct Counting {
    disk: MemDisk,
    read_bytes: Cell<u64>,
}

impl Counting {
    fn take(&self) -> u64 {
        self.read_bytes.take()
    }
}

impl Disk for Counting {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        self.disk.list(dir)
    }
    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.disk.len(file)
    }
    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let bytes = self.disk.read(file, offset, len)?;
        self.read_bytes.set(self.read_bytes.get() + bytes.len() as u64);
        Ok(bytes)
    }
    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.disk.create_dir(dir)
    }
    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.disk.create(file)
    }
    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        self.disk.set_len(file, len)
    }
    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.disk.write(file, offset, data)
    }
    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.disk.sync(file)
    }
    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }
    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }
    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.disk.remove(file)
    }
}

fn put(number: u64) -> Request {
    let key = Bytes::from(format!("/registry/pods/default/{number:08}"));
    Request::Put(PutRequest { key, value: vec![7; 256].into(), ..PutRequest::default() })
}

fn write(store: &mut Store, disk: &mut Counting) {
    let operations = store.take_ops();
    if !operations.is_empty() {
        DiskOp::execute_all(&operations, disk).expect("room");
        store.ops_done();
    }
}

/// A store of so many keys, of which two in three are written `times` times.
fn filled(keys: u64, times: u64) -> (Store, Counting) {
    let mut disk = Counting { disk: MemDisk::new(), read_bytes: Cell::new(0) };
    let (mut store, _) = Store::open(&mut disk, &dir(), None, OPTIONS).expect("an empty disk");
    let is_written = |round: u64, number: u64| round == 0 || !number.is_multiple_of(3);
    let rounds = (0..times).flat_map(|round| (0..keys).map(move |number| (round, number)));
    for (_, number) in rounds.filter(|(round, number)| is_written(*round, *number)) {
        apply(&mut store, &disk, &put(number));
        write(&mut store, &mut disk);
        let limit = u64::from(OPTIONS.flush_bytes) + 1000;
        assert!(store.unwritten_bytes() <= limit, "{} bytes", store.unwritten_bytes());
        assert!(store.cached_bytes() <= OPTIONS.cache_bytes);
    }
    assert_eq!(disk.take(), 0, "puts read nothing");
    (store, disk)
}

#[test]
fn a_restart_reads_no_values() {
    let (mut store, mut disk) = filled(3000, 1);
    let manifest = store.checkpoint();
    write(&mut store, &mut disk);
    let (reopened, opened) =
        Store::open(&mut disk, &dir(), Some(&manifest), OPTIONS).expect("it is whole");
    let read = disk.take();
    assert_eq!(read, opened.read_bytes);
    let keys: u64 = manifest.segments.iter().map(|segment| segment.keys.len).sum();
    assert_eq!(read, keys);
    assert!(keys < 3000 * (31 + 20), "{keys} bytes of keys");
    assert_eq!(reopened.revision(), Revision(3001));
    let count = RangeRequest { count_only: true, ..everything(None) };
    assert_eq!(reopened.reader(&disk).range(&count).map(|answer| answer.count), Ok(3000));
    let keys = RangeRequest { keys_only: true, ..everything(None) };
    assert_eq!(reopened.reader(&disk).range(&keys).map(|answer| answer.kvs.len()), Ok(3000));
    assert_eq!(disk.take(), 0, "neither count nor keys need a value");
}

#[test]
fn a_checkpoint_costs_the_same_however_large_the_store_is() {
    let cost = |keys| {
        let (mut store, mut disk) = filled(keys, 1);
        store.checkpoint();
        write(&mut store, &mut disk);
        apply(&mut store, &disk, &put(1));
        let manifest = store.checkpoint().encode().len() as u64;
        let written: u64 = store.take_ops().iter().map(DiskOp::written_bytes).sum();
        store.ops_done();
        assert_eq!(disk.take(), 0);
        (written, manifest)
    };
    let (small, large) = (cost(100), cost(5000));
    assert!(small.0.abs_diff(large.0) < 8, "{small:?} and {large:?}");
    assert!(large.1 < 64 + 64 * 5000 * 400 / u64::from(OPTIONS.segment_bytes));
}

#[test]
fn no_step_of_a_compaction_reads_or_writes_more_than_its_budget_allows() {
    let (mut store, mut disk) = filled(6000, 3);
    let before: u64 = store.segments().iter().map(|segment| segment.data_bytes).sum();
    let current = store.revision().0;
    apply(&mut store, &disk, &Request::Compact(current));
    assert_eq!(disk.take(), 0, "a compaction itself touches nothing");
    let budget = 16 << 10;
    let mut steps = 0;
    loop {
        let progress = store.work(&disk, budget);
        // Pieces are read of up to 64 KiB of data and 256 KiB of keys.
        assert!(disk.take() <= budget as u64 + (64 << 10) + (256 << 10));
        assert_eq!(progress.damage, None);
        if progress.is_idle {
            break;
        }
        let operations = store.take_ops();
        let written: u64 = operations.iter().map(DiskOp::written_bytes).sum();
        assert!(written <= 3 * budget as u64, "{written} bytes");
        if !operations.is_empty() {
            DiskOp::execute_all(&operations, &mut disk).expect("room");
            store.ops_done();
        }
        steps += 1;
    }
    assert!(steps > 15, "{steps} steps");
    let after: u64 = store.segments().iter().map(|segment| segment.data_bytes).sum();
    assert!(after * 2 < before, "{before} bytes became {after}");
    let manifest = store.checkpoint();
    write(&mut store, &mut disk);
    store.retain(&[&manifest], None);
    write(&mut store, &mut disk);
    let files = disk.list(&dir()).expect("it is there");
    let on_disk: u64 = files.iter().map(|file| disk.len(file).expect("it is there")).sum();
    assert_eq!(on_disk, manifest.total_bytes(), "the space is free again");
    assert!(on_disk < before);
}

#[test]
fn segments_are_merged_also_where_compactions_come_faster_than_sweeps() {
    let keys = 20_000;
    let (mut store, mut disk) = filled(keys, 1);
    let bytes = |store: &Store| store.segments().iter().map(|one| one.data_bytes).sum::<u64>();
    let live = bytes(&store);
    let mut most = 0;
    for round in 0..keys * 8 {
        apply(&mut store, &disk, &put(round % keys));
        write(&mut store, &mut disk);
        // A sweep takes more steps than there are between two compactions.
        if round % 2000 == 0 {
            let current = store.revision().0;
            apply(&mut store, &disk, &Request::Compact(current));
        }
        if round % 500 == 0 {
            assert!(!store.work(&disk, 256 << 10).is_idle);
            write(&mut store, &mut disk);
        }
        most = most.max(bytes(&store));
    }
    assert!(most < live * 4, "{live} bytes became {most}");
}
