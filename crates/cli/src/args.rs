//! The command line's grammar and its help texts. It refuses what cannot be meant; what the
//! arguments do is the commands' business.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use quorate_sim::campaign::{Shard, ShardError};
use quorate_sim::{Seed, SeedError};

use crate::serve::ServeArgs;
use crate::units::{parse_bytes, parse_duration};

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  a violation was found
  2  bad usage or input, or an internal error
  3  undecided: a limit was reached, or the work was interrupted
  4  a liveness violation: nothing wrong was answered, but the cluster did not recover in time";

/// An etcd-compatible replicated store, and the workbench that tries to break it.
#[derive(Debug, Parser)]
#[command(
    name = "quorate",
    version,
    after_help = EXIT_CODES,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct GlobalArgs {
    /// When to use colors; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", help_heading = "Reporting")]
    #[arg(default_value_t, hide_default_value = true)]
    pub(crate) color: ColorWhen,
    /// How to report: for people, or as one JSON object a line
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = "Reporting")]
    #[arg(default_value_t, hide_default_value = true)]
    pub(crate) format: Format,
}

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

/// How to report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run seeded schedules of faults against a simulated cluster, and judge every step
    Sim(SimArgs),
    /// Run one schedule again, and say whether the same comes of it
    Replay(ReplayArgs),
    /// Find the smallest schedule that still fails in the same way
    Shrink(ShrinkArgs),
    /// Judge histories: could a store that keeps its promises have answered so?
    Check(CheckArgs),
    /// Search the whole state space of an abstract model; without a name, list the models
    Model(ModelArgs),
    /// Serve etcd's v3 API (for now its KV service, in plaintext), as one member of a cluster
    Serve(ServeArgs),
    /// Look at a member's store, or judge it; never changes it
    Store(crate::store::StoreArgs),
    /// Look at a member's write-ahead log, or judge it; never changes it
    Wal(crate::wal::WalArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

const SIM_EXAMPLES: &str = "\
Examples:
  quorate sim                                  the shipped scenarios, about a minute
  quorate sim swarm --seeds 10000 --from 1     these seeds of one scenario
  quorate sim swarm --for 8h --shard 1/4       as many as fit, on one machine of four
  quorate sim my-scenario.toml --seed 0x2a     one seed of a scenario of your own";

#[derive(Debug, Args)]
#[command(after_help = SIM_EXAMPLES)]
pub(crate) struct SimArgs {
    /// Shipped scenarios by name, or scenario files; none: all shipped ones
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// How many seeds of each scenario to run [default: 200; with --for, no limit]
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<NonZeroU64>,
    /// The first seed, decimal or 0x… [default: a fresh one, which is printed]
    #[arg(long, value_name = "S", value_parser = parse_seed)]
    pub(crate) from: Option<Seed>,
    /// Run this one seed of each scenario, decimal or 0x…
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seed,
        conflicts_with_all = ["seeds", "from", "time_limit", "shard"]
    )]
    pub(crate) seed: Option<Seed>,
    /// Seeds run at the same time [default: the number of processors]
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Start no more seeds after so long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Run only the K-th of N parts of the seeds, as in 2/8
    #[arg(long, value_name = "K/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
    /// End after so many failing seeds
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) max_failures: NonZeroUsize,
    /// Where failing seeds leave their history, schedules and trace
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  quorate replay out/swarm-42/repro.toml
  quorate replay swarm --seed 42";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// A repro file, or with --seed a scenario
    #[arg(value_name = "REPRO|SCENARIO")]
    pub(crate) what: String,
    /// The seed of the scenario, decimal or 0x…
    #[arg(long, value_name = "S", value_parser = parse_seed)]
    pub(crate) seed: Option<Seed>,
}

const SHRINK_EXAMPLES: &str = "\
Examples:
  quorate shrink out/swarm-42/repro-full.toml
  quorate shrink out/swarm-42/repro.toml --reruns 20000 --for 10m";

#[derive(Debug, Args)]
#[command(after_help = SHRINK_EXAMPLES)]
pub(crate) struct ShrinkArgs {
    /// A repro file
    #[arg(value_name = "REPRO")]
    pub(crate) repro: PathBuf,
    /// How many smaller schedules to try at most
    #[arg(long, value_name = "N", default_value = "2000")]
    pub(crate) reruns: NonZeroU32,
    /// Try no more after so long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Where the smaller schedule, its history and its trace are written
    #[arg(long, value_name = "DIR", default_value = "out/shrunk")]
    pub(crate) out: PathBuf,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  quorate check out/swarm-42/history.jsonl
  quorate check histories/**/*.jsonl --format json
  quorate check - --timeout 10m --memory 4GiB < history.jsonl
  quorate check out/swarm-42/history.jsonl --minimize";

#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Histories in quorate's format (JSON Lines), or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Refuse histories of any other model
    #[arg(long, value_enum, value_name = "MODEL")]
    pub(crate) model: Option<ModelName>,
    /// Let the clock limit the search of each history, instead of a number of steps
    ///
    /// Without it each search may take a million steps, about a second: then the verdict is the
    /// same on every machine.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// What the search of each history may remember [default: 256MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,
    /// Reduce what is invalid to few operations whose answers contradict each other
    ///
    /// All other operations then count as of unknown outcome, so that the answers listed refute
    /// the history by themselves. It may take as many steps, or as long, as the check.
    #[arg(long)]
    pub(crate) minimize: bool,
}

/// The models of histories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelName {
    Register,
    Kv,
    Etcd,
}

const MODEL_EXAMPLES: &str = "\
Examples:
  quorate model
  quorate model election --servers 5 --for 10m --jobs 2
  quorate model election --explore localhost:3000";

#[derive(Debug, Args)]
#[command(after_help = MODEL_EXAMPLES)]
pub(crate) struct ModelArgs {
    /// The model to search
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Servers of the modelled cluster
    #[arg(long, value_name = "N", requires = "name")]
    pub(crate) servers: Option<u8>,
    /// Terms that may see an election
    #[arg(long, value_name = "N", requires = "name")]
    pub(crate) terms: Option<u8>,
    /// Crashes that a behaviour may contain
    #[arg(long, value_name = "N", requires = "name")]
    pub(crate) crashes: Option<u8>,
    /// Stop after so long, undecided if nothing was violated by then
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, requires = "name")]
    pub(crate) time_limit: Option<Duration>,
    /// Stop after so many states, which also limits memory (some 500 bytes a state)
    #[arg(long, value_name = "N", requires = "name")]
    pub(crate) states: Option<NonZeroU64>,
    /// Threads to search with; only one makes every counterexample a shortest one [default: 1]
    #[arg(long, value_name = "J", requires = "name")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Serve the model as a web page to step through, on HOST:PORT or a port of localhost
    #[arg(
        long,
        value_name = "ADDR",
        value_parser = parse_address,
        requires = "name",
        conflicts_with_all = ["time_limit", "states", "jobs"]
    )]
    pub(crate) explore: Option<SocketAddr>,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  quorate completions bash > ~/.local/share/bash-completion/completions/quorate
  quorate completions zsh > ~/.zfunc/_quorate
  quorate completions fish > ~/.config/fish/completions/quorate.fish";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut addresses = text.to_socket_addrs().map_err(|error| {
        format!("{error}: write HOST:PORT, as in localhost:3000, or a port number")
    })?;
    addresses.next().ok_or_else(|| format!("'{text}' has no address"))
}

fn parse_seed(text: &str) -> Result<Seed, String> {
    text.parse().map_err(|error: SeedError| error.to_string())
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    text.parse().map_err(|error: ShardError| error.to_string())
}
