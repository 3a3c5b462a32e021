//! One node's clock: its reading as a function of world time.
//!
//! Between two changes a clock is a straight line: a reading at an anchor, and a rate that differs
//! from the world's by a drift in parts per million. Jumps and drift changes set a new anchor. The
//! clock owns nothing else; which timers become due by a change is the caller's business.

use super::time::{LocalTime, Nanos, SignedNanos, WorldTime};

const MILLION: u64 = 1_000_000;

/// How much faster (positive) or slower (negative) than the world a clock runs, in parts per
/// million, between [`DriftPpm::SLOWEST`] and [`DriftPpm::FASTEST`].
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct DriftPpm(pub i32);

impl DriftPpm {
    /// Half the world's speed.
    pub const SLOWEST: DriftPpm = DriftPpm(-500_000);
    /// Twice the world's speed.
    pub const FASTEST: DriftPpm = DriftPpm(1_000_000);

    /// The sum of two drifts, kept within the slowest and the fastest clock.
    pub fn plus(self, other: DriftPpm) -> DriftPpm {
        let sum = DriftPpm(self.0.saturating_add(other.0));
        sum.clamp(DriftPpm::SLOWEST, DriftPpm::FASTEST)
    }
}

/// A clock with offset, drift and jumps against world time.
#[derive(Clone, Debug)]
pub struct Clock {
    anchor_world: WorldTime,
    anchor_local: LocalTime,
    drift: DriftPpm,
}

impl Clock {
    /// A clock that shows [`LocalTime::EPOCH`] plus `offset` when the world begins.
    ///
    /// # Panics
    /// When `drift` lies outside of what [`DriftPpm`] allows.
    pub fn new(offset: SignedNanos, drift: DriftPpm) -> Clock {
        assert_drift(drift);
        Clock {
            anchor_world: WorldTime::ZERO,
            anchor_local: LocalTime::EPOCH.offset(offset),
            drift,
        }
    }

    /// What the clock shows at `now`, which must not lie before the last change.
    pub fn local(&self, now: WorldTime) -> LocalTime {
        debug_assert!(now >= self.anchor_world, "a clock was read before its last change");
        self.anchor_local.saturating_add(self.elapsed(now.since(self.anchor_world)))
    }

    /// The first instant, not before the last change, at which the clock shows `reading` or more.
    pub fn world_at(&self, reading: LocalTime) -> WorldTime {
        let needed = reading.since(self.anchor_local);
        if self.drift.0 == 0 {
            return self.anchor_world.saturating_add(needed);
        }
        let rate = (MILLION as i64 + i64::from(self.drift.0)) as u64;
        let needed = needed.as_nanos();
        let estimate = (needed / rate)
            .saturating_mul(MILLION)
            .saturating_add((needed % rate) * MILLION / rate);
        // Rounding leaves the estimate at most a few nanoseconds off.
        let mut world = Nanos::from_nanos(estimate);
        while world > Nanos::ZERO
            && self.elapsed(world.saturating_sub(Nanos::from_nanos(1))).as_nanos() >= needed
        {
            world = world.saturating_sub(Nanos::from_nanos(1));
        }
        while self.elapsed(world).as_nanos() < needed && world.as_nanos() < u64::MAX {
            world = world.saturating_add(Nanos::from_nanos(1));
        }
        self.anchor_world.saturating_add(world)
    }

    /// Moves the reading at `now` by `by`; a clock cannot go below zero.
    pub fn jump(&mut self, now: WorldTime, by: SignedNanos) {
        self.anchor(now);
        self.anchor_local = self.anchor_local.offset(by);
    }

    /// Runs at `drift` from `now` on; the reading itself does not change.
    ///
    /// # Panics
    /// When `drift` lies outside of what [`DriftPpm`] allows.
    pub fn set_drift(&mut self, now: WorldTime, drift: DriftPpm) {
        assert_drift(drift);
        self.anchor(now);
        self.drift = drift;
    }

    fn anchor(&mut self, now: WorldTime) {
        self.anchor_local = self.local(now);
        self.anchor_world = now;
    }

    /// Local time that passes in `world` time: monotone, as the rate is at least one half.
    fn elapsed(&self, world: Nanos) -> Nanos {
        if self.drift.0 == 0 {
            return world;
        }
        // Split so that no product overflows, however long the world lives.
        let (millions, rest) = (world.as_nanos() / MILLION, world.as_nanos() % MILLION);
        let drift = i64::from(self.drift.0);
        let gained = (millions as i64).saturating_mul(drift)
            + (rest as i64 * drift).div_euclid(MILLION as i64);
        Nanos::from_nanos(world.as_nanos().saturating_add_signed(gained))
    }
}

fn assert_drift(drift: DriftPpm) {
    assert!(
        (DriftPpm::SLOWEST..=DriftPpm::FASTEST).contains(&drift),
        "a clock's drift of {} ppm lies outside of {} to {} ppm",
        drift.0,
        DriftPpm::SLOWEST.0,
        DriftPpm::FASTEST.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fast_clock_gains_its_drift_and_a_slow_one_loses_it() {
        let fast = Clock::new(SignedNanos::ZERO, DriftPpm(100));
        let slow = Clock::new(SignedNanos::ZERO, DriftPpm(-100));
        let after = WorldTime::from_secs(10);
        assert_eq!(fast.local(after).since(LocalTime::EPOCH), Nanos::from_micros(10_001_000));
        assert_eq!(slow.local(after).since(LocalTime::EPOCH), Nanos::from_micros(9_999_000));
    }

    #[test]
    fn jumps_move_the_reading_and_drift_changes_do_not() {
        let mut clock = Clock::new(SignedNanos::from_millis(-5), DriftPpm(0));
        let at = WorldTime::from_secs(1);
        let before = clock.local(at);
        clock.set_drift(at, DriftPpm(500));
        assert_eq!(clock.local(at), before);
        clock.jump(at, SignedNanos::from_millis(30));
        assert_eq!(clock.local(at).since(before), Nanos::from_millis(30));
        clock.jump(at, SignedNanos::from_millis(-50));
        assert_eq!(before.since(clock.local(at)), Nanos::from_millis(20));
    }

    proptest! {
        #[test]
        fn the_inverse_is_the_first_instant_that_shows_the_reading(
            drift in -500_000i32..=1_000_000,
            offset in -1_000_000_000i64..1_000_000_000,
            changed_at in 0u64..100_000_000_000,
            after in 0u64..100_000_000_000,
        ) {
            let mut clock = Clock::new(SignedNanos::from_nanos(offset), DriftPpm(0));
            let changed_at = WorldTime::from_nanos(changed_at);
            clock.set_drift(changed_at, DriftPpm(drift));
            let reading = clock.local(changed_at) + Nanos::from_nanos(after);
            let due = clock.world_at(reading);
            prop_assert!(clock.local(due) >= reading);
            if due > changed_at {
                let just_before = WorldTime::from_nanos(due.as_nanos() - 1);
                prop_assert!(clock.local(just_before) < reading);
            }
        }
    }
}
