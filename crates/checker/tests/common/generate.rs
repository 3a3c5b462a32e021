//! Histories of a store that keeps its promises, made by carrying operations out one after
//! another at a moment within each one's interval.

use quorate_history::*;
use serde_json::Map;

use super::Random;
use super::reference::Reference;

/// One operation of a history under construction. Tests may change anything of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub client: u64,
    pub invoked: u64,
    pub completed: u64,
    pub op: Op,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Ok(OpResult),
    Fail(&'static str),
    Info,
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub operations: u64,
    pub clients: u64,
    pub keys: u64,
    /// So many of a hundred operations have an unknown outcome.
    pub unknown_percent: u64,
    /// The longest pause, and the longest interval, of a client.
    pub ticks: u64,
    /// Whether revisions are compacted now and then.
    pub compacts: bool,
    /// Whether every put writes a value of its own.
    pub unique_values: bool,
}

/// Puts made operations into a history. Completions of one moment come after its invocations.
pub fn history(model: Model, made: &[Made]) -> History {
    let mut events = Vec::new();
    for (index, one) in made.iter().enumerate() {
        let id = OperationId(index as u64 + 1);
        let client = ClientId(one.client);
        let event = |time, step| Event {
            time: Time(time),
            kind: EventKind::Operation { client, id, step },
        };
        let step = match &one.outcome {
            Outcome::Ok(result) => Step::Ok(result.clone()),
            Outcome::Fail(error) => Step::Fail((*error).into()),
            Outcome::Info => Step::Info("timed out".into()),
        };
        events.push((one.invoked, 0, index, event(one.invoked, Step::Invoke(one.op.clone()))));
        events.push((one.completed, 1, index, event(one.completed, step)));
    }
    events.sort_by_key(|(time, kind, index, _)| (*time, *kind, *index));
    let header = Header { model, source: Map::new() };
    let events = events.into_iter().map(|(.., event)| event).collect();
    History::new(header, events).expect("the parts make a history")
}

/// When each operation is invoked, takes effect and completes; in order of effect. An unknown one
/// may take effect after its completion, or never (it then has no moment).
struct Slot {
    client: u64,
    invoked: u64,
    effect: u64,
    completed: u64,
    unknown: bool,
    never: bool,
}

fn slots(shape: &Shape, random: &mut Random) -> Vec<Slot> {
    let mut free_at = vec![0; shape.clients as usize];
    let mut slots = Vec::new();
    for _ in 0..shape.operations {
        let client = random.below(shape.clients);
        // Client after client, so that none waits for another's time.
        let now = &mut free_at[client as usize];
        let invoked = *now + random.below(shape.ticks);
        let completed = invoked + random.below(shape.ticks);
        // An interval is closed, so that a client's next must not touch it.
        *now = completed + 1;
        let unknown = random.percent(shape.unknown_percent);
        let late = if unknown { 4 * shape.ticks } else { completed - invoked + 1 };
        slots.push(Slot {
            client,
            invoked,
            effect: invoked + random.below(late),
            completed,
            unknown,
            never: unknown && random.percent(50),
        });
    }
    slots.sort_by_key(|slot| slot.effect);
    slots
}

fn finish(mut made: Vec<Made>) -> Vec<Made> {
    made.sort_by_key(|one| one.invoked);
    made
}

/// A valid history of an etcd store.
pub fn etcd(shape: &Shape, random: &mut Random) -> Vec<Made> {
    let mut store = Reference::new();
    let mut made = Vec::new();
    for (number, slot) in slots(shape, random).into_iter().enumerate() {
        let op = etcd_op(shape, random, &store, number as u64);
        let answered = if slot.never {
            Err("never")
        } else if matches!(&op, EtcdOp::Range(range) if range.serializable) {
            let back = random.below(3).min(store.revision() - 1);
            store.prefix(store.revision() - back).execute(&op)
        } else {
            store.execute(&op)
        };
        made.push(Made {
            client: slot.client,
            invoked: slot.invoked,
            completed: slot.completed,
            op: op.into(),
            outcome: match answered {
                _ if slot.unknown => Outcome::Info,
                Ok(result) => Outcome::Ok(result.into()),
                Err(error) => Outcome::Fail(error),
            },
        });
    }
    finish(made)
}

fn key(shape: &Shape, random: &mut Random) -> Data {
    format!("k{}", random.below(shape.keys)).into()
}

fn value(shape: &Shape, random: &mut Random, number: u64) -> Data {
    if shape.unique_values {
        format!("v{number}").into()
    } else {
        format!("v{}", random.below(2)).into()
    }
}

fn put(shape: &Shape, random: &mut Random, number: u64) -> Put {
    Put {
        key: key(shape, random),
        value: value(shape, random, number),
        prev_kv: random.percent(20),
        ignore_value: random.percent(3),
        ..Put::default()
    }
}

fn range(shape: &Shape, random: &mut Random, store: &Reference) -> Range {
    let mut range =
        Range { key: key(shape, random), serializable: random.percent(15), ..Range::default() };
    if random.percent(30) {
        range.range_end = Some(Data::from_static(b"\0"));
        range.limit = random.below(3);
        range.count_only = random.percent(20);
        range.keys_only = random.percent(20);
        range.sort = random.percent(20).then(|| Sort {
            target: *random.pick(&[SortTarget::Key, SortTarget::Mod]),
            order: *random.pick(&[SortOrder::Ascend, SortOrder::Descend]),
        });
        range.max_mod = random.percent(10).then(|| Revision(1 + random.below(6)));
        range.min_create = random.percent(10).then(|| Revision(1 + random.below(6)));
    }
    if random.percent(20) {
        let around = (store.revision() + 1).saturating_sub(random.below(4)).max(1);
        range.at = Some(Revision(around));
    }
    range
}

fn delete(shape: &Shape, random: &mut Random) -> DeleteRange {
    DeleteRange {
        key: key(shape, random),
        range_end: random.percent(20).then(|| Data::from_static(b"k2")),
        prev_kv: random.percent(30),
    }
}

fn txn(shape: &Shape, random: &mut Random, store: &Reference, number: u64, depth: u64) -> Txn {
    let mut txn = Txn::default();
    if random.percent(80) {
        let key = key(shape, random);
        let modified = store.modified(&key);
        let stale = random.below(2);
        txn.compare.push(Compare {
            op: *random.pick(&[Relation::Equal, Relation::Equal, Relation::Greater]),
            target: match random.below(4) {
                0 => CompareTarget::Value("v1".into()),
                1 => CompareTarget::Version(Version(random.below(3))),
                _ => CompareTarget::Mod(Revision(modified.saturating_sub(stale))),
            },
            range_end: random.percent(10).then(|| Data::from_static(b"k2")),
            key,
        });
    }
    let mut put_key = None;
    for _ in 0..1 + random.below(2) {
        txn.then.push(match random.below(8) {
            0..4 if put_key.is_none() => {
                let put = put(shape, random, number);
                put_key = Some(put.key.clone());
                EtcdOp::Put(put)
            }
            4 if put_key.is_none() => {
                // No transaction writes a key twice, so that this is its only write.
                put_key = Some(Data::default());
                EtcdOp::DeleteRange(delete(shape, random))
            }
            5 if depth == 0 && put_key.is_none() => {
                put_key = Some(Data::default());
                EtcdOp::Txn(self::txn(shape, random, store, number, 1))
            }
            _ => EtcdOp::Range(Range { serializable: false, ..range(shape, random, store) }),
        });
    }
    if random.percent(60) {
        txn.or_else.push(EtcdOp::Range(Range { key: key(shape, random), ..Range::default() }));
    }
    txn
}

fn etcd_op(shape: &Shape, random: &mut Random, store: &Reference, number: u64) -> EtcdOp {
    match random.below(100) {
        0..35 => EtcdOp::Put(put(shape, random, number)),
        35..70 => EtcdOp::Range(range(shape, random, store)),
        70..78 => EtcdOp::DeleteRange(delete(shape, random)),
        78..92 => EtcdOp::Txn(txn(shape, random, store, number, 0)),
        _ if shape.compacts => {
            EtcdOp::Compact { at: Revision((store.revision() + 1).saturating_sub(random.below(4))) }
        }
        _ => EtcdOp::Range(range(shape, random, store)),
    }
}

/// A valid history of registers.
pub fn register(shape: &Shape, random: &mut Random) -> Vec<Made> {
    let mut values = vec![Value::Null; shape.keys as usize];
    let mut made = Vec::new();
    for (number, slot) in slots(shape, random).into_iter().enumerate() {
        let which = random.below(shape.keys) as usize;
        let key = Data::from(format!("k{which}"));
        let mut fresh = || {
            Value::Integer(if shape.unique_values { number as i64 } else { random.below(3) as i64 })
        };
        let new = fresh();
        let held = values[which].clone();
        let (op, result) = match random.below(3) {
            0 => {
                let value = Some(held.clone());
                (RegisterOp::Read { key }, RegisterResult::Read { value })
            }
            1 => {
                let value = new.clone();
                (RegisterOp::Write { key, value }, RegisterResult::Write {})
            }
            _ => {
                let old = if random.percent(60) { held.clone() } else { Value::Integer(1) };
                let succeeded = Some(old == held);
                let new = new.clone();
                (RegisterOp::Cas { key, old, new }, RegisterResult::Cas { succeeded })
            }
        };
        let changes = match &result {
            RegisterResult::Read { .. } => false,
            RegisterResult::Write {} => true,
            RegisterResult::Cas { succeeded } => *succeeded == Some(true),
        };
        if changes && !slot.never {
            values[which] = new;
        }
        made.push(Made {
            client: slot.client,
            invoked: slot.invoked,
            completed: slot.completed,
            op: op.into(),
            outcome: if slot.unknown { Outcome::Info } else { Outcome::Ok(result.into()) },
        });
    }
    finish(made)
}

/// A valid history of texts.
pub fn kv(shape: &Shape, random: &mut Random) -> Vec<Made> {
    let mut texts = vec![String::new(); shape.keys as usize];
    let mut made = Vec::new();
    for slot in slots(shape, random) {
        let which = random.below(shape.keys) as usize;
        let key = Data::from(format!("k{which}"));
        let part = *random.pick(&["a", "b"]);
        let value = Data::from(part);
        let before = texts[which].clone();
        let (op, result, after) = match random.below(3) {
            0 => {
                let value = Some(before.as_str().into());
                (KvOp::Get { key }, KvResult::Get { value }, before)
            }
            1 => (KvOp::Put { key, value }, KvResult::Put {}, part.to_owned()),
            _ => (KvOp::Append { key, value }, KvResult::Append {}, before + part),
        };
        if !slot.never {
            texts[which] = after;
        }
        made.push(Made {
            client: slot.client,
            invoked: slot.invoked,
            completed: slot.completed,
            op: op.into(),
            outcome: if slot.unknown { Outcome::Info } else { Outcome::Ok(result.into()) },
        });
    }
    finish(made)
}
