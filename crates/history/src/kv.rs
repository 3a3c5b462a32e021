//! Operations and answers of the model `kv`: keys that each hold text which can grow.

use serde::{Deserialize, Serialize};

use crate::Data;

/// What a client asks of the store. Every key starts as the empty text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "snake_case")]
pub enum KvOp {
    /// Reads the text.
    Get {
        /// Which key.
        key: Data,
    },
    /// Replaces the text.
    Put {
        /// Which key.
        key: Data,
        /// The new text.
        value: Data,
    },
    /// Adds to the end of the text.
    Append {
        /// Which key.
        key: Data,
        /// What is added.
        value: Data,
    },
}

impl KvOp {
    /// The key that this operation is about.
    #[must_use]
    pub const fn key(&self) -> &Data {
        match self {
            Self::Get { key } | Self::Put { key, .. } | Self::Append { key, .. } => key,
        }
    }
}

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum KvResult {
    /// To a get.
    Get {
        /// The text; `None` where it was not observed.
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<Data>,
    },
    /// To a put.
    Put {},
    /// To an append.
    Append {},
}
