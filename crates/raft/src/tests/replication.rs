//! How logs become equal, and when an entry is committed (§5.3, §5.4.2).

use super::disk::Disk;
use super::group::{Group, N1, N2, N3, N4, N5, append, from, is_append, to};
use crate::{AppendOutcome, Body, DropReason, EntryMeta, LogIndex, Message, Options, Role, Term};

fn one_entry_a_message() -> Options {
    Options { max_entries_per_message: 1, ..Options::default() }
}

fn accepted(message: &Message) -> Option<LogIndex> {
    match message.body {
        Body::AppendReply(AppendOutcome::Accepted { matched }) => Some(matched),
        _ => None,
    }
}

#[test]
fn a_proposal_is_committed_and_applied_by_all() {
    let mut group = Group::with_leader(5, Options::default());
    group.propose(N1, &[100]);
    group.propose(N1, &[7, 0, 9]);
    group.settle();
    let expected: Vec<_> = [0, 100, 7, 0, 9].map(|size| EntryMeta { term: Term(1), size }).to_vec();
    for id in group.ids() {
        assert_eq!(group.node(id).applied, expected, "at {id}, without waiting for a heartbeat");
    }
}

#[test]
fn who_does_not_lead_drops_proposals() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N2, &[1, 2]);
    assert_eq!(group.node(N2).dropped_proposals, [DropReason::NotLeader]);
    assert_eq!((group.log(N2).len(), group.pending_writes(N2)), (1, 0));
    group.propose(N1, &[1]);
    assert_eq!(group.node(N1).dropped_proposals, []);
}

#[test]
fn a_minority_commits_nothing() {
    let mut group = Group::with_leader(5, Options::default());
    group.isolate(&[N3, N4, N5]);
    group.propose(N1, &[1]);
    group.settle();
    group.heartbeat(N1);
    group.settle();
    assert_eq!((group.log(N2).len(), group.view(N1).commit), (2, LogIndex(1)));
}

/// Figure 8 before (c): 1 leads again, in term 4, and has an entry of term 2 to replicate.
fn figure_8() -> Group {
    let disks = vec![
        Disk::with_log(3, &[1, 2]),
        Disk::with_log(3, &[1]),
        Disk::with_log(3, &[1]),
        Disk::with_log(3, &[1]),
        Disk::with_log(3, &[1, 3]),
    ];
    let mut group = Group::from_disks(disks, one_entry_a_message());
    group.isolate(&[N4, N5]);
    group.campaign(N1);
    for id in [N1, N2, N3] {
        group.persist(id);
        group.deliver_where(|message| [N1, N2, N3].contains(&message.to));
    }
    group.persist(N3);
    group.deliver_where(to(N1));
    assert_eq!(group.log_terms(N1), [1, 2, 4]);
    group
}

#[test]
fn an_older_entry_on_a_majority_is_not_committed_by_counting() {
    let mut group = figure_8();
    for _ in 0..4 {
        for id in [N1, N2, N3] {
            group.persist(id);
            // Whoever has the entry of term 2 gets no further.
            if id == N1 || group.log(id).len() < 2 {
                group.deliver_where(to(id));
            }
        }
    }
    assert!(group.view(N1).progress[..2].iter().all(|progress| progress.matched == LogIndex(2)));
    for id in [N1, N2, N3] {
        assert_eq!(group.node(id).disk.log[1].term, Term(2), "at {id}: a majority has it");
        assert_eq!(group.view(id).commit, LogIndex::ZERO, "at {id}");
    }
    // (d): it is indeed overwritten.
    group.crash(N1, 0);
    group.heal();
    group.network.clear();
    group.campaign(N5);
    group.campaign(N5);
    group.settle();
    group.restart(N1);
    group.heartbeat(N5);
    group.settle();
    for id in group.ids() {
        assert_eq!(group.log_terms(id), [1, 3, 5], "at {id}");
    }
}

#[test]
fn the_new_leaders_empty_entry_commits_its_predecessors_entries() {
    let mut group = figure_8();
    group.settle();
    assert_eq!(group.view(N1).commit, LogIndex(3));
    assert_eq!(group.log(N1)[2], EntryMeta { term: Term(4), size: 0 });
    // (e): now 5 can win no more.
    group.heal();
    group.campaign(N5);
    group.campaign(N5);
    group.settle();
    assert!(!group.leaders().contains(&N5));
}

#[test]
fn the_followers_of_figure_7_are_repaired() {
    let leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    let disks = std::iter::once(&leader[..]).chain(followers).map(|log| Disk::with_log(7, log));
    let mut group = Group::from_disks(disks.collect(), Options::default());
    group.campaign(N1);
    group.settle();
    assert_eq!(group.view(N1).role, Role::Leader, "a, b, e and f are behind it");
    for id in group.ids() {
        assert_eq!(group.log_terms(id), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8], "at {id}");
        assert_eq!(group.node(id).applied.len(), 11, "at {id}");
    }
}

#[test]
fn a_divergent_follower_is_repaired_in_few_round_trips() {
    let run = |term: u64, count: usize| std::iter::repeat_n(term, count);
    // The leader's log, the follower's, and how many refusals the search may take.
    let cases: [(Vec<u64>, Vec<u64>, usize); 5] = [
        // It lacks a lot: one refusal says where its log ends.
        (run(1, 1000).collect(), run(1, 3).collect(), 1),
        // A long run of a term that the leader never had.
        (run(1, 5).chain(run(3, 900)).collect(), run(1, 5).chain(run(2, 900)).collect(), 1),
        // Terms that took turns: one term is skipped at each step on each side.
        (
            (0..100).flat_map(|turn| run(4 * turn + 4, 9)).collect(),
            (0..100).flat_map(|turn| run(4 * turn + 2, 9)).collect(),
            100,
        ),
        // The follower is longer, but its end is of an older term.
        (run(1, 50).chain(run(6, 1)).collect(), run(1, 50).chain(run(4, 500)).collect(), 1),
        // Nothing in common.
        (run(9, 300).collect(), run(8, 300).collect(), 1),
    ];
    for (leader, follower, refusals) in cases {
        let disks = [&leader, &follower, &leader].map(|log| Disk::with_log(1000, log)).to_vec();
        let mut group = Group::from_disks(disks, Options::default());
        group.campaign(N1);
        group.settle();
        assert_eq!(group.log(N2), group.log(N1));
        let refused = group
            .delivered
            .iter()
            .filter(|message| {
                matches!(message.body, Body::AppendReply(AppendOutcome::Rejected { .. }))
            })
            .count();
        assert!(refused <= refusals, "{refused} refusals instead of {refusals}");
    }
}

#[test]
fn an_old_append_does_not_truncate_newer_entries() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    let old = group.take_where(to(N2)).remove(0);
    group.propose(N1, &[2]);
    group.propose(N1, &[3]);
    group.deliver(old.clone());
    group.deliver_where(to(N2));
    group.deliver(old);
    assert_eq!(group.log(N2), group.log(N1));
    assert_eq!(group.log(N2).len(), 4);
}

#[test]
fn appends_may_arrive_in_any_order_and_twice() {
    let mut group = Group::with_leader(3, one_entry_a_message());
    for size in 1..=6 {
        group.propose(N1, &[size]);
    }
    let mut appends = group.take_where(to(N2));
    appends.reverse();
    for append in appends.iter().chain(appends.iter()) {
        group.deliver(append.clone());
    }
    group.settle();
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N2).applied, group.node(N1).applied);
    assert_eq!(group.node(N2).applied.len(), 7);
}

#[test]
fn a_follower_truncates_only_from_the_first_entry_that_differs() {
    let disks = vec![Disk::default(), Disk::with_log(2, &[1, 1, 2, 2, 2]), Disk::default()];
    let mut group = Group::from_disks(disks, Options::default());
    group.deliver(append(N3, N2, 3, (1, 1), &[1, 2, 3]));
    assert_eq!(group.log_terms(N2), [1, 1, 2, 3]);
    group.persist(N2);
    assert_eq!(accepted(&group.take_only()), Some(LogIndex(4)));
}

#[test]
fn a_follower_commits_only_what_the_message_proved_equal() {
    let disks = vec![Disk::default(), Disk::with_log(2, &[1, 1, 2, 2]), Disk::default()];
    let mut group = Group::from_disks(disks, Options::default());
    let mut message = append(N3, N2, 3, (1, 1), &[1]);
    let Body::Append { commit, .. } = &mut message.body else { unreachable!("it is an append") };
    *commit = LogIndex(4);
    group.deliver(message);
    assert_eq!(
        group.view(N2).commit,
        LogIndex(2),
        "3 and 4 are committed, but these are not they (figure 2, step 5)"
    );
    assert_eq!(group.log_terms(N2).len(), 4, "nor is there a reason to truncate");
}

#[test]
fn a_heartbeat_commits_only_what_the_follower_is_known_to_hold() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N3]);
    group.propose(N1, &[1, 2]);
    group.settle();
    group.heal();
    group.heartbeat(N1);
    group.deliver_where(to(N3));
    assert_eq!((group.view(N1).commit, group.view(N3).commit), (LogIndex(3), LogIndex(1)));
}

#[test]
fn an_append_below_the_commit_index_is_acknowledged_there() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    let old = group.take_where(to(N2)).remove(0);
    group.deliver(old.clone());
    group.propose(N1, &[2, 3]);
    group.settle();
    assert_eq!(group.view(N2).commit, LogIndex(4));
    group.deliver(old);
    assert_eq!(accepted(&group.take_only()), Some(LogIndex(4)));
    assert_eq!(group.pending_writes(N2), 0);
}

#[test]
fn an_append_of_an_older_term_is_not_obeyed() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    let late = group.take_where(to(N2)).remove(0);
    group.network.clear();
    group.crash(N1, 0);
    group.campaign(N3);
    group.settle();
    let before = group.log(N2);
    group.deliver(late);
    assert_eq!(group.log(N2), before);
    assert_eq!(group.take_only().term, Term(2), "its sender learns of the newer term");
}

#[test]
fn a_lost_append_is_found_by_the_heartbeats_answer() {
    let mut group = Group::with_leader(3, Options::default());
    group.propose(N1, &[1]);
    group.take_where(is_append);
    group.propose(N1, &[2]);
    group.take_where(is_append);
    group.settle();
    assert_eq!(group.view(N1).commit, LogIndex(1), "nobody has them");
    group.heartbeat(N1);
    group.settle();
    for id in group.ids() {
        assert_eq!(group.node(id).applied.len(), 3, "at {id}");
    }
}

#[test]
fn a_lost_acknowledgement_is_made_up_for_by_the_heartbeats_answer() {
    let mut group = Group::with_leader(2, Options::default());
    group.propose(N1, &[1]);
    group.persist(N1);
    group.deliver_where(to(N2));
    group.persist(N2);
    assert_eq!(group.take_where(from(N2)).len(), 1);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.view(N1).commit, LogIndex(2));
}

#[test]
fn a_restarted_follower_catches_up() {
    let mut group = Group::with_leader(3, one_entry_a_message());
    group.crash(N3, 0);
    for size in 1..=20 {
        group.propose(N1, &[size]);
    }
    group.settle();
    group.restart(N3);
    group.heartbeat(N1);
    group.settle();
    assert_eq!(group.node(N3).applied, group.node(N1).applied);
    assert_eq!(group.node(N3).applied.len(), 21);
}

#[test]
fn a_leader_never_changes_its_own_log() {
    let mut group = Group::with_leader(3, Options::default());
    group.isolate(&[N1]);
    group.propose(N1, &[1, 2, 3]);
    group.settle();
    let alone = group.log(N1);
    group.campaign(N2);
    group.propose(N2, &[9]);
    group.settle();
    assert_eq!(group.log(N1), alone, "as long as it leads");
    group.heal();
    group.heartbeat(N2);
    group.settle();
    assert_eq!(group.log(N1), group.log(N2), "then it is a follower like any other");
}

#[test]
#[should_panic(expected = "two leaders in term 1")]
fn a_second_leader_of_the_same_term_is_a_broken_invariant() {
    let mut group = Group::with_leader(3, Options::default());
    group.deliver(append(N2, N1, 1, (0, 0), &[]));
}
