//! The system under test: members of a quorate cluster and their clients, living in an
//! [`engine`](crate::engine) world.
//!
//! Nodes `0..members` are the members, the nodes after them clients: first those of the schedule,
//! then one prober for each member, which asks everything of it once the faults are over. This
//! module connects them to the world, records what clients saw, and lets the invariants look after
//! every step. It judges nothing itself.

mod client;
mod digest;
mod member;
mod message;
mod run;
mod translate;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use quorate_history::{History, Model, Recorder};
use serde_json::{Map, Value};

use crate::engine::{Cause, Input, Io, LocalTime, NodeId, Step, System, View, WorldTime};
use crate::invariants::{Invariants, Violation};
use crate::schedule::Schedule;

pub use client::ClientCounts;
pub(crate) use client::ClientNode;
pub(crate) use digest::DigestHasher;
#[cfg(test)]
pub(crate) use member::Answer;
pub(crate) use member::{Activity, MemberNode, RequestKind, to_node, to_raft_id};
pub use message::Message;
pub use run::{Failure, FailureKind, Outcome, RunOptions, run};

/// A node of the cluster's world.
#[derive(Debug)]
pub(crate) enum ClusterNode {
    /// A member.
    Member(Box<MemberNode>),
    /// A client.
    Client(Box<ClientNode>),
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
}

impl Cluster {
    pub(crate) fn new(schedule: Arc<Schedule>) -> Cluster {
        let members = schedule.cluster.members as usize;
        let clients = schedule.clients.len() + members;
        let mut source = Map::new();
        source.insert("scenario".into(), schedule.scenario.clone().into());
        source.insert("seed".into(), schedule.seed.to_string().into());
        Cluster {
            recorder: Recorder::new(Model::Etcd, source),
            invariants: Invariants::new(members),
            counts: ClientCounts::default(),
            delivered: vec![Vec::new(); clients],
            schedule,
        }
    }

    pub(crate) fn members(&self) -> usize {
        self.schedule.cluster.members as usize
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

    pub(crate) fn record_fault(&mut self, at: WorldTime, fault: Value) {
        self.recorder.fault(quorate_history::Time(at.as_nanos()), fault);
    }

    pub(crate) fn into_history(self) -> History {
        self.recorder.into_history()
    }

    /// Whether a request arrives for the first time.
    fn arrives_first(&mut self, client: NodeId, id: u32) -> bool {
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

    fn boot(&mut self, io: &mut Io<'_, Message>) -> ClusterNode {
        let node = io.node();
        if self.is_member(node) {
            return ClusterNode::Member(Box::new(MemberNode::boot(&self.schedule, io)));
        }
        let index = node.index() - self.members();
        ClusterNode::Client(Box::new(ClientNode::boot(&self.schedule, index, io)))
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
        }
    }

    fn observe(&mut self, step: &Step, view: &View<'_, Cluster>) -> Result<(), Violation> {
        if !self.is_member(step.node) {
            return Ok(());
        }
        self.invariants.observe(step, view)
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
        }
    }
}

/// Whether a step began a new life of its node.
pub(crate) fn is_boot(step: &Step) -> bool {
    matches!(step.cause, Cause::Boot { .. })
}
