//! Invariant 1: At most one leader a term, ever (§5.2).

use std::collections::BTreeMap;

use quorate_raft::{Role, Term};

use super::books::Change;
use super::{Violation, ensure};

pub(super) const NAME: &str = "ElectionSafety";

/// Every leader that there was.
#[derive(Debug, Default)]
pub(crate) struct ElectionSafety {
    leaders: BTreeMap<Term, usize>,
}

impl ElectionSafety {
    pub(super) fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }

    pub(super) fn check(&mut self, change: &Change<'_>) -> Result<(), Violation> {
        if !change.became(Role::Leader) {
            return Ok(());
        }
        let leader = *self.leaders.entry(change.after.term).or_insert(change.member);
        ensure(leader == change.member, NAME, || {
            format!("n{} and n{leader} both lead in term {}", change.member, change.after.term)
        })
    }
}
