//! How many events a second the engine takes, with processes that do next to nothing.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quorate_sim::engine::{
    DiskConfig, Input, Io, Nanos, NetworkConfig, NoStart, NodeConfig, NodeId, NoiseSeed, Step,
    System, TimerId, View, World, WorldConfig, WorldTime,
};
use serde_json::Value;

const NODES: u32 = 5;
const EVENTS: u64 = 1_000_000;

/// Every process passes each message on. With `heartbeats`, each message also arms a timer anew, as
/// an election timer is, and a timer of its own keeps the process busy.
struct Ping {
    heartbeats: bool,
}

impl System for Ping {
    type Node = u64;
    type Message = u64;
    type Violation = ();

    fn boot(&mut self, io: &mut Io<'_, u64>) -> Result<u64, NoStart> {
        for message in 0..4 {
            io.send(NodeId((io.node().0 + 1) % NODES), message);
        }
        if self.heartbeats {
            io.set_timer(TimerId(1), Nanos::from_millis(1));
        }
        Ok(0)
    }

    fn handle(&mut self, node: &mut u64, input: Input<u64>, io: &mut Io<'_, u64>) {
        *node += 1;
        match input {
            Input::Message { message, .. } => {
                io.send(NodeId((io.node().0 + 1) % NODES), message + 1);
                if self.heartbeats {
                    io.set_timer(TimerId(0), Nanos::from_millis(150));
                }
            }
            Input::Timer(timer) => io.set_timer(timer, Nanos::from_millis(1)),
            Input::Disk { .. } => unreachable!("nothing is written"),
        }
    }

    fn observe(&mut self, _: &Step, _: &View<'_, Self>) -> Result<(), ()> {
        Ok(())
    }

    fn message_digest(&self, message: &u64) -> u64 {
        *message
    }

    fn describe_message(&self, message: &u64) -> Value {
        (*message).into()
    }

    fn describe_node(&self, node: &u64) -> Value {
        (*node).into()
    }
}

fn run(heartbeats: bool) -> u64 {
    // No losses: the number of messages under way has to stay the same.
    let network =
        NetworkConfig { loss_ppm: 0, duplicate_ppm: 0, replay_ppm: 0, ..NetworkConfig::default() };
    let config = WorldConfig {
        noise_seed: NoiseSeed(1),
        nodes: (0..NODES).map(|_| NodeConfig::with_disk()).collect(),
        network,
        disk: DiskConfig::default(),
        event_budget: EVENTS,
    };
    let mut world = World::new(&config, Ping { heartbeats }).expect("a sensible configuration");
    world.run_until(WorldTime::from_secs(100_000)).expect_err("the budget ends it");
    assert_eq!(world.steps(), EVENTS);
    world.trace_hash().value()
}

fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(20);
    group.bench_function("ping", |bencher| bencher.iter(|| run(black_box(false))));
    group.bench_function("ping with timers", |bencher| bencher.iter(|| run(black_box(true))));
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
