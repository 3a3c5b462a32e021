//! The member's timers: deadlines, and how long each runs.

use std::time::Duration;

use quorate_member::Timer;
use tokio::time::Instant;

use crate::options::Timing;

/// In which order timers fire that are due together.
const TIMERS: [Timer; 5] =
    [Timer::Heartbeat, Timer::Election, Timer::Jitter, Timer::Housekeeping, Timer::Upkeep];

/// How often what waits is looked through.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// How often the store is looked after.
const UPKEEP: Duration = Duration::from_millis(200);

/// When each timer is due.
#[derive(Debug)]
pub(crate) struct Timers {
    timing: Timing,
    deadlines: [Option<Instant>; TIMERS.len()],
}

impl Timers {
    pub(crate) fn new(timing: Timing) -> Timers {
        Timers { timing, deadlines: [None; TIMERS.len()] }
    }

    /// (Re)starts a timer: an earlier deadline of it does not count any more.
    pub(crate) fn set(&mut self, timer: Timer, now: Instant) {
        let duration = match timer {
            Timer::Election => self.timing.election_timeout,
            Timer::Jitter => random_part(self.timing.election_timeout),
            Timer::Heartbeat => self.timing.heartbeat_interval,
            Timer::Housekeeping => HOUSEKEEPING,
            Timer::Upkeep => UPKEEP,
        };
        *self.deadline(timer) = Some(now + duration);
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        TIMERS
            .into_iter()
            .find(|timer| self.deadline(*timer).take_if(|deadline| *deadline <= now).is_some())
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.deadlines.iter().flatten().min().copied()
    }

    fn deadline(&mut self, timer: Timer) -> &mut Option<Instant> {
        let place = TIMERS.iter().position(|known| *known == timer);
        &mut self.deadlines[place.expect("all timers are listed")]
    }
}

fn random_part(duration: Duration) -> Duration {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rand::random_range(0..=nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers::new(Timing {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1_000),
        })
    }

    #[test]
    fn a_timer_that_is_set_again_does_not_fire_for_the_earlier_time() {
        let (mut timers, start) = (timers(), Instant::now());
        timers.set(Timer::Election, start);
        timers.set(Timer::Heartbeat, start);
        let later = start + Duration::from_millis(1_000);
        timers.set(Timer::Election, later);
        assert_eq!(timers.next(), Some(start + Duration::from_millis(100)));
        assert_eq!(timers.take_due(later), Some(Timer::Heartbeat));
        assert_eq!(timers.take_due(later), None, "it was due, and was set anew");
        assert_eq!(timers.next(), Some(later + Duration::from_millis(1_000)));
        assert_eq!(timers.take_due(later + Duration::from_millis(1_000)), Some(Timer::Election));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_jitter_is_random_and_at_most_an_election_timeout() {
        let (mut timers, start) = (timers(), Instant::now());
        let mut deadlines = std::collections::BTreeSet::new();
        for _ in 0..50 {
            timers.set(Timer::Jitter, start);
            deadlines.extend(timers.next());
        }
        assert!(deadlines.len() > 1, "it varies");
        assert!(deadlines.last().expect("some") <= &(start + Duration::from_millis(1_000)));
    }
}
