//! Log replication and commitment (§5.3, §5.4.2).

use crate::io::Need;
use crate::message::{AppendOutcome, Body, Effect, EntryMeta};
use crate::quorum::committed_index;
use crate::raft::{Raft, RoleState};
use crate::types::{LogIndex, NodeId, Term};

impl Raft {
    pub(crate) fn handle_propose(&mut self, sizes: &[u32]) {
        if !matches!(self.role, RoleState::Leader(_)) {
            self.effect(Effect::ProposalDropped);
            return;
        }
        for &size in sizes {
            self.append_entry(EntryMeta { term: self.term, size });
        }
        self.broadcast_append();
    }

    /// Something of ours became durable: our own vote, or entries that we count for ourselves.
    pub(crate) fn handle_durable(&mut self) {
        match self.role {
            RoleState::Follower { .. } => {}
            RoleState::Candidate { .. } => self.count_own_vote(),
            RoleState::Leader(_) => {
                if self.advance_commit() {
                    self.broadcast_commit();
                }
            }
        }
    }

    pub(crate) fn handle_heartbeat_timeout(&mut self) {
        if !matches!(self.role, RoleState::Leader(_)) {
            return;
        }
        self.reset_heartbeat_timer();
        self.broadcast_heartbeat();
    }

    pub(crate) fn broadcast_heartbeat(&mut self) {
        let RoleState::Leader(leadership) = &self.role else {
            return;
        };
        let round = leadership.reads.round();
        let targets: Vec<_> = leadership
            .progress
            .iter()
            .map(|peer| (peer.id, self.commit.min(peer.matched)))
            .collect();
        for (peer, commit) in targets {
            self.send(peer, Need::Term, Body::Heartbeat { commit, round });
        }
    }

    pub(crate) fn handle_append(
        &mut self,
        leader: NodeId,
        previous_index: LogIndex,
        previous_term: Term,
        entries: &[EntryMeta],
        commit: LogIndex,
    ) {
        self.follow(leader);
        let outcome = if previous_index < self.commit {
            // An old message: what is committed here is equal to the leader's log.
            AppendOutcome::Accepted { matched: self.commit }
        } else if self.log.matches(previous_index, previous_term) {
            let matched = self.append_from_leader(previous_index, entries);
            // Past `matched` our log may differ from the leader's (figure 2, step 5).
            self.commit_to(commit.min(matched));
            AppendOutcome::Accepted { matched }
        } else {
            let (hint_index, hint_term) = self.log.last_not_above(previous_index, previous_term);
            AppendOutcome::Rejected { previous_index, hint_index, hint_term }
        };
        let need = match outcome {
            AppendOutcome::Accepted { matched } => Need::Log(matched),
            AppendOutcome::Rejected { .. } => Need::Term,
        };
        self.send(leader, need, Body::AppendReply(outcome));
    }

    /// Appends what is new. Only an entry that differs is a reason to truncate: the message may be
    /// an old one, and the log may have grown since (§5.3). Returns the last index of the message.
    fn append_from_leader(&mut self, previous_index: LogIndex, entries: &[EntryMeta]) -> LogIndex {
        let mut index = previous_index;
        for (position, entry) in entries.iter().enumerate() {
            index = index.next();
            if self.log.matches(index, entry.term) {
                continue;
            }
            if index <= self.log.last_index() {
                self.truncate_log_after(index.previous());
            }
            for &entry in &entries[position..] {
                self.append_entry(entry);
            }
            return self.log.last_index();
        }
        index
    }

    pub(crate) fn handle_heartbeat(&mut self, leader: NodeId, commit: LogIndex, round: u64) {
        self.follow(leader);
        // The leader never names more than what it knows us to hold.
        self.commit_to(commit);
        self.send(leader, Need::Term, Body::HeartbeatReply { round });
    }

    fn follow(&mut self, leader: NodeId) {
        assert!(
            !matches!(self.role, RoleState::Leader(_)),
            "two leaders in term {}: {} and {leader}",
            self.term,
            self.id
        );
        self.become_follower(Some(leader));
    }

    pub(crate) fn handle_append_reply(&mut self, from: NodeId, outcome: AppendOutcome) {
        let Some(position) = self.position_of(from) else {
            return;
        };
        match outcome {
            AppendOutcome::Accepted { matched } => {
                assert!(
                    matched <= self.log.last_index(),
                    "member {from} accepted {matched}, which was never sent"
                );
                let max_inflight = self.options.max_inflight_messages;
                let progress = self.progress_at(position);
                // Whom nothing could be sent to may have missed that a commit was broadcast.
                let was_blocked = !progress.may_send(max_inflight);
                if progress.accepted(matched) && self.advance_commit() {
                    self.broadcast_commit();
                } else {
                    self.send_append(position, was_blocked);
                }
            }
            AppendOutcome::Rejected { previous_index, hint_index, hint_term } => {
                let (agreement, _) = self.log.last_not_above(hint_index, hint_term);
                if self.progress_at(position).rejected(previous_index, agreement) {
                    self.send_append(position, true);
                }
            }
        }
    }

    pub(crate) fn handle_heartbeat_reply(&mut self, from: NodeId, round: u64) {
        let Some(position) = self.position_of(from) else {
            return;
        };
        let max_inflight = self.options.max_inflight_messages;
        let last_index = self.log.last_index();
        let progress = self.progress_at(position);
        progress.confirmed_round = progress.confirmed_round.max(round);
        progress.heard(max_inflight);
        if progress.matched < last_index {
            self.send_append(position, true);
        }
        self.release_confirmed_reads();
    }

    pub(crate) fn broadcast_append(&mut self) {
        for position in 0..self.voters.len() - 1 {
            self.send_append(position, false);
        }
    }

    /// Followers learn of a commit at once, since the clients that wait for it may be theirs.
    fn broadcast_commit(&mut self) {
        for position in 0..self.voters.len() - 1 {
            self.send_append(position, true);
        }
    }

    /// Sends what one follower lacks, as far as flow control lets it; if it lacks nothing, an
    /// empty message if `even_empty`.
    fn send_append(&mut self, position: usize, even_empty: bool) {
        let (max_entries, max_bytes) =
            (self.options.max_entries_per_message, self.options.max_bytes_per_message);
        let max_inflight = self.options.max_inflight_messages;
        let mut force = even_empty;
        loop {
            let RoleState::Leader(leadership) = &mut self.role else {
                return;
            };
            let progress = &mut leadership.progress[position];
            if !progress.may_send(max_inflight) {
                return;
            }
            let entries = self.log.slice(progress.next, max_entries, max_bytes);
            if entries.is_empty() && !force {
                return;
            }
            force = false;
            let to = progress.id;
            let previous_index = progress.next.previous();
            let previous_term =
                self.log.term(previous_index).expect("a leader has every entry that it sends from");
            progress.sent(entries.len() as u64);
            let body = Body::Append { previous_index, previous_term, entries, commit: self.commit };
            self.send(to, Need::Term, body);
        }
    }

    /// Commits what a majority holds durably, if it ends in an entry of this term: an older entry
    /// on a majority can still be overwritten (§5.4.2, figure 8). Says whether that was news.
    fn advance_commit(&mut self) -> bool {
        let RoleState::Leader(leadership) = &self.role else {
            return false;
        };
        let mut matched: Vec<u64> = leadership.progress.iter().map(|peer| peer.matched.0).collect();
        matched.push(self.io.index().0);
        let index = committed_index(&mut matched);
        if index <= self.commit || !self.log.matches(index, self.term) {
            return false;
        }
        self.commit_to(index);
        self.start_waiting_reads();
        true
    }

    fn position_of(&self, peer: NodeId) -> Option<usize> {
        match &self.role {
            RoleState::Leader(leadership) => {
                leadership.progress.iter().position(|progress| progress.id == peer)
            }
            _ => None,
        }
    }

    fn progress_at(&mut self, position: usize) -> &mut crate::progress::Progress {
        match &mut self.role {
            RoleState::Leader(leadership) => &mut leadership.progress[position],
            _ => unreachable!("only a leader keeps progress"),
        }
    }
}
