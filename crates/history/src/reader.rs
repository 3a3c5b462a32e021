//! Reads a history line by line. Fields that are not known are passed over, since the format may
//! grow; whatever else does not fit is refused with its line and what to do about it.

use std::borrow::Cow;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::answer::ResultFields;
use crate::error::{Problem, ReadError};
use crate::sequence::Sequence;
use crate::{
    ClientId, Data, EtcdResult, Event, EventKind, Header, History, KvOp, KvResult, Model, Op,
    OpResult, OperationId, RegisterOp, RegisterResult, Step, Time, Value,
};

/// The events of a history, read one by one. Its memory grows with the longest line and the
/// number of clients, not with the file. After an error nothing more comes.
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    header: Header,
    sequence: Sequence,
    failed: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// If the input cannot be read, or does not start with a header of version 1.
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut lines = Lines { input, buffer: Vec::new(), line: 0 };
        if !lines.advance()? {
            let (line, column) = (1, None);
            let problem = Problem::Empty;
            return Err(ReadError::Line { line, column, problem });
        }
        let header = lines.text().and_then(parse_header);
        let header = header.map_err(|fault| lines.error(fault))?;
        Ok(Self { lines, sequence: Sequence::new(header.model), header, failed: false })
    }

    /// The history's first line.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last, counted from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.lines.line
    }

    fn read_event(&mut self) -> Result<Option<Event>, ReadError> {
        if !self.lines.advance()? {
            return Ok(None);
        }
        let event = self
            .lines
            .text()
            .and_then(|text| parse_event(text, self.header.model, &self.sequence))
            .and_then(|event| match self.sequence.accept(&event) {
                Ok(()) => Ok(event),
                Err(problem) => Err(problem.into()),
            });
        event.map(Some).map_err(|fault| self.lines.error(fault))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let event = self.read_event();
        self.failed = event.is_err();
        event.transpose()
    }
}

impl History {
    /// Reads a whole history.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut reader = Reader::new(input)?;
        let mut events = Vec::new();
        for event in &mut reader {
            events.push(event?);
        }
        let operations = reader.sequence.operations();
        Ok(Self::from_checked(reader.header, events, operations))
    }
}

/// A problem and, where it is one of syntax, the byte of the line, counted from 1.
struct Fault {
    problem: Problem,
    column: Option<usize>,
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { problem, column: None }
    }
}

#[derive(Debug)]
struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    /// Goes to the next line that is not blank; false at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = self.input.read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|source| ReadError::Io { line: self.line, source })?;
            if read == 0 {
                self.line -= 1;
                return Ok(false);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn text(&self) -> Result<&str, Fault> {
        std::str::from_utf8(&self.buffer).map_err(|error| Fault {
            problem: Problem::NotUtf8,
            column: Some(error.valid_up_to() + 1),
        })
    }

    /// The fault with its line. A last line that broke off is told from a wrong one by its
    /// missing line break.
    fn error(&self, fault: Fault) -> ReadError {
        let broke_off = self.buffer.last() != Some(&b'\n')
            && self.line > 1
            && serde_json::from_slice::<serde::de::IgnoredAny>(&self.buffer)
                .is_err_and(|error| error.is_eof());
        ReadError::Line {
            line: self.line,
            column: fault.column,
            problem: if broke_off { Problem::Truncated } else { fault.problem },
        }
    }
}

/// Parses a part of a line; the column counts from the line's start.
fn parse<'a, T: Deserialize<'a>>(line: &'a str, part: &'a str) -> Result<T, Fault> {
    serde_json::from_str(part).map_err(|error| {
        let start = part.as_ptr() as usize - line.as_ptr() as usize;
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Fault { problem: Problem::Json { message }, column: Some(start + error.column().max(1)) }
    })
}

#[derive(Deserialize)]
struct HeaderLine {
    format: Option<String>,
    version: Option<u64>,
    model: Option<String>,
    #[serde(default)]
    source: Map<String, Json>,
}

fn parse_header(line: &str) -> Result<Header, Fault> {
    let fields: HeaderLine =
        parse(line, line).map_err(|fault| Fault { problem: Problem::NoHeader, ..fault })?;
    if fields.format.as_deref() != Some("quorate-history") {
        return Err(Problem::NoHeader.into());
    }
    match fields.version {
        Some(1) => {}
        Some(found) => return Err(Problem::UnknownVersion { found }.into()),
        None => return Err(Problem::NoHeader.into()),
    }
    let model = match fields.model.as_deref() {
        Some("register") => Model::Register,
        Some("kv") => Model::Kv,
        Some("etcd") => Model::Etcd,
        Some(found) => {
            let found = found.to_owned();
            return Err(Problem::UnknownModel { found }.into());
        }
        None => return Err(Problem::NoHeader.into()),
    };
    Ok(Header { model, source: fields.source })
}

#[derive(Deserialize)]
struct EventLine<'a> {
    time: Option<Time>,
    client: Option<ClientId>,
    id: Option<OperationId>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<String>,
    fault: Option<Json>,
    note: Option<String>,
}

fn parse_event(line: &str, model: Model, sequence: &Sequence) -> Result<Event, Fault> {
    let fields: EventLine<'_> = parse(line, line)?;
    let kind = match fields.kind.as_ref() {
        "fault" => EventKind::Fault(need("fault", "fault", fields.fault)?),
        "note" => EventKind::Note(need("note", "note", fields.note)?),
        _ => return parse_operation(line, fields, model, sequence),
    };
    // People add remarks by hand: one without a time stands where it stands.
    let time = fields.time.unwrap_or_else(|| sequence.previous());
    Ok(Event { time, kind })
}

fn parse_operation(
    line: &str,
    fields: EventLine<'_>,
    model: Model,
    sequence: &Sequence,
) -> Result<Event, Fault> {
    let kind = match fields.kind.as_ref() {
        "invoke" => "invoke",
        "ok" => "ok",
        "fail" => "fail",
        "info" => "info",
        "watch" => "watch",
        found => {
            let found = found.to_owned();
            return Err(Problem::UnknownType { found }.into());
        }
    };
    let time = need(kind, "time", fields.time)?;
    let client = need(kind, "client", fields.client)?;
    let id = need(kind, "id", fields.id)?;
    let step = match kind {
        "invoke" => Step::Invoke(parse_op(line, need(kind, "op", fields.op)?.get(), model)?),
        "ok" => {
            let raw = need(kind, "result", fields.result)?;
            // Without its invocation nobody knows what the result means; the order is at fault.
            let Some(op) = sequence.open(client, id) else {
                return Err(Problem::NotOpen { client, id }.into());
            };
            Step::Ok(parse_result(line, raw.get(), id, op)?)
        }
        "watch" => Step::Watch(parse(line, need(kind, "result", fields.result)?.get())?),
        "fail" => Step::Fail(need(kind, "error", fields.error)?.into()),
        "info" => Step::Info(need(kind, "error", fields.error)?.into()),
        other => unreachable!("{other} is none of the types matched above"),
    };
    let kind = EventKind::Operation { client, id, step };
    Ok(Event { time, kind })
}

fn need<T>(kind: &'static str, field: &'static str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or(Problem::MissingField { kind, field })
}

fn parse_op(line: &str, raw: &str, model: Model) -> Result<Op, Fault> {
    fn of<T: DeserializeOwned + Into<Op>>(line: &str, raw: &str) -> Result<Op, Fault> {
        parse::<T>(line, raw).map(Into::into)
    }
    let op = match model {
        Model::Register => of::<RegisterOp>(line, raw),
        Model::Kv => of::<KvOp>(line, raw),
        Model::Etcd => of::<crate::EtcdOp>(line, raw),
    };
    op.map_err(|fault| match fault.problem {
        Problem::Json { message } => {
            Fault { problem: Problem::Operation { model, message }, ..fault }
        }
        problem => Fault { problem, ..fault },
    })
}

fn parse_result(line: &str, raw: &str, id: OperationId, op: &Op) -> Result<OpResult, Fault> {
    let misfit = |message: &str| Problem::Result { id, message: message.to_owned() };
    let fields: ResultFields = parse(line, raw).map_err(|fault| match fault.problem {
        Problem::Json { message } => Fault { problem: misfit(&message), ..fault },
        problem => Fault { problem, ..fault },
    })?;
    Ok(match op {
        Op::Register(RegisterOp::Read { .. }) => {
            let value = fields.value;
            RegisterResult::Read { value }.into()
        }
        Op::Register(RegisterOp::Write { .. }) => RegisterResult::Write {}.into(),
        Op::Register(RegisterOp::Cas { .. }) => {
            let succeeded = fields.succeeded;
            RegisterResult::Cas { succeeded }.into()
        }
        Op::Kv(KvOp::Get { .. }) => KvResult::Get {
            value: match fields.value {
                Some(value) => Some(text(value).ok_or_else(|| misfit("its value is no text"))?),
                None => None,
            },
        }
        .into(),
        Op::Kv(KvOp::Put { .. }) => KvResult::Put {}.into(),
        Op::Kv(KvOp::Append { .. }) => KvResult::Append {}.into(),
        Op::Etcd(op) => EtcdResult {
            revision: fields.revision,
            member: fields.member,
            term: fields.term,
            response: fields.into_response(op).map_err(misfit)?,
        }
        .into(),
    })
}

fn text(value: Value) -> Option<Data> {
    match value {
        Value::Data(data) => Some(data),
        _ => None,
    }
}
