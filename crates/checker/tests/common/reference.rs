//! A plain etcd store that answers everything, written as naively as possible and by other means
//! than the checker's own: each revision is a whole map.

use std::collections::BTreeMap;
use std::rc::Rc;

use quorate_history::*;

pub const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
pub const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
pub const KEY_NOT_FOUND: &str = "etcdserver: key not found";

#[derive(Clone, Debug, PartialEq)]
struct Kv {
    value: Data,
    create: u64,
    modified: u64,
    version: u64,
}

type Keys = BTreeMap<Data, Kv>;

#[derive(Clone, Debug)]
pub struct Reference {
    /// The keys at each revision, from 1 on.
    revisions: Vec<Rc<Keys>>,
    /// The compaction when each revision was last the current one.
    compacted: Vec<u64>,
}

impl Reference {
    pub fn new() -> Self {
        Self { revisions: vec![Rc::default(); 2], compacted: vec![0; 2] }
    }

    pub fn revision(&self) -> u64 {
        self.revisions.len() as u64 - 1
    }

    pub fn compacted(&self) -> u64 {
        *self.compacted.last().expect("there is a revision 1")
    }

    /// The store as it was when `revision` was the current one.
    pub fn prefix(&self, revision: u64) -> Self {
        Self {
            revisions: self.revisions[..=revision as usize].to_vec(),
            compacted: self.compacted[..=revision as usize].to_vec(),
        }
    }

    pub fn modified(&self, key: &Data) -> u64 {
        let last = self.revisions.last().expect("there is a revision 1");
        last.get(key).map_or(0, |kv| kv.modified)
    }

    /// Carries an operation out and answers it with every field, or refuses it without effect.
    pub fn execute(&mut self, op: &EtcdOp) -> Result<EtcdResult, &'static str> {
        let before = self.revision();
        let mut keys = (**self.revisions.last().expect("there is a revision 1")).clone();
        let response = self.apply(op, &mut keys, before)?;
        if keys != *self.revisions[before as usize] || writes(op, &response) {
            self.revisions.push(Rc::new(keys));
            self.compacted.push(self.compacted());
        }
        Ok(EtcdResult {
            revision: Some(Revision(self.revision())),
            member: Some(MemberId(1)),
            term: Some(Term(1)),
            response,
        })
    }

    fn apply(
        &mut self,
        op: &EtcdOp,
        keys: &mut Keys,
        before: u64,
    ) -> Result<EtcdResponse, &'static str> {
        Ok(match op {
            EtcdOp::Put(put) => EtcdResponse::Put(apply_put(put, keys, before + 1)?),
            EtcdOp::Range(range) => {
                let at = range.at.map_or(0, |at| at.0);
                if at > before {
                    return Err(FUTURE);
                }
                if at != 0 && at < self.compacted() {
                    return Err(COMPACTED);
                }
                let old = if at == 0 { &*keys } else { &*self.revisions[at as usize] };
                EtcdResponse::Range(apply_range(range, old))
            }
            EtcdOp::DeleteRange(delete) => {
                let wanted = |key: &Data| within(key, &delete.key, &delete.range_end);
                let gone: Keys = keys
                    .iter()
                    .filter(|(key, _)| wanted(key))
                    .map(|(key, kv)| (key.clone(), kv.clone()))
                    .collect();
                keys.retain(|key, _| !wanted(key));
                let prev: Vec<KeyValue> = gone.iter().map(|(key, kv)| show(key, kv)).collect();
                EtcdResponse::DeleteRange(DeleteRangeResponse {
                    deleted: Some(gone.len() as u64),
                    prev_kvs: Some(if delete.prev_kv { prev } else { Vec::new() }),
                })
            }
            EtcdOp::Txn(txn) => {
                let succeeded = txn.compare.iter().all(|compare| holds(compare, keys));
                let branch = if succeeded { &txn.then } else { &txn.or_else };
                let responses: Result<Vec<_>, _> =
                    branch.iter().map(|op| self.apply(op, keys, before)).collect();
                EtcdResponse::Txn(TxnResponse {
                    succeeded: Some(succeeded),
                    responses: Some(responses?),
                })
            }
            EtcdOp::Compact { at } => {
                if at.0 <= self.compacted() {
                    return Err(COMPACTED);
                }
                if at.0 > before {
                    return Err(FUTURE);
                }
                *self.compacted.last_mut().expect("there is a revision 1") = at.0;
                EtcdResponse::Done {}
            }
            other => panic!("{other:?} is not part of the reference"),
        })
    }
}

/// A delete and a put of equal content leave the keys equal, but are a revision.
fn writes(op: &EtcdOp, response: &EtcdResponse) -> bool {
    match (op, response) {
        (EtcdOp::Put(_), _) => true,
        (_, EtcdResponse::DeleteRange(answer)) => answer.deleted != Some(0),
        (EtcdOp::Txn(txn), EtcdResponse::Txn(answer)) => {
            let branch = if answer.succeeded == Some(true) { &txn.then } else { &txn.or_else };
            let responses = answer.responses.as_ref().expect("the reference answers all");
            branch.iter().zip(responses).any(|(op, response)| writes(op, response))
        }
        _ => false,
    }
}

fn apply_put(put: &Put, keys: &mut Keys, revision: u64) -> Result<PutResponse, &'static str> {
    let before = keys.get(&put.key).cloned();
    if before.is_none() && put.ignore_value {
        return Err(KEY_NOT_FOUND);
    }
    let shown = before.as_ref().map(|kv| show(&put.key, kv));
    let old = before.as_ref();
    let kv = Kv {
        value: match old {
            Some(old) if put.ignore_value => old.value.clone(),
            _ => put.value.clone(),
        },
        create: old.map_or(revision, |old| old.create),
        modified: revision,
        version: old.map_or(1, |old| old.version + 1),
    };
    keys.insert(put.key.clone(), kv);
    let prev_kv = put.prev_kv.then_some(shown);
    Ok(PutResponse { prev_kv })
}

fn apply_range(range: &Range, keys: &Keys) -> RangeResponse {
    let mut found: Vec<(&Data, &Kv)> =
        keys.iter().filter(|(key, _)| within(key, &range.key, &range.range_end)).collect();
    let count = found.len() as u64;
    if range.count_only {
        found.clear();
    }
    found.retain(|(_, kv)| {
        range.min_mod.is_none_or(|least| kv.modified >= least.0)
            && range.max_mod.is_none_or(|most| kv.modified <= most.0)
            && range.min_create.is_none_or(|least| kv.create >= least.0)
            && range.max_create.is_none_or(|most| kv.create <= most.0)
    });
    if let Some(Sort { target, order }) = range.sort {
        found.sort_by(|(left, a), (right, b)| {
            let ordering = match target {
                SortTarget::Key => left.cmp(right),
                SortTarget::Version => a.version.cmp(&b.version),
                SortTarget::Create => a.create.cmp(&b.create),
                SortTarget::Mod => a.modified.cmp(&b.modified),
                SortTarget::Value => a.value.cmp(&b.value),
            };
            if order == SortOrder::Descend { ordering.reverse() } else { ordering }
        });
    }
    let more = range.limit > 0 && found.len() > range.limit as usize;
    if more {
        found.truncate(range.limit as usize);
    }
    let kvs = found.into_iter().map(|(key, kv)| {
        let mut kv = show(key, kv);
        if range.keys_only {
            kv.value = Some(Data::default());
        }
        kv
    });
    RangeResponse { kvs: Some(kvs.collect()), count: Some(count), more: Some(more) }
}

fn holds(compare: &Compare, keys: &Keys) -> bool {
    let missing = Kv { value: Data::default(), create: 0, modified: 0, version: 0 };
    let one = |kv: &Kv| {
        let ordering = match &compare.target {
            CompareTarget::Version(version) => kv.version.cmp(&version.0),
            CompareTarget::Create(revision) => kv.create.cmp(&revision.0),
            CompareTarget::Mod(revision) => kv.modified.cmp(&revision.0),
            CompareTarget::Value(value) => kv.value.cmp(value),
            CompareTarget::Lease(lease) => 0.cmp(&lease.0),
        };
        match compare.op {
            Relation::Equal => ordering.is_eq(),
            Relation::NotEqual => ordering.is_ne(),
            Relation::Less => ordering.is_lt(),
            Relation::Greater => ordering.is_gt(),
        }
    };
    let found: Vec<&Kv> = keys
        .iter()
        .filter(|(key, _)| within(key, &compare.key, &compare.range_end))
        .map(|(_, kv)| kv)
        .collect();
    match (&found[..], &compare.target) {
        ([], CompareTarget::Value(_)) => false,
        ([], _) => one(&missing),
        (found, _) => found.iter().all(|kv| one(kv)),
    }
}

fn within(key: &Data, from: &Data, to: &Option<Data>) -> bool {
    match to.as_deref() {
        None | Some([]) => key == from,
        Some([0]) => key >= from,
        Some(end) => key >= from && &key[..] < end,
    }
}

fn show(key: &Data, kv: &Kv) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: Some(kv.value.clone()),
        create: Some(Revision(kv.create)),
        modified: Some(Revision(kv.modified)),
        version: Some(Version(kv.version)),
        lease: Some(LeaseId(0)),
    }
}
