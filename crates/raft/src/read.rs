//! Linearizable reads without a log entry: ReadIndex (dissertation 6.4).
//!
//! A leader notes its commit index, then has a majority confirm that it still leads; whoever
//! applies up to that index may answer. A new leader does not know what is committed until an
//! entry of its own term is, so that reads wait for it.

use crate::io::Need;
use crate::message::{Body, Effect};
use crate::quorum::reached_by_majority;
use crate::raft::{Raft, RoleState};
use crate::types::{LogIndex, NodeId, ReadId};

/// The reads that a leader is working on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// The latest confirmation round that was begun. Rounds count within a term, from 1.
    round: u64,
    /// Until an entry of this term is committed.
    waiting: Vec<Request>,
    /// Until a majority confirms their round; rounds in ascending order.
    confirming: Vec<(u64, LogIndex, Request)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    id: ReadId,
    from: NodeId,
}

impl Reads {
    pub(crate) fn round(&self) -> u64 {
        self.round
    }
}

impl Raft {
    pub(crate) fn handle_read(&mut self, id: ReadId) {
        match self.leader() {
            None => self.effect(Effect::ReadDropped { id }),
            Some(leader) if leader == self.id => self.begin_read(Request { id, from: self.id }),
            Some(leader) => self.send(leader, Need::Term, Body::ReadIndex { id }),
        }
    }

    /// A follower asks. Who does not lead stays silent: the follower asks again.
    pub(crate) fn handle_read_index(&mut self, from: NodeId, id: ReadId) {
        if matches!(self.role, RoleState::Leader(_)) {
            self.begin_read(Request { id, from });
        }
    }

    fn begin_read(&mut self, request: Request) {
        let committed_in_term = self.log.matches(self.commit, self.term);
        let RoleState::Leader(leadership) = &mut self.role else {
            unreachable!("only a leader begins a read")
        };
        if !committed_in_term {
            leadership.reads.waiting.push(request);
            return;
        }
        self.confirm(vec![request]);
    }

    /// An entry of this term is committed: the reads that waited for it begin.
    pub(crate) fn start_waiting_reads(&mut self) {
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let waiting = std::mem::take(&mut leadership.reads.waiting);
        if !waiting.is_empty() {
            self.confirm(waiting);
        }
    }

    /// Begins a round: only answers to heartbeats sent from now on confirm these reads.
    fn confirm(&mut self, requests: Vec<Request>) {
        let commit = self.commit;
        let RoleState::Leader(leadership) = &mut self.role else {
            unreachable!("only a leader confirms")
        };
        let reads = &mut leadership.reads;
        reads.round += 1;
        let round = reads.round;
        reads.confirming.extend(requests.into_iter().map(|request| (round, commit, request)));
        self.broadcast_heartbeat();
        self.release_confirmed_reads();
    }

    pub(crate) fn release_confirmed_reads(&mut self) {
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let reads = &mut leadership.reads;
        if reads.confirming.is_empty() {
            return;
        }
        let mut rounds: Vec<u64> =
            leadership.progress.iter().map(|peer| peer.confirmed_round).collect();
        rounds.push(reads.round);
        let confirmed = reached_by_majority(&mut rounds);
        let count = reads.confirming.iter().take_while(|(round, ..)| *round <= confirmed).count();
        let released: Vec<_> = reads.confirming.drain(..count).collect();
        for (_, index, Request { id, from }) in released {
            if from == self.id {
                self.effect(Effect::ReadReady { id, index });
            } else {
                self.send(from, Need::Term, Body::ReadIndexReply { id, index });
            }
        }
    }
}
