//! The way to each peer: a queue, and a task that keeps a stream open and empties the queue into
//! it.
//!
//! A queue that is full, and a peer that cannot be reached, lose messages: what consensus wanted to
//! say then is said again later, as of then.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_member::PeerMessage;
use quorate_proto::quoratepb::{Frame, Hello, frame};
use quorate_raft::NodeId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::wire;
use crate::options::{Founder, Url};
use crate::stubs::quoratepb::peer_client::PeerClient;

/// Messages that may wait for one peer.
const QUEUE: usize = 4_096;
/// Frames that may wait for its connection.
const FRAMES: usize = 64;
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait before the next attempt.
const RETRY: Duration = Duration::from_millis(100);
/// A connection that is silent for so long is asked whether anybody is there.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// How long the answer to that may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The queues to all peers. Their tasks end when this is dropped.
#[derive(Debug)]
pub(crate) struct Links(BTreeMap<NodeId, mpsc::Sender<PeerMessage>>);

/// One peer, and what is said to it first.
struct Peer {
    urls: Vec<Url>,
    hello: Hello,
}

/// Why a connection is no longer used.
enum Over {
    /// It could not be made, or broke.
    Lost,
    /// Nobody has anything to say any more.
    Done,
}

impl Links {
    /// Opens a link to each of the cluster's members but this one.
    pub(crate) fn open(cluster_id: u64, own: NodeId, members: &[Founder]) -> Links {
        let others = members.iter().filter(|member| member.id != own);
        Links(
            others
                .map(|member| {
                    let (queue, queued) = mpsc::channel(QUEUE);
                    let hello = Hello { cluster_id, from: own.0, to: member.id.0 };
                    let peer = Peer { urls: member.peer_urls.clone(), hello };
                    tokio::spawn(peer.keep_informed(queued));
                    (member.id, queue)
                })
                .collect(),
        )
    }

    /// Sends a message, or loses it.
    pub(crate) fn send(&self, message: PeerMessage) {
        if let Some(queue) = self.0.get(&message.to()) {
            let _ = queue.try_send(message);
        }
    }
}

impl Peer {
    async fn keep_informed(self, mut queue: mpsc::Receiver<PeerMessage>) {
        for url in self.urls.iter().cycle() {
            if let Over::Done = self.speak(url, &mut queue).await {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Speaks over one connection until it breaks.
    async fn speak(&self, url: &Url, queue: &mut mpsc::Receiver<PeerMessage>) -> Over {
        let endpoint = Endpoint::from_shared(url.to_string()).expect("our URLs are URIs");
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let Ok(channel) = endpoint.connect().await else {
            return if discard(queue) { Over::Lost } else { Over::Done };
        };
        // What gathered before is of an earlier time.
        if !discard(queue) {
            return Over::Done;
        }
        let (frames, stream) = mpsc::channel(FRAMES);
        let hello = Frame { frame: Some(frame::Frame::Hello(self.hello)) };
        frames.try_send(hello).expect("a new queue has room");
        let mut client = PeerClient::new(channel);
        let mut call = Box::pin(client.deliver(ReceiverStream::new(stream)));
        loop {
            let message = tokio::select! {
                _ = &mut call => return Over::Lost,
                message = queue.recv() => message,
            };
            let Some(message) = message else { return Over::Done };
            tokio::select! {
                _ = &mut call => return Over::Lost,
                sent = frames.send(wire::to_frame(message)) => {
                    if sent.is_err() {
                        return Over::Lost;
                    }
                }
            }
        }
    }
}

/// Empties a queue. Says whether there will be more.
fn discard(queue: &mut mpsc::Receiver<PeerMessage>) -> bool {
    loop {
        match queue.try_recv() {
            Ok(_) => {}
            Err(mpsc::error::TryRecvError::Empty) => return true,
            Err(mpsc::error::TryRecvError::Disconnected) => return false,
        }
    }
}
