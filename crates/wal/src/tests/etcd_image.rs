//! A log that a real etcd wrote: read, and continued. Where it is from: `testdata/etcd-3.4/README.md`.

use prost::Message as _;
use quorate_proto::etcdserverpb::{InternalRaftRequest, Metadata};
use quorate_proto::raftpb::{ConfChange, EntryType};

use super::*;
use crate::{SnapshotId, snap};

const LOG: &[u8] =
    include_bytes!("../../testdata/etcd-3.4/0000000000000000-0000000000000000.wal.prefix");
const SNAPSHOT: &[u8] =
    include_bytes!("../../testdata/etcd-3.4/0000000000000002-0000000000000009.snap");
/// What etcd preallocates: the file's length, which the image leaves out.
const ETCD_SEGMENT_BYTES: u64 = 64_000_000;
const MEMBER: u64 = 0x2e12_59d4_15f2_a040;
const CLUSTER: u64 = 0x0482_76a8_f75b_6a87;
const NOTED: SnapshotId = SnapshotId { term: 2, index: 9 };

/// The files as etcd left them.
fn image() -> MemDisk {
    let mut disk = MemDisk::new();
    let snapshots = DiskPath::new("snap").expect("a valid name");
    for (dir, name, content, len) in [
        (dir(), "0000000000000000-0000000000000000.wal", LOG, ETCD_SEGMENT_BYTES),
        (snapshots, "0000000000000002-0000000000000009.snap", SNAPSHOT, SNAPSHOT.len() as u64),
    ] {
        disk.create_dir(&dir).expect("an empty disk");
        let file = dir.join(name);
        disk.create(&file).expect("an empty directory");
        overwrite(&mut disk, &file, 0, content);
        disk.set_len(&file, len).expect("room");
        disk.sync_dir(&dir).expect("the directory");
    }
    // What etcd has prepared for its next segment.
    let prepared = dir().join("0.tmp");
    disk.create(&prepared).expect("a free name");
    disk
}

fn request(entry: &Entry) -> InternalRaftRequest {
    assert_eq!((entry.r#type, entry.term), (EntryType::EntryNormal as i32, 2));
    let data = entry.data.clone().expect("a payload");
    InternalRaftRequest::decode(data).expect("a request of etcd's")
}

fn put_key(entry: &Entry) -> String {
    let put = request(entry).put.expect("a put");
    String::from_utf8(put.key.to_vec()).expect("the key is text")
}

#[test]
fn a_log_of_real_etcd_is_read_from_its_beginning() {
    let mut disk = image();
    let contents = Wal::read(&disk, &dir()).expect("etcd's log is whole");
    assert_eq!((contents.damage(), contents.torn_tail()), (&[][..], None));
    let noted: Vec<_> = contents.snapshots().iter().map(|it| (it.term, it.index)).collect();
    assert_eq!(noted, [(0, 0), (2, 9)]);

    let recovered = open(&mut disk).expect("etcd's log is whole");
    let metadata = Metadata::decode(recovered.metadata.clone()).expect("etcd's metadata");
    assert_eq!(metadata, Metadata { node_id: MEMBER, cluster_id: CLUSTER });
    assert_eq!(recovered.hard_state, state(2, MEMBER, 17));
    let indices: Vec<_> = recovered.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indices, (1..=17).collect::<Vec<_>>());
    let at = |index: usize| &recovered.entries[index - 1];
    let change = ConfChange::decode(at(1).data.clone().expect("a change")).expect("etcd's");
    assert_eq!((at(1).r#type, at(1).term, change.node_id), (1, 1, MEMBER));
    assert_eq!(at(2).data, None, "a leader begins its term");
    for index in 5..=10 {
        assert_eq!(put_key(at(index)), format!("key-{}", index - 4));
    }
    assert_eq!(request(at(11)).delete_range.expect("a deletion").key, "key-1");
    assert_eq!(request(at(12)).txn.expect("a transaction").compare.len(), 1);
    assert_eq!(request(at(14)).compaction.expect("a compaction").revision, 4);
    assert_eq!(put_key(at(17)), "key-9");
}

#[test]
fn a_log_of_real_etcd_opens_behind_its_snapshot_and_goes_on() {
    let mut disk = image();
    let contents = Wal::read(&disk, &dir()).expect("etcd's log is whole");
    let snapshots = DiskPath::new("snap").expect("a valid name");
    let loaded = snap::load_newest(&disk, &snapshots, |id| contents.continues(id));
    let loaded = loaded.expect("a healthy disk");
    let snapshot = loaded.snapshot.expect("etcd's snapshot is intact");
    assert_eq!((snapshot.metadata.term, snapshot.metadata.index), (2, 9));
    assert_eq!(snapshot.metadata.conf_state.voters, [MEMBER]);
    let recovered = contents.open(&mut disk, NOTED, SMALL).expect("etcd's log continues it");
    assert_eq!(recovered.repaired, None);
    assert_eq!(recovered.entries.first().map(|entry| entry.index), Some(10));
    assert_eq!(recovered.entries.len(), 8);

    // What follows is ours, in new segments too; what etcd wrote is as it was.
    let mut wal = recovered.wal;
    for index in 18..=60 {
        let new = entry(index, 3, vec![index as u8; 100]);
        save(&mut disk, &mut wal, Some(state(3, MEMBER, index)), &[new]);
    }
    assert!(segments(&disk).len() > 2);
    assert_eq!(content(&disk, &segments(&disk)[0])[..LOG.len()], *LOG);
    for (start, first) in [(SnapshotId::BEGINNING, 1), (NOTED, 10)] {
        let contents = Wal::read(&disk, &dir()).expect("a whole log");
        let recovered = contents.open(&mut disk, start, SMALL).expect("both are noted");
        let indices: Vec<_> = recovered.entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indices, (first..=60).collect::<Vec<_>>());
        assert_eq!(recovered.hard_state, state(3, MEMBER, 60));
    }
}

#[test]
fn a_flipped_bit_in_the_data_of_real_etcds_log_is_noticed() {
    // What etcd's checksums cover: not lengths, types and padding.
    let file = dir().join("0000000000000000-0000000000000000.wal");
    for (at, byte) in LOG.iter().enumerate() {
        let mut disk = image();
        overwrite(&mut disk, &file, at, &[byte ^ 1 << (at % 8)]);
        match Wal::read(&disk, &dir()) {
            Err(WalError::Corrupt { .. }) => {}
            Err(error) => panic!("{at}: {error}"),
            // A type that became another which the data can pass for, or a padding's length.
            Ok(contents) => assert!(contents.torn_tail().is_some() || at % 8 == 1, "{at}"),
        }
    }
}

/// What etcd would have written in place of this log: the same records without seals.
fn without_seals(disk: &MemDisk) -> MemDisk {
    let mut stripped = disk.clone();
    for file in segments(disk) {
        let whole = content(disk, &file);
        let (mut kept, mut rest) = (Vec::new(), &whole[..]);
        while let Some((field, _)) = rest.split_first_chunk::<8>().filter(|(field, _)| field[0] > 0)
        {
            let len = u64::from_le_bytes(*field) & 0x00ff_ffff_ffff_ffff;
            let (frame, behind) = rest.split_at(8 + len.next_multiple_of(8) as usize);
            // Of type 4, and longer than the one that begins a segment.
            if frame[9] != 4 || frame.len() < 32 {
                kept.extend_from_slice(frame);
            }
            rest = behind;
        }
        kept.resize(whole.len(), 0);
        overwrite(&mut stripped, &file, 0, &kept);
    }
    stripped
}

#[test]
fn a_flipped_bit_before_etcds_last_save_is_refused_even_in_values_of_zeros() {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 16 });
    for index in 1..=6 {
        let value = [&[index as u8; 40][..], &[0; 2000]].concat();
        save(&mut disk, &mut wal, Some(state(1, 1, index)), &[entry(index, 1, value)]);
    }
    let disk = without_seals(&disk);
    let file = segments(&disk)[0].clone();
    let recovered = open(&mut disk.clone()).expect("as etcd would have written it");
    assert_eq!((recovered.entries.len(), recovered.repaired), (6, None));
    let image = content(&disk, &file);
    let end = 1 + image.iter().rposition(|byte| *byte != 0).expect("a log");
    // An entry with 2040 bytes, and a hard state.
    let last = end - 2072 - 24;
    let (mut refused, mut torn) = (0, 0);
    for (at, byte) in image.iter().enumerate().take(end) {
        let mut disk = disk.clone();
        overwrite(&mut disk, &file, at, &[byte ^ 1 << (at % 8)]);
        match Wal::read(&disk, &dir()) {
            Err(WalError::Corrupt { .. }) => refused += 1,
            Err(error) => panic!("{at}: {error}"),
            Ok(contents) => match contents.torn_tail() {
                // Neither etcd nor we can tell this from a tear.
                Some(torn_tail) => {
                    assert!(torn_tail.offset >= last as u64, "{at}: {torn_tail:?}");
                    torn += 1;
                }
                // Types that pass for another, as etcd's checksums say nothing of them.
                None => assert!(*byte <= 5, "{at}"),
            },
        }
    }
    assert!(refused > last - 100 && torn > 1500, "{refused} {torn}");
}
