//! The operator in the world: changes the cluster as the schedule says, one thing after the other.
//!
//! It asks around for the leader, asks again what was refused for the moment, and never goes on
//! while a change may still take effect. A refusal may come from a leader of the past, so what
//! became of an attempt without an answer the operator reads off the configuration that is really
//! committed, which the world shows it; a person would look until sure. What makes no sense when
//! its turn comes is skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_history::Recorder;
use quorate_member::{Error, Request, Response, ResponseBody};
use quorate_raft::{Change, ChangeError, Configuration, MembershipChange, Transition};
use serde_json::{Value as Json, json};

use super::message::Message;
use super::{to_node, to_raft_id, world_time};
use crate::engine::{Input, Io, LocalTime, Nanos, NodeId, TimerId};
use crate::schedule::{MemberChange, OperatorAction, PlannedChange, Schedule};

const NEXT: TimerId = TimerId(0);
const TIMEOUT: TimerId = TimerId(1);

/// How long it waits before it asks again.
const BACKOFF: Nanos = Nanos::from_millis(25);
/// How long it takes to put another machine in a member's place.
const MACHINE_TAKES: Nanos = Nanos::from_millis(20);
/// How often it asks for a transfer; a cluster that does not want to is left alone.
const MAX_TRANSFERS: u32 = 6;
/// How often it looks whether a removed member's machine may be replaced.
const MAX_WAITS: u32 = 40;

/// The operator.
#[derive(Debug)]
pub(crate) struct OperatorNode {
    schedule: Arc<Schedule>,
    /// The operation that it is at.
    position: usize,
    /// Whom it asks: the leader, as far as it knows.
    target: NodeId,
    requests: u32,
    open: Option<u32>,
    attempts: u32,
    /// How often the present replacement had to wait for others to hear of a removal.
    waits: u32,
    /// What the present change leads to, once it was asked for.
    expected: Option<Configuration>,
    /// Whose machine was replaced, and from when on nothing is left of its earlier life.
    clean_from: BTreeMap<NodeId, LocalTime>,
}

/// What it needs for a moment.
pub(crate) struct Surroundings<'a> {
    /// The latest configuration that is committed anywhere.
    pub(crate) committed: &'a Configuration,
    /// Whether nobody is harmed if a member forgets everything.
    pub(crate) may_replace: &'a dyn Fn(NodeId) -> bool,
    pub(crate) recorder: &'a mut Recorder,
}

/// What to do about the present operation.
enum Step {
    Ask(Request),
    Wait(Nanos),
    Skip(String),
    ReplaceMachine(NodeId),
}

impl OperatorNode {
    pub(crate) fn boot(schedule: &Arc<Schedule>, io: &mut Io<'_, Message>) -> OperatorNode {
        io.set_timer(NEXT, Nanos::ZERO);
        OperatorNode {
            schedule: Arc::clone(schedule),
            position: 0,
            target: NodeId(0),
            requests: 0,
            open: None,
            attempts: 0,
            waits: 0,
            expected: None,
            clean_from: BTreeMap::new(),
        }
    }

    /// The request that it waits for an answer to. All others are of connections that it has
    /// closed.
    pub(crate) fn open(&self) -> Option<u32> {
        self.open
    }

    /// What it is at; nothing once all is done.
    pub(crate) fn present(&self) -> Option<&PlannedChange> {
        self.schedule.operator.operations.get(self.position)
    }

    pub(crate) fn handle(
        &mut self,
        input: Input<Message>,
        around: &mut Surroundings<'_>,
        io: &mut Io<'_, Message>,
    ) {
        match input {
            Input::Timer(NEXT) => self.proceed(around, io),
            Input::Timer(_) => {
                self.open = None;
                self.ask_another(io);
            }
            Input::Message { message: Message::Reply { id, result }, .. } => {
                if self.open == Some(id) {
                    self.open = None;
                    io.cancel_timer(TIMEOUT);
                    match *result {
                        Ok(response) => self.succeed(&response, around, io),
                        Err(error) => self.fail(error, around, io),
                    }
                }
            }
            Input::Message { .. } | Input::Disk { .. } => unreachable!("it gets replies only"),
        }
    }

    fn proceed(&mut self, around: &mut Surroundings<'_>, io: &mut Io<'_, Message>) {
        loop {
            let Some(planned) = self.present().cloned() else { return };
            let begins = LocalTime::EPOCH + planned.not_before;
            if begins > io.now() {
                io.set_timer(NEXT, begins.since(io.now()));
                return;
            }
            if self.has_happened(around.committed) {
                self.finish(around, io);
                continue;
            }
            match self.step(&planned.action, around, io.now()) {
                Step::Wait(time) => {
                    io.set_timer(NEXT, time);
                    return;
                }
                Step::Ask(request) => {
                    if self.attempts == 0 {
                        record(around, io, &planned, "begins", None);
                    }
                    self.ask(request, io);
                    return;
                }
                Step::ReplaceMachine(node) => {
                    // It would take messages to its earlier life for its own.
                    let drained = self.schedule.longest_message().unwrap_or(Nanos::ZERO);
                    let takes = MACHINE_TAKES.saturating_add(drained);
                    io.replace_machine(node, takes);
                    self.clean_from.insert(node, io.now().saturating_add(takes));
                    self.finish(around, io);
                }
                Step::Skip(why) => self.skip(&why, around, io),
            }
        }
    }

    fn step(&mut self, action: &OperatorAction, around: &Surroundings<'_>, now: LocalTime) -> Step {
        let committed = around.committed;
        match action {
            OperatorAction::Transfer(node) => {
                let to = to_raft_id(*node);
                if committed.is_voter(to) {
                    Step::Ask(Request::TransferLeadership(to))
                } else {
                    Step::Skip(format!("{node} does not vote"))
                }
            }
            OperatorAction::TransferAny(number) => {
                let leader = to_raft_id(self.target);
                let mut others = committed.voters.clone();
                others.retain(|voter| *voter != leader);
                match others.get(*number as usize % others.len().max(1)) {
                    Some(to) => Step::Ask(Request::TransferLeadership(*to)),
                    None => Step::Skip("nobody else votes".to_owned()),
                }
            }
            OperatorAction::ReplaceDisk(node) => self.replacement(*node, around, now),
            _ => self.change(action, committed, now),
        }
    }

    fn replacement(&mut self, node: NodeId, around: &Surroundings<'_>, now: LocalTime) -> Step {
        let committed = around.committed;
        let leaving = committed.is_joint() && committed.auto_leave;
        if after_leaving(committed).contains(to_raft_id(node)) || committed.is_joint() && !leaving {
            return Step::Skip(format!("{node} belongs to the cluster"));
        }
        if leaving {
            return Step::Wait(BACKOFF);
        }
        match self.clean_from.get(&node) {
            Some(clean) if *clean > now => Step::Wait(clean.since(now)),
            _ if (around.may_replace)(node) => Step::ReplaceMachine(node),
            _ if self.waits < MAX_WAITS => {
                self.waits += 1;
                Step::Wait(BACKOFF)
            }
            _ => Step::Skip(format!("others still go by a group with {node}")),
        }
    }

    fn change(
        &mut self,
        action: &OperatorAction,
        committed: &Configuration,
        now: LocalTime,
    ) -> Step {
        let change = to_change(action);
        if self.expected.is_none() {
            let leaving = committed.is_joint() && committed.auto_leave;
            if leaving && matches!(action, OperatorAction::ChangeExplicit(_)) {
                // Else a refusal would not say whose joint configuration is in the way.
                return Step::Wait(BACKOFF);
            }
            let present = after_leaving(committed);
            if let OperatorAction::Promote(node) = action
                && !present.learners.contains(&to_raft_id(*node))
            {
                return Step::Skip(format!("{node} is no learner"));
            }
            let next = match present.changed_by(&change) {
                Ok(next) => next,
                Err(error) => return Step::Skip(error.to_string()),
            };
            let joining = next.members().into_iter().filter(|member| !present.contains(*member));
            let clean = joining.filter_map(|member| self.clean_from.get(&to_node(member))).max();
            if let Some(clean) = clean.filter(|clean| **clean > now) {
                return Step::Wait(clean.since(now));
            }
            self.expected = Some(next);
        }
        Step::Ask(Request::ChangeMembers(change))
    }

    /// Whether the present change was asked for, and is committed.
    fn has_happened(&self, committed: &Configuration) -> bool {
        let Some(expected) = &self.expected else { return false };
        committed == expected || *committed == after_leaving(expected)
    }

    fn ask(&mut self, request: Request, io: &mut Io<'_, Message>) {
        let id = self.requests;
        self.requests += 1;
        self.attempts += 1;
        self.open = Some(id);
        io.send(self.target, Message::Request { id, request: Box::new(request) });
        io.set_timer(TIMEOUT, self.schedule.cluster.client_timeout);
    }

    fn ask_another(&mut self, io: &mut Io<'_, Message>) {
        self.target = NodeId((self.target.0 + 1) % self.schedule.cluster.member_nodes());
        io.set_timer(NEXT, BACKOFF);
    }

    fn succeed(
        &mut self,
        response: &Response,
        around: &mut Surroundings<'_>,
        io: &mut Io<'_, Message>,
    ) {
        match &response.body {
            ResponseBody::Transferred { .. } => io.mark("transfer-done"),
            ResponseBody::Members { .. } => {}
            other => unreachable!("{other:?} answers nothing that an operator asks"),
        }
        self.finish(around, io);
        io.set_timer(NEXT, Nanos::ZERO);
    }

    fn fail(&mut self, error: Error, around: &mut Surroundings<'_>, io: &mut Io<'_, Message>) {
        let transfers = self.present().is_some_and(|planned| {
            matches!(planned.action, OperatorAction::Transfer(_) | OperatorAction::TransferAny(_))
        });
        if transfers && (error == Error::BadTransferee || self.attempts >= MAX_TRANSFERS) {
            self.skip(&error.to_string(), around, io);
            io.set_timer(NEXT, Nanos::ZERO);
            return;
        }
        match error {
            // This one leads, and will take it later.
            Error::Change(
                ChangeError::Pending(_)
                | ChangeError::NothingCommittedInTerm(_)
                | ChangeError::Joint,
            )
            | Error::TooManyRequests => io.set_timer(NEXT, BACKOFF),
            // Another one leads, or will; what this one says of the membership is outdated.
            _ => self.ask_another(io),
        }
    }

    fn skip(&mut self, why: &str, around: &mut Surroundings<'_>, io: &mut Io<'_, Message>) {
        io.mark("operator-skipped");
        if let Some(planned) = self.present() {
            record(around, io, planned, "skipped", Some(why));
        }
        self.advance();
    }

    fn finish(&mut self, around: &mut Surroundings<'_>, io: &mut Io<'_, Message>) {
        if let Some(planned) = self.present() {
            let members = around.committed.to_string();
            record(around, io, planned, "done", Some(&members));
        }
        if let Some(expected) = &self.expected {
            let voters = &after_leaving(expected).voters;
            let founded = self.schedule.cluster.members;
            let stayed = voters.iter().filter(|voter| to_node(**voter).0 < founded).count();
            if stayed * 2 < founded as usize {
                io.mark("majority-replaced");
            }
            if voters.iter().any(|voter| self.clean_from.contains_key(&to_node(*voter))) {
                io.mark("replaced-member-returned");
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        self.position += 1;
        self.attempts = 0;
        self.waits = 0;
        self.expected = None;
    }

    pub(crate) fn describe(&self) -> Json {
        json!({
            "operator": self.present().map(ToString::to_string),
            "attempts": self.attempts,
        })
    }
}

/// A configuration, or what it becomes by itself.
fn after_leaving(configuration: &Configuration) -> Configuration {
    let left = configuration.changed_by(&MembershipChange::leave());
    let by_itself = left.ok().filter(|_| configuration.auto_leave);
    by_itself.unwrap_or_else(|| configuration.clone())
}

/// For people, and the viewer: what the operator does is told among the faults.
fn record(
    around: &mut Surroundings<'_>,
    io: &Io<'_, Message>,
    planned: &PlannedChange,
    outcome: &str,
    detail: Option<&str>,
) {
    let mut event = json!({
        "kind": "operator", "action": planned.action.to_string(), "outcome": outcome,
    });
    if let Some(detail) = detail {
        let name = if outcome == "skipped" { "reason" } else { "members" };
        event[name] = detail.into();
    }
    around.recorder.fault(world_time(io.now()), event);
}

/// # Panics
/// If the action changes no membership.
fn to_change(action: &OperatorAction) -> MembershipChange {
    let single = MembershipChange::single;
    let several = |changes: &[MemberChange], transition| {
        let change = |change: &MemberChange| match change {
            MemberChange::Voter(node) => Change::AddVoter(to_raft_id(*node)),
            MemberChange::Learner(node) => Change::AddLearner(to_raft_id(*node)),
            MemberChange::Remove(node) => Change::Remove(to_raft_id(*node)),
        };
        MembershipChange { changes: changes.iter().map(change).collect(), transition }
    };
    match action {
        OperatorAction::AddVoter(node) | OperatorAction::Promote(node) => {
            single(Change::AddVoter(to_raft_id(*node)))
        }
        OperatorAction::AddLearner(node) | OperatorAction::Demote(node) => {
            single(Change::AddLearner(to_raft_id(*node)))
        }
        OperatorAction::Remove(node) => single(Change::Remove(to_raft_id(*node))),
        OperatorAction::Change(changes) => several(changes, Transition::Auto),
        OperatorAction::ChangeExplicit(changes) => several(changes, Transition::JointExplicit),
        OperatorAction::Leave => MembershipChange::leave(),
        OperatorAction::Transfer(_)
        | OperatorAction::TransferAny(_)
        | OperatorAction::ReplaceDisk(_) => unreachable!("{action} changes no membership"),
    }
}
