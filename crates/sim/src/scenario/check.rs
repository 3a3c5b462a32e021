//! What has to fit together in a scenario, so that every schedule drawn from it is a possible one.

use super::membership;
use super::quantity::{Ppm, Within};
use super::spec::Spec;
use crate::engine::Nanos;
use crate::schedule::{LEAST_TIME, WAL_SEGMENT_BYTES};

/// What is wrong, with which value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The value's tables and its name, joined by dots.
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

pub(super) fn misfit<T>(
    path: &str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Result<T, Misfit> {
    Err(Misfit { path: path.to_owned(), what: what.into(), remedy: remedy.into() })
}

const MOST_MEMBERS: u32 = 9;
const MOST_CLIENTS: u32 = 64;
const MOST_KEYS: u32 = 1_000;
/// Values number a client's operations within ten thousands.
const MOST_OPERATIONS: u32 = 9_999;
const MOST_FAULTS: u32 = 1_000;
const LONGEST: Nanos = Nanos::from_secs(3_600);
/// No clock of the engine runs at less than half its speed.
pub(super) const MOST_DRIFT: Ppm = Ppm(500_000);
/// What the engine takes for a clock, rather than for an error of units.
const FARTHEST_CLOCK: Nanos = Nanos::from_secs(500);

/// # Errors
/// The first thing that does not fit.
pub(crate) fn check(spec: &Spec) -> Result<(), Misfit> {
    check_cluster(spec)?;
    check_times(spec)?;
    check_workload(spec)?;
    check_floors(spec)?;
    membership::check(spec)?;
    check_faults(spec)
}

fn check_cluster(spec: &Spec) -> Result<(), Misfit> {
    let cluster = &spec.cluster;
    for &members in cluster.members.all() {
        if members == 0 || members > MOST_MEMBERS {
            return misfit(
                "cluster.members",
                format!("a cluster of {members} members is not possible"),
                format!("give 1 to {MOST_MEMBERS}"),
            );
        }
    }
    let clients = cluster.clients;
    if clients.least == 0 || clients.most > MOST_CLIENTS {
        return misfit(
            "cluster.clients",
            "without clients nothing is tested, and with too many the history is never judged",
            format!("give 1 to {MOST_CLIENTS}"),
        );
    }
    if cluster.heartbeat < LEAST_TIME {
        return misfit("cluster.heartbeat", "heartbeats without a pause", "give at least 1ms");
    }
    let timeout = cluster.election_timeout.least;
    if timeout < cluster.heartbeat * 2 {
        return misfit(
            "cluster.election_timeout",
            format!(
                "the election timeout {timeout} is less than two heartbeats of {}: followers would \
                 depose every leader",
                cluster.heartbeat
            ),
            "make it at least twice the heartbeat",
        );
    }
    for (name, time) in [
        ("request_timeout", cluster.request_timeout),
        ("read_retry", cluster.read_retry),
        ("client_timeout", cluster.client_timeout),
    ] {
        if time < LEAST_TIME {
            let path = format!("cluster.{name}");
            return misfit(&path, format!("{name} is no time at all"), "give at least 1ms");
        }
    }
    let sizes = [cluster.wal_segment.least, cluster.wal_segment.most];
    if sizes.iter().any(|size| !WAL_SEGMENT_BYTES.contains(&size.0)) {
        return misfit(
            "cluster.wal_segment",
            "a log file holds at least a few records, and at most 1 GiB",
            "give at least 4KiB, and at most 1024MiB",
        );
    }
    Ok(())
}

fn check_times(spec: &Spec) -> Result<(), Misfit> {
    let phases = &spec.phases;
    for (path, time) in
        [("phases.fault_time", phases.fault_time), ("phases.live_within", phases.live_within)]
    {
        if time == Nanos::ZERO || time > LONGEST {
            return misfit(path, format!("{time} is no possible length"), "give up to 1h, not 0");
        }
    }
    if phases.event_budget == 0 {
        return misfit("phases.event_budget", "no step may be taken", "give some 1000000");
    }
    let network = &spec.network;
    let disk = &spec.disk;
    for (path, time) in [
        ("network.base", network.base),
        ("network.jitter", network.jitter),
        ("network.tail", network.tail),
        ("network.reorder_by", network.reorder_by),
        ("network.replay_after", network.replay_after),
        ("disk.write", disk.write),
        ("disk.sync", disk.sync),
        ("disk.jitter", disk.jitter),
        ("disk.tail", disk.tail),
    ] {
        if time.most > LONGEST {
            return misfit(path, format!("{} is too long", time.most), "give at most 1h");
        }
    }
    let cluster = &spec.cluster;
    for (path, time) in [
        ("cluster.election_timeout", cluster.election_timeout.most),
        ("cluster.request_timeout", cluster.request_timeout),
        ("cluster.read_retry", cluster.read_retry),
        ("cluster.client_timeout", cluster.client_timeout),
        ("workload.think", spec.workload.think.most),
        ("workload.tail", spec.workload.tail),
    ] {
        if time > LONGEST {
            return misfit(path, format!("{time} is too long"), "give at most 1h");
        }
    }
    Ok(())
}

fn check_workload(spec: &Spec) -> Result<(), Misfit> {
    let workload = &spec.workload;
    if workload.operations == 0 || workload.operations > MOST_OPERATIONS {
        return misfit(
            "workload.operations",
            format!("{} operations a client are not possible", workload.operations),
            format!("give 1 to {MOST_OPERATIONS}"),
        );
    }
    if workload.keys.least < 2 || workload.keys.most > MOST_KEYS {
        return misfit(
            "workload.keys",
            "operations on two keys and on ranges need at least two of them",
            format!("give 2 to {MOST_KEYS}"),
        );
    }
    if workload.weights.all().iter().all(|(_, weight, _)| *weight == 0) {
        return misfit(
            "workload.weights",
            "all weights are 0, so there is nothing to do",
            "give at least one action a weight",
        );
    }
    if let Some((kind, weight, _)) =
        workload.weights.all().into_iter().find(|(_, weight, _)| *weight > 1_000_000)
    {
        return misfit(
            "workload.weights",
            format!("the weight {weight} of {kind:?} is too large"),
            "give at most 1000000",
        );
    }
    let busy = workload.think.most * u64::from(workload.operations);
    if busy < spec.phases.fault_time {
        return misfit(
            "workload.operations",
            format!(
                "clients of {} operations are done after {busy} at the latest, long before the \
                 faults end at {}",
                workload.operations, spec.phases.fault_time
            ),
            "give more operations, or more time to think between them",
        );
    }
    Ok(())
}

fn check_floors(spec: &Spec) -> Result<(), Misfit> {
    let most = u64::from(spec.workload.operations) * u64::from(spec.cluster.clients.least);
    let floors = &spec.floors;
    for (name, floor) in
        [("operations", floors.operations), ("operations_after_heal", floors.operations_after_heal)]
    {
        if floor > most {
            return misfit(
                &format!("floors.{name}"),
                format!("no run reaches {floor}: its clients do at most {most} operations"),
                "lower the floor, or give the clients more to do",
            );
        }
    }
    Ok(())
}

fn check_faults(spec: &Spec) -> Result<(), Misfit> {
    let faults = &spec.faults;
    let fewest = spec.cluster.members.all().iter().min().copied().unwrap_or(0);
    for (kind, count) in faults.counts() {
        let path = format!("faults.{kind}.count");
        if count.most > MOST_FAULTS {
            return misfit(&path, "so many faults leave nothing to break", "give at most 1000");
        }
        let divides = matches!(kind, "partition" | "one_way" | "slow_link");
        if divides && fewest < 2 {
            return misfit(
                &format!("faults.{kind}"),
                format!("a cluster of one member has no links, so no {kind} is possible"),
                "remove this table, or give cluster.members at least 2",
            );
        }
    }
    for (path, time, most) in fault_times(spec) {
        if time.most > most {
            return misfit(
                path,
                format!("{} is too long", time.most),
                format!("give at most {}", most.to_string().replace(' ', "")),
            );
        }
    }
    let drifts = [
        ("clocks.drift", Some(spec.clocks.drift)),
        ("faults.clock_drift.drift", faults.clock_drift.as_ref().map(|kind| kind.drift)),
    ];
    for (path, drift) in drifts {
        if drift.is_some_and(|drift| drift.most > MOST_DRIFT) {
            return misfit(path, "no clock runs at less than half its speed", "give at most 50%");
        }
    }
    for (path, times) in [
        ("faults.crash.times", faults.crash.as_ref().map(|kind| kind.times)),
        ("faults.power_loss.times", faults.power_loss.as_ref().map(|kind| kind.times)),
    ] {
        if times.is_some_and(|times| times.least == 0 || times.most > MOST_FAULTS) {
            return misfit(path, "a fault happens at least once", "give 1 to 1000, or lower count");
        }
    }
    if faults.bit_rot.as_ref().is_some_and(|kind| kind.bits.least == 0 || kind.bits.most > 64) {
        return misfit("faults.bit_rot.bits", "rot is of a few bits", "give 1 to 64");
    }
    if faults.slow_disk.as_ref().is_some_and(|kind| kind.factor.least < 2) {
        return misfit(
            "faults.slow_disk.factor",
            "a factor below 2 is not slow",
            "give at least 2",
        );
    }
    Ok(())
}

/// Each duration in the faults and the most that makes sense for it.
fn fault_times(spec: &Spec) -> Vec<(&'static str, Within<Nanos>, Nanos)> {
    let faults = &spec.faults;
    let mut times = vec![("clocks.offset", spec.clocks.offset, FARTHEST_CLOCK)];
    if let Some(kind) = &faults.crash {
        times.push(("faults.crash.down", kind.down, LONGEST));
        times.push(("faults.crash.up", kind.up, LONGEST));
    }
    if let Some(kind) = &faults.power_loss {
        times.push(("faults.power_loss.down", kind.down, LONGEST));
        times.push(("faults.power_loss.up", kind.up, LONGEST));
    }
    if let Some(kind) = &faults.slow_link {
        times.push(("faults.slow_link.extra", kind.extra, LONGEST));
    }
    if let Some(kind) = &faults.noise {
        times.push(("faults.noise.delay", kind.delay, LONGEST));
    }
    if let Some(kind) = &faults.clock_jump {
        times.push(("faults.clock_jump.by", kind.by, FARTHEST_CLOCK));
    }
    for (path, lasts) in [
        ("faults.pause.lasts", faults.pause.as_ref().map(|kind| kind.lasts)),
        ("faults.partition.lasts", faults.partition.as_ref().map(|kind| kind.lasts)),
        ("faults.one_way.lasts", faults.one_way.as_ref().map(|kind| kind.lasts)),
        ("faults.slow_link.lasts", faults.slow_link.as_ref().map(|kind| kind.lasts)),
        ("faults.noise.lasts", faults.noise.as_ref().map(|kind| kind.lasts)),
        ("faults.clock_drift.lasts", faults.clock_drift.as_ref().map(|kind| kind.lasts)),
        ("faults.disk_full.lasts", faults.disk_full.as_ref().map(|kind| kind.lasts)),
        ("faults.slow_disk.lasts", faults.slow_disk.as_ref().map(|kind| kind.lasts)),
    ] {
        times.extend(lasts.map(|lasts| (path, lasts, LONGEST)));
    }
    times
}
