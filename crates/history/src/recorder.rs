//! Records a history in memory while it happens. It hands out the operations' ids and formats
//! nothing: JSON is made when the history is written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::sequence::answers;
use crate::{
    ClientId, EtcdOp, Event, EventKind, Header, History, Model, Op, OpResult, OperationId, Step,
    Time, WatchResponse,
};

/// A history in the making.
///
/// Its callers are our own drivers, so that an event which cannot stand where it stands is a
/// mistake of theirs and panics.
#[derive(Debug)]
pub struct Recorder {
    header: Header,
    events: Vec<Event>,
    /// Whose operation an id is, and where it was invoked.
    invocations: Vec<(ClientId, usize)>,
    open: BTreeMap<ClientId, OperationId>,
}

impl Recorder {
    /// An empty history of a model; `source` says in free form where it comes from.
    #[must_use]
    pub const fn new(model: Model, source: Map<String, Json>) -> Self {
        Self {
            header: Header { model, source },
            events: Vec::new(),
            invocations: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// The client asks for something. Returns the operation's id: ids count up from 1.
    ///
    /// # Panics
    /// If time goes back, the client has an operation open, or the operation is of another model.
    pub fn invoke(&mut self, time: Time, client: ClientId, op: impl Into<Op>) -> OperationId {
        let op = op.into();
        assert_eq!(op.model(), self.header.model, "one history, one model");
        let at = self.events.len();
        self.invocations.push((client, at));
        let id = OperationId(self.invocations.len() as u64);
        let open = self.open.insert(client, id);
        assert!(open.is_none(), "client {client} has operation {open:?} open");
        self.push_step(time, client, id, Step::Invoke(op));
        id
    }

    /// The store answered.
    ///
    /// # Panics
    /// If time goes back, the operation is not open, or the result answers something else.
    pub fn ok(&mut self, time: Time, id: OperationId, result: impl Into<OpResult>) {
        let result = result.into();
        assert!(
            answers(&result, self.invoked(id)),
            "{result:?} does not answer operation {id}, {:?}",
            self.invoked(id)
        );
        self.complete(time, id, Step::Ok(result));
    }

    /// The operation certainly had no effect; `error` is the store's text.
    ///
    /// # Panics
    /// If time goes back or the operation is not open.
    pub fn fail(&mut self, time: Time, id: OperationId, error: impl Into<Cow<'static, str>>) {
        self.complete(time, id, Step::Fail(error.into()));
    }

    /// The outcome stays unknown; `error` says why.
    ///
    /// # Panics
    /// If time goes back or the operation is not open.
    pub fn info(&mut self, time: Time, id: OperationId, error: impl Into<Cow<'static, str>>) {
        self.complete(time, id, Step::Info(error.into()));
    }

    /// A watch's stream brought a response.
    ///
    /// # Panics
    /// If time goes back, or the operation is not an open watch.
    pub fn watch(&mut self, time: Time, id: OperationId, response: WatchResponse) {
        let is_watch = matches!(self.invoked(id), Op::Etcd(EtcdOp::Watch(_)));
        assert!(is_watch, "operation {id} is no watch");
        let client = self.client(id);
        assert_eq!(self.open.get(&client), Some(&id), "operation {id} is open");
        self.push_step(time, client, id, Step::Watch(response));
    }

    /// A fault took effect, described as an object with a `kind`.
    ///
    /// # Panics
    /// If time goes back.
    pub fn fault(&mut self, time: Time, fault: Json) {
        self.push(time, EventKind::Fault(fault));
    }

    /// A remark for people.
    ///
    /// # Panics
    /// If time goes back.
    pub fn note(&mut self, time: Time, note: impl Into<String>) {
        self.push(time, EventKind::Note(note.into()));
    }

    /// How many operations were invoked.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.invocations.len()
    }

    /// The history. Operations that are still open have an unknown outcome.
    #[must_use]
    pub fn into_history(self) -> History {
        History::from_checked(self.header, self.events, self.invocations.len())
    }

    fn position(&self, id: OperationId) -> usize {
        let position = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1));
        let position = position.filter(|&position| position < self.invocations.len());
        position.expect("this recorder handed the id out")
    }

    fn client(&self, id: OperationId) -> ClientId {
        self.invocations[self.position(id)].0
    }

    fn invoked(&self, id: OperationId) -> &Op {
        let (_, at) = self.invocations[self.position(id)];
        match &self.events[at].kind {
            EventKind::Operation { step: Step::Invoke(op), .. } => op,
            other => unreachable!("an invocation stands where it was put, not {other:?}"),
        }
    }

    fn complete(&mut self, time: Time, id: OperationId, step: Step) {
        let client = self.client(id);
        let open = self.open.remove(&client);
        assert_eq!(open, Some(id), "client {client} completes what it has open");
        self.push_step(time, client, id, step);
    }

    fn push_step(&mut self, time: Time, client: ClientId, id: OperationId, step: Step) {
        self.push(time, EventKind::Operation { client, id, step });
    }

    fn push(&mut self, time: Time, kind: EventKind) {
        if let Some(last) = self.events.last() {
            assert!(last.time <= time, "time goes from {} to {time}", last.time);
        }
        self.events.push(Event { time, kind });
    }
}
