//! Reads: which keys a range answers with, and which revisions can be read.
//!
//! Owns limit, filters, order and count. Changes nothing.

use std::cmp::Ordering;

use bytes::Bytes;
use quorate_wal::disk::Disk;

use crate::error::{Error, Failure};
use crate::key_range::KeyRange;
use crate::request::{RangeRequest, SortOrder, SortTarget};
use crate::response::{KeyValue, RangeResponse};
use crate::revision::Revision;
use crate::store::Store;

impl Store {
    /// Answers a range for a reader that sees the store up to `current`, which is ahead of the
    /// store's own revision within a transaction that has changed something.
    pub(crate) fn read(
        &self,
        request: &RangeRequest,
        current: Revision,
        disk: &dyn Disk,
    ) -> Result<RangeResponse, Failure> {
        let at = self.readable_revision(request.revision, current)?;
        let range = KeyRange::new(&request.key, &request.range_end);
        let mut visible = self.index.visible(range, at);
        if request.count_only {
            let count = visible.count() as u64;
            return Ok(RangeResponse { revision: current, count, ..RangeResponse::default() });
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        let fetched = if needs_all(request) { usize::MAX } else { limit.saturating_add(1) };
        let mut kvs: Vec<KeyValue> = Vec::new();
        let mut count = 0;
        for location in visible.by_ref() {
            count += 1;
            let kv = self.log.get(location, disk)?.kv;
            if passes_filters(request, &kv) {
                kvs.push(kv);
                if kvs.len() == fetched {
                    break;
                }
            }
        }
        count += visible.count() as u64;

        sort(request, &mut kvs);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        let kvs = kvs.into_iter().map(|kv| answer(request, kv)).collect();
        Ok(RangeResponse { revision: current, kvs, more, count })
    }

    /// The revision to read at, for a reader that sees the store up to `current`. As in etcd,
    /// what is not above zero reads the current one.
    pub(crate) fn readable_revision(
        &self,
        requested: Option<Revision>,
        current: Revision,
    ) -> Result<Revision, Error> {
        let revision = requested.filter(|revision| revision.0 > 0).unwrap_or(current);
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(revision)
    }
}

/// Whether every key has to be looked at before the range can be cut. Otherwise one more than the
/// limit tells whether there are more.
///
/// A target without an order does not count: as in etcd, the lowest keys are then cut first and
/// sorted afterwards.
fn needs_all(request: &RangeRequest) -> bool {
    let sorts = match (request.sort_order, request.sort_target) {
        (SortOrder::None, _) | (SortOrder::Ascend, SortTarget::Key) => false,
        (SortOrder::Ascend | SortOrder::Descend, _) => true,
    };
    sorts
        || request.min_mod_revision.is_some()
        || request.max_mod_revision.is_some()
        || request.min_create_revision.is_some()
        || request.max_create_revision.is_some()
}

fn passes_filters(request: &RangeRequest, kv: &KeyValue) -> bool {
    request.min_mod_revision.is_none_or(|min| kv.mod_revision >= min)
        && request.max_mod_revision.is_none_or(|max| kv.mod_revision <= max)
        && request.min_create_revision.is_none_or(|min| kv.create_revision >= min)
        && request.max_create_revision.is_none_or(|max| kv.create_revision <= max)
}

/// Sorts what lies in the order of its keys. The sort is stable, so equals stay in that order,
/// which etcd leaves open.
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let compare = |left: &KeyValue, right: &KeyValue| -> Ordering {
        match request.sort_target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::CreateRevision => left.create_revision.cmp(&right.create_revision),
            SortTarget::ModRevision => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        }
    };
    match (request.sort_order, request.sort_target) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::Descend, SortTarget::Key) => kvs.reverse(),
        (SortOrder::None | SortOrder::Ascend, _) => kvs.sort_by(|left, right| compare(left, right)),
        (SortOrder::Descend, _) => kvs.sort_by(|left, right| compare(right, left)),
    }
}

fn answer(request: &RangeRequest, kv: KeyValue) -> KeyValue {
    if request.keys_only { KeyValue { value: Bytes::new(), ..kv } } else { kv }
}
