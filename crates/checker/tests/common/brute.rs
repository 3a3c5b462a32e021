//! A checker that tries every order and every choice of unknown outcomes. It is slow and obvious.

use quorate_history::*;

use super::generate::{Made, Outcome};
use super::reference::{COMPACTED, FUTURE, Reference};

/// Whether some order of the operations explains everything that was answered.
pub fn is_valid(made: &[Made]) -> bool {
    let relevant: Vec<&Made> = made.iter().filter(|one| tells_something(one)).collect();
    match made.first().map(|one| one.op.model()) {
        None => true,
        Some(Model::Etcd) => place(&relevant, &mut vec![false; relevant.len()], &Reference::new()),
        Some(Model::Kv) => place(&relevant, &mut vec![false; relevant.len()], &String::new()),
        Some(Model::Register) => place(&relevant, &mut vec![false; relevant.len()], &Value::Null),
    }
}

/// A refusal for another reason than its revision says only that nothing happened.
fn tells_something(one: &Made) -> bool {
    !matches!(one.outcome, Outcome::Fail(error) if error != COMPACTED && error != FUTURE)
}

trait Object: Clone {
    /// The object afterwards, if it would have answered so.
    fn step(&self, one: &Made) -> Option<Self>;
}

fn place<O: Object>(made: &[&Made], placed: &mut Vec<bool>, object: &O) -> bool {
    let open = |i: usize| made[i].outcome != Outcome::Info;
    if (0..made.len()).all(|i| placed[i] || !open(i)) {
        return true;
    }
    for i in 0..made.len() {
        if placed[i] {
            continue;
        }
        let invoked = if is_serializable(made[i]) { 0 } else { made[i].invoked };
        let too_early = (0..made.len())
            .any(|other| !placed[other] && open(other) && made[other].completed < invoked);
        if too_early {
            continue;
        }
        if let Some(after) = object.step(made[i]) {
            placed[i] = true;
            if place(made, placed, &after) {
                return true;
            }
            placed[i] = false;
        }
    }
    false
}

fn is_serializable(one: &Made) -> bool {
    matches!(&one.op, Op::Etcd(EtcdOp::Range(range)) if range.serializable)
}

impl Object for Reference {
    fn step(&self, one: &Made) -> Option<Self> {
        let Op::Etcd(op) = &one.op else { panic!("a history of one model") };
        let mut after = self.clone();
        let fits = match (&one.outcome, after.execute(op)) {
            (Outcome::Info, _) => true,
            (Outcome::Fail(observed), _) if matches!(op, EtcdOp::Txn(_)) => {
                return refusal_possible(op, self, observed).then(|| self.clone());
            }
            (Outcome::Fail(observed), Err(error)) => *observed == error,
            (Outcome::Ok(OpResult::Etcd(observed)), Ok(expected)) => {
                observed.revision == expected.revision
                    && response_fits(&observed.response, &expected.response)
            }
            _ => false,
        };
        fits.then_some(after)
    }
}

/// Which branch a refused transaction would have taken is nowhere recorded; the checker allows
/// either, on purpose.
fn refusal_possible(op: &EtcdOp, store: &Reference, error: &str) -> bool {
    match op {
        EtcdOp::Range(Range { at: Some(at), .. }) => match error {
            COMPACTED => at.0 != 0 && at.0 < store.compacted(),
            _ => at.0 > store.revision(),
        },
        EtcdOp::Txn(txn) => {
            let mut ops = txn.then.iter().chain(&txn.or_else);
            ops.any(|op| refusal_possible(op, store, error))
        }
        _ => false,
    }
}

fn fits<T: PartialEq>(observed: &Option<T>, expected: &Option<T>) -> bool {
    observed.is_none() || observed == expected
}

fn kv_fits(observed: &KeyValue, expected: &KeyValue) -> bool {
    observed.key == expected.key
        && fits(&observed.value, &expected.value)
        && fits(&observed.create, &expected.create)
        && fits(&observed.modified, &expected.modified)
        && fits(&observed.version, &expected.version)
        && fits(&observed.lease, &expected.lease)
}

fn kvs_fit(observed: &Option<Vec<KeyValue>>, expected: &Option<Vec<KeyValue>>) -> bool {
    match (observed, expected) {
        (None, _) => true,
        (Some(observed), Some(expected)) => {
            observed.len() == expected.len()
                && observed.iter().zip(expected).all(|(o, e)| kv_fits(o, e))
        }
        (Some(_), None) => false,
    }
}

fn response_fits(observed: &EtcdResponse, expected: &EtcdResponse) -> bool {
    match (observed, expected) {
        (EtcdResponse::Put(o), EtcdResponse::Put(e)) => match (&o.prev_kv, &e.prev_kv) {
            (None | Some(None), None) | (None | Some(None), Some(None)) => true,
            (None, Some(_)) => true,
            (Some(Some(o)), Some(Some(e))) => kv_fits(o, e),
            _ => false,
        },
        (EtcdResponse::Range(o), EtcdResponse::Range(e)) => {
            kvs_fit(&o.kvs, &e.kvs) && fits(&o.count, &e.count) && fits(&o.more, &e.more)
        }
        (EtcdResponse::DeleteRange(o), EtcdResponse::DeleteRange(e)) => {
            fits(&o.deleted, &e.deleted) && kvs_fit(&o.prev_kvs, &e.prev_kvs)
        }
        (EtcdResponse::Txn(o), EtcdResponse::Txn(e)) => {
            fits(&o.succeeded, &e.succeeded)
                && match (&o.responses, &e.responses) {
                    (None, _) => true,
                    (Some(o), Some(e)) => {
                        o.len() == e.len() && o.iter().zip(e).all(|(o, e)| response_fits(o, e))
                    }
                    (Some(_), None) => false,
                }
        }
        (EtcdResponse::Done {}, EtcdResponse::Done {}) => true,
        _ => false,
    }
}

/// One register.
impl Object for Value {
    fn step(&self, one: &Made) -> Option<Self> {
        let Op::Register(op) = &one.op else { panic!("a history of one model") };
        let result = match &one.outcome {
            Outcome::Ok(OpResult::Register(result)) => Some(result),
            _ => None,
        };
        match (op, result) {
            (RegisterOp::Read { .. }, Some(RegisterResult::Read { value: Some(value) })) => {
                (value == self).then(|| self.clone())
            }
            (RegisterOp::Read { .. }, _) => Some(self.clone()),
            (RegisterOp::Write { value, .. }, _) => Some(value.clone()),
            (RegisterOp::Cas { old, new, .. }, result) => {
                let observed = match result {
                    Some(RegisterResult::Cas { succeeded }) => *succeeded,
                    _ => None,
                };
                let holds = old == self;
                observed
                    .is_none_or(|observed| observed == holds)
                    .then(|| if holds { new.clone() } else { self.clone() })
            }
        }
    }
}

/// One text.
impl Object for String {
    fn step(&self, one: &Made) -> Option<Self> {
        let text = |data: &Data| String::from_utf8_lossy(data).into_owned();
        match (&one.op, &one.outcome) {
            (
                Op::Kv(KvOp::Get { .. }),
                Outcome::Ok(OpResult::Kv(KvResult::Get { value: Some(value) })),
            ) => (text(value) == *self).then(|| self.clone()),
            (Op::Kv(KvOp::Get { .. }), _) => Some(self.clone()),
            (Op::Kv(KvOp::Put { value, .. }), _) => Some(text(value)),
            (Op::Kv(KvOp::Append { value, .. }), _) => Some(self.clone() + &text(value)),
            _ => panic!("a history of one model"),
        }
    }
}
