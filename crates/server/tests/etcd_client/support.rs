//! Servers for tests, each on a folder that goes away with it.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use quorate_server::{InitialCluster, Options, RunError, Server, Timing, Url};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything that should happen soon may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) member_id: u64,
    pub(crate) cluster_id: u64,
    pub(crate) client_url: Url,
    ready: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub(crate) async fn start(options: &Options) -> Running {
        let server = Server::start(options).await.expect("it starts");
        let about = server.about().clone();
        let ready = Box::pin(server.ready());
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Running {
            member_id: about.member_id,
            cluster_id: about.cluster_id,
            client_url: about.client_urls[0].clone(),
            ready,
            stop,
            ended,
        }
    }

    /// Waits until it serves: of several members, one alone never does.
    pub(crate) async fn is_ready(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.ready).await.expect("it is ready in time");
    }

    pub(crate) async fn client(&self) -> Client {
        let options = ConnectOptions::new().with_timeout(PATIENCE);
        let url = self.client_url.to_string();
        Client::connect([url], Some(options)).await.expect("the URL is fine")
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.ended.await.expect("it does not panic").expect("nothing failed");
    }
}

pub(crate) fn any_port() -> Url {
    "http://127.0.0.1:0".parse().expect("a URL")
}

/// A member alone, which listens at ports that are free.
pub(crate) fn alone(folder: &Path) -> Options {
    Options {
        name: "default".to_owned(),
        data_dir: folder.join("data"),
        listen_client_urls: vec![any_port()],
        listen_peer_urls: vec![any_port()],
        initial_cluster: InitialCluster::alone("default", &[any_port()]),
        initial_cluster_token: "test".to_owned(),
        timing: timing(),
        snapshot_count: 10_000,
    }
}

/// Short, so that tests are: elections take tenths of a second.
pub(crate) fn timing() -> Timing {
    Timing {
        heartbeat_interval: Duration::from_millis(40),
        election_timeout: Duration::from_millis(300),
    }
}

/// Addresses that were free a moment ago.
pub(crate) fn free_urls(count: usize) -> Vec<Url> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"))
        .collect();
    listeners.iter().map(|listener| Url::of(listener.local_addr().expect("it is bound"))).collect()
}

/// Tries again while there is no leader, or it has just gone: definitely, or for all that the
/// client knows.
pub(crate) async fn until_ok<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        match attempt().await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "still {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Code and text of a refusal.
pub(crate) fn refusal<T>(result: Result<T, Error>) -> (u8, String) {
    match result {
        Err(Error::GRpcStatus(status)) => (status.code() as u8, status.message().to_owned()),
        Err(other) => panic!("not a refusal: {other}"),
        Ok(_) => panic!("it was not refused"),
    }
}
