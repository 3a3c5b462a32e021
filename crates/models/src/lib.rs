//! Model checking with stateright: small abstract models of the protocol, explored completely.
//!
//! This crate owns the models, the list of them ([`registry`]) and the search that runs one and
//! reports on it ([`run`], [`explore`]). A model here is a specification in its own right: none
//! executes the code of the core, and none reads a clock (a caller that wants a time limit hands
//! in [`RunOptions::stop`]).
//!
//! ```
//! use quorate_models::{Outcome, RunOptions, run};
//!
//! let report = run("election", &RunOptions::default()).expect("a listed model");
//! assert_eq!(report.outcome(), Outcome::Sound);
//! ```

mod election;
mod registry;
mod report;
mod search;

pub use registry::{Bounds, Error, ModelInfo, RunOptions, explore, registry, run};
pub use report::{Expectation, Outcome, PropertyReport, Report, Verdict};
