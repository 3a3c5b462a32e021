//! What a log's records hold, in words: as far as etcd's request types are known by name.

use prost::Message as _;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use quorate_proto::etcdserverpb::{InternalRaftRequest, Metadata};
use quorate_proto::raftpb::{
    ConfChange, ConfChangeType, ConfChangeV2, Entry, EntryType, HardState,
};
use quorate_proto::walpb;

/// The requests of etcd's `InternalRaftRequest`, by field number.
const REQUESTS: &[(u32, &str)] = &[
    (2, "v2"),
    (3, "range"),
    (4, "put"),
    (5, "delete_range"),
    (6, "txn"),
    (7, "compaction"),
    (8, "lease_grant"),
    (9, "lease_revoke"),
    (10, "alarm"),
    (11, "lease_checkpoint"),
    (1000, "auth_enable"),
    (1011, "auth_disable"),
    (1012, "authenticate"),
    (1013, "auth_status"),
    (1100, "auth_user_add"),
    (1101, "auth_user_delete"),
    (1102, "auth_user_get"),
    (1103, "auth_user_change_password"),
    (1104, "auth_user_grant_role"),
    (1105, "auth_user_revoke_role"),
    (1106, "auth_user_list"),
    (1107, "auth_role_list"),
    (1200, "auth_role_add"),
    (1201, "auth_role_delete"),
    (1202, "auth_role_get"),
    (1203, "auth_role_grant_permission"),
    (1204, "auth_role_revoke_permission"),
    (1300, "cluster_version_set"),
    (1301, "cluster_member_attr_set"),
    (1302, "downgrade_info_set"),
    (9900, "downgrade_version_test"),
];
/// Fields that are no requests: the identifier and the header.
const ENVELOPE: [u32; 2] = [1, 100];
/// Keys are shown up to so many bytes.
const KEY_BYTES: usize = 40;

/// The name of what an entry asks for: `put`, `conf_change`, `empty`.
pub(super) fn name(entry: &Entry) -> String {
    let data = entry.data.clone().unwrap_or_default();
    match EntryType::try_from(entry.r#type) {
        Ok(EntryType::EntryConfChange) => "conf_change".to_owned(),
        Ok(EntryType::EntryConfChangeV2) => "conf_change_v2".to_owned(),
        Err(_) => format!("type_{}", entry.r#type),
        Ok(EntryType::EntryNormal) if data.is_empty() => "empty".to_owned(),
        Ok(EntryType::EntryNormal) => request(data).unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// The first request among the fields of an encoded `InternalRaftRequest`.
fn request(mut data: impl Buf) -> Option<String> {
    while data.has_remaining() {
        let (field, wire) = decode_key(&mut data).ok()?;
        if wire == WireType::LengthDelimited && !ENVELOPE.contains(&field) {
            let known = REQUESTS.iter().find(|(number, _)| *number == field);
            return Some(
                known.map_or_else(|| format!("field_{field}"), |(_, name)| (*name).into()),
            );
        }
        skip_field(wire, field, &mut data, DecodeContext::default()).ok()?;
    }
    None
}

/// What more is known about an entry, for people; empty for nothing.
pub(super) fn details(entry: &Entry) -> String {
    let data = entry.data.clone().unwrap_or_default();
    match EntryType::try_from(entry.r#type) {
        Ok(EntryType::EntryConfChange) => ConfChange::decode(data).map_or_else(
            |_| "cannot be decoded".to_owned(),
            |change| one_change(change.r#type, change.node_id),
        ),
        Ok(EntryType::EntryConfChangeV2) => ConfChangeV2::decode(data).map_or_else(
            |_| "cannot be decoded".to_owned(),
            |change| {
                let one = change.changes.iter();
                let all: Vec<_> = one.map(|one| one_change(one.r#type, one.node_id)).collect();
                all.join(", ")
            },
        ),
        _ => InternalRaftRequest::decode(data).map_or_else(|_| String::new(), |it| asked(&it)),
    }
}

fn one_change(kind: i32, node: u64) -> String {
    let kind = match ConfChangeType::try_from(kind) {
        Ok(ConfChangeType::ConfChangeAddNode) => "add",
        Ok(ConfChangeType::ConfChangeRemoveNode) => "remove",
        Ok(ConfChangeType::ConfChangeUpdateNode) => "update",
        Ok(ConfChangeType::ConfChangeAddLearnerNode) => "add learner",
        Err(_) => "unknown change of",
    };
    format!("{kind} {node:x}")
}

fn asked(request: &InternalRaftRequest) -> String {
    if let Some(put) = &request.put {
        return format!("{} = {} bytes", key(&put.key), put.value.len());
    }
    if let Some(delete) = &request.delete_range {
        return range(&delete.key, &delete.range_end);
    }
    if let Some(asked) = &request.range {
        return range(&asked.key, &asked.range_end);
    }
    if let Some(txn) = &request.txn {
        let (compare, then, els) = (txn.compare.len(), txn.success.len(), txn.failure.len());
        return format!("{compare} compares, {then} then, {els} else");
    }
    let compaction = request.compaction.as_ref();
    compaction.map_or_else(String::new, |compaction| format!("revision {}", compaction.revision))
}

fn key(key: &[u8]) -> String {
    let shown = key[..key.len().min(KEY_BYTES)].escape_ascii();
    let more = if key.len() > KEY_BYTES { "…" } else { "" };
    format!("\"{shown}{more}\"")
}

fn range(first: &[u8], end: &[u8]) -> String {
    match end {
        [] => key(first),
        [0] => format!("{} and all behind", key(first)),
        end => format!("{} to {}", key(first), key(end)),
    }
}

/// Whose log it is.
pub(super) fn metadata(data: &[u8]) -> String {
    Metadata::decode(data).map_or_else(
        |_| format!("{} bytes that are not etcd's", data.len()),
        |metadata| format!("member {:x} of cluster {:x}", metadata.node_id, metadata.cluster_id),
    )
}

pub(super) fn hard_state(state: &HardState) -> String {
    format!("term {}, vote {:x}, commit {}", state.term, state.vote, state.commit)
}

pub(super) fn snapshot(snapshot: &walpb::Snapshot) -> String {
    let voters = snapshot.conf_state.as_ref().map(|configuration| {
        let all: Vec<_> = configuration.voters.iter().map(|voter| format!("{voter:x}")).collect();
        format!(", voters {}", all.join(" "))
    });
    let voters = voters.unwrap_or_default();
    match snapshot.index {
        0 => "the beginning of the log".to_owned(),
        index => format!("entry {index}, term {}{voters}", snapshot.term),
    }
}
