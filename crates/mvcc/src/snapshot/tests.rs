//! The encoding: its bytes, and that nothing else is taken for a store. That a restored store is
//! the same one is the differential test's to see.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::request::{CompactRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

fn put(key: &[u8], value: &'static [u8]) -> RequestOp {
    let key = Bytes::copy_from_slice(key);
    let lease = LeaseId::from_wire(value.len() as i64);
    RequestOp::Put(PutRequest { key, value: value.into(), lease, ..PutRequest::default() })
}

fn delete(key: &[u8]) -> RequestOp {
    let key = Bytes::copy_from_slice(key);
    RequestOp::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() })
}

/// Runs a script: a transaction a word, `a+b-` puts a and deletes b; `!` compacts at the current
/// revision.
fn scripted(script: &str) -> Store {
    let mut store = Store::new();
    for word in script.split_whitespace() {
        if word == "!" {
            store.compact(&CompactRequest { revision: store.revision() }).expect("behind the last");
            continue;
        }
        let changes = word.as_bytes().chunks(2).map(|change| match change[1] {
            b'+' => put(&change[..1], b"value"),
            _ => delete(&change[..1]),
        });
        let txn = TxnRequest { success: changes.collect(), ..TxnRequest::default() };
        store.txn(&txn).expect("the script is valid");
    }
    store
}

const LIVES: [&str; 7] = [
    "",
    "a+",
    "a+ a+ b+a- a+c+ b- b+",
    "a+ a+ b+ a- !",
    "a+ a+ b+ a- ! b+ a+ a+",
    "a+ a- b+ b+ ! c+ c-",
    "a+ !",
];

/// Gives bytes the checksum that they would have, so that what is behind it is tested.
fn seal(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    bytes.put_u64_le(Fingerprint::of(bytes));
}

#[test]
fn a_store_has_its_known_bytes() {
    let mut store = Store::new();
    let key = Bytes::from_static(b"key");
    let lease = LeaseId::from_wire(-2);
    let request = PutRequest { key, value: "v".into(), lease, ..PutRequest::default() };
    store.put(&request).expect("valid");
    store
        .txn(&TxnRequest { success: vec![delete(b"key")], ..TxnRequest::default() })
        .expect("valid");
    let bytes = store.snapshot();
    let mut expected = b"qr-store\x01\0\0\0\x81\0\0\0\0\0\0\0".to_vec();
    expected.extend(b"\x03\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    expected.extend(store.digest().to_le_bytes());
    expected.extend(b"\x02\0\0\0\0\0\0\0");
    expected.extend(b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0key");
    expected.extend(b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0");
    expected.extend(b"\xfe\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0v");
    expected.extend(b"\x03\0\0\0\0\0\0\0\0\0\0\0\x01\x03\0\0\0key");
    let checksum = Fingerprint::of(&expected);
    expected.extend(checksum.to_le_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn what_was_read_is_written_again_to_the_same_bytes() {
    for script in LIVES {
        let store = scripted(script);
        let bytes = store.snapshot();
        let restored = Store::from_snapshot(bytes.clone()).expect("its own bytes");
        assert_eq!(restored.snapshot(), bytes, "{script}");
        assert_eq!(restored.digest(), store.digest());
        assert_eq!(restored.hash_kv(None), store.hash_kv(None));
    }
}

#[test]
fn each_kind_of_damage_is_named() {
    let whole = scripted("a+ b+ a-").snapshot();
    let read = |bytes: &[u8]| Store::from_snapshot(Bytes::copy_from_slice(bytes)).map(|_| ());
    let found = whole.len() as u64;
    assert_eq!(read(b""), Err(SnapshotError::Foreign));
    assert_eq!(read(b"qr-stor"), Err(SnapshotError::Foreign));
    assert_eq!(read(b"SQLite format 3\0"), Err(SnapshotError::Foreign));
    assert_eq!(read(b"qr-store"), Err(SnapshotError::Length { expected: 60, found: 8 }));
    for len in 20..whole.len() {
        let cut = SnapshotError::Length { expected: found, found: len as u64 };
        assert_eq!(read(&whole[..len]), Err(cut));
    }
    let longer = [&whole[..], b"\0"].concat();
    let length = SnapshotError::Length { expected: found, found: found + 1 };
    assert_eq!(read(&longer), Err(length));
    let mut newer = whole.to_vec();
    newer[8] = 2;
    assert_eq!(read(&newer), Err(SnapshotError::Version { found: 2 }));
    for at in HEADER_BYTES..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 0x10;
        assert!(matches!(read(&flipped), Err(SnapshotError::Checksum { .. })), "byte {at}");
    }
}

/// A snapshot of the given state and changes: revision, key, and of a put creation and version.
type Written<'a> = (i64, &'a str, Option<(i64, i64)>);

fn written(current: i64, compacted: i64, changes: &[Written<'_>]) -> Result<(), &'static str> {
    let mut records = Vec::new();
    for (sub, (main, key, put)) in (0..).zip(changes) {
        let (create, version) = put.unwrap_or_default();
        let kv = KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            create_revision: Revision(create),
            version,
            ..KeyValue::default()
        };
        let revision = ChangeRevision { main: Revision(*main), sub };
        encode(&Record { revision, is_tombstone: put.is_none(), kv }, &mut records);
    }
    let mut bytes = Store::new().snapshot().to_vec();
    let len = bytes.len() + records.len();
    bytes[12..20].copy_from_slice(&(len as u64).to_le_bytes());
    bytes[20..28].copy_from_slice(&current.to_le_bytes());
    bytes[28..36].copy_from_slice(&compacted.to_le_bytes());
    bytes[44..52].copy_from_slice(&(changes.len() as u64).to_le_bytes());
    bytes.splice(52..52, records);
    seal(&mut bytes);
    match Store::from_snapshot(Bytes::from(bytes)) {
        Ok(_) => Ok(()),
        Err(SnapshotError::Incoherent { reason, .. }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn intact_bytes_that_no_store_wrote_are_refused() {
    let new = |at| Some((at, 1));
    let cases: &[(i64, i64, &[Written<'_>], &str)] = &[
        (0, -1, &[], "no store is below revision 1"),
        (1, -2, &[], "the compacted revision is none that the store had"),
        (1, 2, &[], "the compacted revision is none that the store had"),
        (2, -1, &[], "the current revision is not that of the newest change"),
        (2, -1, &[(3, "a", new(3))], "the current revision is not that of the newest change"),
        (1, -1, &[(1, "a", new(1))], "a change is not newer than the one before"),
        (3, -1, &[(3, "a", new(3)), (2, "b", new(2))], "a change is not newer than the one before"),
        (2, -1, &[(2, "", new(2))], "a change has no key"),
        (2, -1, &[(2, "a", new(2)), (2, "a", None)], "a key changes twice at one revision"),
        (2, -1, &[(2, "a", None)], "a tombstone ends no generation"),
        (3, 2, &[(3, "a", None)], "a tombstone ends no generation"),
        (3, 2, &[(2, "a", None), (3, "a", None)], "a tombstone ends no generation"),
        (3, 2, &[(3, "a", Some((2, 2)))], "a write lacks those before it"),
        (3, 3, &[(3, "a", Some((2, 3)))], "a write lacks those before it"),
        (3, 3, &[(3, "a", Some((i64::MIN, 2)))], "a write lacks those before it"),
        (3, 3, &[(2, "a", new(2)), (3, "a", None)], "a change is there that the compaction drops"),
        (
            3,
            2,
            &[(2, "a", new(2)), (3, "a", Some((2, 3)))],
            "a write is not the next of its generation",
        ),
        (3, 2, &[(2, "a", new(2)), (3, "a", new(3))], "a write is not the next of its generation"),
    ];
    for (current, compacted, changes, reason) in cases {
        assert_eq!(written(*current, *compacted, changes), Err(*reason), "{changes:?}");
    }
    assert_eq!(written(3, 2, &[(2, "a", new(2)), (3, "a", Some((2, 2)))]), Ok(()));
    assert_eq!(written(4, 3, &[(3, "a", Some((2, 2))), (4, "a", None)]), Ok(()));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_are_a_stores(
        start in prop::sample::select(vec![&b""[..], MAGIC, b"qr-store\x01\0\0\0"]),
        rest in vec(any::<u8>(), 0..200),
    ) {
        let bytes = Bytes::from([start, &rest].concat());
        prop_assert!(Store::from_snapshot(bytes).is_err());
    }

    #[test]
    fn changed_bytes_with_a_right_checksum_are_refused_or_are_a_stores(
        script in prop::sample::select(LIVES.to_vec()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let mut bytes = scripted(script).snapshot().to_vec();
        for (at, byte, flips) in changes {
            let at = at.index(bytes.len());
            bytes[at] = if flips { bytes[at] ^ 1 << (byte % 8) } else { byte };
        }
        seal(&mut bytes);
        let bytes = Bytes::from(bytes);
        if let Ok(mut store) = Store::from_snapshot(bytes.clone()) {
            prop_assert_eq!(store.snapshot(), bytes);
            // And it is one that goes on.
            let compacted = store.compact_revision();
            let compaction = CompactRequest { revision: store.revision() };
            prop_assert_eq!(store.compact(&compaction).is_ok(), compacted < compaction.revision);
            let request = PutRequest { key: "a".into(), ..PutRequest::default() };
            prop_assert!(store.put(&request).is_ok());
        }
    }
}
