//! A leader's lease: until when it may answer reads without asking its followers.
//!
//! Whoever confirmed a round of heartbeats votes for nobody else within an election timeout, by
//! its own clock, after it received them, which was after the round *began*. So the leader counts
//! from there, and less by what two clocks may differ (dissertation 6.4.1). If a clock is worse
//! than the stated bound, a lease may outlive the leadership.

use std::collections::VecDeque;

use quorate_raft::Round;

use crate::config::Time;

#[derive(Debug)]
pub(crate) struct Lease {
    duration_ns: u64,
    /// Rounds that nobody has confirmed yet, and when they began; in order.
    begun: VecDeque<(Round, Time)>,
    /// The latest one that was confirmed, and when it began.
    held: Option<(Round, Time)>,
}

impl Lease {
    /// Leases under a bound on how far each clock may be off, in parts in a million.
    pub(crate) fn new(election_timeout_ns: u64, clock_drift_ppm: u32) -> Lease {
        let (fast, slow) =
            (1_000_000 + clock_drift_ppm, 1_000_000_u32.saturating_sub(clock_drift_ppm));
        // A follower's clock may be fast and this one slow.
        let duration = u128::from(election_timeout_ns) * u128::from(slow) / u128::from(fast);
        let duration_ns = u64::try_from(duration).expect("it is shorter than the timeout");
        Lease { duration_ns, begun: VecDeque::new(), held: None }
    }

    pub(crate) fn begun(&mut self, round: Round, now: Time) {
        if self.begun.back().is_some_and(|(last, _)| last.term != round.term) {
            self.begun.clear();
        }
        self.begun.push_back((round, now));
    }

    pub(crate) fn confirmed(&mut self, round: Round) {
        while self.begun.front().is_some_and(|(begun, _)| *begun <= round) {
            self.held = self.begun.pop_front();
        }
    }

    /// The clock was set back: how long it is since any round began is not known.
    pub(crate) fn forget(&mut self) {
        self.begun.clear();
        self.held = None;
    }

    /// The round whose lease holds at `now`.
    pub(crate) fn at(&self, now: Time) -> Option<Round> {
        let (round, begun) = self.held?;
        (now.0 - begun.0 < self.duration_ns).then_some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_raft::Term;

    fn round(term: u64, number: u64) -> Round {
        Round { term: Term(term), number }
    }

    #[test]
    fn a_lease_counts_from_when_its_round_began() {
        let mut lease = Lease::new(1_000, 0);
        lease.begun(round(1, 1), Time(100));
        lease.begun(round(1, 2), Time(400));
        assert_eq!(lease.at(Time(400)), None, "nobody has confirmed anything");
        lease.confirmed(round(1, 1));
        assert_eq!(lease.at(Time(1_099)), Some(round(1, 1)));
        assert_eq!(lease.at(Time(1_100)), None, "whenever the answers came");
        lease.confirmed(round(1, 2));
        assert_eq!(lease.at(Time(1_399)), Some(round(1, 2)));
        assert_eq!(lease.at(Time(1_400)), None);
    }

    #[test]
    fn it_is_shorter_by_what_two_clocks_may_differ() {
        let mut lease = Lease::new(1_000_000, 10_000);
        lease.begun(round(1, 1), Time(0));
        lease.confirmed(round(1, 1));
        assert_eq!(lease.at(Time(980_197)), Some(round(1, 1)));
        assert_eq!(lease.at(Time(980_198)), None, "0.99 / 1.01 of the timeout");
    }

    #[test]
    fn rounds_of_another_term_are_forgotten() {
        let mut lease = Lease::new(1_000, 0);
        lease.begun(round(1, 7), Time(0));
        lease.begun(round(2, 1), Time(10));
        lease.confirmed(round(2, 1));
        assert_eq!(lease.at(Time(20)), Some(round(2, 1)));
    }
}
