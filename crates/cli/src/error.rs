//! What stops a command: bad usage, bad input, a system that refuses.
#![expect(clippy::disallowed_types, reason = "an error shows the line of the file that is wrong")]

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Error as IoError};
use std::path::Path;

use quorate_sim::repro::ReproError;
use quorate_sim::scenario::ScenarioError;
use quorate_sim::{DocumentError, Place};

/// Why a command could not do what it was asked. Shown as `error: …`, the line of the file that is
/// wrong if there is one, and `help: …`.
#[derive(Debug)]
pub(crate) struct Error {
    /// What is wrong and where.
    pub(crate) what: String,
    /// The line that is wrong.
    pub(crate) excerpt: Option<Excerpt>,
    /// What to do about it, unless `what` says so.
    pub(crate) remedy: Option<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), excerpt: None, remedy: None }
    }

    pub(crate) fn with_remedy(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(what) }
    }
}

impl From<DocumentError> for Error {
    fn from(error: DocumentError) -> Self {
        let DocumentError { place, what, remedy } = error;
        Self {
            excerpt: Excerpt::of(&place),
            ..Self::with_remedy(format!("{place}: {what}"), remedy)
        }
    }
}

impl From<ScenarioError> for Error {
    fn from(error: ScenarioError) -> Self {
        match error {
            ScenarioError::Invalid(error) => error.into(),
            other => split(&other.to_string()),
        }
    }
}

impl From<ReproError> for Error {
    fn from(error: ReproError) -> Self {
        match error {
            ReproError::Invalid(error) => error.into(),
            other => split(&other.to_string()),
        }
    }
}

/// The simulator's messages say what to do after the last semicolon.
fn split(message: &str) -> Error {
    match message.rsplit_once("; ") {
        Some((what, remedy)) => Error::with_remedy(what, remedy),
        None => Error::new(message),
    }
}

/// A line of a file, and the place in it.
#[derive(Debug)]
pub(crate) struct Excerpt {
    line: usize,
    column: usize,
    text: String,
}

impl Excerpt {
    /// The line as it is in the file now; `None` if there is no such file (a scenario may come with
    /// the program) or no such line.
    fn of(place: &Place) -> Option<Self> {
        let file = BufReader::new(File::open(Path::new(&place.file)).ok()?);
        let text: Result<String, IoError> = file.lines().nth(place.line.checked_sub(1)?)?;
        Some(Self { line: place.line, column: place.column, text: text.ok()? })
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        writeln!(f, "  {number} | {}", self.text)?;
        // A tab stays a tab, so that the mark stands where the text does.
        let before = self.text.chars().take(self.column.saturating_sub(1));
        let before: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
        write!(f, "  {:width$} | {before}^", "", width = number.len())
    }
}
