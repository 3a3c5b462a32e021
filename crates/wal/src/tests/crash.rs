//! Power and processes that go at any moment: what was synced is there, and the log goes on.

use std::ops::Range;

use super::*;
use crate::disk::CutOff;

/// What a log says.
#[derive(Debug, Clone, PartialEq, Default)]
struct Said {
    hard_state: HardState,
    entries: Vec<Entry>,
}

impl Said {
    fn append(&mut self, entry: &Entry) {
        self.entries.truncate(entry.index as usize - 1);
        self.entries.push(entry.clone());
    }
}

impl From<Recovered> for Said {
    fn from(recovered: Recovered) -> Said {
        Said { hard_state: recovered.hard_state, entries: recovered.entries }
    }
}

/// A batch of random shape on top of `said`.
fn random_batch(draws: &mut Draws, said: &Said, term: u64) -> (Option<HardState>, Vec<Entry>) {
    let len = said.entries.len() as u64;
    let back = if draws.below(4) == 0 { draws.below(4) } else { 0 };
    let first = (len + 1).saturating_sub(back).max(1);
    let entries = (first..first + draws.below(5))
        .map(|index| {
            let size = match draws.below(4) {
                0 => draws.below(2500),
                _ => draws.below(120),
            };
            // Zeros, too: a sector of them looks like one that was not written.
            let byte = if draws.below(3) == 0 { 0 } else { draws.below(256) as u8 };
            entry(index, term, vec![byte; size as usize])
        })
        .collect::<Vec<_>>();
    let hard_state = (draws.below(2) == 0).then(|| state(term, draws.below(3), draws.below(100)));
    (hard_state, entries)
}

/// All that the log may say if power goes while this batch is written: each prefix of it.
fn prefixes(said: &Said, hard_state: Option<HardState>, entries: &[Entry]) -> Vec<Said> {
    let mut all = vec![said.clone()];
    let mut now = said.clone();
    for entry in entries {
        now.append(entry);
        all.push(now.clone());
    }
    if let Some(hard_state) = hard_state {
        now.hard_state = hard_state;
        all.push(now);
    }
    all
}

/// Cuts the power, opens, checks, and sees that the log can be appended to and opened again.
fn check_after_power_loss(disk: &MemDisk, draws: &mut Draws, allowed: &[Said]) -> bool {
    let mut disk = disk.clone();
    let mercy = draws.below(4);
    disk.power_loss(|_| match mercy {
        0 => false,
        1 => true,
        _ => draws.below(2) == 0,
    });
    let recovered = open(&mut disk).unwrap_or_else(|error| panic!("{error}"));
    let torn = recovered.repaired.is_some();
    assert!(disk.is_clean(), "what was recovered is durable");
    let mut wal = open(&mut disk).expect("opens again").wal;
    let mut said = Said::from(recovered);
    assert!(allowed.contains(&said), "recovered {said:?}, which is none of {allowed:?}");
    let next = entry(said.entries.len() as u64 + 1, 1000, "next");
    save(&mut disk, &mut wal, None, std::slice::from_ref(&next));
    said.append(&next);
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.repaired, None);
    assert_eq!(Said::from(recovered), said);
    torn
}

#[test]
fn what_was_synced_survives_a_loss_of_power_after_every_operation() {
    let mut torn = 0;
    let mut cuts = 0;
    for seed in 0..40 {
        let mut draws = Draws(seed);
        let (mut disk, mut wal) = created(SMALL);
        let mut said = Said::default();
        for term in 1..=12 {
            let (hard_state, entries) = random_batch(&mut draws, &said, term);
            let mut allowed = prefixes(&said, hard_state, &entries);
            wal.append(hard_state, &entries);
            let ops = wal.take_ops();
            cuts += usize::from(ops.len() > 2);
            for op in &ops {
                for _ in 0..4 {
                    torn += u32::from(check_after_power_loss(&disk, &mut draws, &allowed));
                }
                op.execute(&mut disk).expect("a healthy disk");
            }
            said = allowed.pop().expect("at least the state before");
            check_after_power_loss(&disk, &mut draws, std::slice::from_ref(&said));
        }
    }
    assert!(torn > 50, "only {torn} torn tails were seen");
    assert!(cuts > 50, "only {cuts} segments were cut");
}

#[test]
fn a_loss_of_power_during_creation_leaves_no_log_or_an_empty_one() {
    let (mut none, mut empty) = (0, 0);
    for seed in 0..40 {
        let mut draws = Draws(seed);
        for changes_left in 0.. {
            let mut cut = CutOff { disk: MemDisk::new(), changes_left };
            let created = Wal::create(&mut cut, &dir(), Bytes::new(), SMALL);
            let mut disk = cut.disk;
            disk.power_loss(|_| draws.below(2) == 0);
            if Wal::exists(&disk, &dir()).expect("a healthy disk") {
                assert_eq!(open(&mut disk).expect("a whole log").entries, []);
                empty += 1;
            } else {
                assert!(created.is_err(), "a log that was created is durable");
                Wal::create(&mut disk, &dir(), Bytes::new(), SMALL).expect("starts again");
                none += 1;
            }
            if created.is_ok() {
                break;
            }
        }
    }
    assert!(none > 0 && empty > 40, "{none} {empty}");
}

#[test]
fn a_loss_of_power_during_a_repair_is_recovered_from() {
    let (whole, file, start, end) = with_a_long_last_batch();
    let mut interrupted = 0;
    for seed in 0..300 {
        let mut draws = Draws(seed);
        let mut disk = whole.clone();
        for at in (start.next_multiple_of(512)..end).step_by(512) {
            if draws.below(2) == 0 {
                overwrite(&mut disk, &file, at, &[0; 512][..512.min(end - at)]);
            }
        }
        let expected = open(&mut disk.clone()).expect("a torn log").entries;
        for changes_left in 0.. {
            let mut cut = CutOff { disk: disk.clone(), changes_left };
            let opened = Wal::open(&mut cut, &dir(), SMALL);
            cut.disk.power_loss(|_| draws.below(2) == 0);
            interrupted += u32::from(opened.is_err());
            assert_eq!(open(&mut cut.disk).expect("a torn log").entries, expected);
            if opened.is_ok() {
                break;
            }
        }
    }
    assert!(interrupted > 500, "{interrupted}");
}

#[test]
fn a_process_that_dies_before_its_sync_loses_nothing_that_was_written() {
    let (mut disk, mut wal) = created(SMALL);
    save(&mut disk, &mut wal, None, &[entry(1, 1, "a")]);
    wal.append(None, [entry(2, 1, "b")]);
    let ops = wal.take_ops();
    ops[0].execute(&mut disk).expect("a healthy disk");
    assert!(!disk.is_clean());
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.entries.len(), 2);
    assert_eq!(recovered.repaired, None);
    // Whoever opened it answers for it from now on.
    disk.power_loss(|_| false);
    let recovered = open(&mut disk).expect("a valid log");
    assert_eq!(recovered.entries.len(), 2);
}

/// A log of two small batches and one of several sectors; where the last one begins and ends.
fn with_a_long_last_batch() -> (MemDisk, DiskPath, usize, usize) {
    let (mut disk, mut wal) = created(WalOptions { segment_bytes: 8192 });
    save(&mut disk, &mut wal, Some(state(1, 1, 0)), &[entry(1, 1, "a")]);
    save(&mut disk, &mut wal, None, &[entry(2, 1, "b")]);
    let start = disk.data_end(&segments(&disk)[0]).expect("a segment") as usize;
    let long: Vec<_> = (3..=12).map(|index| entry(index, 1, vec![index as u8; 300])).collect();
    save(&mut disk, &mut wal, Some(state(1, 1, 2)), &long);
    let file = segments(&disk)[0].clone();
    let end = disk.data_end(&file).expect("a segment") as usize;
    (disk, file, start, end)
}

#[test]
fn every_subset_of_a_batchs_sectors_is_recovered_from() {
    let (disk, file, start, end) = with_a_long_last_batch();
    let whole = content(&disk, &file);
    let bounds: Vec<_> =
        (start..end).filter(|at| *at == start || at % 512 == 0).chain([end]).collect();
    let sectors = bounds.len() - 1;
    assert!((6..12).contains(&sectors), "{sectors}");
    for kept in 0..1_u32 << sectors {
        let mut disk = disk.clone();
        let mut image = whole.clone();
        for (sector, range) in bounds.windows(2).enumerate() {
            if kept & 1 << sector == 0 {
                image[range[0]..range[1]].fill(0);
            }
        }
        overwrite(&mut disk, &file, 0, &image);
        let recovered = open(&mut disk).unwrap_or_else(|error| panic!("{kept:b}: {error}"));
        // At least what was synced, at most the batch's records before the first lost sector.
        let first_lost = (0..sectors).find(|sector| kept & 1 << sector == 0);
        assert!(first_lost.is_some() || recovered.entries.len() == 12);
        assert!((2..=12).contains(&recovered.entries.len()), "{kept:b}");
        let partial = first_lost.is_some_and(|lost| kept >> lost != 0);
        assert!(!partial || recovered.repaired.is_some(), "{kept:b}");
        if first_lost == Some(0) {
            assert_eq!(recovered.entries.len(), 2, "{kept:b}");
        }
        assert_eq!(open(&mut disk).expect("opens again").repaired, None);
    }
}

#[test]
fn a_batch_with_sectors_of_zeros_is_cut_off_if_any_other_was_lost() {
    for before in (0..512).step_by(24) {
        let (mut disk, mut wal) = created(WalOptions { segment_bytes: 1 << 14 });
        let file = segments(&disk)[0].clone();
        save(&mut disk, &mut wal, None, &[entry(1, 1, vec![1; before])]);
        let start = disk.data_end(&file).expect("a segment") as usize;
        let zeros = [0, 1500, 0, 1100, 0].map(|len| vec![0; len]);
        let values = zeros.into_iter().map(|zeros| [&[7; 30][..], &zeros, &[7; 200]].concat());
        let entries: Vec<_> = (2..).zip(values).map(|(at, value)| entry(at, 1, value)).collect();
        save(&mut disk, &mut wal, Some(state(1, 1, 1)), &entries);
        let whole = content(&disk, &file);
        let end = disk.data_end(&file).expect("a segment") as usize;
        let bounds: Vec<_> =
            (start..end).filter(|at| *at == start || at % 512 == 0).chain([end]).collect();
        let sectors: Vec<_> = bounds.windows(2).map(|ends| ends[0]..ends[1]).collect();
        let is_zero = |sector: &Range<usize>| whole[sector.clone()].iter().all(|byte| *byte == 0);
        assert!((2..=5).contains(&sectors.iter().filter(|sector| is_zero(sector)).count()));
        for kept in 0..1_u32 << sectors.len() {
            let mut disk = disk.clone();
            let mut image = whole.clone();
            let lost = sectors.iter().enumerate().filter(|(at, _)| kept & 1 << at == 0);
            lost.for_each(|(_, sector)| image[sector.clone()].fill(0));
            overwrite(&mut disk, &file, 0, &image);
            let recovered = open(&mut disk).unwrap_or_else(|error| panic!("{kept:b}: {error}"));
            assert_eq!(recovered.damage, [], "{kept:b}");
            assert_eq!(
                recovered.entries[..],
                [&[entry(1, 1, vec![1; before])], &entries[..]].concat()[..recovered.entries.len()]
            );
            assert!(!recovered.entries.is_empty(), "{kept:b}");
            assert!(image != whole || recovered.entries.len() == 6, "{kept:b}");
        }
    }
}

#[test]
fn a_file_that_ends_anywhere_in_the_last_batch_is_recovered_from() {
    let (disk, file, start, end) = with_a_long_last_batch();
    for len in start..end {
        let mut disk = disk.clone();
        disk.set_len(&file, len as u64).expect("the file is there");
        let recovered = open(&mut disk).unwrap_or_else(|error| panic!("{len}: {error}"));
        assert!((2..=12).contains(&recovered.entries.len()), "{len}");
        let mut wal = recovered.wal;
        let next = wal.last_index() + 1;
        save(&mut disk, &mut wal, None, &[entry(next, 2, "next")]);
        let recovered = open(&mut disk).expect("a valid log");
        assert_eq!(recovered.entries.len() as u64, next);
    }
}

#[test]
fn a_batch_that_ends_in_zeros_anywhere_costs_nothing_that_was_synced() {
    // A tear within a sector, which no disk makes: refused or recovered from, but never more lost.
    let (disk, file, start, end) = with_a_long_last_batch();
    let (mut refused, mut recovered) = (0, 0);
    for len in start..end {
        let mut disk = disk.clone();
        overwrite(&mut disk, &file, len, &vec![0; end - len]);
        match open(&mut disk) {
            Ok(log) => {
                assert!((2..=12).contains(&log.entries.len()), "{len}");
                recovered += 1;
            }
            Err(WalError::Corrupt { offset, .. }) => {
                assert!(offset >= start as u64);
                refused += 1;
            }
            Err(error) => panic!("{len}: {error}"),
        }
    }
    assert!(refused > 0 && recovered > 0);
}
