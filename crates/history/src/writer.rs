//! Writes a history as JSON Lines. The same history gives the same bytes, always.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    ClientId, Event, EventKind, Header, History, Op, OpResult, OperationId, Step, Time,
    WatchResponse,
};

#[derive(Serialize)]
struct HeaderLine<'a> {
    format: &'static str,
    version: u64,
    model: &'static str,
    source: &'a Map<String, Json>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    time: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<OperationId>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Body<'a> {
    Op(&'a Op),
    Result(&'a OpResult),
    #[serde(rename = "result")]
    Watch(&'a WatchResponse),
    Error(&'a str),
    Fault(&'a Json),
    Note(&'a str),
}

impl History {
    /// Writes the whole history. `out` should be buffered: every line is written by itself.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_header(out, self.header())?;
        for event in self.events() {
            write_event(out, event)?;
        }
        Ok(())
    }
}

/// Writes a history's first line.
///
/// # Errors
/// What `out` says.
pub fn write_header(out: &mut impl Write, header: &Header) -> io::Result<()> {
    let line = HeaderLine {
        format: "quorate-history",
        version: 1,
        model: header.model.name(),
        source: &header.source,
    };
    write_line(out, &line)
}

/// Writes one event as a line.
///
/// # Errors
/// What `out` says.
pub fn write_event(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let (operation, kind, body) = match &event.kind {
        EventKind::Fault(fault) => (None, "fault", Body::Fault(fault)),
        EventKind::Note(note) => (None, "note", Body::Note(note)),
        EventKind::Operation { client, id, step } => {
            let (kind, body) = match step {
                Step::Invoke(op) => ("invoke", Body::Op(op)),
                Step::Ok(result) => ("ok", Body::Result(result)),
                Step::Fail(error) => ("fail", Body::Error(error)),
                Step::Info(error) => ("info", Body::Error(error)),
                Step::Watch(response) => ("watch", Body::Watch(response)),
            };
            (Some((*client, *id)), kind, body)
        }
    };
    let line = EventLine {
        time: event.time,
        client: operation.map(|(client, _)| client),
        id: operation.map(|(_, id)| id),
        kind,
        body,
    };
    write_line(out, &line)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    out.write_all(b"\n")
}
