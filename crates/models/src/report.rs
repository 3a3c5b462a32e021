//! What a search found, as plain data. Rendering it is the command line's business.

/// What a property claims about the reachable states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Holds in every reachable state.
    Always,
    /// Holds in at least one reachable state: shows that the `Always` properties are not vacuous.
    Sometimes,
}

/// What the search says about one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An `Always` property: the whole space was searched and no state breaks it.
    Holds,
    /// An `Always` property is broken; the steps lead from an initial state to the breach.
    Violated {
        /// One sentence a step, in order; the first describes the initial state.
        counterexample: Vec<String>,
    },
    /// A `Sometimes` property: the steps lead from an initial state to a state that fits.
    Reached {
        /// One sentence a step, in order; the first describes the initial state.
        example: Vec<String>,
    },
    /// A `Sometimes` property: the whole space was searched and no state fits.
    Unreached,
    /// The search was stopped before it could tell.
    Undecided,
}

/// One property and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyReport {
    /// The property's name, that of the list of invariants where it stands there.
    pub name: &'static str,
    /// What the property claims.
    pub expectation: Expectation,
    /// What the search says about it.
    pub verdict: Verdict,
}

/// The verdict on a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every `Always` property holds and every `Sometimes` property was reached.
    Sound,
    /// An `Always` property is violated, or a completed search never reached a `Sometimes` one: a
    /// model that cannot do what it is about proves nothing.
    Violated,
    /// The search was stopped first, without a violation so far.
    Undecided,
}

/// What one run of a model found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The model's name in the registry.
    pub model: &'static str,
    /// Servers of the modelled cluster.
    pub servers: u8,
    /// Terms in which elections take place.
    pub terms: u8,
    /// Crashes that a behaviour may contain.
    pub crashes: u8,
    /// States generated, repeats included.
    pub states: u64,
    /// Different states generated.
    pub unique_states: u64,
    /// Length in states of the longest of the shortest paths; with more than one thread, of some
    /// path that was explored.
    pub depth: u64,
    /// Whether every reachable state was visited.
    pub complete: bool,
    /// Every property, in the model's order.
    pub properties: Vec<PropertyReport>,
}

impl Report {
    /// The verdict on the run as a whole.
    pub fn outcome(&self) -> Outcome {
        let any = |wanted: fn(&Verdict) -> bool| {
            self.properties.iter().any(|property| wanted(&property.verdict))
        };
        if any(|verdict| matches!(verdict, Verdict::Violated { .. } | Verdict::Unreached)) {
            Outcome::Violated
        } else if self.complete {
            Outcome::Sound
        } else {
            Outcome::Undecided
        }
    }
}
