//! What each fault does, when it counts, and how it ends.

use super::*;

/// n0 sends to n1 each 10 ms from 10 ms on, and n1 to n0.
fn exchange(io: &mut Io<'_, u64>, input: Option<Input<u64>>) {
    if io.node().0 > 1 {
        return;
    }
    if let Some(Input::Timer(_)) = input {
        io.send(n(1 - io.node().0), 0);
    }
    if let None | Some(Input::Timer(_)) = input {
        io.set_timer(TimerId(0), ms(10));
    }
}

fn run(faults: &[ScheduledFault]) -> World<Probe> {
    run_with(config(3), faults)
}

fn run_with(config: WorldConfig, faults: &[ScheduledFault]) -> World<Probe> {
    let mut world = probe(config, exchange);
    for fault in faults {
        world.inject(fault.clone()).expect("a fault that fits");
    }
    world.run_until(WorldTime::from_millis(1_005)).expect("nothing is wrong");
    world
}

/// How many messages of a link were handled within an interval of milliseconds.
fn handled(world: &World<Probe>, from: u32, to: u32, within: (u64, u64)) -> usize {
    let (begin, end) = (WorldTime::from_millis(within.0), WorldTime::from_millis(within.1));
    let messages = world.system().messages(n(from), n(to));
    messages.filter(|(time, _)| (begin..end).contains(time)).count()
}

fn took_effect(world: &World<Probe>) -> Vec<bool> {
    world.faults().map(|(_, took_effect)| took_effect).collect()
}

#[test]
fn a_partition_blocks_both_directions_what_is_under_way_included() {
    let groups = vec![vec![n(0)], vec![n(1), n(2)]];
    // It begins when messages are under way: they were sent at 200 ms and take at least 1 ms.
    let at = WorldTime::from_nanos(200_500_000);
    let fault = ScheduledFault { at, fault: Fault::Partition { groups, lasts: ms(300) } };
    let world = run(&[fault]);
    for (from, to) in [(0, 1), (1, 0)] {
        assert_eq!(handled(&world, from, to, (0, 200)), 19);
        assert_eq!(handled(&world, from, to, (200, 505)), 0);
        assert_eq!(handled(&world, from, to, (505, 1_005)), 50);
    }
    assert_eq!(world.counters().get(Count::MessageBlocked), 62);
    assert_eq!(world.counters().get(Count::Partition), 1);
    assert_eq!(took_effect(&world), [true]);
}

#[test]
fn a_one_way_block_leaves_the_other_direction_open() {
    let fault = Fault::OneWay { from: vec![n(0)], to: vec![n(1), n(2)], lasts: ms(300) };
    let world = run(&[scheduled(205, fault)]);
    assert_eq!(handled(&world, 0, 1, (205, 505)), 0);
    assert_eq!(handled(&world, 1, 0, (205, 505)), 30);
    assert_eq!(world.counters().get(Count::OneWay), 1);
}

#[test]
fn a_link_is_open_only_when_no_fault_blocks_it_any_more() {
    let one_way = |for_ms| Fault::OneWay { from: vec![n(0)], to: vec![n(1)], lasts: ms(for_ms) };
    let world = run(&[scheduled(105, one_way(100)), scheduled(155, one_way(200))]);
    assert_eq!(handled(&world, 0, 1, (105, 355)), 0);
    assert_eq!(handled(&world, 0, 1, (355, 1_005)), 65);
}

#[test]
fn a_crash_loses_memory_and_timers_and_the_next_incarnation_starts() {
    let world = run(&[scheduled(205, crash(n(1), 300))]);
    let system = world.system();
    assert_eq!(system.times(n(1), Cause::Crash), [WorldTime::from_millis(205)]);
    let boot = Cause::Boot { incarnation: 2 };
    assert_eq!(system.times(n(1), boot), [WorldTime::from_millis(505)]);
    assert!(system.timers(n(1)).all(|(time, _)| {
        !(WorldTime::from_millis(205)..WorldTime::from_millis(515)).contains(&time)
    }));
    assert_eq!(handled(&world, 0, 1, (205, 505)), 0);
    let counters = world.counters();
    assert_eq!(counters.get(Count::MessageToDownNode), 30);
    assert_eq!((counters.get(Count::Crash), counters.get(Count::Restart)), (1, 1));
    assert_eq!(*world.view().node(n(1)).expect("it is up"), 1 + 50 + 50);
}

#[test]
fn a_node_stays_down_until_the_last_fault_lets_go() {
    let world = run(&[scheduled(105, crash(n(1), 300)), scheduled(205, crash(n(1), 400))]);
    let boot = Cause::Boot { incarnation: 2 };
    assert_eq!(world.system().times(n(1), boot), [WorldTime::from_millis(605)]);
    // The second crash found nothing to kill.
    assert_eq!(took_effect(&world), [true, false]);
    assert_eq!(world.counters().get(Count::Crash), 1);
}

#[test]
fn a_paused_process_handles_its_inputs_late_and_in_order() {
    let world = run(&[scheduled(205, Fault::Pause { node: n(1), lasts: ms(300) })]);
    let resumed = WorldTime::from_millis(505);
    let late: Vec<_> =
        world.system().messages(n(0), n(1)).filter(|(time, _)| *time == resumed).collect();
    assert_eq!(handled(&world, 0, 1, (205, 505)), 0);
    assert_eq!(late.len(), 30);
    assert!(late.is_sorted());
    // Its one timer was due at 210 ms, while it stood still; the clock ran on.
    assert!(world.system().timers(n(1)).any(|(time, _)| time == resumed));
    assert_eq!(world.counters().get(Count::Pause), 1);
    assert_eq!(world.system().times(n(1), Cause::Boot { incarnation: 2 }), []);
}

#[test]
fn a_timer_that_was_armed_anew_while_it_waited_does_not_fire() {
    let mut world = probe(config(2), |io, input| match input {
        None if io.node() == n(1) => io.set_timer(TimerId(1), ms(10)),
        None => io.set_timer(TimerId(0), ms(4)),
        Some(Input::Timer(TimerId(0))) => io.send(n(1), 0),
        Some(Input::Message { .. }) => io.set_timer(TimerId(1), ms(100)),
        Some(_) => {}
    });
    let pause = Fault::Pause { node: n(1), lasts: ms(50) };
    world.inject(scheduled(3, pause)).expect("a fault that fits");
    world.run_until(WorldTime::from_secs(1)).expect("nothing is wrong");
    let fired: Vec<_> = world.system().timers(n(1)).collect();
    assert_eq!(fired, [(WorldTime::from_millis(153), 1)]);
}

#[test]
fn slow_links_delay_one_direction_and_add_up() {
    let slow = |extra, for_ms| Fault::SlowLink {
        from: n(0),
        to: n(1),
        extra: ms(extra),
        lasts: ms(for_ms),
    };
    let world = run(&[scheduled(205, slow(20, 300)), scheduled(305, slow(50, 300))]);
    let delay = |from, number: u64| {
        let sent = WorldTime::from_millis(10 * (number + 1));
        let mut messages = world.system().messages(n(from), n(1 - from));
        let arrival = messages.find(|message| message.1 == number).expect("it arrived");
        arrival.0.since(sent).as_millis()
    };
    for (number, millis) in [(10, 1), (24, 21), (34, 71), (54, 51), (64, 1)] {
        assert_eq!((delay(0, number), delay(1, number)), (millis, 1), "message {number}");
    }
    assert_eq!(world.counters().get(Count::SlowLink), 2);
}

#[test]
fn noise_loses_copies_replays_and_reorders_within_its_window() {
    let noise = Noise {
        loss_ppm: 200_000,
        duplicate_ppm: 300_000,
        reorder_ppm: 500_000,
        replay_ppm: 200_000,
        delay: ms(2),
    };
    let network = NetworkConfig { reorder: ms(40), replay: ms(400), ..config(2).network };
    let fault = scheduled(205, Fault::Noise { noise, lasts: ms(500) });
    let world = run_with(WorldConfig { network, ..config(2) }, &[fault]);
    let calm = handled(&world, 0, 1, (0, 205)) + handled(&world, 1, 0, (0, 205));
    assert_eq!(calm, 40);
    for count in [
        Count::MessageLost,
        Count::MessageDuplicated,
        Count::MessageReplayed,
        Count::MessageReordered,
    ] {
        let happened = world.counters().get(count);
        assert!((5..60).contains(&happened), "{} of 100: {happened}", count.name());
    }
    assert_eq!(world.counters().get(Count::Noise), 1);
    let silent = run(&[scheduled(205, Fault::Noise { noise: Noise::default(), lasts: ms(500) })]);
    assert_eq!(took_effect(&silent), [false]);
}

#[test]
fn faults_that_change_nothing_are_not_counted() {
    let lasts = ms(50);
    let world = run(&[
        scheduled(101, Fault::OneWay { from: vec![n(2)], to: vec![n(1)], lasts }),
        scheduled(102, Fault::Partition { groups: vec![vec![n(0), n(1)], vec![n(2)]], lasts }),
        scheduled(103, Fault::Pause { node: n(2), lasts }),
        scheduled(104, Fault::SlowLink { from: n(2), to: n(1), extra: ms(5), lasts }),
        scheduled(105, Fault::SlowDisk { node: n(0), factor: 10, lasts }),
    ]);
    assert!(world.counters().faults().is_empty(), "{:?}", world.counters().faults());
    assert_eq!(took_effect(&world), [false; 5]);
}

#[test]
fn clock_faults_count_when_a_running_process_feels_them() {
    let jump = |node| Fault::ClockJump { node, by: SignedNanos::from_millis(5) };
    let drift = |node| Fault::ClockDrift { node, ppm: DriftPpm(100), lasts: ms(100) };
    let world = run(&[
        scheduled(100, crash(n(2), 500)),
        scheduled(200, jump(n(2))),
        scheduled(200, drift(n(2))),
        scheduled(300, jump(n(1))),
        scheduled(300, drift(n(1))),
    ]);
    assert_eq!(took_effect(&world), [true, false, false, true, true]);
    // A clock of a machine that is up jumps even while the process is down.
    let view = world.view();
    let ahead = |node| view.local_time(node).since(view.local_time(n(0)));
    assert_eq!((ahead(n(1)), ahead(n(2))), (Nanos::from_micros(5_010), Nanos::from_micros(5_010)));
}

#[test]
fn healing_some_nodes_heals_them_their_links_and_nothing_else() {
    let groups = (0..4).map(|node| vec![n(node)]).collect();
    let lasts = Nanos::from_secs(100);
    let mut world = probe(config(4), chatter);
    for fault in [
        Fault::Partition { groups, lasts },
        Fault::Crash { node: n(1), down_for: lasts },
        Fault::Crash { node: n(3), down_for: lasts },
        Fault::Pause { node: n(0), lasts },
        Fault::ClockDrift { node: n(0), ppm: DriftPpm(500_000), lasts },
        Fault::Noise { noise: Noise { loss_ppm: 1_000_000, ..Noise::default() }, lasts },
    ] {
        world.inject(scheduled(100, fault)).expect("a fault that fits");
    }
    // One that would begin after the heal.
    world.inject(scheduled(900, crash(n(0), 50))).expect("a fault that fits");
    world.run_until(WorldTime::from_millis(500)).expect("nothing is wrong");
    world.heal(&[n(0), n(1)]);
    world.run_until(WorldTime::from_secs(2)).expect("nothing is wrong");
    let view = world.view();
    assert!(view.node(n(1)).is_some() && view.node(n(3)).is_none() && !view.is_paused(n(0)));
    assert!(view.is_open(n(0), n(1)) && !view.is_open(n(0), n(2)));
    // 400 ms at 1.5 times the speed, then as configured.
    assert_eq!(view.local_time(n(0)).since(view.local_time(n(2))), ms(200));
    assert!(handled(&world, 0, 1, (500, 2_000)) > 140);
    assert!(handled(&world, 1, 0, (500, 2_000)) > 140);
    assert_eq!(handled(&world, 0, 2, (500, 2_000)), 0);
    assert_eq!(world.view().incarnation(n(0)), 1, "no later fault touches a healed node");
    world.heal_all();
    world.run_until(WorldTime::from_secs(200)).expect("all faults end");
    assert_eq!((0..4).map(|node| world.view().incarnation(n(node))).max(), Some(2));
    assert!(handled(&world, 3, 2, (2_000, 200_000)) > 19_000);
}

/// What the clocks of four nodes show.
fn clocks(world: &World<Probe>) -> Vec<LocalTime> {
    (0..4).map(|node| world.view().local_time(n(node))).collect()
}

/// A fault of any kind, on any of four nodes, that overlaps with others as it happens.
fn any_fault(chance: &mut Stream) -> ScheduledFault {
    let node = n(chance.below(4) as u32);
    let other = n(chance.below(4) as u32);
    let lasts = chance.between(Nanos::ZERO, ms(400));
    let fault = match chance.below(13) {
        0 => Fault::Crash { node, down_for: lasts },
        1 => Fault::PowerLoss { nodes: vec![node], down_for: lasts },
        2 => Fault::Pause { node, lasts },
        3 => Fault::Partition { groups: vec![vec![n(0), n(3)], vec![n(1)]], lasts },
        4 => Fault::OneWay { from: vec![node], to: vec![other, n(2)], lasts },
        5 => Fault::SlowLink { from: node, to: other, extra: ms(30), lasts },
        6 => Fault::ClockJump { node, by: SignedNanos::from_millis(-20) },
        7 => Fault::ClockDrift { node, ppm: DriftPpm(-300_000), lasts },
        10 => Fault::DiskFull { node, lasts },
        11 => Fault::WriteError { node },
        12 => Fault::SyncError { node },
        8 => Fault::SlowDisk { node, factor: 3, lasts },
        _ => {
            let loss_ppm = 700_000;
            Fault::Noise { noise: Noise { loss_ppm, ..Noise::default() }, lasts }
        }
    };
    ScheduledFault { at: WorldTime::ZERO + chance.between(Nanos::ZERO, ms(1_500)), fault }
}

#[test]
fn however_faults_overlap_nothing_is_left_of_them_at_the_end() {
    for seed in 0..100 {
        let mut world = probe(config(4), chatter);
        let mut chance = Stream::new(NoiseSeed(seed), "faults", 0, 0);
        for _ in 0..30 {
            world.inject(any_fault(&mut chance)).expect("a fault that fits");
        }
        world.run_until(WorldTime::from_millis(2_000)).expect("nothing is wrong");
        let (sent, lost) = (Count::Sent, Count::MessageLost);
        let clocks_before = clocks(&world);
        let counted = |count| world.counters().get(count);
        let (sent_before, lost_before) = (counted(sent), counted(lost));
        world.run_until(WorldTime::from_millis(3_000)).expect("nothing is wrong");

        assert_eq!(world.view().running().count(), 4, "seed {seed}");
        assert!((0..4).all(|node| !world.view().is_paused(n(node))), "seed {seed}");
        for (after, before) in clocks(&world).into_iter().zip(clocks_before) {
            assert_eq!(after.since(before), ms(1_000), "seed {seed}");
        }
        // Four nodes with three messages each 10 ms, and each of them arrives within 1.5 ms.
        let sent_after = world.counters().get(sent) - sent_before;
        assert!((1_188..=1_212).contains(&sent_after), "seed {seed}: {sent_after}");
        assert_eq!(world.counters().get(lost), lost_before, "seed {seed}");
        for (from, to) in [(0, 1), (1, 0), (2, 3), (3, 2), (0, 2), (3, 1)] {
            let arrived = handled(&world, from, to, (2_005, 3_000));
            assert!((98..=101).contains(&arrived), "seed {seed}: {arrived} of n{from} to n{to}");
        }
    }
}
