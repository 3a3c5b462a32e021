//! Repro files: a schedule, and what became of it when it was written.
//!
//! A repro file holds the explicit schedule, so it replays whatever the generators do meanwhile.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cluster::{self, Outcome, RunOptions};
use crate::document::{self, DocumentError};
use crate::engine::TraceHash;
use crate::files;
use crate::schedule::{self, Schedule};

/// The version of a repro file's form. A change of meaning raises it.
pub const FORMAT: u32 = 1;

/// A schedule and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repro {
    /// [`FORMAT`].
    pub format: u32,
    /// What became of the schedule.
    pub expected: Expected,
    /// The schedule.
    pub schedule: Arc<Schedule>,
}

/// What became of a schedule when it was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The violation; `None` if it passed, as a bug's does once it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
    /// What was seen, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The run's trace hash, as 16 hexadecimal digits. Another version of the program may have
    /// another one.
    pub trace_hash: String,
    /// The program's version.
    pub version: String,
    /// The commit that the program was built from.
    pub commit: String,
}

/// The program that runs, as repro files and reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its version.
    pub version: String,
    /// The commit it was built from, as far as is known.
    pub commit: String,
}

impl Default for Program {
    /// This crate's version, and the commit in `QUORATE_COMMIT` when it was built.
    fn default() -> Program {
        Program {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("QUORATE_COMMIT").unwrap_or("unknown").to_owned(),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (quorate {})", self.commit, self.version)
    }
}

/// Why there is no such repro.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReproError {
    /// The file cannot be read.
    #[error("{file}: the repro file cannot be read: {source}; check the path and its permissions")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is none.
    #[error(transparent)]
    Invalid(#[from] DocumentError),
    /// The schedule describes no world.
    #[error("{file}: the schedule is not possible: {reason}; correct it there")]
    Impossible {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// What became of a replay.
#[derive(Debug)]
pub struct Replay {
    /// Of the run.
    pub outcome: Outcome,
    /// Whether it failed, or passed, as expected.
    pub same_violation: bool,
    /// Whether it went the same way, step by step.
    pub same_trace: bool,
}

impl Repro {
    /// The repro of a run.
    pub fn new(schedule: &Arc<Schedule>, outcome: &Outcome, program: &Program) -> Repro {
        Repro {
            format: FORMAT,
            expected: Expected {
                violation: outcome.failure.as_ref().map(|failure| failure.violation.clone()),
                message: outcome.failure.as_ref().map(|failure| failure.message.clone()),
                trace_hash: hash_text(outcome.trace_hash),
                version: program.version.clone(),
                commit: program.commit.clone(),
            },
            schedule: Arc::clone(schedule),
        }
    }

    /// Reads a repro file.
    ///
    /// # Errors
    /// If it cannot be read, or is none; the text names file, line and remedy.
    pub fn read(path: &Path) -> Result<Repro, ReproError> {
        let file = path.display().to_string();
        match files::read(path) {
            Ok(text) => Ok(Repro::parse(&file, &text)?),
            Err(source) => Err(ReproError::Unreadable { file, source }),
        }
    }

    /// Reads a repro from the text of `file`.
    ///
    /// # Errors
    /// If it is none; the text names file, line and remedy.
    pub fn parse(file: &str, text: &str) -> Result<Repro, DocumentError> {
        // The version first: a later one may well have other fields.
        let versions: Versions = document::read(file, text)?;
        let found = [
            ("format", Some(versions.format), (FORMAT, FORMAT)),
            (
                "schedule.format",
                versions.schedule.format,
                (schedule::OLDEST_FORMAT, schedule::FORMAT),
            ),
        ];
        for (path, found, (oldest, newest)) in found {
            if let Some(found) = found.filter(|found| !(oldest..=newest).contains(found)) {
                let known = if oldest == newest {
                    newest.to_string()
                } else {
                    format!("{oldest} to {newest}")
                };
                return Err(document::error_at(
                    file,
                    text,
                    path,
                    format!("format {found} is not known to this version, which reads {known}"),
                    "replay it with the version that wrote it".to_owned(),
                ));
            }
        }
        document::read(file, text)
    }

    /// The file's text.
    ///
    /// # Panics
    /// Never for a schedule that can be run: its numbers fit TOML's.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("a schedule fits into a TOML document");
        let schedule = &self.schedule;
        format!(
            "# A run of quorate's simulator, explicitly: scenario {}, seed {}.\n\
             # Run it again with: quorate replay THIS-FILE\n{body}",
            schedule.scenario, schedule.seed
        )
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::write(path, self.to_text().as_bytes())
    }

    /// Runs the schedule again. `file` is named in errors.
    ///
    /// # Errors
    /// If the schedule describes no world.
    pub fn replay(&self, file: &str, options: RunOptions) -> Result<Replay, ReproError> {
        let outcome = cluster::run(&self.schedule, options)
            .map_err(|reason| ReproError::Impossible { file: file.to_owned(), reason })?;
        let violation = outcome.failure.as_ref().map(|failure| &failure.violation);
        Ok(Replay {
            same_violation: violation == self.expected.violation.as_ref(),
            same_trace: hash_text(outcome.trace_hash) == self.expected.trace_hash,
            outcome,
        })
    }
}

fn hash_text(hash: TraceHash) -> String {
    hash.to_string()
}

/// What every version of a repro file has.
#[derive(Deserialize)]
struct Versions {
    format: u32,
    #[serde(default)]
    schedule: ScheduleVersion,
}

#[derive(Default, Deserialize)]
struct ScheduleVersion {
    format: Option<u32>,
}

#[cfg(test)]
mod tests;
