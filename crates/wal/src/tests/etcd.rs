//! A second reader, written from etcd's description alone and sharing no code with ours: what it
//! reads, etcd reads.

use prost::Message as _;
use quorate_proto::raftpb::{ConfState, Entry, HardState};
use quorate_proto::walpb::{Record, Snapshot};

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

/// What etcd's `ReadAll` gives of a log that is opened at a snapshot: metadata, hard state, and
/// the entries behind it.
fn read_all(disk: &MemDisk, start: &Snapshot) -> (Vec<u8>, HardState, Vec<Entry>) {
    let (mut metadata, mut hard_state, mut entries) = (None, HardState::default(), Vec::new());
    let (mut crc, mut noted) = (0, false);
    for file in from_the_segment_of(disk, start.index) {
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
                    if entry.index > start.index {
                        let place = (entry.index - start.index - 1) as usize;
                        assert!(place <= entries.len(), "etcd's slice is out of range");
                        entries.truncate(place);
                        entries.push(entry);
                    }
                }
                3 => hard_state = HardState::decode(data).expect("a hard state"),
                4 => {
                    assert!(crc == 0 || crc == record.crc);
                    crc = record.crc;
                }
                5 => {
                    let snapshot = Snapshot::decode(data).expect("a snapshot");
                    if snapshot.index == start.index {
                        assert_eq!(snapshot, *start);
                        noted = true;
                    }
                }
                other => panic!("type {other}"),
            }
        }
    }
    assert!(noted, "etcd finds no record of the snapshot");
    (metadata.expect("metadata").to_vec(), hard_state, entries)
}

/// The segments that etcd opens: from the last one whose name's index is not above this.
fn from_the_segment_of(disk: &MemDisk, index: u64) -> Vec<DiskPath> {
    let files = segments(disk);
    let first = files.iter().rposition(|file| {
        let digits = file.name().strip_suffix(".wal").and_then(|name| name.split_once('-'));
        let (_, first) = digits.expect("a segment's name");
        u64::from_str_radix(first, 16).expect("hexadecimal digits") <= index
    });
    files[first.expect("etcd finds no segment")..].to_vec()
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
    let start = Snapshot::default();
    assert_eq!(read_all(&disk, &start), (b"member".to_vec(), state(9, 1, 40), expected));
}

#[test]
fn etcd_reads_what_we_write_behind_a_snapshot() {
    let conf_state = Some(ConfState { voters: vec![1, 2], ..ConfState::default() });
    let noted = |index, term| Snapshot { index, term, conf_state: conf_state.clone() };
    let (mut disk, mut wal) = created(SMALL);
    let entries: Vec<_> = (1..=60).map(|index| entry(index, 3, vec![1; 90])).collect();
    for entry in &entries {
        let hard_state = Some(state(3, 2, entry.index));
        save(&mut disk, &mut wal, hard_state, std::slice::from_ref(entry));
    }
    // One of this log, behind which it goes on, and whose entries are released.
    wal.append_snapshot(&noted(55, 3));
    wal.release_to(55);
    save(&mut disk, &mut wal, None, &[entry(61, 3, "next")]);
    assert!(
        segments(&disk).len() < 4 && !segments(&disk)[0].name().starts_with("0000000000000000")
    );
    let behind = [&entries[55..], &[entry(61, 3, "next")]].concat();
    let expected = (b"member".to_vec(), state(3, 2, 60), behind);
    assert_eq!(read_all(&disk, &noted(55, 3)), expected);
    // One from a leader, in place of all.
    wal.append_snapshot(&noted(900, 7));
    save(&mut disk, &mut wal, Some(state(7, 0, 900)), &[entry(901, 7, "far")]);
    let expected = (b"member".to_vec(), state(7, 0, 900), vec![entry(901, 7, "far")]);
    assert_eq!(read_all(&disk, &noted(900, 7)), expected);
    for round in 0..40 {
        let next = entry(902 + round, 7, vec![7; 90]);
        save(&mut disk, &mut wal, None, std::slice::from_ref(&next));
    }
    wal.release_to(900);
    DiskOp::execute_all(&wal.take_ops(), &mut disk).expect("a healthy disk");
    let (_, hard_state, entries) = read_all(&disk, &noted(900, 7));
    assert_eq!((hard_state, entries.len()), (state(7, 0, 900), 41));
}
