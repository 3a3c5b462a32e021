use proptest::prelude::*;

use super::*;
use crate::disk::conformance;

fn path(name: &str) -> DiskPath {
    DiskPath::new(name).expect("a valid name")
}

/// A disk with one durable file of that content.
fn with_file(name: &str, content: &[u8]) -> MemDisk {
    let mut disk = MemDisk::new();
    disk.create(&path(name)).expect("a fresh disk");
    disk.write(&path(name), 0, content).expect("room");
    disk.sync(&path(name)).expect("the file is there");
    disk.sync_dir(&DiskPath::root()).expect("the root is there");
    assert!(disk.is_clean());
    disk
}

fn content(disk: &MemDisk, name: &str) -> Vec<u8> {
    let len = disk.len(&path(name)).expect("the file is there");
    let content = disk.read(&path(name), 0, len as usize);
    content.expect("the file is there").to_vec()
}

#[test]
fn conforms() {
    conformance::run(MemDisk::new);
}

#[test]
fn a_loss_of_power_takes_or_spares_each_sector_that_was_not_synced() {
    let old = [1_u8; 1536];
    for spared in 0..8_u32 {
        let mut disk = with_file("f", &old);
        // Parts of the first and last sector, all of the middle one.
        disk.write(&path("f"), 500, &[2; 600]).expect("room");
        assert_eq!(disk.dirty_bytes(&path("f")), 1536);
        let mut sector = 0;
        let loss = disk.power_loss(|unit| {
            assert_eq!(unit, Unsynced::Sector);
            sector += 1;
            spared & 1 << (sector - 1) != 0
        });
        assert_eq!(loss.kept, u64::from(spared.count_ones()));
        assert_eq!(loss.lost, 3 - loss.kept);
        let mut expected = old;
        for (sector, range) in [500..512, 512..1024, 1024..1100].into_iter().enumerate() {
            if spared & 1 << sector != 0 {
                expected[range].fill(2);
            }
        }
        assert_eq!(content(&disk, "f"), expected, "spared {spared:03b}");
        assert!(disk.is_clean());
    }
}

#[test]
fn what_was_synced_survives_and_later_writes_go_back_to_it() {
    let mut disk = with_file("f", b"first");
    disk.write(&path("f"), 0, b"second").expect("room");
    disk.sync(&path("f")).expect("the file is there");
    disk.write(&path("f"), 0, b"third!").expect("room");
    disk.power_loss(|_| false);
    assert_eq!(content(&disk, "f"), b"second");
}

#[test]
fn a_length_that_was_not_synced_may_be_lost() {
    for spared in [false, true] {
        let mut disk = with_file("f", b"abc");
        disk.set_len(&path("f"), 4096).expect("the file is there");
        let loss = disk.power_loss(|unit| {
            assert_eq!(unit, Unsynced::Length);
            spared
        });
        assert_eq!(loss.kept + loss.lost, 1);
        let len = disk.len(&path("f")).expect("the file is there");
        assert_eq!(len, if spared { 4096 } else { 3 });
    }
}

#[test]
fn cutting_a_file_off_is_undone_with_its_content() {
    let mut disk = with_file("f", &[7; 2000]);
    disk.set_len(&path("f"), 100).expect("the file is there");
    disk.set_len(&path("f"), 2000).expect("the file is there");
    assert_eq!(content(&disk, "f")[100..], [0; 1900]);
    disk.power_loss(|_| false);
    assert_eq!(content(&disk, "f"), [7; 2000]);
}

#[test]
fn a_name_is_durable_only_with_its_directory() {
    let mut disk = MemDisk::new();
    disk.create(&path("f")).expect("a fresh disk");
    disk.write(&path("f"), 0, b"abc").expect("room");
    disk.sync(&path("f")).expect("the file is there");
    assert!(!disk.is_clean());
    disk.power_loss(|_| false);
    assert_eq!(disk.len(&path("f")), Err(not_found(&path("f"))));
    assert_eq!(disk.memory_bytes(), 0);
}

#[test]
fn each_change_of_a_name_is_lost_or_spared_by_itself() {
    for spared in 0..4_u32 {
        let mut disk = with_file("old", b"old");
        disk.create(&path("temporary")).expect("a free name");
        disk.rename(&path("temporary"), &path("new")).expect("the file is there");
        let mut change = 0;
        disk.power_loss(|_| {
            change += 1;
            spared & 1 << (change - 1) != 0
        });
        let expected: &[&str] = match spared {
            0b00 => &["old"],
            0b01 => &["old", "temporary"],
            _ => &["new", "old"],
        };
        let names: Vec<_> = expected.iter().map(|name| path(name)).collect();
        assert_eq!(disk.list(&DiskPath::root()), Ok(names), "{spared:02b}");
    }
}

#[test]
fn a_loss_of_power_says_how_many_names_are_others_than_before() {
    let changed = |disk: &mut MemDisk| {
        disk.create(&path("created")).expect("a free name");
        disk.rename(&path("old"), &path("renamed")).expect("the file is there");
        disk.remove(&path("removed")).expect("the file is there");
    };
    for (spared, names_lost) in [
        // The created one is gone, the removed one back, and the renamed one two names.
        (0b000, 4),
        (0b001, 3),
        (0b010, 2),
        (0b100, 3),
        (0b111, 0),
    ] {
        let mut disk = with_file("old", b"old");
        disk.create(&path("removed")).expect("a free name");
        disk.sync_dir(&DiskPath::root()).expect("the root is there");
        changed(&mut disk);
        let mut change = 0;
        let loss = disk.power_loss(|_| {
            change += 1;
            spared & 1 << (change - 1) != 0
        });
        assert_eq!(loss.names_lost, names_lost, "{spared:03b}");
    }
}

#[test]
fn a_removal_that_was_not_synced_may_be_undone_with_the_content() {
    let mut disk = with_file("f", b"abc");
    disk.remove(&path("f")).expect("the file is there");
    disk.power_loss(|_| false);
    assert_eq!(content(&disk, "f"), b"abc");
}

#[test]
fn a_lost_directory_takes_its_files_along() {
    let mut disk = MemDisk::new();
    disk.create_dir(&path("d")).expect("a fresh disk");
    disk.create(&path("d/f")).expect("a free name");
    disk.sync_dir(&path("d")).expect("the directory is there");
    disk.power_loss(|_| false);
    assert_eq!(disk.list(&path("d")), Err(not_found(&path("d"))));
    assert_eq!(disk.len(&path("d/f")), Err(not_found(&path("d/f"))));
}

#[test]
fn preallocated_space_costs_no_memory() {
    let mut disk = with_file("f", b"abc");
    disk.set_len(&path("f"), 1 << 40).expect("the file is there");
    disk.write(&path("f"), 100, &[1; 1000]).expect("room");
    disk.sync(&path("f")).expect("the file is there");
    assert_eq!(disk.data_end(&path("f")), Ok(1100));
    assert!(disk.memory_bytes() < 8192, "{}", disk.memory_bytes());
    let zeros = disk.read(&path("f"), 1 << 39, 10);
    assert_eq!(zeros, Ok(Bytes::from_static(&[0; 10])));
}

#[derive(Debug, Clone)]
enum Step {
    Write { offset: u64, byte: u8, len: usize },
    SetLen(u64),
    Sync,
    PowerLoss,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3000_u64, 1..=255_u8, 1..1500_usize)
            .prop_map(|(offset, byte, len)| Step::Write { offset, byte, len }),
        1 => (0..4000_u64).prop_map(Step::SetLen),
        2 => Just(Step::Sync),
        1 => Just(Step::PowerLoss),
    ]
}

proptest! {
    /// Against a file kept twice over: as it is seen, and as it was at the last sync.
    #[test]
    fn without_mercy_a_loss_of_power_goes_back_to_the_last_sync(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut disk = with_file("f", b"");
        let (mut seen, mut durable) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Write { offset, byte, len } => {
                    disk.write(&path("f"), offset, &vec![byte; len]).expect("room");
                    let end = offset as usize + len;
                    if seen.len() < end {
                        seen.resize(end, 0);
                    }
                    seen[offset as usize..end].fill(byte);
                }
                Step::SetLen(len) => {
                    disk.set_len(&path("f"), len).expect("the file is there");
                    seen.resize(len as usize, 0);
                }
                Step::Sync => {
                    disk.sync(&path("f")).expect("the file is there");
                    durable.clone_from(&seen);
                    prop_assert!(disk.is_clean());
                }
                Step::PowerLoss => {
                    disk.power_loss(|_| false);
                    seen.clone_from(&durable);
                }
            }
            prop_assert_eq!(&content(&disk, "f"), &seen);
        }
    }
}
