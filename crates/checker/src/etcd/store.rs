//! The checker's own small model of what an etcd store answers: keys with all their versions, by
//! revision. It compares every observed field of an answer with its own, and can go back to any
//! earlier revision. Written from etcd's documented behaviour; it shares nothing with our store.

use quorate_history::{
    Compare, CompareTarget, Data, DeleteRangeResponse, EtcdResponse, KeyValue, Put, Range,
    RangeResponse, Relation, Sort, SortOrder, SortTarget, TxnResponse,
};

use super::plan::{Call, Span, TxnCall};

/// One version of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    pub(super) modified: u64,
    pub(super) create: u64,
    /// 0 for a tombstone.
    pub(super) version: u64,
    pub(super) value: &'a Data,
}

/// How an answer differs from what the store would have answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mismatch<'a> {
    /// The keys whose state made the difference; `None` if it may be any that the call names.
    pub(super) span: Option<Span>,
    pub(super) difference: Difference<'a>,
}

/// One difference: observed first, then expected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Difference<'a> {
    Number {
        key: &'a Data,
        field: &'static str,
        observed: u64,
        expected: u64,
        /// The revision that wrote what was expected.
        written: u64,
    },
    Value {
        key: &'a Data,
        observed: &'a Data,
        expected: &'a Data,
        written: u64,
    },
    Lease {
        key: &'a Data,
        observed: i64,
    },
    /// A key was answered that did not exist, or was not asked for.
    Surplus {
        key: &'a Data,
    },
    /// A key was left out.
    Missing {
        key: &'a Data,
        written: u64,
    },
    /// Keys stand in another order than was asked for.
    Order {
        key: &'a Data,
    },
    Count {
        field: &'static str,
        observed: u64,
        expected: u64,
    },
    Flag {
        field: &'static str,
        observed: bool,
    },
    /// The request could not have been carried out, or not with this effect.
    Impossible(&'static str),
}

impl<'a> Mismatch<'a> {
    const fn of_key(rank: u32, difference: Difference<'a>) -> Self {
        Self { span: Some(Span::one(rank)), difference }
    }

    const fn within(span: Span, difference: Difference<'a>) -> Self {
        Self { span: Some(span), difference }
    }

    pub(super) const fn of_call(difference: Difference<'a>) -> Self {
        Self { span: None, difference }
    }
}

static NOTHING_OBSERVED: RangeResponse = RangeResponse { kvs: None, count: None, more: None };

type Fits<'a> = Result<(), Mismatch<'a>>;

/// The store. Revision 1 is empty.
#[derive(Debug)]
pub(super) struct Store<'p, 'a> {
    keys: &'p [&'a Data],
    versions: Vec<Vec<Version<'a>>>,
    /// Which key was written at which revision, in order: the way back.
    log: Vec<(u64, u32)>,
}

impl<'p, 'a> Store<'p, 'a> {
    pub(super) fn new(keys: &'p [&'a Data]) -> Self {
        Self { keys, versions: vec![Vec::new(); keys.len()], log: Vec::new() }
    }

    /// Forgets everything after a revision.
    pub(super) fn roll_back(&mut self, revision: u64) {
        while let Some(&(written, rank)) = self.log.last()
            && written > revision
        {
            self.log.pop();
            self.versions[rank as usize].pop();
        }
    }

    /// The keys that a revision wrote, if it is the last.
    pub(super) fn written(&self, revision: u64) -> impl Iterator<Item = u32> + '_ {
        let last = self.log.iter().rev();
        last.take_while(move |entry| entry.0 == revision).map(|entry| entry.1)
    }

    /// A key at a revision, if it existed.
    pub(super) fn at(&self, rank: u32, revision: u64) -> Option<&Version<'a>> {
        let versions = &self.versions[rank as usize];
        let last = match versions.last() {
            Some(last) if last.modified <= revision => last,
            _ => {
                let after = versions.partition_point(|version| version.modified <= revision);
                versions.get(after.checked_sub(1)?)?
            }
        };
        (last.version > 0).then_some(last)
    }

    /// Carries a call out on the store at revision `base`, and compares its answer. What it
    /// writes has revision `base + 1`; on a mismatch the caller rolls back.
    pub(super) fn run(
        &mut self,
        call: &Call<'a>,
        base: u64,
        response: Option<&'a EtcdResponse>,
    ) -> Fits<'a> {
        match (call, response) {
            (Call::Put(rank, put), None) => self.put(*rank, put, base, None),
            (Call::Put(rank, put), Some(EtcdResponse::Put(answer))) => {
                self.put(*rank, put, base, answer.prev_kv.as_ref())
            }
            (Call::Range(span, range), None) => self.range(*span, range, base, &NOTHING_OBSERVED),
            (Call::Range(span, range), Some(EtcdResponse::Range(answer))) => {
                self.range(*span, range, base, answer)
            }
            (Call::Delete(span, delete), None) => self.delete(*span, delete.prev_kv, base, None),
            (Call::Delete(span, delete), Some(EtcdResponse::DeleteRange(answer))) => {
                self.delete(*span, delete.prev_kv, base, Some(answer))
            }
            (Call::Txn(txn), None) => self.txn(txn, base, None),
            (Call::Txn(txn), Some(EtcdResponse::Txn(answer))) => self.txn(txn, base, Some(answer)),
            (Call::Other, _) => Ok(()),
            (_, Some(_)) => {
                let why = "it is the answer to another kind of operation";
                Err(Mismatch::of_call(Difference::Impossible(why)))
            }
        }
    }

    /// The revision that reads see within a transaction that began at `base`.
    fn current(&self, base: u64) -> u64 {
        let changed = self.log.last().is_some_and(|entry| entry.0 > base);
        base + u64::from(changed)
    }

    fn write(&mut self, rank: u32, version: Version<'a>) {
        self.log.push((version.modified, rank));
        self.versions[rank as usize].push(version);
    }

    fn put(
        &mut self,
        rank: u32,
        put: &'a Put,
        base: u64,
        prev_kv: Option<&'a Option<KeyValue>>,
    ) -> Fits<'a> {
        let before = self.at(rank, base + 1).copied();
        let key = self.keys[rank as usize];
        if before.is_none() && (put.ignore_value || put.ignore_lease) {
            let why = "it keeps a value or lease of a key that did not exist";
            let difference = Difference::Impossible(why);
            return Err(Mismatch::of_key(rank, difference));
        }
        match prev_kv.map(|kv| (kv, before.filter(|_| put.prev_kv))) {
            None | Some((None, None)) => {}
            Some((Some(_), None)) => {
                return Err(Mismatch::of_key(rank, Difference::Surplus { key }));
            }
            Some((None, Some(before))) => {
                let written = before.modified;
                return Err(Mismatch::of_key(rank, Difference::Missing { key, written }));
            }
            Some((Some(kv), Some(_))) if kv.key != *key => {
                let difference = Difference::Surplus { key: &kv.key };
                return Err(Mismatch::of_key(rank, difference));
            }
            Some((Some(kv), Some(before))) => self.compare_kv(kv, rank, &before, false)?,
        }
        let version = match before {
            Some(before) => Version {
                modified: base + 1,
                version: before.version + 1,
                value: if put.ignore_value { before.value } else { &put.value },
                ..before
            },
            None => Version { modified: base + 1, create: base + 1, version: 1, value: &put.value },
        };
        self.write(rank, version);
        Ok(())
    }

    fn delete(
        &mut self,
        span: Span,
        asks_prev_kv: bool,
        base: u64,
        answer: Option<&'a DeleteRangeResponse>,
    ) -> Fits<'a> {
        let current = self.current(base);
        let mut deleted = Vec::new();
        for rank in span.ranks() {
            if let Some(version) = self.at(rank, current) {
                deleted.push((rank, *version));
            }
        }
        if let Some(answer) = answer {
            let expected = deleted.len() as u64;
            let shown = if asks_prev_kv { &deleted[..] } else { &[] };
            if let Some(kvs) = &answer.prev_kvs {
                self.compare_listed(span, kvs, shown, false)?;
            }
            if let Some(observed) = answer.deleted.filter(|observed| *observed != expected) {
                let field = "deleted";
                let difference = Difference::Count { field, observed, expected };
                return Err(Mismatch::within(span, difference));
            }
        }
        for (rank, before) in deleted {
            let tombstone = Version { modified: base + 1, version: 0, ..before };
            self.write(rank, tombstone);
        }
        Ok(())
    }

    fn txn(&mut self, txn: &TxnCall<'a>, base: u64, answer: Option<&'a TxnResponse>) -> Fits<'a> {
        let current = self.current(base);
        let succeeded =
            txn.compares.iter().all(|(span, compare)| self.holds(*span, compare, current));
        if let Some(observed) = answer.and_then(|answer| answer.succeeded)
            && observed != succeeded
        {
            let field = "succeeded";
            return Err(Mismatch::of_call(Difference::Flag { field, observed }));
        }
        let branch = if succeeded { &txn.then } else { &txn.or_else };
        let responses = answer.and_then(|answer| answer.responses.as_ref());
        if let Some(responses) = responses
            && responses.len() != branch.len()
        {
            return Err(Mismatch::of_call(Difference::Count {
                field: "responses",
                observed: responses.len() as u64,
                expected: branch.len() as u64,
            }));
        }
        for (index, call) in branch.iter().enumerate() {
            let response = responses.map(|responses| &responses[index]);
            self.run(call, base, response).map_err(|mismatch| Mismatch {
                // Another branch might have been taken: any key of the transaction may matter.
                span: None,
                ..mismatch
            })?;
        }
        Ok(())
    }

    /// The lowest revision that a call asks for in the branch that it takes at revision `base`;
    /// the highest number for none.
    pub(super) fn lowest_read(&self, call: &Call<'a>, base: u64) -> u64 {
        match call {
            Call::Range(_, range) => {
                let at = range.at.filter(|at| at.0 != 0);
                at.map_or(u64::MAX, |at| at.0)
            }
            Call::Txn(txn) => {
                let mut compares = txn.compares.iter();
                let succeeded = compares.all(|(span, compare)| self.holds(*span, compare, base));
                let branch = if succeeded { &txn.then } else { &txn.or_else };
                let lowest = branch.iter().map(|call| self.lowest_read(call, base)).min();
                lowest.unwrap_or(u64::MAX)
            }
            Call::Put(..) | Call::Delete(..) | Call::Other => u64::MAX,
        }
    }

    fn holds(&self, span: Span, compare: &Compare, revision: u64) -> bool {
        let mut exists = false;
        for rank in span.ranks() {
            if let Some(version) = self.at(rank, revision) {
                exists = true;
                if !compare_one(compare, Some(version)) {
                    return false;
                }
            }
        }
        exists || compare_one(compare, None)
    }

    fn range(
        &self,
        span: Span,
        range: &'a Range,
        base: u64,
        answer: &'a RangeResponse,
    ) -> Fits<'a> {
        let at = range.at.map_or(0, |at| at.0);
        if at > base {
            let why = "it asked for a revision that did not exist yet";
            return Err(Mismatch::of_call(Difference::Impossible(why)));
        }
        let at = if at == 0 { self.current(base) } else { at };
        if answer.kvs.is_none() && answer.count.is_none() && answer.more.is_none() {
            return Ok(());
        }
        let mut found = Vec::new();
        for rank in span.ranks() {
            if let Some(version) = self.at(rank, at) {
                found.push((rank, *version));
            }
        }
        let total = found.len() as u64;
        let more = if range.count_only {
            found.clear();
            false
        } else {
            found.retain(|(_, version)| within_bounds(range, version));
            select(range, &mut found)
        };
        let limit = if more { range.limit as usize } else { found.len() };
        if let Some(kvs) = &answer.kvs {
            match range.sort.filter(|sort| sort.target != SortTarget::Key) {
                Some(sort) if !range.count_only => {
                    self.compare_sorted(span, kvs, &found, limit, sort, range.keys_only)?;
                }
                _ => self.compare_listed(span, kvs, &found[..limit], range.keys_only)?,
            }
        }
        if let Some(observed) = answer.count.filter(|observed| *observed != total) {
            let difference = Difference::Count { field: "count", observed, expected: total };
            return Err(Mismatch::within(span, difference));
        }
        if let Some(observed) = answer.more.filter(|observed| *observed != more) {
            let field = "more";
            let difference = Difference::Flag { field, observed };
            return Err(Mismatch::within(span, difference));
        }
        Ok(())
    }

    /// Compares an answer whose order is certain.
    fn compare_listed(
        &self,
        span: Span,
        kvs: &'a [KeyValue],
        expected: &[(u32, Version<'a>)],
        keys_only: bool,
    ) -> Fits<'a> {
        let mut next = expected.iter();
        for kv in kvs {
            let Some((rank, version)) = next.next() else {
                return Err(Mismatch::within(span, Difference::Surplus { key: &kv.key }));
            };
            let key = self.keys[*rank as usize];
            if *key != kv.key {
                return Err(Mismatch::within(span, self.misplaced(kv, key, expected)));
            }
            self.compare_kv(kv, *rank, version, keys_only)?;
        }
        match next.next() {
            None => Ok(()),
            Some((rank, version)) => Err(Mismatch::within(
                span,
                Difference::Missing { key: self.keys[*rank as usize], written: version.modified },
            )),
        }
    }

    /// What is wrong where `kv` stands in the place of `key`.
    fn misplaced(
        &self,
        kv: &'a KeyValue,
        key: &'a Data,
        expected: &[(u32, Version<'a>)],
    ) -> Difference<'a> {
        let is_expected = |wanted: &Data| {
            let mut keys = expected.iter().map(|(rank, _)| self.keys[*rank as usize]);
            keys.any(|key| key == wanted)
        };
        if !is_expected(&kv.key) {
            return Difference::Surplus { key: &kv.key };
        }
        let here = expected.iter().find(|(rank, _)| self.keys[*rank as usize] == key);
        let written = here.map_or(0, |(_, version)| version.modified);
        Difference::Missing { key, written }
    }

    /// Compares an answer sorted by something that several keys may share: their order among
    /// each other is free, and so is which of them the limit cuts off.
    fn compare_sorted(
        &self,
        span: Span,
        kvs: &'a [KeyValue],
        sorted: &[(u32, Version<'a>)],
        limit: usize,
        sort: Sort,
        keys_only: bool,
    ) -> Fits<'a> {
        let mut used = vec![false; sorted.len()];
        for (place, kv) in kvs.iter().enumerate() {
            let found = sorted.iter().position(|(rank, _)| *self.keys[*rank as usize] == kv.key);
            let Some(found) = found.filter(|&found| place < limit && !used[found]) else {
                return Err(Mismatch::within(span, Difference::Surplus { key: &kv.key }));
            };
            used[found] = true;
            let (rank, version) = &sorted[found];
            self.compare_kv(kv, *rank, version, keys_only)?;
            if compare_by(sort.target, version, &sorted[place].1).is_ne() {
                return Err(Mismatch::within(span, Difference::Order { key: &kv.key }));
            }
        }
        if kvs.len() < limit {
            let missing = used.iter().position(|used| !used);
            let (rank, version) = &sorted[missing.expect("fewer were used than there are")];
            let difference =
                Difference::Missing { key: self.keys[*rank as usize], written: version.modified };
            return Err(Mismatch::within(span, difference));
        }
        Ok(())
    }

    /// Compares every observed field of a key.
    pub(super) fn compare_kv(
        &self,
        kv: &'a KeyValue,
        rank: u32,
        expected: &Version<'a>,
        keys_only: bool,
    ) -> Fits<'a> {
        static EMPTY: Data = Data::from_static(b"");
        let key = self.keys[rank as usize];
        let written = expected.modified;
        let numbers = [
            ("mod revision", kv.modified.map(|r| r.0), expected.modified),
            ("create revision", kv.create.map(|r| r.0), expected.create),
            ("version", kv.version.map(|v| v.0), expected.version),
        ];
        for (field, observed, expected) in numbers {
            if let Some(observed) = observed.filter(|observed| *observed != expected) {
                let difference = Difference::Number { key, field, observed, expected, written };
                return Err(Mismatch::of_key(rank, difference));
            }
        }
        let value = if keys_only { &EMPTY } else { expected.value };
        if let Some(observed) = kv.value.as_ref().filter(|observed| *observed != value) {
            let difference = Difference::Value { key, observed, expected: value, written };
            return Err(Mismatch::of_key(rank, difference));
        }
        // Histories with leases are not judged, so that no key ever has one.
        match kv.lease {
            Some(lease) if lease.0 != 0 => {
                let observed = lease.0;
                Err(Mismatch::of_key(rank, Difference::Lease { key, observed }))
            }
            _ => Ok(()),
        }
    }
}

fn compare_one(compare: &Compare, version: Option<&Version<'_>>) -> bool {
    let number = |field: fn(&Version<'_>) -> u64| version.map_or(0, field);
    let ordering = match &compare.target {
        CompareTarget::Version(wanted) => number(|v| v.version).cmp(&wanted.0),
        CompareTarget::Create(wanted) => number(|v| v.create).cmp(&wanted.0),
        CompareTarget::Mod(wanted) => number(|v| v.modified).cmp(&wanted.0),
        CompareTarget::Lease(wanted) => 0.cmp(&wanted.0),
        CompareTarget::Value(wanted) => match version {
            Some(version) => version.value.cmp(wanted),
            // etcd: a comparison by value never holds for a key that does not exist.
            None => return false,
        },
    };
    match compare.op {
        Relation::Equal => ordering.is_eq(),
        Relation::NotEqual => ordering.is_ne(),
        Relation::Less => ordering.is_lt(),
        Relation::Greater => ordering.is_gt(),
    }
}

fn within_bounds(range: &Range, version: &Version<'_>) -> bool {
    let above = |bound: Option<quorate_history::Revision>, of: u64| {
        bound.is_some_and(|bound| bound.0 != 0 && of > bound.0)
    };
    let below =
        |bound: Option<quorate_history::Revision>, of: u64| bound.is_some_and(|bound| of < bound.0);
    !above(range.max_mod, version.modified)
        && !below(range.min_mod, version.modified)
        && !above(range.max_create, version.create)
        && !below(range.min_create, version.create)
}

fn compare_by(target: SortTarget, a: &Version<'_>, b: &Version<'_>) -> std::cmp::Ordering {
    match target {
        SortTarget::Key => std::cmp::Ordering::Equal,
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create.cmp(&b.create),
        SortTarget::Mod => a.modified.cmp(&b.modified),
        SortTarget::Value => a.value.cmp(b.value),
    }
}

/// Sorts what was found (it comes by key) and says whether the limit cuts something off.
fn select(range: &Range, found: &mut Vec<(u32, Version<'_>)>) -> bool {
    let more = range.limit > 0 && found.len() as u64 > range.limit;
    let Some(Sort { target, order }) = range.sort else {
        return more;
    };
    let filters = [range.min_mod, range.max_mod, range.min_create, range.max_create];
    let filtered = filters.iter().flatten().any(|bound| bound.0 != 0);
    // Where no order is asked for, etcd reads no further than one past the limit, by key, before
    // it sorts by the target.
    if order == SortOrder::None && more && !filtered {
        found.truncate(range.limit as usize + 1);
    }
    let descending = order == SortOrder::Descend;
    found.sort_by(|(left, a), (right, b)| {
        let ordering = match target {
            SortTarget::Key => left.cmp(right),
            target => compare_by(target, a, b),
        };
        if descending { ordering.reverse() } else { ordering }
    });
    more
}
