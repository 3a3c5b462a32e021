//! Invariant 22: What a client was told is on the disks of a majority, whatever crashes next; and
//! what was on a disk is there after the crash.

use quorate_raft::LogIndex;

use super::books::{Books, Change, Recovered, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "AcknowledgedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    for answer in &change.activity.answers {
        let slot = slot_at(&books.pages[change.member].log, answer.applied);
        let copies = slot.map_or(0, |slot| books.durable_copies(answer.applied, slot));
        let told_nothing = answer.applied == LogIndex::ZERO;
        ensure(told_nothing || copies >= books.majority(), NAME, || {
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
