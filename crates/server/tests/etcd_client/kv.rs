//! The KV service at one member.

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, GetOptions, KvClient, PutOptions, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse,
};
use tempfile::TempDir;

use crate::support::{Running, alone, refusal};

const INVALID_ARGUMENT: u8 = 3;
const OUT_OF_RANGE: u8 = 11;

/// A server that leads, and a client. The store is at revision 1.
async fn leading(folder: &TempDir) -> (Running, Client) {
    let mut server = Running::start(&alone(folder.path())).await;
    server.is_ready().await;
    let client = server.client().await;
    (server, client)
}

async fn put_all(client: &mut KvClient, pairs: &[(&str, &str)]) {
    for (key, value) in pairs {
        client.put(*key, *value, None).await.expect("it is written");
    }
}

fn keys(response: &etcd_client::GetResponse) -> Vec<&str> {
    response.kvs().iter().map(|kv| kv.key_str().expect("text")).collect()
}

#[tokio::test]
async fn puts_and_gets_answer_as_etcd_does() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();

    let first = kv.put("greeting", "hello", None).await.expect("it is written");
    let header = first.header().expect("a header");
    assert_eq!(header.cluster_id(), server.cluster_id);
    assert_eq!(header.member_id(), server.member_id);
    assert_eq!(header.revision(), 2, "the first write");
    assert!(header.raft_term() > 0);
    assert!(first.prev_key().is_none());

    let options = PutOptions::new().with_prev_key();
    let second = kv.put("greeting", "good day", Some(options)).await.expect("it is written");
    let before = second.prev_key().expect("it was asked for");
    assert_eq!((before.value(), before.version()), (&b"hello"[..], 1));

    let read = kv.get("greeting", None).await.expect("it is read");
    assert_eq!((read.count(), read.more()), (1, false));
    let pair = &read.kvs()[0];
    assert_eq!(pair.value(), b"good day");
    let revisions = (pair.create_revision(), pair.mod_revision(), pair.version(), pair.lease());
    assert_eq!(revisions, (2, 3, 2, 0));

    let old = GetOptions::new().with_revision(2);
    let read = kv.get("greeting", Some(old)).await.expect("it is read");
    assert_eq!(read.kvs()[0].value(), b"hello");
    assert_eq!(read.header().expect("a header").revision(), 3);

    let serializable = GetOptions::new().with_serializable();
    let read = kv.get("greeting", Some(serializable)).await.expect("it is read");
    assert_eq!(read.kvs()[0].value(), b"good day");
    server.stop().await;
}

#[tokio::test]
async fn ranges_are_limited_sorted_counted() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    put_all(&mut kv, &[("a/1", "z"), ("a/2", "y"), ("a/3", "x"), ("b", "w")]).await;

    let all = kv.get("a/", Some(GetOptions::new().with_prefix())).await.expect("it is read");
    assert_eq!(keys(&all), ["a/1", "a/2", "a/3"]);

    let limited = GetOptions::new().with_prefix().with_limit(2);
    let limited = kv.get("a/", Some(limited)).await.expect("it is read");
    assert_eq!(keys(&limited), ["a/1", "a/2"]);
    assert_eq!((limited.count(), limited.more()), (3, true));

    let sorted = GetOptions::new()
        .with_all_keys()
        .with_sort(SortTarget::Value, SortOrder::Ascend)
        .with_limit(3);
    let sorted = kv.get("", Some(sorted)).await.expect("it is read");
    assert_eq!(keys(&sorted), ["b", "a/3", "a/2"]);

    let counted = GetOptions::new().with_from_key().with_count_only();
    let counted = kv.get("a/2", Some(counted)).await.expect("it is read");
    assert_eq!((counted.count(), counted.kvs().len()), (3, 0));

    let bare = GetOptions::new().with_range("a/3").with_keys_only();
    let bare = kv.get("a/1", Some(bare)).await.expect("it is read");
    assert_eq!(keys(&bare), ["a/1", "a/2"]);
    assert!(bare.kvs().iter().all(|kv| kv.value().is_empty()));

    let filtered = GetOptions::new().with_prefix().with_min_mod_revision(3);
    let filtered = kv.get("a/", Some(filtered)).await.expect("it is read");
    assert_eq!(keys(&filtered), ["a/2", "a/3"]);
    server.stop().await;
}

#[tokio::test]
async fn deletes_answer_with_what_there_was() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    put_all(&mut kv, &[("k1", "one"), ("k2", "two"), ("l", "three")]).await;

    let options = DeleteOptions::new().with_prefix().with_prev_key();
    let deleted = kv.delete("k", Some(options)).await.expect("it is deleted");
    assert_eq!(deleted.deleted(), 2);
    let values: Vec<_> = deleted.prev_kvs().iter().map(|kv| kv.value()).collect();
    assert_eq!(values, [b"one", b"two"]);
    assert_eq!(deleted.header().expect("a header").revision(), 5);

    let nothing = kv.delete("k1", None).await.expect("it is answered");
    assert_eq!(nothing.deleted(), 0);
    assert_eq!(nothing.header().expect("a header").revision(), 5, "nothing has changed");
    server.stop().await;
}

#[tokio::test]
async fn transactions_take_the_branch_that_their_comparisons_say() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();

    // As Kubernetes creates a key, and finds that it exists.
    let create = |value: &str| {
        Txn::new()
            .when([Compare::mod_revision("key", CompareOp::Equal, 0)])
            .and_then([TxnOp::put("key", value, None)])
            .or_else([TxnOp::get("key", None)])
    };
    let created = kv.txn(create("one")).await.expect("it is answered");
    assert!(created.succeeded());
    assert!(matches!(created.op_responses()[..], [TxnOpResponse::Put(_)]));

    let exists = kv.txn(create("two")).await.expect("it is answered");
    assert!(!exists.succeeded());
    let responses = exists.op_responses();
    let [TxnOpResponse::Get(found)] = &responses[..] else { panic!("{responses:?}") };
    assert_eq!(found.kvs()[0].value(), b"one");
    assert_eq!(exists.header().expect("a header").revision(), 2, "nothing has changed");

    let nested = Txn::new()
        .when([
            Compare::value("key", CompareOp::Equal, "one"),
            Compare::version("key", CompareOp::Greater, 0),
            Compare::create_revision("key", CompareOp::Less, 3),
            Compare::lease("key", CompareOp::NotEqual, 1),
        ])
        .and_then([
            TxnOp::put("other", "three", None),
            TxnOp::txn(Txn::new().and_then([TxnOp::delete("key", None)])),
            TxnOp::get("", Some(GetOptions::new().with_all_keys())),
        ]);
    let done = kv.txn(nested).await.expect("it is answered");
    assert!(done.succeeded());
    let responses = done.op_responses();
    let [TxnOpResponse::Put(_), TxnOpResponse::Txn(inner), TxnOpResponse::Get(left)] =
        &responses[..]
    else {
        panic!("{responses:?}")
    };
    assert!(matches!(inner.op_responses()[..], [TxnOpResponse::Delete(_)]));
    assert_eq!(keys(left), ["other"], "a range sees what was done before it");
    assert_eq!(left.kvs()[0].mod_revision(), 3);
    server.stop().await;
}

#[tokio::test]
async fn compactions_refuse_what_lies_below_and_above() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    put_all(&mut kv, &[("k", "1"), ("k", "2"), ("k", "3")]).await;
    kv.compact(3, None).await.expect("it is compacted");

    let at = |revision| Some(GetOptions::new().with_revision(revision));
    let read = kv.get("k", at(3)).await.expect("the boundary stays readable");
    assert_eq!(read.kvs()[0].value(), b"2");
    let compacted = "etcdserver: mvcc: required revision has been compacted".to_owned();
    let future = "etcdserver: mvcc: required revision is a future revision".to_owned();
    assert_eq!(refusal(kv.get("k", at(2)).await), (OUT_OF_RANGE, compacted.clone()));
    assert_eq!(refusal(kv.get("k", at(5)).await), (OUT_OF_RANGE, future.clone()));
    assert_eq!(refusal(kv.compact(3, None).await), (OUT_OF_RANGE, compacted));
    assert_eq!(refusal(kv.compact(5, None).await), (OUT_OF_RANGE, future));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_etcds_texts() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    let invalid = |text: &str| (INVALID_ARGUMENT, format!("etcdserver: {text}"));

    assert_eq!(refusal(kv.put("", "v", None).await), invalid("key is not provided"));
    assert_eq!(refusal(kv.get("", None).await), invalid("key is not provided"));
    assert_eq!(refusal(kv.delete("", None).await), invalid("key is not provided"));
    let keep = PutOptions::new().with_ignore_value();
    assert_eq!(refusal(kv.put("k", "v", Some(keep.clone())).await), invalid("value is provided"));
    assert_eq!(refusal(kv.put("k", "", Some(keep)).await), invalid("key not found"));
    let twice = [TxnOp::put("k", "1", None), TxnOp::put("k", "2", None)];
    assert_eq!(
        refusal(kv.txn(Txn::new().and_then(twice)).await),
        invalid("duplicate key given in txn request")
    );
    let many: Vec<_> = (0..129).map(|n| TxnOp::get(format!("{n}"), None)).collect();
    assert_eq!(
        refusal(kv.txn(Txn::new().and_then(many)).await),
        invalid("too many operations in txn request")
    );
    let large = vec![0; 1_600_000];
    assert_eq!(refusal(kv.put("k", large, None).await), invalid("request is too large"));
    let read = kv.get("", Some(GetOptions::new().with_all_keys())).await.expect("it is read");
    assert_eq!((read.count(), read.header().expect("a header").revision()), (0, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_starts_again_has_what_it_had() {
    let folder = TempDir::new().expect("a folder");
    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    put_all(&mut kv, &[("k", "1"), ("k", "2"), ("l", "3")]).await;
    kv.compact(2, None).await.expect("it is compacted");
    server.stop().await;

    let (server, client) = leading(&folder).await;
    let mut kv = client.kv_client();
    let read = kv.get("", Some(GetOptions::new().with_all_keys())).await.expect("it is read");
    assert_eq!(keys(&read), ["k", "l"]);
    assert_eq!(read.header().expect("a header").revision(), 4);
    let below = Some(GetOptions::new().with_revision(1));
    assert_eq!(refusal(kv.get("k", below).await).0, OUT_OF_RANGE);
    server.stop().await;
}
