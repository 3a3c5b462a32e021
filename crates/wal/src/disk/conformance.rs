//! What every [`Disk`] has to do alike, so that what the simulated one shows holds for the real
//! one. (What only a loss of power shows cannot be tested here.)

use super::{Disk, DiskError, DiskPath};

type Case = (&'static str, fn(&mut dyn Disk));

const CASES: &[Case] = &[
    ("an empty disk", an_empty_disk),
    ("write and read", write_and_read),
    ("reading across the end", reading_across_the_end),
    ("lengths", lengths),
    ("space given in advance", space_given_in_advance),
    ("directories", directories),
    ("directories made durable from above", directories_made_durable),
    ("names are taken once", names_are_taken_once),
    ("what is not there", what_is_not_there),
    ("rename", rename),
    ("remove", remove),
    ("a replaced file is not written to", a_replaced_file),
];

/// Runs every case on an empty disk of its own.
///
/// # Panics
/// If the disk does not conform; the case's name is in the output before.
#[expect(clippy::print_stdout, reason = "shown by the test that fails")]
pub fn run<D: Disk>(mut empty: impl FnMut() -> D) {
    for (name, case) in CASES {
        println!("conformance: {name}");
        case(&mut empty());
    }
}

fn path(name: &str) -> DiskPath {
    DiskPath::new(name).expect("a valid name")
}

fn is_not_found<T: std::fmt::Debug>(result: Result<T, DiskError>) -> bool {
    matches!(result, Err(DiskError::NotFound { .. }))
}

fn create(disk: &mut dyn Disk, name: &str, content: &[u8]) -> DiskPath {
    let file = path(name);
    disk.create(&file).expect("a free name");
    disk.write(&file, 0, content).expect("room");
    file
}

fn content(disk: &dyn Disk, file: &DiskPath) -> Vec<u8> {
    disk.read(file, 0, 1 << 20).expect("the file is there").to_vec()
}

fn an_empty_disk(disk: &mut dyn Disk) {
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![]));
    disk.sync_dir(&DiskPath::root()).expect("the root is always there");
}

fn write_and_read(disk: &mut dyn Disk) {
    let file = create(disk, "f", b"hello world");
    disk.write(&file, 6, b"there").expect("room");
    assert_eq!(content(disk, &file), b"hello there");
    disk.sync(&file).expect("the file is there");
    disk.write(&file, 20, b"!").expect("room");
    assert_eq!(content(disk, &file), b"hello there\0\0\0\0\0\0\0\0\0!");
    disk.write(&file, 3, b"").expect("nothing to do");
    assert_eq!(disk.len(&file), Ok(21));
}

fn reading_across_the_end(disk: &mut dyn Disk) {
    let file = create(disk, "f", b"0123456789");
    let read = |offset, len| disk.read(&file, offset, len).expect("the file is there");
    assert_eq!(&read(2, 3)[..], b"234");
    assert_eq!(&read(7, 100)[..], b"789");
    assert_eq!(&read(10, 1)[..], b"");
    assert_eq!(&read(1 << 40, 1)[..], b"");
    assert_eq!(&read(0, 0)[..], b"");
}

fn lengths(disk: &mut dyn Disk) {
    let file = create(disk, "f", b"abcdef");
    disk.set_len(&file, 10_000).expect("room");
    assert_eq!(disk.len(&file), Ok(10_000));
    let data_end = disk.data_end(&file).expect("the file is there");
    assert!((6..=10_000).contains(&data_end));
    assert_eq!(content(disk, &file)[6..], [0; 9994]);
    disk.set_len(&file, 3).expect("the file is there");
    assert_eq!(content(disk, &file), b"abc");
    disk.set_len(&file, 6).expect("room");
    assert_eq!(content(disk, &file), b"abc\0\0\0", "what was cut off is gone");
}

fn space_given_in_advance(disk: &mut dyn Disk) {
    // As a segment is: as long as it will be, written from its beginning, cut off when it is full.
    let file = path("f");
    disk.create(&file).expect("a free name");
    disk.set_len(&file, 1 << 20).expect("room");
    disk.sync(&file).expect("the file is there");
    disk.write(&file, 0, b"header").expect("room");
    disk.write(&file, 4096, b"batch").expect("room");
    disk.sync(&file).expect("the file is there");
    assert_eq!(disk.len(&file), Ok(1 << 20), "writing within it changes no length");
    let whole = content(disk, &file);
    assert_eq!((&whole[..6], &whole[4096..4101]), (&b"header"[..], &b"batch"[..]));
    assert!(whole[6..4096].iter().chain(&whole[4101..]).all(|byte| *byte == 0));
    disk.set_len(&file, 4101).expect("the file is there");
    disk.sync(&file).expect("the file is there");
    assert_eq!((disk.len(&file), disk.data_end(&file)), (Ok(4101), Ok(4101)));
}

fn directories_made_durable(disk: &mut dyn Disk) {
    // A directory's own name is durable through the one above it, up to the root.
    for dir in ["d", "d/e", "d/e/f"] {
        disk.create_dir(&path(dir)).expect("a free name");
        disk.sync_dir(&path(dir).parent_dir().expect("not the root")).expect("it is there");
    }
    let file = create(disk, "d/e/f/g", b"deep");
    disk.sync(&file).expect("the file is there");
    disk.sync_dir(&path("d/e/f")).expect("the directory is there");
    assert_eq!(disk.list(&path("d/e/f")), Ok(vec![file.clone()]));
    assert_eq!(content(disk, &file), b"deep");
}

fn directories(disk: &mut dyn Disk) {
    disk.create_dir(&path("d")).expect("a free name");
    disk.create_dir(&path("d")).expect("there already");
    disk.create_dir(&path("d/e")).expect("a free name");
    create(disk, "d/b", b"");
    create(disk, "d/a", b"");
    create(disk, "d/e/c", b"");
    assert_eq!(disk.list(&path("d")), Ok(vec![path("d/a"), path("d/b")]));
    assert_eq!(disk.list(&path("d/e")), Ok(vec![path("d/e/c")]));
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![]));
    disk.sync_dir(&path("d")).expect("the directory is there");
}

fn names_are_taken_once(disk: &mut dyn Disk) {
    let file = create(disk, "f", b"abc");
    assert!(matches!(disk.create(&file), Err(DiskError::AlreadyExists { .. })));
    assert_eq!(content(disk, &file), b"abc", "and is left as it was");
    disk.create_dir(&path("d")).expect("a free name");
    assert!(matches!(disk.create(&path("d")), Err(DiskError::AlreadyExists { .. })));
    assert!(matches!(disk.create_dir(&file), Err(DiskError::AlreadyExists { .. })));
}

fn what_is_not_there(disk: &mut dyn Disk) {
    let (file, dir) = (path("f"), path("d"));
    assert!(is_not_found(disk.list(&dir)));
    assert!(is_not_found(disk.len(&file)));
    assert!(is_not_found(disk.data_end(&file)));
    assert!(is_not_found(disk.read(&file, 0, 1)));
    assert!(is_not_found(disk.write(&file, 0, b"a")));
    assert!(is_not_found(disk.set_len(&file, 1)));
    assert!(is_not_found(disk.sync(&file)));
    assert!(is_not_found(disk.sync_dir(&dir)));
    assert!(is_not_found(disk.rename(&file, &path("g"))));
    assert!(is_not_found(disk.remove(&file)));
    assert!(is_not_found(disk.create(&dir.join("f"))));
    assert!(is_not_found(disk.create_dir(&dir.join("e"))));
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![]));
}

fn rename(disk: &mut dyn Disk) {
    let (old, new) = (create(disk, "old", b"abc"), path("new"));
    disk.rename(&old, &new).expect("the file is there");
    assert!(is_not_found(disk.len(&old)));
    disk.write(&new, 3, b"d").expect("room");
    disk.sync(&new).expect("the file is there");
    assert_eq!(content(disk, &new), b"abcd");

    let other = create(disk, "other", b"x");
    disk.rename(&other, &new).expect("the file is there");
    assert_eq!(content(disk, &new), b"x");
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![new.clone()]));

    disk.create_dir(&path("d")).expect("a free name");
    assert!(matches!(disk.rename(&new, &path("d/new")), Err(DiskError::InvalidPath { .. })));
    assert_eq!(content(disk, &new), b"x");
}

fn remove(disk: &mut dyn Disk) {
    let file = create(disk, "f", b"abc");
    disk.remove(&file).expect("the file is there");
    assert!(is_not_found(disk.read(&file, 0, 1)));
    assert_eq!(disk.list(&DiskPath::root()), Ok(vec![]));
    create(disk, "f", b"z");
    assert_eq!(content(disk, &file), b"z");
}

fn a_replaced_file(disk: &mut dyn Disk) {
    // A disk that keeps files open must not go on writing to one that lost its name.
    let (first, second) = (create(disk, "first", b"1"), create(disk, "second", b"2"));
    disk.rename(&second, &first).expect("the file is there");
    disk.write(&first, 1, b"!").expect("room");
    assert_eq!(content(disk, &first), b"2!");
    disk.remove(&first).expect("the file is there");
    create(disk, "first", b"new");
    disk.write(&first, 0, b"N").expect("room");
    assert_eq!(content(disk, &first), b"New");
}
