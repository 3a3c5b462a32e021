//! Invariant 24: At one member neither the revision nor the term that clients are told ever goes
//! back, across restarts; nor does the store's revision, nor what it has compacted, within a life.
//! What a member has applied is on its own disk, or a restart could take it back.

use quorate_mvcc::Revision;
use quorate_raft::Term;

use super::books::{Books, Change, slot_at};
use super::{Violation, ensure};

pub(super) const NAME: &str = "RevisionMonotonic";

#[derive(Clone, Copy, Debug)]
struct Told {
    term: Term,
    revision: i64,
    /// Of the present life.
    store: (Revision, Revision),
}

/// What each member has told.
#[derive(Debug)]
pub(crate) struct RevisionMonotonic {
    told: Vec<Told>,
}

const NEW_STORE: (Revision, Revision) = (Revision::INITIAL, Revision::NEVER_COMPACTED);
const NOTHING: Told = Told { term: Term(0), revision: 0, store: NEW_STORE };

impl RevisionMonotonic {
    pub(super) fn new(members: usize) -> RevisionMonotonic {
        RevisionMonotonic { told: vec![NOTHING; members] }
    }

    pub(super) fn forget(&mut self, member: usize) {
        self.told[member] = NOTHING;
    }

    pub(super) fn check(&mut self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        let (page, applied) = (&books.pages[change.member], change.after.applied);
        ensure(page.holds_durably(applied, slot_at(&page.log, applied)), NAME, || {
            format!("n{} has applied entry {applied}, which is not on its disk", change.member)
        })?;
        let told = &mut self.told[change.member];
        if change.booted {
            told.store = NEW_STORE;
        }
        for answer in &change.activity.answers {
            let goes_on = answer.term >= told.term && answer.revision >= told.revision;
            ensure(goes_on, NAME, || {
                format!(
                    "n{} answered with revision {} and term {}, after revision {} and term {}",
                    change.member, answer.revision, answer.term, told.revision, told.term
                )
            })?;
            (told.term, told.revision) = (answer.term, answer.revision);
        }
        let now = (change.store.revision, change.store.compacted);
        ensure(now.0 >= told.store.0 && now.1 >= told.store.1, NAME, || {
            format!("n{}'s store went from revision {} to {}", change.member, told.store.0, now.0)
        })?;
        told.store = now;
        Ok(())
    }
}
