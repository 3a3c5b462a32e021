//! What travels between the nodes of the cluster's world.

use std::hash::{Hash, Hasher};

use quorate_member::{Error, PeerMessage, Request, Response, StoreMessage};
use quorate_raft::{AppendOutcome, Body};
use serde_json::{Value, json};

use super::digest::DigestHasher;

/// A message between two nodes.
#[derive(Clone, Debug)]
pub enum Message {
    /// From member to member.
    Peer(PeerMessage),
    /// From a client to a member.
    Request {
        /// The client's number for it, from 0.
        id: u32,
        /// What it asks.
        request: Box<Request>,
    },
    /// From a member to a client.
    Reply {
        /// The client's number for what it answers.
        id: u32,
        /// The answer.
        result: Box<Result<Response, Error>>,
    },
}

impl Message {
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DigestHasher::new();
        match self {
            Message::Peer(PeerMessage::Raft { message, payloads }) => {
                message.hash(&mut hasher);
                hasher.write_usize(payloads.iter().map(bytes::Bytes::len).sum());
            }
            Message::Peer(PeerMessage::Propose { term, ticket, payload, .. }) => {
                (term, ticket).hash(&mut hasher);
                payload.hash(&mut hasher);
            }
            Message::Peer(PeerMessage::Store { message, .. }) => match message {
                StoreMessage::Fetch { index, chunk } => (0, index, chunk.offset).hash(&mut hasher),
                StoreMessage::Chunk { index, chunk, data } => {
                    (1, index, chunk.offset, data).hash(&mut hasher);
                }
                StoreMessage::WantRecord { change } => (2, &change.key).hash(&mut hasher),
                StoreMessage::Record { change, record } => {
                    (3, &change.key, record).hash(&mut hasher);
                }
                StoreMessage::WantSnapshot { after } => (4, after).hash(&mut hasher),
                StoreMessage::Offer { index, term, manifest } => {
                    (5, index, term, manifest).hash(&mut hasher);
                }
            },
            Message::Request { id, .. } => hasher.write_u32(*id),
            Message::Reply { id, result } => {
                hasher.write_u32(*id);
                match result.as_ref() {
                    Ok(response) => {
                        hasher.write_u64(response.term.0);
                        hasher.write_u64(response.body.revision().0 as u64);
                    }
                    Err(error) => error.hash(&mut hasher),
                }
            }
        }
        hasher.finish()
    }

    pub(crate) fn describe(&self) -> Value {
        match self {
            Message::Peer(PeerMessage::Raft { message, .. }) => {
                json!({ "term": message.term.0, "raft": describe_body(&message.body) })
            }
            Message::Peer(PeerMessage::Propose { term, ticket, payload, .. }) => {
                json!({ "propose": { "term": term.0, "number": ticket.number, "bytes": payload.len() } })
            }
            Message::Peer(PeerMessage::Store { message, .. }) => describe_store(message),
            Message::Request { id, request } => {
                json!({ "request": id, "asks": format!("{request:?}") })
            }
            Message::Reply { id, result } => match result.as_ref() {
                Ok(response) => json!({
                    "reply": id, "revision": response.body.revision().0, "term": response.term.0,
                }),
                Err(error) => json!({ "reply": id, "error": error.to_string() }),
            },
        }
    }
}

fn describe_store(message: &StoreMessage) -> Value {
    match message {
        StoreMessage::Fetch { index, chunk } => json!({ "fetch": {
            "snapshot": index.0, "segment": chunk.segment.0, "offset": chunk.offset,
        } }),
        StoreMessage::Chunk { index, chunk, data } => json!({ "chunk": {
            "snapshot": index.0, "segment": chunk.segment.0, "offset": chunk.offset,
            "bytes": data.len(),
        } }),
        StoreMessage::WantRecord { change } => {
            json!({ "want_record": { "revision": change.revision.0 } })
        }
        StoreMessage::Record { change, record } => json!({ "record": {
            "revision": change.revision.0, "found": record.is_some(),
        } }),
        StoreMessage::WantSnapshot { after } => json!({ "want_snapshot": { "after": after.0 } }),
        StoreMessage::Offer { index, term, .. } => {
            json!({ "offer": { "snapshot": index.0, "term": term.0 } })
        }
    }
}

fn describe_body(body: &Body) -> Value {
    match body {
        Body::PreVote { last_index, last_term, priority } => json!({ "pre_vote": {
            "last_index": last_index.0, "last_term": last_term.0, "priority": priority,
        } }),
        Body::PreVoteReply { campaign, granted } => {
            json!({ "pre_vote_reply": { "campaign": campaign.0, "granted": granted } })
        }
        Body::RequestVote { last_index, last_term, transfer } => json!({ "request_vote": {
            "last_index": last_index.0, "last_term": last_term.0, "transfer": transfer,
        } }),
        Body::RequestVoteReply { granted } => json!({ "vote": { "granted": granted } }),
        Body::Append { previous_index, previous_term, entries, changes, commit } => {
            let changes = changes.iter().map(|(index, change)| (index.0, change.to_string()));
            json!({ "append": {
                "previous_index": previous_index.0, "previous_term": previous_term.0,
                "terms": entries.iter().map(|entry| entry.term.0).collect::<Vec<_>>(),
                "changes": changes.collect::<Vec<_>>(), "commit": commit.0,
            } })
        }
        Body::AppendReply(AppendOutcome::Accepted { matched }) => {
            json!({ "append_reply": { "matched": matched.0 } })
        }
        Body::AppendReply(AppendOutcome::Lost { committed, .. }) => {
            json!({ "append_reply": { "lost_after": committed.0 } })
        }
        Body::AppendReply(AppendOutcome::Rejected { previous_index, hint_index, hint_term }) => {
            json!({ "append_reply": {
                "rejected": previous_index.0, "hint_index": hint_index.0, "hint_term": hint_term.0,
            } })
        }
        Body::Commit { commit } => json!({ "commit": { "commit": commit.0 } }),
        Body::Snapshot(snapshot) => json!({ "snapshot": {
            "index": snapshot.index.0, "term": snapshot.term.0,
            "configuration": snapshot.configuration.to_string(),
        } }),
        Body::TimeoutNow => json!("timeout_now"),
        Body::Heartbeat { commit, round } => {
            json!({ "heartbeat": { "commit": commit.0, "round": round } })
        }
        Body::HeartbeatReply { round } => json!({ "heartbeat_reply": { "round": round } }),
        Body::ReadIndex { id } => json!({ "read_index": { "id": id.0 } }),
        Body::ReadIndexReply { id, index } => {
            json!({ "read_index_reply": { "id": id.0, "index": index.0 } })
        }
    }
}
