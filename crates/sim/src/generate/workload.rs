//! What the clients do.

use super::Draw;
use super::membership::Churn;
use crate::engine::{Nanos, NodeId, Stream, scale};
use crate::scenario::{ActionKind, Spec};
use crate::schedule::{Action, ClientPlan, Key, PlannedOperation, Value};

/// The numbers of one client's values lie between this many times its own number and its
/// successor's, so that a value tells who wrote it, and none is written twice.
const VALUES_A_CLIENT: u32 = 10_000;
/// One value in so many ends in zeros, and in how many: so many that whole sectors of a disk are zero.
const PADDED_IN: u64 = 24;
const ZEROS: (u64, u64) = (600, 3_000);
/// How much more often than others a client that mostly reads does so.
const READERS_WEIGHT: u64 = 6;
/// How many revisions back a read of the past goes at most.
const FARTHEST_BACK: u64 = 24;
/// How many of the last revisions a compaction keeps at least, and how many more at most.
const KEEP: (u64, u64) = (5, 60);
/// One operation in so many asks anybody, member or not.
const STRAY_IN: u64 = 12;

pub(super) fn draw(
    spec: &Spec,
    draw: Draw,
    churn: &Churn,
    nodes: u32,
    clients: u32,
) -> Vec<ClientPlan> {
    let keys = spec.workload.keys.draw(&mut draw.stream("keys", 0, 0));
    let who = Who { churn, nodes };
    (0..clients).map(|client| plan(spec, draw, who, client, keys)).collect()
}

/// Who can be asked.
#[derive(Clone, Copy)]
struct Who<'a> {
    churn: &'a Churn,
    /// Members and spares.
    nodes: u32,
}

impl Who<'_> {
    /// Mostly somebody who belongs to the cluster at about that time.
    fn any(self, at: Nanos, stream: &mut Stream) -> NodeId {
        let members = self.churn.around(at);
        let bits = stream.next_u64();
        // Stale answers come from those who do not know yet that they have left.
        let strays = self.nodes as usize > members.len() && bits.is_multiple_of(STRAY_IN);
        let index = |number: usize| scale(bits, number as u64) as usize;
        if strays {
            NodeId(index(self.nodes as usize) as u32)
        } else {
            members[index(members.len())]
        }
    }
}

/// What kind of client it is.
struct Habits {
    /// Whether it asks one member only: that of its first operation.
    sticky: bool,
    /// What it does, with weights.
    weights: Vec<(ActionKind, u64)>,
}

fn habits(spec: &Spec, draw: Draw, client: u32) -> Habits {
    let workload = &spec.workload;
    let mut stream = draw.stream("habits", u64::from(client), 0);
    let sticky = stream.chance(workload.sticky.0);
    let reader = stream.chance(workload.readers.0);
    let weight = |(kind, weight, reads): (ActionKind, u32, bool)| {
        let weight = u64::from(weight);
        (kind, if reader && reads { weight * READERS_WEIGHT } else { weight })
    };
    Habits { sticky, weights: workload.weights.all().into_iter().map(weight).collect() }
}

fn plan(spec: &Spec, draw: Draw, who: Who<'_>, client: u32, keys: u32) -> ClientPlan {
    let workload = &spec.workload;
    let habits = habits(spec, draw, client);
    let mut stream = draw.stream("operations", u64::from(client), 0);
    let mut padding = draw.stream("padding", u64::from(client), 0);
    let busy_until = spec.phases.fault_time + workload.tail;
    let mut thought = Nanos::ZERO;
    let mut operations = Vec::new();
    while operations.len() < workload.operations as usize && thought <= busy_until {
        let think = workload.think.draw(&mut stream);
        // Operations are written in whole microseconds.
        let think = Nanos::from_micros(think.as_nanos() / 1_000);
        let think = if stream.chance(workload.bursts.0) { Nanos::ZERO } else { think };
        let member = who.any(thought, &mut stream);
        let number = client * VALUES_A_CLIENT + operations.len() as u32;
        let value = Value { number, zeros: zeros(&mut padding) };
        let action = action(&habits.weights, keys, value, &mut stream);
        let home = operations.first().map(|first: &PlannedOperation| first.member);
        let member = home.filter(|_| habits.sticky).unwrap_or(member);
        operations.push(PlannedOperation { think, member, action });
        thought += think;
    }
    ClientPlan { operations }
}

/// How many zeros a value ends in; mostly none.
fn zeros(stream: &mut Stream) -> u32 {
    let (is_padded, more) = (stream.below(PADDED_IN) == 0, stream.below(ZEROS.1 - ZEROS.0 + 1));
    if is_padded { (ZEROS.0 + more) as u32 } else { 0 }
}

/// Draws an action. Takes the same number of draws whatever it is.
fn action(weights: &[(ActionKind, u64)], keys: u32, value: Value, stream: &mut Stream) -> Action {
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut ticket = stream.below(total);
    let drawn = weights.iter().find(|(_, weight)| {
        let hit = ticket < *weight;
        ticket = ticket.saturating_sub(*weight);
        hit
    });
    let (kind, _) = drawn.expect("a ticket lies below the sum of the weights");
    let first = stream.below(u64::from(keys)) as u32;
    let apart = 1 + stream.below(u64::from(keys) - 1) as u32;
    let number = stream.next_u64();
    let (key, other) = (Key(first), Key((first + apart) % keys));
    match kind {
        ActionKind::Put => Action::Put(key, value),
        ActionKind::Get => Action::Get(key),
        ActionKind::GetSerializable => Action::GetSerializable(key),
        ActionKind::GetBack => Action::GetBack(key, 1 + (number % FARTHEST_BACK) as u32),
        ActionKind::List => Action::List(limit(number)),
        ActionKind::ListSerializable => Action::ListSerializable(limit(number)),
        ActionKind::Delete => Action::Delete(key),
        ActionKind::DeleteRange => {
            // The store compares bytes: k10 comes before k2.
            let in_order = key.to_string() < other.to_string();
            let (from, to) = if in_order { (key, other) } else { (other, key) };
            Action::DeleteRange(from, to)
        }
        ActionKind::CompareAndSwap => Action::CompareAndSwap(key, value),
        ActionKind::WriteBoth => Action::WriteBoth(key, other, value),
        ActionKind::ReadBoth => Action::ReadBoth(key, other),
        ActionKind::Compact => Action::Compact((KEEP.0 + number % KEEP.1) as u32),
    }
}

/// A page's size; in half of the cases none.
fn limit(number: u64) -> u32 {
    (number % 8).saturating_sub(3) as u32
}
