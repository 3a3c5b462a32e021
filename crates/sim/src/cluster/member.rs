//! A member in the world: the driver of [`quorate_member::Member`], as the server shell is one.
//!
//! It carries the member's outputs out and notes, for the invariants, what the member let the
//! world know in each step.

use std::collections::BTreeMap;

use quorate_member::{
    BatchId, Config, Input as MemberInput, Member, Output, PeerMessage, RecoveryError, Request,
    RequestToken, Response, Time, Timer,
};
use quorate_mvcc::{OpenError, StoreOptions};
use quorate_raft::{AppendOutcome, Body, LogIndex, NodeId as RaftId, Options, Term};
use quorate_wal::WalError;
use quorate_wal::disk::DiskError;
use serde_json::{Value, json};

use super::message::Message;
use super::milestones::Milestones;
use crate::engine::{Input, Io, LocalTime, Nanos, NoStart, NodeId, TimerId};
use crate::schedule::{ClusterPlan, Schedule};

/// How often a member looks after its store.
const UPKEEP: Nanos = Nanos::from_millis(200);

/// The cluster's id on its members' disks.
const CLUSTER_ID: u64 = 0x71756f_72617465;

/// A member, and who waits for its answers.
#[derive(Debug)]
pub(crate) struct MemberNode {
    pub(crate) member: Member,
    /// What it let the world know in the last step.
    pub(crate) activity: Activity,
    sessions: BTreeMap<RequestToken, Session>,
    next_token: u64,
    /// The request that this step began with.
    opened: Option<RequestToken>,
    milestones: Milestones,
    election_timeout: Nanos,
    heartbeat: Nanos,
    housekeeping: Nanos,
}

/// A client's open request.
#[derive(Debug)]
struct Session {
    client: NodeId,
    id: u32,
    /// `None` for what does not concern the store.
    kind: Option<RequestKind>,
    /// What any client had been told when the request arrived.
    acknowledged: LogIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Write,
    LinearizableRead,
    SerializableRead,
}

/// What a member let the world know in one step.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// The highest term of a message that it sent.
    pub(crate) sent_term: Term,
    /// Votes that it granted: the term, and to whom.
    pub(crate) granted: Vec<(Term, RaftId)>,
    /// Its acknowledgements: the term, and up to which index.
    pub(crate) accepted: Vec<(Term, LogIndex)>,
    /// What it answered to clients.
    pub(crate) answers: Vec<Answer>,
    /// The batch that it handed to its disk.
    pub(crate) submitted: Option<BatchId>,
    /// The first entry of its log that changed.
    pub(crate) changed_from: Option<LogIndex>,
    /// The batch on its disk failed: what it was to write may be there or not.
    pub(crate) batch_failed: bool,
}

/// A successful answer to a client.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: RequestKind,
    pub(crate) term: Term,
    pub(crate) revision: i64,
    /// What the member had applied when it answered.
    pub(crate) applied: LogIndex,
    /// What any client had been told when the request arrived.
    pub(crate) acknowledged: LogIndex,
}

impl Activity {
    fn clear(&mut self) {
        self.sent_term = Term(0);
        self.granted.clear();
        self.accepted.clear();
        self.answers.clear();
        self.submitted = None;
        self.changed_from = None;
        self.batch_failed = false;
    }
}

pub(crate) fn to_raft_id(node: NodeId) -> RaftId {
    RaftId(u64::from(node.0) + 1)
}

pub(crate) fn to_node(id: RaftId) -> NodeId {
    NodeId((id.0 - 1) as u32)
}

impl MemberNode {
    /// `founds`: on an empty disk it founds the cluster with others, instead of joining it.
    ///
    /// # Errors
    /// Why the member does not start, and whether it makes sense to try again.
    pub(crate) fn boot(
        schedule: &Schedule,
        founds: bool,
        io: &mut Io<'_, Message>,
    ) -> Result<MemberNode, (NoStart, String)> {
        let plan = &schedule.cluster;
        let node = io.node();
        let founders = (0..plan.members).map(|index| to_raft_id(NodeId(index)));
        let founders = founds.then(|| founders.collect());
        // The incarnation is unique per node, and the node's number makes it so in the cluster.
        let first_request_id = u64::from(node.0) << 48 | u64::from(io.incarnation()) << 32;
        let config = Config {
            wal: quorate_wal::WalOptions { segment_bytes: plan.wal_segment_bytes },
            store: store_options(plan),
            chunk_bytes: (plan.wal_segment_bytes / 16).max(64) as u32,
            upkeep_bytes: (plan.wal_segment_bytes / 4) as usize,
            request_timeout_ns: plan.request_timeout.as_nanos(),
            read_retry_ns: plan.read_retry.as_nanos(),
            election_timeout_ns: plan.election_timeout.as_nanos(),
            clock_drift_ppm: plan.lease.as_ref().map_or(0, |lease| lease.clock_drift_ppm),
            snapshot_every: plan.snapshots.every,
            snapshot_keep: plan.snapshots.keep,
            snapshot_bytes: plan.wal_segment_bytes * 4,
            snapshot_retry_ns: plan.election_timeout.as_nanos() * 4,
            raft: to_options(plan, node),
            ..Config::new(to_raft_id(node), CLUSTER_ID, founders, first_request_id)
        };
        let now = to_time(io.now());
        let (member, report) = Member::start(config, io.disk(), now)
            .map_err(|error| (no_start(&error), error.to_string()))?;
        if report.torn_tail.is_some() {
            io.mark("torn-tail-repaired");
        }
        if !report.log_damage.is_empty() {
            io.mark("log-damage-met");
        }
        if !report.damaged_snapshots.is_empty() {
            io.mark("snapshot-passed-over");
        }
        if report.started_over.is_some() {
            io.mark("started-over");
        }
        if report.entries > 0 {
            io.mark("member-recovered-entries");
        }
        if report.snapshot.is_some() {
            io.mark("snapshot-recovered");
        }
        let mut booted = MemberNode {
            milestones: Milestones::of(&member),
            member,
            activity: Activity::default(),
            sessions: BTreeMap::new(),
            next_token: 0,
            opened: None,
            election_timeout: plan.election_timeout,
            heartbeat: plan.heartbeat,
            housekeeping: Nanos::from_nanos(plan.read_retry.as_nanos() / 2),
        };
        booted.carry_out(io);
        Ok(booted)
    }

    /// Nothing happened to the member.
    pub(crate) fn idle(&mut self) {
        self.activity.clear();
    }

    pub(crate) fn handle(
        &mut self,
        input: Input<Message>,
        acknowledged: LogIndex,
        io: &mut Io<'_, Message>,
    ) {
        self.activity.clear();
        self.opened = None;
        let input = match input {
            Input::Message { message: Message::Peer(message), .. } => MemberInput::Peer(message),
            Input::Message { from, message: Message::Request { id, request } } => {
                self.open_session(from, id, *request, acknowledged)
            }
            Input::Message { message: Message::Reply { .. }, .. } => {
                unreachable!("replies go to clients")
            }
            Input::Timer(timer) => MemberInput::Timer(from_timer_id(timer)),
            Input::Disk { token, result } => {
                self.activity.batch_failed = result.is_err();
                MemberInput::Disk { batch: BatchId(token), result }
            }
        };
        let now = to_time(io.now());
        self.member.handle(now, input, io.contents());
        self.carry_out(io);
        self.milestones.note(&self.member, io);
    }

    fn open_session(
        &mut self,
        client: NodeId,
        id: u32,
        request: Request,
        acknowledged: LogIndex,
    ) -> MemberInput {
        let kind = match (request.is_read_only(), request.is_serializable()) {
            (false, _) => RequestKind::Write,
            (true, false) => RequestKind::LinearizableRead,
            (true, true) => RequestKind::SerializableRead,
        };
        // Who is told that somebody else leads learns nothing of the store.
        let kind = Some(kind).filter(|_| !matches!(request, Request::TransferLeadership(_)));
        let token = RequestToken(self.next_token);
        self.next_token += 1;
        self.opened = Some(token);
        self.sessions.insert(token, Session { client, id, kind, acknowledged });
        MemberInput::Request { token, request }
    }

    fn carry_out(&mut self, io: &mut Io<'_, Message>) {
        while let Some(output) = self.member.poll() {
            match output {
                Output::Send(message) => {
                    let to = self.note_message(&message);
                    io.send(to, Message::Peer(message));
                }
                Output::Reply { token, result } => {
                    let session =
                        self.sessions.remove(&token).expect("each request is answered once");
                    if let Ok(response) = &result {
                        let at_once = self.opened == Some(token);
                        self.note_answer(&session, response, at_once, io);
                    }
                    let message = Message::Reply { id: session.id, result: Box::new(result) };
                    io.send(session.client, message);
                }
                Output::SetTimer(timer) => {
                    let after = match timer {
                        Timer::Election => self.election_timeout,
                        Timer::Jitter => io
                            .stream("election-jitter")
                            .between(Nanos::from_nanos(0), self.election_timeout),
                        Timer::Heartbeat => self.heartbeat,
                        Timer::Housekeeping => self.housekeeping,
                        Timer::Upkeep => UPKEEP,
                    };
                    io.set_timer(to_timer_id(timer), after);
                }
                Output::Disk { batch, operations } => {
                    self.activity.submitted = Some(batch);
                    io.submit(batch.0, operations);
                }
                Output::Halt(_) => io.halt(),
            }
        }
        self.activity.changed_from = self.member.take_changed_from();
    }

    /// Notes what a message tells the world, and says to whom it goes.
    fn note_message(&mut self, message: &PeerMessage) -> NodeId {
        let activity = &mut self.activity;
        match message {
            PeerMessage::Propose { to, .. } | PeerMessage::Store { to, .. } => to_node(*to),
            PeerMessage::Raft { message, .. } => {
                activity.sent_term = activity.sent_term.max(message.term);
                match message.body {
                    Body::RequestVote { .. } => activity.granted.push((message.term, message.from)),
                    Body::RequestVoteReply { granted: true } => {
                        activity.granted.push((message.term, message.to));
                    }
                    Body::AppendReply(AppendOutcome::Accepted { matched }) => {
                        activity.accepted.push((message.term, matched));
                    }
                    _ => {}
                }
                to_node(message.to)
            }
        }
    }

    /// `at_once`: in the step in which it was asked.
    fn note_answer(
        &mut self,
        session: &Session,
        response: &Response,
        at_once: bool,
        io: &mut Io<'_, Message>,
    ) {
        let Some(kind) = session.kind else { return };
        io.mark(match kind {
            RequestKind::Write => "write-acknowledged",
            RequestKind::LinearizableRead => "linearizable-read",
            RequestKind::SerializableRead => "serializable-read",
        });
        if kind == RequestKind::LinearizableRead {
            let view = self.member.view();
            if view.leader != Some(view.id) {
                io.mark("linearizable-read-at-follower");
            } else if at_once && view.configuration.voters.len() > 1 {
                io.mark("lease-read");
            }
        }
        self.activity.answers.push(Answer {
            kind,
            term: response.term,
            revision: response.body.revision().0,
            applied: self.member.applied(),
            acknowledged: session.acknowledged,
        });
    }

    pub(crate) fn describe(&self) -> Value {
        let view = self.member.view();
        json!({
            "term": view.term.0,
            "role": format!("{:?}", view.role).to_lowercase(),
            "vote": view.vote.map(|vote| to_node(vote).0),
            "leader": view.leader.map(|leader| to_node(leader).0),
            "last_index": view.log.last_index().0,
            "last_term": view.log.last_term().0,
            "commit": view.commit.0,
            "applied": self.member.applied().0,
            "durable_index": view.durable_index.0,
            "configuration": view.configuration.to_string(),
            "configuration_index": view.membership.current_index().0,
            "snapshot": view.snapshot.index.0,
            "base": view.log.base().0,
            "revision": self.member.store().revision().0,
        })
    }
}

/// Sizes so small that a short life sees segments ended, merged, and read back from the disk.
fn store_options(plan: &ClusterPlan) -> StoreOptions {
    let segment_bytes = (plan.wal_segment_bytes / 4) as u32;
    StoreOptions {
        segment_bytes,
        flush_bytes: segment_bytes / 16,
        cache_bytes: segment_bytes as usize / 8,
    }
}

/// Whether a service manager should try again.
fn no_start(error: &RecoveryError) -> NoStart {
    let error = match error {
        RecoveryError::Wal(WalError::Disk(error)) => error,
        RecoveryError::Store { error: OpenError::Disk(error), .. } => error,
        _ => return NoStart::Refused,
    };
    match error {
        DiskError::Io { .. } | DiskError::NoSpace { .. } => NoStart::DiskFailed,
        _ => NoStart::Refused,
    }
}

/// Its limits, and its own priority.
fn to_options(plan: &ClusterPlan, node: NodeId) -> Options {
    let limits = &plan.limits;
    Options {
        max_entries_per_message: limits.entries_per_message as usize,
        max_bytes_per_message: limits.bytes_per_message,
        max_inflight_messages: limits.inflight_messages as usize,
        max_inflight_bytes: limits.inflight_bytes,
        max_uncommitted_bytes: limits.uncommitted_bytes,
        priority: plan.priorities.get(node.index()).copied().unwrap_or(0),
        lease_reads: plan.lease.is_some(),
    }
}

fn to_time(now: LocalTime) -> Time {
    Time(now.as_nanos())
}

fn to_timer_id(timer: Timer) -> TimerId {
    TimerId(match timer {
        Timer::Election => 0,
        Timer::Heartbeat => 1,
        Timer::Housekeeping => 2,
        Timer::Jitter => 3,
        Timer::Upkeep => 4,
    })
}

fn from_timer_id(timer: TimerId) -> Timer {
    match timer.0 {
        0 => Timer::Election,
        1 => Timer::Heartbeat,
        2 => Timer::Housekeeping,
        3 => Timer::Jitter,
        4 => Timer::Upkeep,
        other => unreachable!("timer {other} was never set"),
    }
}
