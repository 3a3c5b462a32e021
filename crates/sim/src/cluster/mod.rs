//! The system under test: members of a quorate cluster and their clients, living in an
//! [`engine`](crate::engine) world.
//!
//! The first nodes are the members, then come the spares, which may become members; after them the
//! schedule's clients, one prober for each of the former, which asks everything of it once the
//! faults are over, and the operator, if there is anything for it to do. This module connects them to the world, records what clients saw, and lets the invariants look after
//! every step. It judges nothing itself.

mod client;
mod digest;
mod disks;
mod member;
mod message;
mod milestones;
mod operator;
mod run;
mod translate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_history::{History, Model, Recorder};
use quorate_raft::{Configuration, LogIndex};
use quorate_wal::disk::DiskPath;
use serde_json::{Map, Value};

use crate::engine::{
    Cause, Exposed, FileKind, Input, Io, LocalTime, NoStart, NodeId, Step, System, View, WorldTime,
};
use crate::invariants::{Invariants, Violation};
use crate::schedule::Schedule;

pub use client::ClientCounts;
pub(crate) use client::ClientNode;
pub(crate) use digest::DigestHasher;
pub(crate) use disks::{doubtful, log_is_durable};
#[cfg(test)]
pub(crate) use member::Answer;
pub(crate) use member::{Activity, MemberNode, RequestKind, to_node, to_raft_id};
pub use message::Message;
pub(crate) use operator::OperatorNode;
use operator::Surroundings;
pub use run::{Failure, FailureKind, Outcome, RunOptions, run};

/// A node of the cluster's world.
#[derive(Debug)]
pub(crate) enum ClusterNode {
    /// A member.
    Member(Box<MemberNode>),
    /// A client.
    Client(Box<ClientNode>),
    /// The operator.
    Operator(Box<OperatorNode>),
}

/// The cluster in its world.
#[derive(Debug)]
pub(crate) struct Cluster {
    schedule: Arc<Schedule>,
    recorder: Recorder,
    invariants: Invariants,
    counts: ClientCounts,
    /// For each client node, which of its requests have reached a member: a connection delivers a
    /// request once or never, however often the network delivers its packets.
    delivered: Vec<Vec<bool>>,
    /// The operator's request that a member may still take.
    operator_asks: Option<u32>,
    /// The latest configuration that is committed anywhere, and the index of its entry.
    committed: (LogIndex, Configuration),
    /// The member nodes whose machine was replaced: they no longer found anything.
    replaced: Vec<bool>,
    /// The members that refuse what their disks hold, and why.
    refusals: BTreeMap<NodeId, String>,
}

impl Cluster {
    pub(crate) fn new(schedule: Arc<Schedule>) -> Cluster {
        let members = schedule.cluster.member_nodes() as usize;
        let clients = schedule.clients.len() + members;
        let founders = (0..schedule.cluster.members).map(|index| to_raft_id(NodeId(index)));
        let mut source = Map::new();
        source.insert("scenario".into(), schedule.scenario.clone().into());
        source.insert("seed".into(), schedule.seed.to_string().into());
        Cluster {
            recorder: Recorder::new(Model::Etcd, source),
            invariants: Invariants::new(members),
            counts: ClientCounts { probers_done: vec![false; members], ..ClientCounts::default() },
            delivered: vec![Vec::new(); clients],
            operator_asks: None,
            committed: (LogIndex::ZERO, Configuration::of_voters(founders)),
            replaced: vec![false; members],
            refusals: BTreeMap::new(),
            schedule,
        }
    }

    /// How many nodes may be members: those that found the cluster, and the spares.
    pub(crate) fn members(&self) -> usize {
        self.schedule.cluster.member_nodes() as usize
    }

    /// The operator's node, if it has anything to do.
    pub(crate) fn operator(&self) -> Option<NodeId> {
        let operator = self.members() + self.delivered.len();
        let idle = self.schedule.operator.operations.is_empty();
        (!idle).then_some(NodeId(operator as u32))
    }

    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        node.index() < self.members()
    }

    pub(crate) fn invariants(&self) -> &Invariants {
        &self.invariants
    }

    pub(crate) fn counts(&self) -> &ClientCounts {
        &self.counts
    }

    pub(crate) fn counts_mut(&mut self) -> &mut ClientCounts {
        &mut self.counts
    }

    /// The members that stay down, since they refuse what their disks hold, and why.
    pub(crate) fn refusals(&self) -> &BTreeMap<NodeId, String> {
        &self.refusals
    }

    pub(crate) fn record_fault(&mut self, at: WorldTime, fault: Value) {
        self.recorder.fault(quorate_history::Time(at.as_nanos()), fault);
    }

    pub(crate) fn into_history(self) -> History {
        self.recorder.into_history()
    }

    /// Notes the configuration that a member takes for committed, if it is a newer one.
    fn note_committed(&mut self, node: &MemberNode) {
        let view = node.member.view();
        if view.membership.current_index() <= self.committed.0 {
            return;
        }
        let (index, configuration) = view.membership.at(view.commit);
        if index > self.committed.0 {
            self.committed = (index, configuration.clone());
        }
    }

    /// Whether a request arrives for the first time, and its connection is open.
    fn arrives_first(&mut self, client: NodeId, id: u32) -> bool {
        if self.operator() == Some(client) {
            return self.operator_asks.take_if(|open| *open == id).is_some();
        }
        let members = self.members();
        let seen = &mut self.delivered[client.index() - members];
        let position = id as usize;
        if seen.len() <= position {
            seen.resize(position + 1, false);
        }
        !std::mem::replace(&mut seen[position], true)
    }
}

/// Clients have a perfect clock: what it shows, less its beginning, is the world's time.
fn world_time(now: LocalTime) -> quorate_history::Time {
    quorate_history::Time(now.since(LocalTime::EPOCH).as_nanos())
}

impl System for Cluster {
    type Node = ClusterNode;
    type Message = Message;
    type Violation = Violation;

    fn boot(&mut self, io: &mut Io<'_, Message>) -> Result<ClusterNode, NoStart> {
        let node = io.node();
        if self.is_member(node) {
            let founds = node.0 < self.schedule.cluster.members && !self.replaced[node.index()];
            let booted = MemberNode::boot(&self.schedule, founds, io);
            return match booted {
                Ok(member) => Ok(ClusterNode::Member(Box::new(member))),
                Err((NoStart::Refused, reason)) => {
                    self.refusals.insert(node, reason);
                    Err(NoStart::Refused)
                }
                Err((failed, _)) => Err(failed),
            };
        }
        if self.operator() == Some(node) {
            return Ok(ClusterNode::Operator(Box::new(OperatorNode::boot(&self.schedule, io))));
        }
        let index = node.index() - self.members();
        Ok(ClusterNode::Client(Box::new(ClientNode::boot(&self.schedule, index, io))))
    }

    fn handle(&mut self, node: &mut ClusterNode, input: Input<Message>, io: &mut Io<'_, Message>) {
        match node {
            ClusterNode::Member(member) => {
                if let Input::Message { from, message: Message::Request { id, .. } } = &input
                    && !self.arrives_first(*from, *id)
                {
                    member.idle();
                    return;
                }
                let acknowledged = self.invariants.acknowledged();
                member.handle(input, acknowledged, io);
            }
            ClusterNode::Client(client) => {
                client.handle(input, &mut self.recorder, &mut self.counts, io);
            }
            ClusterNode::Operator(operator) => {
                let before = operator.open();
                let may_replace = |node| self.invariants.may_replace(node);
                let mut around = Surroundings {
                    committed: &self.committed.1,
                    may_replace: &may_replace,
                    recorder: &mut self.recorder,
                };
                operator.handle(input, &mut around, io);
                if operator.open() != before {
                    self.operator_asks = operator.open();
                }
            }
        }
    }

    fn observe(&mut self, step: &Step, view: &View<'_, Cluster>) -> Result<(), Violation> {
        if !self.is_member(step.node) {
            return Ok(());
        }
        if step.cause == Cause::Replaced {
            self.replaced[step.node.index()] = true;
            self.refusals.remove(&step.node);
        }
        if let Some(reason) = self.refusals.get(&step.node) {
            self.invariants.refused(step.node, reason)?;
        }
        if let Some(ClusterNode::Member(node)) = view.node(step.node) {
            self.note_committed(node);
        }
        self.invariants.observe(step, view)
    }

    fn directory(&self, node: NodeId, files: FileKind) -> Option<DiskPath> {
        self.is_member(node).then(|| disks::directory(files))
    }

    fn exposed(
        &self,
        node: NodeId,
        files: FileKind,
        view: &View<'_, Cluster>,
    ) -> Option<Vec<Exposed>> {
        let allowed = self.is_member(node) && self.invariants.may_damage(node);
        let disk = view.disk(node).filter(|_| allowed)?;
        Some(disks::exposed(disk, files))
    }

    fn message_digest(&self, message: &Message) -> u64 {
        message.digest()
    }

    fn describe_message(&self, message: &Message) -> Value {
        message.describe()
    }

    fn describe_node(&self, node: &ClusterNode) -> Value {
        match node {
            ClusterNode::Member(member) => member.describe(),
            ClusterNode::Client(client) => client.describe(),
            ClusterNode::Operator(operator) => operator.describe(),
        }
    }
}

/// Whether a step began a new life of its node.
pub(crate) fn is_boot(step: &Step) -> bool {
    matches!(step.cause, Cause::Boot { .. })
}
