//! Invariant 9: Every quorum of a member's group has somebody who holds all that this member takes
//! for committed: whoever wins an election has heard of it.

use super::books::{Books, FOUNDING, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "QuorumLog";

/// For one member that runs.
pub(super) fn check(books: &Books, member: usize) -> Result<(), Violation> {
    let page = &books.pages[member];
    let commit = page.state.commit;
    // All founders have the same first entry, but not all of them have started yet.
    if commit <= FOUNDING {
        return Ok(());
    }
    let slot = slot_at(&page.log, commit);
    // Those who abstain elect nobody.
    let lacking = books.members(|other| !other.abstains() && !other.holds(commit, slot));
    let group = books.group(member);
    ensure(!group.has_quorum(lacking), NAME, || {
        format!(
            "[{lacking}] are a quorum of {group} and lack entry {commit}, which n{member} takes for \
             committed"
        )
    })
}

/// For all members that run: somebody's log was shortened.
pub(super) fn check_all(books: &Books) -> Result<(), Violation> {
    (0..books.pages.len())
        .filter(|&member| books.pages[member].running)
        .try_for_each(|member| check(books, member))
}
