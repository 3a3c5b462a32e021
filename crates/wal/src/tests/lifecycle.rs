//! Creating, growing, reopening.

use proptest::prelude::*;

use super::*;
use crate::disk::DiskError;

#[test]
fn a_log_is_created_once() {
    let (mut disk, _) = created(SMALL);
    assert!(Wal::exists(&disk, &dir()).expect("a healthy disk"));
    assert_eq!(
        Wal::create(&mut disk, &dir(), Bytes::new(), SMALL).map(|_| ()),
        Err(WalError::AlreadyExists { dir: dir() })
    );
}

#[test]
fn no_log_is_not_an_empty_log() {
    let mut disk = MemDisk::new();
    assert!(!Wal::exists(&disk, &dir()).expect("a healthy disk"));
    let no_log = Err(WalError::NoLog { dir: dir() });
    assert_eq!(open(&mut disk).map(|_| ()), no_log);
    disk.create_dir(&dir()).expect("an empty disk");
    assert_eq!(open(&mut disk).map(|_| ()), no_log);
}

#[test]
fn a_log_without_records_opens_empty() {
    let (mut disk, _) = created(SMALL);
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.entries, []);
    assert_eq!(recovered.hard_state, HardState::default());
    assert_eq!(recovered.metadata, Bytes::from_static(b"member"));
    assert_eq!(recovered.wal.last_index(), 0);
}

#[test]
fn the_chain_goes_on_across_reopening_and_segments() {
    let (mut disk, mut wal) = created(SMALL);
    let mut expected = Vec::new();
    for index in 1..=200 {
        let entry = entry(index, 1, vec![index as u8; 100]);
        save(&mut disk, &mut wal, None, std::slice::from_ref(&entry));
        expected.push(entry);
        if index % 7 == 0 {
            let recovered = open(&mut disk).expect("a valid log");
            assert_eq!(recovered.entries, expected);
            assert_eq!(recovered.repaired, None);
            wal = recovered.wal;
        }
    }
    let files = segments(&disk);
    assert!(files.len() > 5, "{files:?}");
    assert!(disk.is_clean(), "everything that was reported durable is durable");
    for (sequence, file) in files.iter().enumerate() {
        assert!(file.name().starts_with(&format!("{sequence:016x}-")));
    }
}

#[test]
fn a_segment_is_named_for_the_first_entry_that_may_be_in_it() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &[entry(1, 1, vec![1; 3000])]);
    save(&mut disk, &mut wal, None, &[entry(2, 1, "a")]);
    assert_eq!(segments(&disk)[1].name(), "0000000000000001-0000000000000002.wal");
}

#[test]
fn smaller_segments_than_before_leave_no_unused_space() {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 20 });
    save(&mut disk, &mut wal, None, &[entry(1, 1, vec![1; 3000])]);
    let mut wal = open(&mut disk).expect("a valid log").wal;
    save(&mut disk, &mut wal, None, &[entry(2, 1, "a")]);
    let files = segments(&disk);
    assert_eq!(files.len(), 2);
    assert!(disk.len(&files[0]).expect("the file is there") < 4096);
    assert_eq!(open(&mut disk).expect("a valid log").entries.len(), 2);
}

#[test]
fn an_entry_replaces_its_index_and_all_behind_it() {
    let (mut disk, mut wal) = created(SMALL);
    let old: Vec<_> = (1..=10).map(|index| entry(index, 1, "old")).collect();
    save(&mut disk, &mut wal, None, &old);
    save(&mut disk, &mut wal, None, &[entry(4, 2, "new")]);
    assert_eq!(wal.last_index(), 4);
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.entries[..3], old[..3]);
    assert_eq!(recovered.entries[3..], [entry(4, 2, "new")]);
    assert_eq!(recovered.wal.last_index(), 4);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_gap_between_entries_is_a_mistake_of_the_caller() {
    let (_, mut wal) = created(SMALL);
    wal.append(None, [entry(2, 1, "too far")]);
}

#[test]
fn an_interrupted_creation_is_no_log_and_starts_again() {
    let mut disk = MemDisk::new();
    disk.create_dir(&dir()).expect("an empty disk");
    let left = dir().join("0000000000000000-0000000000000000.wal.tmp");
    disk.create(&left).expect("an empty directory");
    assert!(!Wal::exists(&disk, &dir()).expect("a healthy disk"));
    Wal::create(&mut disk, &dir(), Bytes::new(), SMALL).expect("no log");
    assert_eq!(segments(&disk).len(), 1);
}

#[test]
fn a_disk_error_while_opening_is_told() {
    let mut disk = MemDisk::new();
    let (left, _) = created(SMALL);
    drop(left);
    disk.create(&dir()).expect("an empty disk");
    assert!(matches!(
        Wal::create(&mut disk, &dir(), Bytes::new(), SMALL),
        Err(WalError::Disk(DiskError::AlreadyExists { .. }))
    ));
}

/// One batch: how far it goes back, the sizes of its entries, whether it has a hard state.
type Batch = (u64, Vec<Option<u16>>, bool);

fn batch() -> impl Strategy<Value = Batch> {
    (0..4_u64, prop::collection::vec(prop::option::of(0..3000_u16), 0..5), any::<bool>())
}

proptest! {
    #[test]
    fn what_was_appended_is_recovered(
        batches in prop::collection::vec(batch(), 1..25),
        segment_bytes in 0..10_000_u64,
        reopen in any::<u32>(),
    ) {
        let options = WalOptions { segment_bytes };
        let (mut disk, mut wal) = created(options);
        let mut expected: Vec<Entry> = Vec::new();
        let mut hard_state = HardState::default();
        for (term, (back, sizes, with_state)) in batches.into_iter().enumerate() {
            let term = term as u64 + 1;
            let first = (expected.len() as u64 + 1).saturating_sub(back).max(1);
            let new: Vec<_> = sizes
                .into_iter()
                .zip(first..)
                .map(|(size, index)| Entry {
                    r#type: (index % 3) as i32,
                    term,
                    index,
                    data: size.map(|size| Bytes::from(vec![term as u8; usize::from(size)])),
                })
                .collect();
            if !new.is_empty() {
                expected.truncate(first as usize - 1);
                expected.extend_from_slice(&new);
            }
            if with_state {
                hard_state = state(term, term % 3, first);
            }
            save(&mut disk, &mut wal, with_state.then_some(hard_state), &new);
            if reopen & 1 << (term % 32) != 0 {
                let recovered = Wal::open(&mut disk, &dir(), options).expect("a valid log");
                prop_assert_eq!(recovered.repaired, None);
                wal = recovered.wal;
            }
        }
        let recovered = Wal::open(&mut disk, &dir(), options).expect("a valid log");
        prop_assert_eq!(recovered.entries, expected);
        prop_assert_eq!(recovered.hard_state, hard_state);
    }
}
