//! What becomes of members whose disks fail.

use super::*;
use crate::engine::Count;

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
