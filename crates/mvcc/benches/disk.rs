//! What the store on a disk costs: puts, gets, a restart, a compaction, and memory. On the disk of
//! the temporary directory; TMPDIR=/dev/shm measures without one.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a bench measures time and memory, and says so"
)]

use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cpu_time::ThreadTime;
use criterion::{Criterion, criterion_group, criterion_main};
use quorate_disk::{FsDisk, ReadOnlyDisk};
use quorate_mvcc::{CompactRequest, Manifest, PutRequest, RangeRequest, Store, StoreOptions};
use quorate_wal::disk::{DiskOp, DiskPath};
use tempfile::TempDir;

const VALUE_BYTES: usize = 256;
const STRIDE: u64 = 61_803_399;

fn key(number: u64) -> Bytes {
    Bytes::from(format!("/registry/pods/default/{number:08}"))
}

fn put(number: u64) -> PutRequest {
    let value = Bytes::from(vec![number as u8; VALUE_BYTES]);
    PutRequest { key: key(number), value, ..PutRequest::default() }
}

struct Machine {
    _folder: TempDir,
    disk: FsDisk,
    store: Store,
}

fn dir() -> DiskPath {
    DiskPath::root().join("store")
}

impl Machine {
    /// A store of so many keys, put in an order that is none.
    fn filled(keys: u64) -> Machine {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut disk = FsDisk::open(folder.path()).expect("nobody else has it");
        let (store, _) =
            Store::open(&mut disk, &dir(), None, StoreOptions::default()).expect("it is empty");
        let mut machine = Machine { _folder: folder, disk, store };
        for number in 0..keys {
            machine.put(number * STRIDE % keys);
        }
        machine
    }

    fn put(&mut self, number: u64) {
        self.store.applier(&self.disk).put(&put(number)).expect("it is valid");
        self.write();
    }

    fn write(&mut self) {
        let operations = self.store.take_ops();
        if !operations.is_empty() {
            DiskOp::execute_all(&operations, &mut self.disk).expect("there is room");
            self.store.ops_done();
        }
    }

    fn checkpoint(&mut self) -> Manifest {
        let manifest = self.store.checkpoint();
        self.write();
        manifest
    }
}

/// Of this process, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number");
    kib / 1024
}

/// Restart, memory and compaction, once each: they take too long for many samples.
fn report(keys: u64) {
    let before = resident_mib();
    let mut machine = Machine::filled(keys);
    println!("memory/{keys}: {} MiB resident, of {before} at the start", resident_mib());
    let manifest = machine.checkpoint();
    let data: u64 = manifest.segments.iter().map(|segment| segment.data.len).sum();

    let options = StoreOptions::default();
    let begun = Instant::now();
    let opened = Store::open(&mut machine.disk, &dir(), Some(&manifest), options);
    let (store, opened) = opened.expect("it is whole");
    let (took, read) = (begun.elapsed(), opened.read_bytes >> 20);
    println!("restart/{keys}: {took:?}, {read} MiB read of {} MiB of data", data >> 20);
    machine.store = store;
    println!("memory/{keys} after the restart: {} MiB resident", resident_mib());

    let reader = machine.disk.reader().expect("another handle");
    ranges(keys, "first", &machine.store, &reader, 1..201);
    let small = 1..1 + (200 / (keys / 100_000));
    ranges(keys, "again", &machine.store, &reader, small.clone());
    ranges(keys, "again", &machine.store, &reader, small);

    for number in (0..keys).filter(|number| number % 3 > 0) {
        machine.put(number);
    }
    let revision = machine.store.revision();
    machine.store.compact(&CompactRequest { revision }).expect("it is current");
    // By the processor's time, too: that of the clock has in it what else runs here.
    let (mut longest, mut busiest) = (Duration::ZERO, Duration::ZERO);
    let (mut steps, begun) = (0, Instant::now());
    loop {
        let (step, busy) = (Instant::now(), ThreadTime::now());
        let progress = machine.store.work(&machine.disk, 256 << 10);
        longest = longest.max(step.elapsed());
        busiest = busiest.max(busy.elapsed());
        steps += 1;
        if progress.is_idle {
            break;
        }
        machine.write();
    }
    let took = begun.elapsed();
    println!(
        "compaction/{keys}: {steps} steps in {took:?}, the longest {longest:?}, {busiest:?} of the \
         processor at most"
    );
    let live: u64 = machine.store.segments().iter().map(|segment| segment.data_bytes).sum();
    println!("compaction/{keys}: {} MiB of data are left", live >> 20);
}

/// Ranges of 500 keys and the exact count of all that follow, each at its own place.
fn ranges(keys: u64, name: &str, store: &Store, disk: &ReadOnlyDisk, places: Range<u64>) {
    let range_end = Bytes::from_static(b"\0");
    let page = RangeRequest { range_end, limit: 500, ..RangeRequest::default() };
    let mut times = Vec::new();
    let many = places.end - places.start;
    for place in places {
        let request = RangeRequest { key: key(place * (keys - 500) / 201), ..page.clone() };
        let begun = (Instant::now(), ThreadTime::now());
        let answer = black_box(store.reader(disk.as_ref()).range(&request)).expect("it is valid");
        times.push((begun.0.elapsed(), begun.1.elapsed()));
        assert_eq!(answer.kvs.len(), 500);
    }
    let median = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut times: Vec<Duration> = times.iter().map(pick).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (clock, processor) = (median(|times| times.0), median(|times| times.1));
    println!("{many} ranges/{keys}, {name}: {clock:?}, {processor:?} of the processor (medians)");
}

fn operations(criterion: &mut Criterion) {
    // The smaller one first, or memory that was given back would count for it.
    for keys in [100_000, 1_000_000] {
        report(keys);
    }
    for keys in [100_000, 1_000_000] {
        let mut machine = Machine::filled(keys);
        let mut at = 0;
        criterion.bench_function(&format!("disk/put/{keys}"), |bencher| {
            bencher.iter(|| {
                at = (at + STRIDE) % keys;
                machine.put(at);
            });
        });
        // As the server has it: what was written is read by another handle.
        let disk = machine.disk.reader().expect("another handle");
        let mut read = |name: &str, spread: u64, request: &RangeRequest| {
            let mut at = 0;
            criterion.bench_function(&format!("disk/{name}/{keys}"), |bencher| {
                bencher.iter(|| {
                    at = (at + STRIDE) % spread;
                    let request = RangeRequest { key: key(at), ..request.clone() };
                    black_box(machine.store.reader(disk.as_ref()).range(&request)).expect("valid")
                });
            });
        };
        let one = RangeRequest::default();
        read("get", keys, &one);
        read("get, cached", 1000, &one);
        // To the end of all keys, each of which is counted.
        let range_end = Bytes::from_static(b"\0");
        let page = RangeRequest { range_end, limit: 500, ..RangeRequest::default() };
        read("range of 500 and count", keys - 500, &page);
        read("range of 500 and count, cached", 1000, &page);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = operations
}
criterion_main!(benches);
