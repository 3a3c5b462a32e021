//! The log as its users see it: its bytes, what survives, what is refused.

mod crash;
mod crash_points;
mod damage;
mod doubt;
mod etcd;
mod etcd_image;
mod flips;
mod format;
mod lifecycle;
mod snapshots;
mod start_over;

use bytes::Bytes;
use quorate_proto::raftpb::{Entry, HardState};

use crate::disk::{Disk, DiskOp, DiskPath, MemDisk};
use crate::{Recovered, Wal, WalError, WalOptions};

/// Small segments, so that a test sees many of them.
const SMALL: WalOptions = WalOptions { segment_bytes: 2048 };

fn dir() -> DiskPath {
    DiskPath::new("wal").expect("a valid name")
}

fn entry(index: u64, term: u64, data: impl Into<Bytes>) -> Entry {
    Entry { term, index, data: Some(data.into()), ..Entry::default() }
}

fn state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

fn created(options: WalOptions) -> (MemDisk, Wal) {
    let mut disk = MemDisk::new();
    let wal = Wal::create(&mut disk, &dir(), Bytes::from_static(b"member"), options)
        .expect("an empty disk");
    (disk, wal)
}

/// Appends one batch and makes it durable.
fn save(disk: &mut MemDisk, wal: &mut Wal, hard_state: Option<HardState>, entries: &[Entry]) {
    wal.append(hard_state, entries);
    DiskOp::execute_all(&wal.take_ops(), disk).expect("a healthy disk");
}

fn open(disk: &mut MemDisk) -> Result<Recovered, WalError> {
    Wal::open(disk, &dir(), SMALL)
}

/// The segments' files in order.
fn segments(disk: &MemDisk) -> Vec<DiskPath> {
    let mut files = disk.list(&dir()).expect("the log's directory");
    files.retain(|file| file.name().ends_with(".wal"));
    files
}

fn content(disk: &MemDisk, file: &DiskPath) -> Vec<u8> {
    let len = disk.len(file).expect("the file is there") as usize;
    disk.read(file, 0, len).expect("the file is there").to_vec()
}

/// Puts durable bytes there, as damage would.
fn overwrite(disk: &mut MemDisk, file: &DiskPath, offset: usize, data: &[u8]) {
    disk.write(file, offset as u64, data).expect("room");
    disk.sync(file).expect("the file is there");
}

/// Numbers that look random, the same ones each time.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
