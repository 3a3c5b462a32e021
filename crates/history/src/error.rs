//! What can be wrong with a history, and what to do about it.

use crate::{ClientId, Model, OperationId, Time};

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The input could not be read at all.
    #[error("line {line}: cannot read the input: {source}")]
    Io {
        /// The line that was being read, counted from 1.
        line: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line says something that a history cannot say.
    #[error("line {line}{}: {problem}", column.map(|column| format!(", column {column}")).unwrap_or_default())]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// The byte in the line, counted from 1, where the line's syntax is what is wrong.
        column: Option<usize>,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with a line, or with an event where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no header.
    #[error("the input is empty: a history starts with a header line, {EXAMPLE_HEADER}")]
    Empty,
    /// The first line is no header of a history.
    #[error("this is no history: the first line must be a header like {EXAMPLE_HEADER}")]
    NoHeader,
    /// The history is of a version that is not known here.
    #[error("history version {found} is not known, only version 1: read it with a newer quorate")]
    UnknownVersion {
        /// The version in the header.
        found: u64,
    },
    /// The header names a model that is not known here.
    #[error("model {found:?} is not known: use \"register\", \"kv\" or \"etcd\"")]
    UnknownModel {
        /// The model in the header.
        found: String,
    },
    /// The line is no JSON, or misses a field, or has a field of another type.
    #[error("{message}")]
    Json {
        /// What the parser says.
        message: String,
    },
    /// The bytes are not UTF-8, as JSON must be.
    #[error("the line is not UTF-8 text: write other bytes as {{\"b64\":\"…\"}}")]
    NotUtf8,
    /// The file ends within a line.
    #[error("the file ends in the middle of this line: copy it again, or remove the line")]
    Truncated,
    /// The event is of a type that is not known here.
    #[error(
        "event type {found:?} is not known: use \"invoke\", \"ok\", \"fail\", \"info\", \
         \"watch\", \"fault\" or \"note\""
    )]
    UnknownType {
        /// The type in the line.
        found: String,
    },
    /// A field that the event's type needs is not there.
    #[error("an event of type {kind:?} needs the field {field:?}")]
    MissingField {
        /// The event's type.
        kind: &'static str,
        /// What is missing.
        field: &'static str,
    },
    /// The operation does not belong to the header's model.
    #[error("the operation is none of model {model}: {message}")]
    Operation {
        /// The header's model.
        model: Model,
        /// What the parser says.
        message: String,
    },
    /// The result does not fit the operation.
    #[error("the result does not answer operation {id}: {message}")]
    Result {
        /// The operation.
        id: OperationId,
        /// What does not fit.
        message: String,
    },
    /// Time goes back.
    #[error(
        "time {time} is before the previous event's, {previous}: events stand in real-time order, \
         so sort the file by time"
    )]
    TimeBackwards {
        /// The event's time.
        time: Time,
        /// The time of the event before.
        previous: Time,
    },
    /// Two operations with one id.
    #[error("operation id {id} was used before: every operation needs an id of its own")]
    DuplicateId {
        /// The id.
        id: OperationId,
    },
    /// A client invokes while it waits for an answer.
    #[error(
        "client {client} invokes operation {id} while its operation {open} is open: complete that \
         one (with \"info\" if its outcome is unknown), or use another client number"
    )]
    ClientBusy {
        /// The client.
        client: ClientId,
        /// The new operation.
        id: OperationId,
        /// The one that is open.
        open: OperationId,
    },
    /// A completion of what is not open.
    #[error(
        "client {client} has no open operation {id}: each completion needs an \"invoke\" of the \
         same client and id before it, and may come once"
    )]
    NotOpen {
        /// The client.
        client: ClientId,
        /// The operation.
        id: OperationId,
    },
    /// A watch response to what is no watch.
    #[error("operation {id} is no watch, so it cannot have events of type \"watch\"")]
    NotAWatch {
        /// The operation.
        id: OperationId,
    },
    /// An operation of another model.
    #[error("operation {id} is of model {found}, the history of model {expected}")]
    WrongModel {
        /// The operation.
        id: OperationId,
        /// Its model.
        found: Model,
        /// The header's model.
        expected: Model,
    },
}

pub(crate) const EXAMPLE_HEADER: &str =
    r#"{"format":"quorate-history","version":1,"model":"etcd","source":{}}"#;
