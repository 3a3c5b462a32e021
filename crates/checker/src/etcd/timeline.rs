//! Real time against the order of revisions. Every judged operation has a position: the write
//! that made revision r is at 2r, whatever answered at revision r is at 2r + 1. That order can be
//! a linearization if, and only if, no operation stands before another that completed before it
//! was invoked; which one sweep finds out.

use super::explain;
use super::plan::Plan;
use crate::operations::NEVER;
use crate::verdict::Violation;

/// A moment, and the operation that it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) time: u64,
    pub(super) item: usize,
}

/// The order of revisions, in time.
#[derive(Debug)]
pub(super) struct Timeline {
    /// For each position the latest invocation at it or before.
    latest_call: Vec<Moment>,
    /// For each position the earliest completion at it or after.
    deadline: Vec<Moment>,
}

impl Timeline {
    /// Places all answered operations, or says which two contradict real time.
    pub(super) fn of(plan: &Plan<'_>) -> Result<Self, Violation> {
        let positions = 2 * plan.top as usize + 3;
        let nobody = usize::MAX;
        let start = Moment { time: 0, item: nobody };
        let end = Moment { time: NEVER, item: nobody };
        let mut latest_call = vec![start; positions];
        let mut deadline = vec![end; positions];
        let mut placed = Vec::with_capacity(plan.items.len());
        for (revision, owner) in plan.owner.iter().enumerate() {
            placed.extend(owner.map(|item| (2 * revision, item)));
        }
        for &(revision, item, _) in &plan.observers {
            placed.push((2 * revision as usize + 1, item));
        }
        for &(position, item) in &placed {
            let operation = &plan.items[item];
            // A serializable read may stand in the past: only its completion binds it.
            if !operation.serializable && operation.invoked > latest_call[position].time {
                latest_call[position] = Moment { time: operation.invoked, item };
            }
            if operation.completed < deadline[position].time {
                deadline[position] = Moment { time: operation.completed, item };
            }
        }
        for refusal in &plan.refused_as_future {
            let operation = &plan.items[refusal.item];
            if refusal.bound <= 1 {
                return Err(explain::refused_although_there(operation, refusal.bound));
            }
            // It stands somewhere before the revision that was refused.
            let position = (2 * refusal.bound - 1).min(positions as u64 - 1) as usize;
            if !operation.serializable && operation.invoked > latest_call[position].time {
                latest_call[position] = Moment { time: operation.invoked, item: refusal.item };
            }
        }
        for position in 1..positions {
            if latest_call[position - 1].time > latest_call[position].time {
                latest_call[position] = latest_call[position - 1];
            }
            let (before, from) = (positions - 1 - position, positions - position);
            if deadline[from].time < deadline[before].time {
                deadline[before] = deadline[from];
            }
        }
        let timeline = Self { latest_call, deadline };
        timeline.check(plan, &placed)?;
        Ok(timeline)
    }

    fn check(&self, plan: &Plan<'_>, placed: &[(usize, usize)]) -> Result<(), Violation> {
        let late = placed.iter().filter(|&&(position, item)| {
            position > 0 && self.latest_call[position - 1].time > plan.items[item].completed
        });
        let first = late.min_by_key(|&&(_, item)| (plan.items[item].completed, item));
        let Some(&(position, item)) = first else {
            return Ok(());
        };
        let earlier = self.latest_call[position - 1].item;
        Err(explain::against_real_time(plan, earlier, item))
    }

    /// The latest invocation of anything up to the write of `revision`.
    pub(super) fn latest_call(&self, revision: u64) -> Moment {
        self.latest_call[2 * revision as usize]
    }

    /// The earliest completion of anything from the write of `revision` on.
    pub(super) fn deadline(&self, revision: u64) -> Moment {
        self.deadline[2 * revision as usize]
    }
}
