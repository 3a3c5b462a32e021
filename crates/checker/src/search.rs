//! Linearizability of one object by search: just-in-time linearization (Lowe, 'Testing for
//! linearizability', 2017) with the memory of Wing, Gong and Lowe's search.
//!
//! Time is walked from completion to completion. Only when an operation completes that was not
//! yet given a place must something be decided: which open operations take effect now, and in
//! which order, up to that one. A state that was reached before, with the same open operations
//! done, is not tried again. What keeps it small:
//! - an operation that only observes is placed as soon as its answer fits: it changes nothing, so
//!   that earlier is never worse;
//! - of operations that ask and answer the same, the one that completes first goes first;
//! - an operation of unknown outcome is placed only right before something that needs its effect.

use std::collections::{BTreeMap, BTreeSet};

use quorate_history::OperationId;

use crate::budget::{Budget, Exhausted};
use crate::operations::NEVER;

/// A state of the object, as its model numbers them. Equal numbers are equal states.
pub(crate) type State = u32;

/// A sequential object, and how its answers are told from wrong ones.
pub(crate) trait Object {
    /// What was asked together with what was answered, as far as it was observed.
    type Call: Ord + Clone;

    /// The state before all operations.
    fn initial(&mut self) -> State;

    /// The state after the call, or `None` if it could not have been answered so.
    fn apply(&mut self, state: State, call: &Self::Call) -> Option<State>;

    /// Whether the call never changes the state.
    fn only_observes(call: &Self::Call) -> bool;

    /// Whether the answer depends on the state.
    fn observes(call: &Self::Call) -> bool;
}

/// A call with its interval.
#[derive(Clone, Debug)]
pub(crate) struct Entry<C> {
    pub(crate) id: OperationId,
    pub(crate) invoked: u64,
    pub(crate) completed: u64,
    pub(crate) call: C,
}

/// What a search comes to.
#[derive(Debug)]
pub(crate) enum Finding {
    Linearizable,
    /// No order explains the completion of `entry`, the latest that any order got to.
    Stuck {
        entry: usize,
        /// The states that orders led to before it, at most a few.
        states: Vec<State>,
    },
    Exhausted {
        limit: Exhausted,
        /// The operation at whose completion the search came no further.
        furthest: Option<usize>,
    },
}

/// Searches an order of the entries that explains all answers.
pub(crate) fn search<O: Object>(
    object: &mut O,
    entries: &[Entry<O::Call>],
    budget: &mut Budget<'_>,
) -> Finding {
    let plan = Plan::new::<O>(entries);
    let mut search = Search {
        object,
        entries,
        plan: &plan,
        seen: vec![BTreeSet::new(); plan.stops.len()],
        remembered: 0,
        furthest: None,
        stack: Vec::new(),
    };
    let finding = search.run(budget);
    budget.forget(search.remembered);
    finding
}

/// A completion at which something may have to be decided.
#[derive(Debug)]
struct Stop {
    entry: usize,
    /// The completing operations that are open at this moment, the one that completes included,
    /// in order of completion.
    open: Vec<usize>,
    /// So many of the unknown operations were invoked.
    unknown: usize,
}

/// What does not depend on the choices.
#[derive(Debug)]
struct Plan {
    stops: Vec<Stop>,
    /// For each entry the bit that says 'done'. Bits of completed operations are used again.
    bit: Vec<usize>,
    words: usize,
    /// Operations of unknown outcome that may change something, in order of invocation.
    unknown: Vec<usize>,
    /// For each entry a number that equal calls share.
    class: Vec<u32>,
}

impl Plan {
    fn new<O: Object>(entries: &[Entry<O::Call>]) -> Self {
        let mut classes = BTreeMap::new();
        let class = entries.iter().map(|entry| {
            let next = classes.len() as u32;
            *classes.entry(&entry.call).or_insert(next)
        });
        let class = class.collect();
        let unknown_call = |i: &usize| entries[*i].completed == NEVER;
        let mut unknown: Vec<usize> = (0..entries.len())
            .filter(unknown_call)
            .filter(|&i| !O::only_observes(&entries[i].call))
            .collect();
        unknown.sort_by_key(|&i| (entries[i].invoked, i));

        let mut calls: Vec<usize> = (0..entries.len()).filter(|i| !unknown_call(i)).collect();
        let mut returns = calls.clone();
        calls.sort_by_key(|&i| (entries[i].invoked, i));
        returns.sort_by_key(|&i| (entries[i].completed, i));
        let mut bit = vec![0; entries.len()];
        let (mut free, mut bits) = (Vec::new(), 0);
        let (mut next_call, mut next_unknown) = (0, 0);
        let mut open: Vec<usize> = Vec::new();
        let mut stops = Vec::with_capacity(returns.len());
        for entry in returns {
            let now = entries[entry].completed;
            // Closed intervals: what is invoked at this very moment is concurrent.
            while calls.get(next_call).is_some_and(|&i| entries[i].invoked <= now) {
                let i = calls[next_call];
                next_call += 1;
                bit[i] = free.pop().unwrap_or_else(|| {
                    bits += 1;
                    bits - 1
                });
                let key = (entries[i].completed, i);
                let at = open.partition_point(|&j| (entries[j].completed, j) < key);
                open.insert(at, i);
            }
            while unknown.get(next_unknown).is_some_and(|&i| entries[i].invoked <= now) {
                next_unknown += 1;
            }
            stops.push(Stop { entry, open: open.clone(), unknown: next_unknown });
            assert_eq!(open.remove(0), entry, "open operations are kept by completion");
            free.push(bit[entry]);
        }
        for (offset, &i) in unknown.iter().enumerate() {
            bit[i] = bits + offset;
        }
        Self { stops, bit, words: (bits + unknown.len()).div_ceil(64), unknown, class }
    }
}

/// Which operations are done, by their bits.
type Done = Box<[u64]>;

/// A place in the search: everything before stop number `stop` has its place.
#[derive(Debug)]
struct Node {
    stop: usize,
    state: State,
    done: Done,
}

#[derive(Debug)]
struct Frame {
    node: Node,
    /// What may take effect next, and the state after it; the most promising last.
    choices: Vec<(usize, State)>,
}

struct Search<'a, O: Object> {
    object: &'a mut O,
    entries: &'a [Entry<O::Call>],
    plan: &'a Plan,
    seen: Vec<BTreeSet<(State, Done)>>,
    remembered: u64,
    /// The latest stop that was not passed yet, and the states there.
    furthest: Option<(usize, Vec<State>)>,
    stack: Vec<Frame>,
}

impl<O: Object> Search<'_, O> {
    fn run(&mut self, budget: &mut Budget<'_>) -> Finding {
        let first =
            Node { stop: 0, state: self.object.initial(), done: vec![0; self.plan.words].into() };
        let mut entered = self.enter(first, budget);
        loop {
            match entered {
                Err(limit) => return self.exhausted(limit),
                Ok(true) => return Finding::Linearizable,
                Ok(false) => {}
            }
            let Some(frame) = self.stack.last_mut() else {
                return self.stuck();
            };
            let Some((entry, state)) = frame.choices.pop() else {
                self.stack.pop();
                continue;
            };
            if let Err(limit) = budget.step() {
                return self.exhausted(limit);
            }
            let mut done = if frame.choices.is_empty() {
                // The last choice needs no way back.
                self.stack.pop().expect("it was just looked at").node
            } else {
                Node { stop: frame.node.stop, state, done: frame.node.done.clone() }
            };
            done.state = state;
            set(&mut done.done, self.plan.bit[entry]);
            entered = self.enter(done, budget);
        }
    }

    /// Goes on from a node as far as nothing must be decided, and puts what must be on the stack.
    /// True when all operations have their place.
    fn enter(&mut self, mut node: Node, budget: &mut Budget<'_>) -> Result<bool, Exhausted> {
        loop {
            let Some(stop) = self.plan.stops.get(node.stop) else {
                return Ok(true);
            };
            for &i in &stop.open {
                let call = &self.entries[i].call;
                if O::only_observes(call)
                    && !is_set(&node.done, self.plan.bit[i])
                    && self.object.apply(node.state, call).is_some()
                {
                    set(&mut node.done, self.plan.bit[i]);
                }
            }
            let bit = self.plan.bit[stop.entry];
            if !is_set(&node.done, bit) {
                break;
            }
            clear(&mut node.done, bit);
            node.stop += 1;
        }
        match &mut self.furthest {
            Some((stop, states)) if *stop == node.stop => {
                if states.len() < 8 && !states.contains(&node.state) {
                    states.push(node.state);
                }
            }
            Some((stop, _)) if *stop > node.stop => {}
            furthest => *furthest = Some((node.stop, vec![node.state])),
        }
        let bytes = 64 + 8 * self.plan.words as u64;
        if self.seen[node.stop].insert((node.state, node.done.clone())) {
            budget.remember(bytes)?;
            self.remembered += bytes;
            let choices = self.choices(&node);
            self.stack.push(Frame { node, choices });
        }
        Ok(false)
    }

    /// What may take effect next at a node, the most promising last.
    fn choices(&mut self, node: &Node) -> Vec<(usize, State)> {
        let stop = &self.plan.stops[node.stop];
        let mut choices = Vec::new();
        let mut classes = BTreeSet::new();
        for &i in &stop.open {
            let call = &self.entries[i].call;
            if is_set(&node.done, self.plan.bit[i]) || O::only_observes(call) {
                continue;
            }
            if let Some(state) = self.object.apply(node.state, call)
                && classes.insert(self.plan.class[i])
            {
                choices.push((i, state));
            }
        }
        for &i in &self.plan.unknown[..stop.unknown] {
            if is_set(&node.done, self.plan.bit[i]) || !classes.insert(self.plan.class[i]) {
                continue;
            }
            let after = self.object.apply(node.state, &self.entries[i].call);
            if let Some(state) = after
                && state != node.state
                && self.is_needed(node, i, state)
            {
                choices.push((i, state));
            }
        }
        choices.reverse();
        choices
    }

    /// Whether something open would be answered, or act, otherwise after the unknown operation
    /// `by` than before it. What does nothing either way may as well come before it.
    fn is_needed(&mut self, node: &Node, by: usize, after: State) -> bool {
        let stop = &self.plan.stops[node.stop];
        let unknown = &self.plan.unknown[..stop.unknown];
        stop.open.iter().chain(unknown).any(|&i| {
            let call = &self.entries[i].call;
            if i == by || !O::observes(call) || is_set(&node.done, self.plan.bit[i]) {
                return false;
            }
            let acts_after = |then| O::only_observes(call) || then != after;
            let acts_before = self.object.apply(node.state, call) != Some(node.state);
            self.object.apply(after, call).is_some_and(|then| acts_before || acts_after(then))
        })
    }

    fn stuck(&mut self) -> Finding {
        let (stop, states) = self.furthest.take().expect("the first node has a stop");
        Finding::Stuck { entry: self.plan.stops[stop].entry, states }
    }

    fn exhausted(&self, limit: Exhausted) -> Finding {
        let furthest = self.furthest.as_ref();
        Finding::Exhausted {
            limit,
            furthest: furthest.map(|&(stop, _)| self.plan.stops[stop].entry),
        }
    }
}

fn is_set(done: &[u64], bit: usize) -> bool {
    done[bit / 64] & (1 << (bit % 64)) != 0
}

fn set(done: &mut [u64], bit: usize) {
    done[bit / 64] |= 1 << (bit % 64);
}

fn clear(done: &mut [u64], bit: usize) {
    done[bit / 64] &= !(1 << (bit % 64));
}
