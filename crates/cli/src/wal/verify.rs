//! `quorate wal verify`: whether a member could start from its log, and if not, what to do.

use quorate_proto::raftpb;
use quorate_wal::snap::{self, Loaded};
use quorate_wal::{Contents, Outlook, SnapshotId, TornTail, Wal, WalError, inspect};
use serde::Serialize;

use super::{Place, describe};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;
use crate::units::plural;

const RESTORE: &str = "in a cluster, remove this member, empty its data directory and add it anew; \
                       alone, restore a backup";
const PUT_BACK: &str = "put the file back if it was moved away; otherwise, in a cluster, remove \
                        this member, empty its data directory and add it anew; alone, restore a \
                        backup";
const IN_DOUBT: &str = "in a cluster, start the member: it keeps what is before the damage, and \
                        neither votes nor leads until it has the rest from its peers; alone, \
                        restore a backup";
const HARMLESS: &str = "start the member: nothing that counts is lost, and the damaged segments \
                        are set aside";
const OLDER: &str = "start the member: it begins from an older snapshot; remove the damaged file \
                     when you do not want to look at it any more";

/// Judges the log, and says so.
pub(super) fn run(place: &Place, output: &Output) -> Result<Exit, Error> {
    let verdict = Verdict::of(place)?;
    if output.is_json() {
        output.json(&verdict);
    } else {
        output.data(verdict.in_words(output));
    }
    Ok(match verdict.is_whole() {
        true => Exit::Well,
        false => Exit::Violation,
    })
}

#[derive(Default, Serialize)]
struct Verdict {
    dir: String,
    verdict: &'static str,
    segments: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<Summary>,
    /// What was being written when the power went.
    #[serde(skip_serializing_if = "Option::is_none")]
    torn_tail: Option<Span>,
    damage: Vec<Span>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

/// What a member would start with.
#[derive(Serialize)]
struct Summary {
    snapshot_index: u64,
    snapshot_term: u64,
    last_index: u64,
    term: u64,
    vote: u64,
    commit: u64,
    doubtful_up_to: u64,
}

/// A place in a file.
#[derive(Serialize)]
struct Span {
    file: String,
    start: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    what: String,
    /// First and last index of the entries that are lost, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<(u64, u64)>,
}

impl Verdict {
    fn of(place: &Place) -> Result<Verdict, Error> {
        let bad = |error: &WalError| Error::new(error.to_string());
        let (segments, _) =
            inspect::segments(place.disk(), &place.wal).map_err(|error| bad(&error))?;
        let mut verdict =
            Verdict { dir: place.name(), segments: segments.len() as u64, ..Verdict::default() };
        match Wal::read(place.disk(), &place.wal) {
            Err(error @ (WalError::Disk(_) | WalError::NoLog { .. })) => return Err(bad(&error)),
            Err(error) => verdict.refuse(place, &error),
            Ok(contents) => verdict.judge(place, &contents)?,
        }
        verdict.verdict = if verdict.is_whole() { "whole" } else { "damaged" };
        Ok(verdict)
    }

    fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.remedy.is_none()
    }

    /// A log that no member starts from.
    fn refuse(&mut self, place: &Place, error: &WalError) {
        self.remedy = Some(match error {
            WalError::MissingSegment { .. } => PUT_BACK,
            _ => RESTORE,
        });
        self.damage.push(match error {
            WalError::Corrupt { segment, offset, found, because } => Span {
                file: segment.to_string(),
                start: *offset,
                end: None,
                what: format!("{found}; {because}"),
                lost: None,
            },
            error => Span {
                file: place.wal.to_string(),
                start: 0,
                end: None,
                what: without_remedy(&error.to_string()),
                lost: None,
            },
        });
    }

    fn judge(&mut self, place: &Place, contents: &Contents) -> Result<(), Error> {
        self.torn_tail = contents.torn_tail().map(|TornTail { segment, offset, bytes }| Span {
            file: segment.to_string(),
            start: *offset,
            end: Some(offset + bytes),
            what: "was being written when the power went; it will be cut off".to_owned(),
            lost: None,
        });
        for damage in contents.damage() {
            self.damage.push(Span {
                file: damage.segment.to_string(),
                start: damage.start,
                end: Some(damage.end),
                what: format!("at byte {}: {}", damage.found_at, damage.found),
                lost: damage.lost,
            });
        }
        let start = self.start(place, contents)?;
        match contents.outlook(start) {
            Err(error) => self.refuse(place, &error),
            Ok(Outlook { hard_state, last_index, doubtful_up_to, loses }) => {
                if loses {
                    self.remedy = Some(IN_DOUBT);
                } else if !contents.damage().is_empty() {
                    self.remedy = Some(HARMLESS);
                }
                let raftpb::HardState { term, vote, commit } = hard_state;
                self.contents = Some(Summary {
                    snapshot_index: start.index,
                    snapshot_term: start.term,
                    last_index,
                    term,
                    vote,
                    commit,
                    doubtful_up_to,
                });
            }
        }
        Ok(())
    }

    /// The snapshot that a member would start from: the newest that has an intact file. Without
    /// the snapshots' directory, the newest that the log notes.
    fn start(&mut self, place: &Place, contents: &Contents) -> Result<SnapshotId, Error> {
        let Some(dir) = &place.snapshots else {
            let newest = contents.snapshots().last();
            return Ok(newest.map_or(SnapshotId::BEGINNING, |noted| SnapshotId {
                term: noted.term,
                index: noted.index,
            }));
        };
        let loaded = snap::load_newest(place.disk(), dir, |id| contents.continues(id));
        let Loaded { snapshot, damaged } = loaded.map_err(|error| Error::new(error.to_string()))?;
        for damaged in damaged {
            let what = damaged.damage.to_string();
            let file = damaged.file.to_string();
            self.damage.push(Span { file, start: 0, end: None, what, lost: None });
            self.remedy = Some(OLDER);
        }
        Ok(snapshot.map_or(SnapshotId::BEGINNING, |snapshot| SnapshotId {
            term: snapshot.metadata.term,
            index: snapshot.metadata.index,
        }))
    }

    fn in_words(&self, output: &Output) -> String {
        let paint = output.paint();
        let verdict = match self.is_whole() {
            true => paint.green(self.verdict),
            false => paint.bold_red(self.verdict),
        };
        let segments = plural(self.segments, "segment");
        let mut text =
            format!("{verdict}  {}  {}", self.dir, paint.dim(format_args!("({segments})")));
        if let Some(Summary { snapshot_index, last_index, term, vote, commit, .. }) = self.contents
        {
            let state = describe::hard_state(&raftpb::HardState { term, vote, commit });
            let from = match snapshot_index {
                0 => "the beginning".to_owned(),
                index => format!("the snapshot at entry {index}"),
            };
            text += &format!("\n  starts from {from}, last entry {last_index}, {state}");
        }
        let doubtful = self.contents.as_ref().map_or(0, |summary| summary.doubtful_up_to);
        if doubtful > 0 {
            text += &format!("\n  in doubt: entries up to {doubtful} may have been acknowledged");
        }
        for span in self.torn_tail.iter().chain(&self.damage) {
            text += &format!("\n  {}", span.in_words());
        }
        if let Some(remedy) = self.remedy {
            text += &format!("\n  {}  {remedy}", paint.bold("to do:"));
        }
        text
    }
}

impl Span {
    fn in_words(&self) -> String {
        let Span { file, start, end, what, lost } = self;
        let place = match end {
            Some(end) => format!("{file}: bytes {start} to {end}"),
            None if *start > 0 => format!("{file}: byte {start}"),
            None => file.clone(),
        };
        let lost = lost.map_or_else(String::new, |(first, last)| match first == last {
            true => format!("; entry {first} is lost"),
            false => format!("; entries {first} to {last} are lost, at most"),
        });
        format!("{place}: {what}{lost}")
    }
}

/// The log's messages say what to do after the last semicolon; here that has a line of its own.
fn without_remedy(message: &str) -> String {
    message.rsplit_once("; ").map_or(message, |(what, _)| what).to_owned()
}
