//! How what happens is put into words.

use quorate_raft::{AppendOutcome, Body, HardState, LogIndex, Message, Progress, ProgressState};

use crate::disk::{Entry, Payload};

/// Something that happened.
pub(crate) struct Told {
    /// Part of what a group's clients and operators notice: who leads, what is applied and
    /// answered. The rest is how that came about.
    pub(crate) outcome: bool,
    /// It followed from a message that was delivered: shown below that one.
    pub(crate) follows: bool,
    pub(crate) line: String,
}

/// `n1 n2 n3`
pub(crate) fn names(payloads: &[Payload]) -> String {
    if payloads.is_empty() {
        return "nothing".to_owned();
    }
    payloads.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `3` or `3–5`
pub(crate) fn range(first: LogIndex, last: LogIndex) -> String {
    if first == last { first.to_string() } else { format!("{first}–{last}") }
}

pub(crate) fn hard_state(HardState { term, vote, commit }: HardState) -> String {
    let vote = vote.map_or("no vote".to_owned(), |vote| format!("vote n{vote}"));
    format!("term {term}, {vote}, commit {commit}")
}

/// Entries with their terms, where those are not `term`.
pub(crate) fn entries(entries: &[Entry], term: u64) -> String {
    if entries.is_empty() {
        return "nothing".to_owned();
    }
    let entry = |Entry { meta, payload }: &Entry| match meta.term.0 == term {
        true => payload.to_string(),
        false => format!("{payload} of term {}", meta.term),
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// The kind of a message, as scripts select it.
pub(crate) fn kind(body: &Body) -> &'static str {
    match body {
        Body::PreVote { .. } => "PreVote",
        Body::PreVoteReply { .. } => "PreVoteReply",
        Body::RequestVote { .. } => "RequestVote",
        Body::RequestVoteReply { .. } => "RequestVoteReply",
        Body::Append { .. } => "Append",
        Body::AppendReply(_) => "AppendReply",
        Body::Commit { .. } => "Commit",
        Body::Heartbeat { .. } => "Heartbeat",
        Body::HeartbeatReply { .. } => "HeartbeatReply",
        Body::Snapshot(_) => "Snapshot",
        Body::TimeoutNow => "TimeoutNow",
        Body::ReadIndex { .. } => "ReadIndex",
        Body::ReadIndexReply { .. } => "ReadIndexReply",
    }
}

/// All kinds, to refuse a selection that could never match.
pub(crate) const KINDS: [&str; 13] = [
    "PreVote",
    "PreVoteReply",
    "RequestVote",
    "RequestVoteReply",
    "Append",
    "AppendReply",
    "Commit",
    "Heartbeat",
    "HeartbeatReply",
    "Snapshot",
    "TimeoutNow",
    "ReadIndex",
    "ReadIndexReply",
];

/// A message without its sender and receiver. `carried` are the entries of an append.
pub(crate) fn message(message: &Message, carried: &[Entry]) -> String {
    let term = message.term;
    let kind = kind(&message.body);
    let yes = |granted: &bool| if *granted { "yes" } else { "no" };
    let says = match &message.body {
        Body::PreVote { last_index, last_term, priority } => {
            let rank =
                if *priority == 0 { String::new() } else { format!(", priority {priority}") };
            format!(
                "would you vote for me in term {}? my log ends {last_index}/{last_term}{rank}",
                term.next()
            )
        }
        Body::PreVoteReply { campaign, granted } => format!("{} for term {campaign}", yes(granted)),
        Body::RequestVote { last_index, last_term, transfer } => {
            let how = if *transfer { ", my leader wants it" } else { "" };
            format!("my log ends {last_index}/{last_term}{how}")
        }
        Body::RequestVoteReply { granted } => yes(granted).to_owned(),
        Body::Append { previous_index, previous_term, commit, .. } => {
            let carried = entries(carried, term.0);
            format!("after {previous_index}/{previous_term}: {carried}; commit {commit}")
        }
        Body::AppendReply(AppendOutcome::Accepted { matched }) => format!("equal up to {matched}"),
        Body::AppendReply(AppendOutcome::Lost { committed, .. }) => {
            format!("lost all after {committed}")
        }
        Body::AppendReply(AppendOutcome::Rejected { previous_index, hint_index, hint_term }) => {
            format!("refused after {previous_index}, try {hint_index}/{hint_term}")
        }
        Body::Commit { commit } => format!("up to {commit}"),
        Body::Heartbeat { commit, round } => format!("round {round}, commit {commit}"),
        Body::HeartbeatReply { round: 0 } => "confirms nothing".to_owned(),
        Body::HeartbeatReply { round } => format!("confirms round {round}"),
        Body::Snapshot(snapshot) => {
            format!(
                "up to {}/{}, members {}",
                snapshot.index, snapshot.term, snapshot.configuration
            )
        }
        Body::TimeoutNow => "stand for election at once".to_owned(),
        Body::ReadIndex { id } => format!("r{}", id.0),
        Body::ReadIndexReply { id, index } => format!("r{} at {index}", id.0),
    };
    format!("{kind} of term {term} ({says})")
}

/// A follower as its leader sees it.
pub(crate) fn progress(peer: &Progress) -> String {
    let state = match &peer.state {
        ProgressState::Probe { waiting: true } => "probe, waiting for an answer".to_owned(),
        ProgressState::Probe { waiting: false } => "probe".to_owned(),
        ProgressState::Replicate { inflight } if inflight.is_empty() => "replicate".to_owned(),
        ProgressState::Replicate { inflight } => {
            let (messages, bytes) = (inflight.len(), inflight.bytes());
            format!("replicate, {messages} messages of {bytes} bytes under way")
        }
        ProgressState::Snapshot { index } => format!("snapshot up to {index} under way"),
    };
    let silent = if peer.active { "" } else { ", not heard lately" };
    format!("n{}: match {}, next {}, {state}{silent}", peer.id, peer.matched, peer.next)
}
