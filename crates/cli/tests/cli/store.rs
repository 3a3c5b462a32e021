//! `quorate store`: what is whole is said to be, and what is damaged is shown, with its place.
#![expect(clippy::disallowed_methods, reason = "a test that makes and damages files")]

use std::fs;
use std::path::Path;

use quorate_disk::FsDisk;
use quorate_mvcc::{PutRequest, SegmentId, Store, StoreOptions};
use quorate_proto::raftpb;
use quorate_wal::disk::{Disk, DiskOp, DiskPath};
use quorate_wal::snap;

use crate::common::run;

/// A member's data directory whose newest snapshot, at entry 40, names a store of several segments.
fn member(folder: &Path) {
    let mut disk = FsDisk::open(folder).expect("nobody else has it");
    let path = |name| DiskPath::new(name).expect("a valid name");
    disk.create_dir(&path("member")).expect("there is room");
    snap::prepare(&mut disk, &path("member/snap")).expect("there is room");
    let options = StoreOptions { segment_bytes: 2000, ..StoreOptions::default() };
    let opened = Store::open(&mut disk, &path("member/store"), None, options);
    let mut store = opened.expect("it is empty").0;
    for number in 0..30 {
        let (key, value) = (format!("key {}", number % 20).into(), vec![7; 200].into());
        let put = PutRequest { key, value, ..PutRequest::default() };
        store.applier(&disk).put(&put).expect("it is valid");
    }
    let manifest = store.checkpoint();
    DiskOp::execute_all(&store.take_ops(), &mut disk).expect("there is room");
    let metadata = raftpb::SnapshotMetadata { index: 40, term: 2, ..Default::default() };
    let snapshot = raftpb::Snapshot { data: Some(manifest.encode()), metadata };
    let operations = snap::write_ops(&path("member/snap"), &snapshot);
    DiskOp::execute_all(&operations, &mut disk).expect("there is room");
}

fn flip(folder: &Path, file: &str, byte: usize) {
    let path = folder.join("member/store").join(file);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes[byte] ^= 4;
    fs::write(&path, bytes).expect("there is room");
}

#[test]
fn a_whole_store_is_listed_and_said_to_be_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    member(folder.path());
    let below = |name: &str| folder.path().join(name);
    for dir in [folder.path().to_owned(), below("member"), below("member/store")] {
        let lines = [
            run(["store", "inspect", "--format", "json"].map(Path::new).iter().chain([&&*dir])),
            run(["store", "verify", "--format", "json"].map(Path::new).iter().chain([&&*dir])),
        ]
        .map(|run| run.expect_code(0).json_lines());
        let verdict = lines[0].last().expect("there is a verdict");
        assert_eq!(Some(verdict), lines[1].last());
        assert_eq!((&verdict["verdict"], lines[1].len()), (&"whole".into(), 1));
        let store = &verdict["store"];
        assert_eq!((&store["revision"], &store["snapshot_index"]), (&31.into(), &40.into()));
        assert_eq!(store["keys"], 20);
        let segments = &lines[0][..lines[0].len() - 1];
        assert_eq!(Some(segments.len() as u64), store["segments"].as_u64());
        assert!(segments.len() > 2);
        let records = segments.iter().map(|line| line["records"].as_u64().expect("a number"));
        assert_eq!(records.sum::<u64>(), 30);
    }
    let text = run([Path::new("store"), Path::new("inspect"), folder.path()]).expect_code(0);
    assert!(text.stdout.contains("100% live") && text.stdout.contains(": whole;"), "{text:?}");
}

#[test]
fn damage_is_shown_with_its_place_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    member(folder.path());
    let verify = || run([Path::new("store"), Path::new("verify"), folder.path()]);
    let data = format!("{}.data", SegmentId(1));
    flip(folder.path(), &data, 100);
    let said = verify().expect_code(1);
    for part in ["at byte 0", "key 0", "revision 2", "gets damaged records from its peers"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    // Both files: nobody knows any more what the segment holds.
    flip(folder.path(), &format!("{}.keys", SegmentId(1)), 50);
    let said = verify().expect_code(1);
    assert!(said.stdout.contains("both of its files are damaged"), "{}", said.stdout);
    assert!(said.stdout.contains("goes on from an older snapshot"), "{}", said.stdout);
    // What the keys' file says, the data says as well.
    flip(folder.path(), &data, 100);
    let said = verify().expect_code(1);
    assert!(said.stdout.contains("writes its keys' files anew"), "{}", said.stdout);
    flip(folder.path(), &format!("{}.keys", SegmentId(1)), 50);
    verify().expect_code(0);
}

#[test]
fn damaged_snapshots_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    member(folder.path());
    let snapshots = folder.path().join("member/snap");
    let newest = fs::read_dir(&snapshots).expect("it is there").next().expect("a file");
    let newest = newest.expect("it can be read").path();
    let bytes = fs::read(&newest).expect("it is there");
    // A newer one, which is of no use; the other is whole.
    fs::write(snapshots.join("0000000000000002-0000000000000029.snap"), &bytes[1..])
        .expect("there is room");
    let verify = |code| {
        run([Path::new("store"), Path::new("verify"), folder.path()]).expect_code(code).stdout
    };
    let said = verify(1);
    for part in ["0000000000000029.snap:", "damaged", "as of entry 40", "older snapshot"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    fs::write(&newest, &bytes[1..]).expect("there is room");
    let said = verify(1);
    assert!(said.contains("no intact snapshot names a store"), "{said}");
}

#[test]
fn many_records_that_are_damaged_alike_have_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    member(folder.path());
    let records =
        |command: &[&str]| run(command.iter().map(Path::new).chain([folder.path()])).json_lines();
    let first = records(&["store", "inspect", "--format", "json"]).remove(0);
    fs::remove_file(folder.path().join(format!("member/store/{}.data", SegmentId(1))))
        .expect("it is there");
    let verdict = records(&["store", "verify", "--format", "json"]).remove(0);
    let [line] = &verdict["damage"].as_array().expect("a list")[..] else { panic!("{verdict}") };
    assert!(line["records"].as_u64() > Some(3), "{line}");
    for (part, of_segment) in
        [("records", "records"), ("revision", "first_revision"), ("last_revision", "last_revision")]
    {
        assert_eq!(line[part], first[of_segment], "{part} of {line} and {first}");
    }
    assert_eq!(line["offset"], 0);
    assert!(line["last_offset"].as_u64() > Some(0), "{line}");
    let said = run([Path::new("store"), Path::new("verify"), folder.path()]).expect_code(1);
    assert_eq!(said.stdout.lines().count(), 3, "damage, verdict, help: {}", said.stdout);
    assert!(said.stdout.contains("from byte 0 to "), "{}", said.stdout);
}

#[test]
fn what_is_no_store_is_bad_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = run([Path::new("store"), Path::new("verify"), folder.path()]).expect_code(2);
    assert!(said.stderr.contains("no store here"), "{}", said.stderr);
    fs::create_dir_all(folder.path().join("member/store")).expect("there is room");
    let said = run([Path::new("store"), Path::new("verify"), folder.path()]).expect_code(0);
    assert!(said.stdout.contains("everything is in the log"), "{}", said.stdout);
    let _held = FsDisk::open(folder.path()).expect("nobody else has it");
    let said = run([Path::new("store"), Path::new("verify"), folder.path()]).expect_code(2);
    assert!(said.stderr.contains("in use by a member"), "{}", said.stderr);
}
