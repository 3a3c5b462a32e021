//! Bytes, derived by hand from etcd's format (checksums from an implementation of their own).

use quorate_proto::etcdserverpb::Metadata;

use super::*;
use prost::Message as _;

const CHAIN_START: [u8; 16] = [
    4, 0, 0, 0, 0, 0, 0, 0x84, // 4 bytes and 4 of padding
    0x08, 4, 0x10, 0, 0, 0, 0, 0,
];
const METADATA: [u8; 24] = [
    0x0e, 0, 0, 0, 0, 0, 0, 0x82, // 14 bytes and 2 of padding
    0x08, 1, 0x10, 0xa9, 0xf6, 0xf0, 0xac, 0x0c, 0x1a, 4, // data: node 1, cluster 2
    0x08, 1, 0x10, 2, 0, 0,
];
const SNAPSHOT: [u8; 24] = [
    0x0e, 0, 0, 0, 0, 0, 0, 0x82, //
    0x08, 5, 0x10, 0x99, 0xcf, 0xff, 0xfd, 0x0d, 0x1a, 4, // data: index 0, term 0
    0x08, 0, 0x10, 0, 0, 0,
];
const FIRST_ENTRY: [u8; 24] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, // 16 bytes, no padding
    0x08, 2, 0x10, 0xfa, 0xc3, 0xa1, 0x8a, 0x06, 0x1a, 6, // data: normal, term 1, index 1
    0x08, 0, 0x10, 1, 0x18, 1,
];
const SECOND_ENTRY: [u8; 32] = [
    0x15, 0, 0, 0, 0, 0, 0, 0x83, // 21 bytes and 3 of padding
    0x08, 2, 0x10, 0xa6, 0xc6, 0xe8, 0x92, 0x01, 0x1a, 11, // data: normal, term 1, index 2
    0x08, 0, 0x10, 1, 0x18, 2, 0x22, 3, b'p', b'u', b't', 0, 0, 0,
];
const STATE: [u8; 24] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, //
    0x08, 3, 0x10, 0xe0, 0xb9, 0xe2, 0xc4, 0x09, 0x1a, 6, // data: term 1, vote 1, commit 1
    0x08, 1, 0x10, 1, 0x18, 1,
];
/// Length field, 71 bytes of record and padding.
const SEAL_BYTES: usize = 80;

fn entries() -> [Entry; 2] {
    let first = Entry { term: 1, index: 1, ..Entry::default() };
    [first, entry(2, 1, "put")]
}

fn metadata() -> Bytes {
    let metadata = Metadata { node_id: 1, cluster_id: 2 };
    Bytes::from(metadata.encode_to_vec())
}

#[test]
fn a_log_has_its_known_bytes() {
    let mut disk = MemDisk::new();
    let mut wal = Wal::create(&mut disk, &dir(), metadata(), SMALL).expect("an empty disk");
    save(&mut disk, &mut wal, Some(state(1, 1, 1)), &entries());

    let files = segments(&disk);
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].as_str(), "wal/0000000000000000-0000000000000000.wal");
    let content = content(&disk, &files[0]);
    assert_eq!(content.len(), 2048, "preallocated");
    let header = [&CHAIN_START[..], &METADATA, &SNAPSHOT].concat();
    let batch = [&FIRST_ENTRY[..], &SECOND_ENTRY, &STATE].concat();
    let (at, rest) = content.split_at(header.len());
    assert_eq!(at, header);
    let (seal, rest) = rest.split_at(SEAL_BYTES);
    check_seal(seal, &header, &SNAPSHOT[11..16], 0, [0; 5]);
    let (at, rest) = rest.split_at(batch.len());
    assert_eq!(at, batch);
    let (seal, rest) = rest.split_at(SEAL_BYTES);
    check_seal(seal, &batch, &STATE[11..16], header.len() + SEAL_BYTES, [1, 1, 1, 2, 0]);
    assert!(rest.iter().all(|byte| *byte == 0));
}

/// `chain` is the varint of the checksum before; `said` are term, vote, commit, the last entry and
/// what is in doubt.
fn check_seal(seal: &[u8], batch: &[u8], chain: &[u8], start: usize, said: [u64; 5]) {
    assert_eq!(seal[..8], [71, 0, 0, 0, 0, 0, 0, 0x81]);
    assert_eq!(seal[8..11], [0x08, 4, 0x10]);
    assert_eq!(&seal[11..16], chain);
    assert_eq!(seal[16..18], [0x1a, 61]);
    let (data, padding) = seal[18..].split_at(61);
    assert_eq!(&data[..4], b"seal");
    assert_eq!(data[4..8], (batch.len() as u32).to_le_bytes());
    let sealed = [&[0; 8], &(start as u64).to_le_bytes()[..], batch].concat();
    assert_eq!(data[8..12], [0; 4], "no sector is zero");
    assert_eq!(data[12..16], ::crc32c::crc32c(&sealed).to_le_bytes());
    assert_eq!(data[16..56], *said.map(u64::to_le_bytes).as_flattened());
    assert_eq!(data[56], 0);
    let at = (start + batch.len()) as u64;
    let chain = prost::encoding::decode_varint(&mut &chain[..]).expect("a varint") as u32;
    let checked = [&[0; 8][..], &at.to_le_bytes(), &chain.to_le_bytes(), &data[..57]].concat();
    assert_eq!(data[57..], ::crc32c::crc32c(&checked).to_le_bytes());
    assert_eq!(padding, [0]);
}

#[test]
fn a_log_as_etcd_writes_it_is_read_and_goes_on() {
    let image =
        [&CHAIN_START[..], &METADATA, &SNAPSHOT, &FIRST_ENTRY, &SECOND_ENTRY, &STATE].concat();
    let mut disk = MemDisk::new();
    disk.create_dir(&dir()).expect("an empty disk");
    let file = dir().join("0000000000000000-0000000000000000.wal");
    disk.create(&file).expect("an empty directory");
    disk.set_len(&file, 4096).expect("room");
    overwrite(&mut disk, &file, 0, &image);

    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.metadata, metadata());
    assert_eq!(recovered.hard_state, state(1, 1, 1));
    assert_eq!(recovered.entries, entries());
    assert_eq!(recovered.repaired, None);
    assert_eq!(content(&disk, &file)[..image.len()], image);

    let mut wal = recovered.wal;
    let third = entry(3, 2, "x");
    save(&mut disk, &mut wal, None, std::slice::from_ref(&third));
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.entries[2], third);
    assert_eq!(recovered.entries.len(), 3);
}

#[test]
fn nothing_is_written_for_nothing() {
    let (_, mut wal) = created(SMALL);
    wal.append(None, &[] as &[Entry]);
    assert!(!wal.has_pending());
    assert_eq!(wal.take_ops(), []);
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let (_, mut wal) = created(SMALL);
    for index in 1..=64 {
        wal.append(Some(state(1, 1, index - 1)), [entry(index, 1, "value")]);
    }
    assert!(wal.has_pending());
    let ops = wal.take_ops();
    assert!(matches!(&ops[..], [DiskOp::Write { .. }, DiskOp::Sync { .. }]), "{ops:?}");
    assert!(!wal.has_pending());
}
