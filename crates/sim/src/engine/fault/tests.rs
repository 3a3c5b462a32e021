//! The text form of faults, what they say to people, and what is refused.

use super::*;

fn n(index: u32) -> NodeId {
    NodeId(index)
}

fn at(fault: Fault) -> ScheduledFault {
    ScheduledFault { at: WorldTime::from_millis(2_350), fault }
}

/// One of each kind, with what it says to people.
fn one_of_each() -> Vec<(Fault, &'static str)> {
    let ms = Nanos::from_millis;
    vec![
        (Fault::Crash { node: n(2), down_for: ms(400) }, "at 2.350 s: crash n2 for 400 ms"),
        (
            Fault::PowerLoss { nodes: vec![n(0), n(1)], down_for: ms(5) },
            "at 2.350 s: cut the power of n0 n1 for 5 ms",
        ),
        (Fault::Pause { node: n(1), lasts: ms(7) }, "at 2.350 s: pause n1 for 7 ms"),
        (
            Fault::Partition { groups: vec![vec![n(0)], vec![n(1), n(2)]], lasts: ms(9) },
            "at 2.350 s: partition n0 | n1 n2 for 9 ms",
        ),
        (
            Fault::OneWay { from: vec![n(0)], to: vec![n(1)], lasts: ms(9) },
            "at 2.350 s: block messages from n0 to n1 for 9 ms",
        ),
        (
            Fault::SlowLink { from: n(0), to: n(1), extra: ms(20), lasts: ms(9) },
            "at 2.350 s: slow the link n0 to n1 by 20 ms for 9 ms",
        ),
        (
            Fault::Noise {
                noise: Noise { loss_ppm: 50_000, delay: ms(3), ..Noise::default() },
                lasts: ms(9),
            },
            "at 2.350 s: network noise (loss 50000 ppm, delay 3 ms) for 9 ms",
        ),
        (
            Fault::ClockJump { node: n(1), by: SignedNanos::from_millis(-20) },
            "at 2.350 s: set the clock of n1 by -20 ms",
        ),
        (
            Fault::ClockDrift { node: n(1), ppm: DriftPpm(300), lasts: ms(9) },
            "at 2.350 s: let the clock of n1 drift by +300 ppm for 9 ms",
        ),
        (
            Fault::SlowDisk { node: n(1), factor: 10, lasts: ms(9) },
            "at 2.350 s: slow the disk of n1 10 times for 9 ms",
        ),
        (Fault::WriteError { node: n(1) }, "at 2.350 s: fail a write on the disk of n1"),
        (Fault::SyncError { node: n(1) }, "at 2.350 s: fail a sync of the disk of n1"),
        (Fault::DiskFull { node: n(1), lasts: ms(9) }, "at 2.350 s: fill the disk of n1 for 9 ms"),
        (
            Fault::BitRot { node: n(1), files: FileKind::Snapshot, bits: 2 },
            "at 2.350 s: flip 2 bits in the snapshots of n1",
        ),
        (
            Fault::MisdirectedWrite { node: n(1), files: FileKind::Store },
            "at 2.350 s: misdirect a write to the store of n1",
        ),
        (
            Fault::MisdirectedRead { node: n(1), files: FileKind::Store },
            "at 2.350 s: misdirect a read of the store of n1",
        ),
    ]
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Schedule {
    fault: Vec<ScheduledFault>,
}

#[test]
fn every_kind_reads_well_and_survives_its_text_form() {
    let (faults, texts): (Vec<_>, Vec<_>) =
        one_of_each().into_iter().map(|(fault, text)| (at(fault), text)).unzip();
    for (fault, text) in faults.iter().zip(texts) {
        assert_eq!(fault.to_string(), text);
    }
    let schedule = Schedule { fault: faults };
    let text = toml::to_string(&schedule).expect("faults can be written as TOML");
    assert_eq!(toml::from_str::<Schedule>(&text).expect("what was written can be read"), schedule);
}

#[test]
fn a_fault_is_a_flat_table_with_units_in_its_names() {
    let text = "[[fault]]\nat_ns = 5\nkind = \"crash\"\nnode = 2\ndown_for_ns = 7\n";
    let schedule: Schedule = toml::from_str(text).expect("a crash");
    let crash = Fault::Crash { node: n(2), down_for: Nanos::from_nanos(7) };
    assert_eq!(schedule.fault, [ScheduledFault { at: WorldTime::from_nanos(5), fault: crash }]);
}

#[test]
fn unknown_fields_and_kinds_are_refused_by_name() {
    let head = "[[fault]]\nat_ns = 5\nkind = ";
    for (rest, named) in [
        ("\"crash\"\nnode = 2\ndown_for_ns = 7\nagain = 1\n", "again"),
        ("\"crush\"\nnode = 2\n", "crush"),
        ("\"crash\"\nnode = 2\n", "down_for_ns"),
        ("\"noise\"\nfor_ns = 2\nnoise = { loss = 3 }\n", "loss"),
    ] {
        let error = toml::from_str::<Schedule>(&format!("{head}{rest}")).expect_err(rest);
        assert!(error.to_string().contains(named), "{error} does not name {named}");
    }
}

#[test]
fn what_does_not_fit_the_world_is_refused() {
    let ms = Nanos::from_millis;
    let disks = [true, true, false];
    let refuse = |fault: Fault, now| at(fault).check(now, &disks).expect_err("refused").to_string();
    let zero = WorldTime::ZERO;
    for (fault, now, says) in [
        (Fault::Crash { node: n(3), down_for: ms(1) }, zero, "there is no node n3"),
        (Fault::SlowDisk { node: n(2), factor: 5, lasts: ms(1) }, zero, "n2 has no disk"),
        (Fault::SlowDisk { node: n(1), factor: 1, lasts: ms(1) }, zero, "at least 2"),
        (Fault::WriteError { node: n(2) }, zero, "n2 has no disk"),
        (Fault::BitRot { node: n(1), files: FileKind::Log, bits: 0 }, zero, "at least one bit"),
        (Fault::BitRot { node: n(1), files: FileKind::LogEnd, bits: 9 }, zero, "at most 8 bits"),
        (Fault::MisdirectedWrite { node: n(1), files: FileKind::LogEnd }, zero, "only rot"),
        (Fault::Crash { node: n(0), down_for: ms(1) }, WorldTime::from_secs(3), "in the past"),
        (
            Fault::Partition { groups: vec![vec![n(0)], vec![n(0), n(1)]], lasts: ms(1) },
            zero,
            "one group at most",
        ),
        (Fault::ClockDrift { node: n(0), ppm: DriftPpm(-600_000), lasts: ms(1) }, zero, "-500000"),
    ] {
        let message = refuse(fault, now);
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    }
    for (fault, _) in one_of_each() {
        at(fault).check(zero, &[true, true, true]).expect("each of them fits three nodes");
    }
}

#[test]
fn a_partition_leaves_nodes_in_no_group_alone() {
    let partition =
        Fault::Partition { groups: vec![vec![n(0)], vec![n(1)]], lasts: Nanos::from_millis(1) };
    assert!(partition.blocks(n(0), n(1)) && partition.blocks(n(1), n(0)));
    assert!(!partition.blocks(n(2), n(1)) && !partition.blocks(n(0), n(2)));
    assert!(!partition.blocks(n(0), n(0)));
}
