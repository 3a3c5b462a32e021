//! `quorate wal`: a member's write-ahead log, shown or judged. It finds the log and holds the lock
//! on its data directory; what the bytes mean is the crate `wal`'s to say. It never writes.

mod describe;
mod inspect;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use quorate_disk::{OpenError, ReadOnlyDisk};
use quorate_wal::disk::{Disk, DiskPath};

use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  quorate wal verify /var/lib/quorate          is the log whole? if not: what, where, what to do
  quorate wal inspect /var/lib/quorate         every record, with its place in bytes
  quorate wal inspect member/wal --format json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct WalArgs {
    #[command(subcommand)]
    command: WalCommand,
}

#[derive(Debug, Subcommand)]
enum WalCommand {
    /// Show every segment and record, and where damage is
    Inspect(DirArgs),
    /// Say whether the log is whole (0), or damaged and what to do about it (1)
    Verify(DirArgs),
}

#[derive(Debug, Args)]
struct DirArgs {
    /// A data directory, the directory member in it, or the log's own
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &WalArgs, output: &Output) -> Result<Exit, Error> {
    match &args.command {
        WalCommand::Inspect(args) => inspect::run(&Place::find(&args.dir)?, output),
        WalCommand::Verify(args) => verify::run(&Place::find(&args.dir)?, output),
    }
}

/// A log, and the snapshots beside it.
struct Place {
    /// As the user named it.
    given: PathBuf,
    disk: ReadOnlyDisk,
    /// The log's directory on the disk.
    wal: DiskPath,
    /// The snapshots', if it is known where they would be.
    snapshots: Option<DiskPath>,
}

impl Place {
    /// Finds the log that a user means, and takes its data directory, which a running member has
    /// locked.
    fn find(given: &Path) -> Result<Place, Error> {
        let no_log = || {
            let what = format!("{}: no write-ahead log here", given.display());
            let remedy = "name a data directory, the directory member in it, or the log's own, \
                          which holds files like 0000000000000000-0000000000000000.wal";
            Error::with_remedy(what, remedy)
        };
        let there = given
            .canonicalize()
            .map_err(|error| Error::new(format!("{}: {error}", given.display())))?;
        let is_named = |path: &Path, name: &str| path.file_name().is_some_and(|own| own == name);
        // The innermost directory that the user can have meant; then as far up as etcd's layout
        // goes, since that is what a member locks.
        let wal = ["member/wal", "wal", ""]
            .map(|below| there.join(below))
            .into_iter()
            .find(|dir| holds_segments(dir))
            .ok_or_else(no_log)?;
        let member = wal.parent().filter(|member| is_named(member, "member"));
        let data = member.and_then(Path::parent).filter(|_| is_named(&wal, "wal"));
        let (root, wal, snapshots) = match (data, wal.parent()) {
            (Some(data), _) => (data, "member/wal", Some("member/snap")),
            (None, Some(above)) if is_named(&wal, "wal") => (above, "wal", Some("snap")),
            _ => (&*wal, "", None),
        };
        let path = |name: &str| match name {
            "" => DiskPath::root(),
            name => DiskPath::new(name).expect("a valid name"),
        };
        let disk = ReadOnlyDisk::open(root).map_err(|error| match error {
            OpenError::Locked { root } => Error::with_remedy(
                format!(
                    "{}: in use by a member, whose last records would look torn",
                    root.display()
                ),
                "stop the member, or look at a copy",
            ),
            error => Error::new(error.to_string()),
        })?;
        let snapshots = snapshots.map(path);
        Ok(Place { given: given.to_owned(), disk, wal: path(wal), snapshots })
    }

    fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    fn name(&self) -> String {
        self.given.display().to_string()
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line finds files")]
fn holds_segments(dir: &Path) -> bool {
    let is_segment = |name: &str| name.len() == 37 && name.ends_with(".wal");
    std::fs::read_dir(dir).is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_str().is_some_and(is_segment)))
    })
}
