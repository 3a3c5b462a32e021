//! Membership and snapshots of consensus in etcd's form: `raftpb`.

use std::fmt;

use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::RequestHeader;
use quorate_proto::raftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    SnapshotMetadata,
};
use quorate_raft::{
    Change, Configuration, LogIndex, MembershipChange, NodeId, Snapshot, Term, Transition,
};

use crate::proposals::RequestId;

/// Why an entry is not a change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeDecodeError {
    /// It is not protobuf of that message.
    Malformed(prost::DecodeError),
    /// It has a kind of change or transition that this version does not know.
    Unknown(i32),
}

impl fmt::Display for ChangeDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeDecodeError::Malformed(error) => write!(f, "not a ConfChangeV2: {error}"),
            ChangeDecodeError::Unknown(value) => {
                write!(f, "a ConfChangeV2 of a kind that this version does not know: {value}")
            }
        }
    }
}

/// A change as the payload of an entry, with who waits for it and where.
pub(crate) fn encode(waiting: Option<(NodeId, RequestId)>, change: &MembershipChange) -> Bytes {
    let changes = change.changes.iter().map(|change| {
        let kind = match change {
            Change::AddVoter(_) => ConfChangeType::ConfChangeAddNode,
            Change::AddLearner(_) => ConfChangeType::ConfChangeAddLearnerNode,
            Change::Remove(_) => ConfChangeType::ConfChangeRemoveNode,
        };
        ConfChangeSingle { r#type: kind as i32, node_id: change.member().0 }
    });
    let transition = match change.transition {
        Transition::Auto => ConfChangeTransition::Auto,
        Transition::Joint => ConfChangeTransition::JointImplicit,
        Transition::JointExplicit => ConfChangeTransition::JointExplicit,
    };
    let context = waiting.map(|(member, id)| {
        let header =
            RequestHeader { id: id.0, requester_member_id: member.0, ..Default::default() };
        Bytes::from(header.encode_to_vec())
    });
    let message =
        ConfChangeV2 { transition: transition as i32, changes: changes.collect(), context };
    Bytes::from(message.encode_to_vec())
}

/// The change in an entry's payload. An empty one leaves a joint configuration.
///
/// # Errors
/// If it is no change, or one that this version does not know.
pub fn decode(payload: &Bytes) -> Result<MembershipChange, ChangeDecodeError> {
    let message = parse(payload)?;
    let unknown = |value| move |_| ChangeDecodeError::Unknown(value);
    let transition = match ConfChangeTransition::try_from(message.transition)
        .map_err(unknown(message.transition))?
    {
        ConfChangeTransition::Auto => Transition::Auto,
        ConfChangeTransition::JointImplicit => Transition::Joint,
        ConfChangeTransition::JointExplicit => Transition::JointExplicit,
    };
    let mut changes = Vec::with_capacity(message.changes.len());
    for single in message.changes {
        let id = NodeId(single.node_id);
        let kind = ConfChangeType::try_from(single.r#type).map_err(unknown(single.r#type))?;
        changes.push(match kind {
            ConfChangeType::ConfChangeAddNode => Change::AddVoter(id),
            ConfChangeType::ConfChangeAddLearnerNode => Change::AddLearner(id),
            ConfChangeType::ConfChangeRemoveNode => Change::Remove(id),
            // Addresses are no business of consensus.
            ConfChangeType::ConfChangeUpdateNode => continue,
        });
    }
    Ok(MembershipChange { changes, transition })
}

/// Who waits for the change in an entry's payload, and where.
pub(crate) fn waiting(payload: &Bytes) -> Option<(NodeId, RequestId)> {
    let header = RequestHeader::decode(parse(payload).ok()?.context?).ok()?;
    Some((NodeId(header.requester_member_id), RequestId(header.id)))
}

fn parse(payload: &Bytes) -> Result<ConfChangeV2, ChangeDecodeError> {
    if payload.is_empty() {
        return Ok(ConfChangeV2::default());
    }
    ConfChangeV2::decode(payload.clone()).map_err(ChangeDecodeError::Malformed)
}

fn to_conf_state(configuration: &Configuration) -> ConfState {
    let ids = |ids: &[NodeId]| ids.iter().map(|id| id.0).collect();
    ConfState {
        voters: ids(&configuration.voters),
        learners: ids(&configuration.learners),
        voters_outgoing: ids(&configuration.outgoing),
        learners_next: ids(&configuration.learners_next),
        auto_leave: configuration.auto_leave,
    }
}

pub(crate) fn from_conf_state(state: ConfState) -> Configuration {
    let ids = |ids: Vec<u64>| {
        let mut ids: Vec<NodeId> = ids.into_iter().map(NodeId).collect();
        ids.sort_unstable();
        ids
    };
    Configuration {
        voters: ids(state.voters),
        outgoing: ids(state.voters_outgoing),
        learners: ids(state.learners),
        learners_next: ids(state.learners_next),
        auto_leave: state.auto_leave,
    }
}

/// A snapshot as its file and a leader's message name it.
#[must_use]
pub fn to_metadata(snapshot: &Snapshot) -> SnapshotMetadata {
    SnapshotMetadata {
        conf_state: to_conf_state(&snapshot.configuration),
        index: snapshot.index.0,
        term: snapshot.term.0,
    }
}

/// The snapshot that a file or a leader's message names; its members come in ascending order.
#[must_use]
pub fn from_metadata(metadata: SnapshotMetadata) -> Snapshot {
    Snapshot {
        index: LogIndex(metadata.index),
        term: Term(metadata.term),
        configuration: from_conf_state(metadata.conf_state),
    }
}
