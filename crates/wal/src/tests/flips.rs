//! Every single bit of a log of several segments, with a snapshot, flipped in turn; and what rots
//! in larger pieces.

use quorate_proto::walpb;

use super::*;
use crate::{Contents, SnapshotId};

const LAST: u64 = 14;
const SNAPSHOT: SnapshotId = SnapshotId { term: 1, index: 6 };

/// Fourteen entries of two terms, some replaced, in three segments or more; a snapshot of the
/// sixth is noted in the second.
fn written() -> MemDisk {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1024 });
    for index in 1..=LAST {
        let term = if index > 9 { 2 } else { 1 };
        if index == 8 {
            wal.append_snapshot(&walpb::Snapshot { index: 6, term: 1, conf_state: None });
        }
        if index == 10 {
            // Another leader's entries take the place of two.
            let old = [entry(10, 1, "old"), entry(11, 1, "old")];
            save(&mut disk, &mut wal, None, &old);
        }
        let new = entry(index, term, vec![index as u8; 70 + 20 * (index as usize % 3)]);
        save(&mut disk, &mut wal, Some(state(term, term, index - 1)), &[new]);
    }
    assert!(segments(&disk).len() >= 3, "{:?}", segments(&disk));
    disk
}

/// What became of flips.
#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    doubtful: u32,
    harmless: u32,
    cut_off: u32,
}

/// Opens from a snapshot and judges: nothing that was acknowledged may be missed unnoticed.
fn judge(
    contents: Contents,
    disk: &mut MemDisk,
    start: SnapshotId,
    whole: &Recovered,
    outcomes: &mut Outcomes,
) {
    let is_damaged = !contents.damage().is_empty();
    let outlook = contents.outlook(start).expect("it continues that");
    if outlook.loses {
        let refused = Wal::read(disk, &dir()).expect("as before").open(disk, start, SMALL);
        assert!(matches!(refused, Err(WalError::Damaged { doubtful_up_to: LAST, .. })));
        let recovered = contents.open_damaged(disk, start, SMALL).expect("a healthy disk");
        let kept = recovered.entries.len();
        assert_eq!(recovered.doubtful_up_to, LAST);
        let HardState { term, vote, commit } = recovered.hard_state;
        assert_eq!((term, vote), (2, 2), "the last vote is known all the same");
        // What is committed is right; behind it there may be entries that were replaced.
        let committed = (commit.max(start.index) - start.index) as usize;
        assert!(committed <= kept, "{commit}");
        assert_eq!(recovered.entries[..committed], whole.entries[..committed]);
        for (entry, index) in recovered.entries.iter().zip(start.index + 1..) {
            let is_current = whole.entries[(index - start.index - 1) as usize] == *entry;
            let was_replaced = entry.data.as_deref() == Some(b"old");
            assert!(entry.index == index && (is_current || was_replaced), "{entry:?}");
        }
        outcomes.doubtful += 1;
        return;
    }
    let recovered = contents.open(disk, start, SMALL).expect("nothing is lost");
    assert!(
        recovered.entries == whole.entries,
        "{} of {} entries, {:?}, {:?}",
        recovered.entries.len(),
        whole.entries.len(),
        recovered.repaired,
        recovered.damage
    );
    assert_eq!(recovered.hard_state, whole.hard_state);
    assert_eq!(recovered.doubtful_up_to, 0);
    assert!(is_damaged || recovered.repaired.is_some(), "it was noticed");
    outcomes.harmless += u32::from(is_damaged);
    outcomes.cut_off += u32::from(!is_damaged);
}

#[test]
fn every_flipped_bit_is_refused_or_repaired_or_harmless() {
    let whole = written();
    let files = segments(&whole);
    let [all, behind] = [SnapshotId::BEGINNING, SNAPSHOT].map(|start| {
        let contents = Wal::read(&whole, &dir()).expect("a whole log");
        contents.open(&mut whole.clone(), start, SMALL).expect("a whole log")
    });
    let (mut from_beginning, mut from_snapshot) = (Outcomes::default(), Outcomes::default());
    let (mut bits, mut in_last_seal) = (0, 0);
    for (place, file) in files.iter().enumerate() {
        let image = content(&whole, file);
        let end = whole.data_end(file).expect("a segment") as usize;
        for bit in 0..image.len() * 8 {
            let mut disk = whole.clone();
            let byte = bit / 8;
            overwrite(&mut disk, file, byte, &[image[byte] ^ 1 << (bit % 8)]);
            bits += 1;
            let last = place + 1 == files.len();
            match Wal::read(&disk, &dir()) {
                Err(WalError::Corrupt { .. }) => {
                    // Only the last seal has nothing behind it that vouches. Behind that, in the
                    // sector where the log ends, something may have begun that was durable.
                    let in_sector = byte < end.next_multiple_of(512);
                    assert!(last && byte >= end - 80 && in_sector, "{file}: {byte}");
                    in_last_seal += u32::from(byte < end);
                    from_beginning.refused += 1;
                    from_snapshot.refused += 1;
                }
                Err(error) => panic!("{file}: {byte}: {error}"),
                Ok(contents) => {
                    let start = SnapshotId::BEGINNING;
                    judge(contents, &mut disk.clone(), start, &all, &mut from_beginning);
                    let contents = Wal::read(&disk, &dir()).expect("as before");
                    if contents.continues(SNAPSHOT) {
                        judge(contents, &mut disk, SNAPSHOT, &behind, &mut from_snapshot);
                    } else {
                        assert!(!contents.damage().is_empty());
                        from_snapshot.doubtful += 1;
                    }
                }
            }
        }
    }
    for outcomes in [&from_beginning, &from_snapshot] {
        let Outcomes { refused, doubtful, harmless, cut_off } = *outcomes;
        assert_eq!(refused + doubtful + harmless + cut_off, bits);
        assert!(doubtful > 1000 && harmless > 100 && cut_off > 20, "{outcomes:?}");
    }
    assert_eq!(in_last_seal, 78 * 8, "all of the last seal but its two bytes of padding");
    assert!(from_snapshot.harmless > from_beginning.harmless, "what the snapshot covers");
}

#[test]
fn no_flipped_bit_in_a_last_batch_with_sectors_of_zeros_passes_for_a_loss_of_power() {
    let (mut doubtful, mut refused, mut zeros) = (0, 0, 0);
    for shift in [0, 3, 5] {
        let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 14 });
        let file = segments(&disk)[0].clone();
        save(&mut disk, &mut wal, Some(state(1, 1, 0)), &[entry(1, 1, vec![1; 64 * shift])]);
        let values = [vec![2; 20], vec![0; 1700], [&[0; 900][..], &[3; 400]].concat()];
        let batch: Vec<_> = (2..).zip(values).map(|(at, value)| entry(at, 1, value)).collect();
        wal.append(Some(state(2, 3, 1)), &batch);
        let ops = wal.take_ops();
        let [DiskOp::Write { offset, data, .. }, DiskOp::Sync { .. }] = &ops[..] else {
            panic!("{ops:?}");
        };
        DiskOp::execute_all(&ops, &mut disk).expect("a healthy disk");
        for bit in 0..data.len() * 8 {
            let (at, byte) = (*offset as usize + bit / 8, data[bit / 8] ^ 1 << (bit % 8));
            let mut disk = disk.clone();
            overwrite(&mut disk, &file, at, &[byte]);
            match Wal::read(&disk, &dir()) {
                Ok(contents) => {
                    assert_eq!(contents.torn_tail(), None, "bit {bit} at {at}");
                    let recovered = contents.open_damaged(&mut disk, SnapshotId::BEGINNING, SMALL);
                    let recovered = recovered.expect("a healthy disk");
                    assert_eq!(recovered.entries.len(), 1, "bit {bit} at {at}");
                    assert_eq!(recovered.doubtful_up_to, 4, "bit {bit} at {at}");
                    assert_eq!(recovered.hard_state, state(2, 3, 0), "the vote is known");
                    doubtful += 1;
                    zeros += u32::from(data[bit / 8] == 0);
                }
                Err(WalError::Corrupt { .. }) => {
                    assert!(bit / 8 >= data.len() - 80, "bit {bit} at {at}");
                    refused += 1;
                }
                Err(error) => panic!("bit {bit} at {at}: {error}"),
            }
        }
    }
    assert!(doubtful > 70_000 && zeros > 50_000, "{doubtful} {zeros}");
    assert!((3 * 70 * 8..=3 * 80 * 8).contains(&refused), "only the seals: {refused}");
}

/// Puts zeros, noise, or what belongs elsewhere into some sectors.
fn rot_sectors(disk: &mut MemDisk, draws: &mut Draws, files: &[DiskPath], last_batch: u64) {
    for _ in 0..=draws.below(3) {
        let place = draws.below(files.len() as u64) as usize;
        let file = &files[place];
        let end = match place + 1 == files.len() {
            true => last_batch,
            false => disk.data_end(file).expect("a segment"),
        };
        let first = draws.below(end.div_ceil(512)) * 512;
        let end = (first + 512 * (1 + draws.below(2))).min(end);
        let len = (end - first) as usize;
        let bytes = match draws.below(3) {
            0 => vec![0; len],
            1 => (0..len).map(|_| draws.next() as u8).collect(),
            _ => {
                let other = &files[draws.below(files.len() as u64) as usize];
                let mut bytes = disk.read(other, first, len).expect("a segment").to_vec();
                bytes.resize(len, 0);
                bytes
            }
        };
        overwrite(disk, file, first as usize, &bytes);
    }
}

#[test]
fn rotten_and_misdirected_sectors_before_the_last_batch_never_go_unnoticed() {
    let whole = written();
    let files = segments(&whole);
    let last_batch = {
        let last = files.last().expect("segments");
        let data = content(&whole, last);
        let end = whole.data_end(last).expect("a segment");
        let seal = data[..end as usize].windows(4).rposition(|bytes| bytes == b"seal");
        let seal = seal.expect("a batch has a seal");
        // The seal's frame begins 17 or 18 bytes before its data, at a multiple of 8.
        let len = u32::from_le_bytes(data[seal + 4..seal + 8].try_into().expect("four bytes"));
        (seal as u64 / 8 * 8 - 16) - u64::from(len)
    };
    let [all, behind] = [SnapshotId::BEGINNING, SNAPSHOT].map(|start| {
        let contents = Wal::read(&whole, &dir()).expect("a whole log");
        contents.open(&mut whole.clone(), start, SMALL).expect("a whole log")
    });
    let (mut outcomes, mut same) = (Outcomes::default(), 0);
    for seed in 0..4000 {
        let mut draws = Draws(seed);
        let mut disk = whole.clone();
        rot_sectors(&mut disk, &mut draws, &files, last_batch);
        if files.iter().all(|file| content(&disk, file) == content(&whole, file)) {
            same += 1;
            continue;
        }
        let contents = match Wal::read(&disk, &dir()) {
            Ok(contents) => contents,
            Err(error) => panic!("{seed}: the last batch says what the log came to: {error}"),
        };
        let (start, expected) = match contents.continues(SNAPSHOT) && draws.below(2) == 0 {
            true => (SNAPSHOT, &behind),
            false => (SnapshotId::BEGINNING, &all),
        };
        judge(contents, &mut disk, start, expected, &mut outcomes);
    }
    let Outcomes { doubtful, harmless, cut_off, .. } = outcomes;
    assert_eq!(cut_off, 0);
    assert!(same < 400 && doubtful > 2000 && harmless > 100, "{same} {outcomes:?}");
}
