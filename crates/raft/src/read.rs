//! Linearizable reads without a log entry: ReadIndex and leases (dissertation 6.4).
//!
//! A leader notes its commit index, then has a quorum confirm that it still leads; whoever applies
//! up to that index may answer. A new leader does not know what is committed until an entry of its
//! own term is, so that reads wait for it.
//!
//! One round of heartbeats confirms all reads that came before it began. While a round for reads
//! is under way, further reads wait for the next one, so that a burst of reads costs two rounds.
//!
//! A lease is a round that the driver remembers the beginning of. Whoever confirmed the round
//! votes for nobody within an election timeout, so that within that time, less what two clocks may
//! differ by, the commit index of this leader is that of the group. The time is taken when the
//! round *begins*: an answer says when it was sent as little as when its question was.

use crate::io::Need;
use crate::message::{Body, Effect};
use crate::raft::{Leadership, Raft, RoleState};
use crate::types::{LogIndex, NodeId, ReadId, Round};

/// The reads that a leader is working on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads {
    /// The latest confirmation round that was begun. Rounds count within a term, from 1.
    pub(crate) round: u64,
    /// The latest that a quorum has confirmed.
    pub(crate) confirmed: u64,
    /// For the next round: until an entry of this term is committed, or a round is confirmed.
    waiting: Vec<Request>,
    /// Until a quorum confirms their round; rounds in ascending order.
    confirming: Vec<(u64, LogIndex, Request)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    id: ReadId,
    from: NodeId,
}

impl Reads {
    /// Reads that are not answered yet.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.confirming.len()
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

    /// The driver's clock says that the lease of `round` holds.
    pub(crate) fn handle_lease_read(&mut self, id: ReadId, round: Round) {
        let committed_in_term = self.committed_in_term();
        match &self.role {
            RoleState::Leader(leadership)
                if self.options.lease_reads
                    && committed_in_term
                    && round.term == self.term
                    && round.number <= leadership.reads.confirmed
                    && round.number > 0
                    && !leadership.transfer.forfeits_lease() =>
            {
                self.effect(Effect::ReadReady { id, index: self.commit });
            }
            _ => self.handle_read(id),
        }
    }

    /// A follower asks. Who does not lead stays silent: the follower asks again.
    pub(crate) fn handle_read_index(&mut self, from: NodeId, id: ReadId) {
        if matches!(self.role, RoleState::Leader(_)) {
            self.begin_read(Request { id, from });
        }
    }

    fn begin_read(&mut self, request: Request) {
        let RoleState::Leader(leadership) = &mut self.role else {
            unreachable!("only a leader begins a read")
        };
        leadership.reads.waiting.push(request);
        self.start_waiting_reads();
    }

    /// A new leader may not know of everything that is committed.
    fn committed_in_term(&self) -> bool {
        self.log.matches(self.commit, self.term)
    }

    /// Begins a round for the reads that wait, unless they have to wait on.
    pub(crate) fn start_waiting_reads(&mut self) {
        let RoleState::Leader(leadership) = &self.role else {
            return;
        };
        let reads = &leadership.reads;
        if !reads.waiting.is_empty() && reads.confirming.is_empty() && self.committed_in_term() {
            self.begin_round();
        }
    }

    /// Begins a round of heartbeats. Only answers to these confirm the reads that wait now.
    pub(crate) fn begin_round(&mut self) {
        let (commit, term) = (self.commit, self.term);
        let committed_in_term = self.committed_in_term();
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let Leadership { reads, progress, .. } = &mut **leadership;
        reads.round += 1;
        let round = reads.round;
        if committed_in_term {
            let waiting = reads.waiting.drain(..);
            reads.confirming.extend(waiting.map(|request| (round, commit, request)));
        }
        let targets: Vec<_> =
            progress.iter().map(|peer| (peer.id, commit.min(peer.matched))).collect();
        if self.options.lease_reads {
            self.effect(Effect::RoundBegun(Round { term, number: round }));
        }
        for (peer, commit) in targets {
            self.send(peer, Need::Term, Body::Heartbeat { commit, round });
        }
        // A voter that is alone needs nobody's answer.
        self.confirm_rounds();
    }

    /// Answers the reads whose round a quorum has confirmed.
    pub(crate) fn confirm_rounds(&mut self) {
        let RoleState::Leader(leadership) = &mut self.role else {
            return;
        };
        let Leadership { reads, progress, .. } = &mut **leadership;
        let confirmed = self.membership.current().reached(|voter| {
            let peer = progress.iter().find(|peer| peer.id == voter);
            peer.map_or(reads.round, |peer| peer.confirmed_round)
        });
        if confirmed <= reads.confirmed {
            return;
        }
        reads.confirmed = confirmed;
        let count = reads.confirming.iter().take_while(|(round, ..)| *round <= confirmed).count();
        let released: Vec<_> = reads.confirming.drain(..count).collect();
        if self.options.lease_reads {
            let round = Round { term: self.term, number: confirmed };
            self.effect(Effect::RoundConfirmed(round));
        }
        for (_, index, Request { id, from }) in released {
            if from == self.id {
                self.effect(Effect::ReadReady { id, index });
            } else {
                self.send(from, Need::Term, Body::ReadIndexReply { id, index });
            }
        }
        self.start_waiting_reads();
    }

    /// A leader that steps down does not know what is committed. Followers ask again by
    /// themselves.
    pub(crate) fn drop_reads(&mut self, reads: Reads) {
        let confirming = reads.confirming.into_iter().map(|(.., request)| request);
        for request in confirming.chain(reads.waiting) {
            if request.from == self.id {
                self.effect(Effect::ReadDropped { id: request.id });
            }
        }
    }
}
