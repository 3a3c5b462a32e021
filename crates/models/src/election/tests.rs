//! The election model: complete searches with their counts, and mistakes that have to be found.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stateright::HasDiscoveries;

use super::*;
use crate::report::{Expectation, Outcome, Report, Verdict};
use crate::search::search_until;
use crate::{RunOptions, run};

/// Size of the default space: three servers, two terms, one crash. A change of the protocol
/// changes these; a change of nothing but the code must not.
const DEFAULT_STATES: u64 = 821_057;
const DEFAULT_UNIQUE_STATES: u64 = 210_927;
const DEFAULT_DEPTH: u64 = 22;

fn verdict<'a>(report: &'a Report, name: &str) -> &'a Verdict {
    &report
        .properties
        .iter()
        .find(|property| property.name == name)
        .unwrap_or_else(|| panic!("{name} is a property of the model"))
        .verdict
}

fn always_names() -> BTreeSet<&'static str> {
    properties::properties()
        .iter()
        .filter(|property| property.expectation == stateright::Expectation::Always)
        .map(|property| property.name)
        .collect()
}

#[test]
fn the_default_space_is_searched_completely_and_is_sound() {
    let report = run("election", &RunOptions::default()).expect("the defaults are in bounds");
    assert_eq!(report.outcome(), Outcome::Sound, "{report:#?}");
    assert!(report.complete);
    assert_eq!(
        (report.states, report.unique_states, report.depth),
        (DEFAULT_STATES, DEFAULT_UNIQUE_STATES, DEFAULT_DEPTH)
    );
    for property in &report.properties {
        let expected = match property.expectation {
            Expectation::Always => matches!(property.verdict, Verdict::Holds),
            Expectation::Sometimes => matches!(property.verdict, Verdict::Reached { .. }),
        };
        assert!(expected, "{property:#?}");
    }
}

#[test]
fn threads_do_not_change_what_is_found() {
    let options = RunOptions { threads: NonZeroUsize::new(2), ..RunOptions::default() };
    let report = run("election", &options).expect("the defaults are in bounds");
    assert_eq!(report.outcome(), Outcome::Sound, "{report:#?}");
    assert_eq!((report.states, report.unique_states), (DEFAULT_STATES, DEFAULT_UNIQUE_STATES));
}

#[test]
fn a_second_crash_breaks_nothing() {
    let options = RunOptions { crashes: Some(2), ..RunOptions::default() };
    let report = run("election", &options).expect("two crashes are in bounds");
    assert_eq!(report.outcome(), Outcome::Sound, "{report:#?}");
    assert_eq!((report.states, report.unique_states), (2_115_543, 494_102));
}

#[test]
fn a_stopped_search_is_undecided_and_still_tells_its_paths() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let options = RunOptions {
        stop: Some(Arc::new(move || count.fetch_add(1, Ordering::Relaxed) == 8)),
        ..RunOptions::default()
    };
    let report = run("election", &options).expect("the defaults are in bounds");
    assert_eq!(asked.load(Ordering::Relaxed), 9, "nothing is asked after the stop");
    assert_eq!(report.outcome(), Outcome::Undecided);
    assert!(!report.complete && report.unique_states < DEFAULT_UNIQUE_STATES);
    assert_eq!(verdict(&report, "ElectionSafety"), &Verdict::Undecided);
    let found = verdict(&report, "two candidates in one term");
    assert!(matches!(found, Verdict::Reached { .. }), "{found:?}");
}

#[test]
fn an_example_is_the_shortest_path_told_in_sentences() {
    let report = run("election", &RunOptions::default()).expect("the defaults are in bounds");
    let Verdict::Reached { example } = verdict(&report, "a leader is elected") else {
        panic!("a leader is elected somewhere: {report:#?}");
    };
    let (logs, steps) = example.split_first().expect("a path begins in a state");
    assert!(logs.starts_with("the logs: n1 "), "{logs}");
    assert_eq!(
        steps,
        [
            "n1 times out: begins to write term 3 with a vote for n1, is a candidate",
            "n1's oldest write completes: has term 3 with a vote for n1 on disk, \
             sends a vote request of term 3",
            "n2 receives n1's vote request of term 3: begins to write term 3 with a vote for n1",
            "n2's oldest write completes: has term 3 with a vote for n1 on disk, \
             sends n1 a vote of term 3",
            "n1 receives n2's vote of term 3: is elected, sends a heartbeat of term 3",
        ]
    );
}

/// Mistake, servers, and the properties that have to report it.
const CAUGHT: &[(Mistake, u8, &[&str])] = &[
    (Mistake::ForgetsVote, 3, &["MonotonicTermAndVote", "OneVoteATerm", "ElectionSafety"]),
    (Mistake::ForgetsTerm, 3, &["MonotonicTermAndVote", "MessageTerm", "ElectionSafety"]),
    (Mistake::VotesTwice, 3, &["MonotonicTermAndVote", "OneVoteATerm", "ElectionSafety"]),
    (
        Mistake::AnswersBeforePersisting,
        3,
        &["VoteBeforeAnswer", "MessageTerm", "OneVoteATerm", "ElectionSafety"],
    ),
    (Mistake::AsksBeforePersisting, 3, &["MessageTerm", "OneVoteATerm"]),
    (Mistake::SkipsLogCheck, 3, &["MoreUpToDate", "LeaderIsUpToDate"]),
    (Mistake::ComparesLengthOnly, 5, &["MoreUpToDate", "LeaderIsUpToDate"]),
    (Mistake::AcceptsOlderTerm, 3, &["MonotonicTermAndVote"]),
    (Mistake::CountsOlderVotes, 3, &["LeaderHasQuorum", "ElectionSafety"]),
    (Mistake::CountsRepeatedVotes, 5, &["LeaderHasQuorum"]),
    (Mistake::SmallQuorum, 3, &["LeaderHasQuorum", "ElectionSafety"]),
];

#[test]
fn every_planted_mistake_is_discovered() {
    for &(mistake, servers, expected) in CAUGHT {
        let size = Size { servers, terms: 2, crashes: 1 };
        let wanted = HasDiscoveries::AllOf(expected.iter().copied().collect());
        let model = Election::new(size, mistake);
        let report = search_until("election", size, model, &RunOptions::default(), wanted);
        assert_eq!(report.outcome(), Outcome::Violated, "{mistake:?}");
        for name in expected {
            let Verdict::Violated { counterexample } = verdict(&report, name) else {
                panic!("{mistake:?} does not break {name}: {report:#?}");
            };
            assert!(counterexample.len() >= 2, "{mistake:?} breaks {name} by a step");
        }
    }
}

#[test]
fn every_property_that_always_holds_is_broken_by_some_mistake() {
    let broken: BTreeSet<_> =
        CAUGHT.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
    assert_eq!(broken, always_names());
}

#[test]
fn a_limit_of_states_ends_the_search_undecided() {
    let options = RunOptions { state_limit: Some(1000), ..RunOptions::default() };
    let report = run("election", &options).expect("the defaults are in bounds");
    assert_eq!(report.outcome(), Outcome::Undecided);
    assert!((1000..20_000).contains(&report.unique_states), "{}", report.unique_states);

    let options = RunOptions { state_limit: Some(DEFAULT_UNIQUE_STATES), ..options };
    let report = run("election", &options).expect("the defaults are in bounds");
    assert_eq!(report.outcome(), Outcome::Sound, "a limit that suffices limits nothing");
}
