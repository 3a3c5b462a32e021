//! Log replication and commitment (§5.3, §5.4.2).

use crate::configuration::MembershipChange;
use crate::io::Need;
use crate::message::{AppendOutcome, Body, DropReason, EntryMeta, TimerKind};
use crate::progress::Progress;
use crate::raft::{Leadership, Raft, RoleState};
use crate::types::{LogIndex, NodeId, Term};

impl Raft {
    pub(crate) fn handle_propose(&mut self, sizes: &[u32]) {
        let bytes = sizes.iter().map(|&size| u64::from(size)).sum();
        if let Err(reason) = self.admit(bytes) {
            self.drop_proposal(reason);
            return;
        }
        if !sizes.is_empty() {
            let term = self.term;
            self.append_entries(sizes.iter().map(|&size| EntryMeta { term, size }));
            self.inform_followers();
        }
    }

    /// Whether a leader takes so many bytes now. If so, they count as uncommitted.
    pub(crate) fn admit(&mut self, bytes: u64) -> Result<(), DropReason> {
        let RoleState::Leader(leadership) = &mut self.role else {
            return Err(DropReason::NotLeader);
        };
        if leadership.transfer.to().is_some() {
            return Err(DropReason::Transferring);
        }
        let waiting = leadership.uncommitted_bytes;
        // What is larger than the limit gets through alone.
        if waiting > 0 && waiting + bytes > self.options.max_uncommitted_bytes {
            return Err(DropReason::TooMuchUncommitted);
        }
        leadership.uncommitted_bytes += bytes;
        Ok(())
    }

    /// Something of ours became durable: our own vote, or entries that we count for ourselves.
    pub(crate) fn handle_durable(&mut self) {
        match self.role {
            RoleState::Follower { .. } | RoleState::PreCandidate { .. } => {}
            RoleState::Candidate { .. } => self.count_own_vote(),
            RoleState::Leader(_) => self.advance_commit(),
        }
    }

    pub(crate) fn handle_heartbeat_timeout(&mut self) {
        if matches!(self.role, RoleState::Leader(_)) {
            self.set_timer(TimerKind::Heartbeat);
            self.begin_round();
        }
    }

    pub(crate) fn handle_append(
        &mut self,
        leader: NodeId,
        (previous_index, previous_term): (LogIndex, Term),
        entries: &[EntryMeta],
        changes: Vec<(LogIndex, MembershipChange)>,
        commit: LogIndex,
    ) {
        self.follow(leader);
        let outcome = if previous_index < self.commit {
            // An old message: what is committed here is equal to the leader's log.
            AppendOutcome::Accepted { matched: self.commit }
        } else if self.log.matches(previous_index, previous_term) {
            let matched = self.append_from_leader(previous_index, entries, changes);
            // Past `matched` our log may differ from the leader's (figure 2, step 5).
            self.commit_to(commit.min(matched));
            AppendOutcome::Accepted { matched }
        } else if self.abstains() && previous_index <= self.doubtful.0 {
            // What lies further on it has not acknowledged, or has acknowledged since.
            self.lost()
        } else {
            let (hint_index, hint_term) = self.log.last_not_above(previous_index, previous_term);
            AppendOutcome::Rejected { previous_index, hint_index, hint_term }
        };
        let need = match outcome {
            AppendOutcome::Accepted { matched } => Need::Log(matched),
            AppendOutcome::Rejected { .. } | AppendOutcome::Lost { .. } => Need::Term,
        };
        self.send(leader, need, Body::AppendReply(outcome));
    }

    /// Appends what is new. Only an entry that differs is a reason to truncate: the message may be
    /// an old one, and the log may have grown since (§5.3). Returns the last index of the message.
    fn append_from_leader(
        &mut self,
        previous_index: LogIndex,
        entries: &[EntryMeta],
        changes: Vec<(LogIndex, MembershipChange)>,
    ) -> LogIndex {
        let mut index = previous_index;
        for (position, entry) in entries.iter().enumerate() {
            index = index.next();
            if self.log.matches(index, entry.term) {
                continue;
            }
            if index <= self.log.last_index() {
                self.truncate_log_after(index.previous());
            }
            self.append_entries(entries[position..].iter().copied());
            assert!(
                !self.configuration().is_empty()
                    || changes.first().is_some_and(|(at, _)| *at == index),
                "member {} joins a group whose log does not begin with its founders",
                self.id
            );
            for (at, change) in changes.into_iter().filter(|(at, _)| *at >= index) {
                self.membership
                    .append(at, change)
                    .expect("the leader's log before it is ours, and there the change is possible");
            }
            return self.log.last_index();
        }
        index
    }

    pub(crate) fn handle_commit(&mut self, leader: NodeId, commit: LogIndex) {
        self.follow(leader);
        // The leader never names more than what it knows us to hold; but what it knows may be lost,
        // and replaced by what was there before. Here may even be less than nobody knew of: this
        // disk was emptied, against the contract. What can still be done is to get it all again,
        // and to elect nobody until then.
        if commit > self.log.last_index() {
            self.doubtful = (self.doubtful.0.max(commit), self.doubtful.1.max(self.term));
        }
        if !self.abstains() {
            self.commit_to(commit);
        } else if commit > self.commit {
            self.send(leader, Need::Term, Body::AppendReply(self.lost()));
        }
    }

    fn lost(&self) -> AppendOutcome {
        AppendOutcome::Lost { committed: self.commit, doubtful: self.doubtful.0 }
    }

    pub(crate) fn handle_heartbeat(&mut self, leader: NodeId, commit: LogIndex, round: u64) {
        self.handle_commit(leader, commit);
        self.send(leader, Need::Term, Body::HeartbeatReply { round });
    }

    pub(crate) fn follow(&mut self, leader: NodeId) {
        match &mut self.role {
            RoleState::Leader(_) => {
                panic!("two leaders in term {}: {} and {leader}", self.term, self.id)
            }
            RoleState::Follower { leader: known } => *known = Some(leader),
            RoleState::PreCandidate { .. } | RoleState::Candidate { .. } => {
                self.become_follower(Some(leader));
            }
        }
        self.leader_silent = false;
        self.has_stood = false;
        self.reset_election_timer();
    }

    pub(crate) fn handle_append_reply(&mut self, from: NodeId, outcome: AppendOutcome) {
        let Some(position) = self.position_of(from) else {
            return;
        };
        self.progress_at(position).active = true;
        match outcome {
            AppendOutcome::Accepted { matched } => self.handle_accepted(position, matched),
            AppendOutcome::Rejected { previous_index, hint_index, hint_term } => {
                let (agreement, _) = self.log.last_not_above(hint_index, hint_term);
                if self.progress_at(position).rejected(previous_index, agreement) {
                    self.send_append(position, true);
                }
            }
            AppendOutcome::Lost { committed, doubtful } => {
                // Whether that was news or not: it takes no commit index but from an append, also
                // when it has caught up.
                self.progress_at(position).lost(committed, doubtful);
                self.send_append(position, true);
            }
        }
    }

    fn handle_accepted(&mut self, position: usize, matched: LogIndex) {
        assert!(
            matched <= self.log.last_index(),
            "member {} accepted {matched}, which was never sent",
            self.progress_at(position).id
        );
        let base = self.log.base();
        let progress = self.progress_at(position);
        let peer = progress.id;
        let news = progress.accepted(matched, base);
        if news {
            self.advance_commit();
        }
        self.inform_followers();
        if news {
            self.hand_over_if_ready(peer);
        }
    }

    pub(crate) fn handle_heartbeat_reply(&mut self, from: NodeId, round: u64) {
        let Some(position) = self.position_of(from) else {
            return;
        };
        let window = self.window();
        let last_index = self.log.last_index();
        let progress = self.progress_at(position);
        progress.active = true;
        progress.confirmed_round = progress.confirmed_round.max(round);
        progress.heard(window);
        if progress.matched < last_index {
            self.send_append(position, true);
        }
        self.confirm_rounds();
    }

    /// Sends each follower what it lacks and was not sent yet.
    pub(crate) fn update_followers(&mut self) {
        for position in 0..self.followers() {
            self.send_append(position, false);
            self.tell_commit(position);
        }
    }

    /// Sends what one follower lacks, as far as flow control lets it; if it lacks nothing, an
    /// empty message if `even_empty`.
    pub(crate) fn send_append(&mut self, position: usize, even_empty: bool) {
        let (max_entries, max_bytes) =
            (self.options.max_entries_per_message, self.options.max_bytes_per_message);
        let window = self.window();
        let mut force = even_empty;
        loop {
            let RoleState::Leader(leadership) = &mut self.role else {
                return;
            };
            let progress = &mut leadership.progress[position];
            let first = progress.next;
            if !progress.may_send(window) {
                return;
            }
            if first <= self.log.base() {
                self.send_snapshot(position);
                return;
            }
            let entries = self.log.slice(first, max_entries, max_bytes);
            if entries.is_empty() && !force {
                return;
            }
            force = false;
            let bytes = entries.iter().map(|entry| u64::from(entry.size)).sum();
            let previous_index = first.previous();
            let previous_term =
                self.log.term(previous_index).expect("a leader has every entry that it sends from");
            let last = LogIndex(previous_index.0 + entries.len() as u64);
            let changes = self
                .membership
                .changes(first, last)
                .map(|(index, change)| (index, change.clone()))
                .collect();
            progress.sent(entries.len() as u64, bytes);
            progress.told = progress.told.max(self.commit.min(last));
            let to = progress.id;
            let commit = self.commit;
            let body = Body::Append { previous_index, previous_term, entries, changes, commit };
            self.send(to, Need::Term, body);
        }
    }

    /// Followers learn of a commit at once, since the clients that wait for it may be theirs.
    fn tell_commit(&mut self, position: usize) {
        let commit = self.commit;
        let progress = self.progress_at(position);
        let commit = commit.min(progress.matched);
        if commit > progress.told {
            progress.told = commit;
            let to = progress.id;
            self.send(to, Need::Term, Body::Commit { commit });
        }
    }

    /// Commits what a quorum holds durably, if it ends in an entry of this term: an older entry
    /// on a quorum can still be overwritten (§5.4.2, figure 8).
    pub(crate) fn advance_commit(&mut self) {
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let Leadership { progress, uncommitted_bytes, .. } = &mut **leadership;
        let durable = self.io.index();
        let index = self
            .membership
            .current()
            .reached(|voter| if voter == self.id { durable.0 } else { matched(progress, voter).0 });
        let index = LogIndex(index);
        if index <= self.commit || !self.log.matches(index, self.term) {
            return;
        }
        // What was taken in an earlier term was counted when this one began.
        *uncommitted_bytes -= self.log.bytes(self.commit.next(), index);
        self.commit_to(index);
        self.inform_followers();
        self.start_waiting_reads();
        self.finish_change();
    }

    /// Members that a leader sends to.
    pub(crate) fn followers(&self) -> usize {
        match &self.role {
            RoleState::Leader(leadership) => leadership.progress.len(),
            _ => 0,
        }
    }

    pub(crate) fn position_of(&self, peer: NodeId) -> Option<usize> {
        match &self.role {
            RoleState::Leader(leadership) => {
                leadership.progress.iter().position(|progress| progress.id == peer)
            }
            _ => None,
        }
    }

    pub(crate) fn progress_at(&mut self, position: usize) -> &mut Progress {
        match &mut self.role {
            RoleState::Leader(leadership) => &mut leadership.progress[position],
            _ => unreachable!("only a leader keeps progress"),
        }
    }
}

fn matched(progress: &[Progress], voter: NodeId) -> LogIndex {
    progress
        .iter()
        .find(|peer| peer.id == voter)
        .map(|peer| peer.matched)
        .expect("a leader keeps progress of every voter")
}
