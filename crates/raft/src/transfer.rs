//! Leadership handed over on purpose (dissertation 3.10).
//!
//! The leader brings its successor up to date, taking no proposals meanwhile, and asks it to stand
//! at once. Whoever hears the leader may then vote for the successor: so the leader's lease is
//! over from the moment at which it asked, for the rest of its term, since nobody knows when that
//! message arrives.

use crate::io::Need;
use crate::message::Body;
use crate::raft::{Raft, RoleState};
use crate::types::NodeId;

/// What a leader does about handing over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    under_way: Option<UnderWay>,
    /// Somebody was asked to stand in this term.
    asked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UnderWay {
    to: NodeId,
    /// The successor was asked to stand.
    asked: bool,
    /// The leader has looked for its quorum since it began.
    ticked: bool,
}

impl Transfer {
    pub(crate) fn to(&self) -> Option<NodeId> {
        self.under_way.as_ref().map(|under_way| under_way.to)
    }

    /// Whether leases are over for this term.
    pub(crate) fn forfeits_lease(&self) -> bool {
        self.asked
    }

    /// An election timeout has passed: gives up what is older than that.
    pub(crate) fn tick(&mut self) {
        self.under_way.take_if(|under_way| std::mem::replace(&mut under_way.ticked, true));
    }

    /// The successor is gone from the group.
    pub(crate) fn abort(&mut self) {
        self.under_way = None;
    }
}

impl Raft {
    pub(crate) fn handle_transfer(&mut self, to: NodeId) {
        let possible = to != self.id && self.configuration().is_voter(to);
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let transfer = &mut leadership.transfer;
        if !possible || transfer.to() == Some(to) {
            return;
        }
        transfer.under_way = Some(UnderWay { to, asked: false, ticked: false });
        if !self.hand_over_if_ready(to)
            && let Some(position) = self.position_of(to)
        {
            self.send_append(position, true);
        }
    }

    /// Asks the successor to stand if it has all of the log. Says whether it did.
    pub(crate) fn hand_over_if_ready(&mut self, to: NodeId) -> bool {
        let last_index = self.log.last_index();
        let RoleState::Leader(leadership) = &mut self.role else {
            return false;
        };
        let ready =
            leadership.progress.iter().any(|peer| peer.id == to && peer.matched == last_index);
        let transfer = &mut leadership.transfer;
        let Some(under_way) = transfer.under_way.as_mut().filter(|under_way| under_way.to == to)
        else {
            return false;
        };
        if !ready || under_way.asked {
            return false;
        }
        under_way.asked = true;
        transfer.asked = true;
        self.send(to, Need::Term, Body::TimeoutNow);
        true
    }

    /// The leader wants this member to stand at once.
    pub(crate) fn handle_timeout_now(&mut self, leader: NodeId) {
        let may_lead = self.configuration().is_voter(self.id) && !self.abstains();
        if matches!(self.role, RoleState::Leader(_)) || !may_lead {
            return;
        }
        debug_assert_ne!(leader, self.id, "nobody hands over to itself");
        self.campaign(true);
    }
}
