//! Invariant 14: What is committed is on the disks of a quorum of the group in force; the leader's
//! own counts only if synced.

use super::books::{Books, Change, FOUNDING};
use super::{Violation, ensure};

pub(super) const NAME: &str = "CommittedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let commit = change.after.commit;
    if commit <= FOUNDING {
        return Ok(());
    }
    // What is not even in its own log is nowhere.
    let (group, copies) = books.vouched_for(change.member, commit);
    ensure(group.has_quorum(copies), NAME, || {
        format!(
            "n{} takes entry {commit} for committed, which is on the disks of [{copies}], no quorum \
             of {group}",
            change.member
        )
    })
}
