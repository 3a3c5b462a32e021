//! Requests to hand leadership over, until the other member leads.

use quorate_raft::NodeId;

use crate::config::Time;
use crate::request::RequestToken;

#[derive(Debug, Default)]
pub(crate) struct Transfers {
    waiting: Vec<(RequestToken, NodeId, Time)>,
}

impl Transfers {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn wait(&mut self, token: RequestToken, to: NodeId, deadline: Time) {
        self.waiting.push((token, to, deadline));
    }

    /// Those who waited for `leader` to lead.
    pub(crate) fn done(&mut self, leader: Option<NodeId>) -> Vec<RequestToken> {
        self.take(|to, _| Some(to) == leader)
    }

    /// Gives up what has waited until `now`.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<RequestToken> {
        self.take(|_, deadline| deadline <= now)
    }

    fn take(&mut self, mut which: impl FnMut(NodeId, Time) -> bool) -> Vec<RequestToken> {
        let taken = self.waiting.extract_if(.., |(_, to, deadline)| which(*to, *deadline));
        taken.map(|(token, ..)| token).collect()
    }
}
