//! A tombstone whose segment is merged away must not leave behind, in a segment that is not, a
//! write that it hides: the next start would take that for one in force, and the key would be back.

use bytes::Bytes;
use quorate_mvcc::{
    CompactRequest, DeleteRangeRequest, PutRequest, RangeRequest, Store, StoreOptions,
};
use quorate_wal::disk::{DiskOp, DiskPath, MemDisk};

const OPTIONS: StoreOptions =
    StoreOptions { segment_bytes: 2000, flush_bytes: 100, cache_bytes: 4000 };

fn write(store: &mut Store, disk: &mut MemDisk) {
    let operations = store.take_ops();
    if !operations.is_empty() {
        DiskOp::execute_all(&operations, disk).expect("the disk is sound");
        store.ops_done();
    }
}

fn put(store: &mut Store, disk: &MemDisk, key: &str) {
    let (key, value) = (Bytes::from(key.to_owned()), Bytes::from(vec![7; 150]));
    let put = PutRequest { key, value, ..PutRequest::default() };
    store.applier(disk).put(&put).expect("it is valid");
}

#[test]
fn a_deleted_key_stays_deleted_when_the_segment_of_its_tombstone_is_merged_first() {
    let mut disk = MemDisk::new();
    let dir = DiskPath::new("store").expect("a valid name");
    let (mut store, _) = Store::open(&mut disk, &dir, None, OPTIONS).expect("an empty disk");
    // A segment of which almost all lives on, with the write that is hidden later.
    put(&mut store, &disk, "hidden");
    for number in 0..20 {
        put(&mut store, &disk, &format!("lives {number:02}"));
        write(&mut store, &mut disk);
    }
    let delete = DeleteRangeRequest { key: "hidden".into(), ..DeleteRangeRequest::default() };
    assert_eq!(store.applier(&disk).delete_range(&delete).expect("it is valid").deleted, 1);
    // Segments of which almost nothing does.
    for _ in 0..60 {
        put(&mut store, &disk, "dies at once");
        write(&mut store, &mut disk);
    }
    store.compact(&CompactRequest { revision: store.revision() }).expect("it is current");
    let files = store.checkpoint().segments.len();
    for _ in 0..10_000 {
        write(&mut store, &mut disk);
        if store.work(&disk, 1000).is_idle {
            break;
        }
    }
    let manifest = store.checkpoint();
    write(&mut store, &mut disk);
    assert!(manifest.segments.len() < files, "what is dead was merged away");

    let (opened, _) = Store::open(&mut disk, &dir, Some(&manifest), OPTIONS).expect("it is sound");
    let get = RangeRequest { key: "hidden".into(), ..RangeRequest::default() };
    assert_eq!(opened.reader(&disk).range(&get).expect("it is valid").count, 0);
    assert_eq!(
        opened.reader(&disk).hash_kv(None).expect("nothing is damaged"),
        store.reader(&disk).hash_kv(None).expect("nothing is damaged"),
    );
}
