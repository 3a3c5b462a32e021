//! Development chores. So far one: `cargo run --release -p xtask -- canaries` plants known
//! mistakes in a copy of the code and requires that a campaign of seeds reports each.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore reads and writes files, starts cargo, and talks to a person"
)]

mod canary;
mod hunt;
mod tree;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

use canary::Canary;
use hunt::{Answer, Caught, Hunt};

/// Chores of quorate's developers.
#[derive(Parser)]
enum Chore {
    /// Plants each mistake of canaries/ in a copy of the code and requires that it is reported.
    Canaries {
        /// Only these, by file name without `.patch`; none: all.
        names: Vec<String>,
        /// Seeds to try at most, instead of what each canary says.
        #[arg(long)]
        seeds: Option<u64>,
        /// Threads of each campaign; left out: as `quorate sim` chooses.
        #[arg(long)]
        jobs: Option<u32>,
    },
}

/// What keeps a canary from being judged. A canary that cannot be judged counts as not caught.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("canaries/{file}: line {line}: {problem}; canaries/README.md has the form")]
    Header { file: String, line: usize, problem: String },
    #[error(
        "canaries/{file}: {problem}; write the patch with 'git diff', as canaries/README.md says"
    )]
    Patch { file: String, problem: String },
    #[error(
        "canaries/{file} no longer applies to {target}: {problem}; the code has changed: \
         refresh the patch as canaries/README.md says"
    )]
    Stale { file: String, target: String, problem: String },
    #[error("the patched code does not build: {0}")]
    Build(String),
    #[error("'quorate {command}' {problem}")]
    Contract { command: String, problem: String },
    #[error("no canary named {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    }
}

fn main() -> ExitCode {
    let Chore::Canaries { names, seeds, jobs } = Chore::parse();
    match canaries(&names, seeds, jobs) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the canaries and prints the table; whether all are well.
fn canaries(names: &[String], seeds: Option<u64>, jobs: Option<u32>) -> Result<bool, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned();
    let mut rows = Vec::new();
    let mut all_well = true;
    for mut canary in canary::load(&root.join("canaries"), names)? {
        canary.seeds = seeds.unwrap_or(canary.seeds);
        eprintln!("canary {}: {}", canary.name, canary.mistake);
        let row = match judge(&root, &canary, jobs) {
            Ok(caught) => {
                all_well &= caught.is_well(&canary);
                caught.row(&canary)
            }
            Err(error) => {
                all_well = false;
                eprintln!("error: canary {}: {error}", canary.name);
                [canary.name.clone(), "-".into(), "-".into(), "NOT JUDGED".into()]
            }
        };
        rows.push(row);
    }
    print!("{}", table(&rows));
    Ok(all_well)
}

/// Plants one mistake, builds, and hunts it.
fn judge(root: &Path, canary: &Canary, jobs: Option<u32>) -> Result<Caught, Error> {
    let work = root.join("target").join("canaries");
    // One tree and one target folder for all canaries: from one to the next only the files of two
    // patches change, so that only what depends on them is compiled again.
    let tree = work.join("tree");
    let target = work.join("target");
    let mut files = tree::tracked(root)?;
    canary.apply(&mut files)?;
    tree::write(&tree, &files)?;
    build(&tree, &target)?;
    let out = work.join("out").join(&canary.name);
    if out.exists() {
        std::fs::remove_dir_all(&out).map_err(Error::io("remove", &out))?;
    }
    let binary = target.join("release").join("quorate");
    let mut quorate = |arguments: &[String]| run(&binary, &tree, arguments);
    Hunt { canary, jobs, out: &out, quorate: &mut quorate }.run()
}

fn build(tree: &Path, target: &Path) -> Result<(), Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "quorate-cli", "--bin", "quorate"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        // From one canary to the next a few lines change, and nobody looks at their symbols.
        .env("CARGO_INCREMENTAL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .status()
        .map_err(Error::io("start cargo in", tree))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Build(format!("cargo build in {}: {status}", tree.display())))
}

fn run(binary: &Path, tree: &Path, arguments: &[String]) -> Result<Answer, Error> {
    let output = Command::new(binary)
        .args(arguments)
        .current_dir(tree)
        .output()
        .map_err(Error::io("start", binary))?;
    Ok(Answer {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The rows under their heading, in columns as wide as their widest cell.
fn table(rows: &[[String; 4]]) -> String {
    let heading = ["canary", "seed", "CPU-s", "verdict"].map(str::to_owned);
    let all: Vec<_> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    all.iter()
        .map(|[name, seed, seconds, verdict]| {
            format!(
                "{name:<0$}  {seed:>1$}  {seconds:>2$}  {verdict}\n",
                widths[0], widths[1], widths[2]
            )
        })
        .collect()
}
