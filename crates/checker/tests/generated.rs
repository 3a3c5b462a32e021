//! Larger histories: those of a store that keeps its promises are valid, whatever was unknown or
//! unobserved; and each known way of breaking a promise is seen, wherever it happens.

mod common;

use common::generate::{Made, Outcome, Shape};
use common::reference::{COMPACTED, FUTURE};
use common::{Random, generate};
use quorate_checker::{Options, Report, Verdict, check};
use quorate_history::*;

const SHAPE: Shape = Shape {
    operations: 400,
    clients: 8,
    keys: 6,
    unknown_percent: 0,
    ticks: 50,
    compacts: true,
    unique_values: true,
};

fn judge(model: Model, made: &[Made]) -> Report {
    check(&generate::history(model, made), &Options::default())
}

#[test]
fn valid_histories_are_valid_whatever_was_unknown() {
    for seed in 0..200 {
        for unknown_percent in [0, 5, 10] {
            let shape = Shape {
                unknown_percent,
                unique_values: seed % 2 == 0,
                keys: 1 + seed % 10,
                clients: 1 + seed % 12,
                ..SHAPE
            };
            let made = generate::etcd(&shape, &mut Random(seed));
            let report = judge(Model::Etcd, &made);
            assert_eq!(report.verdict, Verdict::Valid, "{shape:?}, seed {seed}");
            let made = generate::register(&shape, &mut Random(seed));
            let report = judge(Model::Register, &made);
            assert_eq!(report.verdict, Verdict::Valid, "{shape:?}, seed {seed}");
        }
    }
}

#[test]
fn a_search_that_has_to_go_back_far_never_calls_a_valid_history_invalid() {
    let few = Options { steps: 3_000, ..Options::default() };
    let mut decided = 0;
    for seed in 0..400 {
        let shape = Shape {
            operations: 150,
            unknown_percent: 20 + 10 * (seed % 3),
            unique_values: seed % 2 == 0,
            keys: 2 + seed % 5,
            ..SHAPE
        };
        let made = generate::etcd(&shape, &mut Random(seed));
        let verdict = check(&generate::history(Model::Etcd, &made), &few).verdict;
        assert!(!matches!(verdict, Verdict::Invalid(_)), "{shape:?}, seed {seed}: {verdict:?}");
        decided += u32::from(verdict == Verdict::Valid);
    }
    assert!(decided > 300, "only {decided} of 400 were decided");
}

#[test]
fn what_is_forgotten_never_makes_a_valid_history_invalid() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut made = generate::etcd(&SHAPE, &mut random);
        for _ in 0..20 {
            let index = random.below(made.len() as u64) as usize;
            let one = &mut made[index];
            match &mut one.outcome {
                outcome if random.percent(40) => *outcome = Outcome::Info,
                Outcome::Ok(OpResult::Etcd(result)) => forget(&mut result.response, &mut random),
                _ => {}
            }
        }
        let verdict = judge(Model::Etcd, &made).verdict;
        assert!(!matches!(verdict, Verdict::Invalid(_)), "seed {seed}: {verdict:?}");
    }
}

fn forget(response: &mut EtcdResponse, random: &mut Random) {
    match response {
        EtcdResponse::Put(answer) => answer.prev_kv = None,
        EtcdResponse::Range(answer) => match random.below(3) {
            0 => answer.kvs = None,
            1 => (answer.count, answer.more) = (None, None),
            _ => {
                for kv in answer.kvs.iter_mut().flatten() {
                    (kv.version, kv.create, kv.value) = (None, None, None);
                }
            }
        },
        EtcdResponse::DeleteRange(answer) => (answer.deleted, answer.prev_kvs) = (None, None),
        EtcdResponse::Txn(answer) => {
            answer.responses = None;
            if random.percent(50) {
                answer.succeeded = None;
            }
        }
        EtcdResponse::Lease(_) | EtcdResponse::Done {} => {}
    }
}

/// Breaks one operation of a history, if it can be broken in this way.
type Break = fn(&[Made], usize) -> Option<Outcome>;

fn result(made: &[Made], index: usize) -> Option<EtcdResult> {
    match &made[index].outcome {
        Outcome::Ok(OpResult::Etcd(result)) => Some(result.clone()),
        _ => None,
    }
}

fn answered(result: EtcdResult) -> Option<Outcome> {
    Some(Outcome::Ok(result.into()))
}

fn range(
    made: &[Made],
    index: usize,
    change: impl FnOnce(&mut RangeResponse) -> Option<()>,
) -> Option<Outcome> {
    let mut result = result(made, index)?;
    let EtcdResponse::Range(answer) = &mut result.response else {
        return None;
    };
    change(answer)?;
    answered(result)
}

fn first_kv(made: &[Made], index: usize, change: impl FnOnce(&mut KeyValue)) -> Option<Outcome> {
    range(made, index, |answer| {
        change(answer.kvs.as_mut()?.first_mut()?);
        Some(())
    })
}

/// The revision of the last write that completed before `index` was invoked.
fn acknowledged_before(made: &[Made], index: usize) -> Option<u64> {
    let before = (0..made.len()).filter(|&i| made[i].completed < made[index].invoked);
    before.filter_map(|i| result(made, i)?.revision).map(|r| r.0).max()
}

fn is_put(made: &[Made], index: usize) -> bool {
    matches!(made[index].op, Op::Etcd(EtcdOp::Put(_)))
}

const BREAKS: &[(&str, Break)] = &[
    ("a value that nobody wrote", |made, i| {
        first_kv(made, i, |kv| kv.value = Some("never".into()))
    }),
    ("a mod revision too low", |made, i| {
        first_kv(made, i, |kv| kv.modified.iter_mut().for_each(|r| r.0 -= 1))
    }),
    ("a mod revision too high", |made, i| {
        first_kv(made, i, |kv| kv.modified.iter_mut().for_each(|r| r.0 += 1))
    }),
    ("a create revision too low", |made, i| {
        first_kv(made, i, |kv| kv.create.iter_mut().for_each(|r| r.0 -= 1))
    }),
    ("a version too high", |made, i| {
        first_kv(made, i, |kv| kv.version.iter_mut().for_each(|v| v.0 += 1))
    }),
    ("a version of 0", |made, i| first_kv(made, i, |kv| kv.version = Some(Version(0)))),
    ("a lease that is not attached", |made, i| first_kv(made, i, |kv| kv.lease = Some(LeaseId(7)))),
    ("another key", |made, i| first_kv(made, i, |kv| kv.key = "other".into())),
    ("a key left out", |made, i| range(made, i, |answer| answer.kvs.as_mut()?.pop().map(|_| ()))),
    ("a key twice", |made, i| {
        range(made, i, |answer| {
            let kvs = answer.kvs.as_mut()?;
            kvs.push(kvs.first()?.clone());
            Some(())
        })
    }),
    ("keys in another order", |made, i| {
        let Op::Etcd(EtcdOp::Range(Range { sort: None, .. })) = &made[i].op else {
            return None;
        };
        range(made, i, |answer| {
            let kvs = answer.kvs.as_mut().filter(|kvs| kvs.len() > 1)?;
            kvs.swap(0, 1);
            Some(())
        })
    }),
    ("a count too high", |made, i| {
        range(made, i, |answer| answer.count.as_mut().map(|count| *count += 1))
    }),
    ("a wrong more", |made, i| {
        range(made, i, |answer| answer.more.as_mut().map(|more| *more = !*more))
    }),
    ("a stale read", |made, i| {
        let before = acknowledged_before(made, i)?;
        let mut result = result(made, i)?;
        let serializable = matches!(&made[i].op, Op::Etcd(EtcdOp::Range(r)) if r.serializable);
        let is_range = matches!(result.response, EtcdResponse::Range(_));
        result.revision = Some(Revision(before - 1));
        (is_range && !serializable && before > 1).then(|| answered(result)).flatten()
    }),
    ("a read of a future revision", |made, i| {
        let mut result = result(made, i)?;
        let last = (0..made.len()).filter_map(|i| self::result(made, i)?.revision).max()?;
        result.revision = Some(Revision(last.0 + 1));
        answered(result)
    }),
    ("two owners of a revision", |made, i| {
        let mut result = result(made, i).filter(|_| is_put(made, i))?;
        let other = (0..made.len()).find(|&other| other != i && is_put(made, other))?;
        result.revision = self::result(made, other)?.revision;
        answered(result)
    }),
    ("a lost write", |made, i| {
        // The write is said to have had no effect, but its revision is there.
        result(made, i).filter(|_| is_put(made, i))?;
        let last = (0..made.len()).filter_map(|i| self::result(made, i)?.revision).max()?;
        let own = result(made, i)?.revision?;
        (own < last).then_some(Outcome::Fail("etcdserver: request timed out"))
    }),
    ("a write that lost its revision's number", |made, i| {
        let mut result = result(made, i).filter(|_| is_put(made, i))?;
        result.revision = Some(Revision(1));
        answered(result)
    }),
    ("a wrong prev_kv", |made, i| {
        let mut result = result(made, i)?;
        let EtcdResponse::Put(PutResponse { prev_kv: Some(prev_kv) }) = &mut result.response else {
            return None;
        };
        *prev_kv = match prev_kv {
            Some(_) => None,
            None => Some(KeyValue { key: "k0".into(), ..KeyValue::default() }),
        };
        answered(result)
    }),
    ("a wrong number of deleted keys", |made, i| {
        let mut result = result(made, i)?;
        let EtcdResponse::DeleteRange(answer) = &mut result.response else {
            return None;
        };
        answer.deleted.iter_mut().for_each(|deleted| *deleted += 1);
        answered(result)
    }),
    ("a compare that went the other way", |made, i| {
        let mut result = result(made, i)?;
        let EtcdResponse::Txn(answer) = &mut result.response else {
            return None;
        };
        (answer.succeeded, answer.responses) = (answer.succeeded.map(|s| !s), None);
        answered(result)
    }),
    ("a torn transaction", |made, i| {
        let mut result = result(made, i)?;
        let EtcdResponse::Txn(answer) = &mut result.response else {
            return None;
        };
        answer.responses.as_mut()?.pop()?;
        answered(result)
    }),
    ("a compaction that was never asked for", |made, i| {
        let highest = |i: usize| match (&made[i].op, &made[i].outcome) {
            (Op::Etcd(EtcdOp::Compact { at }), Outcome::Ok(_)) => at.0,
            _ => 0,
        };
        let compacted = (0..made.len()).map(highest).max()?;
        let Op::Etcd(EtcdOp::Range(Range { at: Some(at), .. })) = &made[i].op else {
            return None;
        };
        (at.0 >= compacted).then_some(Outcome::Fail(COMPACTED))
    }),
    ("a revision refused as future that was there", |made, i| {
        let Op::Etcd(EtcdOp::Range(Range { at: Some(at), serializable: false, .. })) = &made[i].op
        else {
            return None;
        };
        let before = acknowledged_before(made, i)?;
        (at.0 <= before).then_some(Outcome::Fail(FUTURE))
    }),
];

#[test]
fn every_way_of_breaking_a_promise_is_seen_wherever_it_happens() {
    for (name, break_it) in BREAKS {
        let (mut broken, mut seed) = (0, 0);
        while broken < 60 {
            seed += 1;
            assert!(seed < 400, "{name}: only {broken} histories could be broken so");
            let mut random = Random(seed);
            let mut made = generate::etcd(&SHAPE, &mut random);
            let start = random.below(made.len() as u64) as usize;
            let order = (start..made.len()).chain(0..start);
            let found = order.into_iter().find_map(|i| Some((i, break_it(&made, i)?)));
            let Some((index, outcome)) = found else {
                continue;
            };
            made[index].outcome = outcome;
            broken += 1;
            let verdict = judge(Model::Etcd, &made).verdict;
            let Verdict::Invalid(violation) = verdict else {
                panic!("{name} at operation {}, seed {seed}: {verdict:?}", index + 1);
            };
            assert!(
                violation.message.contains("operation ") && !violation.operations.is_empty(),
                "{name}, seed {seed}: {violation}"
            );
        }
    }
}

#[test]
fn a_register_that_answers_what_nobody_wrote_is_seen() {
    for seed in 0..200 {
        let shape = Shape { unknown_percent: 10, ..SHAPE };
        let mut random = Random(seed);
        let mut made = generate::register(&shape, &mut random);
        let read = |one: &&mut Made| {
            matches!(&one.outcome, Outcome::Ok(OpResult::Register(RegisterResult::Read { .. })))
        };
        let one = made.iter_mut().filter(read).last().expect("some read");
        let value = Some(Value::Integer(-1));
        one.outcome = Outcome::Ok(RegisterResult::Read { value }.into());
        let verdict = judge(Model::Register, &made).verdict;
        assert!(matches!(verdict, Verdict::Invalid(_)), "seed {seed}: {verdict:?}");
    }
}

#[test]
fn the_limits_hold_and_the_verdict_says_so() {
    // Twenty writes and compare-and-sets of unknown outcome at once, and one read that none of
    // their orders explains: there is nothing to do but to try them.
    let mut made = Vec::new();
    for client in 0..20_u64 {
        let key = Data::from("x");
        let (old, new) = (Value::Integer(client as i64), Value::Integer(client as i64 + 1));
        made.push(Made {
            client,
            invoked: 0,
            completed: 0,
            op: if client % 2 == 0 {
                RegisterOp::Write { key, value: old }.into()
            } else {
                RegisterOp::Cas { key, old, new }.into()
            },
            outcome: Outcome::Ok(if client % 2 == 0 {
                RegisterResult::Write {}.into()
            } else {
                RegisterResult::Cas { succeeded: None }.into()
            }),
        });
    }
    let value = Some(Value::Integer(99));
    made.push(Made {
        client: 20,
        invoked: 1,
        completed: 1,
        op: RegisterOp::Read { key: "x".into() }.into(),
        outcome: Outcome::Ok(RegisterResult::Read { value }.into()),
    });
    let history = generate::history(Model::Register, &made);
    let unknown = |options: &Options<'_>| match check(&history, options).verdict {
        Verdict::Unknown { reason } => reason,
        other => panic!("{other:?}"),
    };
    let few = Options { steps: 1000, ..Options::default() };
    assert!(unknown(&few).contains("steps of search was reached"), "{}", unknown(&few));
    let small = Options { memory_bytes: 10_000, ..Options::default() };
    assert!(unknown(&small).contains("10000 bytes of memory"), "{}", unknown(&small));
    let late = || true;
    let no_time = Options { out_of_time: Some(&late), ..Options::default() };
    assert!(unknown(&no_time).contains("the time was up"), "{}", unknown(&no_time));
}
