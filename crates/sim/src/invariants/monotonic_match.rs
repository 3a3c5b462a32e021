//! Invariant 8: Within a term a match index never goes back; it lies below the next index; and the
//! entries up to it are on the follower's disk. The follower's side of the same: what it
//! acknowledges is on its disk.

use quorate_raft::{LogIndex, Role, Term};

use super::books::{Books, Change, Page, slot_at};
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
        if change.group != change.group_before {
            self.forget_others(change);
        }
        for progress in change.progress {
            let (matched, next) = (progress.matched, progress.next);
            let peer = to_node(progress.id).index();
            ensure(matched < next, NAME, || {
                format!("n{} has n{peer} at match {matched} and next {next}", change.member)
            })?;
            let seen = &mut self.matched[change.member][peer];
            if *seen == (term, matched) {
                continue;
            }
            let earlier = if seen.0 == term { seen.1 } else { LogIndex::ZERO };
            *seen = (term, matched);
            // A follower whose disk has lost what it held says so.
            let forgot = earlier <= books.pages[peer].doubtful;
            ensure(matched >= earlier || forgot, NAME, || {
                format!(
                    "n{}, leading term {term}, has n{peer} at match {matched} after {earlier}",
                    change.member
                )
            })?;
            let follower = &books.pages[peer];
            // Another leader may have changed the follower's log since.
            let current = follower.durable_hard.term <= term;
            let holds = is_on_disk(follower, &books.pages[change.member], matched);
            ensure(!current || holds, NAME, || {
                format!(
                    "n{}, leading term {term}, counts on n{peer} up to {matched}, which is not on its disk",
                    change.member
                )
            })?;
        }
        Ok(())
    }

    /// The member's machine was replaced: whatever was known of its disk is no longer true.
    pub(super) fn forget(&mut self, member: usize) {
        for seen in &mut self.matched {
            seen[member] = (Term(0), LogIndex::ZERO);
        }
    }

    /// Whoever no longer belongs to the group begins anew when it returns: with another disk,
    /// perhaps.
    fn forget_others(&mut self, change: &Change<'_>) {
        for (peer, seen) in self.matched[change.member].iter_mut().enumerate() {
            if !change.progress.iter().any(|progress| to_node(progress.id).index() == peer) {
                *seen = (Term(0), LogIndex::ZERO);
            }
        }
    }
}

/// Whether what one log holds up to an index is on a disk. What lies past that log's end is not.
fn is_on_disk(disk: &Page, log: &Page, index: LogIndex) -> bool {
    let slot = slot_at(&log.log, index);
    (slot.is_some() || index == LogIndex::ZERO) && disk.vouches_for(index, slot)
}

fn check_acknowledgements(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let page = &books.pages[change.member];
    for (term, matched) in &change.activity.accepted {
        // An acknowledgement of an older term waited for its write, and the log has changed since;
        // it is true of the time it speaks of, like any late message.
        if *term < change.after.term {
            continue;
        }
        ensure(is_on_disk(page, page, *matched), NAME, || {
            format!(
                "n{} acknowledged entries up to {matched} in term {term}, which are not on its disk",
                change.member
            )
        })?;
    }
    Ok(())
}
