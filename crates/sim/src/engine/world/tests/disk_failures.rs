//! Disks that fail, are full, or rot, and processes that stop because of it.

use quorate_wal::disk::Disk;

use super::disks::{completions, contents, create, exact, file, sync, write};
use super::*;

/// Writes and syncs one sector each 10 ms, and stops when that fails.
fn writer(io: &mut Io<'_, u64>, input: Option<Input<u64>>) {
    match input {
        None => {
            create(io);
            io.set_timer(TimerId(0), ms(10));
        }
        Some(Input::Timer(_)) => {
            let number = u64::from(io.incarnation());
            io.submit(number, vec![write(number, io.incarnation() as u8), sync()]);
            io.set_timer(TimerId(0), ms(10));
        }
        Some(Input::Disk { result: Err(_), .. }) => io.halt(),
        Some(_) => {}
    }
}

fn run(faults: &[ScheduledFault]) -> World<Probe> {
    let mut world = probe(exact(), writer);
    for fault in faults {
        world.inject(fault.clone()).expect("a fault that fits");
    }
    world.run_until(WorldTime::from_millis(1_000)).expect("nothing is wrong");
    world
}

fn took_effect(world: &World<Probe>) -> Vec<bool> {
    world.faults().map(|(_, took_effect)| took_effect).collect()
}

#[test]
fn a_process_that_stops_because_of_its_disk_is_started_again_later() {
    for fault in [Fault::WriteError { node: n(0) }, Fault::SyncError { node: n(0) }] {
        let world = run(&[scheduled(205, fault)]);
        let halts = world.system().times(n(0), Cause::Halt);
        assert_eq!(halts.len(), 1);
        let boots = world.system().times(n(0), Cause::Boot { incarnation: 2 });
        assert_eq!(boots, [halts[0].saturating_add(ms(100))]);
        let counters = world.counters();
        assert_eq!((counters.get(Count::Halt), counters.get(Count::DiskFailure)), (1, 1));
        assert_eq!(took_effect(&world), [true]);
    }
}

#[test]
fn two_write_errors_strike_two_operations() {
    let error = Fault::WriteError { node: n(0) };
    let world = run(&[scheduled(205, error.clone()), scheduled(206, error)]);
    assert_eq!(world.counters().get(Count::WriteError), 2);
    assert_eq!(world.counters().get(Count::Halt), 2);
}

#[test]
fn an_error_that_nothing_meets_is_not_counted_and_healing_takes_it_back() {
    let mut world = probe(exact(), |io, input| match input {
        None => {
            create(io);
            io.set_timer(TimerId(0), ms(500));
        }
        Some(Input::Timer(_)) => io.submit(1, vec![write(0, 1), sync()]),
        Some(Input::Disk { result, .. }) => result.expect("the disk is healed"),
        Some(_) => {}
    });
    for fault in [
        Fault::WriteError { node: n(0) },
        Fault::SyncError { node: n(0) },
        Fault::DiskFull { node: n(0), lasts: ms(2_000) },
    ] {
        world.inject(scheduled(100, fault)).expect("a fault that fits");
    }
    world.run_until(WorldTime::from_millis(300)).expect("nothing is wrong");
    world.heal_all();
    world.run_until(WorldTime::from_millis(600)).expect("nothing is wrong");
    assert_eq!(took_effect(&world), [false; 3]);
    assert_eq!(completions(&world).len(), 1);
}

#[test]
fn a_full_disk_lets_nobody_in_until_there_is_room_again() {
    let world = run(&[scheduled(205, Fault::DiskFull { node: n(0), lasts: ms(350) })]);
    // It stops at the first write, is started after 100 ms, and stops again 10 ms later.
    let counters = world.counters();
    assert_eq!(counters.get(Count::DiskFull), 1);
    let halts = counters.get(Count::Halt);
    assert!((3..=4).contains(&halts), "{halts}");
    assert_eq!(counters.get(Count::Restart), halts);
    assert!(world.view().node(n(0)).is_some());
}

#[test]
fn a_batch_that_fails_is_the_last_of_its_queue() {
    let mut world = probe(exact(), |io, input| match input {
        None => {
            create(io);
            for number in 0..4 {
                io.submit(number, vec![write(number, 1 + number as u8), sync()]);
            }
        }
        Some(Input::Disk { result: Err(_), .. }) => io.mark("told"),
        Some(_) => {}
    });
    world.inject(scheduled(1, Fault::SyncError { node: n(0) })).expect("a fault that fits");
    world.run_until(WorldTime::from_millis(100)).expect("nothing is wrong");
    assert_eq!(completions(&world), [(3_000, 0)]);
    assert_eq!(world.marks(), [("told", 1)].into());
    assert!(contents(&world).len() <= 1, "nothing behind it was carried out");
}

#[test]
fn a_process_that_does_not_get_up_is_tried_again_and_one_that_refuses_is_not() {
    let mut world = probe(exact(), |_, _| {});
    let system = world.system_mut();
    system.no_start.extend([Some(NoStart::DiskFailed), Some(NoStart::DiskFailed), None]);
    system.no_start.push_back(Some(NoStart::Refused));
    world.inject(scheduled(500, crash(n(0), 10))).expect("a fault that fits");
    world.run_until(WorldTime::from_millis(499)).expect("nothing is wrong");
    let boots = |world: &World<Probe>, incarnation| {
        world.system().times(n(0), Cause::Boot { incarnation }).first().map(|at| at.as_nanos())
    };
    assert_eq!(boots(&world, 2), Some(100_000_000));
    assert_eq!(boots(&world, 3), Some(200_000_000));
    assert!(world.view().node(n(0)).is_some());
    world.run_until(WorldTime::from_millis(900)).expect("nothing is wrong");
    world.heal_all();
    world.run_until(WorldTime::from_millis(2_000)).expect("nothing is wrong");
    assert_eq!(boots(&world, 4), Some(510_000_000));
    assert!(world.view().node(n(0)).is_none(), "not even healing helps");
    assert_eq!(boots(&world, 5), None);
    let counters = world.counters();
    assert_eq!((counters.get(Count::StartFailed), counters.get(Count::StartRefused)), (2, 1));
}

#[test]
fn rot_strikes_what_the_system_exposes_and_nothing_where_it_must_not_happen() {
    let rot = || Fault::BitRot { node: n(0), files: FileKind::Log, bits: 3 };
    let part = |bytes| Exposed { file: file(), bytes };
    let damaged = |exposed: Option<Vec<Exposed>>| {
        let mut world = probe(exact(), |io, input| {
            if input.is_none() && io.incarnation() == 1 {
                create(io);
                io.submit(1, vec![write(0, 0), write(1, 0), write(2, 0), sync()]);
            }
        });
        world.system_mut().exposed = exposed;
        // While the process is down as well as while it is up.
        world.inject(scheduled(50, crash(n(0), 20))).expect("a fault that fits");
        for at in [40, 60] {
            world.inject(scheduled(at, rot())).expect("a fault that fits");
        }
        world.run_until(WorldTime::from_millis(100)).expect("nothing is wrong");
        let disk = world.view().disk(n(0)).expect("it has a disk");
        let bytes = disk.read(&file(), 0, 1 << 20).expect("the file is there");
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let counts = [Count::BitRot, Count::DamageSpared].map(|count| world.counters().get(count));
        (places, counts, world.system().times(n(0), Cause::Damage).len())
    };
    let (places, counts, told) = damaged(Some(vec![part(100..110), part(600..610)]));
    assert!(!places.is_empty());
    assert!(places.iter().all(|at| (100..110).contains(at) || (600..610).contains(at)));
    assert_eq!((counts, told), ([2, 0], 2));
    assert_eq!(damaged(None), (vec![], [0, 2], 0));
    assert_eq!(damaged(Some(vec![])), (vec![], [0, 0], 0), "there is nothing that could rot");
}

#[test]
fn a_misdirected_write_lands_in_what_is_exposed_and_nobody_is_told() {
    let misdirected = |exposed: Option<Vec<Exposed>>| {
        let mut world = probe(exact(), |io, input| match input {
            None => {
                create(io);
                io.submit(1, vec![write(0, 1), write(1, 1), sync()]);
                io.set_timer(TimerId(0), ms(100));
            }
            Some(Input::Timer(_)) => io.submit(2, vec![write(4, 9), sync()]),
            Some(Input::Disk { result, .. }) => result.expect("nobody is told"),
            Some(_) => {}
        });
        world.system_mut().exposed = exposed;
        let fault = Fault::MisdirectedWrite { node: n(0), files: FileKind::Log };
        world.inject(scheduled(50, fault)).expect("a fault that fits");
        world.run_until(WorldTime::from_millis(200)).expect("nothing is wrong");
        assert_eq!(completions(&world).len(), 2);
        let disk = world.view().disk(n(0)).expect("it has a disk");
        let bytes = disk.read(&file(), 0, 1 << 20).expect("the file is there");
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == 9).collect();
        let counts = [Count::MisdirectedWrite, Count::DamageSpared];
        (places, counts.map(|count| world.counters().get(count)))
    };
    let (places, counts) = misdirected(Some(vec![Exposed { file: file(), bytes: 300..1024 }]));
    assert!(!places.is_empty() && places.iter().all(|at| (300..1024).contains(at)), "{places:?}");
    assert_eq!(counts, [1, 0]);
    let (places, counts) = misdirected(None);
    assert_eq!((places, counts), ((2048..2560).collect(), [0, 1]));
    assert_eq!(misdirected(Some(vec![])).1, [0, 0]);
}
