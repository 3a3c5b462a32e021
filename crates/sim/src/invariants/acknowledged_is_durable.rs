//! Invariant 22: What a client was told is on the disks of a quorum, whatever crashes next; and what
//! was on a disk is there after the crash.

use super::books::{Books, Change, FOUNDING, Recovered};
use super::{Violation, ensure};

pub(super) const NAME: &str = "AcknowledgedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    for answer in &change.activity.answers {
        // Nothing that a client could be told of is in the founding entry.
        if answer.applied <= FOUNDING {
            continue;
        }
        let (group, copies) = books.vouched_for(change.member, answer.applied);
        ensure(group.has_quorum(copies), NAME, || {
            format!(
                "n{} told a client of entry {}, which is on the disks of [{copies}], no quorum of \
                 {group}",
                change.member, answer.applied
            )
        })?;
    }
    Ok(())
}

/// A member finds on its disk what was there before the crash.
pub(super) fn check_recovery(
    books: &Books,
    member: usize,
    recovered: &Recovered,
) -> Result<(), Violation> {
    let durable = &books.pages[member].durable;
    let untouched = books.untouched(member);
    let kept =
        recovered.log.len() >= untouched && recovered.log[..untouched] == durable[..untouched];
    ensure(kept, NAME, || {
        format!(
            "n{member} restarts with {} entries, but {untouched} others were on its disk",
            recovered.log.len()
        )
    })
}
