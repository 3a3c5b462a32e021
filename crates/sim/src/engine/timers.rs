//! A node's timers: deadlines on its own clock, and the queue entries that stand for them.
//!
//! Heartbeats re-arm election timers all the time, so re-arming to a later deadline touches a table
//! cell only: the queue entry stays where it is and checks the deadline again when its time comes.
//! At most one entry a timer counts; the others are known by their outdated generation.

use super::clock::Clock;
use super::system::TimerId;
use super::time::{LocalTime, SignedNanos, WorldTime};

/// An entry that has to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) at: WorldTime,
    pub(crate) entry: TimerEntry,
}

/// What a queue entry knows of its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerEntry {
    pub(crate) timer: TimerId,
    generation: u32,
}

/// What becomes of a queue entry whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The deadline has passed.
    Due,
    /// It was moved; the entry is needed again.
    Later(Wanted),
    /// The entry is outdated, or the timer was cancelled.
    Stale,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    deadline: Option<LocalTime>,
    /// When the entry that counts is due; `None` when there is none.
    queued: Option<WorldTime>,
    generation: u32,
}

impl Slot {
    /// Makes sure that an entry is queued for no later than the deadline.
    fn queue(&mut self, timer: TimerId, clock: &Clock, now: WorldTime) -> Option<Wanted> {
        let at = clock.world_at(self.deadline?).max(now);
        if self.queued.is_some_and(|queued| queued <= at) {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        self.queued = Some(at);
        Some(Wanted { at, entry: TimerEntry { timer, generation: self.generation } })
    }
}

/// All timers of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Slot>,
}

impl Timers {
    /// Arms a timer, replacing its deadline; says what to queue, if anything.
    pub(crate) fn set(
        &mut self,
        timer: TimerId,
        deadline: LocalTime,
        clock: &Clock,
        now: WorldTime,
    ) -> Option<Wanted> {
        assert!(timer <= TimerId::MAX, "timer {} is above {}", timer.0, TimerId::MAX.0);
        let index = timer.0 as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::default());
        }
        let slot = &mut self.slots[index];
        slot.deadline = Some(deadline);
        slot.queue(timer, clock, now)
    }

    /// Disarms a timer.
    pub(crate) fn cancel(&mut self, timer: TimerId) {
        if let Some(slot) = self.slots.get_mut(timer.0 as usize) {
            slot.deadline = None;
        }
    }

    /// Disarms all; entries that are still queued are outdated from now on.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.deadline = None;
            slot.queued = None;
            slot.generation = slot.generation.wrapping_add(1);
        }
    }

    /// Looks at a queue entry whose time has come.
    pub(crate) fn check(&mut self, entry: TimerEntry, clock: &Clock, now: WorldTime) -> Checked {
        let slot = &mut self.slots[entry.timer.0 as usize];
        if slot.generation != entry.generation {
            return Checked::Stale;
        }
        slot.queued = None;
        match slot.deadline {
            None => Checked::Stale,
            Some(deadline) if clock.local(now) >= deadline => Checked::Due,
            Some(_) => match slot.queue(entry.timer, clock, now) {
                Some(wanted) => Checked::Later(wanted),
                None => unreachable!("a timer without an entry was not queued"),
            },
        }
    }

    /// Disarms the timer if its deadline has passed, and says whether it had.
    pub(crate) fn take_due(&mut self, timer: TimerId, clock: &Clock, now: WorldTime) -> bool {
        let slot = &mut self.slots[timer.0 as usize];
        let due = slot.deadline.is_some_and(|deadline| clock.local(now) >= deadline);
        if due {
            slot.deadline = None;
        }
        due
    }

    /// The clock was set back by `by` (which is negative): timers count elapsed time, as those of an
    /// operating system do, and are not put off by it.
    pub(crate) fn set_back(&mut self, by: SignedNanos) {
        for deadline in self.slots.iter_mut().filter_map(|slot| slot.deadline.as_mut()) {
            *deadline = deadline.offset(by);
        }
    }

    /// What has to be queued after the clock has changed: timers that are due earlier than their
    /// entries are.
    pub(crate) fn after_clock_change(&mut self, clock: &Clock, now: WorldTime) -> Vec<Wanted> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(index, slot)| slot.queue(TimerId(index as u32), clock, now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::DriftPpm;
    use super::super::time::Nanos;
    use super::*;

    const TIMER: TimerId = TimerId(3);

    fn ms(n: u64) -> WorldTime {
        WorldTime::from_millis(n)
    }

    #[test]
    fn arming_anew_for_later_queues_nothing_until_the_first_entry_comes_up() {
        let (mut timers, clock) =
            (Timers::default(), Clock::new(SignedNanos::ZERO, DriftPpm::default()));
        let deadline = |now: u64| clock.local(ms(now)) + Nanos::from_millis(100);
        let first = timers.set(TIMER, deadline(0), &clock, ms(0)).expect("nothing is queued yet");
        assert_eq!(first.at, ms(100));
        for now in 1..100 {
            assert_eq!(timers.set(TIMER, deadline(now), &clock, ms(now)), None);
        }
        let Checked::Later(second) = timers.check(first.entry, &clock, ms(100)) else {
            panic!("the deadline was moved to 199 ms");
        };
        assert_eq!(second.at, ms(199));
        assert_eq!(timers.check(second.entry, &clock, ms(199)), Checked::Due);
        assert!(timers.take_due(TIMER, &clock, ms(199)));
        assert!(!timers.take_due(TIMER, &clock, ms(199)), "a timer fires once");
    }

    #[test]
    fn an_earlier_deadline_outdates_the_entry_and_so_does_a_crash() {
        let (mut timers, clock) =
            (Timers::default(), Clock::new(SignedNanos::ZERO, DriftPpm::default()));
        let set = |timers: &mut Timers, after| {
            let deadline = clock.local(ms(0)) + Nanos::from_millis(after);
            timers.set(TIMER, deadline, &clock, ms(0)).expect("it has to be queued")
        };
        let late = set(&mut timers, 100);
        let early = set(&mut timers, 50);
        assert_eq!(early.at, ms(50));
        assert_eq!(timers.check(early.entry, &clock, ms(50)), Checked::Due);
        assert_eq!(timers.check(late.entry, &clock, ms(100)), Checked::Stale);
        timers.clear();
        let next_life = set(&mut timers, 30);
        assert_eq!(timers.check(early.entry, &clock, ms(50)), Checked::Stale);
        timers.cancel(TIMER);
        assert_eq!(timers.check(next_life.entry, &clock, ms(30)), Checked::Stale);
    }
}
