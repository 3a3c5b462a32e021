//! Elections (§5.2, §5.4.1), asked for beforehand (PreVote, dissertation 9.6), and given up by
//! leaders without a quorum (CheckQuorum, dissertation 6.2).
//!
//! A follower keeps to its leader for a whole election timeout after it last heard from it, and
//! votes for nobody else meanwhile, in no term: so a member that was cut off cannot depose a
//! leader that others hear (dissertation 4.2.3), and a leader's lease can rest on it. It does so
//! after a restart too, since it does not remember whom it heard last. The one exception is a
//! candidate whom the leader itself asked to stand.
//!
//! Whom a member votes for does not depend on its own configuration: what counts is the
//! candidate's, which the voter may not have yet (dissertation 4.2.2). So even a member that joins
//! and knows nothing of its group votes: a single member that has added it, and then fell before
//! it told it so, would not be elected again without that vote.
//!
//! A leader whose term is behind learns of it from the answers to its messages, and steps down:
//! otherwise a member whose term is ahead, and which PreVote keeps from standing, would never be
//! heard again.

use crate::configuration::Configuration;
use crate::io::Need;
use crate::message::{AppendOutcome, Body, EntryMeta, TimerKind};
use crate::progress::Progress;
use crate::quorum::VoteResult;
use crate::raft::{Leadership, Raft, RoleState};
use crate::read::Reads;
use crate::transfer::Transfer;
use crate::types::{LogIndex, NodeId, Term};
use crate::votes::Votes;

impl Raft {
    /// An election timeout has passed since a leader was heard, an election was begun, or a leader
    /// last looked for its quorum.
    pub(crate) fn handle_election_timeout(&mut self) {
        if matches!(self.role, RoleState::Leader(_)) {
            self.check_quorum();
            return;
        }
        self.forget_leader();
        self.jitter = true;
        self.set_timer(TimerKind::Jitter);
    }

    /// Nobody else was quicker: ask whether an election could be won.
    pub(crate) fn handle_jitter(&mut self) {
        // A timer that was set before the last leader was heard says nothing.
        if !self.jitter {
            return;
        }
        self.reset_election_timer();
        if !self.may_be_needed() {
            return;
        }
        self.has_stood = true;
        self.role = RoleState::PreCandidate { votes: Votes::default() };
        let body = Body::PreVote {
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
            priority: self.options.priority,
        };
        for peer in self.other_voters() {
            self.send(peer, Need::Term, body.clone());
        }
        self.note_pre_vote(self.id, true);
    }

    /// Whether it votes, or did so before changes that may not be committed yet. Such a change
    /// may be in its log alone: then the others, who still need its vote, are not up to date
    /// enough to get it, and only this member can finish the change (dissertation 4.2.2). It does
    /// not count itself.
    fn may_be_needed(&self) -> bool {
        let is_voter = |configuration: &Configuration| configuration.is_voter(self.id);
        !self.abstains() && self.membership.since(self.commit).any(is_voter)
    }

    /// Whether its disk has lost what a quorum may rest on: such a member takes no part in
    /// elections until it holds that again (protocol-aware recovery, Alagappan et al. 2018). What
    /// it acknowledged counts meanwhile as it did, since nobody can be elected with its help.
    pub(crate) fn abstains(&self) -> bool {
        let (index, term) = self.doubtful;
        self.commit < index && self.log.last_term() <= term
    }

    /// Somebody knows that the leader is gone.
    pub(crate) fn handle_forget_leader(&mut self) {
        if !self.options.lease_reads && matches!(self.role, RoleState::Follower { .. }) {
            self.forget_leader();
        }
    }

    fn forget_leader(&mut self) {
        self.leader_silent = true;
        if let RoleState::Follower { leader } = &mut self.role {
            *leader = None;
        }
    }

    /// Whether a message of a later term is passed over, term and all: a request for a vote while
    /// the leader of this term is heard.
    pub(crate) fn keeps_to_its_term(&self, body: &Body) -> bool {
        let leads = matches!(self.role, RoleState::Leader(_));
        matches!(body, Body::RequestVote { transfer: false, .. }) && (leads || !self.leader_silent)
    }

    /// A message of an older term: its sender has to learn of this one, and is not obeyed.
    pub(crate) fn answer_stale(&mut self, from: NodeId, body: &Body) {
        match body {
            Body::RequestVote { .. } => {
                self.send(from, Need::Term, Body::RequestVoteReply { granted: false });
            }
            Body::Append { previous_index, .. } => self.refuse_stale(from, *previous_index),
            Body::Snapshot(snapshot) => self.refuse_stale(from, snapshot.index),
            Body::Heartbeat { .. } => {
                // It confirms no round. Its sender may come to lead this very term, after a
                // restart, with this answer still under way: it would have passed for one to a
                // round of the new term, since they count from 1 in every term.
                self.send(from, Need::Term, Body::HeartbeatReply { round: 0 });
            }
            // A heartbeat will follow; answers to an older term's questions are of no use.
            Body::Commit { .. }
            | Body::PreVote { .. }
            | Body::PreVoteReply { .. }
            | Body::RequestVoteReply { .. }
            | Body::AppendReply(_)
            | Body::HeartbeatReply { .. }
            | Body::TimeoutNow
            | Body::ReadIndex { .. }
            | Body::ReadIndexReply { .. } => {}
        }
    }

    fn refuse_stale(&mut self, from: NodeId, previous_index: LogIndex) {
        let outcome = AppendOutcome::Rejected {
            previous_index,
            hint_index: LogIndex::ZERO,
            hint_term: Term(0),
        };
        self.send(from, Need::Term, Body::AppendReply(outcome));
    }

    /// A pre-vote promises nothing: it says what this member would do.
    pub(crate) fn handle_pre_vote(
        &mut self,
        from: NodeId,
        term: Term,
        last: (Term, LogIndex),
        priority: u32,
    ) {
        let campaign = term.next();
        let own_last = (self.log.last_term(), self.log.last_index());
        // Priority is a wish. Whoever could not come to lead itself lets others.
        let preferred = last > own_last
            || priority >= self.options.priority
            || self.has_stood
            || !self.configuration().is_voter(self.id);
        let granted = campaign > self.term
            && self.leader_silent
            && last >= own_last
            && preferred
            && !self.abstains()
            && !matches!(self.role, RoleState::Leader(_));
        self.send(from, Need::Term, Body::PreVoteReply { campaign, granted });
    }

    pub(crate) fn handle_pre_vote_reply(&mut self, from: NodeId, campaign: Term, granted: bool) {
        if campaign == self.term.next() {
            self.note_pre_vote(from, granted);
        }
    }

    fn note_pre_vote(&mut self, voter: NodeId, grants: bool) {
        let RoleState::PreCandidate { votes } = &mut self.role else {
            return;
        };
        votes.note(voter, grants);
        match self.membership.current().vote_result(|voter| votes.answer(voter)) {
            VoteResult::Won => self.campaign(false),
            VoteResult::Lost => self.become_follower(None),
            VoteResult::Pending => {}
        }
    }

    /// Stands for election (§5.2).
    pub(crate) fn campaign(&mut self, transfer: bool) {
        self.leader_silent = true;
        self.enter_term(self.term.next());
        self.vote_for(self.id);
        self.reset_election_timer();
        self.role = RoleState::Candidate { votes: Votes::default() };
        let body = Body::RequestVote {
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
            transfer,
        };
        for peer in self.other_voters() {
            self.send(peer, Need::Vote, body.clone());
        }
    }

    pub(crate) fn handle_request_vote(
        &mut self,
        candidate: NodeId,
        last: (Term, LogIndex),
        transfer: bool,
    ) {
        let free = match self.vote {
            Some(vote) => vote == candidate,
            None => self.leader().is_none(),
        };
        let up_to_date = last >= (self.log.last_term(), self.log.last_index());
        let granted = free && up_to_date && (transfer || self.leader_silent) && !self.abstains();
        if granted {
            if self.vote.is_none() {
                self.vote_for(candidate);
            }
            if matches!(self.role, RoleState::PreCandidate { .. }) {
                // It had better not stand against the one that it votes for.
                self.become_follower(None);
            }
            self.reset_election_timer();
        }
        let need = if granted { Need::Vote } else { Need::Term };
        self.send(candidate, need, Body::RequestVoteReply { granted });
    }

    pub(crate) fn handle_vote(&mut self, voter: NodeId, grants: bool) {
        let RoleState::Candidate { votes } = &mut self.role else {
            return;
        };
        votes.note(voter, grants);
        match self.membership.current().vote_result(|voter| votes.answer(voter)) {
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
        let mut members = self.configuration().members();
        members.retain(|&member| member != self.id);
        let progress = members.into_iter().map(|peer| Progress::new(peer, last_index)).collect();
        let uncommitted_bytes = self.log.bytes(self.commit.next(), last_index);
        self.role = RoleState::Leader(Box::new(Leadership {
            progress,
            reads: Reads::default(),
            transfer: Transfer::default(),
            uncommitted_bytes,
        }));
        // Entries of earlier terms are committed only along with one of its own (§5.4.2), so it
        // begins with an empty one (§8).
        self.append_entries([EntryMeta { term: self.term, size: 0 }].into_iter());
        self.reset_election_timer();
        self.set_timer(TimerKind::Heartbeat);
        self.inform_followers();
    }

    /// A leader that a quorum does not answer steps down: its clients had better ask another.
    fn check_quorum(&mut self) {
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let progress = &leadership.progress;
        let configuration = self.membership.current();
        let heard = configuration.has_quorum(|voter| {
            voter == self.id || progress.iter().any(|peer| peer.id == voter && peer.active)
        });
        if !heard {
            self.become_follower(None);
            return;
        }
        leadership.progress.iter_mut().for_each(|peer| peer.active = false);
        leadership.transfer.tick();
        self.reset_election_timer();
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let configuration = self.configuration();
        let mut voters = configuration.members();
        voters.retain(|&member| member != self.id && configuration.is_voter(member));
        voters
    }
}
