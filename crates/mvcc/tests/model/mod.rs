//! The simplest store that could be right: a full copy of the keyspace for every revision.
//!
//! It shares the request and response types with the store under test and no code: ranges are
//! filters over a whole copy, a transaction runs on a scratch copy that an error throws away, and
//! keys written twice are found by trying every way in which a transaction could run.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_mvcc::{
    CompactRequest, CompactResponse, Compare, CompareResult, CompareTarget, DeleteRangeRequest,
    DeleteRangeResponse, Error, KeyValue, LeaseId, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseOp, Revision, SortOrder, SortTarget, TxnRequest, TxnResponse,
};

type Keyspace = BTreeMap<Bytes, KeyValue>;

/// All that ever was, one keyspace a revision, revision 1 first.
pub(crate) struct Model {
    history: Vec<Keyspace>,
    pub(crate) compacted: i64,
}

/// A transaction under way: a scratch copy and whether it differs from what is there.
struct Scratch {
    keys: Keyspace,
    begin: i64,
    changed: bool,
}

impl Scratch {
    fn revision(&self) -> i64 {
        self.begin + i64::from(self.changed)
    }
}

fn within(key: &[u8], start: &[u8], end: &[u8]) -> bool {
    match end.len() {
        0 => key == start,
        1 if end[0] == 0 => key >= start,
        _ => key >= start && key < end,
    }
}

impl Model {
    pub(crate) fn new() -> Model {
        Model { history: vec![Keyspace::new()], compacted: -1 }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.history.len() as i64
    }

    fn scratch(&self) -> Scratch {
        let keys = self.history.last().expect("revision 1 is always there").clone();
        Scratch { keys, begin: self.revision(), changed: false }
    }

    fn commit(&mut self, scratch: Scratch) {
        if scratch.changed {
            self.history.push(scratch.keys);
        }
    }

    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        require_key(&request.key)?;
        let requested = request.revision.map_or(0, |revision| revision.0);
        if requested > self.revision() {
            return Err(Error::FutureRevision);
        }
        if requested > 0 && requested < self.compacted {
            return Err(Error::Compacted);
        }
        Ok(self.read(request, &self.scratch()))
    }

    pub(crate) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        check_put_shape(request)?;
        let mut scratch = self.scratch();
        let response = put(&mut scratch, request)?;
        self.commit(scratch);
        Ok(response)
    }

    pub(crate) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        require_key(&request.key)?;
        let mut scratch = self.scratch();
        let response = delete_range(&mut scratch, request);
        self.commit(scratch);
        Ok(response)
    }

    pub(crate) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        check_shape(request)?;
        for branch in [&request.success, &request.failure] {
            if runs(branch).iter().any(|run| writes_twice(run)) {
                return Err(Error::DuplicateKey);
            }
        }
        let mut scratch = self.scratch();
        let mut response = self.run(request, &mut scratch)?;
        response.revision = Revision(scratch.revision());
        self.commit(scratch);
        Ok(response)
    }

    pub(crate) fn compact(&mut self, request: &CompactRequest) -> Result<CompactResponse, Error> {
        if request.revision.0 <= self.compacted {
            return Err(Error::Compacted);
        }
        if request.revision.0 > self.revision() {
            return Err(Error::FutureRevision);
        }
        self.compacted = request.revision.0;
        Ok(CompactResponse { revision: Revision(self.revision()) })
    }

    fn run(&self, request: &TxnRequest, scratch: &mut Scratch) -> Result<TxnResponse, Error> {
        let before = self.history.last().expect("revision 1 is always there");
        let succeeded = request.compare.iter().all(|condition| holds(before, condition));
        let branch = if succeeded { &request.success } else { &request.failure };
        let mut responses = Vec::new();
        for operation in branch {
            responses.push(match operation {
                RequestOp::Put(request) => ResponseOp::Put(put(scratch, request)?),
                RequestOp::DeleteRange(request) => {
                    ResponseOp::DeleteRange(delete_range(scratch, request))
                }
                RequestOp::Txn(request) => ResponseOp::Txn(self.run(request, scratch)?),
                RequestOp::Range(request) => match request.revision {
                    Some(revision) if revision.0 > self.revision() => {
                        return Err(Error::FutureRevision);
                    }
                    Some(revision) if revision.0 < self.compacted => {
                        return Err(Error::Compacted);
                    }
                    _ => ResponseOp::Range(self.read(request, scratch)),
                },
            });
        }
        Ok(TxnResponse { revision: Revision(0), succeeded, responses })
    }

    fn read(&self, request: &RangeRequest, scratch: &Scratch) -> RangeResponse {
        let keys = match request.revision {
            Some(Revision(at)) if at > 0 => &self.history[at as usize - 1],
            _ => &scratch.keys,
        };
        let inside = |kv: &&KeyValue| within(&kv.key, &request.key, &request.range_end);
        let mut kvs: Vec<KeyValue> = keys.values().filter(inside).cloned().collect();
        let mut response = RangeResponse {
            revision: Revision(scratch.revision()),
            count: kvs.len() as u64,
            ..RangeResponse::default()
        };
        if request.count_only {
            return response;
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit as usize };
        let filters = [
            (request.min_mod_revision, request.max_mod_revision),
            (request.min_create_revision, request.max_create_revision),
        ];
        let is_filtered = filters.iter().any(|(min, max)| min.is_some() || max.is_some());
        let is_sorted = request.sort_order != SortOrder::None
            && (request.sort_order, request.sort_target) != (SortOrder::Ascend, SortTarget::Key);
        if !is_filtered && !is_sorted {
            kvs.truncate(limit.saturating_add(1));
        }
        let [mods, creates] = filters;
        kvs.retain(|kv| lies_in(kv.mod_revision, mods) && lies_in(kv.create_revision, creates));
        sort(request, &mut kvs);
        response.more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        response.kvs = kvs;
        response
    }
}

fn lies_in(revision: Revision, (min, max): (Option<Revision>, Option<Revision>)) -> bool {
    min.is_none_or(|min| min <= revision) && max.is_none_or(|max| revision <= max)
}

/// By a key that holds the target and then the place, so that equals stay as they were.
fn sort(request: &RangeRequest, kvs: &mut Vec<KeyValue>) {
    let number = |kv: &KeyValue| match request.sort_target {
        SortTarget::Version => kv.version,
        SortTarget::CreateRevision => kv.create_revision.0,
        SortTarget::ModRevision => kv.mod_revision.0,
        SortTarget::Key | SortTarget::Value => 0,
    };
    let text = |kv: &KeyValue| match request.sort_target {
        SortTarget::Key => kv.key.clone(),
        SortTarget::Value => kv.value.clone(),
        _ => Bytes::new(),
    };
    let descends = request.sort_order == SortOrder::Descend;
    let mut ranked: Vec<_> = kvs.drain(..).map(|kv| (number(&kv), text(&kv), kv)).collect();
    // Insertion sort: the simplest that is stable in both directions.
    for end in 1..ranked.len() {
        let mut at = end;
        while at > 0 {
            let (left, right) = (&ranked[at - 1], &ranked[at]);
            let (left, right) = ((left.0, &left.1), (right.0, &right.1));
            let is_wrong = if descends { left < right } else { left > right };
            if !is_wrong {
                break;
            }
            ranked.swap(at - 1, at);
            at -= 1;
        }
    }
    kvs.extend(ranked.into_iter().map(|(_, _, kv)| kv));
}

fn put(scratch: &mut Scratch, request: &PutRequest) -> Result<PutResponse, Error> {
    let previous = scratch.keys.get(&request.key).cloned();
    if previous.is_none() && (request.ignore_value || request.ignore_lease) {
        return Err(Error::KeyNotFound);
    }
    let old = previous.clone().unwrap_or_default();
    let revision = Revision(scratch.begin + 1);
    let kv = KeyValue {
        key: request.key.clone(),
        value: if request.ignore_value { old.value } else { request.value.clone() },
        lease: if request.ignore_lease { old.lease } else { request.lease },
        create_revision: if previous.is_some() { old.create_revision } else { revision },
        mod_revision: revision,
        version: old.version + 1,
    };
    scratch.keys.insert(request.key.clone(), kv);
    scratch.changed = true;
    Ok(PutResponse { revision, prev_kv: previous.filter(|_| request.prev_kv) })
}

fn delete_range(scratch: &mut Scratch, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let mut gone = Vec::new();
    for (key, kv) in &scratch.keys {
        if within(key, &request.key, &request.range_end) {
            gone.push(kv.clone());
        }
    }
    for kv in &gone {
        scratch.keys.remove(&kv.key);
        scratch.changed = true;
    }
    DeleteRangeResponse {
        revision: Revision(scratch.revision()),
        deleted: gone.len() as u64,
        prev_kvs: if request.prev_kv { gone } else { Vec::new() },
    }
}

fn holds(keys: &Keyspace, condition: &Compare) -> bool {
    let mut kvs: Vec<KeyValue> = Vec::new();
    for (key, kv) in keys {
        if within(key, &condition.key, &condition.range_end) {
            kvs.push(kv.clone());
        }
    }
    if kvs.is_empty() {
        if matches!(condition.target, CompareTarget::Value(_)) {
            return false;
        }
        kvs.push(KeyValue::default());
    }
    kvs.iter().all(|kv| {
        let (less, equal) = match &condition.target {
            CompareTarget::Version(v) => (kv.version < *v, kv.version == *v),
            CompareTarget::CreateRevision(v) => {
                (kv.create_revision.0 < *v, kv.create_revision.0 == *v)
            }
            CompareTarget::ModRevision(v) => (kv.mod_revision.0 < *v, kv.mod_revision.0 == *v),
            CompareTarget::Value(v) => (kv.value < *v, kv.value == *v),
            CompareTarget::Lease(v) => {
                (LeaseId::to_wire(kv.lease) < *v, LeaseId::to_wire(kv.lease) == *v)
            }
        };
        match condition.result {
            CompareResult::Equal => equal,
            CompareResult::NotEqual => !equal,
            CompareResult::Less => less,
            CompareResult::Greater => !less && !equal,
        }
    })
}

fn require_key(key: &Bytes) -> Result<(), Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_put_shape(request: &PutRequest) -> Result<(), Error> {
    require_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease.is_some() {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

fn check_shape(request: &TxnRequest) -> Result<(), Error> {
    for condition in &request.compare {
        require_key(&condition.key)?;
    }
    for operation in request.success.iter().chain(&request.failure) {
        match operation {
            RequestOp::Range(request) => require_key(&request.key)?,
            RequestOp::Put(request) => check_put_shape(request)?,
            RequestOp::DeleteRange(request) => require_key(&request.key)?,
            RequestOp::Txn(request) => check_shape(request)?,
        }
    }
    Ok(())
}

#[derive(Clone)]
enum Write {
    Put(Bytes),
    Delete(Bytes, Bytes),
}

/// Every sequence of writes that a list of operations could perform.
fn runs(operations: &[RequestOp]) -> Vec<Vec<Write>> {
    let mut ways: Vec<Vec<Write>> = vec![Vec::new()];
    for operation in operations {
        let tails: Vec<Vec<Write>> = match operation {
            RequestOp::Range(_) => continue,
            RequestOp::Put(put) => vec![vec![Write::Put(put.key.clone())]],
            RequestOp::DeleteRange(delete) => {
                vec![vec![Write::Delete(delete.key.clone(), delete.range_end.clone())]]
            }
            RequestOp::Txn(txn) => {
                [&txn.success, &txn.failure].iter().flat_map(|branch| runs(branch)).collect()
            }
        };
        let mut longer = Vec::new();
        for run in &ways {
            for tail in &tails {
                longer.push([run.as_slice(), tail.as_slice()].concat());
            }
        }
        ways = longer;
    }
    ways
}

fn writes_twice(run: &[Write]) -> bool {
    run.iter().enumerate().any(|(at, one)| {
        run[at + 1..].iter().any(|other| match (one, other) {
            (Write::Put(key), Write::Put(same)) => key == same,
            (Write::Put(key), Write::Delete(start, end))
            | (Write::Delete(start, end), Write::Put(key)) => within(key, start, end),
            (Write::Delete(..), Write::Delete(..)) => false,
        })
    })
}
