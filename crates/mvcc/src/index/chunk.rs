//! Some hundred neighbouring keys: the unit in which the index splits, merges and counts.
//!
//! Owns how keys are packed. What all keys of a chunk begin with is stored once, the rest of each
//! in one buffer in the order of the keys: neighbours among many keys differ in their last few
//! bytes. Never knows of other chunks.

use std::ops::Range;

use crate::key_index::{KeyIndex, Outcome};
use crate::revision::Revision;
use crate::revision_log::Location;

/// Above it a chunk is split. An insertion moves half of a chunk at most (6 KiB), a count at a
/// current revision looks at one at most.
pub(super) const MAX_KEYS: usize = 256;

/// The same for long keys, so that no insertion moves much more.
pub(super) const MAX_KEY_BYTES: usize = 64 << 10;

/// The histories of neighbouring keys, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    /// What every key begins with.
    prefix: Box<[u8]>,
    /// The rest of each key, one behind the other.
    suffixes: Vec<u8>,
    /// Where each key's rest ends in `suffixes`; it begins where the one before ends.
    ends: Vec<u32>,
    histories: Vec<KeyIndex>,
    /// How many keys exist now.
    living: usize,
}

impl Chunk {
    pub(super) fn len(&self) -> usize {
        self.histories.len()
    }

    pub(super) fn living(&self) -> usize {
        self.living
    }

    pub(super) fn history(&self, at: usize) -> &KeyIndex {
        &self.histories[at]
    }

    pub(super) fn histories_mut(&mut self) -> &mut [KeyIndex] {
        &mut self.histories
    }

    /// The key at a place, as its two parts.
    fn parts(&self, at: usize) -> [&[u8]; 2] {
        [&self.prefix, self.suffix(at)]
    }

    /// The key at a place, in memory of its own.
    pub(super) fn key(&self, at: usize) -> Vec<u8> {
        self.parts(at).concat()
    }

    fn suffix(&self, at: usize) -> &[u8] {
        &self.suffixes[self.start(at)..self.ends[at] as usize]
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    /// Where a key is, or else where it would have to be inserted.
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            // It differs within what all keys begin with: it lies before or behind them all.
            return Err(if key < &*self.prefix { 0 } else { self.len() });
        };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.suffix(middle).cmp(rest) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Whether a key more makes the chunk neither too many keys nor too many bytes. A first key
    /// always has room.
    pub(super) fn has_room_for(&self, key: &[u8]) -> bool {
        let common = common_prefix(&self.prefix, key);
        let grown = self.suffixes.len() + self.len() * (self.prefix.len() - common);
        let bytes = grown + key.len() - common;
        self.len() == 0 || (self.len() < MAX_KEYS && bytes <= MAX_KEY_BYTES)
    }

    /// Enters a key that exists at the place that [`find`](Chunk::find) gave, or, for one that is
    /// restored, that may have been deleted.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], history: KeyIndex) {
        if self.len() == 0 {
            self.prefix = key.into();
        } else {
            self.shorten_prefix(common_prefix(&self.prefix, key));
        }
        let suffix = &key[self.prefix.len()..];
        let start = self.start(at);
        grow(&mut self.suffixes, suffix.len());
        self.suffixes.splice(start..start, suffix.iter().copied());
        grow(&mut self.ends, 1);
        self.ends.insert(at, start as u32);
        for end in &mut self.ends[at..] {
            *end += suffix.len() as u32;
        }
        self.living += usize::from(history.is_living());
        grow(&mut self.histories, 1);
        self.histories.insert(at, history);
    }

    /// Changes a key's history. The result says what it did to the number of living keys.
    pub(super) fn update<T>(
        &mut self,
        at: usize,
        change: impl FnOnce(&mut KeyIndex) -> T,
    ) -> (T, Turn) {
        let history = &mut self.histories[at];
        let was_living = history.is_living();
        let result = change(history);
        let turn = match (was_living, history.is_living()) {
            (false, true) => Turn::Born,
            (true, false) => Turn::Died,
            _ => Turn::None,
        };
        match turn {
            Turn::Born => self.living += 1,
            Turn::Died => self.living -= 1,
            Turn::None => {}
        }
        (result, turn)
    }

    /// The revision of the newest change. Looks at all keys.
    pub(super) fn changed(&self) -> Revision {
        self.histories.iter().map(KeyIndex::newest_revision).max().unwrap_or_default()
    }

    /// How many keys of a part of the chunk exist now.
    pub(super) fn living_within(&self, part: Range<usize>) -> usize {
        if self.living == self.len() {
            part.len()
        } else if self.living == 0 {
            0
        } else {
            self.histories[part].iter().filter(|history| history.is_living()).count()
        }
    }

    /// How many keys of a part of the chunk exist at a revision.
    pub(super) fn visible_within(&self, part: Range<usize>, revision: Revision) -> usize {
        self.histories[part].iter().filter(|key| key.visible_at(revision).is_some()).count()
    }

    /// Drops what no read at or above a revision can see, of the keys from a place on. Each key
    /// looked at and each change dropped takes one from `budget`. The place of the first key that
    /// is not done, `None` if all are.
    pub(super) fn sweep(
        &mut self,
        from: usize,
        revision: Revision,
        budget: &mut usize,
        drop: &mut impl FnMut(Location),
    ) -> Option<usize> {
        let mut gone = Vec::new();
        let mut stopped = None;
        for at in from..self.len() {
            if *budget == 0 {
                stopped = Some(at);
                break;
            }
            *budget -= 1;
            // Something is dropped at each step, or a budget of one would never end.
            let swept = self.histories[at].compact(revision, (*budget).max(1), &mut *drop);
            *budget = budget.saturating_sub(swept.dropped);
            match swept.outcome {
                Outcome::Kept => {}
                Outcome::Gone => gone.push(at),
                Outcome::Unfinished => {
                    stopped = Some(at);
                    break;
                }
            }
        }
        self.remove(&gone);
        // All that are gone lie before.
        stopped.map(|at| at - gone.len())
    }

    /// Removes deleted keys.
    pub(super) fn remove(&mut self, gone: &[usize]) {
        if gone.is_empty() {
            return;
        }
        let mut suffixes = Vec::with_capacity(self.suffixes.len());
        let mut ends = Vec::with_capacity(self.len() - gone.len());
        let mut pending = gone.iter().copied().peekable();
        for at in 0..self.len() {
            if pending.next_if_eq(&at).is_none() {
                suffixes.extend_from_slice(self.suffix(at));
                ends.push(suffixes.len() as u32);
            }
        }
        (self.suffixes, self.ends) = (suffixes, ends);
        let (mut at, mut pending) = (0, gone.iter().copied().peekable());
        self.histories.retain(|history| {
            let stays = pending.next_if_eq(&at).is_none();
            assert!(stays || !history.is_living(), "only deleted keys are removed");
            at += 1;
            stays
        });
        self.tighten();
    }

    /// Cuts the chunk in two: the keys from a place on are the result.
    pub(super) fn split_off(&mut self, at: usize) -> Chunk {
        let start = self.start(at);
        let histories = self.histories.split_off(at);
        let living = histories.iter().filter(|history| history.is_living()).count();
        let mut behind = Chunk {
            prefix: self.prefix.clone(),
            suffixes: self.suffixes.split_off(start),
            ends: self.ends.split_off(at),
            histories,
            living,
        };
        for end in &mut behind.ends {
            *end -= start as u32;
        }
        self.living -= living;
        self.tighten();
        behind.tighten();
        behind
    }

    /// Whether a chunk is so small that it is one with its neighbour.
    pub(super) fn merges_with(&self, behind: &Chunk) -> bool {
        if self.len() == 0 || behind.len() == 0 {
            return true;
        }
        let common = common_prefix(&self.prefix, &behind.prefix);
        let bytes =
            |chunk: &Chunk| chunk.suffixes.len() + chunk.len() * (chunk.prefix.len() - common);
        // Half full, or the next key would split it again.
        self.len() + behind.len() <= MAX_KEYS / 2
            && bytes(self) + bytes(behind) <= MAX_KEY_BYTES / 2
    }

    /// Appends the keys of the chunk behind this one.
    pub(super) fn merge(&mut self, mut behind: Chunk) {
        if self.len() == 0 {
            *self = behind;
            return;
        }
        if behind.len() == 0 {
            return;
        }
        let common = common_prefix(&self.prefix, &behind.prefix);
        self.shorten_prefix(common);
        behind.shorten_prefix(common);
        let start = self.suffixes.len() as u32;
        self.suffixes.append(&mut behind.suffixes);
        self.ends.extend(behind.ends.iter().map(|end| start + end));
        self.histories.append(&mut behind.histories);
        self.living += behind.living;
    }

    /// Gives back to each key the end of the prefix.
    fn shorten_prefix(&mut self, len: usize) {
        if len == self.prefix.len() {
            return;
        }
        let (prefix, returned) = self.prefix.split_at(len);
        let mut suffixes = Vec::with_capacity(self.suffixes.len() + returned.len() * self.len());
        for at in 0..self.len() {
            suffixes.extend_from_slice(returned);
            suffixes.extend_from_slice(self.suffix(at));
        }
        let mut added = 0;
        for end in &mut self.ends {
            added += returned.len() as u32;
            *end += added;
        }
        (self.prefix, self.suffixes) = (prefix.into(), suffixes);
    }

    /// Makes the prefix as long as it can be, and gives back memory.
    fn tighten(&mut self) {
        let Some(last) = self.len().checked_sub(1) else {
            *self = Chunk::default();
            return;
        };
        // In between lies nothing that begins otherwise.
        let common = common_prefix(self.suffix(0), self.suffix(last));
        if common > 0 {
            let prefix = [&*self.prefix, &self.suffix(0)[..common]].concat();
            let mut suffixes = Vec::with_capacity(self.suffixes.len() - common * self.len());
            for at in 0..self.len() {
                suffixes.extend_from_slice(&self.suffix(at)[common..]);
            }
            let mut removed = 0;
            for end in &mut self.ends {
                removed += common as u32;
                *end -= removed;
            }
            (self.prefix, self.suffixes) = (prefix.into(), suffixes);
        }
        self.suffixes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.histories.shrink_to_fit();
    }
}

/// What a change did to the number of living keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    Born,
    Died,
}

/// The shortest key above a lesser one and not above a greater one.
pub(super) fn fence(lesser: &[u8], greater: &[u8]) -> Box<[u8]> {
    assert!(lesser < greater, "a fence stands between two keys");
    greater[..=common_prefix(lesser, greater)].into()
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Makes room for more by an eighth instead of by doubling: a chunk is short, and half of it
/// unused would cost more than the copies.
fn grow<T>(buffer: &mut Vec<T>, more: usize) {
    if buffer.capacity() - buffer.len() < more {
        buffer.reserve_exact(more + buffer.len() / 8);
    }
}
