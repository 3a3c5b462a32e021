//! The promises of the seam, and a log, on real files.

use std::path::Path;

use quorate_proto::raftpb::{Entry, HardState, Snapshot, SnapshotMetadata};
use quorate_proto::walpb;
use quorate_wal::disk::{DiskOp, conformance};
use quorate_wal::{SnapshotId, Wal, WalError, WalOptions, snap};
use tempfile::TempDir;

use super::*;

const SMALL: WalOptions = WalOptions { segment_bytes: 4096 };

fn path(name: &str) -> DiskPath {
    DiskPath::new(name).expect("a valid name")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn disk(folder: &TempDir) -> FsDisk {
    FsDisk::open(folder.path()).expect("nobody else has it")
}

fn entry(index: u64) -> Entry {
    let data = Bytes::from(vec![index as u8; 500]);
    Entry { term: 1, index, data: Some(data), ..Entry::default() }
}

#[test]
fn conforms() {
    let mut folders = Vec::new();
    conformance::run(|| {
        folders.push(folder());
        disk(folders.last().expect("just pushed"))
    });
}

#[test]
fn a_root_is_created_with_the_folders_above_it() {
    let folder = folder();
    let root = folder.path().join("a/b/c");
    let mut disk = FsDisk::open(&root).expect("it can be created");
    disk.create(&path("f")).expect("an empty disk");
    assert!(root.join("f").is_file());
}

#[test]
fn a_root_has_one_user_at_a_time() {
    let folder = folder();
    let first = disk(&folder);
    let second = FsDisk::open(folder.path());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    drop(first);
    disk(&folder);
}

#[test]
fn a_root_that_is_written_to_is_not_read_and_one_that_is_read_not_written_to() {
    let folder = folder();
    let writer = disk(&folder);
    let reader = ReadOnlyDisk::open(folder.path());
    assert!(matches!(reader, Err(OpenError::Locked { .. })), "{reader:?}");
    let message = reader.expect_err("locked").to_string();
    assert!(message.contains("in use by another process"), "{message}");
    drop(writer);
    let readers = [(); 2].map(|()| ReadOnlyDisk::open(folder.path()).expect("only readers"));
    assert!(matches!(FsDisk::open(folder.path()), Err(OpenError::Locked { .. })));
    drop(readers);
    disk(&folder).create(&path("f")).expect("an empty disk");
    let reader = ReadOnlyDisk::open(folder.path()).expect("nobody writes");
    assert_eq!(reader.as_ref().list(&DiskPath::root()), Ok(vec![path("f")]));
}

#[test]
fn a_reader_keeps_files_open_and_goes_by_their_names_all_the_same() {
    let folder = folder();
    let mut disk = disk(&folder);
    let reader = disk.reader().expect("another handle");
    let read = |name: &str| reader.as_ref().read(&path(name), 0, 9);
    for (name, data) in [("a", b"one"), ("b", b"two")] {
        disk.create(&path(name)).expect("a new name");
        disk.write(&path(name), 0, data).expect("room");
        assert_eq!(read(name).expect("it is there"), &data[..]);
    }
    disk.write(&path("a"), 0, b"six").expect("room");
    assert_eq!(read("a").expect("it is there"), &b"six"[..], "what is written later is read");
    disk.rename(&path("a"), &path("b")).expect("both are there");
    assert_eq!(read("b").expect("it is there"), &b"six"[..]);
    assert_eq!(read("a"), Err(DiskError::NotFound { path: path("a") }));
    disk.remove(&path("b")).expect("it is there");
    assert_eq!(read("b"), Err(DiskError::NotFound { path: path("b") }));
    disk.create(&path("b")).expect("the name is free");
    assert_eq!(read("b").expect("it is there"), &b""[..]);
}

#[test]
fn a_process_that_is_killed_leaves_no_lock_behind() {
    // The lock is the open file's, not a file: whoever dies lets go of it.
    let folder = folder();
    let held = disk(&folder);
    let second = held.lock.try_clone().expect("one more handle");
    drop(held);
    assert!(matches!(FsDisk::open(folder.path()), Err(OpenError::Locked { .. })));
    drop(second);
    disk(&folder);
}

#[test]
fn looking_at_a_folder_creates_nothing() {
    let folder = folder();
    let root = folder.path().join("a");
    assert!(matches!(ReadOnlyDisk::open(&root), Err(OpenError::Io { .. })));
    assert!(!root.exists());
    std::fs::write(&root, b"").expect("room");
    assert!(matches!(ReadOnlyDisk::open(&root), Err(OpenError::Io { .. })));
}

#[test]
fn a_root_that_is_a_file_is_refused() {
    let folder = folder();
    let file = folder.path().join("f");
    std::fs::write(&file, b"").expect("room");
    for root in [&file, &file.join("below")] {
        let error = FsDisk::open(root).expect_err("there is a file in the way");
        assert!(matches!(error, OpenError::NotADirectory { .. }), "{error}");
        assert_eq!(error.to_string(), format!("{}: not a directory", file.display()));
        assert_eq!(error.remedy(), Some("choose another data directory"));
    }
}

#[test]
fn folders_and_foreign_names_are_not_listed_as_files() {
    let folder = folder();
    let mut disk = disk(&folder);
    disk.create_dir(&path("d")).expect("an empty disk");
    disk.create(&path("f")).expect("a free name");
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![path("f")]));
}

#[test]
fn more_files_than_are_kept_open_are_all_written_to() {
    let folder = folder();
    let mut disk = disk(&folder);
    let names: Vec<_> = (0..OPEN_FILES * 2).map(|n| path(&format!("{n:03}"))).collect();
    for name in &names {
        disk.create(name).expect("a free name");
    }
    for round in 0..3 {
        for name in &names {
            disk.write(name, round, b"x").expect("room");
            disk.sync(name).expect("the file is there");
        }
    }
    assert!(disk.open.len() <= OPEN_FILES);
    for name in &names {
        assert_eq!(disk.read(name, 0, 10), Ok(Bytes::from_static(b"xxx")));
    }
}

#[test]
fn preallocated_space_is_really_allocated() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = folder();
    let mut disk = disk(&folder);
    disk.create(&path("f")).expect("an empty disk");
    disk.set_len(&path("f"), 1 << 20).expect("room");
    let real = std::fs::metadata(folder.path().join("f")).expect("it is there");
    assert_eq!(real.len(), 1 << 20);
    assert!(real.blocks() * 512 >= 1 << 20, "{} blocks", real.blocks());
}

/// Appends entries one batch each, and opens the log again, as another process would.
#[test]
fn a_log_grows_over_segments_and_reopenings() {
    let folder = folder();
    let mut expected = Vec::new();
    let mut created = false;
    for round in 0..4_u64 {
        let mut disk = disk(&folder);
        let mut wal = if created {
            let recovered = Wal::open(&mut disk, &path("wal"), SMALL).expect("a valid log");
            assert_eq!(recovered.entries, expected);
            assert_eq!(recovered.hard_state.commit, round * 10);
            assert_eq!(recovered.repaired, None);
            recovered.wal
        } else {
            created = true;
            Wal::create(&mut disk, &path("wal"), Bytes::from_static(b"me"), SMALL)
                .expect("an empty disk")
        };
        for index in round * 10 + 1..=round * 10 + 10 {
            wal.append(Some(HardState { term: 1, vote: 1, commit: index }), [entry(index)]);
            DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
            expected.push(entry(index));
        }
    }
    let segments = disk(&folder).list(&path("wal")).expect("the log's directory");
    assert!(segments.len() >= 5, "{segments:?}");
}

/// One batch of two entries behind two others; the file, and where the batch begins and ends.
fn last_batch(folder: &Path) -> (PathBuf, u64, u64) {
    let mut disk = FsDisk::open(folder).expect("nobody else has it");
    let mut wal = Wal::create(&mut disk, &path("wal"), Bytes::new(), SMALL).expect("an empty disk");
    wal.append(None, [entry(1), entry(2)]);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    wal.append(None, [entry(3), entry(4)]);
    let ops = wal.take_ops();
    DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
    let DiskOp::Write { file, offset, data } = &ops[0] else {
        panic!("{ops:?}");
    };
    (folder.join(file.as_str()), *offset, offset + data.len() as u64)
}

#[test]
fn a_torn_batch_is_repaired_and_damage_refused() {
    for (at_end, repaired) in [(true, true), (false, false)] {
        let folder = folder();
        let (file, start, end) = last_batch(folder.path());
        // The sectors that only the last batch touches, or one in the middle of the first.
        let first = if at_end { start.next_multiple_of(512) } else { 512 };
        let lost = if at_end { end - first } else { 512 };
        let real = OpenOptions::new().write(true).open(&file).expect("the segment");
        real.write_all_at(&vec![0; lost as usize], first).expect("room");
        let opened = Wal::open(&mut disk(&folder), &path("wal"), SMALL);
        if repaired {
            let recovered = opened.expect("a torn log");
            assert!((2..4).contains(&recovered.entries.len()));
            let torn = recovered.repaired.expect("was torn");
            let mut zeros = vec![1; torn.bytes as usize];
            let real = File::open(&file).expect("the segment");
            real.read_exact_at(&mut zeros, torn.offset).expect("within the segment");
            assert!(zeros.iter().all(|byte| *byte == 0));
        } else {
            assert!(matches!(opened, Err(WalError::Damaged { .. })), "{opened:?}");
        }
    }
}

#[test]
fn a_member_starts_from_its_newest_snapshot_and_what_the_log_has_behind_it() {
    let folder = folder();
    let mut disk_now = disk(&folder);
    let (wal_dir, snap_dir) = (path("wal"), path("snap"));
    snap::prepare(&mut disk_now, &snap_dir).expect("an empty disk");
    let mut wal = Wal::create(&mut disk_now, &wal_dir, Bytes::from_static(b"me"), SMALL)
        .expect("an empty disk");
    for index in 1..=60 {
        wal.append(Some(HardState { term: 1, vote: 1, commit: index }), [entry(index)]);
        DiskOp::execute_all(&wal.take_ops(), &mut disk_now).expect("a healthy disk");
        if index % 20 == 15 {
            let metadata = SnapshotMetadata { index, term: 1, ..SnapshotMetadata::default() };
            let data = Some(Bytes::from(vec![index as u8; 5000]));
            let snapshot = Snapshot { data, metadata };
            let mut ops = snap::write_ops(&snap_dir, &snapshot);
            wal.append_snapshot(&walpb::Snapshot { index, term: 1, conf_state: None });
            wal.release_to(index);
            ops.extend(wal.take_ops());
            DiskOp::execute_all(&ops, &mut disk_now).expect("a healthy disk");
            let newest = SnapshotId { term: 1, index };
            let ops = snap::remove_ops(&disk_now, &snap_dir, newest, 1).expect("a healthy disk");
            DiskOp::execute_all(&ops, &mut disk_now).expect("a healthy disk");
        }
    }
    drop(disk_now);

    let mut disk_now = disk(&folder);
    snap::prepare(&mut disk_now, &snap_dir).expect("a healthy disk");
    assert_eq!(disk_now.list(&snap_dir).expect("the directory").len(), 1);
    let first = disk_now.list(&wal_dir).expect("the log's directory").remove(0);
    assert!(!first.name().starts_with("0000000000000000-"), "nothing was released");
    let contents = Wal::read(&disk_now, &wal_dir).expect("a valid log");
    let loaded = snap::load_newest(&disk_now, &snap_dir, |id| contents.continues(id));
    let loaded = loaded.expect("a healthy disk");
    assert_eq!(loaded.damaged, []);
    let snapshot = loaded.snapshot.expect("one is there");
    assert_eq!(snapshot.data, Some(Bytes::from(vec![55; 5000])));
    let start = SnapshotId { index: 55, term: 1 };
    let recovered = contents.open(&mut disk_now, start, SMALL).expect("the log continues it");
    assert_eq!(recovered.entries, (56..=60).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_reader_sees_what_is_written_and_keeps_the_folder_locked() {
    let folder = folder();
    let mut writer = disk(&folder);
    let reader = writer.reader().expect("another handle");
    let file = path("file");
    writer.create(&file).expect("it is created");
    for (content, offset) in [(b"one", 0), (b"two", 3)] {
        writer.write(&file, offset, content).expect("it is written");
        let seen = reader.as_ref().read(&file, offset, 10).expect("it is there");
        assert_eq!(seen, content.as_slice());
    }
    writer.rename(&file, &path("other")).expect("it is renamed");
    assert_eq!(reader.as_ref().len(&path("other")), Ok(6));
    drop(writer);
    let locked = |result| matches!(result, Err(OpenError::Locked { .. }));
    assert!(locked(FsDisk::open(folder.path())), "the reader still reads");
    drop(reader);
    FsDisk::open(folder.path()).expect("nobody has it any more");
}
