//! One breadth-first search of a model with stateright, and its report.
//!
//! This module owns what stateright 0.31 leaves to its users: stopping early (its own timeout is
//! not seen by a search in one thread), telling a completed search from a stopped one, and keeping
//! the first path to a discovery (it overwrites a discovery with each later state that fits, so
//! that examples would become the longest instead of the shortest). It knows no protocol.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::registry::{RunOptions, Size};
use crate::report::{Expectation, PropertyReport, Report, Verdict};

/// A model whose steps can be told in sentences.
pub(crate) trait Narrate: Model {
    /// The state, in one line.
    fn describe(&self, state: &Self::State) -> String;

    /// What `action` does in `before` and what comes of it (`after`), in one line.
    fn narrate(&self, before: &Self::State, action: &Self::Action, after: &Self::State) -> String;
}

/// Searches all of `model`'s space, unless `options.stop` ends the search early.
pub(crate) fn search<M>(name: &'static str, size: Size, model: M, options: &RunOptions) -> Report
where
    M: Narrate + Send + Sync + 'static,
    M::State: Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    search_until(name, size, model, options, HasDiscoveries::All)
}

/// As [`search`], and ends soon after the discoveries that `finish_when` names were made.
pub(crate) fn search_until<M>(
    name: &'static str,
    size: Size,
    model: M,
    options: &RunOptions,
    finish_when: HasDiscoveries,
) -> Report
where
    M: Narrate + Send + Sync + 'static,
    M::State: Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let checker = Watched::new(model, options)
        .checker()
        .threads(options.threads.map_or(1, NonZeroUsize::get))
        .finish_when(finish_when)
        .spawn_bfs()
        .join();
    let watched = checker.model();
    let complete = watched.finish(checker.unique_state_count() as u64);
    let mut discoveries = checker.discoveries();
    let properties = watched
        .properties
        .iter()
        .map(|property| {
            let path = discoveries.remove(property.name);
            let steps = path.map(|path| told(&watched.model, path.into_vec()));
            report_of(property, steps, complete)
        })
        .collect();
    Report {
        model: name,
        servers: size.servers,
        terms: size.terms,
        crashes: size.crashes,
        states: checker.state_count() as u64,
        unique_states: checker.unique_state_count() as u64,
        depth: checker.max_depth() as u64,
        complete,
        properties,
    }
}

fn report_of<M: Model>(
    property: &Property<M>,
    steps: Option<Vec<String>>,
    complete: bool,
) -> PropertyReport {
    let (expectation, verdict) = match property.expectation {
        stateright::Expectation::Always => (
            Expectation::Always,
            match steps {
                Some(counterexample) => Verdict::Violated { counterexample },
                None if complete => Verdict::Holds,
                None => Verdict::Undecided,
            },
        ),
        stateright::Expectation::Sometimes => (
            Expectation::Sometimes,
            match steps {
                Some(example) => Verdict::Reached { example },
                None if complete => Verdict::Unreached,
                None => Verdict::Undecided,
            },
        ),
        // Stateright documents false negatives for these (a cycle counts as no end).
        stateright::Expectation::Eventually => {
            panic!("property {}: no model here may claim 'eventually'", property.name)
        }
    };
    PropertyReport { name: property.name, expectation, verdict }
}

fn told<M: Narrate>(model: &M, path: Vec<(M::State, Option<M::Action>)>) -> Vec<String> {
    let mut sentences = Vec::with_capacity(path.len());
    sentences.extend(path.first().map(|(state, _)| model.describe(state)));
    for step in path.windows(2) {
        if let [(before, Some(action)), (after, _)] = step {
            sentences.push(model.narrate(before, action, after));
        }
    }
    sentences
}

/// A property's condition as stateright wants it.
type Condition<M> = fn(&Watched<M>, &<M as Model>::State) -> bool;

/// How many states are expanded between two questions to the caller's `stop`.
const STOP_INTERVAL: u64 = 1024;

/// A model under search: its own behaviour, plus the search's bookkeeping.
struct Watched<M: Model> {
    model: M,
    properties: Vec<Property<M>>,
    /// Per property: has it been discovered?
    discovered: Vec<AtomicBool>,
    /// States whose successors were asked for: in a completed search, every unique state.
    expanded: AtomicU64,
    stopped: AtomicBool,
    /// The search is over: only paths are rebuilt now, for which every action has to be there.
    finished: AtomicBool,
    state_limit: u64,
    stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl<M: Model> Watched<M> {
    fn new(model: M, options: &RunOptions) -> Watched<M> {
        let properties = model.properties();
        assert!(
            properties.len() <= Self::CONDITIONS.len(),
            "a model of {} properties needs more rows in CONDITIONS",
            properties.len()
        );
        Watched {
            discovered: properties.iter().map(|_| AtomicBool::new(false)).collect(),
            model,
            properties,
            expanded: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            state_limit: options.state_limit.unwrap_or(u64::MAX),
            stop: options.stop.clone(),
        }
    }

    /// Stateright's conditions are plain functions, which cannot carry the index of the property
    /// that they stand for; so there is one function for each index.
    const CONDITIONS: [Condition<M>; 24] = [
        Self::condition::<0>,
        Self::condition::<1>,
        Self::condition::<2>,
        Self::condition::<3>,
        Self::condition::<4>,
        Self::condition::<5>,
        Self::condition::<6>,
        Self::condition::<7>,
        Self::condition::<8>,
        Self::condition::<9>,
        Self::condition::<10>,
        Self::condition::<11>,
        Self::condition::<12>,
        Self::condition::<13>,
        Self::condition::<14>,
        Self::condition::<15>,
        Self::condition::<16>,
        Self::condition::<17>,
        Self::condition::<18>,
        Self::condition::<19>,
        Self::condition::<20>,
        Self::condition::<21>,
        Self::condition::<22>,
        Self::condition::<23>,
    ];

    /// The `I`-th property's condition, which makes at most one discovery: the first.
    fn condition<const I: usize>(&self, state: &M::State) -> bool {
        let property = &self.properties[I];
        let discovery = property.expectation == stateright::Expectation::Sometimes;
        if self.discovered[I].load(Relaxed) {
            return !discovery;
        }
        let fits = (property.condition)(&self.model, state);
        if fits == discovery {
            self.discovered[I].store(true, Relaxed);
        }
        fits
    }

    /// Whether a state may be expanded: yes, and counted, until the caller stops the search.
    fn may_expand(&self) -> bool {
        if self.finished.load(Relaxed) {
            return true;
        }
        if self.stopped.load(Relaxed) {
            return false;
        }
        let expanded = self.expanded.fetch_add(1, Relaxed);
        let asks = expanded.is_multiple_of(STOP_INTERVAL);
        let stops =
            expanded >= self.state_limit || (asks && self.stop.as_ref().is_some_and(|stop| stop()));
        if stops {
            self.stopped.store(true, Relaxed);
        }
        !stops
    }

    /// Ends the search's bookkeeping; true if every one of the `unique` states was expanded.
    fn finish(&self, unique: u64) -> bool {
        self.finished.store(true, Relaxed);
        !self.stopped.load(Relaxed) && self.expanded.load(Relaxed) == unique
    }
}

impl<M: Model> Model for Watched<M> {
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<M::State> {
        self.model.init_states()
    }

    fn actions(&self, state: &M::State, actions: &mut Vec<M::Action>) {
        if self.may_expand() {
            self.model.actions(state, actions);
        }
    }

    fn next_state(&self, state: &M::State, action: M::Action) -> Option<M::State> {
        self.model.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.properties
            .iter()
            .zip(Self::CONDITIONS)
            .map(|(property, condition)| Property {
                expectation: property.expectation.clone(),
                name: property.name,
                condition,
            })
            .collect()
    }
}
