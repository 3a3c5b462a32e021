//! What goes in and what comes out: events, effects, and the messages between members.

use crate::types::{HardState, IoId, LogIndex, NodeId, ReadId, Term};

/// What the core knows of one entry. Its payload stays with the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryMeta {
    /// Term of the leader that appended it.
    pub term: Term,
    /// Bytes of its payload. The entry that a new leader appends to commit its predecessors'
    /// (§8) has none.
    pub size: u32,
}

/// The entries `first..=last` of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryRange {
    /// First index.
    pub first: LogIndex,
    /// Last index, not below `first`.
    pub last: LogIndex,
}

/// A message from member to member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// The sender's term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// The kinds of messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// A candidate asks for a vote (§5.2). Index and term are those of its last entry (§5.4.1).
    RequestVote {
        /// Index of the candidate's last entry.
        last_index: LogIndex,
        /// Term of the candidate's last entry.
        last_term: Term,
    },
    /// The answer to [`Body::RequestVote`].
    RequestVoteReply {
        /// Whether the vote was granted.
        granted: bool,
    },
    /// The leader replicates entries (§5.3). Their payloads, which the driver adds, are those of
    /// the indexes after `previous_index`.
    Append {
        /// Index of the entry before the first one sent.
        previous_index: LogIndex,
        /// Its term.
        previous_term: Term,
        /// The entries, from `previous_index + 1` on.
        entries: Vec<EntryMeta>,
        /// The leader's commit index.
        commit: LogIndex,
    },
    /// The answer to [`Body::Append`].
    AppendReply(AppendOutcome),
    /// The leader says that it is there, how far it is safe to commit, and asks to be confirmed.
    Heartbeat {
        /// The leader's commit index, but no more than what this follower is known to hold.
        commit: LogIndex,
        /// The leader's confirmation round (dissertation 6.4).
        round: u64,
    },
    /// The answer to [`Body::Heartbeat`]: the sender took the receiver for its leader, in the term
    /// of this message, after round `round` began.
    HeartbeatReply {
        /// The round confirmed; 0 confirms none.
        round: u64,
    },
    /// A follower asks its leader for a read index (dissertation 6.4).
    ReadIndex {
        /// The follower's name for the request.
        id: ReadId,
    },
    /// The answer to [`Body::ReadIndex`].
    ReadIndexReply {
        /// The follower's name for the request.
        id: ReadId,
        /// A read of a state at or past this index is linearizable.
        index: LogIndex,
    },
}

/// What became of an [`Body::Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendOutcome {
    /// The follower's log equals the leader's up to `matched`, durably.
    Accepted {
        /// Last index known to be equal.
        matched: LogIndex,
    },
    /// The follower has no entry `previous_index` of that term. The hint is the last place at
    /// which its log could still agree, so that the leader skips whole terms (§5.3).
    Rejected {
        /// The `previous_index` that was refused.
        previous_index: LogIndex,
        /// The follower's last index at which agreement is possible.
        hint_index: LogIndex,
        /// The term of the follower's entry there.
        hint_term: Term,
    },
}

/// The timers that a driver keeps for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// Fires when nothing was heard from a leader for a randomised election timeout (§5.2).
    Election,
    /// Fires at the heartbeat interval, which is well below the election timeout.
    Heartbeat,
}

/// What can happen to a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A message arrived.
    Message(Message),
    /// The client of the log wants entries of these payload sizes appended, in this order. They
    /// either all appear in the next [`Effect::Persist`], or [`Effect::ProposalDropped`] says that
    /// this member does not lead.
    Propose {
        /// Bytes of each payload.
        sizes: Vec<u32>,
    },
    /// A write and all writes before it are durable.
    Persisted(IoId),
    /// Somebody wants to read what is committed by now.
    Read(ReadId),
    /// A timer fired.
    Timer(TimerKind),
}

/// What a driver has to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write durably, in order, and answer with [`Event::Persisted`].
    Persist {
        /// Name of the write.
        id: IoId,
        /// The new hard state, if it changed.
        hard_state: Option<HardState>,
        /// New entries. What the log held from the first of them on is thereby replaced.
        entries: Option<EntryRange>,
    },
    /// Send to `message.to`, once the write `after` is durable.
    Send {
        /// What to send.
        message: Message,
        /// The write that must be durable first.
        after: Option<IoId>,
    },
    /// The entries of this range are committed, and durable here: apply them in order.
    Commit(EntryRange),
    /// The read may be answered from a state in which `index` is applied.
    ReadReady {
        /// The request.
        id: ReadId,
        /// The read index.
        index: LogIndex,
    },
    /// There was nobody to ask for a read index. Ask again later, under a new id.
    ReadDropped {
        /// The request.
        id: ReadId,
    },
    /// This member does not lead: the entries of the last [`Event::Propose`] were not appended.
    ProposalDropped,
    /// (Re)start a timer: from now on, for its full time.
    SetTimer(TimerKind),
}
