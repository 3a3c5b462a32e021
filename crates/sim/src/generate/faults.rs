//! What goes wrong, and when.
//!
//! Each fault has a stream of its own, keyed by its kind and its number among its kind.

use super::membership::Churn;
use super::{Draw, drift, signed};
use crate::engine::{Fault, FileKind, Nanos, NodeId, Noise, ScheduledFault, Stream, WorldTime};
use crate::scenario::{
    BitRotSpec, ClockDriftSpec, ClockJumpSpec, DiskErrorSpec, DiskFullSpec, DownSpec, Extent,
    MisdirectedSpec, NoiseSpec, OneWayShape, OneWaySpec, PartitionShape, PartitionSpec, PauseSpec,
    SlowDiskSpec, SlowLinkSpec, Spec, Within,
};
use crate::schedule::ClusterPlan;

/// All faults, in the order in which they begin.
pub(super) fn draw(
    spec: &Spec,
    draw: Draw,
    cluster: &ClusterPlan,
    churn: &Churn,
    clients: u32,
) -> Vec<ScheduledFault> {
    let nodes = cluster.member_nodes();
    let mut mix = Mix {
        spec,
        draw,
        churn,
        members: churn.around(Nanos::ZERO),
        nodes: (0..nodes).map(NodeId).collect(),
        clients: (nodes..nodes + clients).map(NodeId).collect(),
        intensity: intensity(spec, draw),
        faults: Vec::new(),
    };
    let kinds = &spec.faults;
    mix.kind("crash", &kinds.crash, |kind| kind.count, crash);
    mix.kind("power_loss", &kinds.power_loss, |kind| kind.count, power_loss);
    mix.kind("pause", &kinds.pause, |kind| kind.count, pause);
    mix.kind("partition", &kinds.partition, |kind| kind.count, partition);
    mix.kind("one_way", &kinds.one_way, |kind| kind.count, one_way);
    mix.kind("slow_link", &kinds.slow_link, |kind| kind.count, slow_link);
    mix.kind("noise", &kinds.noise, |kind| kind.count, noise);
    mix.kind("clock_jump", &kinds.clock_jump, |kind| kind.count, clock_jump);
    mix.kind("clock_drift", &kinds.clock_drift, |kind| kind.count, clock_drift);
    mix.kind("slow_disk", &kinds.slow_disk, |kind| kind.count, slow_disk);
    mix.kind("write_error", &kinds.write_error, |kind| kind.count, write_error);
    mix.kind("sync_error", &kinds.sync_error, |kind| kind.count, sync_error);
    mix.kind("disk_full", &kinds.disk_full, |kind| kind.count, disk_full);
    mix.kind("bit_rot", &kinds.bit_rot, |kind| kind.count, bit_rot);
    let kind = &kinds.misdirected_write;
    mix.kind("misdirected_write", kind, |kind| kind.count, misdirected_write);
    mix.kind("misdirected_read", &kinds.misdirected_read, |kind| kind.count, misdirected_read);
    let mut faults = mix.faults;
    // Later ones, of a loop that goes on, would begin after the faults are over.
    faults.retain(|fault| fault.at < WorldTime::ZERO + spec.phases.fault_time);
    faults.sort_by_key(|fault| fault.at);
    within_budget(&mut faults);
    faults
}

/// Damage to two members' disks that comes closer together than this is not planned.
const DAMAGE_APART: Nanos = Nanos::from_millis(500);

/// Leaves out damage that would come to a disk when another one was damaged only just before. Whether
/// that one has got over it by then is looked at again when the time has come.
fn within_budget(faults: &mut Vec<ScheduledFault>) {
    let mut last: Option<(WorldTime, NodeId)> = None;
    faults.retain(|planned| {
        let Some(node) = planned.fault.disk().filter(|_| planned.fault.destroys()) else {
            return true;
        };
        let close =
            last.is_some_and(|(at, other)| other != node && planned.at.since(at) < DAMAGE_APART);
        if !close {
            last = Some((planned.at, node));
        }
        !close
    });
}

/// By how much the numbers of faults are scaled, in parts per million.
fn intensity(spec: &Spec, draw: Draw) -> u64 {
    let Some(swarm) = &spec.swarm else { return 1_000_000 };
    let mut stream = draw.stream("intensity", 0, 0);
    let within = *swarm.intensity.draw(&mut stream);
    u64::from(within.draw(&mut stream).0)
}

/// What the faults are drawn from, and those drawn so far.
struct Mix<'a> {
    spec: &'a Spec,
    draw: Draw,
    churn: &'a Churn,
    /// Who belongs to the cluster when the present fault begins.
    members: Vec<NodeId>,
    /// All that ever may.
    nodes: Vec<NodeId>,
    clients: Vec<NodeId>,
    intensity: u64,
    faults: Vec<ScheduledFault>,
}

impl Mix<'_> {
    fn kind<K>(
        &mut self,
        name: &'static str,
        kind: &Option<K>,
        count: impl Fn(&K) -> Within<u32>,
        one: impl Fn(&K, WorldTime, &mut Stream, &mut Mix<'_>),
    ) {
        let Some(kind) = kind else { return };
        let mut stream = self.draw.stream(name, 0, 0);
        let count = u64::from(count(kind).draw(&mut stream));
        let present = self.spec.swarm.as_ref().is_none_or(|swarm| stream.chance(swarm.kinds.0));
        if !present {
            return;
        }
        // Rounded up, so that few do not become none.
        let count = (count * self.intensity).div_ceil(1_000_000);
        for number in 0..count {
            let mut stream = self.draw.stream(name, number, 1);
            let at = Within::new(Nanos::ZERO, self.spec.phases.fault_time).draw(&mut stream);
            self.members = self.churn.around(at);
            if self.members.len() < 2 {
                // Links are between two.
                self.members.clone_from(&self.nodes);
            }
            one(kind, WorldTime::ZERO + at, &mut stream, self);
        }
    }

    fn push(&mut self, at: WorldTime, fault: Fault) {
        self.faults.push(ScheduledFault { at, fault });
    }

    fn any(&self, stream: &mut Stream) -> NodeId {
        *stream.pick(&self.members)
    }

    /// Two different members.
    fn two(&self, stream: &mut Stream) -> (NodeId, NodeId) {
        let shuffled = self.shuffled(stream);
        (shuffled[0], shuffled[1])
    }

    /// A member, and a time at which it is down: the middle of a time drawn so far.
    fn downtime(&self, stream: &mut Stream) -> Option<(NodeId, WorldTime)> {
        let downs: Vec<(NodeId, WorldTime)> = self.faults.iter().flat_map(middle_of_down).collect();
        (!downs.is_empty()).then(|| *stream.pick(&downs))
    }

    fn shuffled(&self, stream: &mut Stream) -> Vec<NodeId> {
        let mut members = self.members.clone();
        for last in (1..members.len()).rev() {
            let other = stream.below(last as u64 + 1) as usize;
            members.swap(last, other);
        }
        members
    }

    fn victims(&self, extent: Extent, stream: &mut Stream) -> Vec<NodeId> {
        let members = self.members.len() as u64;
        let bits = stream.next_u64();
        let between = |least: u64, most: u64| least + bits % (most.max(least) - least + 1);
        let number = match extent {
            Extent::One => 1,
            Extent::Minority => between(1, (members - 1) / 2),
            Extent::Majority => between(members / 2 + 1, (members - 1).max(members / 2 + 1)),
            Extent::All => members,
        };
        let mut victims = self.shuffled(stream);
        victims.truncate(number as usize);
        victims.sort_unstable();
        victims
    }
}

/// Whom a fault keeps down, and when half of that time is over.
fn middle_of_down(planned: &ScheduledFault) -> Vec<(NodeId, WorldTime)> {
    let (nodes, down_for) = match &planned.fault {
        Fault::Crash { node, down_for } => (std::slice::from_ref(node), *down_for),
        Fault::PowerLoss { nodes, down_for } => (&nodes[..], *down_for),
        _ => return Vec::new(),
    };
    let middle = planned.at + Nanos::from_nanos(down_for.as_nanos() / 2);
    nodes.iter().map(|node| (*node, middle)).collect()
}

fn crash(kind: &DownSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let victims = mix.victims(*kind.victims.draw(stream), stream);
    let times = kind.times.draw(stream);
    for node in victims {
        let mut at = at;
        for _ in 0..times {
            let down_for = kind.down.draw(stream);
            mix.push(at, Fault::Crash { node, down_for });
            at = at + down_for + kind.up.draw(stream);
        }
    }
}

fn power_loss(kind: &DownSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let nodes = mix.victims(*kind.victims.draw(stream), stream);
    let mut at = at;
    for _ in 0..kind.times.draw(stream) {
        let down_for = kind.down.draw(stream);
        mix.push(at, Fault::PowerLoss { nodes: nodes.clone(), down_for });
        at = at + down_for + kind.up.draw(stream);
    }
}

fn pause(kind: &PauseSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    for node in mix.victims(*kind.victims.draw(stream), stream) {
        mix.push(at, Fault::Pause { node, lasts: kind.lasts.draw(stream) });
    }
}

fn partition(kind: &PartitionSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let lasts = kind.lasts.draw(stream);
    let shape = *kind.shapes.draw(stream);
    let with_clients = stream.chance(kind.with_clients.0);
    let shuffled = mix.shuffled(stream);
    let two_groups = |first: usize, second_from: usize| {
        vec![shuffled[..first].to_vec(), shuffled[second_from..].to_vec()]
    };
    let mut groups = match shape {
        PartitionShape::One => two_groups(1, 1),
        PartitionShape::Minority => {
            let most = ((shuffled.len() - 1) / 2).max(1) as u64;
            let size = 1 + stream.below(most) as usize;
            two_groups(size, size)
        }
        PartitionShape::Halves => {
            let size = 1 + stream.below(shuffled.len() as u64 - 1) as usize;
            two_groups(size, size)
        }
        PartitionShape::All => shuffled.iter().map(|member| vec![*member]).collect(),
        PartitionShape::Pair => vec![vec![shuffled[0]], vec![shuffled[1]]],
        PartitionShape::Bridge => {
            // The member between the two groups is in none, so it reaches everybody.
            let middle = shuffled.len() / 2;
            two_groups(middle, (middle + 1).min(shuffled.len() - 1))
        }
        PartitionShape::Ring => return ring(at, lasts, &shuffled, mix),
    };
    for client in mix.clients.clone() {
        let side = stream.below(groups.len() as u64) as usize;
        if with_clients {
            groups[side].push(client);
        }
    }
    // Who does not belong to the cluster at the time stands on one side as well, unless some of
    // those who do reach everybody.
    let divides_all = !matches!(shape, PartitionShape::Pair | PartitionShape::Bridge);
    for stray in mix.nodes.iter().filter(|node| divides_all && !mix.members.contains(node)) {
        let side = stream.below(groups.len() as u64) as usize;
        groups[side].push(*stray);
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    mix.push(at, Fault::Partition { groups, lasts });
}

/// Everybody is cut off from all but its two neighbours.
fn ring(at: WorldTime, lasts: Nanos, members: &[NodeId], mix: &mut Mix<'_>) {
    let number = members.len();
    for (place, member) in members.iter().enumerate() {
        let far = (2..number.saturating_sub(1)).map(|step| members[(place + step) % number]);
        let to: Vec<NodeId> = far.collect();
        if !to.is_empty() {
            mix.push(at, Fault::OneWay { from: vec![*member], to, lasts });
        }
    }
}

fn one_way(kind: &OneWaySpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let lasts = kind.lasts.draw(stream);
    let shape = *kind.shapes.draw(stream);
    let shuffled = mix.shuffled(stream);
    let (one, others) = shuffled.split_at(1);
    let (from, to) = match shape {
        OneWayShape::Mute => (one, others),
        OneWayShape::Deaf => (others, one),
        OneWayShape::Pair => (one, &others[..1]),
        OneWayShape::Halves => {
            shuffled.split_at(1 + stream.below(shuffled.len() as u64 - 1) as usize)
        }
    };
    mix.push(at, Fault::OneWay { from: from.to_vec(), to: to.to_vec(), lasts });
}

fn slow_link(kind: &SlowLinkSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let (from, to) = mix.two(stream);
    let (extra, lasts) = (kind.extra.draw(stream), kind.lasts.draw(stream));
    mix.push(at, Fault::SlowLink { from, to, extra, lasts });
}

fn noise(kind: &NoiseSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let lasts = kind.lasts.draw(stream);
    let noise = Noise {
        loss_ppm: kind.loss.draw(stream).0,
        duplicate_ppm: kind.duplicate.draw(stream).0,
        reorder_ppm: kind.reorder.draw(stream).0,
        replay_ppm: kind.replay.draw(stream).0,
        delay: kind.delay.draw(stream),
    };
    mix.push(at, Fault::Noise { noise, lasts });
}

fn clock_jump(kind: &ClockJumpSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    let by = signed(kind.by.draw(stream), stream);
    mix.push(at, Fault::ClockJump { node, by });
}

fn clock_drift(kind: &ClockDriftSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    let ppm = drift(kind.drift.draw(stream), stream);
    mix.push(at, Fault::ClockDrift { node, ppm, lasts: kind.lasts.draw(stream) });
}

fn slow_disk(kind: &SlowDiskSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    let (factor, lasts) = (kind.factor.draw(stream), kind.lasts.draw(stream));
    mix.push(at, Fault::SlowDisk { node, factor, lasts });
}

fn write_error(_: &DiskErrorSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    mix.push(at, Fault::WriteError { node });
}

fn sync_error(_: &DiskErrorSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    mix.push(at, Fault::SyncError { node });
}

fn disk_full(kind: &DiskFullSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let victims = mix.victims(*kind.victims.draw(stream), stream);
    let lasts = kind.lasts.draw(stream);
    for node in victims {
        mix.push(at, Fault::DiskFull { node, lasts });
    }
}

fn bit_rot(kind: &BitRotSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    let (files, bits) = (*kind.files.draw(stream), kind.bits.draw(stream));
    let (node, at) = match files {
        // A member that goes on writing would soon have another end.
        FileKind::LogEnd => mix.downtime(stream).unwrap_or((node, at)),
        _ => (node, at),
    };
    mix.push(at, Fault::BitRot { node, files, bits });
}

/// Only what the store reads is checked against a second source; see the scenarios' README.
fn misdirected_write(_: &MisdirectedSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    mix.push(at, Fault::MisdirectedWrite { node, files: FileKind::Store });
}

fn misdirected_read(_: &MisdirectedSpec, at: WorldTime, stream: &mut Stream, mix: &mut Mix<'_>) {
    let node = mix.any(stream);
    mix.push(at, Fault::MisdirectedRead { node, files: FileKind::Store });
}
