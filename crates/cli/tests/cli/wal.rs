//! `quorate wal`: what it says of whole logs and of damaged ones, and that it changes nothing.
#![expect(clippy::disallowed_methods, reason = "tests write and damage the files of logs")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost::bytes::Bytes;
use quorate_disk::FsDisk;
use quorate_proto::etcdserverpb::{InternalRaftRequest, Metadata, PutRequest};
use quorate_proto::raftpb::{Entry, HardState, Snapshot, SnapshotMetadata};
use quorate_proto::walpb;
use quorate_wal::disk::{Disk, DiskOp, DiskPath};
use quorate_wal::{Wal, WalOptions, snap};
use tempfile::TempDir;

use crate::common::{Run, run};

/// Thirty puts in several segments, a snapshot of the twelfth noted behind the fifteenth.
fn data_directory() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut disk = FsDisk::open(folder.path()).expect("nobody else has it");
    let path = |name| DiskPath::new(name).expect("a valid name");
    disk.create_dir(&path("member")).expect("an empty disk");
    snap::prepare(&mut disk, &path("member/snap")).expect("an empty disk");
    let metadata = Bytes::from(Metadata { node_id: 0xabc, cluster_id: 7 }.encode_to_vec());
    let options = WalOptions { segment_bytes: 2048 };
    let mut wal = Wal::create(&mut disk, &path("member/wal"), metadata, options).expect("empty");
    for index in 1..=30_u64 {
        let key = Bytes::from(format!("key-{index}"));
        let put = PutRequest { key, value: Bytes::from(vec![1; 100]), ..PutRequest::default() };
        let request = InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() };
        let data = Some(Bytes::from(request.encode_to_vec()));
        let state = HardState { term: 3, vote: 0xabc, commit: index - 1 };
        wal.append(Some(state), [Entry { term: 3, index, data, ..Entry::default() }]);
        if index == 15 {
            let metadata = SnapshotMetadata { index: 12, term: 3, ..SnapshotMetadata::default() };
            let file = Snapshot { data: Some(Bytes::from("state")), metadata };
            let ops = snap::write_ops(&path("member/snap"), &file);
            DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
            wal.append_snapshot(&walpb::Snapshot { index: 12, term: 3, conf_state: None });
        }
        DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    }
    folder
}

fn wal(command: &str, dir: &Path, more: &[&str]) -> Run {
    let dir = dir.to_str().expect("the folder's name is UTF-8");
    let mut arguments = vec!["wal", command, dir];
    arguments.extend(more);
    run(arguments)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("member/wal")).expect("the log's directory");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// Changes a byte of a segment.
fn damage(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("a segment");
    bytes[at] ^= 0x40;
    fs::write(file, bytes).expect("room");
}

/// All files below a folder.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        if path.is_dir() {
            found.append(&mut everything(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

#[test]
fn a_whole_log_is_found_from_each_of_its_directories() {
    let folder = data_directory();
    for below in ["", "member", "member/wal"] {
        let run = wal("verify", &folder.path().join(below), &[]).expect_code(0);
        assert!(run.stdout.starts_with("whole"), "{run:?}");
        let says =
            "starts from the snapshot at entry 12, last entry 30, term 3, vote abc, commit 29";
        assert!(run.stdout.contains(says), "{run:?}");
        let json = wal("verify", &folder.path().join(below), &["--format", "json"]);
        let [verdict] = &json.expect_code(0).json_lines()[..] else { panic!("one line") };
        assert_eq!(verdict["verdict"], "whole");
        assert_eq!(verdict["contents"]["last_index"], 30);
        assert_eq!(verdict["damage"], serde_json::json!([]));
    }
}

#[test]
fn what_is_damaged_is_named_with_its_place_what_is_lost_and_what_to_do() {
    let folder = data_directory();
    let files = segments(folder.path());
    assert!(files.len() > 3, "{files:?}");
    // Behind the snapshot: entries are lost.
    let last = &files[files.len() - 2];
    damage(last, 700);
    let before = everything(folder.path());
    let run = wal("verify", folder.path(), &[]).expect_code(1);
    let name = last.file_name().and_then(|name| name.to_str()).expect("a name");
    for part in
        ["damaged", name, "bytes ", "is lost", "in doubt: entries up to 30", "to do:", "peers"]
    {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    let json = wal("verify", folder.path(), &["--format", "json"]).expect_code(1);
    let verdict = &json.json_lines()[0];
    let found = &verdict["damage"][0];
    assert_eq!(found["file"], format!("member/wal/{name}"));
    let (start, end) =
        (found["start"].as_u64().expect("bytes"), found["end"].as_u64().expect("bytes"));
    assert!(start <= 700 && 700 < end, "{found}");
    assert_eq!(verdict["contents"]["doubtful_up_to"], 30);
    assert_eq!(
        (&verdict["contents"]["term"], &verdict["contents"]["vote"]),
        (&3.into(), &0xabc.into())
    );
    let inspected = wal("inspect", folder.path(), &[]).expect_code(1);
    assert!(inspected.stdout.contains("damaged   up to byte"), "{inspected:?}");
    assert_eq!(everything(folder.path()), before, "nothing was changed");
}

#[test]
fn damage_before_the_snapshot_is_harmless_and_said_to_be() {
    let folder = data_directory();
    damage(&segments(folder.path())[0], 700);
    let run = wal("verify", folder.path(), &[]).expect_code(1);
    assert!(run.stdout.contains("nothing that counts is lost"), "{run:?}");
    assert!(!run.stdout.contains("in doubt"), "{run:?}");
}

#[test]
fn a_log_that_nobody_starts_from_is_damaged_and_says_why() {
    let folder = data_directory();
    let files = segments(folder.path());
    let bytes = fs::read(&files[files.len() - 1]).expect("a segment");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something");
    damage(&files[files.len() - 1], end - 20);
    let run = wal("verify", folder.path(), &[]).expect_code(1);
    for part in ["damaged", "nothing says what was in it", "to do:", "backup"] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    fs::remove_file(&files[2]).expect("a segment");
    let run = wal("verify", folder.path(), &[]).expect_code(1);
    assert!(
        run.stdout.contains("is missing") && run.stdout.contains("put the file back"),
        "{run:?}"
    );
}

#[test]
fn a_damaged_snapshot_counts_as_damage() {
    let folder = data_directory();
    let file = folder.path().join("member/snap/0000000000000003-000000000000000c.snap");
    damage(&file, 20);
    let run = wal("verify", folder.path(), &[]).expect_code(1);
    assert!(run.stdout.contains("000c.snap") && run.stdout.contains("older snapshot"), "{run:?}");
    assert!(run.stdout.contains("starts from the beginning"), "{run:?}");
}

#[test]
fn what_holds_no_log_is_bad_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for command in ["verify", "inspect"] {
        for dir in [folder.path().to_owned(), folder.path().join("nothing")] {
            let run = wal(command, &dir, &[]).expect_code(2);
            assert!(run.stderr.contains("error:") && run.stdout.is_empty(), "{run:?}");
        }
    }
    assert_eq!(everything(folder.path()), BTreeMap::new());
}

#[test]
fn a_log_that_is_written_to_is_not_looked_at() {
    let folder = data_directory();
    let member = FsDisk::open(folder.path()).expect("nobody else has it");
    for below in ["", "member/wal"] {
        let run = wal("verify", &folder.path().join(below), &[]).expect_code(2);
        assert!(run.stderr.contains("stop the member"), "{run:?}");
    }
    drop(member);
    wal("verify", folder.path(), &[]).expect_code(0);
}

#[test]
fn inspect_shows_segments_records_and_what_entries_ask_for() {
    let folder = data_directory();
    let run = wal("inspect", folder.path(), &[]).expect_code(0);
    for part in [
        "member/wal/0000000000000000-0000000000000000.wal  segment 0, from entry 0 on, 2048 bytes",
        "metadata  member abc of cluster 7",
        "snapshot  entry 12, term 3",
        "entry     17 term 3  put \"key-17\" = 100 bytes",
        "state     term 3, vote abc, commit 16",
        "last entry 17, term 3, vote abc, commit 16",
        "whole",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let lines = wal("inspect", folder.path(), &["--format", "json"]).expect_code(0).json_lines();
    let entries: Vec<_> = lines.iter().filter(|line| line["record"] == "entry").collect();
    assert_eq!(entries.len(), 30);
    for (entry, index) in entries.iter().zip(1_u64..) {
        assert_eq!((&entry["index"], &entry["what"]), (&index.into(), &"put".into()));
    }
    assert_eq!(lines.last().expect("lines")["verdict"], "whole");
}

#[test]
fn a_log_of_real_etcd_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("member/wal");
    fs::create_dir_all(&dir).expect("an empty folder");
    let image = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../wal/testdata/etcd-3.4/0000000000000000-0000000000000000.wal.prefix"
    );
    fs::copy(image, dir.join("0000000000000000-0000000000000000.wal")).expect("the image");
    let run = wal("inspect", folder.path(), &[]).expect_code(0);
    for part in [
        "metadata  member 2e1259d415f2a040 of cluster 48276a8f75b6a87",
        "entry     1 term 1  conf_change add 2e1259d415f2a040",
        "entry     11 term 2  delete_range \"key-1\"",
        "entry     12 term 2  txn 1 compares, 1 then, 0 else",
        "entry     13 term 2  lease_grant",
        "entry     14 term 2  compaction revision 4",
        "snapshot  entry 9, term 2",
        "whole",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
}
