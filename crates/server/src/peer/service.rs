//! What peers say to this member.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorate_member::{Input, PeerMessage};
use quorate_proto::quoratepb::{Delivered, Frame, Hello, frame};
use quorate_raft::NodeId;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::warn;

use super::wire;
use crate::handle::MemberHandle;
use crate::names::Names;
use crate::stubs::quoratepb::peer_server::Peer;

/// The service at one member.
#[derive(Clone, Debug)]
pub(crate) struct PeerService {
    member: MemberHandle,
    own: NodeId,
    cluster_id: u64,
    /// Who belongs to the cluster.
    members: Names,
    refused: Arc<Mutex<Refused>>,
    stop: watch::Receiver<bool>,
}

impl PeerService {
    pub(crate) fn new(
        member: MemberHandle,
        (cluster_id, own): (u64, NodeId),
        members: Names,
        stop: watch::Receiver<bool>,
    ) -> PeerService {
        PeerService { member, own, cluster_id, members, refused: Arc::default(), stop }
    }

    /// Judges a peer's greeting.
    fn greet(&self, first: Option<Frame>) -> Result<NodeId, Status> {
        let Some(Frame { frame: Some(frame::Frame::Hello(hello)) }) = first else {
            return Err(Status::invalid_argument("a peer's first frame has to be its greeting"));
        };
        let Hello { cluster_id, from, to } = hello;
        if cluster_id != self.cluster_id {
            return Err(Status::failed_precondition("etcdserver: cluster ID mismatch"));
        }
        if to != self.own.0 {
            return Err(Status::failed_precondition(format!(
                "member {to:x} is not at this address, but member {:x}",
                self.own.0
            )));
        }
        let from = NodeId(from);
        if !self.members.contains(from) {
            return Err(Status::permission_denied(format!(
                "member {:x} does not belong to this cluster",
                from.0
            )));
        }
        Ok(from)
    }

    /// Tells operators of a peer whose connection was closed for what it said.
    fn complain(&self, peer: Option<NodeId>, status: &Status) {
        match status.code() {
            // The last one is a frame that is too large.
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::OutOfRange => {}
            // The connection broke, or we stop.
            _ => return,
        }
        let who = peer.map_or("a peer".to_owned(), |peer| self.members.name(peer).to_string());
        let line =
            format!("refused what {who} sent, and closed its connection: {}", status.message());
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        refused.retain(|_, said| now.duration_since(*said) < BETWEEN_COMPLAINTS);
        if refused.len() < MOST_COMPLAINTS && !refused.contains_key(&line) {
            warn!("{line}");
            refused.insert(line, now);
        }
    }

    async fn take(&self, peer: NodeId, frame: Frame) -> Result<(), Status> {
        let message =
            wire::from_frame(frame).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if sender(&message) != peer {
            return Err(Status::invalid_argument("a peer speaks for itself only"));
        }
        let told = self.member.tell(Input::Peer(message)).await;
        told.map_err(|_| Status::unavailable("etcdserver: server stopped"))
    }
}

/// What operators were told of refused peers, and when.
type Refused = BTreeMap<String, Instant>;

/// A peer that is refused comes again at once, and is not worth a line each time.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(60);
/// Different complaints in that time, at most: whoever speaks at a peer's port may say anything.
const MOST_COMPLAINTS: usize = 32;

fn sender(message: &PeerMessage) -> NodeId {
    match message {
        PeerMessage::Raft { message, .. } => message.from,
        PeerMessage::Propose { from, .. } | PeerMessage::Store { from, .. } => *from,
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn deliver(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Delivered>, Status> {
        let mut frames = request.into_inner();
        let mut stop = self.stop.clone();
        let mut peer = None;
        let listen = async {
            let greeted = *peer.insert(self.greet(frames.message().await?)?);
            while let Some(frame) = frames.message().await? {
                self.take(greeted, frame).await?;
            }
            Ok(Response::new(Delivered {}))
        };
        let heard = tokio::select! {
            heard = listen => heard,
            _ = stop.wait_for(|stop| *stop) => {
                Err(Status::unavailable("etcdserver: server stopped"))
            }
        };
        if let Err(status) = &heard {
            self.complain(peer, status);
        }
        heard
    }
}
