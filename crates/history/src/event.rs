//! A history in memory: its header and its events. It is only made by the recorder and the reader
//! (or through the same checks), so whoever holds one knows that operations are well formed: a
//! client has one open at a time, a completion follows its invocation, time never goes back.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::error::Problem;
use crate::sequence::Sequence;
use crate::{
    ClientId, EtcdOp, EtcdResult, KvOp, KvResult, OperationId, RegisterOp, RegisterResult, Time,
    WatchResponse,
};

/// What kind of store a history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// Keys that each hold one value.
    Register,
    /// Keys that each hold text which can grow.
    Kv,
    /// An etcd store, with revisions.
    Etcd,
}

impl Model {
    /// The name that stands in the header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Kv => "kv",
            Self::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A history's first line.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// What kind of store the history is about.
    pub model: Model,
    /// Where the history comes from, in free form: scenario, seed, commit, foreign file.
    pub source: Map<String, Json>,
}

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Op {
    /// Of a register.
    Register(RegisterOp),
    /// Of a kv store.
    Kv(KvOp),
    /// Of an etcd store.
    Etcd(EtcdOp),
}

impl Op {
    /// The model whose operation this is.
    #[must_use]
    pub const fn model(&self) -> Model {
        match self {
            Self::Register(_) => Model::Register,
            Self::Kv(_) => Model::Kv,
            Self::Etcd(_) => Model::Etcd,
        }
    }
}

impl From<RegisterOp> for Op {
    fn from(op: RegisterOp) -> Self {
        Self::Register(op)
    }
}

impl From<KvOp> for Op {
    fn from(op: KvOp) -> Self {
        Self::Kv(op)
    }
}

impl From<EtcdOp> for Op {
    fn from(op: EtcdOp) -> Self {
        Self::Etcd(op)
    }
}

/// What a store answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum OpResult {
    /// A register.
    Register(RegisterResult),
    /// A kv store.
    Kv(KvResult),
    /// An etcd store.
    Etcd(EtcdResult),
}

impl From<RegisterResult> for OpResult {
    fn from(result: RegisterResult) -> Self {
        Self::Register(result)
    }
}

impl From<KvResult> for OpResult {
    fn from(result: KvResult) -> Self {
        Self::Kv(result)
    }
}

impl From<EtcdResult> for OpResult {
    fn from(result: EtcdResult) -> Self {
        Self::Etcd(result)
    }
}

/// One line of a history after the header.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it happened. Events with equal times are concurrent.
    pub time: Time,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Something of an operation.
    Operation {
        /// Whose operation.
        client: ClientId,
        /// Which operation.
        id: OperationId,
        /// What of it.
        step: Step,
    },
    /// A fault that took effect: for people and the viewer, no checker reads it.
    Fault(Json),
    /// A remark for people.
    Note(String),
}

/// A step in an operation's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client asked.
    Invoke(Op),
    /// The store answered.
    Ok(OpResult),
    /// The operation certainly had no effect. The text is the store's, word for word.
    Fail(Cow<'static, str>),
    /// The outcome is unknown: it may take effect at any later time, or never.
    Info(Cow<'static, str>),
    /// A watch's stream brought a response; the operation stays open.
    Watch(WatchResponse),
}

/// A whole history, well formed.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    header: Header,
    events: Vec<Event>,
    operations: usize,
}

impl History {
    /// A history from its parts.
    ///
    /// # Errors
    /// The index of the first event that cannot stand where it stands, and why.
    pub fn new(header: Header, events: Vec<Event>) -> Result<Self, (usize, Problem)> {
        let mut sequence = Sequence::new(header.model);
        for (index, event) in events.iter().enumerate() {
            sequence.accept(event).map_err(|problem| (index, problem))?;
        }
        let operations = sequence.operations();
        Ok(Self::from_checked(header, events, operations))
    }

    /// A history whose events were each accepted by a [`Sequence`] (or recorded).
    pub(crate) const fn from_checked(
        header: Header,
        events: Vec<Event>,
        operations: usize,
    ) -> Self {
        Self { header, events, operations }
    }

    /// The first line.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What kind of store the history is about.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.header.model
    }

    /// All events, in real-time order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many operations were invoked.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.operations
    }

    /// The parts, to build another history from.
    #[must_use]
    pub fn into_parts(self) -> (Header, Vec<Event>) {
        (self.header, self.events)
    }
}
