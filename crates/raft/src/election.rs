//! Elections (§5.2, §5.4.1).

use crate::io::Need;
use crate::message::{AppendOutcome, Body, EntryMeta};
use crate::progress::Progress;
use crate::quorum::{VoteResult, vote_result};
use crate::raft::{Leadership, Raft, RoleState};
use crate::read::Reads;
use crate::types::{LogIndex, NodeId, Term};

impl Raft {
    /// No leader was heard of for an election timeout: stand for election.
    pub(crate) fn handle_election_timeout(&mut self) {
        if matches!(self.role, RoleState::Leader(_)) {
            return;
        }
        self.enter_term(self.term.next());
        self.vote_for(self.id);
        self.role = RoleState::Candidate { granted: Vec::new(), refused: Vec::new() };
        let body = Body::RequestVote {
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
        };
        for peer in self.others() {
            self.send(peer, Need::Vote, body.clone());
        }
    }

    /// A message of an older term: its sender has to learn of this one, and is not obeyed.
    pub(crate) fn answer_stale(&mut self, from: NodeId, body: &Body) {
        match body {
            Body::RequestVote { .. } => {
                self.send(from, Need::Term, Body::RequestVoteReply { granted: false });
            }
            Body::Append { previous_index, .. } => {
                let outcome = AppendOutcome::Rejected {
                    previous_index: *previous_index,
                    hint_index: LogIndex::ZERO,
                    hint_term: Term(0),
                };
                self.send(from, Need::Term, Body::AppendReply(outcome));
            }
            Body::Heartbeat { .. } => {
                // It confirms no round. Its sender may come to lead this very term, after a
                // restart, with this answer still under way: it would have passed for one to a
                // round of the new term, since they count from 1 in every term.
                self.send(from, Need::Term, Body::HeartbeatReply { round: 0 });
            }
            // Answers to an older term's questions are of no use to anybody.
            Body::RequestVoteReply { .. }
            | Body::AppendReply(_)
            | Body::HeartbeatReply { .. }
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. } => {}
        }
    }

    pub(crate) fn handle_request_vote(
        &mut self,
        candidate: NodeId,
        last_index: LogIndex,
        last_term: Term,
    ) {
        let free = match self.vote {
            Some(vote) => vote == candidate,
            None => self.leader().is_none(),
        };
        let up_to_date = (last_term, last_index) >= (self.log.last_term(), self.log.last_index());
        let granted = free && up_to_date;
        if granted {
            if self.vote.is_none() {
                self.vote_for(candidate);
            }
            self.reset_election_timer();
        }
        let need = if granted { Need::Vote } else { Need::Term };
        self.send(candidate, need, Body::RequestVoteReply { granted });
    }

    pub(crate) fn handle_vote(&mut self, voter: NodeId, grants: bool) {
        let RoleState::Candidate { granted, refused } = &mut self.role else {
            return;
        };
        if !self.voters.contains(&voter) || granted.contains(&voter) || refused.contains(&voter) {
            return;
        }
        if grants {
            granted.push(voter)
        } else {
            refused.push(voter)
        }
        match vote_result(self.voters.len(), granted.len(), refused.len()) {
            VoteResult::Won => self.become_leader(),
            VoteResult::Lost => self.become_follower(None),
            VoteResult::Pending => {}
        }
    }

    /// A candidate's vote for itself counts once it is durable, like any other.
    pub(crate) fn count_own_vote(&mut self) {
        let durable = self.io.hard_state();
        if durable.term == self.term && durable.vote == Some(self.id) {
            self.handle_vote(self.id, true);
        }
    }

    fn become_leader(&mut self) {
        let last_index = self.log.last_index();
        let progress =
            self.others().into_iter().map(|peer| Progress::new(peer, last_index)).collect();
        self.role = RoleState::Leader(Leadership { progress, reads: Reads::default() });
        // Entries of earlier terms are committed only along with one of its own (§5.4.2), so it
        // begins with an empty one (§8).
        self.append_entry(EntryMeta { term: self.term, size: 0 });
        self.reset_heartbeat_timer();
        self.broadcast_append();
    }
}
