//! What goes in and what comes out: events, effects, and the messages between members.

use std::fmt;

use crate::configuration::{ChangeError, MembershipChange, Snapshot};
use crate::list::List;
use crate::types::{HardState, IoId, LogIndex, NodeId, ReadId, Round, Term};

/// What the core knows of one entry. Its payload stays with the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryMeta {
    /// Term of the leader that appended it.
    pub term: Term,
    /// Bytes of its payload. The entry that a new leader appends to commit its predecessors'
    /// (§8) has none, and neither has the change with which it leaves a joint configuration.
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
    /// Would you vote for me in the term after this message's? Changes nothing at the receiver
    /// (dissertation 9.6).
    PreVote {
        /// Index of the asker's last entry.
        last_index: LogIndex,
        /// Term of the asker's last entry.
        last_term: Term,
        /// The asker's priority ([`crate::Options::priority`]).
        priority: u32,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteReply {
        /// The term in which the asker would stand.
        campaign: Term,
        /// Whether it would get the vote.
        granted: bool,
    },
    /// A candidate asks for a vote (§5.2). Index and term are those of its last entry (§5.4.1).
    RequestVote {
        /// Index of the candidate's last entry.
        last_index: LogIndex,
        /// Term of the candidate's last entry.
        last_term: Term,
        /// The leader asked it to stand, so that whoever still hears that leader may vote
        /// (dissertation 3.10).
        transfer: bool,
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
        entries: List<EntryMeta>,
        /// Which of the entries change the membership, and how; in ascending order.
        changes: Vec<(LogIndex, MembershipChange)>,
        /// The leader's commit index.
        commit: LogIndex,
    },
    /// The answer to [`Body::Append`] and to [`Body::Snapshot`].
    AppendReply(AppendOutcome),
    /// The leader says how far it is safe to commit. It is not answered: a heartbeat repeats it if
    /// it is lost.
    Commit {
        /// The leader's commit index, but no more than what this follower is known to hold.
        commit: LogIndex,
    },
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
    /// The leader no longer has the entries that this follower lacks. The driver adds the state
    /// itself, from its snapshot of exactly this index (§7).
    Snapshot(Box<Snapshot>),
    /// The leader asks its follower to stand for election at once (dissertation 3.10).
    TimeoutNow,
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
    /// The follower's disk has lost entries, also such as it has acknowledged. Of what it still
    /// holds, some may be what was replaced in the part that is lost.
    Lost {
        /// What it knows to be committed, and so to be equal.
        committed: LogIndex,
        /// The last entry that it may have acknowledged before. Who knows it to hold more has got
        /// this message late.
        doubtful: LogIndex,
    },
}

/// The timers that a driver keeps for the core. Setting one again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// Fires after the election timeout, which is the same at all members and never shortened by
    /// chance: for so long a follower keeps its leader, and for so long a leader goes without a
    /// quorum's answers.
    Election,
    /// Fires after a random part of the election timeout, so that members do not stand for
    /// election all at once (§5.2).
    Jitter,
    /// Fires at the heartbeat interval, which is well below the election timeout.
    Heartbeat,
}

/// What can happen to a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A message arrived.
    Message(Message),
    /// The client of the log wants entries of these payload sizes appended, in this order. They
    /// either all appear in the next [`Effect::Persist`], or [`Effect::ProposalDropped`] says why
    /// not.
    Propose {
        /// Bytes of each payload.
        sizes: List<u32>,
    },
    /// Somebody wants the group to have other members (§6). The change becomes one entry, or
    /// [`Effect::ProposalDropped`] says why not.
    ProposeChange {
        /// The change.
        change: MembershipChange,
        /// Bytes of the entry's payload.
        size: u32,
    },
    /// A write and all writes before it are durable.
    Persisted(IoId),
    /// Somebody wants to read what is committed by now.
    Read(ReadId),
    /// The same, and this member's clock says that less than a lease has passed since `round`
    /// began ([`Effect::RoundBegun`]). Without a lease it is an [`Event::Read`].
    LeaseRead {
        /// The request.
        id: ReadId,
        /// The round with which the lease began.
        round: Round,
    },
    /// A timer fired.
    Timer(TimerKind),
    /// Somebody wants another voter to lead. Nothing happens unless this member leads and the
    /// other one is a voter. [`crate::ProtocolView::transfer`] shows what is under way; it is
    /// given up after one to two election timeouts.
    Transfer {
        /// The future leader.
        to: NodeId,
    },
    /// Somebody knows that the leader is gone: a follower need not wait out its timeout. Ignored
    /// where leases are in use ([`crate::Options::lease_reads`]), which rest on that wait.
    ForgetLeader,
    /// A message to this member is known to be lost: what was sent after it may be lost as well.
    Unreachable(NodeId),
    /// The transfer of a snapshot has ended.
    SnapshotReport {
        /// The follower.
        to: NodeId,
        /// Whether all of it arrived.
        delivered: bool,
    },
    /// The driver has a durable snapshot of what it applied up to `snapshot`. The log up to
    /// `through` is no longer needed; what lies between serves followers that are a little late.
    Compact {
        /// Index of the snapshot: at most what was handed out to be applied.
        snapshot: LogIndex,
        /// Last entry to forget, at most `snapshot`.
        through: LogIndex,
    },
}

/// What a driver has to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write durably, in order, and answer with [`Event::Persisted`].
    Persist {
        /// Name of the write.
        id: IoId,
        /// A snapshot that came from the leader: it replaces the whole log, and the state that it
        /// brings has to be durable before anything else of this write is.
        snapshot: Option<Box<Snapshot>>,
        /// New entries. What the log held from the first of them on is thereby replaced.
        entries: Option<EntryRange>,
        /// The new hard state, if it changed.
        hard_state: Option<HardState>,
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
    /// The snapshot is durable here: it replaces all that was applied.
    Restore(Box<Snapshot>),
    /// The read may be answered from a state in which `index` is applied.
    ReadReady {
        /// The request.
        id: ReadId,
        /// The read index.
        index: LogIndex,
    },
    /// There is nobody to ask for a read index, or this member no longer leads. Ask again later,
    /// under a new id.
    ReadDropped {
        /// The request.
        id: ReadId,
    },
    /// Nothing of the last [`Event::Propose`] or [`Event::ProposeChange`] was appended.
    ProposalDropped(DropReason),
    /// (Re)start a timer: from now on, for its full time.
    SetTimer(TimerKind),
    /// This leader begins a round of heartbeats, which follow: note the time *now*. Only where
    /// [`crate::Options::lease_reads`] is set, like the next one.
    RoundBegun(Round),
    /// A quorum has confirmed this round: nobody else leads until an election timeout after it
    /// *began*, less what clocks may differ by, unless this leader asks somebody to. Then
    /// [`Event::LeaseRead`] makes nothing of it.
    RoundConfirmed(Round),
}

/// Why a proposal was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// This member does not lead.
    NotLeader,
    /// It hands leadership over.
    Transferring,
    /// Too many bytes wait to be committed ([`crate::Options::max_uncommitted_bytes`]).
    TooMuchUncommitted,
    /// The membership cannot be changed so, or not now.
    Change(ChangeError),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::NotLeader => f.write_str("this member does not lead"),
            DropReason::Transferring => f.write_str("leadership is being transferred"),
            DropReason::TooMuchUncommitted => f.write_str("too much waits to be committed"),
            DropReason::Change(error) => error.fmt(f),
        }
    }
}
