//! The way to each peer: two queues, and a task that keeps a stream open and empties them into it.
//!
//! A queue that is full, and a peer that cannot be reached, lose messages: what consensus wanted to
//! say then is said again later, as of then. What stores say to each other, which may be much, has
//! a queue of its own: it neither pushes out what consensus says nor goes before it.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use quorate_member::PeerMessage;
use quorate_proto::quoratepb::{Frame, Hello, frame};
use quorate_raft::NodeId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tracing::{info, warn};

use super::wire;
use crate::names::Names;
use crate::options::{Founder, Url};
use crate::stubs::quoratepb::peer_client::PeerClient;

/// Messages of consensus that may wait for one peer.
const QUEUE: usize = 4_096;
/// Messages between stores that may wait for one peer. Each may be as large as a part of a snapshot,
/// of which a member asks for one at a time.
const STORE_QUEUE: usize = 512;
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

/// A connection that lasts so long is one: the peer has not refused it.
const SETTLED: Duration = Duration::from_secs(1);
/// A peer that was not reached for so long is worth a line.
const UNREACHED: Duration = Duration::from_secs(5);

/// The queues to all peers. Their tasks end when this is dropped.
#[derive(Debug)]
pub(crate) struct Links(BTreeMap<NodeId, Queue>);

/// What is said to one peer.
#[derive(Debug)]
struct Queue {
    consensus: mpsc::Sender<PeerMessage>,
    store: mpsc::Sender<PeerMessage>,
}

/// Its other end.
struct Queued {
    consensus: mpsc::Receiver<PeerMessage>,
    store: mpsc::Receiver<PeerMessage>,
}

/// One peer, and what is said to it first.
struct Peer {
    name: String,
    urls: Vec<Url>,
    hello: Hello,
}

/// Why a connection is no longer used.
enum Over {
    /// It could not be made, or broke, for this reason.
    Lost(String),
    /// Nobody has anything to say any more.
    Done,
}

impl Links {
    /// Opens a link to each of the cluster's members but this one.
    pub(crate) fn open(cluster_id: u64, own: NodeId, members: &[Founder], names: &Names) -> Links {
        let others = members.iter().filter(|member| member.id != own);
        Links(
            others
                .map(|member| {
                    let (queue, queued) = queue();
                    let hello = Hello { cluster_id, from: own.0, to: member.id.0 };
                    let name = names.name(member.id).to_string();
                    let peer = Peer { name, urls: member.peer_urls.clone(), hello };
                    tokio::spawn(peer.keep_informed(queued));
                    (member.id, queue)
                })
                .collect(),
        )
    }

    /// Sends a message, or loses it.
    pub(crate) fn send(&self, message: PeerMessage) {
        if let Some(queue) = self.0.get(&message.to()) {
            let _ = match message {
                PeerMessage::Store { .. } => queue.store.try_send(message),
                PeerMessage::Raft { .. } | PeerMessage::Propose { .. } => {
                    queue.consensus.try_send(message)
                }
            };
        }
    }
}

fn queue() -> (Queue, Queued) {
    let (consensus, from_consensus) = mpsc::channel(QUEUE);
    let (store, from_store) = mpsc::channel(STORE_QUEUE);
    (Queue { consensus, store }, Queued { consensus: from_consensus, store: from_store })
}

impl Queued {
    /// The next message to be sent; none once there will be no more.
    async fn next(&mut self) -> Option<PeerMessage> {
        tokio::select! {
            biased;
            Some(message) = self.consensus.recv() => Some(message),
            Some(message) = self.store.recv() => Some(message),
            else => None,
        }
    }

    /// Forgets what waits. Says whether there will be more.
    fn discard(&mut self) -> bool {
        while self.store.try_recv().is_ok() {}
        loop {
            match self.consensus.try_recv() {
                Ok(_) => {}
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }
}

/// Whether a peer is reached, and whether it was said that it is not.
#[derive(Debug)]
struct Contact {
    lost: Option<Instant>,
    said: bool,
}

impl Contact {
    fn new() -> Contact {
        Contact { lost: Some(Instant::now()), said: false }
    }

    fn failed(&mut self, peer: &str, url: &Url, why: &str) {
        let lost = *self.lost.get_or_insert_with(Instant::now);
        if !self.said && lost.elapsed() >= UNREACHED {
            warn!("{peer} is not reached at {url}: {why}");
            self.said = true;
        }
    }

    fn made(&mut self, peer: &str) {
        if self.said {
            info!("{peer} is reached again");
        }
        *self = Contact { lost: None, said: false };
    }
}

impl Peer {
    async fn keep_informed(self, mut queue: Queued) {
        let mut contact = Contact::new();
        for url in self.urls.iter().cycle() {
            match self.speak(url, &mut queue, &mut contact).await {
                Over::Done => return,
                Over::Lost(why) => contact.failed(&self.name, url, &why),
            }
            sleep(RETRY).await;
        }
    }

    /// Speaks over one connection until it breaks.
    async fn speak(&self, url: &Url, queue: &mut Queued, contact: &mut Contact) -> Over {
        let endpoint = Endpoint::from_shared(url.to_string()).expect("our URLs are URIs");
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let connected = endpoint.connect().await;
        // What gathered before is of an earlier time.
        if !queue.discard() {
            return Over::Done;
        }
        let channel = match connected {
            Ok(channel) => channel,
            Err(error) => return Over::Lost(cause(&error)),
        };
        let (frames, stream) = mpsc::channel(FRAMES);
        let hello = Frame { frame: Some(frame::Frame::Hello(self.hello)) };
        frames.try_send(hello).expect("a new queue has room");
        let mut client = PeerClient::new(channel);
        let mut call = Box::pin(client.deliver(ReceiverStream::new(stream)));
        let (settles, mut settled) = (Instant::now() + SETTLED, false);
        loop {
            let message = tokio::select! {
                ended = &mut call => return Over::Lost(reason(ended)),
                () = sleep_until(settles), if !settled => {
                    contact.made(&self.name);
                    settled = true;
                    continue;
                }
                message = queue.next() => message,
            };
            let Some(message) = message else { return Over::Done };
            tokio::select! {
                ended = &mut call => return Over::Lost(reason(ended)),
                sent = frames.send(wire::to_frame(message)) => {
                    if sent.is_err() {
                        return Over::Lost("the connection broke".to_owned());
                    }
                }
            }
        }
    }
}

/// Why a peer takes no more on a connection.
fn reason<T>(ended: Result<T, tonic::Status>) -> String {
    match ended {
        Ok(_) => "it closed the connection".to_owned(),
        Err(status) => status.message().to_owned(),
    }
}

/// What an error comes from: what is above says only what failed because of it.
fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_member::StoreMessage;
    use quorate_mvcc::{ChangeId, Revision};
    use quorate_raft::{Body, Message, Term};

    fn store_message() -> PeerMessage {
        let change = ChangeId { key: "key".into(), revision: Revision(2) };
        let message = StoreMessage::WantRecord { change };
        PeerMessage::Store { from: NodeId(1), to: NodeId(2), message }
    }

    fn raft_message() -> PeerMessage {
        let body = Body::TimeoutNow;
        let message = Message { from: NodeId(1), to: NodeId(2), term: Term(1), body };
        PeerMessage::Raft { message, payloads: Vec::new() }
    }

    #[tokio::test]
    async fn what_stores_say_neither_pushes_consensus_out_nor_goes_before_it() {
        let (queue, mut queued) = queue();
        let links = Links(BTreeMap::from([(NodeId(2), queue)]));
        for _ in 0..2 * QUEUE {
            links.send(store_message());
        }
        links.send(raft_message());
        assert_eq!(queued.next().await, Some(raft_message()));
        for _ in 0..STORE_QUEUE {
            assert_eq!(queued.next().await, Some(store_message()));
        }
        drop(links);
        assert_eq!(queued.next().await, None, "the rest was lost, and there is no more");
    }
}
