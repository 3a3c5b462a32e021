//! The state machine itself: its state, its two verbs, and the order of its effects.

use crate::configuration::{Configuration, Snapshot};
use crate::io::{Io, Need};
use crate::log::Log;
use crate::membership::Membership;
use crate::message::{Body, DropReason, Effect, EntryMeta, EntryRange, Event, Message, TimerKind};
use crate::outbox::{Outbox, Write};
use crate::progress::{Progress, Window};
use crate::read::Reads;
use crate::restored::{InvalidState, Options, Restored};
use crate::transfer::Transfer;
use crate::types::{HardState, LogIndex, NodeId, Term};
use crate::view::{ProtocolView, Role};
use crate::votes::Votes;

/// One member of a consensus group. The crate's documentation has the driver's contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) id: NodeId,
    pub(crate) options: Options,

    /// Never decreases.
    pub(crate) term: Term,
    /// Written at most once a term.
    pub(crate) vote: Option<NodeId>,
    pub(crate) role: RoleState,
    pub(crate) log: Log,
    pub(crate) membership: Membership,
    /// The latest snapshot: at or after the log's base.
    pub(crate) snapshot: Snapshot,
    /// Never decreases; at most the log's last index.
    pub(crate) commit: LogIndex,
    /// Handed out to be applied: at most `commit`, at most what is durable here.
    pub(crate) applying: LogIndex,
    pub(crate) io: Io,
    /// It abstains until it knows this entry to be committed, or has one of a later term than this.
    pub(crate) doubtful: (LogIndex, Term),
    /// No leader was heard of for an election timeout. Until then a follower votes for nobody,
    /// whatever the term: its leader may hold a lease that rests on it.
    pub(crate) leader_silent: bool,
    /// It has asked for pre-votes since a leader was heard.
    pub(crate) has_stood: bool,
    /// After the election timeout, the jitter is running.
    pub(crate) jitter: bool,

    outbox: Outbox,
    /// Events were handled since effects were last handed out.
    handled: bool,
    /// What they have changed.
    pending: Pending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoleState {
    Follower { leader: Option<NodeId> },
    PreCandidate { votes: Votes },
    Candidate { votes: Votes },
    Leader(Box<Leadership>),
}

/// What only a leader has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leadership {
    /// The other members, in ascending order.
    pub(crate) progress: Vec<Progress>,
    pub(crate) reads: Reads,
    pub(crate) transfer: Transfer,
    /// Payload bytes of the entries after the commit index.
    pub(crate) uncommitted_bytes: u64,
}

/// What events have led to, gathered so that one write carries all that their messages rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Pending {
    hard_state: bool,
    snapshot: bool,
    first_new_entry: Option<LogIndex>,
    /// There is something new for followers: entries, or a commit.
    followers: bool,
}

impl Raft {
    /// A member as it comes up: a follower that waits for a leader. Effects wait in
    /// [`Raft::poll`] from the start: a timer, and what is known to be committed.
    ///
    /// The log may be of a later term than the hard state: a crash that tore the write of both
    /// has left entries alone. Then nobody was told of a vote in that term, and the member takes
    /// part in it as one that has not voted. In the same way the hard state may not know yet that
    /// the snapshot is committed.
    ///
    /// # Errors
    /// If the state is not one that this protocol can have written.
    ///
    /// # Panics
    /// If a limit of the options that must not be 0 is.
    pub fn new(mut restored: Restored) -> Result<Raft, InvalidState> {
        let (commit, membership) = restored.validate()?;
        let Restored { id, snapshot, hard_state, log, changes: _, doubtful, options } = restored;
        // Who was in no term in which somebody could lead has promised nothing to any leader. The
        // founding entry takes term 1 for itself.
        let by_log = snapshot.index == LogIndex::ZERO && snapshot.configuration.is_empty();
        let fresh = hard_state.term.max(log.last_term()) <= Term(u64::from(by_log));
        assert!(
            options.max_entries_per_message > 0 && options.max_inflight_messages > 0,
            "limits are not 0"
        );
        let mut raft = Raft {
            id,
            options,
            term: hard_state.term,
            vote: hard_state.vote,
            role: RoleState::Follower { leader: None },
            commit,
            applying: snapshot.index,
            io: Io::restored(hard_state, log.last_index()),
            doubtful: (doubtful, hard_state.term.max(log.last_term())),
            membership,
            snapshot,
            leader_silent: fresh,
            has_stood: false,
            jitter: false,
            log,
            outbox: Outbox::default(),
            handled: false,
            pending: Pending::default(),
        };
        if raft.log.last_term() > raft.term {
            raft.enter_term(raft.log.last_term());
        }
        // Not as a reset: it may fire before the driver has looked for effects.
        raft.effect(Effect::SetTimer(TimerKind::Election));
        raft.handled = true;
        Ok(raft)
    }

    /// Takes one event in. Its effects wait in [`Raft::poll`].
    ///
    /// # Panics
    /// If a broken invariant comes to light (two leaders in a term, a follower that acknowledged
    /// what it was never sent, a commit index past the end of the log), or if the driver breaks
    /// its contract: a message for another member, a write that was never asked for, a snapshot of
    /// what was not handed out to be applied, a compaction while effects wait.
    pub fn handle(&mut self, event: Event) {
        match event {
            // It fired before the driver could know that it starts anew. To a follower that has
            // heard its leader just now it would say that nobody leads, and so break a promise on
            // which that leader's lease rests.
            Event::Timer(timer) if self.outbox.sets_timer(timer) => {}
            Event::Message(message) => self.handle_message(message),
            Event::Propose { sizes } => self.handle_propose(&sizes),
            Event::ProposeChange { change, size } => self.handle_propose_change(change, size),
            Event::Persisted(id) => {
                if self.io.persisted(id) {
                    self.handle_durable();
                }
            }
            Event::Read(id) => self.handle_read(id),
            Event::LeaseRead { id, round } => self.handle_lease_read(id, round),
            Event::Timer(TimerKind::Election) => self.handle_election_timeout(),
            Event::Timer(TimerKind::Jitter) => self.handle_jitter(),
            Event::Timer(TimerKind::Heartbeat) => self.handle_heartbeat_timeout(),
            Event::Transfer { to } => self.handle_transfer(to),
            Event::ForgetLeader => self.handle_forget_leader(),
            Event::Unreachable(peer) => self.handle_unreachable(peer),
            Event::SnapshotReport { to, delivered } => self.handle_snapshot_report(to, delivered),
            Event::Compact { snapshot, through } => {
                assert!(!self.handled && self.outbox.is_empty(), "effects may need what goes");
                self.handle_compact(snapshot, through);
            }
        }
        self.handled = true;
    }

    /// Hands one effect out. The order is the order in which they are to be begun.
    pub fn poll(&mut self) -> Option<Effect> {
        if self.handled {
            self.flush();
        }
        self.outbox.pop(&self.io)
    }

    /// The member's state, for invariants, model checkers and traces.
    #[must_use]
    pub fn view(&self) -> ProtocolView<'_> {
        ProtocolView::of(self)
    }

    /// This member.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its term.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Its log, without payloads.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Which of its entries change the membership, and what is in force.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// What it takes for committed.
    #[must_use]
    pub fn commit(&self) -> LogIndex {
        self.commit
    }

    /// What it is in its term.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.role {
            RoleState::Follower { .. } => Role::Follower,
            RoleState::PreCandidate { .. } => Role::PreCandidate,
            RoleState::Candidate { .. } => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }

    /// Whom it takes for the leader of its term, which may be itself.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match self.role {
            RoleState::Follower { leader } => leader,
            RoleState::PreCandidate { .. } | RoleState::Candidate { .. } => None,
            RoleState::Leader(_) => Some(self.id),
        }
    }

    fn handle_message(&mut self, message: Message) {
        assert_eq!(message.to, self.id, "a message for another member was delivered here");
        let Message { from, term, body, .. } = message;
        if term > self.term {
            if self.keeps_to_its_term(&body) {
                return;
            }
            if !matches!(body, Body::PreVote { .. }) {
                self.enter_term(term);
            }
        }
        if term < self.term && !matches!(body, Body::PreVote { .. } | Body::PreVoteReply { .. }) {
            self.answer_stale(from, &body);
            return;
        }
        match body {
            Body::PreVote { last_index, last_term, priority } => {
                self.handle_pre_vote(from, term, (last_term, last_index), priority);
            }
            Body::PreVoteReply { campaign, granted } => {
                self.handle_pre_vote_reply(from, campaign, granted);
            }
            Body::RequestVote { last_index, last_term, transfer } => {
                self.handle_request_vote(from, (last_term, last_index), transfer);
            }
            Body::RequestVoteReply { granted } => self.handle_vote(from, granted),
            Body::Append { previous_index, previous_term, entries, changes, commit } => {
                let previous = (previous_index, previous_term);
                self.handle_append(from, previous, &entries, changes, commit);
            }
            Body::AppendReply(outcome) => self.handle_append_reply(from, outcome),
            Body::Commit { commit } => self.handle_commit(from, commit),
            Body::Heartbeat { commit, round } => self.handle_heartbeat(from, commit, round),
            Body::HeartbeatReply { round } => self.handle_heartbeat_reply(from, round),
            Body::Snapshot(snapshot) => self.handle_snapshot(from, *snapshot),
            Body::TimeoutNow => self.handle_timeout_now(from),
            Body::ReadIndex { id } => self.handle_read_index(from, id),
            Body::ReadIndexReply { id, index } => self.effect(Effect::ReadReady { id, index }),
        }
    }

    /// All that has changed is written at once, then what rests on it is sent.
    fn flush(&mut self) {
        self.handled = false;
        if std::mem::take(&mut self.pending.followers) {
            self.update_followers();
        }
        self.write();
        self.hand_out_committed();
    }

    /// What is applied here is also durable here: whoever reads from this member sees nothing
    /// that this member could forget.
    fn hand_out_committed(&mut self) {
        if self.applying < self.log.base() {
            if self.io.index() < self.log.base() {
                return;
            }
            self.applying = self.snapshot.index;
            self.outbox.restore(&self.snapshot);
        }
        let last = self.commit.min(self.io.index());
        if last > self.applying {
            let range = EntryRange { first: self.applying.next(), last };
            self.outbox.commit(range);
            self.applying = last;
        }
    }

    fn write(&mut self) {
        let first = self.pending.first_new_entry.take();
        let entries = first.map(|first| EntryRange { first, last: self.log.last_index() });
        let snapshot =
            std::mem::take(&mut self.pending.snapshot).then(|| Box::new(self.snapshot.clone()));
        let hard_state_changed = std::mem::take(&mut self.pending.hard_state);
        if !hard_state_changed && entries.is_none() && snapshot.is_none() {
            return;
        }
        let hard_state = HardState { term: self.term, vote: self.vote, commit: self.commit };
        let news = hard_state != self.io.issued_hard_state();
        let id = self.io.issue(hard_state, self.log.last_index());
        let hard_state = news.then_some(hard_state);
        self.outbox.write(Write { id, snapshot, entries, hard_state });
    }

    /// Takes part in a new term, as a follower that has not voted (§5.1).
    pub(crate) fn enter_term(&mut self, term: Term) {
        assert!(term > self.term, "terms never go back: {term} after {}", self.term);
        // What a leader has for its followers is of the term that it leaves.
        if std::mem::take(&mut self.pending.followers) {
            self.update_followers();
        }
        self.term = term;
        self.vote = None;
        self.pending.hard_state = true;
        self.become_follower(None);
    }

    pub(crate) fn become_follower(&mut self, leader: Option<NodeId>) {
        let before = std::mem::replace(&mut self.role, RoleState::Follower { leader });
        if let RoleState::Leader(leadership) = before {
            // Its own promises, if it made any, were to itself.
            self.leader_silent = true;
            self.drop_reads(leadership.reads);
            self.reset_election_timer();
        }
    }

    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        assert!(self.vote.is_none_or(|vote| vote == candidate), "one vote a term");
        self.vote = Some(candidate);
        self.pending.hard_state = true;
    }

    pub(crate) fn append_entries(&mut self, entries: impl Iterator<Item = EntryMeta>) {
        self.pending.first_new_entry.get_or_insert(self.log.last_index().next());
        self.log.extend(entries);
    }

    /// # Panics
    /// If that would remove a committed entry (CommittedAppendOnly).
    pub(crate) fn truncate_log_after(&mut self, last: LogIndex) {
        assert!(last >= self.commit, "entry {} is committed and must stay", self.commit);
        self.take_back_writes();
        self.outbox.forget_entries_after(last);
        if let Some(first) = &mut self.pending.first_new_entry {
            *first = last.next().min(*first);
        }
        self.log.truncate_after(last);
        self.membership.truncate_after(last);
        self.io.truncated_after(last);
    }

    /// What was to be written, and was not handed out, is written with what follows: a write that
    /// names entries which are about to go could not be made.
    fn take_back_writes(&mut self) {
        for write in self.outbox.take_back_writes() {
            self.io.take_back(write.id);
            self.pending.hard_state |= write.hard_state.is_some();
            self.pending.snapshot |= write.snapshot.is_some();
            if let Some(range) = write.entries {
                let first = self.pending.first_new_entry.get_or_insert(range.first);
                *first = range.first.min(*first);
            }
        }
    }

    /// The log is replaced by a snapshot, which is committed.
    pub(crate) fn replace_log(&mut self, snapshot: Snapshot) {
        assert!(snapshot.index > self.commit, "what is committed here is not replaced");
        self.take_back_writes();
        self.outbox.forget_entries_after(LogIndex::ZERO);
        if let Some(range) = self.outbox.take_back_commit() {
            self.applying = range.first.previous();
        }
        self.pending.first_new_entry = None;
        self.io.truncated_after(self.commit);
        self.log = Log::after(snapshot.index, snapshot.term);
        self.membership = Membership::new(snapshot.index, snapshot.configuration.clone());
        self.commit = snapshot.index;
        self.snapshot = snapshot;
        self.pending.snapshot = true;
        self.pending.hard_state = true;
    }

    pub(crate) fn commit_to(&mut self, index: LogIndex) {
        assert!(index <= self.log.last_index(), "commit {index} is past the end of the log");
        self.commit = self.commit.max(index);
    }

    /// Followers have to hear of new entries, or of a commit.
    pub(crate) fn inform_followers(&mut self) {
        self.pending.followers = true;
    }

    pub(crate) fn send(&mut self, to: NodeId, need: Need, body: Body) {
        let message = Message { from: self.id, to, term: self.term, body };
        self.outbox.send(message, need);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.outbox.push(effect);
    }

    pub(crate) fn drop_proposal(&mut self, reason: DropReason) {
        self.effect(Effect::ProposalDropped(reason));
    }

    /// The election timeout begins anew.
    pub(crate) fn reset_election_timer(&mut self) {
        self.jitter = false;
        self.set_timer(TimerKind::Election);
    }

    pub(crate) fn set_timer(&mut self, timer: TimerKind) {
        self.outbox.set_timer(timer);
    }

    pub(crate) fn configuration(&self) -> &Configuration {
        self.membership.current()
    }

    /// How much may be under way to one follower.
    pub(crate) fn window(&self) -> Window {
        let Options { max_inflight_messages, max_inflight_bytes, .. } = self.options;
        Window { messages: max_inflight_messages, bytes: max_inflight_bytes }
    }
}
