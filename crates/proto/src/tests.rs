//! Known bytes, derived by hand from the protobuf encoding, and round trips.

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use crate::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::etcdserverpb::request_op::Request;
use crate::etcdserverpb::{
    Compare, InternalRaftRequest, Metadata, PutRequest, RangeRequest, RequestHeader, RequestOp,
    TxnRequest,
};
use crate::raftpb::{
    ConfChange, ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
    Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata,
};
use crate::{mvccpb, snappb, walpb};

/// Encodes to exactly these bytes, and decodes back from them.
fn check<M: prost::Message + Default + PartialEq + Debug>(message: &M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes);
    assert_eq!(&M::decode(bytes).expect("its own bytes decode"), message);
}

#[test]
fn scalars_that_etcd_always_writes_are_written_when_zero() {
    check(&Entry::default(), &[0x08, 0, 0x10, 0, 0x18, 0]);
    check(&HardState::default(), &[0x08, 0, 0x10, 0, 0x18, 0]);
    check(&walpb::Record::default(), &[0x08, 0, 0x10, 0]);
    check(&walpb::Snapshot::default(), &[0x08, 0, 0x10, 0]);
    check(&Metadata::default(), &[0x08, 0, 0x10, 0]);
    check(&ConfState::default(), &[0x28, 0]);
    check(&ConfChange::default(), &[0x08, 0, 0x10, 0, 0x18, 0]);
    check(&ConfChangeSingle::default(), &[0x08, 0, 0x10, 0]);
    check(&ConfChangeV2::default(), &[0x08, 0]);
    check(&snappb::Snapshot::default(), &[0x08, 0]);
    check(
        &Snapshot::default(),
        // metadata { conf_state { auto_leave }, index, term }
        &[0x12, 8, 0x0a, 2, 0x28, 0, 0x10, 0, 0x18, 0],
    );
}

#[test]
fn an_entry_has_its_type_first_and_its_payload_last() {
    let entry = Entry {
        r#type: EntryType::EntryConfChangeV2 as i32,
        term: 3,
        index: 300,
        data: Some(Bytes::from_static(b"ab")),
    };
    check(&entry, &[0x08, 2, 0x10, 3, 0x18, 0xac, 0x02, 0x22, 2, b'a', b'b']);
}

#[test]
fn an_empty_payload_is_told_from_none() {
    let entry = Entry { data: Some(Bytes::new()), ..Entry::default() };
    check(&entry, &[0x08, 0, 0x10, 0, 0x18, 0, 0x22, 0]);
}

#[test]
fn repeated_numbers_of_a_configuration_are_not_packed() {
    let configuration = ConfState {
        voters: vec![1, 2],
        learners: vec![3],
        voters_outgoing: vec![4],
        learners_next: vec![5],
        auto_leave: true,
    };
    check(&configuration, &[0x08, 1, 0x08, 2, 0x10, 3, 0x18, 4, 0x20, 5, 0x28, 1]);
}

#[test]
fn changes_of_the_configuration_have_their_known_bytes() {
    let context = Some(Bytes::from_static(b"c"));
    let one = ConfChange {
        id: 7,
        r#type: ConfChangeType::ConfChangeRemoveNode as i32,
        node_id: 300,
        context: context.clone(),
    };
    check(&one, &[0x08, 7, 0x10, 1, 0x18, 0xac, 0x02, 0x22, 1, b'c']);
    let change = |kind, node_id| ConfChangeSingle { r#type: kind as i32, node_id };
    let several = ConfChangeV2 {
        transition: ConfChangeTransition::JointExplicit as i32,
        changes: vec![
            change(ConfChangeType::ConfChangeAddNode, 4),
            change(ConfChangeType::ConfChangeUpdateNode, 5),
            change(ConfChangeType::ConfChangeAddLearnerNode, 6),
        ],
        context,
    };
    check(
        &several,
        &[
            0x08, 2, // transition
            0x12, 4, 0x08, 0, 0x10, 4, 0x12, 4, 0x08, 2, 0x10, 5, 0x12, 4, 0x08, 3, 0x10, 6, 0x1a,
            1, b'c', // context
        ],
    );
}

#[test]
fn a_snapshot_has_its_known_bytes_in_its_file_in_a_message_and_in_the_log() {
    let conf_state = ConfState { voters: vec![1], ..ConfState::default() };
    let metadata = SnapshotMetadata { conf_state: conf_state.clone(), index: 9, term: 2 };
    let snapshot = Snapshot { data: Some(Bytes::from_static(b"s")), metadata };
    let bytes = [0x0a, 1, b's', 0x12, 10, 0x0a, 4, 0x08, 1, 0x28, 0, 0x10, 9, 0x18, 2];
    check(&snapshot, &bytes);
    let data = Some(Bytes::copy_from_slice(&bytes));
    let mut file = vec![0x08, 0x80, 0x01, 0x12, 15];
    file.extend(bytes);
    check(&snappb::Snapshot { crc: 128, data }, &file);
    check(
        &walpb::Snapshot { index: 9, term: 2, conf_state: Some(conf_state) },
        &[0x08, 9, 0x10, 2, 0x1a, 4, 0x08, 1, 0x28, 0],
    );
}

#[test]
fn a_vote_request_has_its_known_bytes() {
    let message = Message {
        r#type: MessageType::MsgVote as i32,
        to: 2,
        from: 1,
        term: 5,
        log_term: 4,
        index: 9,
        ..Message::default()
    };
    check(
        &message,
        &[0x08, 5, 0x10, 2, 0x18, 1, 0x20, 5, 0x28, 4, 0x30, 9, 0x40, 0, 0x50, 0, 0x58, 0],
    );
}

#[test]
fn a_request_in_the_log_has_its_header_at_field_100() {
    let request = InternalRaftRequest {
        header: Some(RequestHeader { id: 7, ..RequestHeader::default() }),
        put: Some(PutRequest {
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(b"v"),
            ..PutRequest::default()
        }),
        ..InternalRaftRequest::default()
    };
    check(
        &request,
        &[
            0x22, 6, 0x0a, 1, b'k', 0x12, 1, b'v', // put
            0xa2, 0x06, 2, 0x08, 7, // header
        ],
    );
}

#[test]
fn a_transaction_keeps_a_compared_zero() {
    // A version compared with 0 ('does not exist') is a member of a oneof, so it is written.
    let txn = TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key: Bytes::from_static(b"k"),
            range_end: Bytes::from_static(b"l"),
            target_union: Some(TargetUnion::Version(0)),
        }],
        success: vec![],
        failure: vec![RequestOp {
            request: Some(Request::RequestRange(RangeRequest {
                key: Bytes::from_static(b"k"),
                serializable: true,
                ..RangeRequest::default()
            })),
        }],
    };
    check(
        &txn,
        &[
            0x0a, 9, 0x1a, 1, b'k', 0x20, 0, 0x82, 0x04, 1, b'l', // compare
            0x1a, 7, 0x0a, 5, 0x0a, 1, b'k', 0x38, 1, // failure
        ],
    );
}

#[test]
fn payloads_are_slices_of_what_they_were_decoded_from() {
    let wire = Bytes::from(
        Entry { data: Some(Bytes::from(vec![7; 4096])), ..Entry::default() }.encode_to_vec(),
    );
    let data = Entry::decode(wire.clone()).expect("decodes").data.expect("has a payload");
    assert!(wire.as_ptr_range().contains(&data.as_ptr()));
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn round_trip<M: prost::Message + Default + PartialEq + Debug>(
    message: &M,
) -> Result<(), TestCaseError> {
    let wire = Bytes::from(message.encode_to_vec());
    prop_assert_eq!(wire.len(), message.encoded_len());
    prop_assert_eq!(&M::decode(wire).expect("its own bytes decode"), message);
    Ok(())
}

proptest! {
    #[test]
    fn entries_records_and_messages_round_trip(
        kind in 0..3_i32,
        numbers in any::<[u64; 4]>(),
        crc in any::<u32>(),
        data in prop::option::of(bytes()),
        reject in any::<bool>(),
    ) {
        let entry = Entry { r#type: kind, term: numbers[0], index: numbers[1], data: data.clone() };
        round_trip(&entry)?;
        round_trip(&walpb::Record { r#type: i64::from(kind), crc, data: data.clone() })?;
        round_trip(&Message {
            r#type: kind,
            to: numbers[2],
            from: numbers[3],
            entries: vec![entry; 3],
            snapshot: data.is_some().then(Snapshot::default),
            context: data,
            reject,
            ..Message::default()
        })?;
    }

    #[test]
    fn pairs_and_nested_transactions_round_trip(
        key in bytes(),
        value in bytes(),
        revision in any::<i64>(),
        depth in 0..4_usize,
    ) {
        round_trip(&mvccpb::KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision: revision,
            mod_revision: revision.wrapping_add(1),
            ..mvccpb::KeyValue::default()
        })?;
        let put = PutRequest { key: key.clone(), value: value.clone(), ..PutRequest::default() };
        let mut op = RequestOp { request: Some(Request::RequestPut(put)) };
        for _ in 0..depth {
            let txn = TxnRequest {
                compare: vec![Compare {
                    key: key.clone(),
                    target_union: Some(TargetUnion::Value(value.clone())),
                    ..Compare::default()
                }],
                success: vec![op.clone(), op],
                failure: vec![],
            };
            op = RequestOp { request: Some(Request::RequestTxn(txn)) };
        }
        round_trip(&op)?;
    }
}
