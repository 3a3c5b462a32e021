//! Invariant 4: An entry committed in a term is in the log of every leader of a later term (§5.4).
//! The term of the commit counts, not the entry's: a delayed win of an older term is no violation.

use std::collections::BTreeMap;

use quorate_raft::{LogIndex, Role, Term};

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "LeaderCompleteness";

/// Up to which index each term is known to have committed.
#[derive(Debug, Default)]
pub(crate) struct LeaderCompleteness {
    committed_in: BTreeMap<Term, LogIndex>,
}

impl LeaderCompleteness {
    pub(super) fn note_commit(&mut self, change: &Change<'_>) {
        let committed = self.committed_in.entry(change.after.term).or_default();
        *committed = (*committed).max(change.after.commit);
    }

    pub(super) fn check(&self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        if !change.became(Role::Leader) {
            return Ok(());
        }
        let term = change.after.term;
        let needed = self.committed_in.range(..term).map(|(_, index)| *index).max();
        let needed = needed.unwrap_or_default();
        let committed = slot_at(&books.committed, needed);
        ensure(books.pages[change.member].holds(needed, committed), NAME, || {
            format!(
                "n{} leads term {term} without entry {needed}, which was committed in an earlier term",
                change.member
            )
        })
    }
}
