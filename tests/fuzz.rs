//! Fuzzing: at least 2,000 fresh schedules over all shipped scenarios, on all cores.
//!
//! The first seed is another one each time, and printed; `QUORATE_SEED` sets it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the first seed is fresh, unless the environment names one"
)]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use quorate_sim::Seed;
use quorate_sim::artifacts::investigate;
use quorate_sim::campaign::{self, Batch, CampaignOptions, Ended, Found, Report};
use quorate_sim::cluster::{FailureKind, RunOptions};
use quorate_sim::repro::{Program, Repro};
use quorate_sim::scenario::Scenario;
use quorate_sim::shrink::ShrinkLimits;

/// Seeds of each scenario: 2,000 in all at least.
const SEEDS_EACH: u64 = 340;

/// The seed in `QUORATE_SEED`, else one that nobody knew before.
fn first_seed() -> Seed {
    match std::env::var("QUORATE_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("QUORATE_SEED: {error}")),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
            Seed(now.as_nanos() as u64)
        }
    }
}

fn fuzz(from: Seed) -> Report {
    let batch = |scenario| Batch { scenario: Arc::new(scenario), seeds: SEEDS_EACH };
    let options = CampaignOptions {
        batches: Scenario::shipped().into_iter().map(batch).collect(),
        from,
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        time_limit: None,
        shard: None,
        max_failures: NonZeroUsize::new(3).expect("it is not zero"),
    };
    campaign::run(&options, &AtomicBool::new(false), &mut |_| {})
}

#[test]
fn two_thousand_fresh_schedules_hold_every_guarantee() {
    let from = first_seed();
    println!("the first seed is {from}; QUORATE_SEED={from} runs the same schedules again");
    let report = fuzz(from);
    println!("{}", report.to_json());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    for found in &report.failures {
        let told = investigate(found, &out, ShrinkLimits::default(), &Program::default())
            .expect("the target directory can be written to");
        println!("\n{told}\n");
    }
    // A history that the checker could not decide in time says nothing against the cluster; more
    // than one in a thousand would say that the workload is no longer fit to be judged.
    let undecided = |found: &&Found| found.failure.kind == FailureKind::Undecided;
    let left_open = report.failures.iter().filter(undecided).count();
    assert_eq!(report.failures.len(), left_open, "schedules failed, see above");
    assert!(left_open <= 2, "{left_open} histories were left open");
    assert_eq!(report.ended, Ended::Complete);
    assert!(report.seeds >= 2_000, "only {} schedules were run", report.seeds);
    assert!(report.compared > 50, "only {} schedules were run twice", report.compared);
    assert_eq!(report.shortcomings(), [], "the campaign proves too little");
    let empty = report.empty_runs();
    assert!(empty * 50 < report.seeds, "{empty} of {} runs tested too little", report.seeds);
    for scenario in &report.scenarios {
        assert_eq!(scenario.seeds, SEEDS_EACH, "{}", scenario.name);
    }
}

#[test]
fn what_was_found_and_fixed_stays_fixed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim-scenarios/regressions");
    for entry in std::fs::read_dir(directory).expect("the directory is part of the repository") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let repro = Repro::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let file = path.display().to_string();
        let replay = repro.replay(&file, RunOptions::default());
        let failure = replay.unwrap_or_else(|error| panic!("{error}")).outcome.failure;
        assert_eq!(failure, None, "{file}");
    }
}
