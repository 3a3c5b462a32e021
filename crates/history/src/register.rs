//! Operations and answers of the model `register`: keys that each hold one value.

use serde::{Deserialize, Serialize};

use crate::{Data, Value};

/// What a client asks of a register. Every key starts as [`Value::Null`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "snake_case")]
pub enum RegisterOp {
    /// Reads the value.
    Read {
        /// Which register.
        key: Data,
    },
    /// Replaces the value.
    Write {
        /// Which register.
        key: Data,
        /// What it holds from now on.
        value: Value,
    },
    /// Replaces the value if it is `old`.
    Cas {
        /// Which register.
        key: Data,
        /// What it must hold.
        old: Value,
        /// What it then holds.
        new: Value,
    },
}

impl RegisterOp {
    /// The register that this operation is about.
    #[must_use]
    pub const fn key(&self) -> &Data {
        match self {
            Self::Read { key } | Self::Write { key, .. } | Self::Cas { key, .. } => key,
        }
    }
}

/// What a register answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RegisterResult {
    /// To a read.
    Read {
        /// The value; `None` where it was not observed.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// To a write.
    Write {},
    /// To a compare-and-set.
    Cas {
        /// Whether the compare held and the value was replaced; `None` where it was not observed.
        #[serde(skip_serializing_if = "Option::is_none")]
        succeeded: Option<bool>,
    },
}
