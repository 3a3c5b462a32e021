//! What a disk does to bytes at rest: it is noticed, and repaired from a peer, byte for byte.

use bytes::Bytes;
use quorate_mvcc::{
    ChangeId, Compare, CompareResult, CompareTarget, Damage, DamagedPart, DeleteRangeRequest,
    Failure, Manifest, OpenError, PutRequest, RangeRequest, RepairError, RequestOp, Revision,
    Scrubber, Store, TxnRequest,
};
use quorate_wal::disk::{Disk, DiskFailure, DiskOp, DiskPath, MemDisk};

use crate::support::{Content, Draws, Machine, OPTIONS, Request, apply, dir, everything};

fn flip(disk: &mut MemDisk, file: &DiskPath, bit: u64) {
    let byte = disk.read(file, bit / 8, 1).expect("the file is there")[0];
    disk.write(file, bit / 8, &[byte ^ 1 << (bit % 8)]).expect("the file is there");
}

fn open(disk: MemDisk, manifest: &Manifest) -> (Machine, usize) {
    let mut disk = disk;
    let opened = Store::open(&mut disk, &dir(), Some(manifest), OPTIONS);
    let (store, opened) = opened.expect("one file of the two is whole");
    (Machine { disk, store }, opened.rebuilt.len())
}

/// All that is damaged.
fn scrub(machine: &Machine) -> Vec<Damage> {
    let (mut scrubber, mut found) = (Scrubber::default(), Vec::new());
    while scrubber.rounds() == 0 {
        found.extend(scrubber.step(&machine.store, &machine.disk, 200));
    }
    found
}

fn lost(damage: &Damage) -> &ChangeId {
    match &damage.part {
        DamagedPart::Record { change: Some(change), .. } => change,
        other => panic!("{other:?} is no record that is known"),
    }
}

/// Repairs a record from a peer that has it.
fn repair(machine: &mut Machine, damage: &Damage, peer: &Machine) {
    let record = peer.store.reader(&peer.disk).record_at(lost(damage)).expect("it is sound there");
    let record = record.expect("the peer has it");
    let repaired = machine.store.repair(damage, &record, &machine.disk);
    assert_eq!(repaired, Ok(()));
    machine.write();
}

/// Changes that all can be read: none is dead.
fn young() -> Machine {
    let (mut machine, mut draws) = (Machine::new(), Draws::new(11));
    while machine.store.revision() < Revision(24) {
        match draws.request(machine.store.revision()) {
            Request::Compact(_) => {}
            request => drop(machine.apply(&request)),
        }
    }
    machine
}

#[test]
fn every_bit_of_a_small_store_that_flips_is_noticed_and_repaired() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let content = whole.content();
    assert!(manifest.segments.len() > 2, "{} segments", manifest.segments.len());
    let (mut rebuilt_files, mut repaired_records) = (0, 0);
    for file in whole.disk.list(&dir()).expect("it is there") {
        let len = whole.disk.len(&file).expect("it is there");
        for bit in 0..len * 8 {
            let mut disk = whole.disk.clone();
            flip(&mut disk, &file, bit);
            let (mut machine, rebuilt) = open(disk, &manifest);
            let found = scrub(&machine);
            // A keys' file is noticed when it is opened, the data when it is read.
            assert_eq!(rebuilt + found.len(), 1, "{file}, bit {bit}: {found:?}");
            for damage in &found {
                let read = machine.store.reader(&machine.disk).range(&everything(None));
                let hash = machine.store.reader(&machine.disk).hash_kv(None);
                assert!(matches!(&hash, Err(Failure::Damaged(_))), "{file}, bit {bit}: {hash:?}");
                if let Err(failure) = read {
                    let Failure::Damaged(met) = failure else { panic!("{failure}") };
                    assert_eq!(lost(&met), lost(damage));
                }
                repair(&mut machine, damage, &whole);
                repaired_records += 1;
            }
            rebuilt_files += rebuilt;
            assert_eq!(scrub(&machine), [], "{file}, bit {bit}");
            // Everything costs too much for each of them.
            if bit % 61 == 0 {
                machine.content().assert_is(&content);
            }
            let bytes = |disk: &MemDisk| disk.read(&file, 0, len as usize).expect("it is there");
            if rebuilt == 0 {
                assert_eq!(bytes(&machine.disk), bytes(&whole.disk), "{file}, bit {bit}");
            }
        }
    }
    assert!(rebuilt_files > 1000 && repaired_records > 1000);
}

#[test]
fn a_file_that_is_gone_or_cut_off_is_noticed() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let content = whole.content();
    for segment in &manifest.segments {
        for cut in [None, Some(0), Some(1), Some(30)] {
            let (keys, data) = (segment.id.keys_file(&dir()), segment.id.data_file(&dir()));
            let damaged = |file: &DiskPath| {
                let mut disk = whole.disk.clone();
                match cut {
                    None => disk.remove(file).expect("it is there"),
                    Some(len) => disk.set_len(file, len).expect("it is there"),
                }
                disk
            };
            let (machine, rebuilt) = open(damaged(&keys), &manifest);
            assert_eq!(rebuilt, 1);
            machine.content().assert_is(&content);
            let mut disk = damaged(&data);
            // Each record of the segment has to be fetched; a file that is gone is begun anew.
            if cut.is_none() {
                disk.create(&data).expect("it is gone");
            }
            let (mut machine, rebuilt) = open(disk, &manifest);
            assert_eq!(rebuilt, 0);
            let found = scrub(&machine);
            assert!(!found.is_empty() && found.len() as u64 <= segment.records);
            for damage in found {
                repair(&mut machine, &damage, &whole);
            }
            machine.content().assert_is(&content);
        }
    }
}

#[test]
fn a_segment_whose_files_are_both_damaged_is_not_opened() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let id = manifest.segments[1].id;
    let mut disk = whole.disk.clone();
    flip(&mut disk, &id.keys_file(&dir()), 100);
    flip(&mut disk, &id.data_file(&dir()), 3000);
    let error = Store::open(&mut disk, &dir(), Some(&manifest), OPTIONS).err();
    let Some(OpenError::Lost { segment, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(*segment, id);
}

#[test]
fn a_write_of_keys_that_went_into_the_data_is_made_up_for() {
    let mut whole = Machine::new();
    let put = |number: u8| {
        let (key, value) = (format!("key {number}").into(), vec![number; 60].into());
        Request::Put(PutRequest { key, value, ..PutRequest::default() })
    };
    (0..3).for_each(|number| drop(whole.apply(&put(number))));
    // From here on its keys are in another block.
    let before = whole.checkpoint().segments[0];
    (3..20).for_each(|number| drop(whole.apply(&put(number))));
    let manifest = whole.checkpoint();
    let segment = manifest.segments[0];
    assert!(segment.id == before.id && segment.keys.len > before.keys.len);
    let (keys, data) = (segment.id.keys_file(&dir()), segment.id.data_file(&dir()));
    let frame = before.data.len / before.records;
    for (number, can_be_told) in [(0, true), (2, true), (3, false)] {
        let mut disk = whole.disk.clone();
        let astray = disk.read(&keys, before.keys.len, 20).expect("it is there");
        disk.set_len(&keys, before.keys.len).expect("it is there");
        disk.write(&data, number * frame, &astray).expect("it is there");
        let opened = Store::open(&mut disk.clone(), &dir(), Some(&manifest), OPTIONS);
        assert_eq!(opened.is_ok(), can_be_told, "record {number}: {:?}", opened.err());
        // Of an open store, the same.
        let mut machine = Machine { disk, store: whole.store.clone() };
        let found = scrub(&machine);
        let keys = found.iter().find(|damage| damage.part == DamagedPart::Keys);
        let keys = keys.expect("it ends too early").clone();
        let repaired = machine.store.repair(&keys, &[], &machine.disk);
        assert_eq!(repaired.is_ok(), can_be_told, "record {number}: {repaired:?}");
        if !can_be_told {
            continue;
        }
        machine.write();
        let [damage] = &scrub(&machine)[..] else { panic!("one record is left") };
        repair(&mut machine, damage, &whole);
        assert_eq!(scrub(&machine), []);
        machine.content().assert_is(&whole.content());
        let manifest = machine.checkpoint();
        assert_eq!(open(machine.disk, &manifest).1, 0);
    }
}

#[test]
fn a_write_or_read_that_went_to_another_place_is_noticed() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let [one, other] = [&manifest.segments[0], &manifest.segments[1]];
    let read = |file: &DiskPath| whole.disk.read(file, 0, 1 << 20).expect("it is there");
    for (from, to, is_data) in [
        (one.id.data_file(&dir()), other.id.data_file(&dir()), true),
        (other.id.keys_file(&dir()), one.id.keys_file(&dir()), false),
    ] {
        let mut disk = whole.disk.clone();
        disk.write(&to, 0, &read(&from)).expect("room");
        let (machine, rebuilt) = open(disk, &manifest);
        let found = scrub(&machine);
        assert_eq!((rebuilt > 0, !found.is_empty()), (!is_data, is_data));
    }
}

#[test]
fn a_request_that_meets_a_damaged_record_changes_nothing_and_can_be_tried_again() {
    let mut whole = Machine::new();
    for number in 0..30 {
        let (key, value) = (format!("key {number:02}").into(), vec![number; 60].into());
        whole.apply(&Request::Put(PutRequest { key, value, ..PutRequest::default() }));
    }
    let manifest = whole.checkpoint();
    let put = |key: &'static str| {
        let (key, value) = (Bytes::from(key), Bytes::from("new"));
        PutRequest { key, value, prev_kv: true, ..PutRequest::default() }
    };
    let range = RangeRequest { limit: 6, ..everything(None) };
    let everywhere = quorate_mvcc::DeleteRangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        prev_kv: true,
    };
    let txn = TxnRequest {
        success: vec![
            RequestOp::Put(put("key 20")),
            RequestOp::Put(put("a key before")),
            RequestOp::Range(range),
        ],
        ..TxnRequest::default()
    };
    let txn_of_delete = TxnRequest {
        success: vec![
            RequestOp::Put(put("~")),
            RequestOp::DeleteRange(quorate_mvcc::DeleteRangeRequest {
                key: "key 03".into(),
                range_end: "key 07".into(),
                ..everywhere.clone()
            }),
        ],
        ..TxnRequest::default()
    };
    let requests = [
        Request::Put(put("key 03")),
        Request::Delete(everywhere),
        Request::Txn(txn),
        Request::Txn(txn_of_delete),
    ];
    // The fourth put is in the first segment.
    let segment = manifest.segments[0];
    for request in requests {
        let mut disk = whole.disk.clone();
        let frame = segment.data.len / segment.records;
        flip(&mut disk, &segment.id.data_file(&dir()), (3 * frame + 70) * 8);
        let (mut machine, _) = open(disk, &manifest);
        let (mut peer, _) = open(whole.disk.clone(), &manifest);
        let before = (machine.store.digest(), machine.store.revision());
        let answer = machine.apply(&request);
        assert!(answer.starts_with("Err(Damaged"), "{request:?}: {answer}");
        assert_eq!(before, (machine.store.digest(), machine.store.revision()));
        let [damage] = &scrub(&machine)[..] else { panic!("one bit, one record") };
        repair(&mut machine, damage, &peer);
        machine.content().assert_is(&peer.content());
        assert_eq!(machine.apply(&request), peer.apply(&request));
        machine.content().assert_is(&peer.content());
    }
}

#[test]
fn nothing_but_the_record_that_was_there_repairs_it() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let mut disk = whole.disk.clone();
    flip(&mut disk, &manifest.segments[0].id.data_file(&dir()), 150);
    let (mut machine, _) = open(disk, &manifest);
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one record") };
    let reader = whole.store.reader(&whole.disk);
    let record = reader.record_at(lost(damage)).expect("sound").expect("there");
    for bit in 0..record.len() * 8 {
        let mut other = record.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        let repaired = machine.store.repair(damage, &other, &machine.disk);
        assert_eq!(repaired, Err(RepairError::Different));
    }
    let longer = [&record[..], b"x"].concat();
    for other in [&longer[..], &record[1..], &[]] {
        let repaired = machine.store.repair(damage, other, &machine.disk);
        assert_eq!(repaired, Err(RepairError::Different));
    }
    assert!(!machine.store.has_ops(), "nothing was written");
    assert!(!machine.store.give_up(damage, &machine.disk), "it can still be read");
    assert_eq!(machine.store.repair(damage, &record, &machine.disk), Ok(()));
}

#[test]
fn a_damaged_record_that_no_read_can_see_goes_with_its_segment() {
    let mut whole = Machine::new();
    for number in 0..40 {
        let key = if number % 4 == 0 { "often".into() } else { format!("key {number}").into() };
        let value = vec![number; 60].into();
        whole.apply(&Request::Put(PutRequest { key, value, ..PutRequest::default() }));
    }
    whole.apply(&Request::Compact(whole.store.revision().0));
    whole.work();
    let manifest = whole.checkpoint();
    // The first put of the first segment was superseded; the others live.
    let segment = manifest.segments[0];
    let mut disk = whole.disk.clone();
    flip(&mut disk, &segment.id.data_file(&dir()), 600);
    let (mut machine, _) = open(disk, &manifest);
    let content = whole.content();
    machine.content().assert_is(&content);
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one record") };
    let reader = whole.store.reader(&whole.disk);
    assert_eq!(reader.record_at(lost(damage)), Ok(None), "no peer has it");
    assert!(machine.store.give_up(damage, &machine.disk));
    machine.work();
    assert_eq!(scrub(&machine), [], "the segment was written anew without it");
    let manifest = machine.checkpoint();
    assert!(manifest.segments.iter().all(|info| info.id != segment.id));
    machine.content().assert_is(&content);
}

#[test]
fn a_segment_with_a_damaged_record_that_no_read_can_see_is_written_anew_wherever_it_lies() {
    // The tail, which is never merged, and a segment of which a part may still be asked for.
    for (puts, compacted) in [(3, 3), (40, 4)] {
        let mut whole = Machine::new();
        let put = |number| {
            let (key, value) = ("often".into(), vec![number; 60].into());
            Request::Put(PutRequest { key, value, ..PutRequest::default() })
        };
        for number in 0..puts {
            whole.apply(&put(number));
        }
        whole.apply(&Request::Compact(compacted));
        whole.work();
        let manifest = whole.checkpoint();
        let segment = manifest.segments[0];
        assert!(segment.last_revision() > Revision(compacted));
        assert_eq!(manifest.segments.len() == 1, puts == 3);
        let mut disk = whole.disk.clone();
        // Of the first put, at revision 2.
        flip(&mut disk, &segment.id.data_file(&dir()), 600);
        let (mut machine, _) = open(disk, &manifest);
        let [damage] = &scrub(&machine)[..] else { panic!("one bit, one record") };
        let reader = whole.store.reader(&whole.disk);
        assert_eq!(reader.record_at(lost(damage)), Ok(None), "no peer has it");
        // Of the tail, more is on the disk than its keys' file says.
        for number in [100, 101] {
            whole.apply(&put(number));
            machine.apply(&put(number));
        }
        assert!(machine.store.give_up(damage, &machine.disk));
        machine.work();
        machine.write();
        assert_eq!(scrub(&machine), []);
        machine.content().assert_is(&whole.content());
        let manifest = machine.checkpoint();
        assert!(manifest.segments.iter().all(|info| info.id != segment.id));
        // It can be sent, which it could not be before, and opened.
        let mut receiver = Machine::new();
        let mut incoming = receiver.store.receive(manifest.clone(), &[], 1 << 10);
        while let Some(chunk) = incoming.next_missing(&receiver.disk).expect("it is sound") {
            let data = machine.store.reader(&machine.disk).chunk(&chunk).expect("it is there");
            let operations = incoming.accept(&chunk, &data).expect("every record is sound");
            DiskOp::execute_all(&operations, &mut receiver.disk).expect("room");
        }
        open(machine.disk, &manifest).0.content().assert_is(&whole.content());
    }
}

#[test]
fn a_damaged_tombstone_that_has_to_stay_is_written_anew_from_the_keys() {
    let mut whole = Machine::new();
    let put = |key: &str| {
        let (key, value) = (key.to_owned().into(), vec![7; 60].into());
        Request::Put(PutRequest { key, value, ..PutRequest::default() })
    };
    whole.apply(&put("gone"));
    for number in 0..12 {
        whole.apply(&put(&format!("key {number}")));
    }
    let key = "gone".into();
    whole.apply(&Request::Delete(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }));
    let before = whole.checkpoint();
    let segment = *before.segments.last().expect("it has the tombstone");
    assert!(before.segments.len() > 1 && segment.first_revision() > Revision(2));
    whole.apply(&put("key 0"));
    whole.checkpoint();
    whole.apply(&Request::Compact(before.current.0 + 1));
    // The put that it buries is dead, and not merged away.
    let end = segment.data.len;
    let mut machine = Machine { disk: whole.disk.clone(), store: whole.store.clone() };
    flip(&mut machine.disk, &segment.id.data_file(&dir()), end * 8 - 1);
    while !machine.store.work(&machine.disk, 400).is_idle {
        machine.write();
    }
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one record") };
    assert_eq!(lost(damage).key, "gone");
    assert!(machine.store.give_up(damage, &machine.disk));
    machine.write();
    assert_eq!(scrub(&machine), []);
    let bytes = |disk: &MemDisk| disk.read(&segment.id.data_file(&dir()), 0, end as usize);
    assert_eq!(bytes(&machine.disk), bytes(&whole.disk));
}

#[test]
fn a_merge_that_meets_damage_waits_for_the_repair() {
    let mut whole = Machine::new();
    for number in 0..40_u8 {
        let key = if number % 4 > 0 { "often".into() } else { format!("key {number}").into() };
        let value = vec![number; 60].into();
        whole.apply(&Request::Put(PutRequest { key, value, ..PutRequest::default() }));
    }
    let manifest = whole.checkpoint();
    let segment = manifest.segments[0];
    let mut disk = whole.disk.clone();
    // The first put lives on.
    flip(&mut disk, &segment.id.data_file(&dir()), 600);
    let (mut machine, _) = open(disk, &manifest);
    machine.apply(&Request::Compact(manifest.current.0));
    let mut met = None;
    for _ in 0..100 {
        let progress = machine.store.work(&machine.disk, 400);
        machine.write();
        met = met.or(progress.damage);
        if progress.is_idle {
            break;
        }
    }
    let damage = met.expect("the first put lives on");
    assert_eq!(damage, scrub(&machine)[0]);
    let before = machine.store.segments().len();
    repair(&mut machine, &damage, &whole);
    machine.work();
    assert!(machine.store.segments().len() < before, "the work goes on");
    whole.apply(&Request::Compact(manifest.current.0));
    machine.content().assert_is(&Content::of(&whole.store, &whole.disk));
}

#[test]
fn a_keys_file_that_rots_while_the_store_is_open_is_written_anew() {
    let mut machine = young();
    let manifest = machine.checkpoint();
    let (content, id) = (machine.content(), manifest.segments[0].id);
    flip(&mut machine.disk, &id.keys_file(&dir()), 77);
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one file") };
    assert_eq!((damage.segment, &damage.part), (id, &DamagedPart::Keys));
    assert_eq!(machine.store.repair(damage, &[], &machine.disk), Ok(()));
    machine.write();
    assert_eq!(scrub(&machine), []);
    let manifest = machine.checkpoint();
    let (machine, rebuilt) = open(machine.disk, &manifest);
    assert_eq!((rebuilt, machine.content()), (0, content));
}

#[test]
fn what_is_written_of_the_tail_is_looked_at_while_it_grows() {
    let mut whole = Machine::new();
    let put = |number: u8| {
        let (key, value) = (format!("key {number}").into(), vec![number; 20].into());
        Request::Put(PutRequest { key, value, ..PutRequest::default() })
    };
    whole.apply(&put(0));
    let manifest = whole.checkpoint();
    let [tail] = &manifest.segments[..] else { panic!("one put, one segment") };
    let data = tail.id.data_file(&dir());
    // Of the next ones some go to the disk, whose keys are in no block yet, and some do not.
    let mut number = 1;
    while whole.disk.len(&data) == Ok(tail.data.len) {
        whole.apply(&put(number));
        number += 1;
    }
    whole.apply(&put(number));
    assert_eq!(whole.store.segments().len(), 1, "it is still the tail");
    assert_eq!(scrub(&whole), []);
    // While it is being written it is not looked at, and that is no round.
    let mut busy = whole.store.clone();
    busy.checkpoint();
    let mut scrubber = Scrubber::default();
    assert_eq!(scrubber.step(&busy, &whole.disk, 1 << 20), []);
    assert_eq!(scrubber.rounds(), 0);
    let written = whole.disk.len(&data).expect("it is there");
    let content = whole.content();
    for bit in (0..written * 8).step_by(5) {
        let mut machine = Machine { disk: whole.disk.clone(), store: whole.store.clone() };
        flip(&mut machine.disk, &data, bit);
        let [damage] = &scrub(&machine)[..] else { panic!("bit {bit}: one bit, one record") };
        repair(&mut machine, damage, &whole);
        assert_eq!(scrub(&machine), [], "bit {bit}");
        machine.content().assert_is(&content);
    }
}

#[test]
fn a_store_that_is_always_being_written_is_looked_at_all_the_same() {
    let mut machine = young();
    let manifest = machine.checkpoint();
    let sealed = manifest.segments[0];
    let mut draws = Draws::new(12);
    let (mut scrubber, mut found) = (Scrubber::default(), Vec::new());
    flip(&mut machine.disk, &sealed.id.data_file(&dir()), 600);
    for number in 0..400 {
        // One batch is under way whenever it looks, of which more or less is on the disk.
        while !machine.store.has_ops() {
            let request = Request::Put(draws.put());
            apply(&mut machine.store, &machine.disk, &request);
        }
        let operations = machine.store.take_ops();
        let (before, after) = operations.split_at(number % operations.len());
        DiskOp::execute_all(before, &mut machine.disk).expect("the disk is sound");
        found.extend(scrubber.step(&machine.store, &machine.disk, 1 << 20));
        DiskOp::execute_all(after, &mut machine.disk).expect("the disk is sound");
        machine.store.ops_done();
    }
    assert!(scrubber.rounds() > 2, "{} rounds", scrubber.rounds());
    // It is found in each round, since nobody repairs it; and nothing else is taken for damaged.
    assert!(found.len() as u64 >= scrubber.rounds());
    assert!(found.iter().all(|damage| damage.segment == sealed.id), "{found:?}");
}

#[test]
fn a_keys_file_that_cannot_be_written_anew_stays_as_it_is() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let keys = manifest.segments[0].id.keys_file(&dir());
    let mut disk = whole.disk.clone();
    let sound = disk.read(&keys, 0, 1 << 20).expect("it is there");
    flip(&mut disk, &keys, 77);
    let damaged = disk.read(&keys, 0, 1 << 20).expect("it is there");
    // Of a store that is opened.
    disk.set_full(true);
    let error = Store::open(&mut disk, &dir(), Some(&manifest), OPTIONS).err();
    assert!(matches!(error, Some(OpenError::Disk(_))), "{error:?}");
    assert_eq!(disk.read(&keys, 0, 1 << 20), Ok(damaged.clone()));
    // Of an open one, and whatever operation is the last one to succeed.
    let mut machine = Machine { disk: whole.disk.clone(), store: whole.store.clone() };
    flip(&mut machine.disk, &keys, 77);
    machine.disk.sync(&keys).expect("it is there");
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one file") };
    assert_eq!(machine.store.repair(damage, &[], &machine.disk), Ok(()));
    let operations = machine.store.take_ops();
    for count in 0..operations.len() {
        let mut disk = machine.disk.clone();
        DiskOp::execute_all(&operations[..count], &mut disk).expect("the disk is sound");
        let bytes = disk.read(&keys, 0, 1 << 20).expect("it is there");
        assert!(bytes == damaged || bytes == sound, "after {count} operations");
        disk.power_loss(|_| false);
        let (machine, rebuilt) = open(disk, &manifest);
        assert_eq!(rebuilt, 1, "after {count} operations");
        machine.content().assert_is(&whole.content());
    }
}

/// What is not repaired yet must not be taken for repaired: a person would be told so, and the
/// simulator's books too (it found this).
#[test]
fn the_keys_file_of_the_tail_is_written_anew_once_the_tail_has_ended() {
    let mut machine = young();
    let manifest = machine.checkpoint();
    let tail = manifest.segments.last().expect("there is a tail").id;
    let content = machine.content();
    flip(&mut machine.disk, &tail.keys_file(&dir()), 77);
    let [damage] = &scrub(&machine)[..] else { panic!("one bit, one file") };
    assert_eq!((damage.segment, &damage.part), (tail, &DamagedPart::Keys));
    assert_eq!(machine.store.repair(damage, &[], &machine.disk), Err(RepairError::NotYet));
    machine.write();
    assert_eq!(scrub(&machine), std::slice::from_ref(damage), "as it was");
    assert_eq!(machine.store.repair(damage, &[], &machine.disk), Ok(()));
    machine.write();
    assert_eq!(scrub(&machine), []);
    machine.content().assert_is(&content);
}

#[test]
fn a_keys_file_that_was_only_read_wrongly_is_not_written_anew() {
    let mut machine = young();
    machine.checkpoint();
    machine.disk.arm(DiskFailure::MisdirectedRead { dir: dir(), place: 3 });
    let [damage] = &scrub(&machine)[..] else { panic!("one read went astray") };
    let keys = Damage { part: DamagedPart::Keys, ..damage.clone() };
    assert_eq!(machine.store.repair(&keys, &[], &machine.disk), Ok(()));
    assert!(!machine.store.has_ops(), "it is sound");
}

#[test]
fn a_segment_that_was_only_read_wrongly_is_not_given_up() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let mut disk = whole.disk.clone();
    for segment in &manifest.segments {
        disk.remove(&segment.id.keys_file(&dir())).expect("it is there");
    }
    // So the first read is of data.
    disk.arm(DiskFailure::MisdirectedRead { dir: dir(), place: 3 });
    let (machine, rebuilt) = open(disk, &manifest);
    assert_eq!(rebuilt, manifest.segments.len());
    machine.content().assert_is(&whole.content());
}

#[test]
fn damage_that_only_an_answer_would_tell_holds_nothing_up_that_has_none() {
    let mut whole = Machine::new();
    let put = |value: &'static str| PutRequest {
        key: "key".into(),
        value: value.into(),
        prev_kv: true,
        ..PutRequest::default()
    };
    whole.apply(&Request::Put(PutRequest { value: vec![7; 200].into(), ..put("") }));
    let manifest = whole.checkpoint();
    let mut disk = whole.disk.clone();
    flip(&mut disk, &manifest.segments[0].id.data_file(&dir()), 1500);
    let is_first = Compare {
        key: "key".into(),
        range_end: Bytes::new(),
        result: CompareResult::Equal,
        target: CompareTarget::ModRevision(2),
    };
    let everywhere = DeleteRangeRequest { key: "\0".into(), range_end: "\0".into(), prev_kv: true };
    let txn = TxnRequest {
        compare: vec![is_first],
        success: vec![RequestOp::Range(everything(None)), RequestOp::Put(put("third"))],
        ..TxnRequest::default()
    };
    let keeps = PutRequest { ignore_lease: true, ..put("second") };
    let requests = [Request::Put(keeps), Request::Delete(everywhere), Request::Txn(txn)];
    for request in requests {
        let (mut machine, _) = open(disk.clone(), &manifest);
        let (mut sound, _) = open(whole.disk.clone(), &manifest);
        let answer = machine.apply(&request);
        assert!(answer.starts_with("Err(Damaged"), "{request:?}: {answer}");
        let applier = machine.store.applier(&machine.disk).without_answers();
        let applied = match &request {
            Request::Put(put) => { applier }.put(put).map(drop),
            Request::Delete(delete) => { applier }.delete_range(delete).map(drop),
            Request::Txn(txn) => { applier }.txn(txn).map(|answer| assert!(answer.succeeded)),
            Request::Compact(_) => unreachable!("it is none of them"),
        };
        assert_eq!(applied, Ok(()));
        sound.apply(&request);
        assert_eq!(machine.store.digest(), sound.store.digest(), "{request:?}");
    }
}

#[test]
fn repairs_of_one_file_share_a_sync() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    let file = manifest.segments[0].id;
    let (mut machine, _) = open(whole.disk.clone(), &manifest);
    let name = machine.disk.list(&dir()).expect("it is there")[0].clone();
    assert!(name.as_str().ends_with(".data"), "{name}");
    let len = machine.disk.len(&name).expect("it is there");
    machine.disk.write(&name, 0, &vec![0xff; len as usize]).expect("it is there");
    let found = scrub(&machine);
    assert!(found.len() > 1 && found.iter().all(|damage| damage.segment == file), "{found:?}");
    for damage in &found {
        let record = whole.store.reader(&whole.disk).record_at(lost(damage));
        let record = record.expect("it is sound there").expect("the peer has it");
        assert_eq!(machine.store.repair(damage, &record, &machine.disk), Ok(()));
    }
    let operations = machine.store.take_ops();
    assert_eq!(operations.iter().filter(|operation| operation.is_sync()).count(), 1);
    assert_eq!(operations.len(), found.len() + 1);
    DiskOp::execute_all(&operations, &mut machine.disk).expect("room");
    machine.store.ops_done();
    assert_eq!(scrub(&machine), []);
}

#[test]
fn data_that_is_gone_is_repaired_record_by_record() {
    let mut whole = young();
    let manifest = whole.checkpoint();
    for lost_bytes in [1, u64::MAX] {
        let mut disk = whole.disk.clone();
        let name = disk.list(&dir()).expect("it is there")[0].clone();
        match disk.len(&name).expect("it is there").checked_sub(lost_bytes) {
            Some(len) => disk.set_len(&name, len).expect("it is there"),
            None => disk.remove(&name).expect("it is there"),
        }
        let opened = Store::open(&mut disk, &dir(), Some(&manifest), OPTIONS);
        let (store, opened) = opened.expect("its keys are there");
        assert_eq!(opened.emptied, [manifest.segments[0].id]);
        let mut machine = Machine { disk, store };
        let found = scrub(&machine);
        assert!(!found.is_empty());
        for damage in &found {
            repair(&mut machine, damage, &whole);
        }
        machine.content().assert_is(&whole.content());
    }
}
