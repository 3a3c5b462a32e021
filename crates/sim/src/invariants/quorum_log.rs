//! Invariant 9: Every quorum has a member that holds all that is committed: whoever wins an
//! election has heard of it.

use quorate_raft::LogIndex;

use super::books::{Books, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "QuorumLog";

pub(super) fn check(books: &Books) -> Result<(), Violation> {
    let last = LogIndex(books.committed.len() as u64);
    let slot = slot_at(&books.committed, last);
    let without = books.pages.iter().filter(|page| !page.holds(last, slot)).count();
    ensure(without < books.majority(), NAME, || {
        format!("{without} members, which are a quorum, lack committed entry {last}")
    })
}
