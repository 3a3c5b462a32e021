//! Which keys a branch of a transaction may write, so that none is written twice.
//!
//! Owns the overlap rule behind 'duplicate key given in txn request'. It is etcd's, and closes two
//! gaps in it: etcd overlooks a put in one nested transaction whose key a *later* sibling deletes,
//! and reads the open end `\0` of a delete as a key. Never looks at the store: what a branch may
//! write does not depend on what is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::key_range::KeyRange;

/// The keys that may be written. Two deletes may overlap (the later one finds nothing), and so
/// may writes of which only one can run.
#[derive(Default)]
pub(crate) struct WriteSet<'a> {
    puts: BTreeSet<&'a [u8]>,
    /// Disjoint intervals, each from its first key to its end.
    deletes: BTreeMap<&'a [u8], IntervalEnd<'a>>,
}

/// Where an interval of keys ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IntervalEnd<'a> {
    At(&'a [u8], Side),
    Unbounded,
}

/// On which side of a key an interval ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

impl IntervalEnd<'_> {
    fn is_past(self, key: &[u8]) -> bool {
        self > IntervalEnd::At(key, Side::Before)
    }
}

impl<'a> WriteSet<'a> {
    /// Adds a put. False if the key was to be written already.
    #[must_use]
    pub(crate) fn put(&mut self, key: &'a [u8]) -> bool {
        !self.deletes_key(key) && self.puts.insert(key)
    }

    /// Adds a delete. False if one of its keys was to be put already.
    #[must_use]
    pub(crate) fn delete(&mut self, range: KeyRange<'a>) -> bool {
        let (start, end) = match range {
            KeyRange::Key(key) => (key, IntervalEnd::At(key, Side::After)),
            KeyRange::From(key) => (key, IntervalEnd::Unbounded),
            KeyRange::Between(key, end) if key < end => (key, IntervalEnd::At(end, Side::Before)),
            KeyRange::Between(..) => return true,
        };
        if self.puts_within(start, end) {
            return false;
        }
        self.insert_interval(start, end);
        true
    }

    /// Adds a nested transaction, of which either branch may run. False if either could write a
    /// key that was to be written already.
    #[must_use]
    pub(crate) fn either(&mut self, success: WriteSet<'a>, failure: WriteSet<'a>) -> bool {
        if self.conflicts_with(&success) || self.conflicts_with(&failure) {
            return false;
        }
        for branch in [success, failure] {
            self.puts.extend(branch.puts);
            for (start, end) in branch.deletes {
                self.insert_interval(start, end);
            }
        }
        true
    }

    fn conflicts_with(&self, other: &WriteSet<'a>) -> bool {
        other.puts.iter().any(|key| self.puts.contains(key) || self.deletes_key(key))
            || other.deletes.iter().any(|(start, end)| self.puts_within(start, *end))
    }

    fn deletes_key(&self, key: &[u8]) -> bool {
        let before = self.deletes.range(..=key).next_back();
        before.is_some_and(|(_, end)| end.is_past(key))
    }

    fn puts_within(&self, start: &[u8], end: IntervalEnd<'_>) -> bool {
        let first = self.puts.range(start..).next();
        first.is_some_and(|key| end.is_past(key))
    }

    fn insert_interval(&mut self, mut start: &'a [u8], mut end: IntervalEnd<'a>) {
        let before = self.deletes.range(..=start).next_back();
        if let Some((&earlier, _)) = before.filter(|(_, earlier_end)| earlier_end.is_past(start)) {
            start = earlier;
        }
        // Everything that starts within the new interval becomes part of it.
        while let Some((&inner, &inner_end)) = self.deletes.range(start..).next() {
            if !end.is_past(inner) {
                break;
            }
            end = end.max(inner_end);
            self.deletes.remove(inner);
        }
        self.deletes.insert(start, end);
    }
}
