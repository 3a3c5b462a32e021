//! Invariant 5: No two members ever commit different entries at one index (§5.4.3), and none
//! applies what is not committed.

use quorate_raft::LogIndex;

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "StateMachineSafety";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    ensure(change.after.applied <= change.after.commit, NAME, || {
        format!(
            "n{} has applied {}, but only {} is committed",
            change.member, change.after.applied, change.after.commit
        )
    })?;
    if !change.commit_advanced() {
        return Ok(());
    }
    let log = &books.pages[change.member].log;
    let shared = LogIndex(change.after.commit.0.min(books.committed.len() as u64));
    // Each slot vouches for all before it, so that the last one is enough.
    ensure(slot_at(log, shared) == slot_at(&books.committed, shared), NAME, || {
        format!(
            "n{} takes entries up to {} for committed, and they differ from what was committed there",
            change.member, change.after.commit
        )
    })
}
