//! Invariant 18: Of any two members that could be elected now, each with the votes of those whose
//! logs are not ahead of its own, the quorums that could elect them have a voter in common: so only
//! one of them can be elected in a term, whatever groups they go by (§6).

use super::books::Books;
use super::group::{Group, Members, can_be_disjoint};
use super::{Violation, ensure};

pub(super) const NAME: &str = "NoDisjointQuorums";

/// Who could be elected, by whom; kept from step to step for its memory alone.
#[derive(Debug, Default)]
pub(crate) struct NoDisjointQuorums {
    electable: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    member: usize,
    group: Group,
    /// Who would vote for it.
    willing: Members,
}

impl NoDisjointQuorums {
    pub(super) fn check(&mut self, books: &Books) -> Result<(), Violation> {
        // Majorities of one group always have a voter in common.
        let first = books.pages[0].group();
        if books.pages.iter().all(|page| page.group() == first) {
            return Ok(());
        }
        self.electable.clear();
        for (member, page) in books.pages.iter().enumerate() {
            // Who votes by what may still be taken back stands for election, too, though its own
            // vote may not count (dissertation 4.2.2).
            let mut groups = books.possible_groups(page);
            if page.abstains() || !groups.any(|group| group.electorate().contains(member)) {
                continue;
            }
            let group = books.group(member);
            let willing = books.willing(page);
            if group.has_quorum(willing) {
                self.electable.push(Candidate { member, group, willing });
            }
        }
        for (position, one) in self.electable.iter().enumerate() {
            for other in &self.electable[position + 1..] {
                let apart = one.group != other.group
                    && can_be_disjoint((one.group, one.willing), (other.group, other.willing));
                ensure(!apart, NAME, || violated(one, other))?;
            }
        }
        Ok(())
    }
}

fn violated(one: &Candidate, other: &Candidate) -> String {
    format!(
        "n{} could be elected by {} for the group {}, and at the same time n{} by {} for the group \
         {}",
        one.member, one.willing, one.group, other.member, other.willing, other.group
    )
}
