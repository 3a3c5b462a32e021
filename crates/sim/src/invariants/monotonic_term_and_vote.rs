//! Invariant 7: The term never goes back, and the vote is given once a term, across crashes (§5.1,
//! §5.2). A member whose disk was replaced begins anew, which only somebody may do who does not
//! belong to the group.

use std::collections::BTreeMap;

use quorate_raft::{NodeId as RaftId, Term};

use super::books::{Books, Change, InForce, Recovered};
use super::{Violation, ensure};

pub(super) const NAME: &str = "MonotonicTermAndVote";

/// Every vote that a member let others know of.
#[derive(Debug)]
pub(crate) struct MonotonicTermAndVote {
    granted: Vec<BTreeMap<Term, RaftId>>,
}

impl MonotonicTermAndVote {
    pub(super) fn new(members: usize) -> MonotonicTermAndVote {
        MonotonicTermAndVote { granted: vec![BTreeMap::new(); members] }
    }

    pub(super) fn check(&mut self, change: &Change<'_>, books: &Books) -> Result<(), Violation> {
        let (before, after) = (&change.before, &change.after);
        ensure(after.term >= before.term, NAME, || {
            format!("n{} went from term {} to {}", change.member, before.term, after.term)
        })?;
        let kept = after.term > before.term || before.vote.is_none() || after.vote == before.vote;
        ensure(kept, NAME, || {
            format!("n{} changed its vote in term {}", change.member, after.term)
        })?;
        for (term, candidate) in &change.activity.granted {
            let first = *self.granted[change.member].entry(*term).or_insert(*candidate);
            ensure(first == *candidate, NAME, || {
                format!(
                    "n{} voted for n{} and for n{} in term {term}",
                    change.member,
                    first.0 - 1,
                    candidate.0 - 1
                )
            })?;
            let durable = books.pages[change.member].durable_hard;
            let written =
                durable.term > *term || (durable.term == *term && durable.vote == Some(*candidate));
            ensure(written, NAME, || {
                format!(
                    "n{} let others know of its vote for n{} in term {term}, which is not on its disk",
                    change.member,
                    candidate.0 - 1
                )
            })?;
        }
        Ok(())
    }

    /// The member's machine is replaced: it knows nothing of its votes.
    pub(super) fn forget(&mut self, books: &Books, member: usize) -> Result<(), Violation> {
        let group = books.committed.last().map_or(Default::default(), |slot| slot.group);
        let InForce { since, group } = books.groups.get(group);
        ensure(!group.contains(member), NAME, || {
            format!(
                "n{member} gets an empty disk, with which it forgets its votes, though it belongs to \
                 the group {group} of entry {since}"
            )
        })?;
        self.granted[member].clear();
        Ok(())
    }
}

/// What a member recovers is not older than what was on its disk.
pub(super) fn check_recovery(
    books: &Books,
    member: usize,
    recovered: &Recovered,
) -> Result<(), Violation> {
    let (durable, hard) = (books.pages[member].durable_hard, recovered.hard);
    ensure(hard.term >= durable.term, NAME, || {
        format!("n{member} restarts in term {}, though {} was on its disk", hard.term, durable.term)
    })?;
    let kept = hard.term > durable.term || durable.vote.is_none() || hard.vote == durable.vote;
    ensure(kept, NAME, || {
        format!("n{member} restarts without its vote in term {}, which was on its disk", hard.term)
    })
}
