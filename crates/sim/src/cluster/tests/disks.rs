//! What becomes of members whose disks fail.

use super::*;
use crate::engine::{Count, FileKind};

#[test]
fn members_whose_disks_fail_are_started_again_and_lose_nothing() {
    let node = |node| NodeId(node);
    let mut faults = Vec::new();
    for round in 0..4 {
        for member in 0..3 {
            let begin = 300 + 400 * round + 100 * u64::from(member);
            faults.push(at(begin, Fault::WriteError { node: node(member) }));
            faults.push(at(begin + 150, Fault::SyncError { node: node(member) }));
        }
    }
    let outcome = lived(Schedule { faults, ..quiet() });
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.refusals, BTreeMap::new());
    let count = |count| outcome.counters.get(count);
    assert!(count(Count::WriteError) >= 3, "{:?}", outcome.counters.faults());
    assert!(count(Count::SyncError) >= 6, "{:?}", outcome.counters.faults());
    // An error that strikes a start is met once more.
    let stopped = count(Count::Halt) + count(Count::StartFailed);
    assert_eq!(stopped, count(Count::WriteError) + count(Count::SyncError));
    assert_eq!(count(Count::Restart), stopped);
}

#[test]
fn a_cluster_whose_disks_are_all_full_goes_on_when_there_is_room_again() {
    let full =
        |node| at(800, Fault::DiskFull { node: NodeId(node), lasts: Nanos::from_millis(700) });
    let outcome = lived(Schedule { faults: (0..3).map(full).collect(), ..quiet() });
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.counters.get(Count::DiskFull), 3);
    assert!(outcome.counters.get(Count::Halt) >= 3, "{:?}", outcome.counters.faults());
}

/// What two members and their clients do while a third one's disk rots, at a time, in files of a
/// kind; it is started anew soon after, and once more.
fn rotten(files: FileKind) -> Outcome {
    let rot = |millis| at(millis, Fault::BitRot { node: NodeId(1), files, bits: 2 });
    let crash = |node, millis| {
        at(millis, Fault::Crash { node: NodeId(node), down_for: Nanos::from_millis(100) })
    };
    let mut schedule = quiet();
    schedule.cluster.wal_segment_bytes = 4 << 10;
    schedule.cluster.snapshots = SnapshotPlan { every: 30, keep: 10 };
    schedule.faults = vec![rot(700), crash(1, 800), rot(1_200), crash(1, 1_210), crash(0, 1_700)];
    lived(schedule)
}

#[test]
fn rotten_snapshots_are_passed_over() {
    let outcome = rotten(FileKind::Snapshot);
    assert_eq!(outcome.failure, None);
    assert!(outcome.counters.get(Count::BitRot) >= 1, "{:?}", outcome.counters.faults());
}

#[test]
fn a_member_with_a_rotten_log_is_made_whole_again_or_named_and_the_others_go_on() {
    let outcome = rotten(FileKind::Log);
    assert_eq!(outcome.failure, None);
    assert!(outcome.counters.get(Count::BitRot) >= 1, "{:?}", outcome.counters.faults());
    for (node, reason) in &outcome.refusals {
        assert_eq!(*node, NodeId(1), "{reason}");
        assert!(reason.contains("member/wal"), "{reason}");
    }
    assert_eq!(outcome.counters.get(Count::StartRefused), outcome.refusals.len() as u64);
}

#[test]
fn a_member_whose_last_batch_rots_while_it_is_down_is_made_whole_again() {
    let mut schedule = quiet();
    let down =
        |millis| at(millis, Fault::Crash { node: NodeId(1), down_for: Nanos::from_millis(100) });
    let rot =
        |millis| at(millis, Fault::BitRot { node: NodeId(1), files: FileKind::LogEnd, bits: 3 });
    schedule.faults = vec![down(700), rot(750), down(1_400), rot(1_450)];
    let outcome = lived(schedule);
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.counters.get(Count::BitRot), 2, "{:?}", outcome.counters.faults());
    assert_eq!(outcome.refusals, BTreeMap::new());
    assert!(outcome.marks.contains_key("log-damage-met"), "{:?}", outcome.marks);
}
