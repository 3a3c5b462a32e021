//! 8. Within a term a match index never goes back; it lies below the next index; and the entries
//! up to it are on the follower's disk. The follower's side of the same: what it acknowledges is
//! on its disk.

use quorate_raft::{LogIndex, Role, Term};

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};
use crate::cluster::to_node;

pub(super) const NAME: &str = "MonotonicMatch";

/// The match indexes of each leader, by member, as they were last seen.
#[derive(Debug)]
pub(crate) struct MonotonicMatch {
    matched: Vec<Vec<(Term, LogIndex)>>,
}

impl MonotonicMatch {
    pub(super) fn new(members: usize) -> MonotonicMatch {
        MonotonicMatch { matched: vec![vec![(Term(0), LogIndex::ZERO); members]; members] }
    }

    pub(super) fn check(&mut self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        check_acknowledgements(change, books)?;
        if change.after.role != Role::Leader {
            return Ok(());
        }
        let term = change.after.term;
        for progress in change.view.progress {
            let (matched, next) = (progress.matched, progress.next);
            let peer = to_node(progress.id).index();
            let seen = &mut self.matched[change.member][peer];
            if *seen == (term, matched) {
                continue;
            }
            let earlier = if seen.0 == term { seen.1 } else { LogIndex::ZERO };
            *seen = (term, matched);
            ensure(matched >= earlier && matched < next, NAME, || {
                format!(
                    "n{}, leading term {term}, has n{peer} at match {matched} after {earlier}, next {next}",
                    change.member
                )
            })?;
            let follower = &books.pages[peer];
            // Another leader may have changed the follower's log since.
            let current = follower.durable_hard.term <= term;
            let slot = slot_at(&books.pages[change.member].log, matched);
            ensure(!current || follower.holds_durably(matched, slot), NAME, || {
                format!(
                    "n{}, leading term {term}, counts on n{peer} up to {matched}, which is not on its disk",
                    change.member
                )
            })?;
        }
        Ok(())
    }
}

fn check_acknowledgements(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let page = &books.pages[change.member];
    for (term, matched) in &change.activity.accepted {
        // An acknowledgement of an older term waited for its write, and the log has changed since;
        // it is true of the time it speaks of, like any late message.
        if *term < change.after.term {
            continue;
        }
        ensure(page.holds_durably(*matched, slot_at(&page.log, *matched)), NAME, || {
            format!(
                "n{} acknowledged entries up to {matched} in term {term}, which are not on its disk",
                change.member
            )
        })?;
    }
    Ok(())
}
