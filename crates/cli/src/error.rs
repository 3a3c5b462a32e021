//! What stops a command: bad usage, bad input, a system that refuses.

/// Why a command could not do what it was asked. Shown as `error: …` and `help: …`.
#[derive(Debug)]
pub(crate) struct Error {
    /// What is wrong and where.
    pub(crate) what: String,
    /// What to do about it, unless `what` says so.
    pub(crate) remedy: Option<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None }
    }

    pub(crate) fn with_remedy(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: Some(remedy.into()) }
    }
}
