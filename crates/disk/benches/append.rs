//! What one durable batch costs on a real disk, against a bare write and `fdatasync` of the same
//! bytes. The folder is the system's temporary one; set TMPDIR for another disk.
#![expect(clippy::disallowed_types, reason = "the baseline is the operating system itself")]
#![allow(missing_docs, reason = "criterion's macros")]

use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_disk::FsDisk;
use quorate_proto::raftpb::Entry;
use quorate_wal::disk::{DiskOp, DiskPath};
use quorate_wal::{Wal, WalOptions};

const ENTRY_BYTES: usize = 128;

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("real disk");
    group.sample_size(20);
    let data = Bytes::from(vec![7; ENTRY_BYTES]);
    for batch in [1_u64, 16, 64] {
        group.throughput(Throughput::Elements(batch));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut disk = FsDisk::open(folder.path()).expect("nobody else has it");
        let dir = DiskPath::new("wal").expect("a valid name");
        let mut wal = Wal::create(&mut disk, &dir, Bytes::new(), WalOptions::default())
            .expect("an empty disk");
        let mut batch_bytes = 0;
        group.bench_function(BenchmarkId::new("append and sync", batch), |bencher| {
            bencher.iter(|| {
                let next = wal.last_index() + 1;
                let entries = (next..next + batch).map(|index| Entry {
                    term: 1,
                    index,
                    data: Some(data.clone()),
                    ..Entry::default()
                });
                wal.append(None, entries);
                let ops = wal.take_ops();
                batch_bytes = ops.iter().map(DiskOp::written_bytes).sum();
                DiskOp::execute_all(black_box(&ops), &mut disk).expect("a healthy disk");
            });
        });

        // As large as a segment, allocated in the same way.
        let file = folder.path().join("bare");
        let bare = OpenOptions::new().write(true).create_new(true).open(file).expect("room");
        let len = WalOptions::default().segment_bytes;
        rustix::fs::fallocate(&bare, rustix::fs::FallocateFlags::empty(), 0, len).expect("room");
        bare.sync_all().expect("a healthy disk");
        let bytes = vec![7; batch_bytes as usize];
        let mut offset = 0;
        group.bench_function(BenchmarkId::new("bare write and sync", batch), |bencher| {
            bencher.iter(|| {
                bare.write_all_at(&bytes, offset).expect("room");
                bare.sync_data().expect("a healthy disk");
                offset = (offset + batch_bytes) % (len - batch_bytes);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
