//! What the log itself costs: encoding, sealing, the simulated disk, and replay.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_proto::raftpb::Entry;
use quorate_wal::disk::{Disk, DiskOp, DiskPath, MemDisk};
use quorate_wal::{Wal, WalOptions};

const ENTRY_BYTES: usize = 128;
/// A log grows up to that; then the bench goes on with a fresh one, as a simulated run would.
const LOG_BYTES: u64 = 1 << 20;

fn dir() -> DiskPath {
    DiskPath::new("wal").expect("a valid name")
}

fn created() -> (MemDisk, Wal) {
    let mut disk = MemDisk::new();
    let wal =
        Wal::create(&mut disk, &dir(), Bytes::new(), WalOptions::default()).expect("an empty disk");
    (disk, wal)
}

fn append(wal: &mut Wal, count: u64, data: &Bytes) {
    let next = wal.last_index() + 1;
    wal.append(
        None,
        (next..next + count).map(|index| Entry {
            term: 1,
            index,
            data: Some(data.clone()),
            ..Entry::default()
        }),
    );
}

fn append_and_sync(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and sync in memory");
    let data = Bytes::from(vec![7; ENTRY_BYTES]);
    for batch in [1, 16, 64] {
        group.throughput(Throughput::Elements(batch));
        group.bench_with_input(BenchmarkId::from_parameter(batch), &batch, |bencher, &batch| {
            let (mut disk, mut wal) = created();
            let mut written = 0;
            bencher.iter(|| {
                if written > LOG_BYTES {
                    (disk, wal) = created();
                    written = 0;
                }
                append(&mut wal, batch, &data);
                let ops = wal.take_ops();
                written += ops.iter().map(DiskOp::written_bytes).sum::<u64>();
                DiskOp::execute_all(black_box(&ops), &mut disk).expect("a healthy disk");
            });
        });
    }
    group.finish();
}

fn write_and_sync(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("simulated disk");
    for len in [100, 500] {
        group.throughput(Throughput::Bytes(len));
        group.bench_with_input(BenchmarkId::new("write and sync", len), &len, |bencher, &len| {
            let file = DiskPath::new("f").expect("a valid name");
            let mut disk = MemDisk::new();
            disk.create(&file).expect("an empty disk");
            let data = vec![7; len as usize];
            let mut offset = 0;
            bencher.iter(|| {
                disk.write(&file, offset, &data).expect("room");
                disk.sync(&file).expect("the file is there");
                offset = (offset + len) % LOG_BYTES;
            });
        });
    }
    group.finish();
}

fn recover(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery");
    let data = Bytes::from(vec![7; ENTRY_BYTES]);
    let (mut disk, mut wal) = created();
    for _ in 0..4000 {
        append(&mut wal, 16, &data);
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    }
    let file = &disk.list(&dir()).expect("the log's directory")[0];
    group.throughput(Throughput::Bytes(disk.data_end(file).expect("a segment")));
    group.sample_size(30);
    group.bench_function("64,000 entries", |bencher| {
        bencher.iter_batched(
            || disk.clone(),
            |mut disk| Wal::open(&mut disk, &dir(), WalOptions::default()).expect("a valid log"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, append_and_sync, write_and_sync, recover);
criterion_main!(benches);
