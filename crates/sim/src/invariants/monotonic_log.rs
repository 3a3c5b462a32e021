//! Invariant 11: Terms in a log never decrease, and never exceed the member's term.

use super::books::{Books, Change};
use super::{Violation, ensure};

pub(super) const NAME: &str = "MonotonicLog";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let Some(first) = change.first_changed else { return Ok(()) };
    let log = &books.pages[change.member].log;
    let from = (first.previous().0 as usize).saturating_sub(1).min(log.len());
    ensure(log[from..].is_sorted_by_key(|slot| slot.term), NAME, || {
        format!("terms decrease in n{}'s log after entry {from}", change.member)
    })?;
    let last_term = log.last().map_or(change.after.term, |slot| slot.term);
    ensure(last_term <= change.after.term, NAME, || {
        format!(
            "n{} is in term {} and has an entry of term {last_term}",
            change.member, change.after.term
        )
    })
}
