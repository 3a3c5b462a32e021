//! A client: one operation after the other, at one member after the other, whatever happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{
    CompactionOptions, Compare, CompareOp, ConnectOptions, DeleteOptions, Error, GetOptions,
    GetResponse, KeyValue, PutOptions, PutResponse, ResponseHeader, Txn, TxnOp, TxnOpResponse,
};
use quorate_history as history;
use quorate_history::{ClientId, Data, EtcdOp, EtcdResponse, EtcdResult};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;

use crate::record::{Outcome, Record};

/// Few keys, so that clients meet.
const KEYS: u64 = 5;
/// An answer that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between a refusal and the next attempt.
const BACKOFF: Duration = Duration::from_millis(20);
/// After a write whose outcome it does not know, a client reads so often before it writes again: of
/// many writes that took effect unseen nobody could tell in which order they did.
const READS_AFTER_UNKNOWN: u32 = 6;
/// How many revisions a compaction leaves readable.
const KEPT_REVISIONS: i64 = 30;
/// How long a member may take to answer once nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of all members, or of one.
pub(crate) struct Client {
    id: ClientId,
    chance: ChaCha8Rng,
    urls: Vec<String>,
    /// Which member is asked.
    member: usize,
    connection: Option<etcd_client::Client>,
    record: Arc<Record>,
    /// Values written, so that each is another.
    values: u64,
    /// How many operations more it only reads.
    wary: u32,
    /// What it was told last.
    revision: i64,
    mod_revisions: BTreeMap<String, i64>,
}

/// What a client may do.
#[derive(Clone, Debug)]
enum Action {
    Put(String, String),
    Get(String),
    GetSerializable(String),
    List(i64),
    Delete(String),
    /// Writes if the key was last written at this revision, else reads.
    CompareAndSwap(String, i64, String),
    /// Writes two keys, reads one of them.
    WriteBoth(String, String, String),
    Compact(i64),
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64, urls: Vec<String>, record: Arc<Record>) -> Client {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        // Stream 0 is the killer's.
        chance.set_stream(number + 1);
        Client {
            id: ClientId(number),
            chance,
            member: 0,
            urls,
            connection: None,
            record,
            values: 0,
            wary: 0,
            revision: 1,
            mod_revisions: BTreeMap::new(),
        }
    }

    /// Asks until the record is stopped.
    pub(crate) async fn run(mut self) {
        while !self.record.is_stopped() {
            if self.chance.random_range(0..20) == 0 {
                self.turn();
            }
            let action = self.choose();
            if !self.attempt(action).await {
                sleep(BACKOFF).await;
                self.turn();
            }
        }
    }

    /// Reads all keys, until that is answered.
    pub(crate) async fn read_everything(mut self) {
        let begun = Instant::now();
        while !self.attempt(Action::List(0)).await {
            assert!(begun.elapsed() < PATIENCE, "{:?} does not answer", self.urls);
            sleep(BACKOFF).await;
        }
    }

    /// Goes to another member.
    fn turn(&mut self) {
        self.member = self.chance.random_range(0..self.urls.len());
        self.connection = None;
    }

    fn key(&mut self) -> String {
        format!("k{}", self.chance.random_range(0..KEYS))
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("{}-{}", self.id.0, self.values)
    }

    fn choose(&mut self) -> Action {
        let key = self.key();
        let kind = self.chance.random_range(0..100);
        if self.wary > 0 {
            return if kind < 50 { Action::Get(key) } else { Action::List(0) };
        }
        match kind {
            0..30 => Action::Put(key, self.value()),
            30..50 => Action::Get(key),
            50..58 => Action::GetSerializable(key),
            58..66 => Action::List(self.chance.random_range(0..4)),
            66..74 => Action::Delete(key),
            74..88 => {
                let known = self.mod_revisions.get(&key).copied().unwrap_or(0);
                Action::CompareAndSwap(key, known, self.value())
            }
            88..98 => {
                let other = format!("{key}-other");
                Action::WriteBoth(key, other, self.value())
            }
            _ => Action::Compact((self.revision - KEPT_REVISIONS).max(1)),
        }
    }

    /// One operation. Says whether it was answered.
    async fn attempt(&mut self, action: Action) -> bool {
        let id = self.record.invoke(self.id, action.operation());
        let answer = match self.connect().await {
            Ok(client) => action.carry_out(client).await,
            Err(error) => Err(error),
        };
        self.wary = self.wary.saturating_sub(1);
        let outcome = match answer {
            Ok(answer) => {
                self.revision = self.revision.max(answer.revision);
                self.learn(&action, &answer);
                Outcome::Ok(answer.into_result())
            }
            Err(error) if is_definite(&error) => Outcome::Failed(text(&error)),
            Err(error) => {
                if !action.is_read() {
                    self.wary = READS_AFTER_UNKNOWN;
                }
                self.connection = None;
                Outcome::Unknown(text(&error))
            }
        };
        let answered = matches!(outcome, Outcome::Ok(_));
        self.record.complete(id, outcome);
        answered
    }

    async fn connect(&mut self) -> Result<&mut etcd_client::Client, Error> {
        if self.connection.is_none() {
            let options = ConnectOptions::new().with_timeout(TIMEOUT).with_connect_timeout(TIMEOUT);
            let url = &self.urls[self.member];
            self.connection = Some(etcd_client::Client::connect([url], Some(options)).await?);
        }
        Ok(self.connection.as_mut().expect("it was just made"))
    }

    fn learn(&mut self, action: &Action, answer: &Answer) {
        match action {
            Action::Put(key, _) | Action::WriteBoth(key, ..) => {
                self.mod_revisions.insert(key.clone(), answer.revision);
            }
            Action::Delete(key) => {
                self.mod_revisions.remove(key);
            }
            _ => {}
        }
        for (key, revision) in &answer.seen {
            self.mod_revisions.insert(key.clone(), *revision);
        }
    }
}

/// Whether the request certainly had no effect and never will.
fn is_definite(error: &Error) -> bool {
    const INVALID_ARGUMENT: i32 = 3;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const OUT_OF_RANGE: i32 = 11;
    let Error::GRpcStatus(status) = error else { return false };
    match status.code() as i32 {
        INVALID_ARGUMENT | RESOURCE_EXHAUSTED | OUT_OF_RANGE => true,
        // The last one is the client's own: the request has never left.
        _ => {
            let said = status.message();
            said == "etcdserver: no leader" || said.contains("tcp connect error")
        }
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}

/// What was answered, and which keys were seen with which revisions.
struct Answer {
    revision: i64,
    member: u64,
    term: u64,
    response: EtcdResponse,
    seen: Vec<(String, i64)>,
}

impl Answer {
    fn new(header: Option<&ResponseHeader>, response: EtcdResponse) -> Answer {
        let header = header.expect("each answer has a header");
        Answer {
            revision: header.revision(),
            member: header.member_id(),
            term: header.raft_term(),
            response,
            seen: Vec::new(),
        }
    }

    fn into_result(self) -> EtcdResult {
        EtcdResult {
            revision: Some(revision(self.revision)),
            member: Some(history::MemberId(self.member)),
            term: Some(history::Term(self.term)),
            response: self.response,
        }
    }
}

impl Action {
    fn is_read(&self) -> bool {
        matches!(self, Action::Get(_) | Action::GetSerializable(_) | Action::List(_))
    }

    /// What the history says that is asked.
    fn operation(&self) -> EtcdOp {
        let range = |key: &str| history::Range { key: key.into(), ..history::Range::default() };
        let put = |key: &str, value: &str| history::Put {
            key: key.into(),
            value: value.into(),
            prev_kv: true,
            ..history::Put::default()
        };
        match self {
            Action::Put(key, value) => EtcdOp::Put(put(key, value)),
            Action::Get(key) => EtcdOp::Range(range(key)),
            Action::GetSerializable(key) => {
                EtcdOp::Range(history::Range { serializable: true, ..range(key) })
            }
            Action::List(limit) => EtcdOp::Range(history::Range {
                range_end: Some("l".into()),
                limit: u64::try_from(*limit).expect("limits are not negative"),
                ..range("k")
            }),
            Action::Delete(key) => EtcdOp::DeleteRange(history::DeleteRange {
                key: key.as_str().into(),
                range_end: None,
                prev_kv: true,
            }),
            Action::CompareAndSwap(key, known, value) => EtcdOp::Txn(history::Txn {
                compare: vec![history::Compare {
                    key: key.as_str().into(),
                    range_end: None,
                    op: history::Relation::Equal,
                    target: history::CompareTarget::Mod(revision(*known)),
                }],
                then: vec![EtcdOp::Put(put(key, value))],
                or_else: vec![EtcdOp::Range(range(key))],
            }),
            Action::WriteBoth(one, other, value) => EtcdOp::Txn(history::Txn {
                compare: Vec::new(),
                then: vec![
                    EtcdOp::Put(put(one, value)),
                    EtcdOp::Put(put(other, value)),
                    EtcdOp::Range(range(one)),
                ],
                or_else: Vec::new(),
            }),
            Action::Compact(at) => EtcdOp::Compact { at: revision(*at) },
        }
    }

    async fn carry_out(&self, client: &mut etcd_client::Client) -> Result<Answer, Error> {
        let prev = || Some(PutOptions::new().with_prev_key());
        match self {
            Action::Put(key, value) => {
                let put = client.put(key.as_str(), value.as_str(), prev()).await?;
                Ok(Answer::new(put.header(), from_put(&put)))
            }
            Action::Get(key) => Ok(from_get(&client.get(key.as_str(), None).await?)),
            Action::GetSerializable(key) => {
                let options = GetOptions::new().with_serializable();
                Ok(from_get(&client.get(key.as_str(), Some(options)).await?))
            }
            Action::List(limit) => {
                let options = GetOptions::new().with_range("l").with_limit(*limit);
                Ok(from_get(&client.get("k", Some(options)).await?))
            }
            Action::Delete(key) => {
                let options = DeleteOptions::new().with_prev_key();
                let deleted = client.delete(key.as_str(), Some(options)).await?;
                let response = EtcdResponse::DeleteRange(history::DeleteRangeResponse {
                    deleted: Some(count(deleted.deleted())),
                    prev_kvs: Some(deleted.prev_kvs().iter().map(key_value).collect()),
                });
                Ok(Answer::new(deleted.header(), response))
            }
            Action::CompareAndSwap(key, known, value) => {
                let txn = Txn::new()
                    .when([Compare::mod_revision(key.as_str(), CompareOp::Equal, *known)])
                    .and_then([TxnOp::put(key.as_str(), value.as_str(), prev())])
                    .or_else([TxnOp::get(key.as_str(), None)]);
                carry_out_txn(client, txn).await
            }
            Action::WriteBoth(one, other, value) => {
                let txn = Txn::new().and_then([
                    TxnOp::put(one.as_str(), value.as_str(), prev()),
                    TxnOp::put(other.as_str(), value.as_str(), prev()),
                    TxnOp::get(one.as_str(), None),
                ]);
                carry_out_txn(client, txn).await
            }
            Action::Compact(at) => {
                let options = CompactionOptions::new().with_physical();
                let compacted = client.compact(*at, Some(options)).await?;
                Ok(Answer::new(compacted.header(), EtcdResponse::Done {}))
            }
        }
    }
}

async fn carry_out_txn(client: &mut etcd_client::Client, txn: Txn) -> Result<Answer, Error> {
    let answered = client.txn(txn).await?;
    let mut seen = Vec::new();
    let mut responses = Vec::new();
    for response in answered.op_responses() {
        responses.push(match response {
            TxnOpResponse::Put(put) => from_put(&put),
            TxnOpResponse::Get(get) => {
                seen.extend(seen_by(&get));
                from_range(&get)
            }
            other => panic!("the client has not asked for {other:?}"),
        });
    }
    let response = EtcdResponse::Txn(history::TxnResponse {
        succeeded: Some(answered.succeeded()),
        responses: Some(responses),
    });
    let mut answer = Answer::new(answered.header(), response);
    if answered.succeeded() {
        // What it read is of this very revision.
        seen.clear();
    }
    answer.seen = seen;
    Ok(answer)
}

fn from_put(put: &PutResponse) -> EtcdResponse {
    EtcdResponse::Put(history::PutResponse { prev_kv: Some(put.prev_key().map(key_value)) })
}

fn from_get(get: &GetResponse) -> Answer {
    let seen = seen_by(get);
    Answer { seen, ..Answer::new(get.header(), from_range(get)) }
}

fn from_range(get: &GetResponse) -> EtcdResponse {
    EtcdResponse::Range(history::RangeResponse {
        kvs: Some(get.kvs().iter().map(key_value).collect()),
        count: Some(count(get.count())),
        more: Some(get.more()),
    })
}

fn seen_by(get: &GetResponse) -> Vec<(String, i64)> {
    let seen =
        |kv: &KeyValue| (kv.key_str().expect("our keys are text").to_owned(), kv.mod_revision());
    get.kvs().iter().map(seen).collect()
}

fn key_value(kv: &KeyValue) -> history::KeyValue {
    history::KeyValue {
        key: Data::from(kv.key()),
        value: Some(Data::from(kv.value())),
        create: Some(revision(kv.create_revision())),
        modified: Some(revision(kv.mod_revision())),
        version: Some(history::Version(count(kv.version()))),
        lease: Some(history::LeaseId(kv.lease())),
    }
}

fn revision(revision: i64) -> history::Revision {
    history::Revision(count(revision))
}

fn count(number: i64) -> u64 {
    u64::try_from(number).expect("servers do not count below zero")
}
