//! What can be told, before anything is replayed, about the revisions that no acknowledged write
//! owns: which keys they wrote or cannot have written, and so which operations of unknown outcome
//! may have made them. All of it follows from single answers; if an answer is wrong, so may be
//! what follows from it, but then the history is invalid whatever was made of it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_history::{Data, EtcdOp, EtcdResponse, KeyValue};

use super::plan::Plan;

/// What answers say about the revisions that nobody acknowledged.
pub(super) struct Clues<'a> {
    /// The revisions that nobody acknowledged, in order.
    gaps: Vec<u64>,
    /// Keys that answers show as written by such a revision.
    pub(super) shown: BTreeMap<u64, Vec<(usize, &'a KeyValue)>>,
    /// Keys that answers show as created by such a revision.
    pub(super) created: BTreeMap<u64, Vec<u32>>,
    /// For each key: from which revision up to which it was seen not to be written.
    pub(super) untouched: Vec<Intervals>,
    /// For each key: from which revision up to which it was seen not to be deleted.
    pub(super) intact: Vec<Intervals>,
    /// For each key the unknown operations that may put it, in order of invocation.
    putters: Vec<Vec<usize>>,
    /// For each key the unknown operations that may put or delete it, in order of invocation.
    pub(super) writers: Vec<Vec<usize>>,
    /// For each key the states that an answer shows in full, and the revision of that answer.
    pinned: Vec<Vec<(u64, u64)>>,
    /// Per key and creation: at which revisions it was seen, and in which version.
    seen: BTreeMap<(u32, u64), BTreeMap<u64, u64>>,
    /// For each key the revisions that certainly wrote it.
    written: Vec<Vec<u64>>,
    /// Operations that only one revision can be the work of, and vice versa.
    pub(super) reserved: BTreeMap<usize, u64>,
    /// For each unknown operation the number that equal ones share.
    pub(super) class: BTreeMap<usize, usize>,
    /// The operations of each class, in order of invocation.
    pub(super) members: Vec<Vec<usize>>,
}

impl<'a> Clues<'a> {
    pub(super) fn of(plan: &Plan<'a>) -> Self {
        let is_gap = |revision: &u64| plan.owner[*revision as usize].is_none();
        let mut clues = Self {
            gaps: (2..=plan.top).filter(is_gap).collect(),
            shown: BTreeMap::new(),
            created: BTreeMap::new(),
            untouched: vec![Intervals::default(); plan.keys.len()],
            intact: vec![Intervals::default(); plan.keys.len()],
            seen: BTreeMap::new(),
            written: vec![Vec::new(); plan.keys.len()],
            putters: vec![Vec::new(); plan.keys.len()],
            writers: vec![Vec::new(); plan.keys.len()],
            pinned: vec![Vec::new(); plan.keys.len()],
            reserved: BTreeMap::new(),
            class: BTreeMap::new(),
            members: Vec::new(),
        };
        if clues.gaps.is_empty() {
            return clues;
        }
        for (index, item) in plan.items.iter().enumerate() {
            if let Some(response) = item.response {
                clues.read(plan, index, item.op, response, item.revision, true);
                if plan.owner[item.revision as usize] == Some(index) {
                    clues.read_writes(plan, item.op, response, item.revision);
                }
            }
        }
        clues.count_versions();
        for pinned in &mut clues.pinned {
            pinned.sort_unstable();
        }
        for intervals in clues.untouched.iter_mut().chain(&mut clues.intact) {
            intervals.settle();
        }
        let mut classes = BTreeMap::new();
        for &index in &plan.unknown {
            let item = &plan.items[index];
            item.call.puts(&mut |rank, _| {
                let putters = &mut clues.putters[rank as usize];
                if putters.last() != Some(&index) {
                    putters.push(index);
                }
            });
            item.call.footprint(&mut |span, writes| {
                for rank in span.ranks().filter(|_| writes) {
                    let writers = &mut clues.writers[rank as usize];
                    if writers.last() != Some(&index) {
                        writers.push(index);
                    }
                }
            });
            let next = clues.members.len();
            let class = *classes.entry(item.op).or_insert(next);
            if class == next {
                clues.members.push(Vec::new());
            }
            clues.members[class].push(index);
            clues.class.insert(index, class);
        }
        clues.reserve(plan);
        clues
    }

    /// Takes in what an answer shows. `state` is the revision that it speaks of; where that is not
    /// exact, it speaks of this one or of a later one.
    fn read(
        &mut self,
        plan: &Plan<'a>,
        index: usize,
        op: &'a EtcdOp,
        response: &'a EtcdResponse,
        state: u64,
        is_exact: bool,
    ) {
        let before = state.saturating_sub(1);
        match (op, response) {
            (EtcdOp::Put(put), EtcdResponse::Put(answer)) => match &answer.prev_kv {
                Some(Some(kv)) => self.read_kvs(plan, index, [kv].into_iter(), before),
                Some(None) if put.prev_kv && is_exact => {
                    self.read_absence(plan, index, &put.key, before)
                }
                _ => {}
            },
            (EtcdOp::Range(range), EtcdResponse::Range(answer)) => {
                let at = range.at.filter(|at| at.0 != 0).map_or(state, |at| at.0.min(state));
                let is_one_key = range.range_end.as_ref().is_none_or(|end| end.is_empty());
                if is_one_key && is_exact && answer.count == Some(0) {
                    self.read_absence(plan, index, &range.key, at);
                }
                self.read_kvs(plan, index, answer.kvs.iter().flatten(), at);
            }
            (EtcdOp::DeleteRange(_), EtcdResponse::DeleteRange(answer)) => {
                self.read_kvs(plan, index, answer.prev_kvs.iter().flatten(), before);
            }
            (EtcdOp::Txn(txn), EtcdResponse::Txn(answer)) => {
                let branch = match answer.succeeded {
                    Some(true) => &txn.then,
                    Some(false) => &txn.or_else,
                    None => return,
                };
                // A range of a transaction may show it as it was before its own writes.
                for (op, response) in branch.iter().zip(answer.responses.iter().flatten()) {
                    self.read(plan, index, op, response, before, false);
                }
            }
            _ => {}
        }
    }

    fn read_absence(&mut self, plan: &Plan<'a>, index: usize, key: &Data, state: u64) {
        if let Some(rank) = plan.rank(key) {
            self.pinned[rank as usize].push((state, plan.items[index].revision));
        }
    }

    fn read_kvs(
        &mut self,
        plan: &Plan<'a>,
        index: usize,
        kvs: impl Iterator<Item = &'a KeyValue>,
        state: u64,
    ) {
        // Answers mostly come by key, so that the next key has the next rank.
        let mut next = 0;
        for kv in kvs {
            let is_next = plan.keys.get(next as usize) == Some(&&kv.key);
            let rank = if is_next { Some(next) } else { plan.rank(&kv.key) };
            if let Some(rank) = rank {
                next = rank + 1;
                self.read_kv(plan, index, kv, rank, state);
            }
        }
    }

    fn read_kv(&mut self, plan: &Plan<'a>, index: usize, kv: &'a KeyValue, rank: u32, state: u64) {
        let Some(modified) = kv.modified else {
            return;
        };
        let modified = modified.0;
        if plan.owner.get(modified as usize) == Some(&None) {
            self.shown.entry(modified).or_default().push((index, kv));
        }
        let in_full = kv.value.is_some() && kv.create.is_some() && kv.version.is_some();
        let is_keys_only = kv.value.as_ref().is_some_and(|value| value.is_empty());
        if modified <= state && in_full && !is_keys_only {
            self.pinned[rank as usize].push((state, plan.items[index].revision));
        }
        // Where every revision has an owner, there is nothing to tell.
        let first = kv.create.map_or(modified, |create| create.0.min(modified));
        let gaps_before = |revision: u64| self.gaps.partition_point(|&gap| gap < revision);
        if gaps_before(first) == gaps_before(state + 1) {
            return;
        }
        self.untouched[rank as usize].add(modified, state);
        self.written[rank as usize].push(modified);
        let Some(create) = kv.create.map(|create| create.0).filter(|&c| c <= modified) else {
            return;
        };
        if plan.owner.get(create as usize) == Some(&None) {
            let created = self.created.entry(create).or_default();
            if !created.contains(&rank) {
                created.push(rank);
            }
        }
        self.written[rank as usize].push(create);
        self.intact[rank as usize].add(create, state.max(modified));
        if let Some(version) = kv.version {
            let seen = self.seen.entry((rank, create)).or_default();
            seen.insert(modified, version.0);
        }
    }

    /// Takes in which keys an acknowledged operation certainly wrote.
    fn read_writes(
        &mut self,
        plan: &Plan<'a>,
        op: &'a EtcdOp,
        response: &'a EtcdResponse,
        revision: u64,
    ) {
        match (op, response) {
            (EtcdOp::Put(put), _) => {
                let rank = plan.rank(&put.key).expect("every put that counts has a rank");
                self.written[rank as usize].push(revision);
            }
            (EtcdOp::Txn(txn), EtcdResponse::Txn(answer)) => {
                let branch = match answer.succeeded {
                    Some(true) => &txn.then,
                    Some(false) => &txn.or_else,
                    None => return,
                };
                for (op, response) in branch.iter().zip(answer.responses.iter().flatten()) {
                    self.read_writes(plan, op, response, revision);
                }
            }
            _ => {}
        }
    }

    /// Where the certain writes of a key account for all that its version grew by, it was not
    /// written in between.
    fn count_versions(&mut self) {
        for written in &mut self.written {
            written.sort_unstable();
            written.dedup();
        }
        for (&(rank, create), seen) in &self.seen {
            let written = &self.written[rank as usize];
            let up_to = |revision: u64| written.partition_point(|&other| other <= revision);
            let mut last = (create, 1);
            for (&modified, &version) in seen {
                let between = up_to(last.0)..up_to(modified.max(last.0));
                if version.checked_sub(last.1) == Some(between.len() as u64) {
                    let mut after = last.0;
                    for &write in &written[between] {
                        self.untouched[rank as usize].add(after, write - 1);
                        after = write;
                    }
                }
                last = (modified, version);
            }
        }
    }

    /// The latest state of a key before `revision` that an answer shows in full, of those answers
    /// that belong to revisions before `verified`. Where these fit, any other makers of earlier
    /// revisions must have led to the very same state.
    pub(super) fn pinned_before(&self, rank: u32, revision: u64, verified: u64) -> u64 {
        let pinned = &self.pinned[rank as usize];
        let before = pinned.partition_point(|pin| pin.0 < revision);
        let certain = pinned[..before].iter().rev().find(|pin| pin.1 < verified);
        certain.map_or(0, |pin| pin.0)
    }

    fn reserve(&mut self, plan: &Plan<'a>) {
        let shown = self.shown.keys().chain(self.created.keys());
        let revisions: BTreeSet<u64> = shown.copied().collect();
        for revision in revisions {
            let candidates = self.candidates(plan, revision).iter().copied();
            let mut matching = candidates.filter(|&i| self.may_have_shown(plan, i, revision));
            let (first, second) = (matching.next(), matching.next());
            let owner_possible = plan.observers_at(revision).iter().any(|observer| observer.2);
            if let (Some(only), None, false) = (first, second, owner_possible) {
                self.reserved.entry(only).or_insert(revision);
            }
        }
    }

    /// The unknown operations that may have made a revision, in order of invocation.
    pub(super) fn candidates<'c>(&'c self, plan: &'c Plan<'a>, revision: u64) -> &'c [usize] {
        let shown = self.shown.get(&revision).map(|shown| plan.rank(&shown[0].1.key));
        let created = self.created.get(&revision).map(|created| Some(created[0]));
        match shown.or(created) {
            Some(Some(rank)) => &self.putters[rank as usize],
            // Nobody ever put the key that is shown.
            Some(None) => &[],
            None => &plan.unknown,
        }
    }

    /// Whether an operation puts all that answers show as written at a revision.
    pub(super) fn may_have_shown(&self, plan: &Plan<'a>, index: usize, revision: u64) -> bool {
        let shown = self.shown.get(&revision).map_or(&[][..], |shown| shown);
        shown.iter().all(|(_, kv)| {
            let mut fits = false;
            plan.items[index].call.puts(&mut |rank, put| {
                fits |= *plan.keys[rank as usize] == kv.key
                    && (put.ignore_value
                        || kv.value.as_ref().is_none_or(|v| {
                            // Where only keys were asked for, the value shows as empty.
                            v.is_empty() || *v == put.value
                        }));
            });
            fits
        }) && self.created.get(&revision).into_iter().flatten().all(|created| {
            let mut puts = false;
            plan.items[index].call.puts(&mut |rank, _| puts |= rank == *created);
            puts
        })
    }
}

/// Intervals of revisions, without their first and with their last.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals(Vec<(u64, u64)>);

impl Intervals {
    fn add(&mut self, after: u64, until: u64) {
        if after < until {
            self.0.push((after, until));
        }
    }

    /// Makes it ready to be asked: each interval then also knows the furthest end before it.
    fn settle(&mut self) {
        self.0.sort_unstable();
        let mut furthest = 0;
        for (_, until) in &mut self.0 {
            furthest = furthest.max(*until);
            *until = furthest;
        }
    }

    pub(super) fn contains(&self, revision: u64) -> bool {
        let before = self.0.partition_point(|interval| interval.0 < revision);
        before > 0 && self.0[before - 1].1 >= revision
    }
}
