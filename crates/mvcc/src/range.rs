//! Reads: which keys a range answers with, and which revisions can be read.
//!
//! Owns limit, filters, order and count. Changes nothing.
//!
//! A read decides by the index which keys it answers with, and then fetches those records and no
//! others: the count, the keys without values, filters and every order but that of the values
//! need none, unless the read is of a revision at which a key was not yet as it is now.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_wal::disk::Disk;

use crate::error::{Error, Failure};
use crate::index::Found;
use crate::key_index::Summary;
use crate::key_range::KeyRange;
use crate::request::{RangeRequest, SortOrder, SortTarget};
use crate::response::{KeyValue, RangeResponse};
use crate::revision::Revision;
use crate::revision_log::damage::Damage;
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
        let count = self.index.count(range, at);
        let header = RangeResponse { revision: current, count, ..RangeResponse::default() };
        if request.count_only {
            return Ok(header);
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        let fetch = Fetch { store: self, disk, damage: RefCell::default() };
        let mut found = fetch.select(request, range, at, limit.saturating_add(1));
        let more = found.len() > limit;
        found.truncate(limit);
        let kvs = found.into_iter().map(|found| fetch.answer(request, &found)).collect();
        if let Some(damage) = fetch.damage.into_inner() {
            return Err(damage.into());
        }
        Ok(RangeResponse { kvs, more, ..header })
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

/// What a read fetches.
struct Fetch<'s> {
    store: &'s Store,
    disk: &'s dyn Disk,
    /// The first record that could not be fetched. The answer is thrown away then.
    damage: RefCell<Option<Damage>>,
}

impl<'s> Fetch<'s> {
    /// The keys to answer with, in the order that is asked for, at most so many: one more than the
    /// limit tells whether there are more.
    ///
    /// A target without an order does not count: as in etcd, the lowest keys are then cut first
    /// and sorted afterwards, unless there are filters.
    fn select<'a>(
        &self,
        request: &RangeRequest,
        range: KeyRange<'a>,
        revision: Revision,
        most: usize,
    ) -> Vec<Found<'a>>
    where
        's: 'a,
    {
        let passes = |found: &Found<'_>| !is_filtered(request) || self.passes(request, found);
        let keys = self.store.index.find(range, revision);
        match (request.sort_order, request.sort_target) {
            (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {
                keys.filter(passes).take(most).collect()
            }
            (SortOrder::Descend, SortTarget::Key) => keys.rev().filter(passes).take(most).collect(),
            (order, target) => {
                let cut_first = order == SortOrder::None && !is_filtered(request);
                let candidates = if cut_first { most } else { usize::MAX };
                let found = keys.filter(passes).take(candidates);
                self.sorted(found, target, order == SortOrder::Descend, most)
            }
        }
    }

    /// The first keys by something other than themselves. Only the order of values looks at
    /// values.
    fn sorted<'a>(
        &self,
        found: impl Iterator<Item = Found<'a>>,
        target: SortTarget,
        descends: bool,
        most: usize,
    ) -> Vec<Found<'a>> {
        let number = |found: &Found<'_>| {
            let summary = self.summary(found);
            match target {
                SortTarget::Version => summary.version,
                SortTarget::CreateRevision => summary.create_revision.0,
                SortTarget::ModRevision => summary.mod_revision.0,
                SortTarget::Key | SortTarget::Value => unreachable!("these are no numbers"),
            }
        };
        let value = |found: &Found<'_>| self.kv(found).value;
        match (target, descends) {
            (SortTarget::Key, _) => unreachable!("the keys lie in their order"),
            (SortTarget::Value, false) => lowest(found, most, value),
            (SortTarget::Value, true) => lowest(found, most, |found| Reverse(value(found))),
            (_, false) => lowest(found, most, number),
            (_, true) => lowest(found, most, |found| Reverse(number(found))),
        }
    }

    fn passes(&self, request: &RangeRequest, found: &Found<'_>) -> bool {
        let Summary { create_revision, mod_revision, .. } = self.summary(found);
        request.min_mod_revision.is_none_or(|min| mod_revision >= min)
            && request.max_mod_revision.is_none_or(|max| mod_revision <= max)
            && request.min_create_revision.is_none_or(|min| create_revision >= min)
            && request.max_create_revision.is_none_or(|max| create_revision <= max)
    }

    fn answer(&self, request: &RangeRequest, found: &Found<'_>) -> KeyValue {
        if !request.keys_only {
            return self.kv(found);
        }
        let Summary { create_revision, mod_revision, version, lease } = self.summary(found);
        let (key, value) = (found.key(), Bytes::new());
        KeyValue { key, value, create_revision, mod_revision, version, lease }
    }

    /// What a read says of a key besides its value. Only of a write that is not the key's newest
    /// the record has to be fetched.
    fn summary(&self, found: &Found<'_>) -> Summary {
        found.summary().unwrap_or_else(|| Summary::of(&self.kv(found)))
    }

    /// The one place where a read fetches a record.
    fn kv(&self, found: &Found<'_>) -> KeyValue {
        match self.store.log.get(found.location(), self.disk) {
            Ok(record) => record.kv,
            Err(damage) => {
                self.damage.borrow_mut().get_or_insert(damage);
                KeyValue::default()
            }
        }
    }
}

fn is_filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision.is_some()
        || request.max_mod_revision.is_some()
        || request.min_create_revision.is_some()
        || request.max_create_revision.is_some()
}

/// The items with the lowest ranks, at most so many, lowest first; no more are ever held. Equals
/// stay in the order in which they come, which etcd leaves open.
fn lowest<T, R: Ord>(
    items: impl Iterator<Item = T>,
    most: usize,
    rank: impl Fn(&T) -> R,
) -> Vec<T> {
    let mut kept: BTreeMap<(R, usize), T> = BTreeMap::new();
    for (position, item) in items.enumerate() {
        let rank = rank(&item);
        if kept.len() == most {
            match kept.last_entry() {
                Some(last) if last.key().0 > rank => last.remove(),
                _ => continue,
            };
        }
        kept.insert((rank, position), item);
    }
    kept.into_values().collect()
}
