//! What must hold in every state of an election, and what some state has to show.
//!
//! The names are those of the list of invariants, where a property stands there.

use stateright::Property;

use super::Election;
use super::state::{MessageKind, Role, ServerId, State, Term};

pub(super) fn properties() -> Vec<Property<Election>> {
    vec![
        Property::always("ElectionSafety", election_safety),
        Property::always("MonotonicTermAndVote", |_, state: &State| !state.hard_state_fell_back),
        Property::always("OneVoteATerm", one_vote_a_term),
        Property::always("VoteBeforeAnswer", vote_before_answer),
        Property::always("MessageTerm", message_term),
        Property::always("MoreUpToDate", more_up_to_date),
        Property::always("LeaderHasQuorum", leader_has_quorum),
        Property::always("LeaderIsUpToDate", leader_is_up_to_date),
        Property::sometimes("a leader is elected", leader_elected),
        Property::sometimes("two candidates in one term", two_candidates),
        Property::sometimes("a split vote", split_vote),
        Property::sometimes("a crashed voter comes back", voter_came_back),
        Property::sometimes("a voter that came back refuses a rival", voter_refuses_rival),
        Property::sometimes("a candidate with a stale log is refused", stale_log_refused),
        Property::sometimes("a leader is deposed", leader_deposed),
        Property::sometimes("an old leader lives on beside its successor", two_leaders),
    ]
}

/// Who ever led in `term`. A leader announces itself as it is elected, and what was sent stays.
fn leaders(model: &Election, state: &State, term: Term) -> impl Iterator<Item = ServerId> {
    let network = state.network;
    model.server_ids().filter(move |&id| network.has(MessageKind::Heartbeat, term, id, id))
}

/// At most one leader a term, ever.
fn election_safety(model: &Election, state: &State) -> bool {
    model.terms().all(|term| leaders(model, state, term).count() <= 1)
}

/// A server votes for one candidate a term, across crashes.
fn one_vote_a_term(model: &Election, state: &State) -> bool {
    let network = &state.network;
    model.terms().all(|term| {
        model.server_ids().all(|voter| {
            let granted = network
                .sent(MessageKind::Grant)
                .filter(|grant| grant.term == term && grant.from == voter)
                .count();
            let own = network.has(MessageKind::Request, term, voter, voter);
            granted + usize::from(own) <= 1
        })
    })
}

/// Whoever sent a vote has it on disk, or has a later term there.
fn vote_before_answer(_: &Election, state: &State) -> bool {
    state.network.sent(MessageKind::Grant).all(|grant| {
        let durable = state.server(grant.from).durable;
        durable.term > grant.term || (durable.term == grant.term && durable.vote == Some(grant.to))
    })
}

/// A message's term is at most its sender's durable term.
fn message_term(_: &Election, state: &State) -> bool {
    MessageKind::ALL.iter().all(|&kind| {
        state
            .network
            .sent(kind)
            .all(|message| message.term <= state.server(message.from).durable.term)
    })
}

/// Nobody votes for a candidate whose log is less recent than its own.
fn more_up_to_date(_: &Election, state: &State) -> bool {
    state
        .network
        .sent(MessageKind::Grant)
        .all(|grant| state.logs.end(grant.to) >= state.logs.end(grant.from))
}

/// A majority voted for each leader, in the leader's term.
fn leader_has_quorum(model: &Election, state: &State) -> bool {
    model.terms().all(|term| {
        leaders(model, state, term).all(|leader| state.voters(term, leader).len() >= model.quorum())
    })
}

/// Each leader's log is at least as recent as those of a majority: so it holds whatever may have
/// been committed before it (LeaderCompleteness rests on this).
fn leader_is_up_to_date(model: &Election, state: &State) -> bool {
    model.terms().all(|term| {
        leaders(model, state, term).all(|leader| {
            let not_ahead = model
                .server_ids()
                .filter(|&id| state.logs.end(id) <= state.logs.end(leader))
                .count();
            not_ahead as u32 >= model.quorum()
        })
    })
}

fn leader_elected(_: &Election, state: &State) -> bool {
    state.network.sent(MessageKind::Heartbeat).next().is_some()
}

fn two_candidates(model: &Election, state: &State) -> bool {
    model.terms().any(|term| {
        state.network.sent(MessageKind::Request).filter(|request| request.term == term).count() >= 2
    })
}

/// All have voted in some term, and nobody has a majority.
fn split_vote(model: &Election, state: &State) -> bool {
    model.terms().any(|term| {
        let votes = || model.server_ids().map(|id| state.voters(term, id).len());
        votes().sum::<u32>() == u32::from(model.servers)
            && votes().all(|votes| votes < model.quorum())
    })
}

fn voter_came_back(_: &Election, state: &State) -> bool {
    state.returned_voters.len() > 0
}

/// A voter that came back has to refuse another candidate of the term in which it voted.
fn voter_refuses_rival(_: &Election, state: &State) -> bool {
    state.network.sent(MessageKind::Request).any(|request| {
        state.network.sent(MessageKind::Grant).any(|grant| {
            grant.term == request.term
                && grant.to != request.from
                && grant.from != request.from
                && state.returned_voters.contains(grant.from)
                && state.server(grant.from).durable.term == request.term
        })
    })
}

/// A voter of the candidate's term that has not voted has to refuse it: for nothing but its log.
fn stale_log_refused(model: &Election, state: &State) -> bool {
    state.network.sent(MessageKind::Request).any(|request| {
        model.server_ids().any(|voter| {
            let durable = state.server(voter).durable;
            durable.term == request.term
                && durable.vote.is_none()
                && state.logs.end(request.from) < state.logs.end(voter)
        })
    })
}

/// A leader learned of a later term, without having crashed.
fn leader_deposed(_: &Election, state: &State) -> bool {
    state.crashes == 0
        && state
            .network
            .sent(MessageKind::Heartbeat)
            .any(|claim| state.server(claim.from).current().term > claim.term)
}

fn two_leaders(model: &Election, state: &State) -> bool {
    model.server_ids().filter(|&id| state.server(id).role == Role::Leader).count() >= 2
}
