//! What makes events a history: which may stand after which. The reader and [`crate::History::new`]
//! ask it about every event; memory grows with the number of clients, not of events.

use std::collections::BTreeMap;

use crate::error::Problem;
use crate::{ClientId, EtcdOp, Event, EventKind, Model, Op, OpResult, OperationId, Step, Time};

/// The events so far, as far as the next one depends on them.
#[derive(Debug)]
pub(crate) struct Sequence {
    model: Model,
    previous: Time,
    open: BTreeMap<ClientId, (OperationId, Op)>,
    used: IdRanges,
    operations: usize,
}

impl Sequence {
    pub(crate) const fn new(model: Model) -> Self {
        Self {
            model,
            previous: Time(0),
            open: BTreeMap::new(),
            used: IdRanges(BTreeMap::new()),
            operations: 0,
        }
    }

    /// How many operations were invoked.
    pub(crate) const fn operations(&self) -> usize {
        self.operations
    }

    /// The time of the last event.
    pub(crate) const fn previous(&self) -> Time {
        self.previous
    }

    /// What the client's open operation asked, if its id is this one.
    pub(crate) fn open(&self, client: ClientId, id: OperationId) -> Option<&Op> {
        self.open.get(&client).and_then(|(open, op)| (*open == id).then_some(op))
    }

    /// Takes the next event, or says why it cannot stand here.
    pub(crate) fn accept(&mut self, event: &Event) -> Result<(), Problem> {
        if event.time < self.previous {
            return Err(Problem::TimeBackwards { time: event.time, previous: self.previous });
        }
        if let EventKind::Operation { client, id, step } = &event.kind {
            self.accept_step(*client, *id, step)?;
        }
        self.previous = event.time;
        Ok(())
    }

    fn accept_step(
        &mut self,
        client: ClientId,
        id: OperationId,
        step: &Step,
    ) -> Result<(), Problem> {
        if let Step::Invoke(op) = step {
            return self.accept_invoke(client, id, op);
        }
        let Some(op) = self.open(client, id) else {
            return Err(Problem::NotOpen { client, id });
        };
        match step {
            Step::Watch(_) if !matches!(op, Op::Etcd(EtcdOp::Watch(_))) => {
                return Err(Problem::NotAWatch { id });
            }
            Step::Watch(_) => return Ok(()),
            Step::Ok(result) if !answers(result, op) => {
                return Err(Problem::Result {
                    id,
                    message: "it is the answer to another kind of operation".to_owned(),
                });
            }
            _ => {}
        }
        self.open.remove(&client);
        Ok(())
    }

    fn accept_invoke(&mut self, client: ClientId, id: OperationId, op: &Op) -> Result<(), Problem> {
        if op.model() != self.model {
            return Err(Problem::WrongModel { id, found: op.model(), expected: self.model });
        }
        if let Some((open, _)) = self.open.get(&client) {
            return Err(Problem::ClientBusy { client, id, open: *open });
        }
        if !self.used.insert(id.0) {
            return Err(Problem::DuplicateId { id });
        }
        self.operations += 1;
        self.open.insert(client, (id, op.clone()));
        Ok(())
    }
}

/// Whether a result has the shape of an answer to this operation.
pub(crate) const fn answers(result: &OpResult, op: &Op) -> bool {
    use crate::{EtcdResponse as E, KvOp, KvResult, RegisterOp, RegisterResult};
    match (result, op) {
        (OpResult::Register(result), Op::Register(op)) => matches!(
            (result, op),
            (RegisterResult::Read { .. }, RegisterOp::Read { .. })
                | (RegisterResult::Write {}, RegisterOp::Write { .. })
                | (RegisterResult::Cas { .. }, RegisterOp::Cas { .. })
        ),
        (OpResult::Kv(result), Op::Kv(op)) => matches!(
            (result, op),
            (KvResult::Get { .. }, KvOp::Get { .. })
                | (KvResult::Put {}, KvOp::Put { .. })
                | (KvResult::Append {}, KvOp::Append { .. })
        ),
        (OpResult::Etcd(result), Op::Etcd(op)) => matches!(
            (&result.response, op),
            (E::Put(_), EtcdOp::Put(_))
                | (E::Range(_), EtcdOp::Range(_))
                | (E::DeleteRange(_), EtcdOp::DeleteRange(_))
                | (E::Txn(_), EtcdOp::Txn(_))
                | (
                    E::Lease(_),
                    EtcdOp::LeaseGrant { .. }
                        | EtcdOp::LeaseKeepAlive { .. }
                        | EtcdOp::LeaseTimeToLive { .. }
                )
                | (
                    E::Done {},
                    EtcdOp::Compact { .. } | EtcdOp::LeaseRevoke { .. } | EtcdOp::Watch(_)
                )
        ),
        _ => false,
    }
}

/// A set of ids, kept as disjoint ranges: ids mostly count up, so that it stays small.
#[derive(Debug)]
struct IdRanges(BTreeMap<u64, u64>);

impl IdRanges {
    /// Adds an id; false if it was there.
    fn insert(&mut self, id: u64) -> bool {
        let before = self.0.range(..=id).next_back().map(|(&a, &b)| (a, b));
        if before.is_some_and(|(_, last)| id <= last) {
            return false;
        }
        let joins_after = id.checked_add(1).and_then(|next| self.0.remove(&next));
        let last = joins_after.unwrap_or(id);
        match before {
            Some((first, end)) if end + 1 == id => self.0.insert(first, last),
            _ => self.0.insert(id, last),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::IdRanges;
    use std::collections::BTreeMap;

    #[test]
    fn ids_are_found_again_whatever_order_they_came_in() {
        let mut ranges = IdRanges(BTreeMap::new());
        for id in [5, 3, 4, 0, u64::MAX, 1, 2, 9] {
            assert!(ranges.insert(id), "{id} is new");
        }
        for id in [0, 1, 2, 3, 4, 5, 9, u64::MAX] {
            assert!(!ranges.insert(id), "{id} was there");
        }
        assert_eq!(ranges.0, BTreeMap::from([(0, 5), (9, 9), (u64::MAX, u64::MAX)]));
    }
}
