//! Damage to a store that nobody can make up for while it is open.

use super::group::{Group, SECOND, put};
use crate::{HaltReason, Timer};

/// A group with some writes, in which all of the last member's store rots that is of these kinds:
/// why that member halts.
fn halts(size: usize, kinds: &[&str]) -> HaltReason {
    let mut group = Group::with(size, |config| config.snapshot_every = 5);
    group.campaign(0);
    group.settle();
    group.write(["b", "a", "a", "a", "a", "a", "a", "a"].map(|key| put(key, "1")));
    group.beat(0);
    group.rot(size - 1, kinds);
    for _ in 0..40 {
        group.now.0 += SECOND;
        for index in 0..size {
            group.fire(index, Timer::Upkeep);
        }
        group.settle();
        if let Some((index, reason)) = group.halted.pop() {
            assert_eq!(index, size - 1);
            return reason;
        }
    }
    panic!("it goes on with a damaged store");
}

#[test]
fn who_is_alone_stops_and_says_what_is_damaged() {
    let reason = halts(1, &[".data"]);
    assert!(matches!(reason, HaltReason::NoCopy(_)), "{reason:?}");
    let text = reason.to_string();
    assert!(text.contains("the record at byte") && text.contains("store verify"), "{text}");
}

#[test]
fn who_does_not_know_what_to_ask_for_stops_to_start_anew() {
    let reason = halts(3, &[".data", ".keys"]);
    assert!(matches!(reason, HaltReason::Unrepairable(_)), "{reason:?}");
}
