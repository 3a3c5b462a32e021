//! What members say to each other as frames, and back.
//!
//! Consensus travels as etcd's `raftpb.Message`, with the fields that etcd gives each kind. Where
//! our messages say something that etcd's do not, they use fields which that kind leaves free:
//!
//! | ours | type | fields |
//! | --- | --- | --- |
//! | `PreVote` | MsgPreVote | index, logTerm: last entry; rejectHint: priority |
//! | `PreVoteReply` | MsgPreVoteResp | index: the campaign's term; reject |
//! | `RequestVote` | MsgVote | index, logTerm: last entry; context `CampaignTransfer` |
//! | `RequestVoteReply` | MsgVoteResp | reject |
//! | `Append` | MsgApp | index, logTerm: previous entry; commit; entries |
//! | `AppendReply` | MsgAppResp | index; reject, rejectHint, logTerm; context `EntriesLost` |
//! | `Commit` | MsgHeartbeat | commit; no context |
//! | `Heartbeat` | MsgHeartbeat | commit; context: the round |
//! | `HeartbeatReply` | MsgHeartbeatResp | context: the round |
//! | `Snapshot` | MsgSnap | snapshot |
//! | `TimeoutNow` | MsgTimeoutNow | |
//! | `ReadIndex` | MsgReadIndex | context: the request's id |
//! | `ReadIndexReply` | MsgReadIndexResp | context: the request's id; index |

mod store;

use bytes::Bytes;
use quorate_member::membership;
use quorate_member::{PeerMessage, Ticket};
use quorate_proto::quoratepb::{Forward, Frame, frame};
use quorate_proto::raftpb;
use quorate_proto::raftpb::{EntryType, MessageType};
use quorate_raft::{
    AppendOutcome, Body, EntryMeta, LogIndex, MembershipChange, Message, NodeId, ReadId, Term,
};

/// etcd's mark of a vote that the leader asked for.
const TRANSFER: &[u8] = b"CampaignTransfer";
/// Our mark of a follower whose disk has lost entries: index says what it knows to be committed,
/// rejectHint what it may have acknowledged.
const LOST: &[u8] = b"EntriesLost";

/// Why a frame is no message between members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// A frame without content, or a second greeting.
    #[error("a frame holds no message")]
    Empty,
    /// A kind of message that members do not send.
    #[error("members do not send messages of type {0}")]
    Kind(i32),
    /// A field that this kind needs.
    #[error("a message of type {kind} lacks its {field}")]
    Missing {
        /// The kind.
        kind: &'static str,
        /// The field.
        field: &'static str,
    },
    /// Entries that do not follow each other.
    #[error("entry {found} stands where entry {expected} belongs")]
    Order {
        /// The index that belongs there.
        expected: u64,
        /// The index that is there.
        found: u64,
    },
    /// A change of the membership that cannot be decoded.
    #[error("entry {0} changes the membership in a way that this version does not know")]
    Change(u64),
}

pub(super) fn to_frame(message: PeerMessage) -> Frame {
    let frame = match message {
        PeerMessage::Raft { message, payloads } => frame::Frame::Raft(to_raft(message, payloads)),
        PeerMessage::Propose { from, to, term, ticket, payload } => {
            frame::Frame::Forward(Forward {
                from: from.0,
                to: to.0,
                term: term.0,
                process: ticket.process,
                number: ticket.number,
                payload,
            })
        }
        PeerMessage::Store { from, to, message } => {
            frame::Frame::Store(store::to_wire(from, to, message))
        }
    };
    Frame { frame: Some(frame) }
}

pub(super) fn from_frame(frame: Frame) -> Result<PeerMessage, WireError> {
    match frame.frame {
        Some(frame::Frame::Raft(message)) => from_raft(message),
        Some(frame::Frame::Forward(forward)) => Ok(PeerMessage::Propose {
            from: NodeId(forward.from),
            to: NodeId(forward.to),
            term: Term(forward.term),
            ticket: Ticket { process: forward.process, number: forward.number },
            payload: forward.payload,
        }),
        Some(frame::Frame::Store(store)) => store::from_wire(store),
        Some(frame::Frame::Hello(_)) | None => Err(WireError::Empty),
    }
}

fn number(number: u64) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(&number.to_be_bytes()))
}

fn to_raft(message: Message, mut payloads: Vec<Bytes>) -> raftpb::Message {
    let Message { from, to, term, body } = message;
    let mut wire =
        raftpb::Message { from: from.0, to: to.0, term: term.0, ..raftpb::Message::default() };
    let kind = match body {
        Body::PreVote { last_index, last_term, priority } => {
            (wire.index, wire.log_term) = (last_index.0, last_term.0);
            wire.reject_hint = u64::from(priority);
            MessageType::MsgPreVote
        }
        Body::PreVoteReply { campaign, granted } => {
            (wire.index, wire.reject) = (campaign.0, !granted);
            MessageType::MsgPreVoteResp
        }
        Body::RequestVote { last_index, last_term, transfer } => {
            (wire.index, wire.log_term) = (last_index.0, last_term.0);
            wire.context = transfer.then(|| Bytes::from_static(TRANSFER));
            MessageType::MsgVote
        }
        Body::RequestVoteReply { granted } => {
            wire.reject = !granted;
            MessageType::MsgVoteResp
        }
        Body::Append { previous_index, previous_term, entries, changes, commit } => {
            (wire.index, wire.log_term) = (previous_index.0, previous_term.0);
            wire.commit = commit.0;
            wire.entries = to_entries(previous_index, entries.iter(), &changes, payloads);
            MessageType::MsgApp
        }
        Body::AppendReply(AppendOutcome::Accepted { matched }) => {
            wire.index = matched.0;
            MessageType::MsgAppResp
        }
        Body::AppendReply(AppendOutcome::Rejected { previous_index, hint_index, hint_term }) => {
            (wire.index, wire.reject) = (previous_index.0, true);
            (wire.reject_hint, wire.log_term) = (hint_index.0, hint_term.0);
            MessageType::MsgAppResp
        }
        Body::AppendReply(AppendOutcome::Lost { committed, doubtful }) => {
            (wire.index, wire.reject) = (committed.0, true);
            wire.reject_hint = doubtful.0;
            wire.context = Some(Bytes::from_static(LOST));
            MessageType::MsgAppResp
        }
        Body::Commit { commit } => {
            wire.commit = commit.0;
            MessageType::MsgHeartbeat
        }
        Body::Heartbeat { commit, round } => {
            (wire.commit, wire.context) = (commit.0, number(round));
            MessageType::MsgHeartbeat
        }
        Body::HeartbeatReply { round } => {
            wire.context = number(round);
            MessageType::MsgHeartbeatResp
        }
        Body::Snapshot(snapshot) => {
            let (data, metadata) = (payloads.pop(), membership::to_metadata(&snapshot));
            wire.snapshot = Some(raftpb::Snapshot { data, metadata });
            MessageType::MsgSnap
        }
        Body::TimeoutNow => MessageType::MsgTimeoutNow,
        Body::ReadIndex { id } => {
            wire.context = number(id.0);
            MessageType::MsgReadIndex
        }
        Body::ReadIndexReply { id, index } => {
            (wire.context, wire.index) = (number(id.0), index.0);
            MessageType::MsgReadIndexResp
        }
    };
    wire.r#type = kind as i32;
    wire
}

fn to_entries<'a>(
    previous: LogIndex,
    entries: impl Iterator<Item = &'a EntryMeta>,
    changes: &[(LogIndex, MembershipChange)],
    payloads: Vec<Bytes>,
) -> Vec<raftpb::Entry> {
    let mut changes = changes.iter().peekable();
    let mut index = previous;
    let wire = entries.zip(payloads).map(|(meta, payload)| {
        index = index.next();
        let kind = match changes.next_if(|(at, _)| *at == index) {
            Some(_) => EntryType::EntryConfChangeV2,
            None => EntryType::EntryNormal,
        };
        let data = (!payload.is_empty()).then_some(payload);
        raftpb::Entry { r#type: kind as i32, term: meta.term.0, index: index.0, data }
    });
    let wire = wire.collect();
    assert!(changes.next().is_none(), "each change is one of the entries");
    wire
}

fn from_raft(wire: raftpb::Message) -> Result<PeerMessage, WireError> {
    let kind = MessageType::try_from(wire.r#type).map_err(|_| WireError::Kind(wire.r#type))?;
    let (from, to, term) = (NodeId(wire.from), NodeId(wire.to), Term(wire.term));
    let (index, log_term) = (LogIndex(wire.index), Term(wire.log_term));
    let commit = LogIndex(wire.commit);
    let id = || read_number(kind, wire.context.as_ref());
    let mut payloads = Vec::new();
    let body = match kind {
        MessageType::MsgPreVote => Body::PreVote {
            last_index: index,
            last_term: log_term,
            // What does not fit was not sent by a member; it only costs an election.
            priority: u32::try_from(wire.reject_hint).unwrap_or(u32::MAX),
        },
        MessageType::MsgPreVoteResp => {
            Body::PreVoteReply { campaign: Term(wire.index), granted: !wire.reject }
        }
        MessageType::MsgVote => {
            let transfer = wire.context.is_some_and(|context| context == TRANSFER);
            Body::RequestVote { last_index: index, last_term: log_term, transfer }
        }
        MessageType::MsgVoteResp => Body::RequestVoteReply { granted: !wire.reject },
        MessageType::MsgApp => {
            let entries = from_entries(index, wire.entries)?;
            payloads = entries.payloads;
            let (entries, changes) = (entries.metas.into(), entries.changes);
            Body::Append {
                previous_index: index,
                previous_term: log_term,
                entries,
                changes,
                commit,
            }
        }
        MessageType::MsgAppResp => Body::AppendReply(from_append_reply(&wire)),
        MessageType::MsgHeartbeat if wire.context.is_none() => Body::Commit { commit },
        MessageType::MsgHeartbeat => Body::Heartbeat { commit, round: id()? },
        MessageType::MsgHeartbeatResp => Body::HeartbeatReply { round: id()? },
        MessageType::MsgSnap => {
            let snapshot = wire.snapshot.ok_or(missing(kind, "snapshot"))?;
            payloads.push(snapshot.data.unwrap_or_default());
            Body::Snapshot(Box::new(membership::from_metadata(snapshot.metadata)))
        }
        MessageType::MsgTimeoutNow => Body::TimeoutNow,
        MessageType::MsgReadIndex => Body::ReadIndex { id: ReadId(id()?) },
        MessageType::MsgReadIndexResp => Body::ReadIndexReply { id: ReadId(id()?), index },
        _ => return Err(WireError::Kind(wire.r#type)),
    };
    Ok(PeerMessage::Raft { message: Message { from, to, term, body }, payloads })
}

fn from_append_reply(wire: &raftpb::Message) -> AppendOutcome {
    let index = LogIndex(wire.index);
    if !wire.reject {
        return AppendOutcome::Accepted { matched: index };
    }
    let hint_index = LogIndex(wire.reject_hint);
    if wire.context.as_ref().is_some_and(|mark| mark == LOST) {
        return AppendOutcome::Lost { committed: index, doubtful: hint_index };
    }
    AppendOutcome::Rejected { previous_index: index, hint_index, hint_term: Term(wire.log_term) }
}

fn missing(kind: MessageType, field: &'static str) -> WireError {
    WireError::Missing { kind: kind.as_str_name(), field }
}

fn read_number(kind: MessageType, context: Option<&Bytes>) -> Result<u64, WireError> {
    let bytes = context.and_then(|context| <[u8; 8]>::try_from(context.as_ref()).ok());
    bytes.map(u64::from_be_bytes).ok_or(missing(kind, "number in its context"))
}

struct Entries {
    metas: Vec<EntryMeta>,
    changes: Vec<(LogIndex, MembershipChange)>,
    payloads: Vec<Bytes>,
}

fn from_entries(previous: LogIndex, wire: Vec<raftpb::Entry>) -> Result<Entries, WireError> {
    let mut entries = Entries {
        metas: Vec::with_capacity(wire.len()),
        changes: Vec::new(),
        payloads: Vec::with_capacity(wire.len()),
    };
    let mut index = previous;
    for entry in wire {
        index = index.next();
        if entry.index != index.0 {
            return Err(WireError::Order { expected: index.0, found: entry.index });
        }
        let payload = entry.data.unwrap_or_default();
        match EntryType::try_from(entry.r#type) {
            Ok(EntryType::EntryNormal) => {}
            Ok(EntryType::EntryConfChangeV2) => {
                let change =
                    membership::decode(&payload).map_err(|_| WireError::Change(index.0))?;
                entries.changes.push((index, change));
            }
            _ => return Err(WireError::Change(index.0)),
        }
        let size = u32::try_from(payload.len()).expect("a frame is smaller than 4 GiB");
        entries.metas.push(EntryMeta { term: Term(entry.term), size });
        entries.payloads.push(payload);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
