//! Invariant 22: What a client was told is on the disks of a quorum, whatever crashes next; and what
//! was on a disk is there after the crash.

use quorate_raft::LogIndex;

use super::books::{Books, Change, FOUNDING, Recovered};
use super::{Violation, ensure};

pub(super) const NAME: &str = "AcknowledgedIsDurable";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    check_doubt(books, change.member, change.after.abstains)?;
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

/// A member finds on its disk what was there before the crash. If damage has taken some of it, it
/// knows how much that may have been, and elects nobody until it has it again.
pub(super) fn check_recovery(
    books: &Books,
    member: usize,
    recovered: &Recovered,
) -> Result<(), Violation> {
    let durable = &books.pages[member].durable;
    let untouched = books.untouched(member);
    let damaged = books.pages[member].damage.is_some();
    check_doubt(books, member, recovered.abstains)?;
    let kept =
        recovered.log.len() >= untouched && recovered.log[..untouched] == durable[..untouched];
    if !kept && damaged && recovered.abstains {
        let LogIndex(doubtful) = recovered.doubtful;
        return ensure(doubtful >= untouched as u64, NAME, || {
            format!(
                "n{member} has lost entries to damage and takes those up to {doubtful} to be in \
                 doubt, but it had {untouched}"
            )
        });
    }
    ensure(kept, NAME, || {
        format!(
            "n{member} restarts with {} entries, but {untouched} others were on its disk",
            recovered.log.len()
        )
    })
}

/// Nobody is in doubt about what it has acknowledged whose disk is sound: a leader names no more to
/// it than what it holds.
fn check_doubt(books: &Books, member: usize, abstains: bool) -> Result<(), Violation> {
    ensure(books.pages[member].damage.is_some() || !abstains, NAME, || {
        format!("n{member} abstains from elections, though nothing has damaged its disk")
    })
}
