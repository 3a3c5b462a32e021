//! Three members over loopback.

use etcd_client::{Client, GetOptions};
use quorate_server::Options;
use tempfile::TempDir;

use crate::support::{Running, alone, free_urls, timing, until_ok};

const NAMES: [&str; 3] = ["one", "two", "three"];

fn three(folder: &TempDir) -> Vec<Options> {
    let urls = free_urls(NAMES.len());
    let cluster: Vec<_> =
        NAMES.iter().zip(&urls).map(|(name, url)| format!("{name}={url}")).collect();
    let cluster = cluster.join(",").parse().expect("a cluster");
    NAMES
        .iter()
        .zip(urls)
        .map(|(name, url)| Options {
            name: (*name).to_owned(),
            data_dir: folder.path().join(name),
            listen_peer_urls: vec![url],
            initial_cluster: Clone::clone(&cluster),
            timing: timing(),
            ..alone(folder.path())
        })
        .collect()
}

async fn put(client: &Client, key: &str, value: &str) -> etcd_client::PutResponse {
    until_ok(|| {
        let mut client = client.kv_client();
        async move { client.put(key, value, None).await }
    })
    .await
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let response = until_ok(|| {
        let mut client = client.kv_client();
        async move { client.get(key, None).await }
    })
    .await;
    response.kvs().first().map(|kv| kv.value().to_vec()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_through_any_member_and_on_without_one() {
    let folder = TempDir::new().expect("a folder");
    let options = three(&folder);
    let mut servers = Vec::new();
    for options in &options {
        servers.push(Running::start(options).await);
    }
    assert!(servers.iter().all(|server| server.cluster_id == servers[0].cluster_id));
    let mut clients = Vec::new();
    for server in &servers {
        clients.push(server.client().await);
    }

    // At least two of the three are not the leader.
    for (client, name) in clients.iter().zip(NAMES) {
        put(client, name, "written").await;
    }
    for client in &clients {
        for name in NAMES {
            assert_eq!(get(client, name).await, b"written");
        }
    }

    for lost in 0..NAMES.len() {
        servers.remove(lost).stop().await;
        let others = (0..NAMES.len()).filter(|member| *member != lost);
        for member in others {
            let value = format!("without {lost}, through {member}");
            put(&clients[member], "last", &value).await;
            assert_eq!(get(&clients[member], "last").await, value.as_bytes());
        }
        let server = Running::start(&options[lost]).await;
        // Its client port is another one now.
        clients[lost] = server.client().await;
        servers.insert(lost, server);
        assert_eq!(get(&clients[lost], "last").await, get(&clients[(lost + 1) % 3], "last").await);
    }

    let all = Some(GetOptions::new().with_all_keys());
    let mut seen = Vec::new();
    for client in &clients {
        let mut kv = client.kv_client();
        let response = kv.get("", all.clone()).await.expect("there is a leader");
        seen.push(response.kvs().iter().map(|kv| format!("{kv:?}")).collect::<Vec<_>>());
    }
    assert_eq!(seen[0].len(), 4);
    assert!(seen.iter().all(|kvs| *kvs == seen[0]), "{seen:#?}");
    for server in servers {
        server.stop().await;
    }
}
