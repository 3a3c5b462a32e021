//! Logs that are shortened, and followers that need what is gone (§7).

use crate::configuration::Snapshot;
use crate::io::Need;
use crate::message::{AppendOutcome, Body};
use crate::raft::{Raft, RoleState};
use crate::types::{LogIndex, NodeId};

impl Raft {
    /// The driver has a snapshot, and no longer needs the beginning of the log.
    pub(crate) fn handle_compact(&mut self, index: LogIndex, through: LogIndex) {
        assert!(through <= index, "the log is kept from the snapshot on");
        assert!(index <= self.applying, "a snapshot has only what was applied");
        // A snapshot that the leader sent meanwhile replaces an older one of ours.
        if index <= self.snapshot.index {
            return;
        }
        let term = self.log.term(index).expect("what was applied since the last snapshot is there");
        let (_, configuration) = self.membership.at(index);
        self.snapshot = Snapshot { index, term, configuration: configuration.clone() };
        self.log.compact(through);
        self.membership.compact(through);
    }

    pub(crate) fn handle_snapshot(&mut self, leader: NodeId, snapshot: Snapshot) {
        self.follow(leader);
        let matched = if snapshot.index <= self.commit {
            self.commit
        } else {
            let index = snapshot.index;
            if self.log.matches(index, snapshot.term) {
                // All of it is here already.
                self.commit_to(index);
            } else {
                self.replace_log(snapshot);
            }
            index
        };
        let outcome = AppendOutcome::Accepted { matched };
        self.send(leader, Need::Log(matched), Body::AppendReply(outcome));
    }

    pub(crate) fn send_snapshot(&mut self, position: usize) {
        let snapshot = self.snapshot.clone();
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let peer = &mut leadership.progress[position];
        peer.sent_snapshot(snapshot.index);
        let to = peer.id;
        self.send(to, Need::Term, Body::Snapshot(Box::new(snapshot)));
    }

    pub(crate) fn handle_snapshot_report(&mut self, to: NodeId, delivered: bool) {
        if let Some(position) = self.position_of(to) {
            self.progress_at(position).snapshot_ended(delivered);
        }
    }

    pub(crate) fn handle_unreachable(&mut self, peer: NodeId) {
        if let Some(position) = self.position_of(peer) {
            self.progress_at(position).unreachable();
        }
    }
}
