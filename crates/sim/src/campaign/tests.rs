//! What a campaign promises whatever its threads do.

use std::sync::atomic::AtomicBool;

use super::*;

fn options(jobs: usize, seeds: u64) -> CampaignOptions {
    let batch = |name: &str| Batch {
        scenario: Arc::new(Scenario::find(name).expect("it is shipped")),
        seeds,
    };
    CampaignOptions {
        batches: vec![batch("smoke"), batch("crash-loop")],
        from: Seed(1),
        jobs: NonZeroUsize::new(jobs).expect("some jobs"),
        time_limit: None,
        shard: None,
        max_failures: NonZeroUsize::MIN,
    }
}

fn run_quietly(options: &CampaignOptions) -> Report {
    run(options, &AtomicBool::new(false), &mut |_| {})
}

/// A report without what the machine decides.
fn comparable(report: &Report) -> Value {
    let mut json = report.to_json();
    let object = json.as_object_mut().expect("it is an object");
    for field in ["wall_ns", "cpu_ns"] {
        object.remove(field).expect("it is there");
    }
    json
}

use serde_json::Value;

#[test]
fn the_number_of_threads_changes_nothing() {
    let one = run_quietly(&options(1, 6));
    let three = run_quietly(&options(3, 6));
    assert_eq!(one.seeds, 12);
    assert_eq!(comparable(&one), comparable(&three));
}

#[test]
fn progress_is_told_after_each_run_and_stopping_stops() {
    let stop = AtomicBool::new(false);
    let mut told = Vec::new();
    let report = run(&options(1, u64::MAX), &stop, &mut |progress| {
        told.push(*progress);
        stop.store(progress.done == 3, Ordering::Relaxed);
    });
    assert_eq!(report.ended, Ended::Stopped);
    assert_eq!(report.seeds, 3);
    assert_eq!(told.iter().map(|progress| progress.done).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(told[2].events, report.events);
    assert_eq!(told[2].planned, None);
}

#[test]
fn no_time_means_no_run_and_that_is_a_shortcoming() {
    let report =
        run_quietly(&CampaignOptions { time_limit: Some(Duration::ZERO), ..options(2, 5) });
    assert_eq!((report.ended, report.seeds), (Ended::TimeLimit, 0));
    assert_eq!(report.shortcomings(), [Shortcoming::NothingRun]);
}

#[test]
fn a_scenario_that_never_reaches_its_marks_or_floors_is_told_of() {
    let text = "about = 'too calm'\nmust_reach = ['crash', 'linearizable-read']\n\
                [cluster]\nmembers = 1\nclients = 1\n[phases]\nfault_time = '200ms'\n\
                [workload]\nthink = '5ms'\ntail = '100ms'\n[floors]\nelections = 2";
    let scenario = Arc::new(Scenario::read("calm.toml", text).expect("it is right"));
    let batches = vec![Batch { scenario, seeds: 200 }];
    let report = run_quietly(&CampaignOptions { batches, ..options(2, 0) });
    assert!(report.failures.is_empty(), "{:?}", report.failures.first());
    let shortcomings: Vec<String> = report.shortcomings().iter().map(ToString::to_string).collect();
    assert_eq!(
        shortcomings,
        [
            "calm: 200 of 200 runs tested too little (missed floors: elections in 200); at most 2 \
             % may",
            "calm: 'crash' was never reached in 200 runs",
        ]
    );
    assert_eq!(report.to_json()["unreached"], serde_json::json!(["crash"]));
}

#[test]
fn about_one_run_in_twenty_is_compared() {
    let compared = (0..10_000).filter(|seed| run_twice("swarm", Seed(*seed))).count();
    assert!((400..=600).contains(&compared), "{compared}");
}
