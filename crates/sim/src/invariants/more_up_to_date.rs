//! Invariant 10: Who passes another's up-to-date check holds what that one takes for committed
//! (§5.4.1).

use quorate_raft::Role;

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};
use crate::cluster::to_node;

pub(super) const NAME: &str = "MoreUpToDate";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let (before, after) = (&change.before, &change.after);
    let news = (before.term, before.vote) != (after.term, after.vote);
    let Some(candidate) = after.vote.filter(|_| news && !change.booted) else { return Ok(()) };
    let page = &books.pages[to_node(candidate).index()];
    // Only while the candidate has the log with which it asked.
    if !page.running || page.state.term != after.term || page.state.role == Role::Follower {
        return Ok(());
    }
    let slot = slot_at(&books.pages[change.member].log, after.commit);
    ensure(page.holds(after.commit, slot), NAME, || {
        format!(
            "n{} votes in term {} for {}, which lacks entry {}, committed here",
            change.member, after.term, page.node, after.commit
        )
    })
}
