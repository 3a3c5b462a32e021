//! Scenarios: distributions of schedules, written by people.
//!
//! A scenario says what kind of cluster, workload and weather there is; together with a seed it
//! gives a schedule ([`crate::generate`]). This module reads and checks scenarios and knows those
//! that come with the program. It draws nothing.

mod check;
mod membership;
mod quantity;
mod spec;

use std::path::Path;

use thiserror::Error;

use crate::document::{self, DocumentError};
use crate::files;
use crate::schedule::is_name;

pub(crate) use membership::{LimitsSpec, MembershipSpec, Project, TransfersSpec};
pub(crate) use quantity::{Choices, Ppm, Quantity, Within};
pub(crate) use spec::{
    ActionKind, BitRotSpec, ClockDriftSpec, ClockJumpSpec, DiskErrorSpec, DiskFullSpec, DownSpec,
    Extent, MisdirectedSpec, NoiseSpec, OneWayShape, OneWaySpec, PartitionShape, PartitionSpec,
    PauseSpec, SlowDiskSpec, SlowLinkSpec, Spec,
};

/// The scenarios that come with the program, each with its file's text.
const SHIPPED: [(&str, &str); 9] = [
    ("smoke", include_str!("../../../../sim-scenarios/smoke.toml")),
    ("partition-leader", include_str!("../../../../sim-scenarios/partition-leader.toml")),
    ("crash-loop", include_str!("../../../../sim-scenarios/crash-loop.toml")),
    ("clock-skew", include_str!("../../../../sim-scenarios/clock-skew.toml")),
    ("power-loss", include_str!("../../../../sim-scenarios/power-loss.toml")),
    ("disk-faults", include_str!("../../../../sim-scenarios/disk-faults.toml")),
    ("membership-churn", include_str!("../../../../sim-scenarios/membership-churn.toml")),
    ("lease-reads", include_str!("../../../../sim-scenarios/lease-reads.toml")),
    ("swarm", include_str!("../../../../sim-scenarios/swarm.toml")),
];

/// A scenario, read and checked: every schedule drawn from it is a possible one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    name: String,
    spec: Spec,
}

/// Why there is no such scenario.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It is none of the shipped ones.
    #[error("there is no scenario '{name}'; {hint} {known}, or the path of a .toml file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        hint: String,
        /// The shipped ones.
        known: String,
    },
    /// Its file cannot be read.
    #[error("{file}: the scenario cannot be read: {reason}; check the path and its permissions")]
    Unreadable {
        /// The file.
        file: String,
        /// What the operating system says.
        reason: String,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Invalid(#[from] DocumentError),
}

impl Scenario {
    /// The names of the scenarios that come with the program, in the order in which they are run
    /// when none is named.
    pub fn shipped_names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// All scenarios that come with the program.
    ///
    /// # Panics
    /// If one of them is wrong, which a test rules out.
    pub fn shipped() -> Vec<Scenario> {
        let read = |(name, text): &(&str, &str)| {
            Scenario::read(&format!("sim-scenarios/{name}.toml"), text)
                .unwrap_or_else(|error| panic!("a shipped scenario is wrong: {error}"))
        };
        SHIPPED.iter().map(read).collect()
    }

    /// The scenario that a person means by `name`: a shipped one's name, or a file's path (which
    /// contains a separator or ends in `.toml`).
    ///
    /// # Errors
    /// If there is none, or it is wrong; the error's text says where and what to do.
    pub fn find(name: &str) -> Result<Scenario, ScenarioError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Scenario::read(&format!("sim-scenarios/{name}.toml"), text);
        }
        if name.contains(std::path::is_separator) || name.ends_with(".toml") {
            let unreadable = |error: std::io::Error| ScenarioError::Unreadable {
                file: name.to_owned(),
                reason: error.to_string(),
            };
            let text = files::read(Path::new(name)).map_err(unreadable)?;
            return Scenario::read(name, &text);
        }
        let hint = match document::closest(name, Scenario::shipped_names()) {
            Some(close) => format!("did you mean '{close}'? Give one of"),
            None => "give one of".to_owned(),
        };
        let known = Scenario::shipped_names().collect::<Vec<_>>().join(", ");
        Err(ScenarioError::Unknown { name: name.to_owned(), hint, known })
    }

    /// Reads a scenario from the text of `file`, whose name without its ending becomes its name.
    ///
    /// # Errors
    /// If the text is no scenario, or describes something impossible.
    pub fn read(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let spec: Spec = document::read(file, text)?;
        check::check(&spec).map_err(|misfit| {
            document::error_at(file, text, &misfit.path, misfit.what, misfit.remedy)
        })?;
        let stem = Path::new(file).file_stem().unwrap_or_default();
        let name = stem.to_string_lossy().into_owned();
        if !is_name(&name) {
            let what = format!("'{name}' is no scenario's name");
            let remedy = "name the file with letters, digits, '-' and '_'".to_owned();
            return Err(document::error_at(file, text, "about", what, remedy).into());
        }
        Ok(Scenario { name, spec })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, in a sentence.
    pub fn about(&self) -> &str {
        &self.spec.about
    }

    /// The marks and counts that a campaign of it has to reach.
    pub fn must_reach(&self) -> impl Iterator<Item = &str> {
        self.spec.must_reach.iter().map(|name| name.0.as_str())
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }
}

#[cfg(test)]
mod tests;
