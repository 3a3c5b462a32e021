//! From a scenario and a seed to a schedule.
//!
//! Every draw comes from a stream keyed by its purpose and its entity, and every entity takes its
//! draws whether it needs them or not: a new field in a scenario, or one more fault of one kind,
//! leaves all other entries of the schedule as they were. Nothing is run here.

mod faults;
mod membership;
mod workload;

use crate::engine::{DiskConfig, DriftPpm, Nanos, NetworkConfig, NoiseSeed, SignedNanos, Stream};
use crate::scenario::{Choices, Quantity};
use crate::scenario::{LimitsSpec, Ppm, Scenario, Spec, Within};
use crate::schedule::{
    ClockPlan, ClusterPlan, FORMAT, LeasePlan, LimitsPlan, OperatorAction, Phases, Schedule,
    SnapshotPlan,
};
use crate::seed::Seed;

/// Priorities go from 0 up to this.
const HIGHEST_PRIORITY: u64 = 3;
/// For so long an operator waits for old messages to be gone, and not longer.
const LONGEST_DRAIN: Nanos = Nanos::from_millis(2_500);

/// The schedule that `seed` draws from `scenario`: the same on every machine.
pub fn generate(scenario: &Scenario, seed: Seed) -> Schedule {
    let spec = scenario.spec();
    let draw = Draw { seed: NoiseSeed(seed.0) };
    let members = *spec.cluster.members.draw(&mut draw.stream("members", 0, 0));
    let churn = membership::draw(spec, draw, members);
    let cluster = cluster(spec, draw, members, churn.spares);
    let clients = spec.cluster.clients.draw(&mut draw.stream("clients", 0, 0));
    let faults = faults::draw(spec, draw, &cluster, &churn, clients);
    let nodes = cluster.member_nodes();
    let mut schedule = Schedule {
        format: FORMAT,
        scenario: scenario.name().to_owned(),
        seed,
        noise_seed: Seed(draw.stream("noise-seed", 0, 0).next_u64()),
        phases: Phases {
            heal_at: spec.phases.fault_time,
            live_within: spec.phases.live_within,
            event_budget: spec.phases.event_budget,
        },
        floors: spec.floors.clone(),
        network: network(spec, draw),
        disk: disk(spec, draw),
        clocks: (0..nodes).map(|member| clock(spec, draw, member)).collect(),
        clients: workload::draw(spec, draw, &churn, nodes, clients),
        operator: churn.operator,
        faults,
        cluster,
    };
    // Where old messages may live for long, who returns does so with its disk.
    if schedule.longest_message().is_none_or(|longest| longest > LONGEST_DRAIN) {
        let replaces = |action: &OperatorAction| matches!(action, OperatorAction::ReplaceDisk(_));
        schedule.operator.operations.retain(|planned| !replaces(&planned.action));
    }
    schedule.cluster.lease = lease(spec, draw, &schedule);
    schedule
}

/// Where draws come from.
#[derive(Clone, Copy, Debug)]
struct Draw {
    seed: NoiseSeed,
}

impl Draw {
    /// The stream of a purpose, for up to two entities.
    fn stream(self, purpose: &str, first: u64, second: u64) -> Stream {
        // The prefix keeps these streams apart from those of the engine.
        Stream::new(self.seed, &format!("generate/{purpose}"), first, second)
    }
}

fn cluster(spec: &Spec, draw: Draw, members: u32, spares: u32) -> ClusterPlan {
    let cluster = &spec.cluster;
    ClusterPlan {
        members,
        spares,
        election_timeout: cluster.election_timeout.draw(&mut draw.stream("election-timeout", 0, 0)),
        heartbeat: cluster.heartbeat,
        request_timeout: cluster.request_timeout,
        read_retry: cluster.read_retry,
        client_timeout: cluster.client_timeout,
        wal_segment_bytes: cluster.wal_segment.draw(&mut draw.stream("wal-segment", 0, 0)).0,
        priorities: priorities(spec, draw, members + spares),
        snapshots: snapshots(spec, draw),
        limits: limits(spec, draw),
        // It depends on what the clocks do.
        lease: None,
    }
}

/// Whether a table of the scenario is there in this run: in a swarm by chance.
fn is_present(spec: &Spec, stream: &mut Stream) -> bool {
    spec.swarm.as_ref().is_none_or(|swarm| stream.chance(swarm.kinds.0))
}

fn snapshots(spec: &Spec, draw: Draw) -> SnapshotPlan {
    let mut stream = draw.stream("snapshots", 0, 0);
    let present = is_present(spec, &mut stream);
    let Some(snapshots) = spec.snapshots.as_ref().filter(|_| present) else {
        return SnapshotPlan::default();
    };
    let every = u64::from(snapshots.every.draw(&mut stream));
    SnapshotPlan { every, keep: u64::from(snapshots.keep.draw(&mut stream)) }
}

/// The limits of this run: those of the scenario, or those of a real cluster.
fn limits_spec(spec: &Spec, draw: Draw) -> Option<&LimitsSpec> {
    let present = is_present(spec, &mut draw.stream("limits", 0, 0));
    spec.limits.as_ref().filter(|_| present)
}

fn limits(spec: &Spec, draw: Draw) -> LimitsPlan {
    let Some(limits) = limits_spec(spec, draw) else { return LimitsPlan::default() };
    let stream = |name| draw.stream(name, 0, 0);
    LimitsPlan {
        entries_per_message: drawn(&limits.entries_per_message, stream("limits-entries")),
        bytes_per_message: drawn(&limits.bytes_per_message, stream("limits-bytes")).0,
        inflight_messages: drawn(&limits.inflight_messages, stream("limits-inflight")),
        inflight_bytes: drawn(&limits.inflight_bytes, stream("limits-inflight-bytes")).0,
        uncommitted_bytes: drawn(&limits.uncommitted_bytes, stream("limits-uncommitted")).0,
    }
}

fn drawn<T: Quantity>(choices: &Choices<Within<T>>, mut stream: Stream) -> T {
    let within = *choices.draw(&mut stream);
    within.draw(&mut stream)
}

fn priorities(spec: &Spec, draw: Draw, nodes: u32) -> Vec<u32> {
    let Some(limits) = limits_spec(spec, draw) else { return Vec::new() };
    let mut stream = draw.stream("priorities", 0, 0);
    if !stream.chance(limits.priorities.0) {
        return Vec::new();
    }
    (0..nodes).map(|_| stream.below(HIGHEST_PRIORITY + 1) as u32).collect()
}

/// Leases under a bound that the clocks really keep to, unless the scenario names another one.
fn lease(spec: &Spec, draw: Draw, schedule: &Schedule) -> Option<LeasePlan> {
    let leases = spec.leases.as_ref()?;
    let wanted = draw.stream("leases", 0, 0).chance(leases.share.0);
    let bound = leases.bound.map(|bound| bound.0).or_else(|| schedule.clock_bound());
    bound.filter(|_| wanted).map(|clock_drift_ppm| LeasePlan { clock_drift_ppm })
}

fn network(spec: &Spec, draw: Draw) -> NetworkConfig {
    let network = &spec.network;
    let time = |name: &str, within: Within<Nanos>| within.draw(&mut draw.stream(name, 0, 0));
    // In a swarm each kind of mischief is there or not, like the faults.
    let mischief = |name: &str, within: Within<Ppm>| {
        let mut stream = draw.stream(name, 0, 0);
        let rate = within.draw(&mut stream).0;
        let present = spec.swarm.as_ref().is_none_or(|swarm| stream.chance(swarm.kinds.0));
        if present { rate } else { 0 }
    };
    NetworkConfig {
        base: time("network-base", network.base),
        jitter: time("network-jitter", network.jitter),
        tail_ppm: network.tails.draw(&mut draw.stream("network-tails", 0, 0)).0,
        tail: time("network-tail", network.tail),
        loss_ppm: mischief("network-loss", network.loss),
        duplicate_ppm: mischief("network-duplicate", network.duplicate),
        reorder_ppm: mischief("network-reorder", network.reorder),
        reorder: time("network-reorder-by", network.reorder_by),
        replay_ppm: mischief("network-replay", network.replay),
        replay: time("network-replay-after", network.replay_after),
    }
}

fn disk(spec: &Spec, draw: Draw) -> DiskConfig {
    let time = |name: &str, within: Within<Nanos>| within.draw(&mut draw.stream(name, 0, 0));
    DiskConfig {
        write: time("disk-write", spec.disk.write),
        sync: time("disk-sync", spec.disk.sync),
        jitter: time("disk-jitter", spec.disk.jitter),
        tail_ppm: spec.disk.tails.draw(&mut draw.stream("disk-tails", 0, 0)).0,
        tail: time("disk-tail", spec.disk.tail),
    }
}

fn clock(spec: &Spec, draw: Draw, member: u32) -> ClockPlan {
    let mut stream = draw.stream("clock", u64::from(member), 0);
    let offset = signed(spec.clocks.offset.draw(&mut stream), &mut stream);
    let drift = drift(spec.clocks.drift.draw(&mut stream), &mut stream);
    ClockPlan { offset, drift }
}

/// A time of either sign.
fn signed(magnitude: Nanos, stream: &mut Stream) -> SignedNanos {
    let magnitude = i64::try_from(magnitude.as_nanos()).expect("a scenario's times are hours long");
    SignedNanos::from_nanos(if stream.chance(500_000) { -magnitude } else { magnitude })
}

/// A drift of either sign.
fn drift(magnitude: Ppm, stream: &mut Stream) -> DriftPpm {
    let magnitude = i32::try_from(magnitude.0).expect("a share is at most a million");
    DriftPpm(if stream.chance(500_000) { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests;
