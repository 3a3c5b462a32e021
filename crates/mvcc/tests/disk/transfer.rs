//! A store that is sent to a member which is far behind.

use quorate_mvcc::{ChunkError, ChunkId, Incoming, Manifest, Store};
use quorate_wal::disk::{Disk, DiskOp, MemDisk};

use crate::support::{Content, Draws, Machine, OPTIONS, Request, dir};

const CHUNK: u32 = 170;

/// Fetches up to so many chunks. True once all is there.
fn fetch(sender: &Machine, receiver: &mut Machine, incoming: &mut Incoming, most: usize) -> bool {
    for _ in 0..most {
        let Some(chunk) = incoming.next_missing(&receiver.disk).expect("the disk is sound") else {
            return true;
        };
        let data = sender.store.reader(&sender.disk).chunk(&chunk).expect("it is pinned");
        let operations = incoming.accept(&chunk, &data).expect("it is sound");
        DiskOp::execute_all(&operations, &mut receiver.disk).expect("room");
    }
    incoming.next_missing(&receiver.disk).expect("the disk is sound").is_none()
}

/// Opens the store that arrived, after a loss of power that spares nothing.
fn install(receiver: &mut Machine, incoming: Incoming) -> Manifest {
    let (manifest, operations) = incoming.finish();
    DiskOp::execute_all(&operations, &mut receiver.disk).expect("all is there");
    receiver.disk.power_loss(|_| false);
    let opened = Store::open(&mut receiver.disk, &dir(), Some(&manifest), OPTIONS);
    let (store, opened) = opened.expect("all was verified");
    assert_eq!(opened.rebuilt, []);
    receiver.store = store;
    receiver.store.retain(&[&manifest], None);
    receiver.write();
    manifest
}

fn live_on(machine: &mut Machine, draws: &mut Draws, requests: usize) {
    for _ in 0..requests {
        let request = draws.request(machine.store.revision());
        machine.apply(&request);
    }
}

#[test]
fn a_store_arrives_whole_while_the_sender_goes_on_and_compacts() {
    let mut sender = Machine::aged(21, 150);
    let manifest = sender.checkpoint();
    let content = sender.content();
    let mut receiver = Machine::aged(5, 30);
    let mut incoming = receiver.store.receive(manifest.clone(), &[], CHUNK);
    let mut draws = Draws::new(1);
    while !fetch(&sender, &mut receiver, &mut incoming, 2) {
        live_on(&mut sender, &mut draws, 3);
        let current = sender.store.revision().0;
        sender.apply(&Request::Compact(current));
        sender.work();
        let newer = sender.checkpoint();
        // It is kept as long as somebody fetches it.
        sender.store.retain(&[&manifest, &newer], None);
        sender.write();
    }
    let total = manifest.segments.iter().map(|segment| segment.data.len).sum();
    assert_eq!(incoming.received(), (total, total));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&content);
    let left = receiver.disk.list(&dir()).expect("it is there").len();
    assert_eq!(left, 2 * manifest.segments.len(), "nothing else is left");
}

#[test]
fn a_transfer_goes_on_behind_what_survived_each_loss_of_power() {
    let mut sender = Machine::aged(22, 200);
    let manifest = sender.checkpoint();
    let content = sender.content();
    for seed in 0..12 {
        let mut receiver = Machine::new();
        let mut draws = Draws::new(seed);
        let (mut fetched, mut losses) = (0, 0);
        let incoming = loop {
            let mut incoming = receiver.store.receive(manifest.clone(), &[], CHUNK);
            let others = incoming.remove_others(&receiver.disk).expect("the disk is sound");
            assert_eq!(others, []);
            let most = 1 + draws.below(30) as usize;
            fetched += most;
            if fetch(&sender, &mut receiver, &mut incoming, most) {
                break incoming;
            }
            receiver.disk.power_loss(|_| draws.below(2) == 0);
            let opened = Store::open(&mut receiver.disk, &dir(), None, OPTIONS);
            receiver.store = opened.expect("an empty store").0;
            losses += 1;
        };
        install(&mut receiver, incoming);
        receiver.content().assert_is(&content);
        // A restart fetches again what was not synced of one segment.
        let chunks = manifest.total_bytes() as usize / CHUNK as usize;
        assert!(fetched <= chunks + losses * 10, "{fetched} chunks for {chunks}");
    }
}

#[test]
fn a_second_snapshot_soon_after_the_first_fetches_only_what_is_new() {
    let mut sender = Machine::aged(23, 200);
    let first = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(first.clone(), &[], CHUNK);
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    live_on(&mut sender, &mut Draws::new(9), 10);
    let second = sender.checkpoint();
    let mut incoming = receiver.store.receive(second, &[], CHUNK);
    let (here, total) = incoming.received();
    assert!(here * 10 >= total * 8, "{here} of {total} bytes are here");
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&sender.content());
}

#[test]
fn a_transfer_that_takes_the_place_of_another_does_not_stumble_over_what_that_has_under_way() {
    let mut sender = Machine::aged(28, 200);
    let first = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(first.clone(), &[], CHUNK);
    fetch(&sender, &mut receiver, &mut incoming, 6);
    // These operations are on their way to the disk while the next snapshot comes.
    let mut under_way = Vec::new();
    for _ in 0..9 {
        let chunk = incoming.next_missing(&receiver.disk).expect("sound").expect("not all is here");
        let data = sender.store.reader(&sender.disk).chunk(&chunk).expect("it is pinned");
        under_way.extend(incoming.accept(&chunk, &data).expect("it is sound"));
    }
    live_on(&mut sender, &mut Draws::new(4), 5);
    let second = sender.checkpoint();
    sender.store.retain(&[&first, &second], None);
    let mut incoming = receiver.store.receive(second, &[], CHUNK);
    let mut behind = Vec::new();
    for _ in 0..3 {
        let chunk = incoming.next_missing(&receiver.disk).expect("sound").expect("not all is here");
        let data = sender.store.reader(&sender.disk).chunk(&chunk).expect("it is pinned");
        behind.extend(incoming.accept(&chunk, &data).expect("it is sound"));
    }
    under_way.extend(behind);
    DiskOp::execute_all(&under_way, &mut receiver.disk).expect("no name is taken twice");
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&sender.content());
}

/// Nothing that was damaged on the way, or at the sender, becomes part of a store.
#[test]
fn every_bit_that_flips_on_the_way_is_noticed() {
    let mut sender = Machine::aged(24, 25);
    let manifest = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(manifest, &[], CHUNK);
    let mut refused = 0;
    while let Some(chunk) = incoming.next_missing(&receiver.disk).expect("the disk is sound") {
        let data = sender.store.reader(&sender.disk).chunk(&chunk).expect("it is there");
        // A record that is not all here is judged when it is.
        for bit in (0..data.len() * 8).step_by(7) {
            let mut trial = incoming.clone();
            let mut flipped = data.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut error = trial.accept(&chunk, &flipped).err();
            while error.is_none() {
                let next = trial.next_missing(&receiver.disk).expect("the disk is sound");
                let next = next.expect("a damaged segment never is complete");
                let data = sender.store.reader(&sender.disk).chunk(&next).expect("it is there");
                error = trial.accept(&next, &data).err();
            }
            assert!(matches!(error, Some(ChunkError::Damaged { .. })), "{error:?}");
            let again = trial.next_missing(&receiver.disk).expect("the disk is sound");
            let again = again.expect("the record is missing");
            assert!(again.segment == chunk.segment && again.offset <= chunk.offset + 170);
            refused += 1;
        }
        let operations = incoming.accept(&chunk, &data).expect("it is sound");
        DiskOp::execute_all(&operations, &mut receiver.disk).expect("room");
    }
    assert!(refused > 500);
    install(&mut receiver, incoming);
    receiver.content().assert_is(&sender.content());
}

#[test]
fn sound_records_that_are_not_those_of_the_segment_are_fetched_anew() {
    let mut sender = Machine::aged(25, 60);
    let honest = sender.checkpoint();
    // A manifest whose checksum is that of other bytes: all records are sound.
    let mut manifest = honest.clone();
    manifest.segments[1].data.crc ^= 1;
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(manifest, &[], CHUNK);
    let mut different = 0;
    for _ in 0..100 {
        let chunk = incoming.next_missing(&receiver.disk).expect("the disk is sound");
        let chunk = chunk.expect("the second segment is never complete");
        let data = sender.store.reader(&sender.disk).chunk(&chunk).expect("it is there");
        match incoming.accept(&chunk, &data) {
            Ok(operations) => {
                DiskOp::execute_all(&operations, &mut receiver.disk).expect("room");
            }
            Err(error) => {
                let segment = honest.segments[1].id;
                assert_eq!(error, ChunkError::Different { segment });
                different += 1;
            }
        }
    }
    assert!(different > 3, "it is fetched again and again");
}

#[test]
fn chunks_that_come_late_or_twice_are_not_taken() {
    let mut sender = Machine::aged(26, 60);
    let manifest = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(manifest, &[], CHUNK);
    let first = incoming.next_missing(&receiver.disk).expect("sound").expect("all is missing");
    let read = |chunk: &ChunkId| sender.store.reader(&sender.disk).chunk(chunk).expect("there");
    assert_eq!(incoming.accept(&first, b""), Err(ChunkError::Unexpected));
    let operations = incoming.accept(&first, &read(&first)).expect("it is the next");
    DiskOp::execute_all(&operations, &mut receiver.disk).expect("room");
    assert_eq!(incoming.accept(&first, &read(&first)), Err(ChunkError::Unexpected));
    let beyond = ChunkId { offset: first.offset + 1, ..first };
    assert_eq!(incoming.accept(&beyond, &read(&beyond)), Err(ChunkError::Unexpected));
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&sender.content());
}

#[test]
fn an_empty_store_arrives_too_and_others_transfers_are_removed() {
    let mut receiver = Machine::aged(3, 10);
    let mut sender = Machine::aged(27, 50);
    let mut incoming = receiver.store.receive(sender.checkpoint(), &[], CHUNK);
    fetch(&sender, &mut receiver, &mut incoming, 3);
    let nothing = Machine::new().checkpoint();
    let mut incoming = receiver.store.receive(nothing, &[], CHUNK);
    let others = incoming.remove_others(&receiver.disk).expect("the disk is sound");
    assert!(!others.is_empty());
    DiskOp::execute_all(&others, &mut receiver.disk).expect("they are there");
    assert_eq!(incoming.next_missing(&receiver.disk), Ok(None));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&Content::of(&Store::new(), &MemDisk::new()));
    assert_eq!(receiver.disk.list(&dir()), Ok(vec![]));
}

#[test]
fn what_is_known_to_be_damaged_is_fetched_and_not_shared() {
    let mut sender = Machine::aged(30, 200);
    let first = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(first, &[], CHUNK);
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    let here = install(&mut receiver, incoming);
    let [damaged, ..] = here.segments[..] else { panic!("a store has segments") };
    receiver.disk.flip_bit(&damaged.id.data_file(&dir()), 1000);
    live_on(&mut sender, &mut Draws::new(3), 10);
    let second = sender.checkpoint();
    let mut incoming = receiver.store.receive(second, &[damaged.id], CHUNK);
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    let shares = install(&mut receiver, incoming);
    assert!(shares.segments.iter().all(|info| info.id != damaged.id));
    assert_eq!(shares.segments[1].id, here.segments[1].id, "what is sound is shared");
    receiver.content().assert_is(&sender.content());
}

#[test]
fn what_an_arriving_store_shares_with_the_one_here_stays_until_it_is_here() {
    let mut sender = Machine::aged(31, 200);
    let first = sender.checkpoint();
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(first, &[], CHUNK);
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    live_on(&mut sender, &mut Draws::new(6), 10);
    let second = sender.checkpoint();
    let mut incoming = receiver.store.receive(second, &[], CHUNK);
    // Meanwhile the one here merges all that it has, and forgets what that was.
    receiver.apply(&Request::Compact(receiver.store.revision().0));
    receiver.work();
    let merged = receiver.checkpoint();
    receiver.store.retain(&[&merged], Some(&incoming));
    receiver.write();
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    install(&mut receiver, incoming);
    receiver.content().assert_is(&sender.content());
}

#[test]
fn a_store_that_takes_the_place_of_another_gives_no_name_a_second_time() {
    let mut sender = Machine::aged(32, 120);
    let (first, content) = (sender.checkpoint(), sender.content());
    live_on(&mut sender, &mut Draws::new(8), 60);
    let second = sender.checkpoint();
    sender.store.retain(&[&first, &second], None);
    let mut receiver = Machine::new();
    let mut incoming = receiver.store.receive(first, &[], CHUNK);
    let mut later = receiver.store.receive(second, &[], CHUNK);
    assert!(fetch(&sender, &mut receiver, &mut incoming, usize::MAX));
    let (manifest, operations) = incoming.finish();
    DiskOp::execute_all(&operations, &mut receiver.disk).expect("all is there");
    receiver.store.replace(&manifest, &receiver.disk).expect("all was verified");
    receiver.content().assert_is(&content);
    // It goes on to write, and what was on its way before still arrives.
    live_on(&mut receiver, &mut Draws::new(2), 60);
    let (own, own_content) = (receiver.checkpoint(), receiver.content());
    assert!(fetch(&sender, &mut receiver, &mut later, usize::MAX));
    let (arrived, operations) = later.finish();
    DiskOp::execute_all(&operations, &mut receiver.disk).expect("all is there");
    for (manifest, content) in [(own, own_content), (arrived, sender.content())] {
        let mut disk = receiver.disk.clone();
        let opened = Store::open(&mut disk, &dir(), Some(&manifest), OPTIONS);
        let (store, _) = opened.expect("neither has written over the other");
        Machine { disk, store }.content().assert_is(&content);
    }
}
