//! What a verdict costs: etcd and register histories of a store that keeps its promises, with one
//! operation in twenty of unknown outcome.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::Random;
use common::generate::{self, Made, Shape};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quorate_checker::{Options, Verdict, check};
use quorate_history::Model;

type Generate = fn(&Shape, &mut Random) -> Vec<Made>;

const MODELS: [(&str, Model, Generate); 2] =
    [("etcd", Model::Etcd, generate::etcd), ("register", Model::Register, generate::register)];

fn verdicts(criterion: &mut Criterion) {
    for (name, model, make) in MODELS {
        let mut group = criterion.benchmark_group(name);
        for operations in [1_000, 100_000] {
            let shape = Shape {
                operations,
                clients: 10,
                keys: 100,
                unknown_percent: 5,
                ticks: 50,
                compacts: false,
                unique_values: true,
            };
            let made = make(&shape, &mut Random(1));
            let history = generate::history(model, &made);
            group.throughput(Throughput::Elements(operations));
            group.sample_size(if operations > 10_000 { 10 } else { 50 });
            group.bench_function(BenchmarkId::from_parameter(operations), |bencher| {
                bencher.iter(|| {
                    let report = check(black_box(&history), &Options::default());
                    assert_eq!(report.verdict, Verdict::Valid);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
