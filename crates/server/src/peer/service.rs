//! What peers say to this member.

use std::sync::Arc;

use quorate_member::{Input, PeerMessage};
use quorate_proto::quoratepb::{Delivered, Frame, Hello, frame};
use quorate_raft::NodeId;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::wire;
use crate::handle::MemberHandle;
use crate::stubs::quoratepb::peer_server::Peer;

/// The service at one member.
#[derive(Clone, Debug)]
pub(crate) struct PeerService {
    member: MemberHandle,
    own: NodeId,
    cluster_id: u64,
    /// Who belongs to the cluster.
    members: Arc<[NodeId]>,
    stop: watch::Receiver<bool>,
}

impl PeerService {
    pub(crate) fn new(
        member: MemberHandle,
        (cluster_id, own): (u64, NodeId),
        members: impl IntoIterator<Item = NodeId>,
        stop: watch::Receiver<bool>,
    ) -> PeerService {
        PeerService { member, own, cluster_id, members: members.into_iter().collect(), stop }
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
        if !self.members.contains(&from) {
            return Err(Status::permission_denied(format!(
                "member {:x} does not belong to this cluster",
                from.0
            )));
        }
        Ok(from)
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
        let listen = async {
            let peer = self.greet(frames.message().await?)?;
            while let Some(frame) = frames.message().await? {
                self.take(peer, frame).await?;
            }
            Ok(Response::new(Delivered {}))
        };
        tokio::select! {
            heard = listen => heard,
            _ = stop.wait_for(|stop| *stop) => {
                Err(Status::unavailable("etcdserver: server stopped"))
            }
        }
    }
}
