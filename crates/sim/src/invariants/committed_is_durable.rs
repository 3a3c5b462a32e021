//! Invariant 14: What is committed is on the disks of a majority; the leader's own counts only if
//! synced.

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "CommittedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let commit = change.after.commit;
    let slot = slot_at(&books.pages[change.member].log, commit);
    // What is not even in its own log is nowhere.
    let copies = slot.map_or(0, |slot| books.durable_copies(commit, slot));
    ensure(copies >= books.majority(), NAME, || {
        format!(
            "n{} takes entry {commit} for committed, which is on {copies} of {} disks",
            change.member,
            books.pages.len()
        )
    })
}
