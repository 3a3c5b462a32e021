//! The format as others see it: what is written is read again, and what cannot be is refused
//! with the line, what is wrong and what to do.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, json};

use crate::*;

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        "[a-c\"\\\\é]{0,3}".prop_map(Data::from),
        vec(any::<u8>(), 0..4).prop_map(Data::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        data().prop_map(Value::Data),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    prop_oneof![(0..9_u64).prop_map(Revision), any::<u64>().prop_map(Revision)]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    any::<i64>().prop_map(LeaseId)
}

fn key_value() -> impl Strategy<Value = KeyValue> {
    (
        data(),
        option::of(data()),
        option::of(revision()),
        option::of(revision()),
        option::of(any::<u64>().prop_map(Version)),
        option::of(lease()),
    )
        .prop_map(|(key, value, create, modified, version, lease)| KeyValue {
            key,
            value,
            create,
            modified,
            version,
            lease,
        })
}

fn put() -> impl Strategy<Value = Put> {
    (data(), data(), option::of(lease()), any::<[bool; 3]>()).prop_map(
        |(key, value, lease, [prev_kv, ignore_value, ignore_lease])| Put {
            key,
            value,
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn sort() -> impl Strategy<Value = Sort> {
    use SortOrder as O;
    use SortTarget as T;
    let targets = vec![T::Key, T::Version, T::Create, T::Mod, T::Value];
    let orders = vec![O::None, O::Ascend, O::Descend];
    (prop::sample::select(targets), prop::sample::select(orders))
        .prop_map(|(target, order)| Sort { target, order })
}

fn range() -> impl Strategy<Value = Range> {
    (
        (data(), option::of(data()), option::of(revision()), 0..4_u64),
        any::<[bool; 3]>(),
        option::of(sort()),
        [(); 4].map(|()| option::of(revision())),
    )
        .prop_map(|((key, range_end, at, limit), flags, sort, bounds)| {
            let [serializable, count_only, keys_only] = flags;
            let [min_mod, max_mod, min_create, max_create] = bounds;
            Range {
                key,
                range_end,
                at,
                limit,
                serializable,
                count_only,
                keys_only,
                sort,
                min_mod,
                max_mod,
                min_create,
                max_create,
            }
        })
}

fn delete_range() -> impl Strategy<Value = DeleteRange> {
    (data(), option::of(data()), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRange {
        key,
        range_end,
        prev_kv,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    use Relation as R;
    let target = prop_oneof![
        any::<u64>().prop_map(|version| CompareTarget::Version(Version(version))),
        revision().prop_map(CompareTarget::Create),
        revision().prop_map(CompareTarget::Mod),
        data().prop_map(CompareTarget::Value),
        lease().prop_map(CompareTarget::Lease),
    ];
    let relation = prop::sample::select(&[R::Equal, R::NotEqual, R::Less, R::Greater]);
    (data(), option::of(data()), relation, target)
        .prop_map(|(key, range_end, op, target)| Compare { key, range_end, op, target })
}

fn watch() -> impl Strategy<Value = Watch> {
    let filter = prop::sample::select(&[WatchFilter::NoPut, WatchFilter::NoDelete]);
    let head = (data(), option::of(data()), option::of(revision()));
    (head, any::<[bool; 3]>(), vec(filter, 0..3)).prop_map(
        |((key, range_end, start), [prev_kv, progress, fragment], filters)| Watch {
            key,
            range_end,
            start,
            prev_kv,
            progress,
            fragment,
            filters,
        },
    )
}

fn etcd_op() -> impl Strategy<Value = EtcdOp> {
    let leaf = prop_oneof![
        put().prop_map(EtcdOp::Put),
        range().prop_map(EtcdOp::Range),
        delete_range().prop_map(EtcdOp::DeleteRange),
        revision().prop_map(|at| EtcdOp::Compact { at }),
        (lease(), any::<i64>()).prop_map(|(id, ttl)| EtcdOp::LeaseGrant { id, ttl }),
        lease().prop_map(|id| EtcdOp::LeaseRevoke { id }),
        lease().prop_map(|id| EtcdOp::LeaseKeepAlive { id }),
        lease().prop_map(|id| EtcdOp::LeaseTimeToLive { id }),
        watch().prop_map(EtcdOp::Watch),
    ];
    leaf.prop_recursive(2, 6, 2, |op| {
        (vec(compare(), 0..2), vec(op.clone(), 0..3), vec(op, 0..3))
            .prop_map(|(compare, then, or_else)| EtcdOp::Txn(Txn { compare, then, or_else }))
    })
}

fn op(model: Model) -> BoxedStrategy<Op> {
    match model {
        Model::Register => prop_oneof![
            data().prop_map(|key| RegisterOp::Read { key }),
            (data(), value()).prop_map(|(key, value)| RegisterOp::Write { key, value }),
            (data(), value(), value()).prop_map(|(key, old, new)| RegisterOp::Cas {
                key,
                old,
                new
            }),
        ]
        .prop_map(Op::Register)
        .boxed(),
        Model::Kv => prop_oneof![
            data().prop_map(|key| KvOp::Get { key }),
            (data(), data()).prop_map(|(key, value)| KvOp::Put { key, value }),
            (data(), data()).prop_map(|(key, value)| KvOp::Append { key, value }),
        ]
        .prop_map(Op::Kv)
        .boxed(),
        Model::Etcd => etcd_op().prop_map(Op::Etcd).boxed(),
    }
}

/// Answers any operation, from a pool of parts: what they say does not matter here.
#[derive(Clone, Debug)]
struct Parts {
    value: Option<Value>,
    text: Option<Data>,
    flag: Option<bool>,
    count: Option<u64>,
    kv: Option<Option<KeyValue>>,
    kvs: Option<Vec<KeyValue>>,
    revision: Option<Revision>,
}

fn parts() -> impl Strategy<Value = Parts> {
    (
        option::of(value()),
        option::of(data()),
        option::of(any::<bool>()),
        option::of(any::<u64>()),
        option::of(option::of(key_value())),
        option::of(vec(key_value(), 0..3)),
        option::of(revision()),
    )
        .prop_map(|(value, text, flag, count, kv, kvs, revision)| Parts {
            value,
            text,
            flag,
            count,
            kv,
            kvs,
            revision,
        })
}

impl Parts {
    fn answer(&self, op: &Op) -> OpResult {
        match op {
            Op::Register(RegisterOp::Read { .. }) => {
                RegisterResult::Read { value: self.value.clone() }.into()
            }
            Op::Register(RegisterOp::Write { .. }) => RegisterResult::Write {}.into(),
            Op::Register(RegisterOp::Cas { .. }) => {
                RegisterResult::Cas { succeeded: self.flag }.into()
            }
            Op::Kv(KvOp::Get { .. }) => KvResult::Get { value: self.text.clone() }.into(),
            Op::Kv(KvOp::Put { .. }) => KvResult::Put {}.into(),
            Op::Kv(KvOp::Append { .. }) => KvResult::Append {}.into(),
            Op::Etcd(op) => EtcdResult {
                revision: self.revision,
                member: self.count.map(MemberId),
                term: self.count.map(Term),
                response: self.respond(op),
            }
            .into(),
        }
    }

    fn respond(&self, op: &EtcdOp) -> EtcdResponse {
        match op {
            EtcdOp::Put(_) => EtcdResponse::Put(PutResponse { prev_kv: self.kv.clone() }),
            EtcdOp::Range(_) => EtcdResponse::Range(RangeResponse {
                kvs: self.kvs.clone(),
                count: self.count,
                more: self.flag,
            }),
            EtcdOp::DeleteRange(_) => EtcdResponse::DeleteRange(DeleteRangeResponse {
                deleted: self.count,
                prev_kvs: self.kvs.clone(),
            }),
            EtcdOp::Txn(txn) => {
                let branch = self.flag.map(|flag| if flag { &txn.then } else { &txn.or_else });
                EtcdResponse::Txn(TxnResponse {
                    succeeded: self.flag,
                    responses: branch
                        .map(|branch| branch.iter().map(|op| self.respond(op)).collect()),
                })
            }
            EtcdOp::LeaseGrant { .. }
            | EtcdOp::LeaseKeepAlive { .. }
            | EtcdOp::LeaseTimeToLive { .. } => EtcdResponse::Lease(LeaseResponse {
                id: self.count.map(|count| LeaseId(count as i64)),
                ttl: Some(-1),
            }),
            EtcdOp::Compact { .. } | EtcdOp::LeaseRevoke { .. } | EtcdOp::Watch(_) => {
                EtcdResponse::Done {}
            }
        }
    }

    fn watch_response(&self) -> WatchResponse {
        WatchResponse {
            revision: self.revision,
            events: self
                .kvs
                .iter()
                .flatten()
                .map(|kv| WatchEvent {
                    kind: WatchEventKind::Put,
                    kv: kv.clone(),
                    prev_kv: self.kv.clone(),
                })
                .collect(),
            progress: self.flag == Some(true),
            compact_revision: self.revision,
            fragment: self.flag == Some(false),
        }
    }
}

/// A recorded history: whatever the clients do, in a form that can stand.
fn history() -> impl Strategy<Value = History> {
    let model = prop::sample::select(&[Model::Register, Model::Kv, Model::Etcd]);
    model.prop_flat_map(|model| {
        let step = (0..3_u64, 0..5_u64, 0..6_u8, op(model), parts(), ".{0,6}");
        vec(step, 0..25).prop_map(move |steps| {
            let mut source = Map::new();
            source.insert("seed".to_owned(), json!("0x2a"));
            let mut recorder = Recorder::new(model, source);
            let mut open = [const { None }; 3];
            let mut now = 0;
            for (client, passed, way, op, parts, text) in steps {
                now += passed;
                let time = Time(now);
                if way == 5 {
                    recorder.note(time, text);
                    recorder.fault(time, json!({"kind": "crash", "member": client}));
                    continue;
                }
                let slot = &mut open[client as usize];
                let Some((id, asked)) = slot.take() else {
                    *slot = Some((recorder.invoke(time, ClientId(client), op.clone()), op));
                    continue;
                };
                if matches!(asked, Op::Etcd(EtcdOp::Watch(_))) && way < 2 {
                    recorder.watch(time, id, parts.watch_response());
                    *slot = Some((id, asked));
                    continue;
                }
                match way {
                    0..3 => recorder.ok(time, id, parts.answer(&asked)),
                    3 => recorder.fail(time, id, text),
                    _ => recorder.info(time, id, text),
                }
            }
            recorder.into_history()
        })
    })
}

fn written(history: &History) -> String {
    let mut out = Vec::new();
    history.write(&mut out).expect("memory takes all");
    String::from_utf8(out).expect("JSON is UTF-8")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_is_read_again_byte_for_byte(history in history()) {
        let text = written(&history);
        let read = History::read(text.as_bytes()).expect("our own writing");
        prop_assert_eq!(&read, &history);
        prop_assert_eq!(written(&read), text);
        let (header, events) = read.into_parts();
        prop_assert_eq!(History::new(header, events), Ok(history));
    }

    #[test]
    fn no_input_makes_the_reader_panic(history in history(), at in any::<u32>(), byte: u8) {
        let mut bytes = written(&history).into_bytes();
        let at = at as usize % bytes.len();
        bytes[at] = byte;
        let _ = History::read(&bytes[..]);
        let _ = History::read(&bytes[..at]);
    }
}

#[test]
fn the_format_is_the_one_that_was_agreed() {
    let text = r#"{"format":"quorate-history","version":1,"model":"etcd","source":{"scenario":"smoke"}}
{"time":1,"client":0,"id":1,"type":"invoke","op":{"f":"put","key":"a","value":{"b64":"/w=="},"lease":7,"prev_kv":true}}
{"time":2,"client":0,"id":1,"type":"ok","result":{"revision":2,"member":3,"term":4,"prev_kv":null}}
{"time":3,"client":0,"id":2,"type":"invoke","op":{"f":"txn","compare":[{"key":"a","op":"=","target":"mod","value":2}],"then":[{"f":"range","key":"a","range_end":"b","at":2,"limit":1,"sort":{"target":"mod","order":"descend"}}],"else":[]}}
{"time":3,"type":"fault","fault":{"kind":"crash"}}
{"time":4,"client":0,"id":2,"type":"ok","result":{"revision":2,"succeeded":true,"responses":[{"kvs":[{"key":"a","value":{"b64":"/w=="},"create":2,"mod":2,"version":1,"lease":7}],"count":1,"more":false}]}}
{"time":5,"client":1,"id":3,"type":"invoke","op":{"f":"watch","key":"a","start":2,"filters":["no_put"]}}
{"time":5,"client":1,"id":3,"type":"watch","result":{"revision":3,"events":[{"type":"delete","kv":{"key":"a","mod":3}}],"compact_revision":1}}
{"time":5,"client":1,"id":3,"type":"info","error":"connection lost"}
{"time":6,"type":"note","note":"the end"}
"#;
    let history = History::read(text.as_bytes()).expect("a history as agreed");
    assert_eq!(written(&history), text);
    assert_eq!(history.operations(), 3);
    let EventKind::Operation { step: Step::Ok(OpResult::Etcd(result)), .. } =
        &history.events()[1].kind
    else {
        panic!("the second event is an answer");
    };
    assert_eq!(
        result.response,
        EtcdResponse::Put(PutResponse { prev_kv: Some(None) }),
        "null was observed"
    );
}

#[test]
fn unknown_fields_blank_lines_and_a_missing_last_line_break_are_tolerated() {
    let text = r#"{"format":"quorate-history","version":1,"model":"register","extra":1}

{"time":1,"client":0,"id":9,"type":"invoke","zone":"z","op":{"f":"read","key":"x","hint":[1]}}
{"type":"note","note":"by hand, without a time"}
{"time":2,"client":0,"id":9,"type":"ok","result":{"value":null,"took":5}}"#;
    let history = History::read(text.as_bytes()).expect("only additions");
    assert_eq!(history.events()[1].time, Time(1));
    let EventKind::Operation { step: Step::Ok(result), .. } = &history.events()[2].kind else {
        panic!("the third event is an answer");
    };
    let null = Some(Value::Null);
    assert_eq!(*result, RegisterResult::Read { value: null }.into());
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line_and_a_remedy() {
    const REGISTER: &str = r#"{"format":"quorate-history","version":1,"model":"register"}"#;
    const ETCD: &str = r#"{"format":"quorate-history","version":1,"model":"etcd"}"#;
    const READ: &str =
        r#"{"time":5,"client":0,"id":1,"type":"invoke","op":{"f":"read","key":"x"}}"#;
    let cases: &[(&[&str], &str)] = &[
        (&[""], "line 1: the input is empty"),
        (&["garbage"], "line 1, column 1: this is no history"),
        (&[r#"{"seed":1}"#], "line 1: this is no history"),
        (
            &[r#"{"format":"quorate-history","version":7,"model":"etcd"}"#],
            "line 1: history version 7 is not known, only version 1",
        ),
        (
            &[r#"{"format":"quorate-history","version":1,"model":"queue"}"#],
            "line 1: model \"queue\" is not known: use",
        ),
        (&[REGISTER, "{\"time\":1,,}\n"], "line 2, column 11: "),
        (
            &[REGISTER, READ, r#"{"time":6,"client":0,"#],
            "line 3, column 21: the file ends in the middle",
        ),
        (
            &[REGISTER, r#"{"time":5,"client":0,"id":1,"type":"call"}"#],
            "line 2: event type \"call\" is not known: use",
        ),
        (
            &[REGISTER, r#"{"time":5,"id":1,"type":"invoke"}"#],
            "line 2: an event of type \"invoke\" needs the field \"client\"",
        ),
        (
            &[REGISTER, r#"{"time":-5,"client":0,"id":1,"type":"invoke"}"#],
            "line 2, column 10: invalid value: integer `-5`",
        ),
        (
            &[
                REGISTER,
                r#"{"time":5,"client":0,"id":1,"type":"invoke","op":{"f":"get","key":"x"}}"#,
            ],
            "line 2, column 59: the operation is none of model register: unknown variant `get`",
        ),
        (
            &[ETCD, r#"{"time":5,"client":0,"id":1,"type":"invoke","op":{"f":"range","key":5}}"#],
            "the operation is none of model etcd: expected a string or",
        ),
        (
            &[
                REGISTER,
                READ,
                r#"{"time":6,"client":0,"id":2,"type":"invoke","op":{"f":"read","key":"x"}}"#,
            ],
            "line 3: client 0 invokes operation 2 while its operation 1 is open: complete",
        ),
        (
            &[
                REGISTER,
                READ,
                r#"{"time":6,"client":1,"id":1,"type":"invoke","op":{"f":"read","key":"x"}}"#,
            ],
            "line 3: operation id 1 was used before",
        ),
        (
            &[REGISTER, r#"{"time":6,"client":1,"id":1,"type":"ok","result":{}}"#],
            "line 2: client 1 has no open operation 1: each completion needs",
        ),
        (
            &[REGISTER, READ, r#"{"time":6,"client":1,"id":1,"type":"info","error":"late"}"#],
            "line 3: client 1 has no open operation 1",
        ),
        (
            &[REGISTER, READ, r#"{"time":4,"client":0,"id":1,"type":"info","error":"late"}"#],
            "line 3: time 4 is before the previous event's, 5: events stand in real-time order",
        ),
        (
            &[REGISTER, READ, r#"{"time":6,"client":0,"id":1,"type":"watch","result":{}}"#],
            "line 3: operation 1 is no watch",
        ),
        (
            &[REGISTER, READ, r#"{"time":6,"client":0,"id":1,"type":"ok","result":{"value":[1]}}"#],
            "the result does not answer operation 1: invalid type: sequence",
        ),
        (
            &[
                ETCD,
                r#"{"time":5,"client":0,"id":1,"type":"invoke","op":{"f":"txn"}}"#,
                r#"{"time":5,"client":0,"id":1,"type":"ok","result":{"responses":[]}}"#,
            ],
            "line 3: the result does not answer operation 1: \"responses\" cannot be read without",
        ),
    ];
    for (lines, expected) in cases {
        let text = lines.join("\n");
        let error = History::read(text.as_bytes()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{text}\ngives: {error}\nnot: {expected}");
    }
    let mut bytes = format!("{REGISTER}\n").into_bytes();
    bytes.extend_from_slice(b"{\"time\":\xff}\n");
    let error = History::read(&bytes[..]).expect_err("not UTF-8").to_string();
    assert!(error.starts_with("line 2, column 9: the line is not UTF-8"), "{error}");
}

#[test]
#[should_panic(expected = "client 4 has operation")]
fn the_recorder_refuses_a_second_open_operation_of_a_client() {
    let mut recorder = Recorder::new(Model::Register, Map::new());
    let read = RegisterOp::Read { key: "x".into() };
    recorder.invoke(Time(1), ClientId(4), read.clone());
    recorder.invoke(Time(2), ClientId(4), read);
}

#[test]
#[should_panic(expected = "does not answer operation 1")]
fn the_recorder_refuses_an_answer_to_something_else() {
    let mut recorder = Recorder::new(Model::Register, Map::new());
    let read = RegisterOp::Read { key: "x".into() };
    let id = recorder.invoke(Time(1), ClientId(4), read);
    recorder.ok(Time(2), id, RegisterResult::Write {});
}
