//! The member itself: its state, what goes in and what comes out.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_mvcc::{Damage, Failure, Store};
use quorate_raft::{
    DropReason, Event, IoId, LogIndex, Message, NodeId, ProtocolView, Raft, Role, Term, TimerKind,
};
use quorate_wal::disk::{Disk, DiskError, DiskOp};

use crate::agreed::Agreed;
use crate::codec;
use crate::config::{Config, Elapsed, Time};
use crate::forwards::{Forwards, Ticket};
use crate::journal::{Entry, Journal, State};
use crate::lease::Lease;
use crate::proposals::{Proposals, RequestId};
use crate::reads::{Read, Reads};
use crate::request::{Error, Request, RequestToken, Response, ResponseBody};
use crate::snapshots::Snapshots;
use crate::store_messages::StoreMessage;
use crate::transfers::Transfers;
use crate::upkeep::Upkeep;

/// Names a batch of disk operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// What can happen to a member.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another member's message arrived.
    Peer(PeerMessage),
    /// A client asks.
    Request {
        /// By what the driver knows the answer.
        token: RequestToken,
        /// What is asked.
        request: Request,
    },
    /// A timer fired.
    Timer(Timer),
    /// A batch of disk operations is done, or failed.
    Disk {
        /// Which one.
        batch: BatchId,
        /// Whether all of it is durable.
        result: Result<(), DiskError>,
    },
}

/// What a driver has to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send to another member.
    Send(PeerMessage),
    /// Answer a client.
    Reply {
        /// Which request.
        token: RequestToken,
        /// The answer.
        result: Result<Response, Error>,
    },
    /// (Re)start a timer: from now on, for its full time.
    SetTimer(Timer),
    /// Carry these operations out in order, then hand in [`Input::Disk`]. One batch is under way
    /// at a time.
    Disk {
        /// Its name.
        batch: BatchId,
        /// What to do. Once the last one is done, all of it is durable.
        operations: Vec<DiskOp>,
    },
    /// What the disk holds is no longer known, and this member does nothing more. Stop it; a
    /// restart reads the disk anew.
    Halt(HaltReason),
}

/// A message between members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    /// Consensus.
    Raft {
        /// The message.
        message: Message,
        /// The payload of each entry that it announces; for a snapshot the manifest of the store.
        payloads: Vec<Bytes>,
    },
    /// A follower passes a client's write on to its leader.
    Propose {
        /// The follower.
        from: NodeId,
        /// Whom it takes for the leader.
        to: NodeId,
        /// In which term: the leader of another one does not take it.
        term: Term,
        /// By which a leader knows a second copy of the same message.
        ticket: Ticket,
        /// The encoded request.
        payload: Bytes,
    },
    /// What stores say to each other.
    Store {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// What is said.
        message: StoreMessage,
    },
}

impl PeerMessage {
    /// The member that it is for.
    #[must_use]
    pub fn to(&self) -> NodeId {
        match self {
            PeerMessage::Raft { message, .. } => message.to,
            PeerMessage::Propose { to, .. } | PeerMessage::Store { to, .. } => *to,
        }
    }
}

/// Why a member does nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HaltReason {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A snapshot that has just been received cannot be opened.
    #[error("the snapshot that was received cannot be opened: {0}")]
    Snapshot(#[from] quorate_mvcc::OpenError),
    /// Of the store, more is damaged than what others could help with while it is open.
    #[error(
        "the store is damaged beyond repair while it is open ({0}); start the member again: it goes \
         on from an older snapshot, or with what another member has"
    )]
    Unrepairable(Damage),
    /// The store is damaged, and there is no other member.
    #[error(
        "the store is damaged ({0}), and there is no other member to repair it from; 'quorate store \
         verify' lists what is damaged; restore the data directory from a copy"
    )]
    NoCopy(Damage),
}

/// The timers that a driver keeps for a member. Setting one again replaces it, even if it has fired
/// and [`Input::Timer`] was not handed in yet: leases rest on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// For [`TimerKind::Election`]: [`Config::election_timeout_ns`], never less.
    Election,
    /// For [`TimerKind::Jitter`]: random, at most an election timeout.
    Jitter,
    /// For [`TimerKind::Heartbeat`].
    Heartbeat,
    /// Gives up and repeats what waits for too long; a fraction of the retry time.
    Housekeeping,
    /// Looks after the store: some tenth of a second.
    Upkeep,
}

/// One member of a cluster.
///
/// After a start it does not know how much it had applied, and shown to clients, before. It
/// therefore confirms one read index of its own before it answers even serializable reads: at one
/// member, the revision never goes back (etcd's guarantee 11).
#[derive(Debug)]
pub struct Member {
    pub(crate) config: Config,
    pub(crate) raft: Raft,
    pub(crate) journal: Journal,
    pub(crate) store: Store,
    /// The store reflects all entries up to here.
    pub(crate) applied: LogIndex,
    /// What consensus has handed out and the store does not reflect yet.
    pub(crate) agreed: Agreed,
    /// Its first own read index was confirmed and is applied.
    pub(crate) caught_up: bool,
    pub(crate) proposals: Proposals,
    pub(crate) reads: Reads,
    pub(crate) lease: Lease,
    transfers: Transfers,
    pub(crate) snapshots: Snapshots,
    pub(crate) upkeep: Upkeep,
    forwards: Forwards,
    /// Why consensus did not take what it was just handed.
    pub(crate) dropped: Option<DropReason>,
    /// Messages that wait for a write to be durable.
    pub(crate) held: VecDeque<(IoId, PeerMessage)>,
    pub(crate) outputs: VecDeque<Output>,
    /// Time since the start.
    pub(crate) now: Time,
    elapsed: Elapsed,
    housekeeping: bool,
    halted: bool,
}

/// What a member starts with besides its log.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) store: Store,
    /// The snapshots that have a file, oldest first: the store is at the last one.
    pub(crate) kept: VecDeque<State>,
}

impl Member {
    /// `state` is what the log goes on from.
    pub(crate) fn assemble(
        config: Config,
        raft: Raft,
        journal: Journal,
        state: Started,
        now: Time,
        disk: &dyn Disk,
    ) -> Member {
        let first = config.first_request_id;
        let Started { store, kept } = state;
        let applied = kept.back().map_or(LogIndex::ZERO, |state| state.snapshot.index);
        let mut member = Member {
            proposals: Proposals::new(first),
            reads: Reads::new(first),
            lease: Lease::new(config.election_timeout_ns, config.clock_drift_ppm),
            transfers: Transfers::default(),
            snapshots: Snapshots::new(kept),
            upkeep: Upkeep::default(),
            forwards: Forwards::default(),
            dropped: None,
            config,
            raft,
            journal,
            store,
            applied,
            agreed: Agreed::default(),
            caught_up: false,
            held: VecDeque::new(),
            outputs: VecDeque::new(),
            now: Time(0),
            elapsed: Elapsed::begin(now),
            housekeeping: false,
            halted: false,
        };
        member.outputs.push_back(Output::SetTimer(Timer::Upkeep));
        member.carry_out_effects(LogIndex::ZERO, &[]);
        member.reads.push(Read::CatchUp);
        let configuration = member.raft.view().configuration;
        if configuration.voters == [member.config.id] && configuration.outgoing.is_empty() {
            // There is nobody to wait for.
            member.step(Event::Timer(TimerKind::Election), &[]);
            member.step(Event::Timer(TimerKind::Jitter), &[]);
        }
        member.finish(disk);
        member
    }

    /// Takes one input in, at `now` on the member's own clock. Its outputs wait in
    /// [`Member::poll`]. The store is read from `disk`, on which the member was started and its
    /// batches are carried out; it is not written there.
    ///
    /// # Panics
    /// If an invariant of ours is broken, or if a committed entry cannot be decoded.
    pub fn handle(&mut self, now: Time, input: Input, disk: &dyn Disk) {
        if self.halted {
            return;
        }
        self.now = match self.elapsed.at(now) {
            Ok(now) => now,
            // Nobody knows how long it really was.
            Err(now) => {
                self.lease.forget();
                now
            }
        };
        match input {
            Input::Peer(message) if message.to() != self.config.id => {
                // Its sender knows an earlier member at this address.
            }
            Input::Peer(PeerMessage::Raft { message, payloads }) => {
                match Member::snapshot_of(&message).cloned() {
                    None => self.step(Event::Message(message), &payloads),
                    Some(snapshot) => self.receive_snapshot(message, snapshot, &payloads, disk),
                }
            }
            Input::Peer(PeerMessage::Store { from, message, .. }) => {
                self.handle_store_message(from, message, disk);
            }
            Input::Peer(PeerMessage::Propose { from, term, ticket, payload, .. }) => {
                // Who does not lead in that term drops it, and its client hears of a time-out.
                let leads = self.raft.role() == Role::Leader && self.raft.term() == term;
                if leads && self.is_write(&payload) && self.forwards.accept(term, from, ticket) {
                    // What is not taken: the client hears of a time-out as well.
                    let _ = self.propose(payload);
                }
            }
            Input::Request { token, request } => self.handle_request(token, request),
            Input::Timer(Timer::Election) => self.step(Event::Timer(TimerKind::Election), &[]),
            Input::Timer(Timer::Jitter) => self.step(Event::Timer(TimerKind::Jitter), &[]),
            Input::Timer(Timer::Heartbeat) => self.step(Event::Timer(TimerKind::Heartbeat), &[]),
            Input::Timer(Timer::Housekeeping) => self.keep_house(),
            Input::Timer(Timer::Upkeep) => {
                self.outputs.push_back(Output::SetTimer(Timer::Upkeep));
                self.keep_store(disk);
                self.give_up_snapshots();
                self.retry_receiving(disk);
                self.hand_over_snapshot();
                self.ask_for_snapshot();
            }
            Input::Disk { batch, result: Ok(()) } => self.handle_durable(batch, disk),
            Input::Disk { result: Err(error), .. } => {
                // After a failed sync nobody knows which pages are on the disk, and a second sync
                // would not say (fsyncgate).
                self.halt(error);
                return;
            }
        }
        if !self.halted {
            self.finish(disk);
        }
    }

    /// Hands one output out. The order is the order in which they are to be begun.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The state of consensus, for invariants and traces.
    #[must_use]
    pub fn view(&self) -> ProtocolView<'_> {
        self.raft.view()
    }

    /// One entry of the log, in memory.
    #[must_use]
    pub fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.journal.get(index)
    }

    /// The first entry that changed since the last call (at first: since the start), so that an
    /// observer need not look at the whole log after each input.
    pub fn take_changed_from(&mut self) -> Option<LogIndex> {
        self.journal.take_changed_from()
    }

    /// The store reflects all entries up to here.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The replicated state.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether it would answer a read by its lease alone, at `now` on its own clock.
    #[must_use]
    pub fn holds_lease(&self, now: Time) -> bool {
        let view = self.raft.view();
        let round = self.elapsed.clone().at(now).ok().and_then(|now| self.lease.at(now));
        self.config.raft.lease_reads
            && view.role == Role::Leader
            && !view.lease_forfeited
            && round.is_some_and(|round| round.term == view.term)
    }

    /// Whether it answers serializable reads from its own state (see [`Member`]).
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Does nothing more.
    pub(crate) fn halt(&mut self, reason: impl Into<HaltReason>) {
        self.halted = true;
        self.outputs.push_back(Output::Halt(reason.into()));
    }

    fn handle_request(&mut self, token: RequestToken, request: Request) {
        if let Err(error) = self.accept(token, request) {
            self.reply(token, Err(error));
        }
    }

    fn accept(&mut self, token: RequestToken, request: Request) -> Result<(), Error> {
        self.validate(&request)?;
        if self.proposals.len() + self.reads.len() >= self.config.max_waiting_requests {
            return Err(Error::TooManyRequests);
        }
        let deadline = Time(self.now.0 + self.config.request_timeout_ns);
        if request.is_read_only() {
            if request.is_serializable() && self.caught_up {
                self.reads.push_confirmed(self.applied, Read::Client { token, request, deadline });
            } else {
                self.reads.push(Read::Client { token, request, deadline });
            }
            return Ok(());
        }
        match &request {
            Request::ChangeMembers(change) => return self.change_members(token, change, deadline),
            Request::TransferLeadership(to) => return self.transfer(token, *to, deadline),
            _ => {}
        }
        let id = self.proposals.next_id();
        let payload = codec::encode(self.config.id, id, &request);
        if payload.len() > self.config.max_request_bytes {
            return Err(Error::TooLarge);
        }
        let leader = self.raft.leader().ok_or(Error::NoLeader)?;
        self.proposals.wait(id, token, deadline);
        if leader == self.config.id {
            let proposed = self.propose(payload);
            return self.refuse_if_dropped(id, proposed);
        }
        let (from, term) = (self.config.id, self.raft.term());
        let ticket = Ticket { process: self.config.first_request_id, number: id.0 };
        let message = PeerMessage::Propose { from, to: leader, term, ticket, payload };
        self.outputs.push_back(Output::Send(message));
        Ok(())
    }

    fn change_members(
        &mut self,
        token: RequestToken,
        change: &quorate_raft::MembershipChange,
        deadline: Time,
    ) -> Result<(), Error> {
        let id = self.proposals.next_id();
        self.proposals.wait(id, token, deadline);
        let proposed = self.propose_change(id, change);
        self.refuse_if_dropped(id, proposed)
    }

    /// What consensus has not taken has no effect, and nobody waits for it.
    fn refuse_if_dropped(
        &mut self,
        id: RequestId,
        proposed: Result<(), DropReason>,
    ) -> Result<(), Error> {
        let Err(reason) = proposed else { return Ok(()) };
        self.proposals.take(id);
        Err(match reason {
            DropReason::NotLeader => Error::NotLeader,
            DropReason::Transferring => Error::NoLeader,
            DropReason::TooMuchUncommitted => Error::TooManyRequests,
            DropReason::Change(error) => Error::Change(error),
        })
    }

    fn transfer(&mut self, token: RequestToken, to: NodeId, deadline: Time) -> Result<(), Error> {
        if self.raft.role() != Role::Leader {
            return Err(Error::NotLeader);
        }
        if to != self.config.id {
            if !self.raft.view().configuration.is_voter(to) {
                return Err(Error::BadTransferee);
            }
            self.step(Event::Transfer { to }, &[]);
        }
        self.transfers.wait(token, to, deadline);
        Ok(())
    }

    /// Whether another member's payload is a request as this one would propose it. Once it is in the
    /// log, every member has to apply it.
    fn is_write(&self, payload: &Bytes) -> bool {
        payload.len() <= self.config.max_request_bytes
            && codec::decode(payload).is_ok_and(|(_, _, request)| self.validate(&request).is_ok())
    }

    fn validate(&self, request: &Request) -> Result<(), Error> {
        match request {
            Request::Range(range) => quorate_mvcc::validate_range(range)?,
            Request::Put(put) => quorate_mvcc::validate_put(put)?,
            Request::DeleteRange(delete) => quorate_mvcc::validate_delete_range(delete)?,
            Request::Txn(txn) => quorate_mvcc::validate_txn(txn, self.config.max_txn_operations)?,
            Request::Compact(_) | Request::ChangeMembers(_) | Request::TransferLeadership(_) => {}
        }
        Ok(())
    }

    /// An error if the store cannot be read, and there is no answer yet.
    fn answer_read(
        &mut self,
        token: RequestToken,
        request: &Request,
        disk: &dyn Disk,
    ) -> Result<(), Damage> {
        let result = match request {
            Request::Range(range) => self.store.reader(disk).range(range).map(ResponseBody::Range),
            Request::Txn(txn) => self.store.applier(disk).txn(txn).map(ResponseBody::Txn),
            _ => unreachable!("only reads are answered without the log"),
        };
        self.reply_from_store(token, refusal(result)?);
        Ok(())
    }

    pub(crate) fn reply_from_store(
        &mut self,
        token: RequestToken,
        result: Result<ResponseBody, quorate_mvcc::Error>,
    ) {
        let (member, term) = (self.config.id, self.raft.view().durable.term);
        let result = result.map(|body| Response { member, term, body }).map_err(Error::Store);
        self.reply(token, result);
    }

    fn reply(&mut self, token: RequestToken, result: Result<Response, Error>) {
        self.outputs.push_back(Output::Reply { token, result });
    }

    fn handle_durable(&mut self, batch: BatchId, disk: &dyn Disk) {
        if let Some(written) = self.journal.completed(batch, &mut self.store) {
            self.step(Event::Persisted(written), &[]);
            while self.held.front().is_some_and(|(after, _)| after.sequence <= written.sequence) {
                let (_, message) = self.held.pop_front().expect("there is a front");
                self.outputs.push_back(Output::Send(message));
            }
        }
        self.finish_snapshot(batch, disk);
    }

    fn keep_house(&mut self) {
        self.housekeeping = false;
        let mut expired = self.proposals.expire(self.now);
        expired.extend(self.reads.expire(self.now));
        for token in self.transfers.expire(self.now) {
            self.reply(token, Err(Error::TransferTimedOut));
        }
        for token in expired {
            self.reply(token, Err(Error::TimedOut));
        }
        let before = self.now.0.checked_sub(self.config.read_retry_ns);
        if let Some(id) = before.and_then(|before| self.reads.retry(self.now, Time(before))) {
            self.ask_for_read_index(id);
        }
    }

    fn ask_for_read_index(&mut self, id: quorate_raft::ReadId) {
        let event = match self.lease.at(self.now) {
            Some(round) => Event::LeaseRead { id, round },
            None => Event::Read(id),
        };
        self.step(event, &[]);
    }

    /// What every input ends with: new reads are asked for, confirmed ones answered, and what was
    /// written goes to the disk.
    fn finish(&mut self, disk: &dyn Disk) {
        self.follow_up(disk);
        self.answer_confirmed_reads(disk);
        if self.raft.leader().is_some()
            && let Some(id) = self.reads.retry_dropped(self.now)
        {
            self.ask_for_read_index(id);
            self.follow_up(disk);
            self.answer_confirmed_reads(disk);
        }
        while let Some(id) = self.reads.next_request(self.now) {
            self.ask_for_read_index(id);
            self.follow_up(disk);
            self.answer_confirmed_reads(disk);
        }
        for token in self.transfers.done(self.raft.leader()) {
            let revision = self.store.revision();
            self.reply_from_store(token, Ok(ResponseBody::Transferred { revision }));
        }
        self.snapshot_if_due();
        if !self.raft.view().abstains {
            self.journal.caught_up();
        }
        if let Some((batch, operations)) = self.journal.submit(&mut self.store) {
            self.outputs.push_back(Output::Disk { batch, operations });
        }
        let waiting = self.proposals.len() + self.reads.len() + self.transfers.len() > 0;
        if waiting && !self.housekeeping {
            self.housekeeping = true;
            self.outputs.push_back(Output::SetTimer(Timer::Housekeeping));
        }
    }

    fn answer_confirmed_reads(&mut self, disk: &dyn Disk) {
        for read in self.reads.ready(self.applied) {
            match read {
                Read::Client { token, ref request, .. } => {
                    if let Err(damage) = self.answer_read(token, request, disk) {
                        self.note_damage(damage);
                        // It waits until that is repaired, or its time is over.
                        self.reads.push_confirmed(self.applied, read);
                    }
                }
                Read::CatchUp => self.caught_up = true,
            }
        }
    }
}

/// What every member answers alike, told from what only this one cannot.
pub(crate) fn refusal<T>(
    result: Result<T, Failure>,
) -> Result<Result<T, quorate_mvcc::Error>, Damage> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failure::Refused(error)) => Ok(Err(error)),
        Err(Failure::Damaged(damage)) => Err(damage),
    }
}
