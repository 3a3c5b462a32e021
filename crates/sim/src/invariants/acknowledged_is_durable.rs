//! 22. What a client was told is on the disks of a majority, whatever crashes next; and what was
//! on a disk is there after the crash.

use super::books::{Books, Change, Recovered, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "AcknowledgedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    for answer in &change.activity.answers {
        let Some(slot) = slot_at(&books.pages[change.member].log, answer.applied) else { continue };
        let copies = books.durable_copies(answer.applied, slot);
        ensure(copies >= books.majority(), NAME, || {
            format!(
                "n{} told a client of entry {}, which is on {copies} of {} disks",
                change.member,
                answer.applied,
                books.pages.len()
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
