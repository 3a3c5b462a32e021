//! What is known before anything is replayed: the keys by rank, each operation in terms of them,
//! and which revision each answer belongs to. Owns the sorting of operations by what they can
//! still tell; it never decides whether an answer is right.

use quorate_history::{
    Compare, Data, DeleteRange, EtcdOp, EtcdResponse, EtcdResult, LeaseId, Op, OpResult,
    OperationId, Put, Range, Txn, TxnResponse,
};

use super::Stop;
use super::explain;
use crate::operations::{Operation, Operations, Outcome};

/// Keys by rank: `from` up to, but without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Span {
    pub(super) const fn one(rank: u32) -> Self {
        Self { from: rank, to: rank + 1 }
    }

    pub(super) fn ranks(self) -> std::ops::Range<u32> {
        self.from..self.to
    }
}

/// A request, with its keys by rank. Only keys that some put names have one.
#[derive(Debug)]
pub(super) enum Call<'a> {
    Put(u32, &'a Put),
    Range(Span, &'a Range),
    Delete(Span, &'a DeleteRange),
    Txn(TxnCall<'a>),
    /// Compactions, leases and watches: nothing to replay.
    Other,
}

#[derive(Debug)]
pub(super) struct TxnCall<'a> {
    pub(super) compares: Vec<(Span, &'a Compare)>,
    pub(super) then: Vec<Call<'a>>,
    pub(super) or_else: Vec<Call<'a>>,
}

impl<'a> Call<'a> {
    /// Calls `each` with every span that the call may write (`true`) or that its effect or answer
    /// may depend on (`false`).
    pub(super) fn footprint(&self, each: &mut impl FnMut(Span, bool)) {
        match self {
            Self::Put(rank, _) => each(Span::one(*rank), true),
            Self::Range(span, _) => each(*span, false),
            Self::Delete(span, _) => each(*span, true),
            Self::Txn(txn) => {
                for (span, _) in &txn.compares {
                    each(*span, false);
                }
                for call in txn.then.iter().chain(&txn.or_else) {
                    call.footprint(each);
                }
            }
            Self::Other => {}
        }
    }

    /// Calls `each` with every put that the call may carry out.
    pub(super) fn puts(&self, each: &mut impl FnMut(u32, &'a Put)) {
        match self {
            Self::Put(rank, put) => each(*rank, put),
            Self::Txn(txn) => {
                for call in txn.then.iter().chain(&txn.or_else) {
                    call.puts(each);
                }
            }
            Self::Range(..) | Self::Delete(..) | Self::Other => {}
        }
    }

    /// Calls `each` with every revision that ranges of the call ask for.
    pub(super) fn asked_revisions(&self, each: &mut impl FnMut(u64)) {
        match self {
            Self::Range(_, range) => {
                if let Some(at) = range.at.filter(|at| at.0 != 0) {
                    each(at.0);
                }
            }
            Self::Txn(txn) => {
                for call in txn.then.iter().chain(&txn.or_else) {
                    call.asked_revisions(each);
                }
            }
            Self::Put(..) | Self::Delete(..) | Self::Other => {}
        }
    }

    fn may_write(&self) -> bool {
        let mut writes = false;
        self.footprint(&mut |_, write| writes |= write);
        writes
    }
}

/// An operation as the model sees it.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) id: OperationId,
    pub(super) invoked: u64,
    pub(super) completed: u64,
    pub(super) op: &'a EtcdOp,
    pub(super) call: Call<'a>,
    /// The header's revision; 0 without an answer.
    pub(super) revision: u64,
    pub(super) response: Option<&'a EtcdResponse>,
    /// Whether it may answer some earlier prefix.
    pub(super) serializable: bool,
}

/// A compaction that was acknowledged, or may have taken effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compaction {
    pub(super) item: usize,
    pub(super) at: u64,
}

/// An operation that was refused for the revision it asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) item: usize,
    /// Refused as future: the store was certainly below this revision. Refused as compacted: the
    /// store was certainly compacted at this revision or above.
    pub(super) bound: u64,
}

/// Whether an answered operation made a revision of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Yes,
    No,
    /// Its answer does not say.
    Maybe,
}

/// A history, sorted by what it tells.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// All keys that are ever put, in order: a key's rank is its place here.
    pub(super) keys: Vec<&'a Data>,
    pub(super) items: Vec<Item<'a>>,
    /// The highest revision that any answer tells of.
    pub(super) top: u64,
    /// For each revision the acknowledged write that made it.
    pub(super) owner: Vec<Option<usize>>,
    /// Answers by the revision of their header, with those that may have made it themselves
    /// marked.
    pub(super) observers: Vec<(u64, usize, bool)>,
    /// Writes of unknown outcome, in order of invocation.
    pub(super) unknown: Vec<usize>,
    pub(super) compactions: Vec<Compaction>,
    /// Compactions of unknown outcome.
    pub(super) unknown_compactions: Vec<Compaction>,
    pub(super) refused_as_compacted: Vec<Refusal>,
    pub(super) refused_as_future: Vec<Refusal>,
    /// What this history has that is not judged.
    pub(super) unjudged: Option<String>,
}

impl<'a> Plan<'a> {
    pub(super) fn of(operations: &Operations<'a>) -> Result<Self, Stop> {
        let mut plan = Self {
            keys: ranked_keys(operations),
            items: Vec::with_capacity(operations.0.len()),
            top: 1,
            owner: Vec::new(),
            observers: Vec::new(),
            unknown: Vec::new(),
            compactions: Vec::new(),
            unknown_compactions: Vec::new(),
            refused_as_compacted: Vec::new(),
            refused_as_future: Vec::new(),
            unjudged: None,
        };
        let mut owners = Vec::new();
        for operation in &operations.0 {
            plan.add(operation, &mut owners)?;
        }
        plan.settle_top(owners.len())?;
        plan.settle_owners(owners)?;
        plan.observers.sort_unstable();
        Ok(plan)
    }

    pub(super) fn rank(&self, key: &Data) -> Option<u32> {
        self.keys.binary_search(&key).ok().map(|rank| rank as u32)
    }

    /// The revisions that the store may have reached: the highest that an answer tells of, and
    /// those above it that a compaction of unknown outcome asked for, where refusals may be due
    /// to one. Writes of unknown outcome would have made what is in between.
    pub(super) fn possible_tops(&self) -> Vec<u64> {
        let mut tops = vec![self.top];
        if !self.refused_as_compacted.is_empty() {
            let reachable = self.top + self.unknown.len() as u64;
            let asked = self.unknown_compactions.iter().map(|compaction| compaction.at);
            tops.extend(asked.filter(|&at| at > self.top && at <= reachable));
            tops.sort_unstable();
            tops.dedup();
        }
        tops
    }

    /// Takes a higher revision for the highest that the store reached.
    pub(super) fn raise_top(&mut self, top: u64) {
        assert!(top >= self.top, "answers tell of revision {}, not only {top}", self.top);
        self.top = top;
        self.owner.resize(top as usize + 1, None);
    }

    /// The answers whose header says this revision.
    pub(super) fn observers_at(&self, revision: u64) -> &[(u64, usize, bool)] {
        let from = self.observers.partition_point(|o| o.0 < revision);
        let to = self.observers.partition_point(|o| o.0 <= revision);
        &self.observers[from..to]
    }

    fn add(&mut self, operation: &Operation<'a>, owners: &mut Vec<usize>) -> Result<(), Stop> {
        let Op::Etcd(op) = operation.op else {
            unreachable!("a history holds operations of its model only");
        };
        if matches!(
            op,
            EtcdOp::LeaseGrant { .. }
                | EtcdOp::LeaseRevoke { .. }
                | EtcdOp::LeaseKeepAlive { .. }
                | EtcdOp::LeaseTimeToLive { .. }
                | EtcdOp::Watch(_)
        ) {
            let (id, name) = (operation.id, op.name());
            self.unjudged.get_or_insert_with(|| {
                format!(
                    "all else fits, but operations of kind {name} are not judged yet (operation \
                     {id})"
                )
            });
            return Ok(());
        }
        let item = Item {
            id: operation.id,
            invoked: operation.invoked,
            completed: operation.completed,
            op,
            call: self.resolve(operation.id, op)?,
            revision: 0,
            response: None,
            serializable: matches!(op, EtcdOp::Range(range) if range.serializable),
        };
        match operation.outcome {
            Outcome::Failed(error) => self.add_refusal(item, error),
            Outcome::Unknown => {
                refuse_leases(&item)?;
                self.add_unknown(item);
            }
            Outcome::Ok(OpResult::Etcd(result)) => {
                refuse_leases(&item)?;
                self.add_answer(item, result, owners)?;
            }
            Outcome::Ok(_) => unreachable!("a history holds results of its model only"),
        }
        Ok(())
    }

    fn push(&mut self, item: Item<'a>) -> usize {
        self.items.push(item);
        self.items.len() - 1
    }

    fn add_answer(
        &mut self,
        mut item: Item<'a>,
        result: &'a EtcdResult,
        owners: &mut Vec<usize>,
    ) -> Result<(), Stop> {
        let Some(revision) = result.revision else {
            return Err(Stop::Unknown(format!(
                "operation {} ({}) was answered without a revision, by which this model places \
                 it: record the header's revision",
                item.id,
                item.op.name()
            )));
        };
        item.revision = revision.0;
        item.response = Some(&result.response);
        self.top = self.top.max(revision.0);
        let writes = writes(item.op, &result.response);
        if revision.0 == 0 || (writes == Writes::Yes && revision.0 == 1) {
            return Err(explain::impossible_revision(&item).into());
        }
        let compaction = match item.op {
            EtcdOp::Compact { at } => Some(at.0),
            _ => None,
        };
        let index = self.push(item);
        match (compaction, writes) {
            (Some(at), _) => {
                self.compactions.push(Compaction { item: index, at });
                self.observers.push((revision.0, index, false));
            }
            (None, Writes::Yes) => owners.push(index),
            (None, Writes::No) => self.observers.push((revision.0, index, false)),
            (None, Writes::Maybe) => self.observers.push((revision.0, index, true)),
        }
        Ok(())
    }

    fn add_unknown(&mut self, item: Item<'a>) {
        if let EtcdOp::Compact { at } = item.op {
            let at = at.0;
            let item = self.push(item);
            self.unknown_compactions.push(Compaction { item, at });
        } else if item.call.may_write() {
            let item = self.push(item);
            self.unknown.push(item);
        }
    }

    fn add_refusal(&mut self, item: Item<'a>, error: &str) {
        let compacted = error.contains("required revision has been compacted");
        let future = error.contains("required revision is a future revision");
        if !compacted && !future {
            return;
        }
        let (mut least, mut most) = (u64::MAX, 0);
        item.call.asked_revisions(&mut |at| {
            least = least.min(at);
            most = most.max(at);
        });
        // A read at x is refused below the compaction, a compaction at x also right at it.
        let mut compacted_at = least.saturating_add(1);
        if let EtcdOp::Compact { at } = item.op {
            (compacted_at, most) = (at.0, at.0);
        }
        let item = self.push(item);
        if compacted {
            let bound = compacted_at;
            self.refused_as_compacted.push(Refusal { item, bound });
        } else {
            let bound = most;
            self.refused_as_future.push(Refusal { item, bound });
        }
    }

    /// Every revision up to the top must have been made by somebody. A top beyond what all writes
    /// together could have made is a wrong answer, and no reason to count up to it.
    fn settle_top(&mut self, owners: usize) -> Result<(), Stop> {
        let maybe = self.observers.iter().filter(|observer| observer.2).count();
        let reachable = 1 + (owners + maybe + self.unknown.len()) as u64;
        if self.top <= reachable {
            return Ok(());
        }
        let beyond = self.items.iter().filter(|item| item.revision > reachable);
        let item = beyond.min_by_key(|item| (item.completed, item.id));
        let item = item.expect("the top is the revision of some answer");
        Err(explain::beyond_all_writes(item, reachable).into())
    }

    fn settle_owners(&mut self, owners: Vec<usize>) -> Result<(), Stop> {
        self.owner = vec![None; self.top as usize + 1];
        for index in owners {
            let slot = &mut self.owner[self.items[index].revision as usize];
            if let Some(first) = slot.replace(index) {
                let (first, second) = (&self.items[first], &self.items[index]);
                return Err(explain::two_owners(first, second).into());
            }
        }
        Ok(())
    }

    fn resolve(&self, id: OperationId, op: &'a EtcdOp) -> Result<Call<'a>, Stop> {
        Ok(match op {
            EtcdOp::Put(put) => {
                // A put that failed is not among the ranked keys, and nothing is asked of it.
                self.rank(&put.key).map_or(Call::Other, |rank| Call::Put(rank, put))
            }
            EtcdOp::Range(range) => Call::Range(self.span(&range.key, &range.range_end), range),
            EtcdOp::DeleteRange(delete) => {
                Call::Delete(self.span(&delete.key, &delete.range_end), delete)
            }
            EtcdOp::Txn(txn) => Call::Txn(self.resolve_txn(id, txn)?),
            _ => Call::Other,
        })
    }

    fn resolve_txn(&self, id: OperationId, txn: &'a Txn) -> Result<TxnCall<'a>, Stop> {
        let branch = |ops: &'a [EtcdOp]| -> Result<Vec<Call<'a>>, Stop> {
            ops.iter()
                .map(|op| match op {
                    EtcdOp::Put(_) | EtcdOp::Range(_) | EtcdOp::DeleteRange(_) | EtcdOp::Txn(_) => {
                        self.resolve(id, op)
                    }
                    _ => Err(Stop::Unknown(format!(
                        "operation {id} (txn) holds an operation of kind {}, which is no part of \
                         an etcd transaction",
                        op.name()
                    ))),
                })
                .collect()
        };
        let compares = txn.compare.iter();
        Ok(TxnCall {
            compares: compares
                .map(|compare| (self.span(&compare.key, &compare.range_end), compare))
                .collect(),
            then: branch(&txn.then)?,
            or_else: branch(&txn.or_else)?,
        })
    }

    fn span(&self, key: &Data, range_end: &Option<Data>) -> Span {
        let lower = |key: &Data| self.keys.partition_point(|other| *other < key) as u32;
        let from = lower(key);
        let to = match range_end.as_deref() {
            None | Some([]) => from + u32::from(self.rank(key).is_some()),
            Some([0]) => self.keys.len() as u32,
            Some(end) => {
                let end = self.keys.partition_point(|other| &other[..] < end) as u32;
                end.max(from)
            }
        };
        Span { from, to }
    }
}

fn ranked_keys<'a>(operations: &Operations<'a>) -> Vec<&'a Data> {
    fn collect<'a>(op: &'a EtcdOp, keys: &mut Vec<&'a Data>) {
        match op {
            EtcdOp::Put(put) => keys.push(&put.key),
            EtcdOp::Txn(txn) => {
                for op in txn.then.iter().chain(&txn.or_else) {
                    collect(op, keys);
                }
            }
            _ => {}
        }
    }
    let mut keys = Vec::new();
    for operation in &operations.0 {
        if let (Op::Etcd(op), false) =
            (operation.op, matches!(operation.outcome, Outcome::Failed(_)))
        {
            collect(op, &mut keys);
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A key that is attached to a lease may be deleted at any time, by nobody in the history.
fn refuse_leases(item: &Item<'_>) -> Result<(), Stop> {
    let mut attached = None;
    item.call.puts(&mut |_, put| {
        attached = attached.or(put.lease.filter(|lease| *lease != LeaseId(0)));
    });
    attached.map_or(Ok(()), |lease| {
        Err(Stop::Unknown(format!(
            "operation {} attaches a key to lease {lease}, and the expiry of leases is not judged \
             yet",
            item.id
        )))
    })
}

/// Whether the answer says that the operation made a revision.
fn writes(op: &EtcdOp, response: &EtcdResponse) -> Writes {
    match (op, response) {
        (EtcdOp::Put(_), _) => Writes::Yes,
        (EtcdOp::DeleteRange(_), EtcdResponse::DeleteRange(answer)) => {
            match (answer.deleted, &answer.prev_kvs) {
                (Some(0), _) => Writes::No,
                (Some(_), _) => Writes::Yes,
                (None, Some(kvs)) if !kvs.is_empty() => Writes::Yes,
                (None, _) => Writes::Maybe,
            }
        }
        (EtcdOp::Txn(txn), EtcdResponse::Txn(answer)) => writes_of_txn(txn, answer),
        _ => Writes::No,
    }
}

fn writes_of_txn(txn: &Txn, answer: &TxnResponse) -> Writes {
    let branch = |ops: &[EtcdOp]| {
        let mut all = Writes::No;
        for (index, op) in ops.iter().enumerate() {
            let answered = answer.responses.as_ref().and_then(|all| all.get(index));
            let one = match (op, answered) {
                (_, Some(answered)) => writes(op, answered),
                (EtcdOp::Put(_), None) => Writes::Yes,
                (EtcdOp::Range(_), None) => Writes::No,
                (_, None) => Writes::Maybe,
            };
            match one {
                Writes::Yes => return Writes::Yes,
                Writes::Maybe => all = Writes::Maybe,
                Writes::No => {}
            }
        }
        all
    };
    match answer.succeeded {
        Some(true) => branch(&txn.then),
        Some(false) => branch(&txn.or_else),
        None => match (branch(&txn.then), branch(&txn.or_else)) {
            (a, b) if a == b => a,
            _ => Writes::Maybe,
        },
    }
}
