//! Nothing is said, counted or applied before the disk holds what it rests on.

use super::group::{Group, N1, N2, N3, N4, N5, from, is_append, to};
use crate::{AppendOutcome, Body, Event, IoId, LogIndex, Message, Options, Role, Term};

fn accepted(messages: &[Message]) -> Vec<(Term, u64)> {
    messages
        .iter()
        .filter_map(|message| match message.body {
            Body::AppendReply(AppendOutcome::Accepted { matched }) => {
                Some((message.term, matched.0))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn an_acknowledgement_waits_for_the_write() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.propose(N1, &[2]);
    group.deliver_where(to(N2));
    assert_eq!(group.take_where(from(N2)), []);
    assert!(group.write_one(N2));
    assert_eq!(accepted(&group.take_where(from(N2))), [(Term(1), 2)], "each for its own write");
    assert!(group.write_one(N2));
    assert_eq!(accepted(&group.take_where(from(N2))), [(Term(1), 3)]);
}

#[test]
fn a_late_completion_of_an_overwritten_write_acknowledges_nothing() {
    let mut group = Group::with_leader(5, Options::default());
    // 1 appends 2 to 4 at member 2, whose disk is slow; then 3 is elected by 4 and 5.
    group.propose(N1, &[10, 11, 12]);
    group.deliver_where(to(N2));
    assert_eq!(group.pending_writes(N2), 1);
    group.network.clear();
    group.campaign(N3);
    for id in [N3, N4, N5, N3] {
        group.persist(id);
        group.deliver_where(|message| [N3, N4, N5].contains(&message.to));
    }
    assert_eq!(group.view(N3).role, Role::Leader);
    group.deliver_where(|message| is_append(message) && message.to == N2);
    assert_eq!(group.log_terms(N2), [1, 2], "the three are overwritten, in memory");
    assert_eq!(group.pending_writes(N2), 2, "the term and the entry in one write");

    assert!(group.write_one(N2) && group.complete_one(N2));
    assert_eq!(group.node(N2).disk.log.len(), 4, "the old entries are on the disk only now");
    assert_eq!(group.view(N2).durable_index, LogIndex(1), "and vouch for nothing");
    assert_eq!(
        accepted(&group.take_where(from(N2))),
        [(Term(1), 4)],
        "only to the deposed leader, which may hear late of what was true in its term"
    );
    group.heartbeat(N3);
    group.deliver_where(to(N2));
    assert_eq!(accepted(&group.take_where(from(N2))), []);

    assert!(group.write_one(N2) && group.complete_one(N2));
    assert_eq!(accepted(&group.take_where(from(N2))), [(Term(2), 2)]);
    assert_eq!(group.view(N2).durable_index, LogIndex(2));
}

#[test]
fn a_leader_counts_itself_only_once_durable() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.deliver_where(to(N2));
    group.persist(N2);
    group.deliver_where(to(N1));
    assert_eq!(group.view(N1).commit, LogIndex(1), "one durable copy of three");
    assert!(group.write_one(N1));
    assert_eq!(group.view(N1).commit, LogIndex(1), "two, but it has not been told");
    assert!(group.complete_one(N1));
    assert_eq!(group.view(N1).commit, LogIndex(2));
}

#[test]
fn only_what_is_durable_here_is_applied_here() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    for follower in [N2, N3] {
        group.deliver_where(to(follower));
        group.persist(follower);
    }
    group.deliver_where(to(N1));
    assert_eq!(group.view(N1).commit, LogIndex(2), "the others are a majority without it");
    assert_eq!((group.view(N1).applying, group.node(N1).applied.len()), (LogIndex(1), 1));
    group.persist(N1);
    assert_eq!((group.view(N1).applying, group.node(N1).applied.len()), (LogIndex(2), 2));
}

#[test]
fn a_crash_forgets_exactly_what_nobody_was_told_of() {
    for survivors in 0..=3 {
        let mut group = Group::with_leader(3, Options::default());
        for size in 1..=3 {
            group.propose(N1, &[size]);
        }
        group.deliver_where(to(N2));
        assert_eq!(group.pending_writes(N2), 3);
        group.crash(N2, survivors);
        assert_eq!(accepted(&group.network), [], "nothing that was lost had been acknowledged");
        group.restart(N2);
        assert_eq!(group.log(N2).len(), 1 + survivors);
        group.heartbeat(N1);
        group.settle();
        assert_eq!(group.node(N2).applied, group.node(N1).applied);
    }
}

#[test]
fn a_committed_entry_survives_the_crash_of_all() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[77]);
    group.settle();
    for id in group.ids() {
        group.crash(id, 0);
    }
    group.network.clear();
    for id in group.ids() {
        group.restart(id);
    }
    group.campaign(N3);
    group.settle();
    assert_eq!(group.view(N3).role, Role::Leader);
    for id in group.ids() {
        let sizes: Vec<_> = group.node(id).applied.iter().map(|entry| entry.size).collect();
        assert_eq!(sizes, [0, 77, 0], "at {id}");
    }
}

#[test]
fn a_restart_applies_from_the_beginning_what_was_known_to_be_committed() {
    let mut group = Group::with_leader(3, Options::default());
    for size in 1..=3 {
        group.propose(N1, &[size]);
        group.settle();
    }
    group.crash(N2, 0);
    group.restart(N2);
    let known = group.node(N2).disk.hard_state.commit;
    assert_eq!(known, LogIndex(3), "as of the last write");
    assert_eq!(group.node(N2).applied.len(), 3);
}

#[test]
fn a_completion_covers_all_writes_before_it() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.propose(N1, &[2]);
    group.deliver_where(to(N2));
    while group.write_one(N2) {}
    let mut raft = group.raft(N2).clone();
    let last = IoId { sequence: 4, term: Term(1), index: LogIndex(3) };
    raft.handle(Event::Persisted(last));
    assert_eq!(raft.view().durable_index, LogIndex(3), "the first was never reported");
}

#[test]
#[should_panic(expected = "never issued")]
fn a_completion_of_a_write_that_was_never_issued_is_a_broken_invariant() {
    let mut group = Group::new(1);
    let unknown = IoId { sequence: 9, term: Term(1), index: LogIndex(3) };
    group.event(N1, Event::Persisted(unknown));
}
