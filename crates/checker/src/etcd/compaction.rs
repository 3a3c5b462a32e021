//! Compactions against what was refused and answered for old revisions.
//!
//! The writes are in order already; compactions are ordered by the revision they compact at, since
//! each must be above the last. What is left is a set of 'comes before' relations between writes,
//! compactions and the operations that depend on them, each with its interval in time. It can be
//! kept exactly if it has no cycle and if nothing completed before the latest invocation of what
//! comes before it.
//!
//! A compaction of unknown outcome is only taken to have taken effect where a refusal needs it,
//! and the lowest first: the higher, the more reads it would forbid.

use quorate_history::{EtcdOp, EtcdResponse};

use super::plan::{Compaction, Plan, Refusal};
use super::store::Store;
use super::timeline::Timeline;
use super::{Stop, explain};
use crate::budget::Budget;
use crate::operations::NEVER;
use crate::verdict::Violation;

/// Whether the compactions of a history can be placed among its revisions.
pub(super) fn check(
    plan: &Plan<'_>,
    timeline: &Timeline,
    chain: &[Option<usize>],
    store: &Store<'_, '_>,
    budget: &mut Budget<'_>,
) -> Result<(), Stop> {
    let refused = &plan.refused_as_compacted;
    if plan.compactions.is_empty() && refused.is_empty() {
        return Ok(());
    }
    let mut used = plan.compactions.clone();
    used.sort_by_key(|compaction| (compaction.at, plan.items[compaction.item].completed));
    for compaction in &used {
        let item = &plan.items[compaction.item];
        if compaction.at > item.revision {
            return Err(explain::compacted_future(item).into());
        }
    }
    if let Some(pair) = used.windows(2).find(|pair| pair[0].at == pair[1].at) {
        let (first, second) = (&plan.items[pair[0].item], &plan.items[pair[1].item]);
        return Err(explain::compacted_twice(first, second).into());
    }
    let placing = Placing { plan, timeline, chain, reads: old_reads(plan, chain, store) };
    placing.search(&mut used, budget)
}

/// An operation that took effect and read an old revision.
#[derive(Clone, Copy, Debug)]
struct OldRead {
    item: usize,
    /// The revision that it made, or at which it was answered.
    revision: u64,
    /// The lowest revision that it read.
    lowest: u64,
}

/// Operations that took effect and read an old revision.
fn old_reads(plan: &Plan<'_>, chain: &[Option<usize>], store: &Store<'_, '_>) -> Vec<OldRead> {
    let mut reads = Vec::new();
    for (index, item) in plan.items.iter().enumerate() {
        if let Some(response) = item.response {
            let lowest = lowest_read(item.op, response);
            if lowest < item.revision {
                reads.push(OldRead { item: index, revision: item.revision, lowest });
            }
        }
    }
    // A transaction of unknown outcome that took effect was not refused for what it read.
    for (revision, maker) in chain.iter().enumerate().skip(2) {
        let maker = maker.filter(|&maker| plan.items[maker].response.is_none());
        if let Some(item) = maker {
            let lowest = store.lowest_read(&plan.items[item].call, revision as u64 - 1);
            if lowest < revision as u64 {
                reads.push(OldRead { item, revision: revision as u64, lowest });
            }
        }
    }
    reads
}

/// The lowest revision that an operation asked for and was answered; [`NEVER`] for none.
fn lowest_read(op: &EtcdOp, response: &EtcdResponse) -> u64 {
    match (op, response) {
        (EtcdOp::Range(range), _) => {
            let at = range.at.filter(|at| at.0 != 0);
            at.map_or(NEVER, |at| at.0)
        }
        (EtcdOp::Txn(txn), EtcdResponse::Txn(answer)) => {
            let branch = match answer.succeeded {
                Some(true) => &txn.then,
                Some(false) => &txn.or_else,
                // Nobody knows what it read, so that nothing is held against it.
                None => return NEVER,
            };
            let responses = answer.responses.iter().flatten();
            let reads = branch.iter().zip(responses);
            let reads = reads.map(|(op, response)| lowest_read(op, response));
            reads.min().unwrap_or(NEVER)
        }
        _ => NEVER,
    }
}

struct Placing<'p, 'a> {
    plan: &'p Plan<'a>,
    timeline: &'p Timeline,
    chain: &'p [Option<usize>],
    reads: Vec<OldRead>,
}

/// Why compactions cannot be placed.
enum Misfit {
    /// A refusal that no compaction in use explains in time.
    Refusal(Refusal, Violation),
    Other(Violation),
}

/// A moment to be found in an interval.
#[derive(Clone, Copy, Debug)]
struct Node {
    item: usize,
    /// The earliest possible moment, and the operation that forces it.
    earliest: u64,
    because: usize,
    latest: u64,
}

impl<'a> Placing<'_, 'a> {
    /// Adds compactions of unknown outcome until all refusals are explained.
    fn search(&self, used: &mut Vec<Compaction>, budget: &mut Budget<'_>) -> Result<(), Stop> {
        budget.step().map_err(|limit| {
            Stop::Unknown(format!(
                "{limit} while searching which compactions of unknown outcome took effect; \
                 everything else fits"
            ))
        })?;
        let (refusal, violation) = match self.place(used) {
            Ok(()) => return Ok(()),
            // More compactions can only help a refusal.
            Err(Misfit::Other(violation)) => return Err(violation.into()),
            Err(Misfit::Refusal(refusal, violation)) => (refusal, violation),
        };
        let mut candidates = self.plan.unknown_compactions.clone();
        candidates.sort_by_key(|compaction| (compaction.at, compaction.item));
        candidates.dedup_by_key(|compaction| compaction.at);
        let completed = self.plan.items[refusal.item].completed;
        candidates.retain(|candidate| {
            candidate.at >= refusal.bound
                && candidate.at <= self.plan.top
                && self.plan.items[candidate.item].invoked <= completed
                && used.iter().all(|compaction| compaction.at != candidate.at)
        });
        for candidate in candidates {
            let place = used.partition_point(|compaction| compaction.at < candidate.at);
            used.insert(place, candidate);
            match self.search(used, budget) {
                Ok(()) => return Ok(()),
                Err(Stop::Invalid(_)) => {}
                Err(stop) => return Err(stop),
            }
            used.remove(place);
        }
        Err(violation.into())
    }

    /// Whether these compactions, in this order, explain all.
    fn place(&self, used: &[Compaction]) -> Result<(), Misfit> {
        let mut graph = Graph::default();
        let top = self.plan.top;
        for revision in 1..=top {
            let node = self.revision_node(revision);
            let place = graph.add(node);
            if revision > 1 {
                graph.before(place - 1, place);
            }
        }
        let revision = |revision: u64| revision as usize - 1;
        let first = graph.nodes.len();
        for (index, compaction) in used.iter().enumerate() {
            let place = graph.add(self.node(compaction.item, false));
            if index > 0 {
                graph.before(place - 1, place);
            }
            let header = self.plan.items[compaction.item].revision;
            graph.before(revision(header.max(compaction.at)), place);
            if header > 0 && header < top {
                graph.before(place, revision(header + 1));
            }
        }
        let lowest_at_least = |bound: u64| {
            let index = used.partition_point(|compaction| compaction.at < bound);
            (index < used.len()).then_some(first + index)
        };
        for &OldRead { item, revision: header, lowest } in &self.reads {
            let Some(forbidding) = lowest_at_least(lowest + 1) else {
                continue;
            };
            if self.chain[header as usize] == Some(item) {
                graph.before(revision(header), forbidding);
                continue;
            }
            let place = graph.add(self.node(item, true));
            graph.before(revision(header), place);
            graph.before(place, forbidding);
            if header < top {
                graph.before(place, revision(header + 1));
            }
        }
        let refusals = graph.nodes.len();
        for refusal in &self.plan.refused_as_compacted {
            let item = &self.plan.items[refusal.item];
            match lowest_at_least(refusal.bound) {
                _ if refusal.bound == 0 => {}
                Some(compaction) => {
                    let place = graph.add(self.node(refusal.item, true));
                    graph.before(compaction, place);
                }
                None => {
                    let violation = explain::refused_without_compaction(item, refusal.bound);
                    return Err(Misfit::Refusal(*refusal, violation));
                }
            }
        }
        self.solve(graph, first..first + used.len(), refusals)
    }

    fn revision_node(&self, revision: u64) -> Node {
        let call = self.timeline.latest_call(revision);
        let mut node = Node {
            item: call.item,
            earliest: call.time,
            because: call.item,
            latest: self.timeline.deadline(revision).time,
        };
        if let Some(Some(maker)) = self.chain.get(revision as usize) {
            node.item = *maker;
            let invoked = self.plan.items[*maker].invoked;
            if invoked > node.earliest {
                (node.earliest, node.because) = (invoked, *maker);
            }
        }
        node
    }

    fn node(&self, item: usize, may_be_past: bool) -> Node {
        let operation = &self.plan.items[item];
        let past = may_be_past && operation.serializable;
        Node {
            item,
            earliest: if past { 0 } else { operation.invoked },
            because: item,
            latest: operation.completed,
        }
    }

    fn solve(
        &self,
        mut graph: Graph,
        compactions: std::ops::Range<usize>,
        refusals: usize,
    ) -> Result<(), Misfit> {
        let late = match graph.settle() {
            Settled::InTime => return Ok(()),
            Settled::Late(late) => late,
            Settled::Cycle(cycle) => {
                return Err(Misfit::Other(self.explain_cycle(&graph, compactions, &cycle)));
            }
        };
        let node = graph.nodes[late];
        let item = &self.plan.items[node.item];
        if late >= refusals {
            let refusal = self.plan.refused_as_compacted.iter();
            let refusal = refusal.clone().find(|refusal| refusal.item == node.item);
            let refusal = *refusal.expect("its node was made from it");
            let violation = explain::refused_without_compaction(item, refusal.bound);
            return Err(Misfit::Refusal(refusal, violation));
        }
        let because = self.plan.items.get(node.because);
        let reads = |index: usize| self.reads.iter().any(|read| read.item == index);
        let is_compaction = compactions.contains(&late);
        Err(Misfit::Other(match because {
            Some(read) if is_compaction && reads(node.because) => {
                explain::read_of_compacted(read, item)
            }
            Some(first) => explain::compaction_order(first, item),
            None => unreachable!("a node is late because of some operation"),
        }))
    }

    /// Compactions are in order of what they compact at, and everything else in order of
    /// revisions: a cycle holds a compaction that one of the two orders puts elsewhere.
    fn explain_cycle(
        &self,
        graph: &Graph,
        compactions: std::ops::Range<usize>,
        cycle: &[bool],
    ) -> Violation {
        let on_cycle = |range: std::ops::Range<usize>| range.filter(|&node| cycle[node]);
        let item = |node: usize| &self.plan.items[graph.nodes[node].item];
        for read in on_cycle(0..cycle.len()) {
            let index = graph.nodes[read].item;
            let is_read = self.reads.iter().any(|read| read.item == index);
            let mut forbidding = on_cycle(compactions.clone());
            let edge = |compaction: &usize| graph.edges.contains(&(read, *compaction));
            if let (true, Some(compaction)) = (is_read, forbidding.find(edge)) {
                return explain::read_of_compacted(item(read), item(compaction));
            }
        }
        let mut pair = on_cycle(compactions);
        let first = pair.next().expect("a cycle passes a compaction");
        let second = pair.next().unwrap_or(first);
        explain::compaction_order(item(first), item(second))
    }
}

/// Nodes and what comes before what.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

impl Graph {
    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn before(&mut self, first: usize, second: usize) {
        self.edges.push((first, second));
    }

    /// Gives each node its earliest moment.
    fn settle(&mut self) -> Settled {
        self.edges.sort_unstable();
        let mut waiting = vec![0_usize; self.nodes.len()];
        for (_, second) in &self.edges {
            waiting[*second] += 1;
        }
        let mut ready: Vec<usize> = (0..self.nodes.len()).filter(|&n| waiting[n] == 0).collect();
        let mut settled = 0;
        let mut late = None;
        while let Some(first) = ready.pop() {
            settled += 1;
            let Node { earliest, because, latest, .. } = self.nodes[first];
            if earliest > latest {
                late = Some(late.map_or(first, |late: usize| late.min(first)));
            }
            let from = self.edges.partition_point(|edge| edge.0 < first);
            for index in from..self.edges.len() {
                let (origin, second) = self.edges[index];
                if origin != first {
                    break;
                }
                let node = &mut self.nodes[second];
                if earliest > node.earliest {
                    (node.earliest, node.because) = (earliest, because);
                }
                waiting[second] -= 1;
                if waiting[second] == 0 {
                    ready.push(second);
                }
            }
        }
        if settled < self.nodes.len() {
            return Settled::Cycle(waiting.iter().map(|&count| count > 0).collect());
        }
        late.map_or(Settled::InTime, Settled::Late)
    }
}

/// What became of a graph.
enum Settled {
    InTime,
    /// The first node whose earliest moment is after its latest.
    Late(usize),
    /// Some nodes come before themselves: those on, and after, a cycle are marked.
    Cycle(Vec<bool>),
}
