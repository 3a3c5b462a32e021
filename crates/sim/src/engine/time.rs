//! World time, local time and durations, as types that cannot be mixed up.
//!
//! Everything is an integer number of nanoseconds: a run must give the same result on every
//! machine, so no floating point takes part. [`WorldTime`] is the simulator's own time and known to
//! nobody inside the world; [`LocalTime`] is what one node's clock shows, which is all that a
//! process ever sees. Converting between them is the business of a clock, never of arithmetic.

use std::fmt;
use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

/// A length of time in nanoseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Nanos = Nanos(0);

    /// A duration of `n` nanoseconds.
    pub const fn from_nanos(n: u64) -> Nanos {
        Nanos(n)
    }

    /// A duration of `n` microseconds.
    pub const fn from_micros(n: u64) -> Nanos {
        Nanos(n * 1_000)
    }

    /// A duration of `n` milliseconds.
    pub const fn from_millis(n: u64) -> Nanos {
        Nanos(n * 1_000_000)
    }

    /// A duration of `n` seconds.
    pub const fn from_secs(n: u64) -> Nanos {
        Nanos(n * 1_000_000_000)
    }

    /// The number of nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The number of whole milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The sum, or the longest duration there is where it would not fit.
    pub const fn saturating_add(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(other.0))
    }

    /// The difference, or zero where `other` is longer.
    pub const fn saturating_sub(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(other.0))
    }
}

impl Add for Nanos {
    type Output = Nanos;

    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0 + other.0)
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Nanos) {
        self.0 += other.0;
    }
}

impl Mul<u64> for Nanos {
    type Output = Nanos;

    fn mul(self, factor: u64) -> Nanos {
        Nanos(self.0 * factor)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_human(f, self.0)
    }
}

/// A difference of clock readings in nanoseconds, of either sign.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SignedNanos(i64);

impl SignedNanos {
    /// No difference.
    pub const ZERO: SignedNanos = SignedNanos(0);

    /// A difference of `n` nanoseconds.
    pub const fn from_nanos(n: i64) -> SignedNanos {
        SignedNanos(n)
    }

    /// A difference of `n` milliseconds.
    pub const fn from_millis(n: i64) -> SignedNanos {
        SignedNanos(n * 1_000_000)
    }

    /// The number of nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }
}

impl fmt::Display for SignedNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 < 0 { "-" } else { "+" })?;
        write_human(f, self.0.unsigned_abs())
    }
}

/// An instant of the world: nanoseconds since the world began.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct WorldTime(u64);

impl WorldTime {
    /// The beginning of the world.
    pub const ZERO: WorldTime = WorldTime(0);

    /// The instant `n` nanoseconds after the beginning.
    pub const fn from_nanos(n: u64) -> WorldTime {
        WorldTime(n)
    }

    /// The instant `n` milliseconds after the beginning.
    pub const fn from_millis(n: u64) -> WorldTime {
        WorldTime(n * 1_000_000)
    }

    /// The instant `n` seconds after the beginning.
    pub const fn from_secs(n: u64) -> WorldTime {
        WorldTime(n * 1_000_000_000)
    }

    /// Nanoseconds since the beginning.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` until this instant; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: WorldTime) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `after` later, or the last instant there is.
    pub const fn saturating_add(self, after: Nanos) -> WorldTime {
        WorldTime(self.0.saturating_add(after.0))
    }
}

impl Add<Nanos> for WorldTime {
    type Output = WorldTime;

    fn add(self, after: Nanos) -> WorldTime {
        WorldTime(self.0 + after.0)
    }
}

impl fmt::Display for WorldTime {
    /// Seconds with as many decimals as are needed, at least three: `2.350 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if nanos.is_multiple_of(1_000_000) {
            write!(f, "{seconds}.{:03} s", nanos / 1_000_000)
        } else if nanos.is_multiple_of(1_000) {
            write!(f, "{seconds}.{:06} s", nanos / 1_000)
        } else {
            write!(f, "{seconds}.{nanos:09} s")
        }
    }
}

/// A reading of one node's clock, in nanoseconds.
///
/// The zero point lies [`LocalTime::EPOCH`] before the world's beginning, so that a clock that is
/// behind still shows a positive time. Readings of different nodes are not comparable, and one
/// node's readings may go back when its clock jumps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LocalTime(u64);

impl LocalTime {
    /// What a perfect clock shows when the world begins: 2^40 ns, about 18 minutes.
    pub const EPOCH: LocalTime = LocalTime(1 << 40);

    /// The reading of `n` nanoseconds.
    pub const fn from_nanos(n: u64) -> LocalTime {
        LocalTime(n)
    }

    /// The reading in nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from the reading `earlier` until this one; zero when `earlier` is not earlier.
    pub const fn since(self, earlier: LocalTime) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// The reading `after` later, or the last reading there is.
    pub const fn saturating_add(self, after: Nanos) -> LocalTime {
        LocalTime(self.0.saturating_add(after.0))
    }

    /// The reading moved by `by`; it stops at zero and at the last reading there is.
    pub const fn offset(self, by: SignedNanos) -> LocalTime {
        LocalTime(self.0.saturating_add_signed(by.0))
    }
}

impl Add<Nanos> for LocalTime {
    type Output = LocalTime;

    fn add(self, after: Nanos) -> LocalTime {
        LocalTime(self.0 + after.0)
    }
}

/// Writes a duration in the largest unit in which it has at most three decimals.
fn write_human(f: &mut fmt::Formatter<'_>, nanos: u64) -> fmt::Result {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    for (unit, name) in UNITS {
        let fits = nanos >= unit && (unit == 1 || nanos.is_multiple_of(unit / 1_000));
        if !fits {
            continue;
        }
        let (whole, rest) = (nanos / unit, nanos % unit);
        if rest == 0 {
            return write!(f, "{whole} {name}");
        }
        let decimals = format!("{:03}", rest / (unit / 1_000));
        return write!(f, "{whole}.{} {name}", decimals.trim_end_matches('0'));
    }
    write!(f, "0 ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_instants_read_like_a_person_would_write_them() {
        for (nanos, text) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (1_500, "1.5 µs"),
            (400_000_000, "400 ms"),
            (2_350_000_000, "2.35 s"),
            (12_345_678, "12345.678 µs"),
        ] {
            assert_eq!(Nanos::from_nanos(nanos).to_string(), text);
        }
        assert_eq!(WorldTime::from_millis(2_350).to_string(), "2.350 s");
        assert_eq!(WorldTime::from_nanos(1_000_001_000).to_string(), "1.000001 s");
        assert_eq!(SignedNanos::from_millis(-20).to_string(), "-20 ms");
        assert_eq!(SignedNanos::from_millis(20).to_string(), "+20 ms");
    }

    #[test]
    fn a_clock_set_far_back_stops_at_zero_instead_of_wrapping() {
        let far_back = LocalTime::EPOCH.offset(SignedNanos::from_nanos(i64::MIN));
        assert_eq!(far_back.as_nanos(), 0);
        assert_eq!(far_back.since(LocalTime::EPOCH), Nanos::ZERO);
    }
}
