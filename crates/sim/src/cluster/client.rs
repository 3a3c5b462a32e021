//! A client in the world: one operation after the other, whatever happens.
//!
//! It goes from member to member as its plan says, repeats at another one what was certainly
//! refused, gives up what takes too long without knowing what became of it, and goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quorate_history::{ClientId, OperationId, Recorder};
use quorate_member::{Error, Request, Response, ResponseBody};
use quorate_mvcc::{KeyValue, ResponseOp};
use serde_json::{Value as Json, json};

use super::message::Message;
use super::translate::{to_operation, to_request, to_result};
use super::world_time;
use crate::engine::{Input, Io, Nanos, NodeId, TimerId};
use crate::schedule::{Action, Key, PlannedOperation, Schedule, Value};

const NEXT: TimerId = TimerId(0);
const TIMEOUT: TimerId = TimerId(1);

/// How often a refused operation is repeated before the client goes on with its plan.
const MAX_REPEATS: u32 = 8;
/// How long it waits before it repeats one.
const BACKOFF: Nanos = Nanos::from_millis(50);
/// The first of the keys that only probers write, one for each member.
const FIRST_PROBE_KEY: u32 = 1_000_000;
/// After a write whose outcome it does not know, a client reads so often before it writes again: of
/// many writes that took effect unseen nobody could tell in which order they did.
const READS_AFTER_UNKNOWN: u32 = 6;
/// The same for a prober, in time.
const PATIENCE: Nanos = Nanos::from_millis(400);
/// How far apart the values of a prober's attempts are: more than there are probers.
const PROBE_VALUES: u32 = 1_000;

/// What became of all clients' operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Operations invoked.
    pub invoked: u64,
    /// Operations that were answered.
    pub ok: u64,
    /// Operations that certainly failed.
    pub failed: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Operations of the schedule's clients that were answered after the faults were over.
    pub ok_after_heal: u64,
    /// For each member node whether its prober got all its answers.
    pub probers_done: Vec<bool>,
    /// Whether the faults are over.
    pub healed: bool,
}

/// What a client has learnt from its answers.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// The highest revision that it was told; 0 before the first answer.
    pub(crate) revision: i64,
    mod_revisions: BTreeMap<Bytes, i64>,
}

/// A client.
#[derive(Debug)]
pub(crate) struct ClientNode {
    id: ClientId,
    schedule: Arc<Schedule>,
    plan: Plan,
    position: usize,
    repeats: u32,
    requests: u32,
    /// How many operations more it only reads.
    wary: u32,
    open: Option<Open>,
    knowledge: Knowledge,
}

#[derive(Debug)]
enum Plan {
    /// The schedule's client of this index.
    Scheduled(usize),
    /// Asks this member for everything, each until it is answered.
    Probe(NodeId, Vec<PlannedOperation>),
}

#[derive(Debug)]
struct Open {
    operation: OperationId,
    request_id: u32,
    request: Request,
}

impl Knowledge {
    /// The revision that last wrote the key, as far as the client knows; 0: it does not exist.
    pub(crate) fn mod_revision(&self, key: &[u8]) -> i64 {
        self.mod_revisions.get(key).copied().unwrap_or(0)
    }

    fn learn(&mut self, request: &Request, response: &Response) {
        let revision = response.body.revision().0;
        self.revision = self.revision.max(revision);
        match (request, &response.body) {
            (Request::Put(put), _) => {
                self.mod_revisions.insert(put.key.clone(), revision);
            }
            (Request::Range(range), ResponseBody::Range(answer)) if range.revision.is_none() => {
                self.learn_range(&range.key, &answer.kvs);
            }
            (Request::DeleteRange(delete), _) => {
                self.mod_revisions.remove(&delete.key);
            }
            (Request::Txn(txn), ResponseBody::Txn(answer)) => {
                let branch = if answer.succeeded { &txn.success } else { &txn.failure };
                for (asked, answered) in branch.iter().zip(&answer.responses) {
                    match (asked, answered) {
                        (quorate_mvcc::RequestOp::Put(put), _) => {
                            self.mod_revisions.insert(put.key.clone(), revision);
                        }
                        (quorate_mvcc::RequestOp::Range(range), ResponseOp::Range(answer)) => {
                            self.learn_range(&range.key, &answer.kvs);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn learn_range(&mut self, key: &Bytes, kvs: &[KeyValue]) {
        if kvs.is_empty() {
            self.mod_revisions.remove(key);
        }
        for kv in kvs {
            self.mod_revisions.insert(kv.key.clone(), kv.mod_revision.0);
        }
    }
}

impl ClientNode {
    /// The client of this index: first the schedule's, then a prober for each member and
    /// spare.
    pub(crate) fn boot(
        schedule: &Arc<Schedule>,
        index: usize,
        io: &mut Io<'_, Message>,
    ) -> ClientNode {
        let plan = match index.checked_sub(schedule.clients.len()) {
            None => Plan::Scheduled(index),
            Some(member) => {
                let member = NodeId(member as u32);
                Plan::Probe(member, probe(member, schedule.phases.heal_at))
            }
        };
        let client = ClientNode {
            id: ClientId(index as u64),
            schedule: Arc::clone(schedule),
            plan,
            position: 0,
            repeats: 0,
            requests: 0,
            wary: 0,
            open: None,
            knowledge: Knowledge::default(),
        };
        if let Some(first) = client.planned() {
            io.set_timer(NEXT, first.think);
        }
        client
    }

    pub(crate) fn handle(
        &mut self,
        input: Input<Message>,
        recorder: &mut Recorder,
        counts: &mut ClientCounts,
        io: &mut Io<'_, Message>,
    ) {
        match input {
            Input::Timer(NEXT) => self.invoke(recorder, counts, io),
            Input::Timer(_) => self.give_up(recorder, counts, io),
            Input::Message { message: Message::Reply { id, result }, .. } => {
                // An answer to what was given up comes too late.
                if let Some(open) = self.open.take_if(|open| open.request_id == id) {
                    io.cancel_timer(TIMEOUT);
                    self.complete(open, *result, recorder, counts, io);
                }
            }
            Input::Message { .. } | Input::Disk { .. } => unreachable!("clients get replies only"),
        }
    }

    fn planned(&self) -> Option<&PlannedOperation> {
        match &self.plan {
            Plan::Scheduled(index) => self.schedule.clients[*index].operations.get(self.position),
            Plan::Probe(_, operations) => operations.get(self.position),
        }
    }

    fn invoke(
        &mut self,
        recorder: &mut Recorder,
        counts: &mut ClientCounts,
        io: &mut Io<'_, Message>,
    ) {
        let Some(planned) = self.planned() else { return };
        let member = match self.plan {
            Plan::Scheduled(_) => {
                NodeId((planned.member.0 + self.repeats) % self.schedule.cluster.member_nodes())
            }
            Plan::Probe(..) => planned.member,
        };
        let request = match (&self.plan, &planned.action) {
            // Another value each time, so that a later answer tells which attempts took effect.
            (Plan::Probe(..), Action::Put(key, value)) => {
                let value = Value::short(value.number + self.requests * PROBE_VALUES);
                to_request(&Action::Put(*key, value), &self.knowledge)
            }
            (_, action) if self.wary > 0 => to_request(&action.reading(), &self.knowledge),
            (_, action) => to_request(action, &self.knowledge),
        };
        let operation = recorder.invoke(world_time(io.now()), self.id, to_operation(&request));
        let request_id = self.requests;
        self.requests += 1;
        counts.invoked += 1;
        io.send(member, Message::Request { id: request_id, request: Box::new(request.clone()) });
        io.set_timer(TIMEOUT, self.schedule.cluster.client_timeout);
        self.open = Some(Open { operation, request_id, request });
    }

    fn give_up(
        &mut self,
        recorder: &mut Recorder,
        counts: &mut ClientCounts,
        io: &mut Io<'_, Message>,
    ) {
        let Some(open) = self.open.take() else { return };
        recorder.info(world_time(io.now()), open.operation, "the client gave up waiting");
        self.note_unknown(&open, counts, io);
        self.proceed(Attempt::Unknown, counts, io);
    }

    fn complete(
        &mut self,
        open: Open,
        result: Result<Response, Error>,
        recorder: &mut Recorder,
        counts: &mut ClientCounts,
        io: &mut Io<'_, Message>,
    ) {
        let now = world_time(io.now());
        let attempt = match result {
            Ok(response) => {
                recorder.ok(now, open.operation, to_result(&open.request, &response));
                self.knowledge.learn(&open.request, &response);
                counts.ok += 1;
                if counts.healed && matches!(self.plan, Plan::Scheduled(_)) {
                    counts.ok_after_heal += 1;
                }
                Attempt::Answered
            }
            Err(error) if error.is_definite() => {
                recorder.fail(now, open.operation, error.to_string());
                counts.failed += 1;
                match error {
                    Error::Store(error) => {
                        io.mark(match error {
                            quorate_mvcc::Error::Compacted => "refused-as-compacted",
                            quorate_mvcc::Error::FutureRevision => "refused-as-future",
                            _ => "refused-by-store",
                        });
                        // The store has spoken: to ask again would change nothing.
                        Attempt::Answered
                    }
                    Error::TooManyRequests => {
                        io.mark("proposal-refused-uncommitted");
                        Attempt::Refused
                    }
                    _ => Attempt::Refused,
                }
            }
            Err(error) => {
                recorder.info(now, open.operation, error.to_string());
                self.note_unknown(&open, counts, io);
                Attempt::Unknown
            }
        };
        self.proceed(attempt, counts, io);
    }

    fn note_unknown(&mut self, open: &Open, counts: &mut ClientCounts, io: &mut Io<'_, Message>) {
        counts.unknown += 1;
        io.mark("outcome-unknown");
        if !open.request.is_read_only() {
            // It is one of these itself.
            self.wary = READS_AFTER_UNKNOWN + 1;
        }
    }

    fn proceed(&mut self, attempt: Attempt, counts: &mut ClientCounts, io: &mut Io<'_, Message>) {
        self.wary = self.wary.saturating_sub(u32::from(attempt != Attempt::Refused));
        let mut backoff = BACKOFF;
        let again = match (&self.plan, attempt) {
            (_, Attempt::Answered) => false,
            (Plan::Probe(..), _) => true,
            (Plan::Scheduled(_), Attempt::Unknown) => false,
            (Plan::Scheduled(_), Attempt::Refused) => self.repeats < MAX_REPEATS,
        };
        if again {
            self.repeats += 1;
            if matches!(self.plan, Plan::Probe(..)) && attempt == Attempt::Unknown {
                // A member that has left may still pass writes on, and never hear what became of
                // them. Reads have to be answered first, so that there are few such writes, and
                // what became of them is seen; else nobody could judge the history.
                self.position = 0;
                backoff = PATIENCE;
            }
            io.set_timer(NEXT, backoff);
            return;
        }
        self.repeats = 0;
        self.position += 1;
        match self.planned() {
            Some(next) => {
                let think = next.think;
                io.set_timer(NEXT, think);
            }
            None => {
                if let Plan::Probe(member, _) = &self.plan {
                    counts.probers_done[member.index()] = true;
                }
            }
        }
    }

    pub(crate) fn describe(&self) -> Json {
        json!({
            "client": self.id.0,
            "position": self.position,
            "open": self.open.as_ref().map(|open| open.operation.0),
        })
    }
}

/// What became of one attempt at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Answered,
    Refused,
    Unknown,
}

/// Everything that a member has to be able to do once the faults are over.
fn probe(member: NodeId, heal_at: Nanos) -> Vec<PlannedOperation> {
    let key = Key(FIRST_PROBE_KEY + member.0);
    let actions = [
        Action::Get(key),
        Action::Put(key, Value::short(FIRST_PROBE_KEY + member.0)),
        Action::GetSerializable(key),
        Action::Get(key),
    ];
    let operation = |(position, action)| {
        let think = if position == 0 { heal_at } else { Nanos::ZERO };
        PlannedOperation { think, member, action }
    };
    actions.into_iter().enumerate().map(operation).collect()
}
