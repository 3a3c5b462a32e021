//! The member's clock.

use quorate_member::Time;

/// Monotonic, and counts the time during which the machine is suspended: leases rest on that.
#[cfg(not(madsim))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock;

#[cfg(not(madsim))]
impl Clock {
    pub(crate) fn start() -> Clock {
        Clock
    }

    pub(crate) fn now(self) -> Time {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        // Elsewhere this is the one that counts suspension, or there is none.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).expect("a monotonic clock counts from a start");
        let nanos = u64::try_from(time.tv_nsec).expect("nanoseconds are not negative");
        Time(seconds * 1_000_000_000 + nanos)
    }
}

/// The simulation's clock.
#[cfg(madsim)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(tokio::time::Instant);

#[cfg(madsim)]
impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(tokio::time::Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        let passed = tokio::time::Instant::now().duration_since(self.0);
        Time(u64::try_from(passed.as_nanos()).expect("no process runs for 584 years"))
    }
}
