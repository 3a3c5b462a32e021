//! A run depends on its schedule and on nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_sim::cluster::{self, RunOptions};
use quorate_sim::scenario::Scenario;
use quorate_sim::{Seed, generate};

/// What a run leaves: its history as a file's bytes, its trace hash, its counts.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    history: Vec<u8>,
    trace_hash: String,
    events: u64,
    marks: BTreeMap<&'static str, u64>,
}

type Runs = BTreeMap<(String, Seed), Left>;

fn run(scenario: &Scenario, seed: Seed, options: RunOptions) -> Left {
    let schedule = Arc::new(generate(scenario, seed));
    let outcome = cluster::run(&schedule, options).expect("a generated schedule is possible");
    let mut history = Vec::new();
    outcome.history.write(&mut history).expect("a vector takes everything");
    Left {
        history,
        trace_hash: outcome.trace_hash.to_string(),
        events: outcome.events,
        marks: outcome.marks,
    }
}

fn all() -> Vec<(Arc<Scenario>, Seed)> {
    let scenarios = Scenario::shipped().into_iter().map(Arc::new);
    let seeds = |scenario: Arc<Scenario>| {
        [1, 2, 0xdead_beef_0bad_cafe].map(|seed| (Arc::clone(&scenario), Seed(seed)))
    };
    scenarios.flat_map(seeds).collect()
}

fn run_here<'a>(tasks: impl Iterator<Item = &'a (Arc<Scenario>, Seed)>) -> Runs {
    let run = |(scenario, seed): &(Arc<Scenario>, Seed)| {
        let left = run(scenario, *seed, RunOptions::default());
        ((scenario.name().to_owned(), *seed), left)
    };
    tasks.map(run).collect()
}

fn assert_same(one: &Runs, other: &Runs) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (key, left) in one {
        // Histories are long: say which run it is before anything else.
        assert!(left == &other[key], "{key:?} left something else");
    }
}

#[test]
fn the_same_seed_leaves_the_same_bytes_whatever_ran_before_and_wherever() {
    let tasks = all();
    let reference = run_here(tasks.iter());
    assert!(reference.values().all(|left| left.history.len() > 10_000 && left.events > 1_000));
    let hashes: std::collections::BTreeSet<&String> =
        reference.values().map(|left| &left.trace_hash).collect();
    assert_eq!(hashes.len(), tasks.len(), "different seeds have to go different ways");

    assert_same(&reference, &run_here(tasks.iter().rev()));

    let halves = tasks.split_at(tasks.len() / 2);
    #[expect(clippy::disallowed_methods, reason = "the test is about threads")]
    let on_threads = std::thread::scope(|scope| {
        let one = scope.spawn(|| run_here(halves.0.iter()));
        let other = scope.spawn(|| run_here(halves.1.iter()));
        let mut both = one.join().expect("no panic");
        both.extend(other.join().expect("no panic"));
        both
    });
    assert_same(&reference, &on_threads);
}

#[test]
fn recording_a_trace_changes_nothing() {
    for (scenario, seed) in all().iter().step_by(4) {
        let plain = run(scenario, *seed, RunOptions::default());
        let traced = run(scenario, *seed, RunOptions { trace: true });
        assert!(plain == traced, "{} {seed}", scenario.name());
    }
}
