//! Events that a driver handles together, before it asks for effects.

use super::group::{Group, N1, N2, N3, append, from, is_append, to};
use crate::{
    AppendOutcome, Body, Effect, EntryRange, Event, LogIndex, Message, Options, Role, Term,
};

fn accepted(message: &Message) -> Option<(Term, u64)> {
    match message.body {
        Body::AppendReply(AppendOutcome::Accepted { matched }) => Some((message.term, matched.0)),
        _ => None,
    }
}

#[test]
fn what_several_messages_bring_is_one_write() {
    let options = Options { max_entries_per_message: 1, ..Options::default() };
    let mut group = Group::with_leader(3, options);
    group.propose(N1, &[5, 6, 7]);
    group.gather(N2, 3);
    assert_eq!(group.deliver_where(to(N2)), 3);
    assert_eq!(group.pending_writes(N2), 1);
    assert_eq!(group.take_where(from(N2)), [], "acknowledged when it is durable");
    group.persist(N2);
    let answers: Vec<_> = group.take_where(from(N2)).iter().filter_map(accepted).collect();
    assert_eq!(answers, [2, 3, 4].map(|matched| (Term(1), matched)));
}

#[test]
fn what_several_proposals_bring_is_sent_together() {
    let mut group = Group::with_leader(3, Options::default());
    group.gather(N1, 3);
    for size in [5, 6, 7] {
        group.propose(N1, &[size]);
    }
    let sent: Vec<_> = group.network.iter().filter(|message| is_append(message)).collect();
    assert_eq!(sent.len(), 2, "one to each");
    assert_eq!(group.pending_writes(N1), 1);
}

/// Found by a random walk: the first message brings entries that the second one replaces.
#[test]
fn what_is_replaced_in_the_same_breath_is_neither_written_nor_acknowledged() {
    let mut group = Group::with_leader(3, Options::default());
    group.gather(N2, 2);
    group.deliver(append(N1, N2, 1, (1, 1), &[1, 1, 1]));
    group.deliver(append(N3, N2, 2, (1, 1), &[2]));
    assert_eq!(group.log_terms(N2), [1, 2]);
    assert_eq!(group.pending_writes(N2), 1);
    group.persist(N2);
    let answers: Vec<_> = group.take_where(from(N2)).iter().filter_map(accepted).collect();
    assert_eq!(answers, [(Term(2), 2)], "of the three of term 1 nobody hears");
    assert_eq!(group.node(N2).disk.log.len(), 2);
}

#[test]
fn what_a_leader_did_not_send_before_it_was_deposed_is_not_sent() {
    let mut group = Group::with_leader(3, Options::default());
    group.gather(N1, 2);
    group.propose(N1, &[5, 6]);
    group.deliver(append(N3, N1, 2, (1, 1), &[2]));
    assert_eq!(group.view(N1).role, Role::Follower);
    assert!(!group.network.iter().any(is_append), "its entries are gone: {:?}", group.network);
    group.persist(N1);
    assert_eq!(group.log_terms(N1), [1, 2]);
}

#[test]
fn a_vote_and_a_later_term_in_the_same_breath_are_one_write() {
    let mut group = Group::new(3);
    group.silence();
    let request = |from, term| {
        let (last_index, last_term) = (LogIndex::ZERO, Term(0));
        let body = Body::RequestVote { last_index, last_term, transfer: false };
        Message { from, to: N2, term: Term(term), body }
    };
    group.gather(N2, 2);
    group.deliver(request(N1, 1));
    group.deliver(request(N3, 2));
    assert_eq!(group.pending_writes(N2), 1);
    assert_eq!(group.network, []);
    group.persist(N2);
    let answers: Vec<_> = group.network.iter().map(|message| (message.to, message.term)).collect();
    assert_eq!(answers, [(N1, Term(1)), (N3, Term(2))], "it voted in both, and remembers term 2");
    assert_eq!(group.node(N2).disk.hard_state.vote, Some(N3));
}

#[test]
fn a_snapshot_that_comes_with_entries_that_it_replaces_leaves_one_write() {
    let mut group = Group::with_laggard(0, 12, 12);
    let (snapshot, _) = group.snapshots[&LogIndex(12)].clone();
    group.gather(N3, 3);
    let entries = &group.log(N1)[2..5];
    let body = Body::Append {
        previous_index: LogIndex(2),
        previous_term: Term(2),
        entries: entries.to_vec().into(),
        changes: Vec::new(),
        commit: LogIndex(4),
    };
    group.deliver(Message { from: N1, to: N3, term: Term(2), body });
    let body = Body::Snapshot(Box::new(snapshot));
    group.deliver(Message { from: N1, to: N3, term: Term(2), body });
    group.deliver(append(N1, N3, 2, (12, 2), &[2, 2]));
    assert_eq!(group.pending_writes(N3), 1);
    assert_eq!(group.node(N3).applied.len(), 2, "3 and 4 are in the snapshot");
    group.persist(N3);
    assert_eq!(group.node(N3).applied.len(), 12);
    let answers: Vec<_> = group.take_where(from(N3)).iter().filter_map(accepted).collect();
    assert_eq!(answers, [(Term(2), 12), (Term(2), 14)]);
}

/// A driver may also handle an event in the middle of the effects of another one.
#[test]
fn a_write_that_was_not_handed_out_is_not_made_if_its_entries_are_replaced() {
    let mut raft = Group::with_leader(3, Options::default()).raft(N2).clone();
    raft.handle(Event::Message(append(N1, N2, 1, (1, 1), &[1, 1])));
    let first = raft.poll();
    assert!(matches!(first, Some(Effect::Persist { .. })), "{first:?}");
    raft.handle(Event::Message(append(N1, N2, 1, (3, 1), &[1])));
    raft.handle(Event::Message(append(N3, N2, 2, (1, 1), &[2])));
    let effects: Vec<_> = std::iter::from_fn(|| raft.poll()).collect();
    let written = effects.iter().filter_map(|effect| match effect {
        Effect::Persist { entries, .. } => *entries,
        _ => None,
    });
    let range = EntryRange { first: LogIndex(2), last: LogIndex(2) };
    assert_eq!(written.collect::<Vec<_>>(), [range]);
    let sent: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send { message, .. } => accepted(message),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(Term(2), 2)]);
}

#[test]
fn what_a_snapshot_replaces_is_not_handed_out_to_be_applied() {
    let group = Group::with_laggard(0, 12, 12);
    let (snapshot, _) = group.snapshots[&LogIndex(12)].clone();
    let entries = group.log(N1)[2..5].to_vec();
    let from_leader = |body| Event::Message(Message { from: N1, to: N3, term: Term(2), body });
    let mut raft = group.raft(N3).clone();
    raft.handle(from_leader(Body::Append {
        previous_index: LogIndex(2),
        previous_term: Term(2),
        entries: entries.into(),
        changes: Vec::new(),
        commit: LogIndex(2),
    }));
    let write = |effect| match effect {
        Effect::Persist { id, .. } => Some(id),
        _ => None,
    };
    let id = std::iter::from_fn(|| raft.poll()).find_map(write).expect("entries are written");
    while raft.poll().is_some() {}
    raft.handle(Event::Persisted(id));
    raft.handle(from_leader(Body::Heartbeat { commit: LogIndex(4), round: 1 }));
    while !matches!(raft.poll(), Some(Effect::Send { .. })) {}
    assert_eq!(raft.view().applying, LogIndex(4), "it is about to be handed out");
    raft.handle(from_leader(Body::Snapshot(Box::new(snapshot.clone()))));
    assert_eq!(raft.view().applying, LogIndex(2), "and is not");
    let effects: Vec<_> = std::iter::from_fn(|| raft.poll()).collect();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Commit(_))), "{effects:?}");
    let id = effects.into_iter().find_map(write).expect("the snapshot is written");
    raft.handle(Event::Persisted(id));
    let restored = std::iter::from_fn(|| raft.poll()).next();
    assert_eq!(restored, Some(Effect::Restore(Box::new(snapshot))));
}
