//! Writes member directories, as `member/wal` and `member/snap` are below a data directory, for
//! etcd's own reader to judge: `.ci/etcd-wal`. Prints what that reader has to find, in its words.
//!
//! ```text
//! cargo run -p quorate-disk --example member_directory -- DIRECTORY
//! ```
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for the console")]

use std::error::Error;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;
use quorate_disk::FsDisk;
use quorate_proto::etcdserverpb::Metadata;
use quorate_proto::raftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use quorate_proto::walpb;
use quorate_wal::disk::{Disk, DiskOp, DiskPath};
use quorate_wal::{Recovered, SnapshotId, Wal, WalOptions, snap};

/// Small, so that a log has several.
const OPTIONS: WalOptions = WalOptions { segment_bytes: 16 << 10 };
const MEMBER: Metadata = Metadata { node_id: 0x1234_5678_9abc_def0, cluster_id: 7 };

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(target), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: member_directory DIRECTORY, which is created".into());
    };
    let target = PathBuf::from(target);
    plain(&target.join("plain"))?;
    with_snapshots(&target.join("snapshots"))?;
    from_a_leader(&target.join("from-a-leader"))?;
    repaired(&target.join("repaired"))?;
    continued(&target.join("continued"))
}

/// A member's directory that is being written.
struct Life {
    disk: FsDisk,
    wal: Wal,
    term: u64,
    newest: SnapshotId,
}

fn wal_dir() -> Result<DiskPath, Box<dyn Error>> {
    Ok(DiskPath::new("member/wal")?)
}

fn snap_dir() -> Result<DiskPath, Box<dyn Error>> {
    Ok(DiskPath::new("member/snap")?)
}

fn configuration() -> ConfState {
    ConfState { voters: vec![MEMBER.node_id, 2, 3], ..ConfState::default() }
}

impl Life {
    fn begin(root: &Path) -> Result<Life, Box<dyn Error>> {
        let mut disk = FsDisk::open(root)?;
        disk.create_dir(&DiskPath::new("member")?)?;
        snap::prepare(&mut disk, &snap_dir()?)?;
        let metadata = Bytes::from(MEMBER.encode_to_vec());
        let wal = Wal::create(&mut disk, &wal_dir()?, metadata, OPTIONS)?;
        Ok(Life { disk, wal, term: 1, newest: SnapshotId::BEGINNING })
    }

    fn sync(&mut self) -> Done {
        Ok(DiskOp::execute_all(&self.wal.take_ops(), &mut self.disk)?)
    }

    /// So many entries, a few to a batch, each batch with what is committed.
    fn write(&mut self, count: u64) -> Done {
        for _ in 0..count {
            let index = self.wal.last_index() + 1;
            let data = Some(Bytes::from(vec![index as u8; 37 * (index as usize % 11)]));
            self.wal.append(None, [Entry { term: self.term, index, data, ..Entry::default() }]);
            if index.is_multiple_of(3) {
                let state = HardState { term: self.term, vote: 2, commit: index - 1 };
                self.wal.append(Some(state), [] as [Entry; 0]);
                self.sync()?;
            }
        }
        self.sync()
    }

    /// A snapshot of `index`, as a member takes and notes it.
    fn snapshot(&mut self, index: u64, term: u64) -> Done {
        let metadata = SnapshotMetadata { conf_state: configuration(), index, term };
        let file = Snapshot { data: Some(Bytes::from(vec![7; 3000])), metadata };
        DiskOp::execute_all(&snap::write_ops(&snap_dir()?, &file), &mut self.disk)?;
        let conf_state = Some(configuration());
        self.wal.append_snapshot(&walpb::Snapshot { index, term, conf_state });
        let state = self.wal.hard_state();
        let commit = state.commit.max(index);
        self.wal.append(Some(HardState { commit, ..state }), [] as [Entry; 0]);
        self.newest = SnapshotId { term, index };
        self.sync()
    }

    /// What etcd's reader has to say.
    fn finish(self, name: &str, root: &Path) -> Done {
        let Life { disk, newest, .. } = self;
        drop(disk);
        let disk = FsDisk::open(root)?;
        let contents = Wal::read(&disk, &wal_dir()?)?;
        let outlook = contents.outlook(newest)?;
        let HardState { term, vote, commit } = outlook.hard_state;
        println!(
            "{name}: snapshot={} state term={term} vote={vote} commit={commit} entries={} last={}",
            newest.index,
            outlook.last_index - newest.index,
            outlook.last_index,
        );
        Ok(())
    }
}

/// Several segments, terms, and entries that another leader's replaced.
fn plain(root: &Path) -> Done {
    let mut life = Life::begin(root)?;
    for term in 1..=4 {
        life.term = term;
        life.write(90)?;
        let index = life.wal.last_index() - 1;
        let new = Entry { term: term + 1, index, data: None, ..Entry::default() };
        life.wal.append(Some(HardState { term: term + 1, vote: 3, commit: index - 1 }), [new]);
        life.sync()?;
    }
    life.finish("plain", root)
}

/// Snapshots of this log, behind which it is shortened.
fn with_snapshots(root: &Path) -> Done {
    let mut life = Life::begin(root)?;
    let mut older = 0;
    for _ in 0..6 {
        life.write(100)?;
        let index = life.wal.hard_state().commit - 5;
        life.snapshot(index, 1)?;
        life.wal.release_to(older);
        older = index;
        life.sync()?;
    }
    life.write(20)?;
    life.finish("snapshots", root)
}

/// A snapshot that came from a leader in place of the log.
fn from_a_leader(root: &Path) -> Done {
    let mut life = Life::begin(root)?;
    life.write(50)?;
    life.term = 9;
    life.wal.append(Some(HardState { term: 9, vote: 0, commit: 40 }), [] as [Entry; 0]);
    life.snapshot(5000, 9)?;
    life.write(200)?;
    life.finish("from-a-leader", root)
}

/// A log that was damaged in the middle, repaired, and went on.
fn repaired(root: &Path) -> Done {
    let mut life = Life::begin(root)?;
    life.write(60)?;
    life.snapshot(40, 1)?;
    life.write(200)?;
    let segments = life.disk.list(&wal_dir()?)?;
    let damaged = segments.get(1).ok_or("the log has several segments")?;
    life.disk.write(damaged, 8000, &[0xa5; 700])?;
    life.disk.sync(damaged)?;
    let contents = Wal::read(&life.disk, &wal_dir()?)?;
    assert_eq!(contents.damage().len(), 1, "it was just damaged");
    let recovered: Recovered = contents.open_damaged(&mut life.disk, life.newest, OPTIONS)?;
    assert!(recovered.doubtful_up_to == 260 && !recovered.set_aside.is_empty());
    life.wal = recovered.wal;
    life.term = 2;
    life.write(300)?;
    life.finish("repaired", root)
}

/// What a real etcd wrote, gone on with.
fn continued(root: &Path) -> Done {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wal/testdata/etcd-3.4");
    let newest = SnapshotId { term: 2, index: 9 };
    for (name, from, to) in [
        (
            "wal",
            "0000000000000000-0000000000000000.wal.prefix",
            "0000000000000000-0000000000000000.wal",
        ),
        (
            "snap",
            "0000000000000002-0000000000000009.snap",
            "0000000000000002-0000000000000009.snap",
        ),
    ] {
        let dir = root.join("member").join(name);
        std::fs::create_dir_all(&dir)?;
        std::fs::copy(image.join(from), dir.join(to))?;
    }
    let mut disk = FsDisk::open(root)?;
    let file = wal_dir()?.join("0000000000000000-0000000000000000.wal");
    // As long as etcd had made it; small, so that it need not be written on for long.
    disk.set_len(&file, OPTIONS.segment_bytes)?;
    let wal = Wal::read(&disk, &wal_dir()?)?.open(&mut disk, newest, OPTIONS)?.wal;
    let mut life = Life { disk, wal, term: 3, newest };
    life.write(250)?;
    life.finish("continued", root)
}
