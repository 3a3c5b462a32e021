//! Leader election of Raft in the abstract (dissertation, chapter 3.4 and 3.6.1).
//!
//! What is modelled: terms and votes that are durable only once a write completes, writes that
//! overlap (a disk completes them in order), answers that wait for their write, crashes that lose
//! whatever is not durable, logs of different length and age, and a network that loses, repeats
//! and reorders. What is not: log replication (logs stay as they are), PreVote, and clocks (an
//! election may time out whenever it likes). The code of the core takes no part in it.
//!
//! The space is finite: elections happen in a few terms only, and crashes are counted.

mod narrate;
mod properties;
mod state;
mod step;
#[cfg(test)]
mod tests;

use stateright::{Model, Property};

use crate::registry::Size;
use state::{FIRST_TERM, LogShape, Message, MessageKind, ServerId, State, Term};

/// The model: the size of the space, and the mistake planted in the protocol, if any.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    servers: u8,
    last_term: Term,
    crashes: u8,
    mistake: Mistake,
}

/// A mistake of the protocol: each has to be discovered, or a property does not bite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "planted by tests, to prove that the properties bite")
)]
pub(crate) enum Mistake {
    /// The protocol as it should be.
    None,
    /// A restart reads back the term, but not the vote.
    ForgetsVote,
    /// A restart begins from the first term again.
    ForgetsTerm,
    /// A voter grants every candidate of a term.
    VotesTwice,
    /// A vote is answered when it is cast, before its write completes.
    AnswersBeforePersisting,
    /// A candidate asks for votes before its own term and vote are durable.
    AsksBeforePersisting,
    /// A voter does not compare logs.
    SkipsLogCheck,
    /// A voter takes the longer log for the more recent one.
    ComparesLengthOnly,
    /// A voter goes back to the older term of a late request.
    AcceptsOlderTerm,
    /// A candidate counts votes that it was granted in an earlier term.
    CountsOlderVotes,
    /// A candidate counts a repeated vote once more.
    CountsRepeatedVotes,
    /// Half of the servers pass for a majority.
    SmallQuorum,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The server's election timer fires.
    Timeout(ServerId),
    /// The server's oldest write completes, and what waited for it is sent.
    Persist(ServerId),
    /// The server loses what is not durable and starts again. That a server can be down for a
    /// while needs no step of its own: it is the same as nothing reaching it.
    Crash(ServerId),
    /// A copy of a message reaches its receiver.
    Deliver(Message),
}

impl Election {
    pub(crate) fn new(size: Size, mistake: Mistake) -> Election {
        Election {
            servers: size.servers,
            last_term: Term(FIRST_TERM.0 + size.terms),
            crashes: size.crashes,
            mistake,
        }
    }

    fn server_ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.servers).map(ServerId)
    }

    /// The terms in which an election may take place.
    fn terms(&self) -> impl Iterator<Item = Term> + use<> {
        (FIRST_TERM.0 + 1..=self.last_term.0).map(Term)
    }

    /// How many servers make a majority.
    fn quorum(&self) -> u32 {
        u32::from(self.servers / 2 + 1)
    }
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        LogShape::ALL.iter().map(|&logs| State::new(self.servers, logs)).collect()
    }

    /// Only what changes the state. Stateright rebuilds paths by index and so needs each action
    /// that is listed to be enabled; a step that changes nothing adds nothing to the space.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut push = |action| {
            if self.step(state, action).is_some() {
                actions.push(action);
            }
        };
        for server in self.server_ids() {
            push(Action::Timeout(server));
            push(Action::Persist(server));
            push(Action::Crash(server));
        }
        for kind in MessageKind::ALL {
            for message in state.network.sent(kind) {
                if kind.is_broadcast() {
                    for to in self.server_ids().filter(|&to| to != message.from) {
                        push(Action::Deliver(Message { to, ..message }));
                    }
                } else {
                    push(Action::Deliver(message));
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }

    fn properties(&self) -> Vec<Property<Election>> {
        properties::properties()
    }
}
