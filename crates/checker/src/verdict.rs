//! What a check comes to.

use std::fmt;

use quorate_history::OperationId;

/// What was found out about a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The verdict.
    pub verdict: Verdict,
    /// How many operations the history has.
    pub operations: usize,
    /// How many steps of search it took; see [`crate::Options::steps`].
    pub steps: u64,
}

/// Whether a store that keeps its promises could have answered so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It could.
    Valid,
    /// It could not.
    Invalid(Violation),
    /// It was not found out.
    Unknown {
        /// What stood in the way, and how far the check came.
        reason: String,
    },
}

impl Verdict {
    /// The name of the verdict, as in files and folders.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid(_) => "invalid",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub guarantee: Guarantee,
    /// One sentence that names the operations, keys and revisions.
    pub message: String,
    /// The operations that the sentence is about, the one at fault first.
    pub operations: Vec<OperationId>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.guarantee)
    }
}

/// A promise of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Guarantee {
    /// Every operation takes effect at one moment between its invocation and its completion, and
    /// sees all that took effect before. For etcd, whose revisions are that order, this is strict
    /// serializability.
    Linearizability,
    /// Each revision is one transaction, and every answer shows some revision as it was.
    Revisions,
    /// A serializable read shows some committed prefix, and never one from the future.
    SerializableReads,
    /// What was compacted stays refused, and what was not is answered.
    Compaction,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linearizability => "linearizability",
            Self::Revisions => "revisions",
            Self::SerializableReads => "serializable reads",
            Self::Compaction => "compaction",
        })
    }
}
