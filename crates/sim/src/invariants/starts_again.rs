//! StartsAgain: a member starts from whatever crashes, losses of power and failed operations leave on
//! its disk. It refuses nothing but what damage has destroyed.

use super::books::Books;
use super::{Violation, ensure};

pub(super) const NAME: &str = "StartsAgain";

/// The member has refused to start for this reason.
pub(super) fn check(books: &Books, member: usize, reason: &str) -> Result<(), Violation> {
    ensure(books.pages[member].damage.is_some(), NAME, || {
        format!("n{member} does not start, though nothing has damaged its disk: {reason}")
    })
}
