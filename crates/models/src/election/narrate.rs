//! A behaviour of the election model told in sentences.

use std::fmt;

use super::state::{HardState, Message, MessageKind, Role, ServerId, State, Term};
use super::{Action, Election};
use crate::search::Narrate;

impl fmt::Display for ServerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "n{}", self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "term {}", self.0)
    }
}

impl fmt::Display for HardState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vote {
            Some(vote) => write!(out, "{} with a vote for {vote}", self.term),
            None => write!(out, "{} with no vote", self.term),
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            MessageKind::Request => "vote request",
            MessageKind::Grant => "vote",
            MessageKind::Refusal => "refusal",
            MessageKind::Heartbeat => "heartbeat",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Timeout(id) => write!(out, "{id} times out"),
            Action::Persist(id) => write!(out, "{id}'s oldest write completes"),
            Action::Crash(id) => write!(out, "{id} crashes and restarts"),
            Action::Deliver(Message { kind, term, from, to }) => {
                write!(out, "{to} receives {from}'s {kind} of {term}")
            }
        }
    }
}

impl Action {
    /// The server at which the action takes place.
    fn server(&self) -> ServerId {
        match self {
            Action::Timeout(id) | Action::Persist(id) | Action::Crash(id) => *id,
            Action::Deliver(message) => message.to,
        }
    }
}

impl Narrate for Election {
    fn describe(&self, state: &State) -> String {
        let logs: Vec<_> = self
            .server_ids()
            .map(|id| {
                let end = state.logs.end(id);
                format!("{id} {} entries up to {}", end.length, end.last_term)
            })
            .collect();
        format!("the logs: {}", logs.join(", "))
    }

    fn narrate(&self, before: &State, action: &Action, after: &State) -> String {
        let id = action.server();
        let (old, new) = (before.server(id), after.server(id));
        let mut effects = Vec::new();
        if let Action::Crash(_) = action {
            effects.push(format!("comes back in {}", new.durable));
        } else {
            if new.durable != old.durable {
                effects.push(format!("has {} on disk", new.durable));
            }
            if new.current() != old.current() {
                effects.push(format!("begins to write {}", new.current()));
            }
            if new.role != old.role {
                effects.push(
                    match new.role {
                        Role::Candidate => "is a candidate",
                        Role::Leader => "is elected",
                        Role::Follower | Role::Absent => "steps down",
                    }
                    .to_owned(),
                );
            }
        }
        let answers = MessageKind::ALL
            .into_iter()
            .flat_map(|kind| after.network.sent(kind))
            .filter(|sent| !before.network.has(sent.kind, sent.term, sent.from, sent.to))
            .map(|sent| match sent.kind.is_broadcast() {
                true => format!("sends a {} of {}", sent.kind, sent.term),
                false => format!("sends {} a {} of {}", sent.to, sent.kind, sent.term),
            });
        effects.extend(answers);
        if effects.is_empty() {
            // Only a candidate's count changes without any of these.
            effects.push(format!("counts {} votes", new.votes.len()));
        }
        format!("{action}: {}", effects.join(", "))
    }
}
