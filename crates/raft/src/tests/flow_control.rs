//! How much is under way to a follower at once.

use super::group::{Group, N1, N2, N3, from, is_append, is_heartbeat, to};
use crate::{Body, DropReason, Inflight, Message, NodeId, Options, ProgressState};

fn sizes(message: &Message) -> Vec<u32> {
    match &message.body {
        Body::Append { entries, .. } => entries.iter().map(|entry| entry.size).collect(),
        _ => Vec::new(),
    }
}

fn appends_to(group: &Group, id: NodeId) -> Vec<Vec<u32>> {
    group
        .network
        .iter()
        .filter(|message| message.to == id && is_append(message))
        .map(sizes)
        .collect()
}

#[test]
fn the_window_bounds_the_messages_under_way() {
    let options =
        Options { max_entries_per_message: 1, max_inflight_messages: 2, ..Options::default() };
    let mut group = Group::with_leader(2, options);
    for size in 1..=5 {
        group.propose(N1, &[size]);
    }
    assert_eq!(appends_to(&group, N2), [[1], [2]]);
    let first = group.network.remove(0);
    group.deliver(first);
    group.persist(N2);
    group.deliver_where(from(N2));
    assert_eq!(appends_to(&group, N2), [[2], [3]], "an answer lets the next one through");
    group.settle();
    assert_eq!(group.node(N2).applied.len(), 6);
}

#[test]
fn a_full_window_of_lost_messages_is_overcome() {
    let options =
        Options { max_entries_per_message: 1, max_inflight_messages: 2, ..Options::default() };
    let mut group = Group::with_leader(2, options);
    for size in 1..=5 {
        group.propose(N1, &[size]);
    }
    group.take_where(is_append);
    group.settle();
    assert_eq!(group.node(N2).applied.len(), 1);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N2).applied.len(), 6);
}

#[test]
fn messages_are_cut_by_entries_and_by_bytes_but_never_below_one_entry() {
    /// Limits on entries and bytes, sizes proposed, messages expected.
    type Case = (usize, u64, &'static [u32], &'static [&'static [u32]]);
    let cases: [Case; 5] = [
        (3, 1000, &[1, 2, 3, 4, 5], &[&[1, 2, 3], &[4, 5]]),
        (100, 10, &[4, 6, 1, 9, 2], &[&[4, 6], &[1, 9], &[2]]),
        (100, 10, &[5000, 1, 5000, 5000], &[&[5000], &[1], &[5000], &[5000]]),
        (100, 0, &[1, 2], &[&[1], &[2]]),
        (1, 1000, &[0, 0], &[&[0], &[0]]),
    ];
    for (max_entries_per_message, max_bytes_per_message, proposed, expected) in cases {
        let options =
            Options { max_entries_per_message, max_bytes_per_message, ..Options::default() };
        let mut group = Group::with_leader(2, options.clone());
        group.propose(N1, proposed);
        assert_eq!(appends_to(&group, N2), expected, "{options:?}");
    }
}

#[test]
fn a_follower_of_whom_nothing_is_known_is_asked_once_at_a_time() {
    let mut group = Group::new(2);
    group.elect(N1, N2);
    assert_eq!(appends_to(&group, N2), [[0]], "the empty entry, as a probe");
    group.propose(N1, &[1]);
    group.propose(N1, &[2]);
    assert_eq!(appends_to(&group, N2), [[0]], "its answer is awaited");
    group.take_where(is_append);
    group.heartbeat(N1);
    group.persist(N1);
    group.deliver_where(is_heartbeat);
    group.persist(N2);
    group.deliver_where(from(N2));
    assert_eq!(appends_to(&group, N2), [[0, 1, 2]], "a heartbeat's answer ends the waiting");
    group.settle();
    let progress = &group.view(N1).progress[0];
    assert_eq!(progress.state, ProgressState::Replicate { inflight: Inflight::default() });
    assert_eq!(progress.matched.0, 3);
}

#[test]
fn a_follower_that_lacks_nothing_is_left_alone() {
    let mut group = Group::with_leader(2, Options::default());
    group.heartbeat(N1);
    group.deliver_where(is_heartbeat);
    group.deliver_where(from(N2));
    assert_eq!(group.network, []);
}

#[test]
fn the_window_bounds_the_bytes_under_way() {
    let options =
        Options { max_entries_per_message: 1, max_inflight_bytes: 100, ..Options::default() };
    let mut group = Group::with_leader(2, options);
    for size in [60, 60, 60, 300, 1] {
        group.propose(N1, &[size]);
    }
    assert_eq!(appends_to(&group, N2), [[60], [60]], "the second one fills the window");
    group.network.truncate(1);
    group.persist(N2);
    group.deliver_where(to(N2));
    group.persist(N2);
    group.deliver_where(from(N2));
    assert_eq!(appends_to(&group, N2), [[60]], "half of it is free again");
    group.network.clear();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N2).applied.len(), 6, "what is larger than the window passes alone");
}

#[test]
fn too_much_that_is_not_committed_is_refused() {
    let options = Options { max_uncommitted_bytes: 100, ..Options::default() };
    let mut group = Group::with_leader(3, options);
    let dropped = |group: &Group| group.node(N1).dropped_proposals.len();
    group.propose(N1, &[500]);
    assert_eq!(dropped(&group), 0, "anything, if nothing else waits");
    group.propose(N1, &[1]);
    assert_eq!(group.node(N1).dropped_proposals, [DropReason::TooMuchUncommitted]);
    group.settle();
    group.propose(N1, &[60, 40]);
    assert_eq!(dropped(&group), 1, "exactly the limit");
    group.propose(N1, &[1]);
    assert_eq!(dropped(&group), 2);
    group.settle();
    let sizes: Vec<_> = group.node(N3).applied.iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [0, 500, 60, 40], "all of a proposal or nothing");
}

#[test]
fn a_new_leader_counts_what_its_predecessor_left_uncommitted() {
    let options = Options { max_uncommitted_bytes: 100, ..Options::default() };
    let mut group = Group::with_leader(3, options);
    group.propose(N1, &[90]);
    group.deliver_where(to(N2));
    group.persist(N2);
    group.network.clear();
    group.crash(N1, 0);
    group.elect(N2, N3);
    group.propose(N2, &[20]);
    assert_eq!(group.node(N2).dropped_proposals, [DropReason::TooMuchUncommitted]);
    group.settle();
    group.propose(N2, &[20]);
    assert_eq!(group.node(N2).dropped_proposals.len(), 1);
}
