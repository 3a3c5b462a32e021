//! From which states a member comes up; and that its state is a value.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::group::{Group, N1, N2, N3, is_append};
use crate::{
    Change, ChangeError, Configuration, Effect, EntryMeta, Event, HardState, InvalidState, Log,
    LogIndex, MembershipChange, NodeId, Options, Raft, Restored, Role, Snapshot, Term,
};

fn restored() -> Restored {
    let mut log = Log::new();
    for term in [1, 1, 2] {
        log.append(EntryMeta { term: Term(term), size: 5 });
    }
    Restored {
        id: N2,
        snapshot: Snapshot {
            configuration: Configuration::of_voters([N3, N1, N2]),
            ..Snapshot::default()
        },
        changes: Vec::new(),
        doubtful: LogIndex::ZERO,
        hard_state: HardState { term: Term(4), vote: Some(N3), commit: LogIndex(2) },
        log,
        options: Options::default(),
    }
}

#[test]
fn a_member_comes_up_as_a_follower_with_what_its_disk_held() {
    let mut raft = Raft::new(restored()).expect("a valid state");
    while raft.poll().is_some() {}
    let view = raft.view();
    assert_eq!((view.role, view.leader), (Role::Follower, None));
    assert_eq!((view.term, view.vote), (Term(4), Some(N3)));
    assert_eq!((view.commit, view.applying), (LogIndex(2), LogIndex(2)));
    assert_eq!(view.log, &restored().log);
    assert_eq!((view.durable, view.durable_index), (restored().hard_state, LogIndex(3)));
    assert_eq!(view.configuration.voters, [N1, N2, N3]);
}

#[test]
fn impossible_states_are_refused_and_named() {
    type Case = (fn(&mut Restored), InvalidState, &'static str);
    let unchanged = ChangeError::Unchanged;
    let cases: [Case; 6] = [
        (
            |state| state.hard_state.commit = LogIndex(4),
            InvalidState::CommitPastEnd { commit: LogIndex(4), last_index: LogIndex(3) },
            "4 entries are committed, but the log ends at 3",
        ),
        (
            |state| (state.snapshot.index, state.snapshot.term) = (LogIndex(2), Term(1)),
            InvalidState::LogWithoutSnapshot {
                snapshot: (LogIndex(2), Term(1)),
                base: LogIndex::ZERO,
            },
            "begins after entry 0, not after entry 2 of term 1",
        ),
        (
            |state| {
                state.snapshot.index = LogIndex(2);
                state.snapshot.term = Term(1);
                state.log = Log::after(LogIndex(2), Term(2));
            },
            InvalidState::LogWithoutSnapshot {
                snapshot: (LogIndex(2), Term(1)),
                base: LogIndex(2),
            },
            "not after entry 2 of term 1",
        ),
        (
            |state| {
                state.changes = vec![(LogIndex(2), MembershipChange::single(Change::AddVoter(N1)))]
            },
            InvalidState::Change { index: LogIndex(2), error: unchanged },
            "entry 2 changes the membership, but nothing would change",
        ),
        (
            |state| {
                let add = MembershipChange::single(Change::AddVoter(NodeId(4)));
                state.changes = vec![(LogIndex(4), add)];
            },
            InvalidState::ChangeWithoutEntry { index: LogIndex(4) },
            "belongs to entry 4, which is not there",
        ),
        (
            |state| {
                let add = |id| MembershipChange::single(Change::AddVoter(NodeId(id)));
                state.changes = vec![(LogIndex(2), add(4)), (LogIndex(2), add(5))];
            },
            InvalidState::ChangeWithoutEntry { index: LogIndex(2) },
            "belongs to entry 2, which is not there",
        ),
    ];
    for (spoil, expected, message) in cases {
        let mut state = restored();
        spoil(&mut state);
        let error = Raft::new(state).expect_err(message);
        assert_eq!(error, expected);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_torn_write_leaves_a_log_of_a_later_term_than_the_hard_state() {
    let mut state = restored();
    state.hard_state.term = Term(1);
    let mut raft = Raft::new(state).expect("a valid state");
    let view = raft.view();
    assert_eq!((view.term, view.vote), (Term(2), None), "the vote was one of term 1");
    assert_eq!(view.durable.term, Term(1));
    let written = std::iter::from_fn(|| raft.poll()).find_map(|effect| match effect {
        Effect::Persist { hard_state, entries: None, .. } => hard_state,
        _ => None,
    });
    let expected = HardState { term: Term(2), vote: None, commit: LogIndex(2) };
    assert_eq!(written, Some(expected), "before anything is said in that term");
}

#[test]
fn the_bounds_themselves_are_valid() {
    let mut state = restored();
    state.hard_state.commit = LogIndex(3);
    assert!(Raft::new(state).is_ok());
    let fresh = Restored::joiner(NodeId(9), Options::default());
    assert!(Raft::new(fresh).is_ok());
}

#[test]
fn equal_states_have_equal_hashes_whatever_their_history() {
    let digest = |raft: &Raft| BuildHasherDefault::<DefaultHasher>::default().hash_one(raft);
    let mut one = Group::with_leader(3, Options::default());
    let mut other = one.clone();
    one.propose(N1, &[1]);
    other.propose(N1, &[1]);
    assert_eq!(one.raft(N1), other.raft(N1));
    // In the one the follower hears of it at once; in the other twice, and late.
    one.settle();
    let append = other.network.iter().find(|message| is_append(message)).cloned();
    other.settle();
    other.deliver(append.expect("there was one"));
    other.settle();
    for id in one.ids() {
        assert_eq!(one.raft(id), other.raft(id), "{id}");
        assert_eq!(digest(one.raft(id)), digest(other.raft(id)), "{id}");
    }
    one.propose(N1, &[2]);
    assert_ne!(one.raft(N1), other.raft(N1));
    assert_ne!(digest(one.raft(N1)), digest(other.raft(N1)));
}

#[test]
fn a_clone_lives_its_own_life() {
    let mut group = Group::with_leader(3, Options::default());
    let kept = group.raft(N1).clone();
    let mut clone = kept.clone();
    clone.handle(Event::Propose { sizes: vec![1, 2, 3].into() });
    assert_eq!(group.raft(N1), &kept);
    let from_clone: Vec<_> = std::iter::from_fn(|| clone.poll()).collect();
    assert!(!from_clone.is_empty());
    group.propose(N1, &[1, 2, 3]);
    assert_eq!(group.raft(N1), &clone, "the same event leads to the same state");
}
