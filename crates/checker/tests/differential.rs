//! The checker against one that tries all orders, on small histories: what a store that keeps
//! its promises answered, then one or two things of it changed.

mod common;

use std::cell::Cell;

use common::generate::{Made, Outcome, Shape};
use common::reference::{COMPACTED, FUTURE};
use common::{Random, brute, generate};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use quorate_checker::{Options, Verdict, check};
use quorate_history::*;

const CASES: u32 = 40_000;

fn nudge(random: &mut Random, number: &mut u64) {
    *number = if random.percent(50) { *number + 1 } else { number.saturating_sub(1) };
}

/// Changes one thing about a key.
fn change_kv(kv: &mut KeyValue, random: &mut Random) {
    match random.below(6) {
        0 => kv.value = Some(format!("v{}", random.below(4)).into()),
        1 => nudge(random, &mut kv.modified.get_or_insert_default().0),
        2 => nudge(random, &mut kv.create.get_or_insert_default().0),
        3 => nudge(random, &mut kv.version.get_or_insert_default().0),
        4 => kv.key = format!("k{}", random.below(3)).into(),
        _ => match random.below(4) {
            0 => kv.value = None,
            1 => kv.modified = None,
            2 => kv.create = None,
            _ => kv.version = None,
        },
    }
}

fn change_kvs(kvs: &mut Vec<KeyValue>, random: &mut Random) {
    match random.below(4) {
        0 if !kvs.is_empty() => {
            kvs.pop();
        }
        1 => kvs.push(KeyValue { key: "k0".into(), ..KeyValue::default() }),
        _ => {
            if let Some(kv) = kvs.first_mut() {
                change_kv(kv, random);
            }
        }
    }
}

fn change_response(response: &mut EtcdResponse, random: &mut Random) {
    match response {
        EtcdResponse::Put(answer) => match &mut answer.prev_kv {
            Some(Some(kv)) if random.percent(70) => change_kv(kv, random),
            prev_kv => *prev_kv = None,
        },
        EtcdResponse::Range(answer) => match random.below(5) {
            0 => nudge(random, answer.count.get_or_insert_default()),
            1 => answer.more = answer.more.map(|more| !more),
            2 => (answer.count, answer.more) = (None, None),
            _ => change_kvs(answer.kvs.get_or_insert_default(), random),
        },
        EtcdResponse::DeleteRange(answer) => match random.below(4) {
            0 => nudge(random, answer.deleted.get_or_insert_default()),
            1 => answer.deleted = None,
            2 => (answer.deleted, answer.prev_kvs) = (None, None),
            _ => change_kvs(answer.prev_kvs.get_or_insert_default(), random),
        },
        EtcdResponse::Txn(answer) => match random.below(4) {
            0 => answer.succeeded = answer.succeeded.map(|succeeded| !succeeded),
            1 => (answer.succeeded, answer.responses) = (None, None),
            2 => answer.responses = None,
            _ => {
                if let Some(response) = answer.responses.iter_mut().flatten().next() {
                    change_response(response, random);
                }
            }
        },
        EtcdResponse::Lease(_) | EtcdResponse::Done {} => {}
    }
}

/// Changes one thing about a history: a time, an outcome, or a field of an answer.
fn change(made: &mut [Made], random: &mut Random) {
    let index = random.below(made.len() as u64) as usize;
    let one = &mut made[index];
    match random.below(10) {
        0 => {
            let length = one.completed - one.invoked;
            one.invoked = random.below(12);
            one.completed = one.invoked + length;
        }
        1 => one.completed = one.invoked + random.below(8),
        2 => one.outcome = Outcome::Info,
        3 => {
            if let Outcome::Fail(error) = &mut one.outcome {
                *error = if *error == COMPACTED { FUTURE } else { COMPACTED };
            }
        }
        _ => match &mut one.outcome {
            Outcome::Ok(OpResult::Etcd(result)) => match random.below(3) {
                0 => nudge(random, &mut result.revision.get_or_insert_default().0),
                _ => change_response(&mut result.response, random),
            },
            Outcome::Ok(OpResult::Register(RegisterResult::Read { value })) => {
                *value = (!random.percent(20)).then(|| Value::Integer(random.below(4) as i64));
            }
            Outcome::Ok(OpResult::Register(RegisterResult::Cas { succeeded })) => {
                *succeeded = (!random.percent(20)).then(|| random.percent(50));
            }
            Outcome::Ok(OpResult::Kv(KvResult::Get { value })) => {
                *value =
                    (!random.percent(20)).then(|| Data::from(*random.pick(&["", "a", "ab", "bb"])));
            }
            _ => {}
        },
    }
}

fn text(history: &History) -> String {
    let mut out = Vec::new();
    history.write(&mut out).expect("memory takes all");
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn small(random: &mut Random) -> Shape {
    Shape {
        operations: 1 + random.below(6),
        clients: 6,
        keys: 1 + random.below(3),
        unknown_percent: *random.pick(&[0, 20, 50]),
        ticks: 1 + random.below(6),
        compacts: random.percent(50),
        unique_values: random.percent(30),
    }
}

/// Runs both checkers on many histories; says how many were valid.
fn compare(model: Model, generate: fn(&Shape, &mut Random) -> Vec<Made>) {
    let counts = [const { Cell::new(0_u32) }; 2];
    let config =
        ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&any::<u64>(), |seed| {
        let mut random = Random(seed);
        let mut shape = small(&mut random);
        if model != Model::Etcd {
            shape.keys = 1;
        }
        let mut made = generate(&shape, &mut random);
        for (client, one) in made.iter_mut().enumerate() {
            // A client of its own for each, so that times may be changed freely.
            one.client = client as u64;
        }
        for _ in 0..random.below(3) {
            change(&mut made, &mut random);
        }
        let expected = brute::is_valid(&made);
        let history = generate::history(model, &made);
        let verdict = check(&history, &Options::default()).verdict;
        counts[usize::from(expected)].set(counts[usize::from(expected)].get() + 1);
        prop_assert!(
            matches!((&verdict, expected), (Verdict::Valid, true) | (Verdict::Invalid(_), false)),
            "all orders say valid: {expected}, the checker says {verdict:?}, of\n{}",
            text(&history)
        );
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let [invalid, valid] = counts.map(|count| count.get());
    assert!(invalid > CASES / 20 && valid > CASES / 20, "{invalid} invalid, {valid} valid");
}

#[test]
fn register_verdicts_agree_with_all_orders() {
    compare(Model::Register, generate::register);
}

#[test]
fn kv_verdicts_agree_with_all_orders() {
    compare(Model::Kv, generate::kv);
}

#[test]
fn etcd_verdicts_agree_with_all_orders() {
    compare(Model::Etcd, generate::etcd);
}
