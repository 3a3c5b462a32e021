//! `quorate wal inspect`: every record of a log, then what it comes to.

use quorate_wal::inspect::{self, Found, Seal, Segment, What};
use serde::Serialize;

use super::{Place, describe, verify};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Output, Paint};

pub(super) fn run(place: &Place, output: &Output) -> Result<Exit, Error> {
    let (segments, aside) =
        inspect::segments(place.disk(), &place.wal).map_err(|error| told(&error))?;
    let mut chain = None;
    for segment in &segments {
        announce(segment, output);
        let shown = inspect::segment(place.disk(), segment, chain, |found| {
            if output.is_json() {
                output.json(&RecordLine::new(segment, &found));
            } else {
                output.data(in_words(&found, output.paint()));
            }
        });
        chain = shown.map_err(|error| told(&error))?;
        if output.reader_gone() {
            return Ok(Exit::Well);
        }
    }
    for file in aside {
        if output.is_json() {
            output.json(&SetAsideLine { set_aside: file.as_str() });
        } else {
            output.data(format_args!("{file}  set aside after damage; not read any more"));
        }
    }
    verify::run(place, output)
}

fn told(error: &quorate_wal::WalError) -> Error {
    Error::new(error.to_string())
}

fn announce(segment: &Segment, output: &Output) {
    let Segment { file, sequence, first_index, bytes } = segment;
    if output.is_json() {
        let file = file.as_str();
        let line = SegmentLine { segment: file, sequence: *sequence, first_index: *first_index };
        output.json(&line);
    } else {
        let name = output.paint().bold(file);
        output.data(format_args!(
            "{name}  segment {sequence}, from entry {first_index} on, {bytes} bytes"
        ));
    }
}

fn in_words(found: &Found, paint: Paint) -> String {
    let (kind, text) = match &found.what {
        What::Chain(crc) => ("chain", format!("{crc:08x}")),
        What::Metadata(data) => ("metadata", describe::metadata(data)),
        What::Entry(entry) => {
            let (name, details) = (describe::name(entry), describe::details(entry));
            let bytes = entry.data.as_ref().map_or(0, |data| data.len());
            let text = format!("{} term {}  {name} {details}", entry.index, entry.term);
            ("entry", format!("{}  ({bytes} bytes)", text.trim_end()))
        }
        What::HardState(state) => ("state", describe::hard_state(state)),
        What::Snapshot(snapshot) => ("snapshot", describe::snapshot(snapshot)),
        What::Undecodable(found) => ("record", paint.bold_red(found)),
        What::Seal(seal) => ("seal", paint.dim(sealed(seal))),
        What::SealOfDamaged(seal) => ("seal", paint.yellow(format!("damaged: {}", sealed(seal)))),
        What::Unreadable { end, found } => {
            ("damaged", paint.bold_red(format_args!("up to byte {end}: {found}")))
        }
        What::End => ("end", paint.dim("only zeros behind")),
        _ => ("other", format!("{:?}", found.what)),
    };
    format!("{:>10}  {kind:<8}  {text}", found.offset)
}

fn sealed(seal: &Seal) -> String {
    let said = &seal.statement;
    let mut text = format!(
        "{} bytes; last entry {}, {}",
        seal.batch_bytes,
        said.last_index,
        describe::hard_state(&said.hard_state)
    );
    if said.doubtful_up_to > 0 {
        text += &format!(", in doubt up to {}", said.doubtful_up_to);
    }
    if said.begins_log {
        text += ", the log begins here";
    }
    text
}

#[derive(Serialize)]
struct SegmentLine<'a> {
    segment: &'a str,
    sequence: u64,
    first_index: u64,
}

#[derive(Serialize)]
struct SetAsideLine<'a> {
    set_aside: &'a str,
}

/// One thing in a segment; what it does not have is left out.
#[derive(Default, Serialize)]
struct RecordLine<'a> {
    segment: &'a str,
    offset: u64,
    record: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vote: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The offset behind what cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doubtful_up_to: Option<u64>,
    /// What an entry asks for, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

impl<'a> RecordLine<'a> {
    fn new(segment: &'a Segment, found: &Found) -> RecordLine<'a> {
        let line =
            RecordLine { segment: segment.file.as_str(), offset: found.offset, ..Self::default() };
        match &found.what {
            What::Chain(crc) => {
                RecordLine { record: "chain", what: Some(format!("{crc:08x}")), ..line }
            }
            What::Metadata(data) => {
                let (what, bytes) = (Some(describe::metadata(data)), Some(data.len() as u64));
                RecordLine { record: "metadata", what, bytes, ..line }
            }
            What::Entry(entry) => RecordLine {
                record: "entry",
                index: Some(entry.index),
                term: Some(entry.term),
                bytes: Some(entry.data.as_ref().map_or(0, |data| data.len() as u64)),
                what: Some(describe::name(entry)),
                ..line
            },
            What::HardState(state) => line.with_state("state", state),
            What::Snapshot(snapshot) => RecordLine {
                record: "snapshot",
                index: Some(snapshot.index),
                term: Some(snapshot.term),
                ..line
            },
            What::Undecodable(found) => {
                RecordLine { record: "undecodable", what: Some(found.to_string()), ..line }
            }
            What::Seal(seal) => line.with_seal("seal", seal),
            What::SealOfDamaged(seal) => line.with_seal("seal_of_damaged", seal),
            What::Unreadable { end, found } => RecordLine {
                record: "damaged",
                end: Some(*end),
                what: Some(found.to_string()),
                ..line
            },
            What::End => RecordLine { record: "end", ..line },
            other => RecordLine { record: "other", what: Some(format!("{other:?}")), ..line },
        }
    }

    fn with_state(
        self,
        record: &'static str,
        state: &quorate_proto::raftpb::HardState,
    ) -> RecordLine<'a> {
        let (term, vote, commit) = (Some(state.term), Some(state.vote), Some(state.commit));
        RecordLine { record, term, vote, commit, ..self }
    }

    fn with_seal(self, record: &'static str, seal: &Seal) -> RecordLine<'a> {
        let line = RecordLine { bytes: Some(u64::from(seal.batch_bytes)), record, ..self };
        let said = &seal.statement;
        let doubtful_up_to = (said.doubtful_up_to > 0).then_some(said.doubtful_up_to);
        let line = RecordLine { index: Some(said.last_index), doubtful_up_to, ..line };
        line.with_state(record, &said.hard_state)
    }
}
