//! The sentences that say what is wrong with a history: which operations, keys and revisions.

use std::fmt::Write;

use quorate_history::{Data, EtcdOp, OperationId};

use super::plan::{Item, Plan};
use super::store::Difference;
use crate::verdict::{Guarantee, Violation};

/// The operation with its number, kind and keys.
pub(super) fn name(item: &Item<'_>) -> String {
    format!("operation {} ({})", item.id, describe(item.op))
}

fn describe(op: &EtcdOp) -> String {
    let keys = |key: &Data, range_end: &Option<Data>| match range_end.as_deref() {
        None | Some([]) => key.to_string(),
        Some([0]) => format!("from {key}"),
        Some(end) => format!("{key} to {}", Data::from(end)),
    };
    match op {
        EtcdOp::Put(put) => format!("put {}", put.key),
        EtcdOp::Range(range) => {
            let kind = if range.serializable { "serializable range" } else { "range" };
            let mut text = format!("{kind} {}", keys(&range.key, &range.range_end));
            if let Some(at) = range.at {
                let _ = write!(text, " at revision {at}");
            }
            text
        }
        EtcdOp::DeleteRange(delete) => {
            format!("delete_range {}", keys(&delete.key, &delete.range_end))
        }
        EtcdOp::Compact { at } => format!("compact at revision {at}"),
        EtcdOp::Txn(txn) => {
            let mut parts: Vec<String> = Vec::new();
            for compare in &txn.compare {
                parts.push(format!("if {}", keys(&compare.key, &compare.range_end)));
            }
            for op in txn.then.iter().chain(&txn.or_else).take(4) {
                parts.push(describe(op));
            }
            parts.dedup();
            format!("txn: {}", parts.join(", "))
        }
        other => other.name().to_owned(),
    }
}

fn violation(
    guarantee: Guarantee,
    message: String,
    operations: impl IntoIterator<Item = OperationId>,
) -> Violation {
    let mut unique: Vec<OperationId> = Vec::new();
    for id in operations {
        if !unique.contains(&id) {
            unique.push(id);
        }
    }
    Violation { guarantee, message, operations: unique }
}

pub(super) fn impossible_revision(item: &Item<'_>) -> Violation {
    let message = format!(
        "{} answered revision {}, but an empty store is at revision 1 and its first write makes \
         revision 2",
        name(item),
        item.revision
    );
    violation(Guarantee::Revisions, message, [item.id])
}

pub(super) fn beyond_all_writes(item: &Item<'_>, reachable: u64) -> Violation {
    let message = format!(
        "{} answered revision {}, but all writes of the history together make no revision above \
         {reachable}",
        name(item),
        item.revision
    );
    violation(Guarantee::Revisions, message, [item.id])
}

pub(super) fn two_owners(first: &Item<'_>, second: &Item<'_>) -> Violation {
    let message = format!(
        "{} made revision {}, which {} had made as well",
        name(second),
        second.revision,
        name(first)
    );
    violation(Guarantee::Revisions, message, [second.id, first.id])
}

pub(super) fn refused_although_there(item: &Item<'_>, revision: u64) -> Violation {
    let message = format!(
        "{} was refused since revision {revision} is a future one, but every store is at \
         revision 1 at least",
        name(item)
    );
    violation(Guarantee::Revisions, message, [item.id])
}

/// `earlier` stands before `later` by its revision, but was invoked after `later` completed.
pub(super) fn against_real_time(plan: &Plan<'_>, earlier: usize, later: usize) -> Violation {
    let (early, late) = (&plan.items[earlier], &plan.items[later]);
    let made = |index: usize| {
        let revision = plan.items[index].revision as usize;
        plan.owner.get(revision).copied().flatten() == Some(index)
    };
    let refused = early.response.is_none();
    let did = if refused {
        "was refused since it asked for a future revision".to_owned()
    } else if made(earlier) {
        format!("made revision {}", early.revision)
    } else {
        format!("answered at revision {}", early.revision)
    };
    let how = if made(later) { "acknowledged" } else { "answered" };
    let (guarantee, message) = if late.serializable {
        let message = format!(
            "{} answered at revision {}, which is from the future: {} {did} and was invoked only \
             after that answer",
            name(late),
            late.revision,
            name(early)
        );
        (Guarantee::SerializableReads, message)
    } else {
        let message = format!(
            "{} {did}, but revision {} was {how} ({}) before operation {} was invoked",
            name(early),
            late.revision,
            name(late),
            early.id
        );
        (Guarantee::Linearizability, message)
    };
    violation(guarantee, message, [early.id, late.id])
}

/// The answer of `item`, which belongs to `revision`, is not what a store would have answered.
/// `writer` tells who made a revision.
pub(super) fn mismatch(
    plan: &Plan<'_>,
    item: usize,
    revision: u64,
    difference: &Difference<'_>,
    writer: impl Fn(u64) -> Option<usize>,
    ambiguous: bool,
) -> Violation {
    let item = &plan.items[item];
    let mut ids = vec![item.id];
    let mut by = |revision: u64| match writer(revision) {
        Some(index) => {
            ids.push(plan.items[index].id);
            format!("written at revision {revision} by {}", name(&plan.items[index]))
        }
        None => format!("written at revision {revision}"),
    };
    let what = match difference {
        Difference::Number { key, field, observed, expected, written } => format!(
            "answered {field} {observed} for key {key}, but it was {expected} ({})",
            by(*written)
        ),
        Difference::Value { key, observed, expected, written } => format!(
            "answered value {observed} for key {key}, but it was {expected} ({})",
            by(*written)
        ),
        Difference::Lease { key, observed } => {
            format!("answered lease {observed} for key {key}, which was attached to none")
        }
        Difference::Surplus { key } => {
            format!("answered key {key}, which did not exist or was not asked for")
        }
        Difference::Missing { key, written } => {
            format!("left out key {key}, which existed ({})", by(*written))
        }
        Difference::Order { key } => format!("answered key {key} in another order than asked"),
        Difference::Count { field, observed, expected } => {
            format!("answered {field} {observed}, but it was {expected}")
        }
        Difference::Flag { field, observed } => {
            format!("answered {field} {observed}, but it was {}", !observed)
        }
        Difference::Impossible(why) => format!("cannot have been answered so: {why}"),
    };
    let whichever = if ambiguous {
        ", whichever operations of unknown outcome made the revisions that nobody acknowledged"
    } else {
        ""
    };
    let message = format!("{} at revision {revision} {what}{whichever}", name(item));
    let guarantee =
        if item.serializable { Guarantee::SerializableReads } else { Guarantee::Linearizability };
    violation(guarantee, message, ids)
}

/// Nobody can have made `revision`. `seen` are answers that show a key as written there.
pub(super) fn no_owner<'a>(
    plan: &Plan<'a>,
    revision: u64,
    seen: &[(usize, &'a quorate_history::KeyValue)],
) -> Violation {
    let mut message = format!("revision {revision} was made by no operation of the history");
    let mut ids = Vec::new();
    if let Some((item, kv)) = seen.first() {
        let item = &plan.items[*item];
        ids.push(item.id);
        let _ = write!(message, ", yet {} answered key {}", name(item), kv.key);
        if let Some(value) = &kv.value {
            let _ = write!(message, " with value {value}");
        }
        let _ = write!(message, " as written there");
    } else {
        let after = plan.items.iter().filter(|item| item.revision >= revision);
        if let Some(item) = after.min_by_key(|item| (item.completed, item.id)) {
            ids.push(item.id);
            let _ = write!(message, ", yet {} answered revision {}", name(item), item.revision);
        }
    }
    violation(Guarantee::Revisions, message, ids)
}

pub(super) fn compacted_twice(first: &Item<'_>, second: &Item<'_>) -> Violation {
    let message = format!(
        "{} succeeded, although {} succeeded as well: the second should have been refused",
        name(second),
        name(first)
    );
    violation(Guarantee::Compaction, message, [second.id, first.id])
}

pub(super) fn compacted_future(item: &Item<'_>) -> Violation {
    let message =
        format!("{} succeeded when the store was at revision {} only", name(item), item.revision);
    violation(Guarantee::Compaction, message, [item.id])
}

pub(super) fn refused_without_compaction(item: &Item<'_>, needed: u64) -> Violation {
    let message = format!(
        "{} was refused as compacted, but no compaction at revision {needed} or above can have \
         taken effect before it completed",
        name(item)
    );
    violation(Guarantee::Compaction, message, [item.id])
}

/// `second` must come after `first`, which is not possible in time.
pub(super) fn compaction_order(first: &Item<'_>, second: &Item<'_>) -> Violation {
    let message = format!(
        "{} and {} contradict each other: by their answers and the compactions between them the \
         first comes before the second, which had completed before the first was invoked",
        name(first),
        name(second)
    );
    violation(Guarantee::Compaction, message, [second.id, first.id])
}

/// `read` answered what `compaction` had given up.
pub(super) fn read_of_compacted(read: &Item<'_>, compaction: &Item<'_>) -> Violation {
    let message = format!(
        "{} was answered at revision {}, although {} had taken effect before",
        name(read),
        read.revision,
        name(compaction)
    );
    violation(Guarantee::Compaction, message, [read.id, compaction.id])
}
