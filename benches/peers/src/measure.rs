//! Measures one side at one workload: its speed in repetitions, and what it allocates and sends.

use cpu_time::ProcessTime;
use serde::Serialize;

use crate::allocations;
use crate::workload::{Applied, Group, Mode, Payloads, round};

/// Beyond this many entries a group starts over, so that a long measurement fits into memory.
const MAX_ENTRIES: u64 = 1 << 18;

/// Entries over which allocations, messages and memory are counted.
const COUNTED_ENTRIES: usize = 100_000;

/// What one entry costs besides time. It does not differ from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Counts {
    /// Calls of the allocator.
    pub(crate) allocations: f64,
    /// Bytes asked for in those calls.
    pub(crate) allocated_bytes: f64,
    /// Messages between members.
    pub(crate) messages: f64,
    /// Bytes that a member holds, besides the payload.
    pub(crate) memory_bytes: f64,
    /// What of this is in the core, and not in the log that the driver keeps.
    pub(crate) core_bytes: f64,
}

/// One side at one workload.
pub(crate) trait Contender {
    /// One repetition; entries a second of the process's CPU time.
    fn repetition(&mut self) -> f64;

    /// What an entry costs besides time.
    fn counts(&self) -> Counts;
}

/// A [`Group`] that is measured.
pub(crate) struct Side<G> {
    mode: Mode,
    size: usize,
    group: G,
    payloads: Payloads,
}

impl<G: Group> Side<G> {
    /// With payloads of `size` bytes.
    pub(crate) fn new(mode: Mode, size: usize) -> Side<G> {
        Side { mode, size, group: G::elect(), payloads: Payloads::new(size) }
    }

    /// All three members have applied the same: what was proposed, in its order.
    fn verify(&self) {
        let applied = self.group.applied();
        let expected = Applied::expected(self.size, applied[0].entries);
        assert_eq!(applied, [expected; 3], "what was applied is not what was proposed");
    }
}

impl<G: Group> Contender for Side<G> {
    fn repetition(&mut self) -> f64 {
        if self.group.applied()[0].entries >= MAX_ENTRIES {
            self.verify();
            *self = Side::new(self.mode, self.size);
        }
        let rounds = self.mode.rounds();
        let start = ProcessTime::now();
        for _ in 0..rounds {
            round(&mut self.group, &mut self.payloads, self.mode);
        }
        let elapsed = start.elapsed();
        (rounds * self.mode.entries()) as f64 / elapsed.as_secs_f64()
    }

    fn counts(&self) -> Counts {
        let mut side = Side::<G>::new(self.mode, self.size);
        // Queues and buffers reach their size before anything is counted.
        for _ in 0..self.mode.rounds() / 16 {
            round(&mut side.group, &mut side.payloads, self.mode);
        }
        let sent = side.group.messages();
        let rounds = COUNTED_ENTRIES / self.mode.entries();
        let counted = allocations::count(|| {
            for _ in 0..rounds {
                round(&mut side.group, &mut side.payloads, self.mode);
            }
        });
        let sent = side.group.messages() - sent;
        side.verify();
        let all_entries = side.group.applied()[0].entries as f64;
        let logs = -allocations::count(|| side.group.drop_logs()).live;
        let entries = (rounds * self.mode.entries()) as f64;
        let memory = counted.live as f64 / entries / 3.0;
        Counts {
            allocations: counted.allocations as f64 / entries,
            allocated_bytes: counted.bytes as f64 / entries,
            messages: sent as f64 / entries,
            memory_bytes: memory,
            core_bytes: (memory - logs as f64 / all_entries / 3.0).max(0.0),
        }
    }
}

/// The middle of some measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// A quarter of them lies below.
    pub(crate) lower_quartile: f64,
    /// Half of them lies below.
    pub(crate) median: f64,
    /// Three quarters of them lie below.
    pub(crate) upper_quartile: f64,
}

impl Spread {
    /// # Panics
    /// If there is no measurement.
    pub(crate) fn of(measurements: impl Iterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = measurements.collect();
        assert!(!sorted.is_empty(), "there is something to summarise");
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |quarters: usize| {
            // Between the two that lie nearest.
            let position = (sorted.len() - 1) * quarters;
            let (below, rest) = (position / 4, (position % 4) as f64 / 4.0);
            let above = (below + 1).min(sorted.len() - 1);
            sorted[below] + (sorted[above] - sorted[below]) * rest
        };
        Spread { lower_quartile: at(1), median: at(2), upper_quartile: at(3) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorate::Quorate;
    use crate::raft_rs::{Lean, Memory, RaftRs};

    #[test]
    fn a_spread_names_the_quartiles() {
        let spread = Spread::of([5.0, 1.0, 4.0, 2.0, 3.0].into_iter());
        let expected = Spread { lower_quartile: 2.0, median: 3.0, upper_quartile: 4.0 };
        assert_eq!(spread, expected);
        let spread = Spread::of([2.0, 1.0].into_iter());
        let expected = Spread { lower_quartile: 1.25, median: 1.5, upper_quartile: 1.75 };
        assert_eq!(spread, expected);
    }

    /// Past the borders of the log's pieces, in every mode.
    fn applies_what_was_proposed<G: Group>() {
        for mode in Mode::ALL {
            let mut side = Side::<G>::new(mode, 16);
            while side.group.applied()[0].entries < 2500 {
                round(&mut side.group, &mut side.payloads, mode);
            }
            side.verify();
            assert!(side.group.messages() > 0);
        }
    }

    #[test]
    fn all_members_of_each_side_apply_what_was_proposed() {
        applies_what_was_proposed::<Quorate>();
        applies_what_was_proposed::<RaftRs<Lean>>();
        applies_what_was_proposed::<RaftRs<Memory>>();
    }
}
