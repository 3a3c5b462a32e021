//! What each action does: the protocol itself, with the places where a mistake may be planted.

use super::state::{HardState, Message, MessageKind, Role, ServerId, State};
use super::{Action, Election, Mistake};

impl Election {
    /// The state after `action`, or `None` if it is not enabled or would change nothing.
    pub(super) fn step(&self, state: &State, action: Action) -> Option<State> {
        match action {
            Action::Timeout(server) => self.timeout(state, server),
            Action::Persist(server) => self.persist(state, server),
            Action::Crash(server) => self.crash(state, server),
            Action::Deliver(message) => match message.kind {
                MessageKind::Request => self.handle_request(state, message),
                MessageKind::Grant => self.handle_grant(state, message),
                MessageKind::Refusal => self.handle_refusal(state, message),
                MessageKind::Heartbeat => self.handle_heartbeat(state, message),
            },
        }
    }

    fn timeout(&self, state: &State, id: ServerId) -> Option<State> {
        let server = state.server(id);
        let term = server.current().term;
        if server.role == Role::Leader || term >= self.last_term {
            return None;
        }
        let campaign = HardState { term: super::Term(term.0 + 1), vote: Some(id) };
        let mut next = turned(state, id, Role::Candidate, campaign)?;
        if self.mistake == Mistake::AsksBeforePersisting {
            next.network.send(MessageKind::Request, campaign.term, id, id);
        }
        Some(next)
    }

    /// A vote is durable now: for another, it is answered; for itself, it is counted and the
    /// others are asked. A server that has moved on meanwhile answers all the same: what it says
    /// of the older term is true.
    fn persist(&self, state: &State, id: ServerId) -> Option<State> {
        let written = state.server(id).oldest_write()?;
        let mut next = state.clone();
        next.note_durable_change(state.server(id).durable, written);
        next.server_mut(id).persist_oldest();
        match written.vote {
            Some(candidate) if candidate != id => {
                next.network.send(MessageKind::Grant, written.term, id, candidate);
            }
            Some(_) => {
                next.network.send(MessageKind::Request, written.term, id, id);
                let server = next.server(id);
                if server.role == Role::Candidate && server.current().term == written.term {
                    self.count_vote(&mut next, id, id);
                }
            }
            None => {}
        }
        Some(next)
    }

    fn crash(&self, state: &State, id: ServerId) -> Option<State> {
        if state.crashes == self.crashes {
            return None;
        }
        let durable = state.server(id).durable;
        let recovered = match self.mistake {
            Mistake::ForgetsVote => HardState { vote: None, ..durable },
            Mistake::ForgetsTerm => HardState::START,
            _ => durable,
        };
        let mut next = state.clone();
        next.note_durable_change(durable, recovered);
        next.server_mut(id).restart(recovered);
        if durable.vote.is_some_and(|candidate| candidate != id) {
            next.returned_voters = next.returned_voters.with(id);
        }
        if next == *state {
            // A crash that loses nothing only takes one from the crashes that are left.
            return None;
        }
        next.crashes += 1;
        Some(next)
    }

    fn handle_request(&self, state: &State, request: Message) -> Option<State> {
        let Message { term, from: candidate, to: id, .. } = request;
        let current = state.server(id).current();
        if term < current.term && self.mistake != Mistake::AcceptsOlderTerm {
            return refused(state, id, candidate);
        }
        let voted = current.vote.filter(|_| term == current.term);
        let may_vote = voted.is_none() || self.mistake == Mistake::VotesTwice;
        if may_vote && self.is_up_to_date(state, candidate, id) && voted != Some(candidate) {
            let vote = HardState { term, vote: Some(candidate) };
            let mut next = turned(state, id, Role::Follower, vote)?;
            if self.mistake == Mistake::AnswersBeforePersisting {
                next.network.send(MessageKind::Grant, term, id, candidate);
            }
            return Some(next);
        }
        if term > current.term {
            return turned(state, id, Role::Follower, HardState { term, vote: None });
        }
        // Its vote is granted already, or it is refused within its own term: that tells it nothing,
        // and is not sent, since every message that may or may not be there doubles the space.
        None
    }

    fn handle_grant(&self, state: &State, grant: Message) -> Option<State> {
        let Message { term, from: voter, to: id, .. } = grant;
        let server = state.server(id);
        let of_this_term =
            term == server.current().term || self.mistake == Mistake::CountsOlderVotes;
        let is_repeated = server.votes.contains(voter);
        if server.role != Role::Candidate
            || !of_this_term
            || (is_repeated && self.mistake != Mistake::CountsRepeatedVotes)
        {
            return None;
        }
        let counted = if is_repeated {
            // The mistake: the repeated vote passes for that of a server not yet counted.
            self.server_ids().find(|&other| !server.votes.contains(other))?
        } else {
            voter
        };
        let mut next = state.clone();
        self.count_vote(&mut next, id, counted);
        Some(next)
    }

    fn handle_refusal(&self, state: &State, refusal: Message) -> Option<State> {
        let Message { term, to: id, .. } = refusal;
        if term <= state.server(id).current().term {
            return None;
        }
        turned(state, id, Role::Follower, HardState { term, vote: None })
    }

    fn handle_heartbeat(&self, state: &State, heartbeat: Message) -> Option<State> {
        let Message { term, from: leader, to: id, .. } = heartbeat;
        let server = state.server(id);
        let current = server.current();
        if term > current.term {
            return turned(state, id, Role::Follower, HardState { term, vote: None });
        }
        if term < current.term {
            return refused(state, id, leader);
        }
        if server.role != Role::Candidate {
            return None;
        }
        let mut next = state.clone();
        next.server_mut(id).take_role(Role::Follower);
        Some(next)
    }

    /// Counts `voter`'s vote for the candidate `id`, which leads once a majority voted for it.
    fn count_vote(&self, next: &mut State, id: ServerId, voter: ServerId) {
        let needed = match self.mistake {
            Mistake::SmallQuorum => u32::from(self.servers / 2),
            _ => self.quorum(),
        };
        let server = next.server_mut(id);
        server.votes = server.votes.with(voter);
        if server.votes.len() >= needed {
            let term = server.current().term;
            server.take_role(Role::Leader);
            next.network.send(MessageKind::Heartbeat, term, id, id);
        }
    }

    /// Whether `voter` finds `candidate`'s log at least as up to date as its own.
    fn is_up_to_date(&self, state: &State, candidate: ServerId, voter: ServerId) -> bool {
        let (theirs, ours) = (state.logs.end(candidate), state.logs.end(voter));
        match self.mistake {
            Mistake::SkipsLogCheck => true,
            Mistake::ComparesLengthOnly => theirs.length >= ours.length,
            _ => theirs >= ours,
        }
    }
}

/// `state` after the server `id` took over `hard_state` and began to write it.
fn turned(state: &State, id: ServerId, role: Role, hard_state: HardState) -> Option<State> {
    let mut next = state.clone();
    next.server_mut(id).turn(role, hard_state).then_some(next)
}

/// `state` after `id` told `sender` of its later term. That term has to be durable: until then
/// nothing is answered, but what was refused may come again.
fn refused(state: &State, id: ServerId, sender: ServerId) -> Option<State> {
    let server = state.server(id);
    let term = server.durable.term;
    if !server.is_synced() || state.network.has(MessageKind::Refusal, term, id, sender) {
        return None;
    }
    let mut next = state.clone();
    next.network.send(MessageKind::Refusal, term, id, sender);
    Some(next)
}
