//! A second reader, written from etcd's description alone and sharing no code with ours: what it
//! reads, etcd reads.

use prost::Message as _;
use quorate_proto::raftpb::{Entry, HardState};
use quorate_proto::walpb::Record;

use super::*;

/// CRC-32C one bit at a time.
fn crc32c(mut crc: u32, data: &[u8]) -> u32 {
    crc = !crc;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[test]
fn the_checksum_has_its_published_check_value() {
    assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    assert_eq!(::crc32c::crc32c(b"123456789"), 0xe306_9283);
}

/// What etcd's `ReadAll` gives: metadata, hard state, entries.
fn read_all(disk: &MemDisk) -> (Vec<u8>, HardState, Vec<Entry>) {
    let (mut metadata, mut hard_state, mut entries) = (None, HardState::default(), Vec::new());
    let mut crc = 0;
    for file in segments(disk) {
        let content = content(disk, &file);
        let mut rest = &content[..];
        while let Some((field, behind)) = rest.split_first_chunk::<8>() {
            let field = u64::from_le_bytes(*field);
            if field == 0 {
                break;
            }
            let len = (field & 0x00ff_ffff_ffff_ffff) as usize;
            let padding = if field >> 63 == 1 { field >> 56 & 7 } else { 0 } as usize;
            let record = Record::decode(&behind[..len]).expect("a record");
            rest = &behind[len + padding..];
            let data = record.data.unwrap_or_default();
            if record.r#type != 4 {
                crc = crc32c(crc, &data);
                assert_eq!(record.crc, crc);
            }
            match record.r#type {
                1 => {
                    assert!(metadata.is_none_or(|metadata| metadata == data));
                    metadata = Some(data);
                }
                2 => {
                    let entry = Entry::decode(data).expect("an entry");
                    entries.truncate(entry.index as usize - 1);
                    assert_eq!(entry.index as usize, entries.len() + 1);
                    entries.push(entry);
                }
                3 => hard_state = HardState::decode(data).expect("a hard state"),
                4 => {
                    assert!(crc == 0 || crc == record.crc);
                    crc = record.crc;
                }
                5 => assert_eq!(data[..], [8, 0, 16, 0]),
                other => panic!("type {other}"),
            }
        }
    }
    (metadata.expect("metadata").to_vec(), hard_state, entries)
}

#[test]
fn etcd_reads_what_we_write() {
    let (mut disk, mut wal) = created(SMALL);
    let mut expected = Vec::new();
    for index in 1..60_u64 {
        let entry = entry(index, index / 10 + 1, vec![index as u8; index as usize * 5]);
        save(
            &mut disk,
            &mut wal,
            (index % 3 == 0).then(|| state(entry.term, 2, index)),
            std::slice::from_ref(&entry),
        );
        expected.push(entry);
    }
    // Another leader replaces the end.
    expected.truncate(40);
    expected.push(entry(41, 9, "new"));
    save(&mut disk, &mut wal, Some(state(9, 1, 40)), &expected[40..]);
    assert!(segments(&disk).len() > 3, "{:?}", segments(&disk));
    assert_eq!(read_all(&disk), (b"member".to_vec(), state(9, 1, 40), expected));
}
