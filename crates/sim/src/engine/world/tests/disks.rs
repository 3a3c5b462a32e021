//! Disks in the world: latency, order, and what crashes and power losses leave.

use quorate_wal::disk::{Disk, DiskOp, DiskPath};

use super::*;

pub(super) fn file() -> DiskPath {
    DiskPath::root().join("log")
}

pub(super) fn write(offset: u64, byte: u8) -> DiskOp {
    DiskOp::Write { file: file(), offset: offset * 512, data: vec![byte; 512].into() }
}

pub(super) fn sync() -> DiskOp {
    DiskOp::Sync { file: file() }
}

/// Creates the file at the first boot, durably.
pub(super) fn create(io: &mut Io<'_, u64>) {
    if io.incarnation() == 1 {
        io.disk().create(&file()).expect("a fresh disk");
        io.disk().sync_dir(&DiskPath::root()).expect("the root is there");
    }
}

/// Disks on which a write takes 1 ms and a sync 2 ms, exactly.
pub(super) fn exact() -> WorldConfig {
    let disk = DiskConfig {
        write: ms(1),
        sync: ms(2),
        jitter: Nanos::ZERO,
        tail_ppm: 0,
        tail: Nanos::ZERO,
    };
    WorldConfig { disk, ..config(1) }
}

pub(super) fn contents<S: System>(world: &World<S>) -> Vec<u8> {
    let disk = world.view().disk(n(0)).expect("it has a disk");
    let bytes = disk.read(&file(), 0, 1 << 20).expect("the file is there");
    bytes.chunks(512).map(|sector| sector[0]).collect()
}

pub(super) fn completions(world: &World<Probe>) -> Vec<(u64, u64)> {
    let steps = world.system().steps.iter();
    let completion = |step: &Step| match step.cause {
        Cause::Disk { token } => Some((step.time.as_nanos() / 1_000, token)),
        _ => None,
    };
    steps.filter_map(completion).collect()
}

/// One batch of two writes, a sync and a third write (5 ms), and another batch behind it.
fn two_batches(io: &mut Io<'_, u64>, input: Option<Input<u64>>) {
    match input {
        None => {
            create(io);
            if io.incarnation() == 1 {
                io.submit(7, vec![write(0, 1), write(1, 2), sync(), write(2, 3)]);
                io.submit(8, vec![write(3, 4), sync()]);
            }
        }
        Some(Input::Disk { result, .. }) => result.expect("a healthy disk"),
        Some(_) => {}
    }
}

fn run(faults: &[ScheduledFault]) -> World<Probe> {
    let mut world = probe(exact(), two_batches);
    for fault in faults {
        world.inject(fault.clone()).expect("a fault that fits");
    }
    world.run_until(WorldTime::from_millis(100)).expect("nothing is wrong");
    world
}

#[test]
fn batches_complete_one_after_the_other() {
    let world = run(&[]);
    assert_eq!(completions(&world), [(5_000, 7), (8_000, 8)]);
    assert_eq!(contents(&world), [1, 2, 3, 4]);
    assert_eq!(world.counters().get(Count::DiskBatch), 2);
}

#[test]
fn a_slow_disk_takes_a_multiple_of_its_time_for_batches_that_start_meanwhile() {
    let slow = Fault::SlowDisk { node: n(0), factor: 10, lasts: ms(2) };
    let world = run(&[scheduled(4, slow)]);
    assert_eq!(completions(&world), [(5_000, 7), (35_000, 8)]);
    assert_eq!(world.counters().get(Count::SlowDisk), 1);
}

#[test]
fn a_crash_leaves_a_prefix_of_the_operations_and_tells_nobody() {
    // Between two operations the cut is clean: the first two writes take 2 ms, the sync 2 more.
    let world = run(&[scheduled(2, crash(n(0), 20))]);
    assert_eq!(contents(&world), [1, 2]);
    assert_eq!(completions(&world), []);
    assert_eq!(world.counters().get(Count::DiskOperationCut), 4);
    let world = run(&[scheduled(7, crash(n(0), 20))]);
    assert_eq!(completions(&world), [(5_000, 7)]);
    assert_eq!(contents(&world)[..3], [1, 2, 3]);
}

#[test]
fn an_operation_in_the_middle_of_a_crash_is_done_or_not() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let config = WorldConfig { noise_seed: NoiseSeed(seed), ..exact() };
        let mut world = probe(config, two_batches);
        let at = WorldTime::from_nanos(1_500_000);
        let fault = ScheduledFault { at, fault: crash(n(0), 20) };
        world.inject(fault).expect("a fault that fits");
        world.run_until(WorldTime::from_millis(100)).expect("nothing is wrong");
        seen.insert(contents(&world));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [vec![1], vec![1, 2]]);
}

#[test]
fn a_crash_keeps_the_page_cache_and_a_power_loss_only_what_was_synced() {
    // At 5 ms two writes are synced and the third is not.
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let config = WorldConfig { noise_seed: NoiseSeed(seed), ..exact() };
        let mut world = probe(config, |io, input| {
            if input.is_none() {
                create(io);
                if io.incarnation() == 1 {
                    io.submit(7, vec![write(0, 1), write(1, 2), sync(), write(2, 3)]);
                }
            }
        });
        let power_loss = Fault::PowerLoss { nodes: vec![n(0)], down_for: ms(10) };
        world.inject(scheduled(6, crash(n(0), 10))).expect("a fault that fits");
        world.inject(scheduled(50, power_loss)).expect("a fault that fits");
        world.run_until(WorldTime::from_millis(49)).expect("nothing is wrong");
        assert_eq!(contents(&world), [1, 2, 3]);
        world.run_until(WorldTime::from_millis(100)).expect("nothing is wrong");
        assert_eq!(contents(&world)[..2], [1, 2]);
        assert!(world.view().disk(n(0)).expect("it has a disk").is_clean());
        let lost = world.counters().get(Count::UnsyncedWriteLost) > 0;
        outcomes.insert((contents(&world), lost));
    }
    assert!(outcomes.contains(&(vec![1, 2, 3], false)), "chance keeps some: {outcomes:?}");
    assert!(outcomes.contains(&(vec![1, 2], true)), "and loses some: {outcomes:?}");
}

#[test]
fn power_is_lost_by_many_at_once_and_by_those_that_are_down_as_well() {
    let nodes = vec![n(0), n(1), n(2)];
    let mut world = probe(config(3), |_, _| {});
    world.inject(scheduled(5, crash(n(1), 10))).expect("a fault that fits");
    let power_loss = Fault::PowerLoss { nodes, down_for: ms(10) };
    world.inject(scheduled(10, power_loss)).expect("a fault that fits");
    world.run_until(WorldTime::from_millis(50)).expect("nothing is wrong");
    for node in 0..3 {
        let times = world.system().times(n(node), Cause::PowerLoss);
        assert_eq!(times, [WorldTime::from_millis(10)]);
        assert_eq!(world.view().incarnation(n(node)), 2);
    }
    assert_eq!(world.counters().get(Count::PowerLoss), 1);
}

#[test]
fn a_failed_operation_ends_its_batch_and_is_reported() {
    let mut world = probe(exact(), |io, input| match input {
        None => {
            create(io);
            let missing = DiskOp::Sync { file: DiskPath::root().join("missing") };
            io.submit(1, vec![write(0, 1), missing, write(1, 2)]);
        }
        Some(Input::Disk { result, .. }) => {
            result.expect_err("a file that is not there");
        }
        Some(_) => {}
    });
    world.run_until(WorldTime::from_millis(50)).expect("nothing is wrong");
    assert_eq!(contents(&world), [1]);
    assert_eq!(world.counters().get(Count::DiskFailure), 1);
}

#[test]
#[should_panic(expected = "outside of a boot")]
fn a_running_process_cannot_bypass_its_disks_queue() {
    let mut world = probe(config(1), |io, input| match input {
        None => io.set_timer(TimerId(0), ms(1)),
        Some(_) => drop(io.disk().sync(&file())),
    });
    let _ = world.run_until(WorldTime::from_millis(50));
}

#[test]
fn a_replaced_machine_starts_with_an_empty_disk_even_where_all_is_healed() {
    let at = |millis| WorldTime::from_millis(millis);
    let mut world = probe(exact(), |io, input| match input {
        None if io.incarnation() == 1 => {
            create(io);
            io.submit(7, vec![write(0, 1), sync()]);
            io.set_timer(TimerId(0), ms(20));
        }
        None => assert!(io.disk().read(&file(), 0, 1).is_err(), "the old machine's file is there"),
        Some(Input::Timer(_)) => {
            io.submit(8, vec![write(1, 2), sync()]);
            io.replace_machine(io.node(), ms(30));
        }
        Some(_) => {}
    });
    // It would hold the process down for longer, but healing ends that.
    world.inject(scheduled(25, crash(n(0), 500))).expect("a fault that fits");
    world.run_until(at(22)).expect("nothing is wrong");
    assert!(world.view().node(n(0)).is_none());
    world.run_until(at(30)).expect("nothing is wrong");
    world.heal_all();
    world.run_until(at(49)).expect("nothing is wrong");
    assert!(world.view().node(n(0)).is_none(), "its machine is not there yet");
    world.run_until(at(100)).expect("nothing is wrong");
    assert_eq!(world.system().times(n(0), Cause::Replaced), [at(20)]);
    assert_eq!(world.system().times(n(0), Cause::Boot { incarnation: 2 }), [at(50)]);
    assert_eq!(completions(&world).len(), 1, "what was under way is never reported");
    assert_eq!(world.counters().get(Count::MachineReplaced), 1);
}
