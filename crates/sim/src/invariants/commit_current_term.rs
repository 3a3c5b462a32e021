//! Invariant 13: What a leader commits by counting ends in an entry of its own term (§5.4.2, figure
//! 8).

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure, is_leader};

pub(super) const NAME: &str = "CommitCurrentTerm";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    if !is_leader(change.after.role) {
        return Ok(());
    }
    let (commit, term) = (change.after.commit, change.after.term);
    let slot = slot_at(&books.pages[change.member].log, commit);
    ensure(slot.is_some_and(|slot| slot.term == term), NAME, || {
        format!(
            "n{}, leading term {term}, committed up to {commit}, an entry of term {}",
            change.member,
            slot.map_or(0, |slot| slot.term.0)
        )
    })
}
