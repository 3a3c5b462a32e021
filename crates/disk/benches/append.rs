//! What one durable batch costs on a real disk, against a bare write and `fdatasync` of the same
//! bytes. The folder is the system's temporary one; set TMPDIR for another disk.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "the baseline is the operating system itself, and a ratio is to be said"
)]
#![allow(missing_docs, reason = "criterion's macros")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_disk::FsDisk;
use quorate_proto::raftpb::Entry;
use quorate_wal::disk::{DiskOp, DiskPath};
use quorate_wal::{Wal, WalOptions};
use tempfile::TempDir;

const ENTRY_BYTES: usize = 128;
const BATCHES: [u64; 3] = [1, 16, 64];

/// A log, and beside it a bare file that is treated as a log's segments are: as large as one,
/// allocated in the same way, and another one when it is full.
struct Pair {
    folder: TempDir,
    disk: FsDisk,
    wal: Wal,
    bare: File,
    offset: u64,
    batch: u64,
    bytes: Vec<u8>,
}

impl Pair {
    fn new(batch: u64) -> Pair {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut disk = FsDisk::open(folder.path()).expect("nobody else has it");
        let dir = DiskPath::new("wal").expect("a valid name");
        let wal = Wal::create(&mut disk, &dir, Bytes::new(), WalOptions::default())
            .expect("an empty disk");
        let bare = segment(&folder);
        let mut pair = Pair { folder, disk, wal, bare, offset: 0, batch, bytes: Vec::new() };
        let operations = pair.operations();
        let bytes = operations.iter().map(DiskOp::written_bytes).sum::<u64>();
        DiskOp::execute_all(&operations, &mut pair.disk).expect("a healthy disk");
        pair.bytes = vec![7; bytes as usize];
        pair
    }

    fn operations(&mut self) -> Vec<DiskOp> {
        let data = Bytes::from(vec![7; ENTRY_BYTES]);
        let next = self.wal.last_index() + 1;
        let entries = (next..next + self.batch).map(|index| Entry {
            term: 1,
            index,
            data: Some(data.clone()),
            ..Entry::default()
        });
        self.wal.append(None, entries);
        self.wal.take_ops()
    }

    /// One batch of the log, from its entries to the disk.
    fn append(&mut self) {
        let operations = self.operations();
        DiskOp::execute_all(black_box(&operations), &mut self.disk).expect("a healthy disk");
    }

    fn write(&mut self) {
        let len = self.bytes.len() as u64;
        if self.offset + len > WalOptions::default().segment_bytes {
            std::fs::remove_file(self.folder.path().join("bare")).expect("it is there");
            (self.bare, self.offset) = (segment(&self.folder), 0);
        }
        self.bare.write_all_at(&self.bytes, self.offset).expect("room");
        self.bare.sync_data().expect("a healthy disk");
        self.offset += len;
    }
}

fn segment(folder: &TempDir) -> File {
    let file = folder.path().join("bare");
    let bare = OpenOptions::new().write(true).create_new(true).open(file).expect("room");
    let len = WalOptions::default().segment_bytes;
    rustix::fs::fallocate(&bare, rustix::fs::FallocateFlags::empty(), 0, len).expect("room");
    bare.sync_all().expect("a healthy disk");
    bare
}

/// What the log reaches of the bare loop's speed: both take turns, so that whatever else the disk
/// and the machine do concerns both.
fn ratio(batch: u64) {
    let mut pair = Pair::new(batch);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..4_000 {
        let begun = Instant::now();
        pair.append();
        let between = Instant::now();
        pair.write();
        ours.push(between - begun);
        bare.push(between.elapsed());
    }
    let mut figures = [Duration::ZERO; 4];
    for (figure, times) in figures.chunks_mut(2).zip([&mut ours, &mut bare]) {
        figure[0] = times.iter().sum::<Duration>() / times.len() as u32;
        times.sort_unstable();
        figure[1] = times[times.len() / 2];
    }
    let [ours, our_median, bare, bare_median] = figures;
    println!(
        "ratio/{batch}: {:.2} of the bare loop's speed on average ({ours:.1?} and {bare:.1?}), \
         {:.2} at the median ({our_median:.1?} and {bare_median:.1?})",
        bare.as_secs_f64() / ours.as_secs_f64(),
        bare_median.as_secs_f64() / our_median.as_secs_f64(),
    );
}

fn append(criterion: &mut Criterion) {
    for batch in BATCHES {
        ratio(batch);
    }
    let mut group = criterion.benchmark_group("real disk");
    group.sample_size(20);
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch));
        let mut pair = Pair::new(batch);
        let name = BenchmarkId::new("append and sync", batch);
        group.bench_function(name, |bencher| bencher.iter(|| pair.append()));
        let name = BenchmarkId::new("bare write and sync", batch);
        group.bench_function(name, |bencher| bencher.iter(|| pair.write()));
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
