//! What several members together can do: who could be elected, and by whom.

use super::Invariants;
use crate::tests::group::Group;
use crate::{Configuration, EntryMeta, NodeId, Role, Term};

/// A member as an election sees it.
struct Elector {
    id: NodeId,
    configuration: Configuration,
    /// Term and index of its last entry, in memory if it is up.
    last: (Term, usize),
    /// The same on its disk: what it is sure to remember when it is asked.
    durable_last: (Term, usize),
}

impl Invariants {
    /// 9 QuorumLog, 15 CandidateTermNotInLog, 18 NoDisjointQuorums.
    pub(super) fn check_quorums(&self, group: &Group) {
        let electors: Vec<Elector> =
            group.ids().into_iter().map(|id| self.elector(group, id)).collect();
        for (position, one) in electors.iter().enumerate() {
            self.check_committed_is_held(group, one.id);
            check_candidate(group, &electors, one);
            for other in &electors[..position] {
                if one.configuration != other.configuration {
                    check_overlap(group, &electors, one, other);
                }
            }
        }
    }

    fn elector(&self, group: &Group, id: NodeId) -> Elector {
        let memory = &self.members[&id];
        let last = |log: &[EntryMeta]| (log.last().map_or(Term(0), |entry| entry.term), log.len());
        let durable_last = last(&memory.on_disk);
        if group.is_up(id) {
            let configuration = group.view(id).configuration.clone();
            let last = last(&memory.log);
            // What it votes by is on its disk before its vote is; after a crash it abstains again.
            let durable_last = if group.would_abstain(id) { last } else { durable_last };
            return Elector { id, configuration, last, durable_last };
        }
        let (configuration, _) = self.configuration_of(&memory.on_disk, group);
        Elector { id, configuration, last: durable_last, durable_last }
    }

    /// 9 QuorumLog: nobody could be elected by members that all lack what is committed.
    fn check_committed_is_held(&self, group: &Group, id: NodeId) {
        if !group.is_up(id) {
            return;
        }
        let view = group.view(id);
        let committed = &self.committed[..view.commit.0 as usize];
        // With the help of those who abstain nobody is elected.
        let lacks = |voter| !group.would_abstain(voter) && !group.node(voter).disk.holds(committed);
        assert!(
            view.configuration.is_empty() || !view.configuration.has_quorum(lacks),
            "{id} takes {} entries for committed, which a quorum of {} lacks",
            view.commit,
            view.configuration
        );
    }

    /// 20 LeaseExclusion: nobody leads a later term while a lease holds by its leader's clock.
    pub(super) fn check_leases(&mut self, group: &Group) {
        let leaders = group.leaders();
        for &id in &leaders {
            let view = group.view(id);
            if group.lease(id).is_none() || view.lease_forfeited {
                continue;
            }
            for &other in &leaders {
                assert!(
                    group.view(other).term <= view.term,
                    "{other} leads while the lease of {id} holds"
                );
            }
        }
    }
}

/// 15 CandidateTermNotInLog: no log has an entry of a term that a candidate could still win.
fn check_candidate(group: &Group, electors: &[Elector], candidate: &Elector) {
    let id = candidate.id;
    if !group.is_up(id) || group.view(id).role != Role::Candidate {
        return;
    }
    let view = group.view(id);
    let may_grant = |voter: NodeId| {
        if group.abstains(voter) {
            return false;
        }
        let durable = group.node(voter).disk.hard_state;
        let up_to_date = candidate.last >= electors[voter.0 as usize - 1].durable_last;
        durable.term < view.term && up_to_date
            || durable.term == view.term && durable.vote.map_or(up_to_date, |vote| vote == id)
    };
    if !view.configuration.has_quorum(may_grant) {
        return;
    }
    for other in group.ids() {
        let log = &group.node(other).disk.log;
        let has_term = log.iter().any(|entry| entry.term == view.term);
        assert!(!has_term, "{other} has entries of term {}, which {id} may still win", view.term);
    }
}

/// 18 NoDisjointQuorums: whoever could be elected now, and by whomever, shares a voter with the
/// other one.
fn check_overlap(group: &Group, electors: &[Elector], one: &Elector, other: &Elector) {
    let voters_of = |candidate: &Elector| -> Vec<NodeId> {
        let grants = |voter: &&Elector| {
            let last = if voter.id == candidate.id { voter.last } else { voter.durable_last };
            candidate.last >= last && !group.abstains(voter.id)
        };
        electors.iter().filter(grants).map(|voter| voter.id).collect()
    };
    let (for_one, for_other) = (voters_of(one), voters_of(other));
    for chosen in 0..1u32 << for_one.len() {
        let in_first = |id: NodeId| {
            for_one.iter().position(|&voter| voter == id).is_some_and(|at| chosen >> at & 1 == 1)
        };
        let in_second = |id: NodeId| for_other.contains(&id) && !in_first(id);
        assert!(
            !(one.configuration.has_quorum(in_first) && other.configuration.has_quorum(in_second)),
            "{} could be elected in {} and {} in {}, without a common voter",
            one.id,
            one.configuration,
            other.id,
            other.configuration
        );
    }
}
