//! What stores say to each other, as frames and back.

use quorate_member::{PeerMessage, StoreMessage};
use quorate_mvcc::{ChangeId, ChunkId, Revision, SegmentId};
use quorate_proto::quoratepb as pb;
use quorate_proto::quoratepb::store::Message;
use quorate_raft::{LogIndex, NodeId, Term};

use super::WireError;

pub(super) fn to_wire(from: NodeId, to: NodeId, message: StoreMessage) -> pb::Store {
    let message = match message {
        StoreMessage::Fetch { index, chunk } => {
            Message::Fetch(pb::Fetch { index: index.0, id: Some(from_chunk_id(chunk)) })
        }
        StoreMessage::Chunk { index, chunk, data } => {
            Message::Chunk(pb::Chunk { index: index.0, id: Some(from_chunk_id(chunk)), data })
        }
        StoreMessage::WantRecord { change } => {
            Message::WantRecord(pb::WantRecord { id: Some(from_change_id(change)) })
        }
        StoreMessage::Record { change, record } => {
            Message::Record(pb::Record { id: Some(from_change_id(change)), record })
        }
        StoreMessage::WantSnapshot { after } => {
            Message::WantSnapshot(pb::WantSnapshot { after: after.0 })
        }
        StoreMessage::Offer { index, term, manifest } => {
            Message::Offer(pb::Offer { index: index.0, term: term.0, manifest })
        }
    };
    pb::Store { from: from.0, to: to.0, message: Some(message) }
}

pub(super) fn from_wire(store: pb::Store) -> Result<PeerMessage, WireError> {
    let message = match store.message.ok_or(WireError::Empty)? {
        Message::Fetch(pb::Fetch { index, id }) => {
            StoreMessage::Fetch { index: LogIndex(index), chunk: to_chunk_id("Fetch", id)? }
        }
        Message::Chunk(pb::Chunk { index, id, data }) => {
            StoreMessage::Chunk { index: LogIndex(index), chunk: to_chunk_id("Chunk", id)?, data }
        }
        Message::WantRecord(pb::WantRecord { id }) => {
            StoreMessage::WantRecord { change: to_change_id("WantRecord", id)? }
        }
        Message::Record(pb::Record { id, record }) => {
            StoreMessage::Record { change: to_change_id("Record", id)?, record }
        }
        Message::WantSnapshot(pb::WantSnapshot { after }) => {
            StoreMessage::WantSnapshot { after: LogIndex(after) }
        }
        Message::Offer(pb::Offer { index, term, manifest }) => {
            StoreMessage::Offer { index: LogIndex(index), term: Term(term), manifest }
        }
    };
    Ok(PeerMessage::Store { from: NodeId(store.from), to: NodeId(store.to), message })
}

fn from_chunk_id(id: ChunkId) -> pb::ChunkId {
    pb::ChunkId { segment: id.segment.0, offset: id.offset, len: id.len }
}

fn to_chunk_id(kind: &'static str, id: Option<pb::ChunkId>) -> Result<ChunkId, WireError> {
    let pb::ChunkId { segment, offset, len } =
        id.ok_or(WireError::Missing { kind, field: "id" })?;
    Ok(ChunkId { segment: SegmentId(segment), offset, len })
}

fn from_change_id(id: ChangeId) -> pb::ChangeId {
    pb::ChangeId { key: id.key, revision: id.revision.0 }
}

fn to_change_id(kind: &'static str, id: Option<pb::ChangeId>) -> Result<ChangeId, WireError> {
    let pb::ChangeId { key, revision } = id.ok_or(WireError::Missing { kind, field: "id" })?;
    Ok(ChangeId { key, revision: Revision(revision) })
}
