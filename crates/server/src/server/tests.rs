use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quorate_proto::etcdserverpb::PutRequest;
use quorate_proto::quoratepb::{Forward, Frame, Hello, frame};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::*;
use crate::options::Timing;
use crate::stubs::etcdserverpb::kv_client::KvClient;
use crate::stubs::quoratepb::peer_client::PeerClient;

/// Longer than several elections.
const PATIENCE: Duration = Duration::from_secs(20);

/// What operators are told on the thread of a test.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn listen() -> (Said, tracing::subscriber::DefaultGuard) {
        let said = Said::default();
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        (said, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The members of a cluster, at ports that were free a moment ago.
fn cluster(folder: &TempDir, names: &[&str]) -> Vec<Options> {
    let free = names.iter().map(|_| std::net::TcpListener::bind("127.0.0.1:0"));
    let free: Vec<_> = free.map(|listener| listener.expect("loopback has free ports")).collect();
    let urls = free.iter().map(|listener| Url::of(listener.local_addr().expect("it is bound")));
    let urls: Vec<Url> = urls.collect();
    let members = names.iter().zip(&urls).map(|(name, url)| format!("{name}={url}"));
    let members = members.collect::<Vec<_>>().join(",");
    let options = |(name, url): (&&str, Url)| Options {
        name: (*name).to_owned(),
        data_dir: folder.path().join(name),
        listen_client_urls: vec!["http://127.0.0.1:0".parse().expect("a URL")],
        listen_peer_urls: vec![url],
        initial_cluster: members.parse().expect("a cluster"),
        initial_cluster_token: "test".to_owned(),
        timing: Timing {
            heartbeat_interval: Duration::from_millis(40),
            election_timeout: Duration::from_millis(300),
        },
        snapshot_count: 10_000,
    };
    names.iter().zip(urls).map(options).collect()
}

/// Says something to the first of two members in the name of the second, and hears how it ends if
/// that is soon.
async fn say(options: &Options, server: &Server, payload: Bytes) -> Option<Status> {
    let plan = options.plan().expect("a plan");
    let other = plan.founders.iter().find(|founder| founder.id != plan.id).expect("two members");
    let (from, to) = (other.id.0, plan.id.0);
    let hello = Hello { cluster_id: plan.cluster_id, from, to };
    let forward = Forward { from, to, payload, ..Forward::default() };
    let (frames, stream) = tokio::sync::mpsc::channel(2);
    for frame in [frame::Frame::Hello(hello), frame::Frame::Forward(forward)] {
        frames.try_send(Frame { frame: Some(frame) }).expect("there is room");
    }
    let url = server.about().peer_urls[0].to_string();
    let mut peer = PeerClient::connect(url).await.expect("it listens");
    let ended = timeout(Duration::from_secs(2), peer.deliver(ReceiverStream::new(stream))).await;
    drop(frames);
    ended.ok().map(|ended| ended.expect_err("it was not told that this is all"))
}

#[tokio::test]
async fn a_frame_that_no_member_has_reason_to_send_is_refused() {
    let (said, _guard) = Said::listen();
    let folder = TempDir::new().expect("a folder");
    let options = &cluster(&folder, &["one", "two"])[0];
    let server = Server::start(options).await.expect("it starts");
    let plan = options.plan().expect("a plan");
    let largest = max_frame(&options.member_config(&plan, 0));
    let config = Config::new(plan.id, plan.cluster_id, None, 0);
    assert!(largest > (config.raft.max_bytes_per_message as usize) + config.max_request_bytes);

    let fits = Bytes::from(vec![0; largest - ENTRY_OVERHEAD]);
    assert_eq!(say(options, &server, fits).await.map(|status| status.code()), None);
    assert!(!said.text().contains("refused"), "{}", said.text());
    for _ in 0..2 {
        let status = say(options, &server, vec![0; largest].into()).await.expect("it is refused");
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
    }
    let text = said.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("refused")).collect();
    let [line] = lines[..] else { panic!("it is said once: {text}") };
    assert!(line.contains("(two) sent") && line.contains("too large"), "{line}");
}

#[tokio::test]
async fn a_peer_that_is_away_is_said_to_be_and_to_be_back() {
    let (said, _guard) = Said::listen();
    let folder = TempDir::new().expect("a folder");
    let options = cluster(&folder, &["one", "two"]);
    let _one = Server::start(&options[0]).await.expect("it starts");
    let hears = async |text: &str| {
        while !said.text().contains(text) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, hears("(two) is not reached at")).await.expect("it is said");
    let _two = Server::start(&options[1]).await.expect("it starts");
    timeout(PATIENCE, hears("(two) is reached again")).await.expect("it is said");
}

#[tokio::test]
async fn a_server_is_ready_when_it_serves_and_not_before() {
    let folder = TempDir::new().expect("a folder");
    let options = cluster(&folder, &["one", "two"]);
    let one = Server::start(&options[0]).await.expect("it starts");
    // Time for several elections that it cannot win.
    timeout(Duration::from_secs(2), one.ready()).await.expect_err("nobody leads");
    let two = Server::start(&options[1]).await.expect("it starts");
    for server in [&one, &two] {
        timeout(PATIENCE, server.ready()).await.expect("there is a leader");
        let url = server.about().client_urls[0].to_string();
        let mut client = KvClient::connect(url).await.expect("it listens");
        let put = PutRequest { key: "key".into(), value: "value".into(), ..Default::default() };
        client.put(put).await.expect("it is served at once");
    }
}
