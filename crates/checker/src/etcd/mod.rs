//! The model `etcd`: a store whose revisions are its order.
//!
//! A successful write answers a revision that is its own, so that the order of acknowledged writes
//! need not be searched: they are placed by revision, and every other answer by the revision of
//! its header. What is left to find out:
//! 1. [`timeline`]: does that order agree with real time?
//! 2. [`fill`]: replayed on a small store, does every field of every answer fit? A revision that
//!    no acknowledged write owns must be the work of a write with an unknown outcome.
//! 3. [`compaction`]: can the compactions be placed so that what was refused had to be, and what
//!    was answered could be?
//!
//! Leases and watches are not judged yet: a history that has them is never called valid.

mod clues;
mod compaction;
mod explain;
mod fill;
mod plan;
mod store;
mod timeline;

use crate::budget::Budget;
use crate::operations::Operations;
use crate::verdict::{Verdict, Violation};

use fill::Filling;
use plan::Plan;
use timeline::Timeline;

/// Why a history is not called valid.
enum Stop {
    Invalid(Violation),
    Unknown(String),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

/// Judges a history of an etcd store.
pub(crate) fn check(operations: &Operations<'_>, budget: &mut Budget<'_>) -> Verdict {
    match judge(operations, budget) {
        Ok(None) => Verdict::Valid,
        Ok(Some(reason)) | Err(Stop::Unknown(reason)) => Verdict::Unknown { reason },
        Err(Stop::Invalid(violation)) => Verdict::Invalid(violation),
    }
}

/// What was not judged in a history that is otherwise all right.
fn judge(operations: &Operations<'_>, budget: &mut Budget<'_>) -> Result<Option<String>, Stop> {
    let mut plan = Plan::of(operations)?;
    let mut first = None;
    for top in plan.possible_tops() {
        plan.raise_top(top);
        let found = Timeline::of(&plan)
            .map_err(Stop::from)
            .and_then(|timeline| Filling::search(&plan, &timeline, budget));
        match found {
            Ok(()) => return Ok(plan.unjudged),
            Err(Stop::Invalid(violation)) => first = first.or(Some(violation)),
            Err(stop) => return Err(stop),
        }
    }
    Err(first.expect("there is a top, and it did not fit").into())
}
