use super::*;
use prost::Message as _;
use quorate_member::StoreMessage;
use quorate_mvcc::{ChangeId, ChunkId, Revision, SegmentId};
use quorate_proto::quoratepb as pb;
use quorate_proto::raftpb::{ConfChangeTransition, ConfChangeType};
use quorate_raft::{Change, Configuration, List, Snapshot, Transition};

fn check(body: Body, payloads: Vec<Bytes>) {
    let message = Message { from: NodeId(1), to: NodeId(u64::MAX), term: Term(7), body };
    let message = PeerMessage::Raft { message, payloads };
    let bytes = to_frame(message.clone()).encode_to_vec();
    let frame = Frame::decode(bytes.as_slice()).expect("its own bytes decode");
    assert_eq!(from_frame(frame), Ok(message));
}

fn change(change: Change) -> (MembershipChange, Bytes) {
    let (kind, id) = match change {
        Change::AddVoter(id) => (ConfChangeType::ConfChangeAddNode, id),
        Change::AddLearner(id) => (ConfChangeType::ConfChangeAddLearnerNode, id),
        Change::Remove(id) => (ConfChangeType::ConfChangeRemoveNode, id),
    };
    let wire = raftpb::ConfChangeV2 {
        transition: ConfChangeTransition::JointExplicit as i32,
        changes: vec![raftpb::ConfChangeSingle { r#type: kind as i32, node_id: id.0 }],
        context: Some(Bytes::from_static(b"who waits")),
    };
    let change = MembershipChange { changes: vec![change], transition: Transition::JointExplicit };
    (change, Bytes::from(wire.encode_to_vec()))
}

#[test]
fn each_message_arrives_as_it_was_sent() {
    let (index, term) = (LogIndex(300), Term(6));
    for body in [
        Body::PreVote { last_index: index, last_term: term, priority: 3 },
        Body::PreVoteReply { campaign: Term(8), granted: true },
        Body::PreVoteReply { campaign: Term(8), granted: false },
        Body::RequestVote { last_index: index, last_term: term, transfer: true },
        Body::RequestVote { last_index: index, last_term: term, transfer: false },
        Body::RequestVoteReply { granted: true },
        Body::RequestVoteReply { granted: false },
        Body::AppendReply(AppendOutcome::Accepted { matched: index }),
        Body::AppendReply(AppendOutcome::Rejected {
            previous_index: index,
            hint_index: LogIndex(299),
            hint_term: Term(5),
        }),
        Body::AppendReply(AppendOutcome::Lost { committed: index, doubtful: LogIndex(310) }),
        Body::Commit { commit: index },
        Body::Heartbeat { commit: index, round: 0 },
        Body::Heartbeat { commit: index, round: u64::MAX },
        Body::HeartbeatReply { round: 12 },
        Body::TimeoutNow,
        Body::ReadIndex { id: ReadId(1 << 40) },
        Body::ReadIndexReply { id: ReadId(1 << 40), index },
    ] {
        check(body, Vec::new());
    }
}

#[test]
fn entries_arrive_with_their_payloads_and_changes() {
    let (added, added_payload) = change(Change::AddVoter(NodeId(4)));
    let (learner, learner_payload) = change(Change::AddLearner(NodeId(5)));
    let (removed, removed_payload) = change(Change::Remove(NodeId(6)));
    let payloads = vec![
        Bytes::new(),
        Bytes::from_static(b"a write"),
        added_payload,
        Bytes::new(),
        learner_payload,
        removed_payload,
    ];
    let metas = payloads
        .iter()
        .map(|payload| EntryMeta { term: Term(6), size: payload.len() as u32 })
        .collect::<Vec<_>>();
    let append = |metas: Vec<EntryMeta>, changes| Body::Append {
        previous_index: LogIndex(10),
        previous_term: Term(5),
        entries: List::from(metas),
        changes,
        commit: LogIndex(9),
    };
    let changes = vec![
        (LogIndex(13), added),
        (LogIndex(14), MembershipChange::leave()),
        (LogIndex(15), learner),
        (LogIndex(16), removed),
    ];
    check(append(metas, changes), payloads);
    check(append(Vec::new(), Vec::new()), Vec::new());
}

#[test]
fn a_snapshot_arrives_with_its_configuration_and_state() {
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
    let configuration = Configuration {
        voters: ids(&[1, 2, 3]),
        outgoing: ids(&[1, 2]),
        learners: ids(&[8]),
        learners_next: ids(&[9]),
        auto_leave: true,
    };
    let snapshot = Snapshot { index: LogIndex(40), term: Term(3), configuration };
    check(Body::Snapshot(Box::new(snapshot)), vec![Bytes::from_static(b"the state")]);
}

#[test]
fn a_forwarded_write_arrives_as_it_was_sent() {
    let message = PeerMessage::Propose {
        from: NodeId(2),
        to: NodeId(1),
        term: Term(4),
        ticket: Ticket { process: 1 << 33, number: 5 },
        payload: Bytes::from_static(b"a write"),
    };
    assert_eq!(from_frame(to_frame(message.clone())), Ok(message));
}

#[test]
fn what_stores_say_arrives_as_it_was_sent() {
    let index = LogIndex(77);
    let chunk = ChunkId { segment: SegmentId(3), offset: 1 << 33, len: 1 << 20 };
    let change = ChangeId { key: Bytes::from_static(b"k"), revision: Revision(9) };
    for message in [
        StoreMessage::Fetch { index, chunk },
        StoreMessage::Chunk { index, chunk, data: Bytes::from_static(b"records") },
        StoreMessage::WantRecord { change: change.clone() },
        StoreMessage::Record { change: change.clone(), record: None },
        StoreMessage::Record { change, record: Some(Bytes::from_static(b"a record")) },
        StoreMessage::WantSnapshot { after: index },
        StoreMessage::Offer { index, term: Term(5), manifest: Bytes::from_static(b"a manifest") },
    ] {
        let message = PeerMessage::Store { from: NodeId(2), to: NodeId(3), message };
        let bytes = to_frame(message.clone()).encode_to_vec();
        let frame = Frame::decode(bytes.as_slice()).expect("its own bytes decode");
        assert_eq!(from_frame(frame), Ok(message));
    }
    for (message, error) in [
        (None, WireError::Empty),
        (
            Some(pb::store::Message::Fetch(pb::Fetch::default())),
            WireError::Missing { kind: "Fetch", field: "id" },
        ),
        (
            Some(pb::store::Message::Record(pb::Record::default())),
            WireError::Missing { kind: "Record", field: "id" },
        ),
    ] {
        let store = pb::Store { message, ..pb::Store::default() };
        let frame = Frame { frame: Some(frame::Frame::Store(store)) };
        assert_eq!(from_frame(frame), Err(error));
    }
}

#[test]
fn what_no_member_sends_is_refused() {
    let raft = |message| Frame { frame: Some(frame::Frame::Raft(message)) };
    let of = |kind: MessageType| raftpb::Message { r#type: kind as i32, ..Default::default() };
    for (frame, error) in [
        (Frame { frame: None }, WireError::Empty),
        (raft(of(MessageType::MsgHup)), WireError::Kind(0)),
        (raft(raftpb::Message { r#type: 99, ..Default::default() }), WireError::Kind(99)),
        (raft(of(MessageType::MsgSnap)), missing(MessageType::MsgSnap, "snapshot")),
        (
            raft(of(MessageType::MsgHeartbeatResp)),
            missing(MessageType::MsgHeartbeatResp, "number in its context"),
        ),
        (
            raft(raftpb::Message {
                index: 4,
                entries: vec![raftpb::Entry { index: 6, ..Default::default() }],
                ..of(MessageType::MsgApp)
            }),
            WireError::Order { expected: 5, found: 6 },
        ),
        (
            raft(raftpb::Message {
                entries: vec![raftpb::Entry {
                    index: 1,
                    r#type: EntryType::EntryConfChangeV2 as i32,
                    data: Some(Bytes::from_static(&[0xff])),
                    ..Default::default()
                }],
                ..of(MessageType::MsgApp)
            }),
            WireError::Change(1),
        ),
    ] {
        assert_eq!(from_frame(frame), Err(error));
    }
}
