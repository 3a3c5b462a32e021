//! One run: a schedule lived through, and judged.
//!
//! First the safety phase, with faults; then everything is healed, and in the liveness phase the
//! cluster has to become whole again within a bound. Invariants look at every step; the history is
//! judged at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quorate_checker::{Options as CheckOptions, Verdict};
use quorate_history::History;
use quorate_member::Member;
use quorate_raft::Role;
use serde_json::{Value, json};

use super::{ClientCounts, Cluster, ClusterNode, to_node};
use crate::engine::{
    Counters, Nanos, NodeConfig, NodeId, NoiseSeed, ScheduledFault, Stop, TraceHash, World,
    WorldConfig, WorldTime,
};
use crate::invariants::{self, Violation};
use crate::panics;
use crate::schedule::Schedule;

/// How often the liveness phase looks whether the cluster is whole.
const LOOK_EVERY: Nanos = Nanos::from_millis(50);
/// How long the liveness phase lasts at least, so that the schedule's clients go on in it.
const LIVE_AT_LEAST: Nanos = Nanos::from_millis(1_500);

/// What to keep of a run besides its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Keep a line for each step.
    pub trace: bool,
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// Two runs of one schedule must have the same.
    pub trace_hash: TraceHash,
    /// Steps taken.
    pub events: u64,
    /// World time lived through.
    pub lived: Nanos,
    /// Faults that took effect.
    pub counters: Counters,
    /// What was reached, and how often.
    pub marks: BTreeMap<&'static str, u64>,
    /// What became of the clients' operations.
    pub operations: ClientCounts,
    /// Entries committed.
    pub commits: u64,
    /// Elections won.
    pub elections: u64,
    /// The floor that was missed: the run has tested too little to count.
    pub empty: Option<&'static str>,
    /// What the clients saw.
    pub history: History,
    /// A line for each step, if they were asked for.
    pub trace: Vec<Value>,
    /// Which of the schedule's faults took effect.
    pub took_effect: Vec<bool>,
    /// The members that were down at the end, since they refused what their disks held, and why.
    /// Without damage to their disks that is a violation.
    pub refusals: BTreeMap<NodeId, String>,
}

/// What went wrong in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of what kind it is.
    pub kind: FailureKind,
    /// What was violated: the name of an invariant, or of a guarantee.
    pub violation: String,
    /// What should have held, in one sentence.
    pub statement: String,
    /// What was seen instead.
    pub message: String,
    /// When.
    pub at: WorldTime,
    /// After how many steps.
    pub step: u64,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// An invariant did not hold after a step.
    Invariant,
    /// The history is not one that the store may give.
    History,
    /// The code panicked.
    Panic,
    /// The event budget was used up.
    Storm,
    /// The cluster did not become whole again.
    Liveness,
    /// The history could not be judged within the checker's limits.
    Undecided,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {}, step {})", self.violation, self.message, self.at, self.step)
    }
}

/// Lives through a schedule.
///
/// # Errors
/// If the schedule does not describe a world: a fault of a member that there is not, a rate above
/// one, and the like. The text says which.
pub fn run(schedule: &Arc<Schedule>, options: RunOptions) -> Result<Outcome, String> {
    let mut world = build(schedule)?;
    if options.trace {
        world.record_trace();
    }
    let lived = panics::catch(|| live(&mut world, schedule));
    let failure = match lived {
        Ok(Ok(())) => None,
        Ok(Err(stop)) => Some(from_stop(&world, stop)),
        Err(panic) => Some(from_panic(panic, world.now(), world.steps())),
    };
    let failure = failure.or_else(|| {
        let looked = panics::catch(|| not_live(&world, schedule).or_else(|| final_check(&world)));
        looked.unwrap_or_else(|panic| Some(from_panic(panic, world.now(), world.steps())))
    });
    Ok(conclude(world, failure, schedule))
}

fn from_violation(violation: Violation, at: WorldTime, step: u64) -> Failure {
    Failure {
        kind: FailureKind::Invariant,
        violation: violation.invariant.to_owned(),
        statement: invariants::statement(violation.invariant).to_owned(),
        message: violation.message,
        at,
        step,
    }
}

fn from_panic(panic: String, at: WorldTime, step: u64) -> Failure {
    Failure {
        kind: FailureKind::Panic,
        violation: "Panic".to_owned(),
        statement: "no input makes a member, a check or the simulator panic".to_owned(),
        message: panic,
        at,
        step,
    }
}

fn build(schedule: &Arc<Schedule>) -> Result<World<Cluster>, String> {
    schedule.check()?;
    let members = schedule.cluster.member_nodes() as usize;
    let asked = schedule.clients.iter().flat_map(|client| &client.operations);
    if let Some(operation) = asked.into_iter().find(|operation| operation.member.index() >= members)
    {
        return Err(format!("operation '{operation}' asks a member that there is not"));
    }
    let mut nodes = vec![NodeConfig::with_disk(); members];
    for (node, clock) in nodes.iter_mut().zip(&schedule.clocks) {
        (node.clock_offset, node.clock_drift) = (clock.offset, clock.drift);
    }
    let operators = usize::from(!schedule.operator.operations.is_empty());
    let clients = schedule.clients.len() + members;
    nodes.resize(members + clients + operators, NodeConfig::diskless());
    let config = WorldConfig {
        noise_seed: NoiseSeed(schedule.noise_seed.0),
        nodes,
        network: schedule.network.clone(),
        disk: schedule.disk.clone(),
        event_budget: schedule.phases.event_budget,
    };
    let system = Cluster::new(Arc::clone(schedule));
    let mut world = World::new(&config, system).map_err(|error| error.to_string())?;
    for fault in &schedule.faults {
        world.inject(fault.clone()).map_err(|error| error.to_string())?;
    }
    Ok(world)
}

type Stopped = Stop<Violation>;

fn live(world: &mut World<Cluster>, schedule: &Schedule) -> Result<(), Stopped> {
    let heal_at = WorldTime::ZERO + schedule.phases.heal_at;
    let mut faults: Vec<&ScheduledFault> =
        schedule.faults.iter().filter(|fault| fault.at <= heal_at).collect();
    faults.sort_by_key(|fault| fault.at);
    for fault in faults {
        world.run_until(fault.at)?;
        let described = serde_json::to_value(fault).expect("a fault is data");
        world.system_mut().record_fault(fault.at, described);
    }
    world.run_until(heal_at)?;
    world.heal_all();
    world.system_mut().record_fault(heal_at, json!({ "kind": "heal" }));
    world.system_mut().counts_mut().healed = true;
    let deadline = heal_at + schedule.phases.live_within;
    let mut look_at = heal_at + LIVE_AT_LEAST;
    loop {
        world.run_until(look_at)?;
        if not_whole(world).is_none() || look_at >= deadline {
            return Ok(());
        }
        look_at = (look_at + LOOK_EVERY).min(deadline);
    }
}

/// What is missing until the cluster is whole: the operator is done, and of those who then belong
/// to the cluster everybody is up, was asked everything, and has the same state.
fn not_whole(world: &World<Cluster>) -> Option<String> {
    let view = world.view();
    let system = world.system();
    let operator = system.operator().and_then(|operator| view.node(operator));
    if let Some(ClusterNode::Operator(operator)) = operator
        && let Some(present) = operator.present()
    {
        return Some(format!("the operator is still at '{present}'"));
    }
    let leads = |(_, node): &(NodeId, &ClusterNode)| match node {
        ClusterNode::Member(member) => member.member.view().role == Role::Leader,
        _ => false,
    };
    // Of several only the one of the last term may still commit.
    let leader = view.running().filter(leads).filter_map(|(_, node)| match node {
        ClusterNode::Member(member) => Some(&member.member),
        _ => None,
    });
    let Some(leader) = leader.max_by_key(|member| member.view().term) else {
        return Some("there is no leader".to_owned());
    };
    let state = leader.view();
    if state.membership.current_index() > state.commit {
        return Some(format!("the configuration {} is not committed", state.configuration));
    }
    if state.configuration.is_joint() && state.configuration.auto_leave {
        return Some(format!("the joint configuration {} is not left", state.configuration));
    }
    for node in state.configuration.members().into_iter().map(to_node) {
        if system.refusals().contains_key(&node) {
            // It waits for a person; whether it may was judged when it did not start.
            continue;
        }
        let Some(ClusterNode::Member(member)) = view.node(node) else {
            return Some(format!("{node} is not running"));
        };
        if let Some(missing) = not_up_to_date(system, node, &member.member, leader) {
            return Some(missing);
        }
    }
    None
}

/// What a member lacks beside the leader.
fn not_up_to_date(
    system: &Cluster,
    node: NodeId,
    member: &Member,
    leader: &Member,
) -> Option<String> {
    if !system.counts().probers_done[node.index()] {
        return Some(format!("the prober of {node} has not got all its answers"));
    }
    if !member.is_caught_up() {
        return Some(format!("{node} has not caught up since its start"));
    }
    if member.applied() != leader.applied() {
        return Some(format!(
            "{node} has applied {}, its leader {}",
            member.applied(),
            leader.applied()
        ));
    }
    None
}

fn from_stop(world: &World<Cluster>, stop: Stopped) -> Failure {
    match stop {
        Stop::Violation { step, violation } => from_violation(violation, step.time, step.index),
        Stop::EventBudget { budget, at } => Failure {
            kind: FailureKind::Storm,
            violation: "EventBudget".to_owned(),
            statement: "a run ends within its event budget".to_owned(),
            message: format!("{budget} steps were not enough: a message storm or an endless loop"),
            at,
            step: world.steps(),
        },
    }
}

fn not_live(world: &World<Cluster>, schedule: &Schedule) -> Option<Failure> {
    let missing = not_whole(world)?;
    Some(Failure {
        kind: FailureKind::Liveness,
        violation: "Liveness".to_owned(),
        statement: "once the faults are over, every member serves every kind of request, and \
                    all reach the same state, within a bound"
            .to_owned(),
        message: format!("after {} without faults, {missing}", schedule.phases.live_within),
        at: world.now(),
        step: world.steps(),
    })
}

fn conclude(mut world: World<Cluster>, failure: Option<Failure>, schedule: &Schedule) -> Outcome {
    let mut outcome = Outcome {
        failure,
        trace_hash: world.trace_hash(),
        events: world.steps(),
        lived: world.now().since(WorldTime::ZERO),
        counters: *world.counters(),
        marks: world.marks(),
        operations: world.system().counts().clone(),
        commits: world.system().invariants().commits(),
        elections: world.system().invariants().elections(),
        empty: None,
        trace: world.take_trace(),
        took_effect: world.faults().map(|(_, took_effect)| took_effect).collect(),
        refusals: world.system().refusals().clone(),
        history: world.into_system().into_history(),
    };
    outcome.empty = missed_floor(schedule, &outcome);
    if outcome.failure.as_ref().is_none_or(|failure| failure.kind == FailureKind::Liveness) {
        let end = (WorldTime::ZERO + outcome.lived, outcome.events);
        let judged = panics::catch(|| judge(&outcome));
        let judged = judged.unwrap_or_else(|panic| Some(from_panic(panic, end.0, end.1)));
        // A wrong answer weighs more than a late one, and that more than none.
        let undecided = |failure: &Failure| failure.kind == FailureKind::Undecided;
        if outcome.failure.is_none() || judged.as_ref().is_some_and(|failure| !undecided(failure)) {
            outcome.failure = judged.or(outcome.failure);
        }
    }
    outcome
}

fn missed_floor(schedule: &Schedule, outcome: &Outcome) -> Option<&'static str> {
    let floors = &schedule.floors;
    let before_heal = outcome.operations.ok.saturating_sub(outcome.operations.ok_after_heal);
    [
        (outcome.commits < floors.commits, "commits"),
        (outcome.elections < floors.elections, "elections"),
        (before_heal < floors.operations, "operations"),
        (outcome.operations.ok_after_heal < floors.operations_after_heal, "operations_after_heal"),
    ]
    .into_iter()
    .find_map(|(missed, floor)| missed.then_some(floor))
}

/// Full scans, too dear for every step.
fn final_check(world: &World<Cluster>) -> Option<Failure> {
    let violation = world.system().invariants().at_end(&world.view()).err()?;
    Some(from_violation(violation, world.now(), world.steps()))
}

/// Judges the clients' history.
fn judge(outcome: &Outcome) -> Option<Failure> {
    let report = quorate_checker::check(&outcome.history, &CheckOptions::default());
    let (kind, violation, message) = match report.verdict {
        Verdict::Valid => return None,
        Verdict::Invalid(finding) => {
            (FailureKind::History, finding.guarantee.to_string(), finding.message)
        }
        Verdict::Unknown { reason } => {
            (FailureKind::Undecided, "UndecidedHistory".to_owned(), reason)
        }
    };
    Some(Failure {
        kind,
        violation,
        statement: "the clients' history is one that a single, correct store may give".to_owned(),
        message,
        at: WorldTime::ZERO + outcome.lived,
        step: outcome.events,
    })
}
