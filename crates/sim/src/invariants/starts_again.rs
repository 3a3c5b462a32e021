//! StartsAgain: a member starts from whatever crashes, losses of power and failed operations leave on
//! its disk, and from whatever damage leaves there but for its log: only that knows its vote. What
//! else is destroyed it gets from others, since nothing is damaged where there are none.

use super::books::Books;
use super::{Violation, ensure};

pub(super) const NAME: &str = "StartsAgain";

/// The member has refused to start for this reason.
pub(super) fn check(books: &Books, member: usize, reason: &str) -> Result<(), Violation> {
    ensure(books.pages[member].damage.is_some_and(|damage| damage.in_log), NAME, || {
        format!("n{member} does not start, though nothing has damaged its log: {reason}")
    })
}
