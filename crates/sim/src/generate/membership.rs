//! Who is to join and leave, and who is to lead: the operator's list.
//!
//! Projects are drawn one after the other, each for the cluster as it is once those before are
//! done, so that a list makes sense as a whole. Faults delay the operator; what then makes no sense
//! any more it skips.

use super::Draw;
use crate::engine::{Nanos, NodeId, Stream};
use crate::scenario::{MembershipSpec, Project, Spec, TransfersSpec};
use crate::schedule::{MemberChange, OperatorAction, OperatorPlan, PlannedChange};

/// A cluster of so many voters or fewer does not shrink on purpose.
const FEW_VOTERS: usize = 3;
/// A cluster of so many voters or more does not grow.
const MANY_VOTERS: usize = 6;
/// How often a project may leave fewer voters than is wise.
const UNWISE_PPM: u32 = 100_000;
/// Around this long before and after an instant a member may still, or already, belong to the
/// cluster: the operator's list says when things begin, not when they are done.
const BLUR: Nanos = Nanos::from_millis(400);

/// The list, and who belongs to the cluster when.
pub(super) struct Churn {
    pub(super) operator: OperatorPlan,
    pub(super) spares: u32,
    /// From when on, which nodes.
    timeline: Vec<(Nanos, Vec<NodeId>)>,
}

impl Churn {
    /// Those that belong to the cluster at about this time, in ascending order.
    pub(super) fn around(&self, at: Nanos) -> Vec<NodeId> {
        let from = at.saturating_sub(BLUR);
        let until = at.saturating_add(BLUR);
        let first = self.timeline.partition_point(|(since, _)| *since <= from).saturating_sub(1);
        let during = self.timeline[first..].iter().take_while(|(since, _)| *since <= until);
        let mut nodes: Vec<NodeId> = during.flat_map(|(_, nodes)| nodes.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

pub(super) fn draw(spec: &Spec, draw: Draw, members: u32) -> Churn {
    let present = |name| {
        let mut stream = draw.stream(name, 0, 0);
        spec.swarm.as_ref().is_none_or(|swarm| stream.chance(swarm.kinds.0))
    };
    let membership = spec.membership.as_ref().filter(|_| present("membership"));
    let transfers = spec.transfers.as_ref().filter(|_| present("transfers"));
    let spares = *spec.cluster.spares.draw(&mut draw.stream("spares", 0, 0));
    // Without anybody to let them in they would only be there.
    let spares = if membership.is_some() { spares } else { 0 };
    let mut plan = Plan::new(members, spares);
    if let Some(membership) = membership {
        plan.draw_projects(membership, draw, spec.phases.fault_time);
    }
    let mut operations = plan.operations;
    if let Some(transfers) = transfers {
        operations.extend(draw_transfers(transfers, draw, spec.phases.fault_time));
        operations.sort_by_key(|planned| planned.not_before);
    }
    Churn { operator: OperatorPlan { operations }, spares, timeline: plan.timeline }
}

fn draw_transfers(transfers: &TransfersSpec, draw: Draw, until: Nanos) -> Vec<PlannedChange> {
    let count = transfers.count.draw(&mut draw.stream("transfers", 0, 1));
    let mut operations = Vec::new();
    for number in 0..count {
        let mut stream = draw.stream("transfers", u64::from(number), 2);
        let not_before = whole_micros(stream.between(Nanos::ZERO, until));
        for _ in 0..transfers.burst.draw(&mut stream) {
            let action = OperatorAction::TransferAny(stream.below(100) as u32);
            operations.push(PlannedChange { not_before, action });
        }
    }
    operations
}

/// Schedules are written in whole microseconds.
fn whole_micros(time: Nanos) -> Nanos {
    Nanos::from_micros(time.as_nanos() / 1_000)
}

/// The list so far, and the cluster that it leads to.
struct Plan {
    voters: Vec<NodeId>,
    learners: Vec<NodeId>,
    /// All that do not belong to the cluster; who left last comes last.
    outside: Vec<NodeId>,
    operations: Vec<PlannedChange>,
    timeline: Vec<(Nanos, Vec<NodeId>)>,
    now: Nanos,
}

impl Plan {
    fn new(members: u32, spares: u32) -> Plan {
        let voters: Vec<NodeId> = (0..members).map(NodeId).collect();
        Plan {
            timeline: vec![(Nanos::ZERO, voters.clone())],
            voters,
            learners: Vec::new(),
            outside: (members..members + spares).map(NodeId).collect(),
            operations: Vec::new(),
            now: Nanos::ZERO,
        }
    }

    fn draw_projects(&mut self, membership: &MembershipSpec, draw: Draw, until: Nanos) {
        let count = u64::from(membership.count.draw(&mut draw.stream("membership", 0, 1)));
        let mut streams: Vec<(Nanos, Stream)> = (0..count)
            .map(|number| {
                let mut stream = draw.stream("membership", number, 2);
                (whole_micros(stream.between(Nanos::ZERO, until)), stream)
            })
            .collect();
        streams.sort_by_key(|(begins, _)| *begins);
        for (begins, mut stream) in streams {
            self.now = self.now.max(begins);
            let project = *membership.projects.draw(&mut stream);
            let mut steps = Steps { plan: self, membership, stream };
            steps.draw(project);
        }
    }
}

/// One project on its way into the list.
struct Steps<'a> {
    plan: &'a mut Plan,
    membership: &'a MembershipSpec,
    stream: Stream,
}

impl Steps<'_> {
    fn draw(&mut self, project: Project) {
        let voters = self.plan.voters.len();
        match project {
            Project::Grow if voters >= MANY_VOTERS => self.shrink(),
            Project::Shrink if voters <= FEW_VOTERS && !self.stream.chance(UNWISE_PPM) => {
                self.grow();
            }
            Project::Grow => self.grow(),
            Project::Shrink => self.shrink(),
            Project::ReplaceOne => self.replace_one(),
            Project::ReplaceMajority => {
                for _ in 0..voters / 2 + 1 {
                    self.replace_one();
                }
            }
            Project::ReplaceMajorityAtOnce => {
                let changes = self.exchange(voters / 2 + 1);
                self.change(changes, false);
            }
            Project::ExplicitJoint => {
                let most = 1 + self.stream.below(2) as usize;
                let changes = self.exchange(most);
                self.change(changes, true);
            }
            Project::DemotePromote => self.demote_and_promote(),
            Project::RemoveLeader => self.remove_leader(),
            Project::Rejoin => self.leave_and_return(false),
            Project::ReplaceDisk => self.leave_and_return(true),
        }
    }

    fn push(&mut self, action: OperatorAction) {
        let plan = &mut *self.plan;
        plan.operations.push(PlannedChange { not_before: plan.now, action });
        let mut nodes = [&plan.voters[..], &plan.learners].concat();
        nodes.sort_unstable();
        plan.timeline.push((plan.now, nodes));
    }

    fn wait(&mut self) {
        let gap = whole_micros(self.membership.gap.draw(&mut self.stream));
        self.plan.now = self.plan.now.saturating_add(gap);
    }

    fn any_voter(&mut self) -> NodeId {
        *self.stream.pick(&self.plan.voters)
    }

    /// Somebody from outside: mostly who has been there for longest.
    fn newcomer(&mut self) -> Option<NodeId> {
        let last = self.plan.outside.len().checked_sub(1)?;
        let any = self.stream.below(last as u64 + 1) as usize;
        let index = if self.stream.chance(700_000) { 0 } else { any };
        Some(self.plan.outside.remove(index))
    }

    fn joins(&mut self, node: NodeId) {
        self.plan.outside.retain(|outside| *outside != node);
        self.plan.learners.retain(|learner| *learner != node);
        self.plan.voters.push(node);
    }

    fn learns(&mut self, node: NodeId) {
        self.plan.outside.retain(|outside| *outside != node);
        self.plan.voters.retain(|voter| *voter != node);
        self.plan.learners.push(node);
    }

    fn leaves(&mut self, node: NodeId) {
        self.plan.voters.retain(|voter| *voter != node);
        self.plan.learners.retain(|learner| *learner != node);
        self.plan.outside.push(node);
    }

    fn grow(&mut self) {
        let Some(node) = self.newcomer() else { return };
        self.let_in(node);
    }

    /// At once, or first as a learner.
    fn let_in(&mut self, node: NodeId) {
        if self.stream.chance(500_000) {
            self.learns(node);
            self.push(OperatorAction::AddLearner(node));
            self.wait();
            self.joins(node);
            self.push(OperatorAction::Promote(node));
        } else {
            self.joins(node);
            self.push(OperatorAction::AddVoter(node));
        }
        self.wait();
    }

    fn shrink(&mut self) {
        if self.plan.voters.len() > 1 {
            let node = self.any_voter();
            self.remove(node);
        }
    }

    fn remove(&mut self, node: NodeId) {
        self.leaves(node);
        self.push(OperatorAction::Remove(node));
        self.wait();
    }

    fn replace_one(&mut self) {
        let node = self.any_voter();
        let Some(newcomer) = self.newcomer() else { return };
        if self.stream.chance(300_000) {
            self.joins(newcomer);
            self.leaves(node);
            let changes = vec![MemberChange::Voter(newcomer), MemberChange::Remove(node)];
            self.push(OperatorAction::Change(changes));
            self.wait();
        } else {
            self.let_in(newcomer);
            self.remove(node);
        }
    }

    /// Several voters for several others, as far as there are others.
    fn exchange(&mut self, most: usize) -> Vec<MemberChange> {
        let mut changes = Vec::new();
        for _ in 0..most {
            let node = self.any_voter();
            let newcomers = self.plan.outside.len();
            if newcomers == 0 || changes.iter().any(|change: &MemberChange| change.member() == node)
            {
                continue;
            }
            let newcomer = self.plan.outside[self.stream.below(newcomers as u64) as usize];
            if changes.iter().any(|change| change.member() == newcomer) {
                continue;
            }
            self.joins(newcomer);
            changes.push(MemberChange::Voter(newcomer));
            // Mostly somebody leaves; at times only the vote goes.
            if self.stream.chance(800_000) {
                self.leaves(node);
                changes.push(MemberChange::Remove(node));
            } else {
                self.learns(node);
                changes.push(MemberChange::Learner(node));
            }
        }
        changes
    }

    fn change(&mut self, changes: Vec<MemberChange>, explicit: bool) {
        if changes.is_empty() {
            return;
        }
        if explicit {
            self.push(OperatorAction::ChangeExplicit(changes));
            self.wait();
            self.push(OperatorAction::Leave);
        } else {
            self.push(OperatorAction::Change(changes));
        }
        self.wait();
    }

    fn demote_and_promote(&mut self) {
        if self.plan.voters.len() < 2 {
            return;
        }
        let node = self.any_voter();
        self.learns(node);
        self.push(OperatorAction::Demote(node));
        self.wait();
        self.joins(node);
        self.push(OperatorAction::Promote(node));
        self.wait();
    }

    fn remove_leader(&mut self) {
        if self.plan.voters.len() < 2 {
            return;
        }
        let node = self.any_voter();
        self.push(OperatorAction::Transfer(node));
        self.remove(node);
        // Else every such project would leave one voter less.
        if self.plan.voters.len() < FEW_VOTERS {
            self.let_in(node);
        }
    }

    /// A member leaves and returns: with what is on its disk, or on another machine.
    fn leave_and_return(&mut self, on_another_machine: bool) {
        if self.plan.voters.len() < 2 {
            return;
        }
        let node = self.any_voter();
        self.remove(node);
        if on_another_machine {
            self.push(OperatorAction::ReplaceDisk(node));
        }
        self.let_in(node);
    }
}

#[cfg(test)]
mod tests;
