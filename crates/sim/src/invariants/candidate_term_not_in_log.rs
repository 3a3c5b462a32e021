//! Invariant 15: No log holds an entry of the term of a candidate that may still win: only a leader
//! of that term can have written it.

use quorate_raft::Role;

use super::books::{Books, Change};
use super::{Violation, ensure};
use crate::cluster::to_raft_id;

pub(super) const NAME: &str = "CandidateTermNotInLog";

pub(super) fn check(change: &Change<'_>, books: &Books) -> Result<(), Violation> {
    let Some(written) = books.pages[change.member].log.last().map(|slot| slot.term) else {
        return Ok(());
    };
    for page in &books.pages {
        let stands =
            page.running && page.state.role == Role::Candidate && page.state.term == written;
        if !stands {
            continue;
        }
        let candidate = to_raft_id(page.node);
        let may_vote = books.members(|voter| {
            let (term, vote) = match voter.running {
                true => (voter.state.term, voter.state.vote),
                false => (voter.durable_hard.term, voter.durable_hard.vote),
            };
            term < written || (term == written && vote.is_none_or(|vote| vote == candidate))
        });
        let group = books.groups.get(page.group()).group;
        ensure(!group.has_quorum(may_vote), NAME, || {
            format!(
                "n{} has an entry of term {written}, in which [{may_vote}] may still elect {}",
                change.member, page.node
            )
        })?;
    }
    Ok(())
}
