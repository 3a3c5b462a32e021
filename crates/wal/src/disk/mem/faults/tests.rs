use super::super::Disk;
use super::*;

fn path(name: &str) -> DiskPath {
    DiskPath::new(name).expect("a valid name")
}

/// A disk with a directory and one durable file of four sectors in it, of ones.
fn disk() -> MemDisk {
    let mut disk = MemDisk::new();
    disk.create_dir(&path("d")).expect("a fresh disk");
    disk.create(&path("d/f")).expect("a fresh disk");
    disk.write(&path("d/f"), 0, &[1; 2048]).expect("room");
    disk.sync(&path("d/f")).expect("the file is there");
    disk.sync_dir(&path("d")).expect("the directory is there");
    disk.sync_dir(&DiskPath::root()).expect("the root is there");
    disk
}

/// The first byte of each sector.
fn sectors(disk: &MemDisk, name: &str) -> Vec<u8> {
    let bytes = disk.read(&path(name), 0, 1 << 20).expect("the file is there");
    bytes.chunks(512).map(|sector| sector[0]).collect()
}

#[test]
fn a_failed_write_leaves_each_sector_written_or_not_and_the_next_one_succeeds() {
    let mut disk = disk();
    disk.arm(DiskFailure::Operation { after: 1, spared: 0b101 });
    disk.write(&path("d/f"), 0, &[2; 512]).expect("the failure is that of the one after it");
    disk.sync(&path("d/f")).expect("a sync is another matter");
    let failed = disk.write(&path("d/f"), 512, &[3; 1536]);
    assert!(matches!(failed, Err(DiskError::Io { .. })), "{failed:?}");
    assert_eq!(sectors(&disk, "d/f"), [2, 3, 1, 3]);
    assert_eq!(disk.take_struck(), Struck { operations: 1, ..Struck::default() });
    disk.write(&path("d/f"), 0, &[4; 512]).expect("it struck once");
    assert_eq!(disk.take_struck(), Struck::default());
}

#[test]
fn a_failed_change_of_a_name_or_a_length_is_done_or_not() {
    for spared in [0, 1] {
        let done = spared == 1;
        let failing = || {
            let mut disk = disk();
            disk.arm(DiskFailure::Operation { after: 0, spared });
            disk
        };
        let mut disk = failing();
        disk.create(&path("d/g")).expect_err("it fails");
        assert_eq!(disk.len(&path("d/g")).is_ok(), done);
        let mut disk = failing();
        disk.rename(&path("d/f"), &path("d/g")).expect_err("it fails");
        assert_eq!((disk.len(&path("d/g")).is_ok(), disk.len(&path("d/f")).is_ok()), (done, !done));
        let mut disk = failing();
        disk.remove(&path("d/f")).expect_err("it fails");
        assert_eq!(disk.len(&path("d/f")).is_err(), done);
        let mut disk = failing();
        disk.set_len(&path("d/f"), 512).expect_err("it fails");
        assert_eq!(disk.len(&path("d/f")), Ok(if done { 512 } else { 2048 }));
    }
}

#[test]
fn a_failed_sync_forgets_what_it_could_not_write_and_a_second_one_succeeds() {
    let mut disk = disk();
    disk.write(&path("d/f"), 0, &[2; 2048]).expect("room");
    disk.arm(DiskFailure::Sync { spared: 0b0110 });
    let failed = disk.sync(&path("d/f"));
    assert!(matches!(failed, Err(DiskError::Io { .. })), "{failed:?}");
    assert_eq!(sectors(&disk, "d/f"), [1, 2, 2, 1], "gone from the cache as well");
    assert_eq!(disk.dirty_bytes(&path("d/f")), 0);
    disk.sync(&path("d/f")).expect("it has nothing to write");
    disk.power_loss(|_| false);
    assert_eq!(sectors(&disk, "d/f"), [1, 2, 2, 1], "what was written is on the medium");
    assert_eq!(disk.take_struck().syncs, 1);
}

#[test]
fn a_failed_sync_of_a_directory_leaves_each_name_changed_or_not() {
    let mut disk = disk();
    for name in ["d/a", "d/b", "c"] {
        disk.create(&path(name)).expect("a free name");
    }
    disk.arm(DiskFailure::Sync { spared: 0b10 });
    disk.sync_dir(&path("d")).expect_err("it fails");
    assert_eq!(disk.list(&path("d")), Ok(vec![path("d/b"), path("d/f")]));
    assert!(disk.len(&path("c")).is_ok(), "another directory's names are still pending");
    disk.power_loss(|_| false);
    assert_eq!(disk.list(&path("d")), Ok(vec![path("d/b"), path("d/f")]));
    assert!(disk.len(&path("c")).is_err());
}

#[test]
fn a_full_disk_takes_nothing_but_gives_and_forgets() {
    let mut disk = disk();
    disk.set_full(true);
    let no_space = |path: DiskPath| Err(DiskError::NoSpace { path });
    assert_eq!(disk.write(&path("d/f"), 0, &[2]), no_space(path("d/f")));
    assert_eq!(disk.create(&path("d/g")), no_space(path("d/g")));
    assert_eq!(disk.create_dir(&path("e")), no_space(path("e")));
    assert_eq!(disk.set_len(&path("d/f"), 4096), no_space(path("d/f")));
    assert_eq!(disk.take_struck().no_space, 4);
    disk.create_dir(&path("d")).expect("it is there");
    disk.set_len(&path("d/f"), 1024).expect("shorter needs no space");
    disk.sync(&path("d/f")).expect("what was written has its place");
    disk.set_full(false);
    disk.write(&path("d/f"), 0, &[2]).expect("there is room again");
    assert_eq!(disk.take_struck(), Struck::default());
}

#[test]
fn a_misdirected_read_gives_other_bytes_of_the_file_once() {
    let mut disk = disk();
    disk.write(&path("d/f"), 1024, &[2; 1024]).expect("room");
    disk.arm(DiskFailure::MisdirectedRead { dir: path("e"), place: 1500 });
    disk.arm(DiskFailure::MisdirectedRead { dir: path("d"), place: 1500 });
    let read = |disk: &MemDisk| disk.read(&path("d/f"), 0, 4).expect("the file is there").to_vec();
    assert_eq!(read(&disk), [2; 4]);
    assert_eq!(read(&disk), [1; 4], "the next one is right");
    assert_eq!(disk.take_struck().misdirected_reads, 1);
    disk.disarm();
    disk.arm(DiskFailure::MisdirectedRead { dir: path("d"), place: 3 });
    assert_eq!(read(&disk), [1; 4], "equal bytes elsewhere are no fault");
    assert_eq!(disk.take_struck().misdirected_reads, 0);
}

#[test]
fn rot_is_seen_at_once_unless_newer_bytes_hide_it() {
    let mut disk = disk();
    assert!(disk.flip_bit(&path("d/f"), 8 * 5 + 1));
    let read = |disk: &MemDisk| disk.read(&path("d/f"), 4, 3).expect("the file is there").to_vec();
    assert_eq!(read(&disk), [1, 3, 1]);
    disk.write(&path("d/f"), 0, &[7; 512]).expect("room");
    assert!(disk.flip_bit(&path("d/f"), 8 * 6 + 1), "it is seen if the write is lost");
    assert_eq!(read(&disk), [7, 7, 7]);
    let mut synced = disk.clone();
    synced.sync(&path("d/f")).expect("the file is there");
    assert_eq!(read(&synced), [7, 7, 7]);
    disk.power_loss(|_| false);
    assert_eq!(read(&disk), [1, 3, 3]);
    disk.write(&path("d/f"), 2048, &[7; 512]).expect("room");
    assert_eq!(disk.durable_end(&path("d/f")), 2048, "what is only in the cache cannot rot");
}
