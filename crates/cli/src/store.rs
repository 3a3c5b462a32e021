//! `quorate store`: a member's store, shown or judged. It finds the store and the snapshot whose
//! manifest names its files; what the bytes mean is the crate `mvcc`'s to say. It never writes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use quorate_disk::{OpenError, ReadOnlyDisk};
use quorate_mvcc::inspect::{self, Survey};
use quorate_mvcc::{Damage, DamagedPart, Manifest, SegmentInfo, SegmentUse};
use quorate_wal::disk::{Disk, DiskPath};
use quorate_wal::snap;
use serde::Serialize;

use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;
use crate::units::plural;

const EXAMPLES: &str = "\
Examples:
  quorate store verify /var/lib/quorate        is the store whole? if not: what, where, what to do
  quorate store inspect /var/lib/quorate       every segment, and how much of it still lives";

const REWRITE: &str = "start the member: it writes its keys' files anew from the data";
const REPAIR: &str = "in a cluster, start the member: it gets damaged records from its peers; \
                      alone, it can do without those that no read needs, and stops at others: then \
                      restore a backup";
const RESTART: &str = "start the member: it goes on from an older snapshot and its log if it can, \
                       and in a cluster gets from its peers what it lacks; alone, if it does not \
                       start, restore a backup";

/// Up to here, damaged records are named one by one.
const FEW: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Show every segment, how much of it still lives, and where damage is
    Inspect(DirArgs),
    /// Say whether the store is whole (0), or damaged and what to do about it (1)
    Verify(DirArgs),
}

#[derive(Debug, Args)]
struct DirArgs {
    /// A data directory, the directory member in it, or the store's own in that
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// What was found, for people and for programs.
#[derive(Serialize)]
struct Verdict {
    dir: String,
    verdict: &'static str,
    /// The store that the newest intact snapshot names; none if everything is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Summary>,
    damage: Vec<DamageLine>,
    /// Newer snapshots than that, which are damaged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damaged_snapshots: Vec<SnapshotLine>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

#[derive(Serialize)]
struct SnapshotLine {
    file: String,
    what: String,
}

#[derive(Serialize)]
struct Summary {
    snapshot_index: u64,
    revision: i64,
    compacted: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    segments: usize,
    bytes: u64,
    live_bytes: u64,
    other_files: usize,
}

/// Something that is damaged; or several records of a segment that are damaged alike.
#[derive(Serialize)]
struct DamageLine {
    segment: String,
    /// How many records, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u32>,
    /// Where the last of several begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_offset: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<i64>,
    /// The highest of several; `revision` is the lowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_revision: Option<i64>,
    what: String,
}

#[derive(Serialize)]
struct SegmentLine<'a> {
    segment: &'a str,
    records: u64,
    first_revision: i64,
    last_revision: i64,
    data_bytes: u64,
    keys_bytes: u64,
    live_bytes: u64,
}

pub(crate) fn run(args: &StoreArgs, output: &Output) -> Result<Exit, Error> {
    let (StoreCommand::Inspect(dir) | StoreCommand::Verify(dir)) = &args.command;
    let place = Place::find(&dir.dir)?;
    let (found, damaged) = place.read()?;
    if let (StoreCommand::Inspect(_), Some(found)) = (&args.command, &found) {
        show_segments(found, output);
    }
    let verdict = Verdict::of(&place, found, damaged);
    if output.is_json() {
        output.json(&verdict);
    } else {
        output.data(verdict.in_words(output));
    }
    let is_whole = verdict.damage.is_empty() && verdict.damaged_snapshots.is_empty();
    Ok(if is_whole { Exit::Well } else { Exit::Violation })
}

/// A store, and the snapshots beside it.
struct Place {
    /// As the user named it.
    given: PathBuf,
    disk: ReadOnlyDisk,
    store: DiskPath,
    snapshots: DiskPath,
}

/// A store that a snapshot names.
struct Found {
    snapshot_index: u64,
    manifest: Manifest,
    survey: Survey,
}

impl Place {
    /// Finds the store that a user means, and takes its data directory, which a running member has
    /// locked.
    fn find(given: &Path) -> Result<Place, Error> {
        let there = given
            .canonicalize()
            .map_err(|error| Error::new(format!("{}: {error}", given.display())))?;
        // As far up as etcd's layout goes: the store's manifest is beside it, and the data directory
        // is what a member locks.
        let above = |path: &Path, name: &str| {
            let is_it = path.file_name().is_some_and(|own| own == name);
            path.parent().filter(|_| is_it).map(Path::to_owned)
        };
        let member = above(&there, "store").unwrap_or_else(|| there.clone());
        let root = &above(&member, "member").unwrap_or(there);
        if !root.join("member").join("store").is_dir() {
            let what = format!("{}: no store here", given.display());
            let remedy = "name a data directory, which holds member/store and member/snap, the \
                          directory member, or the store's own in it";
            return Err(Error::with_remedy(what, remedy));
        }
        let disk = ReadOnlyDisk::open(root).map_err(|error| match error {
            OpenError::Locked { root } => Error::with_remedy(
                format!("{}: in use by a member", root.display()),
                "stop the member, or look at a copy",
            ),
            error => Error::new(error.to_string()),
        })?;
        let member = DiskPath::root().join("member");
        let (store, snapshots) = (member.join("store"), member.join("snap"));
        Ok(Place { given: given.to_owned(), disk, store, snapshots })
    }

    /// Reads all that the newest intact snapshot names; nothing if there is none. And says which
    /// newer ones are damaged.
    fn read(&self) -> Result<(Option<Found>, Vec<SnapshotLine>), Error> {
        let bad = |error: &dyn std::fmt::Display| Error::new(error.to_string());
        let disk: &dyn Disk = self.disk.as_ref();
        let loaded =
            snap::load_newest(disk, &self.snapshots, |_| true).map_err(|error| bad(&error))?;
        let damaged = loaded.damaged.into_iter().map(|snapshot| SnapshotLine {
            file: snapshot.file.to_string(),
            what: snapshot.damage.to_string(),
        });
        let damaged = damaged.collect();
        let Some(snapshot) = loaded.snapshot else { return Ok((None, damaged)) };
        let data = snapshot.data.unwrap_or_default();
        let manifest = Manifest::decode(&data).map_err(|error| bad(&error))?;
        let survey = inspect::survey(disk, &self.store, &manifest).map_err(|error| bad(&error))?;
        let found = Found { snapshot_index: snapshot.metadata.index, manifest, survey };
        Ok((Some(found), damaged))
    }
}

impl Verdict {
    fn of(place: &Place, found: Option<Found>, damaged_snapshots: Vec<SnapshotLine>) -> Verdict {
        let dir = place.given.display().to_string();
        let is_new = damaged_snapshots.is_empty();
        let Some(Found { snapshot_index, manifest, survey }) = found else {
            let (verdict, remedy) =
                if is_new { ("empty", None) } else { ("damaged", Some(RESTART)) };
            let (store, damage) = (None, vec![]);
            return Verdict { dir, verdict, store, damage, damaged_snapshots, remedy };
        };
        let store = Summary {
            snapshot_index,
            revision: manifest.current.0,
            compacted: manifest.compacted.0,
            keys: survey.keys,
            segments: survey.segments.len(),
            bytes: manifest.total_bytes(),
            live_bytes: survey.segments.iter().map(|segment| segment.live_bytes).sum(),
            other_files: survey.others.len(),
        };
        let alike = survey.damage.chunk_by(are_alike);
        let mut damage: Vec<DamageLine> = alike.flat_map(DamageLine::of_alike).collect();
        damage.extend(survey.lost.iter().map(|id| {
            DamageLine::of_segment(id.to_string(), "both of its files are damaged".to_owned())
        }));
        damage.extend(survey.incoherent.map(|(id, reason)| {
            let what = format!("it is intact, but no store wrote it: {reason}");
            DamageLine::of_segment(id.to_string(), what)
        }));
        let is_repairable = survey.lost.is_empty() && survey.incoherent.is_none();
        let is_of_keys = |damage: &Damage| damage.part == DamagedPart::Keys;
        let remedy = match (survey.is_whole(), is_repairable) {
            (true, _) if damaged_snapshots.is_empty() => None,
            (true, _) | (false, false) => Some(RESTART),
            (false, true) if survey.damage.iter().all(is_of_keys) => Some(REWRITE),
            (false, true) => Some(REPAIR),
        };
        let verdict = if remedy.is_none() { "whole" } else { "damaged" };
        Verdict { dir, verdict, store: Some(store), damage, damaged_snapshots, remedy }
    }

    fn in_words(&self, output: &Output) -> String {
        let paint = output.paint();
        let mut lines = Vec::new();
        for DamageLine { segment, offset, last_offset, what, .. } in &self.damage {
            let at = match (offset, last_offset) {
                (None, _) => String::new(),
                (Some(offset), None) => format!(" at byte {offset}"),
                (Some(offset), Some(last)) => format!(" from byte {offset} to {last}"),
            };
            let name = paint.bold_red(format_args!("segment {segment}{at}:"));
            lines.push(format!("{name} {what}"));
        }
        for SnapshotLine { file, what } in &self.damaged_snapshots {
            lines.push(format!("{} {what}", paint.bold_red(format_args!("snapshot {file}:"))));
        }
        match &self.store {
            None if self.damaged_snapshots.is_empty() => lines
                .push(format!("{}: no snapshot names a store; everything is in the log", self.dir)),
            None => lines.push(format!("{}: no intact snapshot names a store", self.dir)),
            Some(store) => lines.push(format!(
                "{}: {}; revision {} in {}, {} of {} bytes live, as of entry {}",
                self.dir,
                paint.bold(self.verdict),
                store.revision,
                plural(store.segments as u64, "segment"),
                store.live_bytes,
                store.bytes,
                store.snapshot_index,
            )),
        }
        if let Some(remedy) = self.remedy {
            lines.push(format!("{}  {remedy}", paint.bold("help:")));
        }
        lines.join("\n")
    }
}

/// Whether what is wrong with one record is wrong with the next one as well.
fn are_alike(one: &Damage, next: &Damage) -> bool {
    let is_record = |damage: &Damage| matches!(damage.part, DamagedPart::Record { .. });
    is_record(one) && is_record(next) && (one.segment, &one.what) == (next.segment, &next.what)
}

impl DamageLine {
    /// A line for each of a few, which names its key; one for all of them if there are more.
    fn of_alike(alike: &[Damage]) -> Vec<DamageLine> {
        if alike.len() <= FEW {
            return alike.iter().map(DamageLine::of).collect();
        }
        let (mut offsets, mut revisions) = (Vec::new(), Vec::new());
        for damage in alike {
            if let DamagedPart::Record { offset, change } = &damage.part {
                offsets.push(*offset);
                revisions.extend(change.as_ref().map(|change| change.revision.0));
            }
        }
        let (first, last) = (revisions.iter().min(), revisions.iter().max());
        let of = match (first, last) {
            (Some(first), Some(last)) => format!(", of revisions {first} to {last},"),
            _ => String::new(),
        };
        let records = alike.len() as u64;
        let what = format!("{}{of} are damaged: {}", plural(records, "record"), alike[0].what);
        vec![DamageLine {
            records: Some(records),
            offset: offsets.first().copied(),
            last_offset: offsets.last().copied(),
            revision: first.copied(),
            last_revision: last.copied(),
            ..DamageLine::of_segment(alike[0].segment.to_string(), what)
        }]
    }

    fn of_segment(segment: String, what: String) -> DamageLine {
        DamageLine {
            segment,
            records: None,
            offset: None,
            last_offset: None,
            revision: None,
            last_revision: None,
            what,
        }
    }

    fn of(damage: &Damage) -> DamageLine {
        let (offset, revision, what) = match &damage.part {
            DamagedPart::Record { offset, change } => {
                let change = change.as_ref();
                let what = change.map_or("a record".to_owned(), |change| {
                    format!("the change of {:?} at revision {}", change.key, change.revision)
                });
                (Some(*offset), change.map(|change| change.revision.0), what)
            }
            DamagedPart::Keys => (None, None, "the keys' file".to_owned()),
        };
        let what = format!("{what} is damaged: {}", damage.what);
        let line = DamageLine::of_segment(damage.segment.to_string(), what);
        DamageLine { offset, revision, ..line }
    }
}

fn show_segments(found: &Found, output: &Output) {
    for (info, used) in found.manifest.segments.iter().zip(&found.survey.segments) {
        let (info, used): (&SegmentInfo, &SegmentUse) = (info, used);
        if output.is_json() {
            output.json(&SegmentLine {
                segment: &used.id.to_string(),
                records: used.records,
                first_revision: info.first_revision().0,
                last_revision: info.last_revision().0,
                data_bytes: used.data_bytes,
                keys_bytes: used.keys_bytes,
                live_bytes: used.live_bytes,
            });
        } else {
            let live = used.live_bytes * 100 / used.data_bytes.max(1);
            output.data(format_args!(
                "{}  {}, revisions {} to {}, {} bytes and {} of keys, {live}% live",
                output.paint().bold(used.id),
                plural(used.records, "record"),
                info.first_revision(),
                info.last_revision(),
                used.data_bytes,
                used.keys_bytes,
            ));
        }
    }
    for file in &found.survey.others {
        if !output.is_json() {
            output.data(format_args!("{file}  not part of the snapshot"));
        }
    }
}
