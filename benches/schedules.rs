//! How many schedules a second a core lives through, with all faults and checks on.
//!
//! Criterion measures wall time; `quorate sim` prints the same per CPU-second, which is the figure
//! of docs/performance.md.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_sim::cluster::{RunOptions, run};
use quorate_sim::scenario::Scenario;
use quorate_sim::{Seed, generate};

fn schedules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schedules");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for name in ["smoke", "swarm"] {
        let scenario = Scenario::find(name).expect("a shipped scenario");
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed += 1;
                let schedule = Arc::new(generate(&scenario, Seed(seed)));
                let outcome = run(&schedule, RunOptions::default()).expect("it describes a world");
                assert_eq!(outcome.failure, None, "seed {seed}");
                outcome.events
            });
        });
    }
    group.finish();
}

criterion_group!(benches, schedules);
criterion_main!(benches);
