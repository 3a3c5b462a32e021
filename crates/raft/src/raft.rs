//! The state machine itself: its state, its two verbs, and the order of its effects.

use std::collections::VecDeque;
use std::fmt;

use crate::io::{Io, Need};
use crate::log::Log;
use crate::message::{Body, Effect, EntryMeta, EntryRange, Event, Message, TimerKind};
use crate::progress::Progress;
use crate::read::Reads;
use crate::types::{HardState, LogIndex, NodeId, Term};
use crate::view::{ProtocolView, Role};

/// Limits on what is sent at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Entries in one append message, at most; not 0.
    pub max_entries_per_message: usize,
    /// Payload bytes in one append message, at most, unless a single entry is larger.
    pub max_bytes_per_message: u64,
    /// Append messages that may be under way to one follower; not 0.
    pub max_inflight_messages: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_entries_per_message: 1024,
            max_bytes_per_message: 1 << 20,
            max_inflight_messages: 256,
        }
    }
}

/// What a member starts from: its group, and what it finds on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restored {
    /// This member.
    pub id: NodeId,
    /// All members, this one among them, in any order.
    pub voters: Vec<NodeId>,
    /// The hard state on disk; the default for a new member.
    pub hard_state: HardState,
    /// The log on disk; empty for a new member.
    pub log: Log,
    /// Limits.
    pub options: Options,
}

/// Why a state cannot have been written by this protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidState {
    /// The member is not among the voters.
    NotAVoter(NodeId),
    /// A voter is named twice.
    DuplicateVoter(NodeId),
    /// The commit index lies past the end of the log.
    CommitPastEnd {
        /// The commit index.
        commit: LogIndex,
        /// The last index of the log.
        last_index: LogIndex,
    },
}

impl fmt::Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidState::NotAVoter(id) => write!(f, "member {id} is not among the voters"),
            InvalidState::DuplicateVoter(id) => write!(f, "voter {id} is named twice"),
            InvalidState::CommitPastEnd { commit, last_index } => {
                write!(
                    f,
                    "the hard state says that {commit} entries are committed, but the log ends at {last_index}"
                )
            }
        }
    }
}

impl std::error::Error for InvalidState {}

/// One member of a consensus group. The crate's documentation has the driver's contract.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) id: NodeId,
    /// In ascending order; holds `id`.
    pub(crate) voters: Vec<NodeId>,
    pub(crate) options: Options,

    /// Never decreases.
    pub(crate) term: Term,
    /// Written at most once a term.
    pub(crate) vote: Option<NodeId>,
    pub(crate) role: RoleState,
    pub(crate) log: Log,
    /// Never decreases; at most the log's last index.
    pub(crate) commit: LogIndex,
    /// Handed out to be applied: at most `commit`, at most what is durable here.
    pub(crate) applying: LogIndex,
    pub(crate) io: Io,

    effects: VecDeque<Effect>,
    /// What this event has changed so far; empty between events.
    pending: Pending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoleState {
    Follower { leader: Option<NodeId> },
    Candidate { granted: Vec<NodeId>, refused: Vec<NodeId> },
    Leader(Leadership),
}

/// What only a leader has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leadership {
    /// The other members, in ascending order.
    pub(crate) progress: Vec<Progress>,
    pub(crate) reads: Reads,
}

/// The effects of one event, gathered so that one write carries all that its messages rest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Pending {
    hard_state: bool,
    first_new_entry: Option<LogIndex>,
    messages: Vec<(Message, Need)>,
    set_election_timer: bool,
    set_heartbeat_timer: bool,
}

impl Raft {
    /// A member as it comes up: a follower that waits for a leader. Effects wait in
    /// [`Raft::poll`] from the start: a timer, and what is known to be committed.
    ///
    /// The log may be of a later term than the hard state: a crash that tore the write of both
    /// has left entries alone. Then nobody was told of a vote in that term, and the member takes
    /// part in it as one that has not voted.
    ///
    /// # Errors
    /// If the state is not one that this protocol can have written.
    pub fn new(restored: Restored) -> Result<Raft, InvalidState> {
        let Restored { id, mut voters, hard_state, log, options } = restored;
        voters.sort_unstable();
        if let Some(twice) = voters.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidState::DuplicateVoter(twice[0]));
        }
        if !voters.contains(&id) {
            return Err(InvalidState::NotAVoter(id));
        }
        if hard_state.commit > log.last_index() {
            return Err(InvalidState::CommitPastEnd {
                commit: hard_state.commit,
                last_index: log.last_index(),
            });
        }
        assert!(
            options.max_entries_per_message > 0 && options.max_inflight_messages > 0,
            "limits are not 0"
        );
        let mut raft = Raft {
            id,
            voters,
            options,
            term: hard_state.term,
            vote: hard_state.vote,
            role: RoleState::Follower { leader: None },
            commit: hard_state.commit,
            applying: LogIndex::ZERO,
            io: Io::restored(hard_state, log.last_index()),
            log,
            effects: VecDeque::new(),
            pending: Pending::default(),
        };
        if raft.log.last_term() > raft.term {
            raft.enter_term(raft.log.last_term());
        }
        raft.reset_election_timer();
        raft.flush();
        Ok(raft)
    }

    /// Takes one event in. Its effects wait in [`Raft::poll`].
    pub fn handle(&mut self, event: Event) {
        debug_assert!(
            self.pending == Pending::default(),
            "an event's changes are flushed at its end"
        );
        match event {
            Event::Message(message) => self.handle_message(message),
            Event::Propose { sizes } => self.handle_propose(&sizes),
            Event::Persisted(id) => {
                if self.io.persisted(id) {
                    self.handle_durable();
                }
            }
            Event::Read(id) => self.handle_read(id),
            Event::Timer(TimerKind::Election) => self.handle_election_timeout(),
            Event::Timer(TimerKind::Heartbeat) => self.handle_heartbeat_timeout(),
        }
        self.flush();
    }

    /// Hands one effect out. The order is the order in which they are to be begun.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The member's state, for invariants, model checkers and traces.
    #[must_use]
    pub fn view(&self) -> ProtocolView<'_> {
        ProtocolView {
            id: self.id,
            term: self.term,
            vote: self.vote,
            role: self.role(),
            leader: self.leader(),
            log: &self.log,
            commit: self.commit,
            applying: self.applying,
            durable: self.io.hard_state(),
            durable_index: self.io.index(),
            voters: &self.voters,
            progress: match &self.role {
                RoleState::Leader(leadership) => &leadership.progress,
                _ => &[],
            },
        }
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
            RoleState::Candidate { .. } => Role::Candidate,
            RoleState::Leader(_) => Role::Leader,
        }
    }

    /// Whom it takes for the leader of its term, which may be itself.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match self.role {
            RoleState::Follower { leader } => leader,
            RoleState::Candidate { .. } => None,
            RoleState::Leader(_) => Some(self.id),
        }
    }

    fn handle_message(&mut self, message: Message) {
        assert_eq!(message.to, self.id, "a message for another member was delivered here");
        let Message { from, term, body, .. } = message;
        if term > self.term {
            self.enter_term(term);
        }
        if term < self.term {
            self.answer_stale(from, &body);
            return;
        }
        match body {
            Body::RequestVote { last_index, last_term } => {
                self.handle_request_vote(from, last_index, last_term)
            }
            Body::RequestVoteReply { granted } => self.handle_vote(from, granted),
            Body::Append { previous_index, previous_term, entries, commit } => {
                self.handle_append(from, previous_index, previous_term, &entries, commit);
            }
            Body::AppendReply(outcome) => self.handle_append_reply(from, outcome),
            Body::Heartbeat { commit, round } => self.handle_heartbeat(from, commit, round),
            Body::HeartbeatReply { round } => self.handle_heartbeat_reply(from, round),
            Body::ReadIndex { id } => self.handle_read_index(from, id),
            Body::ReadIndexReply { id, index } => self.effect(Effect::ReadReady { id, index }),
        }
    }

    /// All of what this event changed is written at once, then what rests on it is sent.
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.write(pending.hard_state, pending.first_new_entry);
        if pending.set_election_timer {
            self.effects.push_back(Effect::SetTimer(TimerKind::Election));
        }
        if pending.set_heartbeat_timer {
            self.effects.push_back(Effect::SetTimer(TimerKind::Heartbeat));
        }
        for (message, need) in pending.messages {
            let after = self.io.awaited(message.term, need);
            self.effects.push_back(Effect::Send { message, after });
        }
        // What is applied here is also durable here: whoever reads from this member sees nothing
        // that this member could forget.
        let last = self.commit.min(self.io.index());
        if last > self.applying {
            self.effects
                .push_back(Effect::Commit(EntryRange { first: self.applying.next(), last }));
            self.applying = last;
        }
    }

    fn write(&mut self, hard_state_changed: bool, first_new_entry: Option<LogIndex>) {
        let entries =
            first_new_entry.map(|first| EntryRange { first, last: self.log.last_index() });
        if !hard_state_changed && entries.is_none() {
            return;
        }
        let hard_state = HardState { term: self.term, vote: self.vote, commit: self.commit };
        let news = hard_state != self.io.issued_hard_state();
        let id = self.io.issue(hard_state, self.log.last_index());
        self.effects.push_back(Effect::Persist {
            id,
            hard_state: news.then_some(hard_state),
            entries,
        });
    }

    /// Takes part in a new term, as a follower that has not voted (§5.1).
    pub(crate) fn enter_term(&mut self, term: Term) {
        assert!(term > self.term, "terms never go back: {term} after {}", self.term);
        self.term = term;
        self.vote = None;
        self.pending.hard_state = true;
        self.become_follower(None);
    }

    pub(crate) fn become_follower(&mut self, leader: Option<NodeId>) {
        self.role = RoleState::Follower { leader };
        self.reset_election_timer();
    }

    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        assert!(self.vote.is_none_or(|vote| vote == candidate), "one vote a term");
        self.vote = Some(candidate);
        self.pending.hard_state = true;
    }

    pub(crate) fn append_entry(&mut self, entry: EntryMeta) {
        self.log.append(entry);
        let index = self.log.last_index();
        let first = self.pending.first_new_entry.get_or_insert(index);
        *first = (*first).min(index);
    }

    /// # Panics
    /// If that would remove a committed entry (CommittedAppendOnly).
    pub(crate) fn truncate_log_after(&mut self, last: LogIndex) {
        assert!(last >= self.commit, "entry {} is committed and must stay", self.commit);
        self.log.truncate_after(last);
        self.io.truncated_after(last);
    }

    pub(crate) fn commit_to(&mut self, index: LogIndex) {
        assert!(index <= self.log.last_index(), "commit {index} is past the end of the log");
        self.commit = self.commit.max(index);
    }

    pub(crate) fn send(&mut self, to: NodeId, need: Need, body: Body) {
        let message = Message { from: self.id, to, term: self.term, body };
        self.pending.messages.push((message, need));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn reset_election_timer(&mut self) {
        self.pending.set_election_timer = true;
    }

    pub(crate) fn reset_heartbeat_timer(&mut self) {
        self.pending.set_heartbeat_timer = true;
    }

    pub(crate) fn others(&self) -> Vec<NodeId> {
        self.voters.iter().copied().filter(|&voter| voter != self.id).collect()
    }
}
