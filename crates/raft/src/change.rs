//! Changes of the membership, as a leader makes them (§6).
//!
//! One at a time: the next may be proposed once the one before is committed, and once the leader
//! has committed something in its own term. A joint configuration that leaves by itself is left
//! by whoever leads when it is committed, which need not be the leader that entered it.

use crate::configuration::{ChangeError, MembershipChange};
use crate::io::Need;
use crate::message::{Body, DropReason, EntryMeta};
use crate::progress::Progress;
use crate::raft::{Raft, RoleState};
use crate::types::NodeId;

impl Raft {
    pub(crate) fn handle_propose_change(&mut self, change: MembershipChange, size: u32) {
        let possible = self.may_change(&change).map_err(DropReason::Change);
        let leads = matches!(self.role, RoleState::Leader(_));
        // That this member does not lead says more than that its own view of things is outdated.
        let admitted = match possible {
            Err(reason) if leads => Err(reason),
            _ => self.admit(u64::from(size)),
        };
        match admitted {
            Ok(()) => self.append_change(change, size),
            Err(reason) => self.drop_proposal(reason),
        }
    }

    fn may_change(&self, change: &MembershipChange) -> Result<(), ChangeError> {
        let pending = self.membership.current_index();
        if pending > self.commit {
            return Err(ChangeError::Pending(pending));
        }
        if !self.log.matches(self.commit, self.term) {
            return Err(ChangeError::NothingCommittedInTerm(self.term));
        }
        self.configuration().changed_by(change).map(|_| ())
    }

    /// The change is in force from the moment at which it is in the log.
    fn append_change(&mut self, change: MembershipChange, size: u32) {
        self.append_entries([EntryMeta { term: self.term, size }].into_iter());
        self.membership
            .append(self.log.last_index(), change)
            .expect("the leader has made sure that it is possible");
        self.follow_configuration();
        self.inform_followers();
    }

    /// Keeps the progress of those who still belong to the group, and begins with the new ones. A
    /// member that returns begins anew: its disk may be another one.
    fn follow_configuration(&mut self) {
        let mut members = self.configuration().members();
        members.retain(|&member| member != self.id);
        // So that the change itself is sent to them at once.
        let before_change = self.log.last_index().previous();
        let RoleState::Leader(leadership) = &mut self.role else {
            unreachable!("only a leader changes the membership")
        };
        let before = std::mem::take(&mut leadership.progress);
        let mut before = before.into_iter().peekable();
        leadership.progress = members
            .into_iter()
            .map(|id| {
                while before.next_if(|peer| peer.id < id).is_some() {}
                let kept = before.next_if(|peer| peer.id == id);
                kept.unwrap_or_else(|| Progress::new(id, before_change))
            })
            .collect();
        let configuration = self.membership.current();
        if leadership.transfer.to().is_some_and(|to| !configuration.is_voter(to)) {
            leadership.transfer.abort();
        }
    }

    /// The configuration in force is committed: what follows from that.
    pub(crate) fn finish_change(&mut self) {
        if self.membership.current_index() > self.commit {
            return;
        }
        let configuration = self.configuration();
        if configuration.is_joint() && configuration.auto_leave {
            self.append_change(MembershipChange::leave(), 0);
        } else if !configuration.is_voter(self.id) {
            self.resign();
        }
    }

    /// A leader that no longer votes has led until its removal was committed (§6), and leaves
    /// somebody in its place who has it all.
    fn resign(&mut self) {
        self.update_followers();
        let last_index = self.log.last_index();
        let RoleState::Leader(leadership) = &self.role else {
            return;
        };
        let has_all = |peer: &&Progress| peer.matched == last_index;
        let voters = leadership.progress.iter().filter(|peer| self.votes(peer.id));
        // One that answers, if there is one.
        let successor = voters.filter(has_all).min_by_key(|peer| !peer.active);
        if let Some(successor) = successor.map(|peer| peer.id) {
            self.send(successor, Need::Term, Body::TimeoutNow);
        }
        self.become_follower(None);
    }

    fn votes(&self, id: NodeId) -> bool {
        self.configuration().is_voter(id)
    }
}
