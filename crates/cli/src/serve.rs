//! `quorate serve`: one member of a cluster as a process. It owns the flags, which are etcd's, and
//! what is said; the server owns everything else.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use quorate_server::{About, InitialCluster, Options, OptionsError, ServeError, Timing, Url};
use serde_json::json;

use crate::error::Error;
use crate::events;
use crate::exit::Exit;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  quorate serve --data-dir /var/lib/quorate
  etcdctl put greeting hello

  # The first of three members on one machine; two and three accordingly.
  quorate serve --name one \\
    --listen-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \\
    --initial-cluster one=http://127.0.0.1:2380,two=http://127.0.0.1:2480,three=http://127.0.0.1:2580";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// This member's name, by which it finds itself in --initial-cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    name: String,
    /// Where the member keeps its data [default: NAME.quorate]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen for clients, with commas between
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = parse::<Url>,
        default_value = "http://localhost:2379"
    )]
    listen_client_urls: Vec<Url>,
    /// Where to listen for other members, with commas between
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        value_parser = parse::<Url>,
        default_value = "http://localhost:2380"
    )]
    listen_peer_urls: Vec<Url>,
    /// The members that found the cluster, the same list for each of them [default: this one alone]
    #[arg(long, value_name = "NAME=URL,…", value_parser = parse::<InitialCluster>)]
    initial_cluster: Option<InitialCluster>,
    /// Tells clusters apart that have the same addresses, the same for all members
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// How often a leader says that it is there, in milliseconds
    #[arg(long, value_name = "MS", default_value = "100")]
    heartbeat_interval: u32,
    /// How long members wait for a leader that says nothing, in milliseconds, the same for all
    #[arg(long, value_name = "MS", default_value = "1000")]
    election_timeout: u32,
    /// Take a snapshot, which shortens the log, after so many writes
    #[arg(long, value_name = "N", default_value = "10000")]
    snapshot_count: NonZeroU64,
}

/// Serves until the process is told to stop.
pub(crate) fn run(args: &ServeArgs, output: &Output) -> Result<Exit, Error> {
    let options = to_options(args);
    for url in options.unheard_peer_urls() {
        output.message(format_args!(
            "warning: --initial-cluster tells the others to reach this member at {url}, where it \
             does not listen (--listen-peer-urls): right only if something passes connections on \
             from there"
        ));
    }
    events::show();
    let started = |about: &About| warn(about, output);
    let ready = |about: &About| announce(about, &options, output);
    match quorate_server::serve(&options, started, ready) {
        Ok(()) => Ok(Exit::Well),
        Err(error) => Err(in_words(&error)),
    }
}

/// Reads a value; what cannot be meant is refused with what to do about it.
fn parse<T: FromStr<Err = OptionsError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: OptionsError| match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    })
}

fn to_options(args: &ServeArgs) -> Options {
    let alone = || InitialCluster::alone(&args.name, &args.listen_peer_urls);
    let millis = |millis: u32| Duration::from_millis(u64::from(millis));
    Options {
        name: args.name.clone(),
        data_dir: args.data_dir.clone().unwrap_or_else(|| format!("{}.quorate", args.name).into()),
        listen_client_urls: args.listen_client_urls.clone(),
        listen_peer_urls: args.listen_peer_urls.clone(),
        initial_cluster: args.initial_cluster.clone().unwrap_or_else(alone),
        initial_cluster_token: args.initial_cluster_token.clone(),
        timing: Timing {
            heartbeat_interval: millis(args.heartbeat_interval),
            election_timeout: millis(args.election_timeout),
        },
        snapshot_count: args.snapshot_count.get(),
    }
}

/// Says what was found on the disk that should not have been there.
fn warn(about: &About, output: &Output) {
    let recovery = &about.recovery;
    if let Some(tail) = &recovery.torn_tail {
        output.message(format_args!(
            "warning: {} ended in {} half-written bytes at offset {}, which a loss of power leaves; \
             they are cut off",
            tail.segment, tail.bytes, tail.offset
        ));
    }
    let meaning = if about.in_doubt {
        "the member gets what is lost from the others, and takes no part in elections until then"
    } else {
        "nothing that the member needs was in it"
    };
    for damage in &recovery.log_damage {
        output.message(format_args!("warning: {damage}; {meaning}"));
    }
    if let Some(why) = &recovery.started_over {
        output.message(format_args!(
            "warning: {why}; the member has started over: it gets everything from the others, and \
             takes no part in elections until then"
        ));
    } else {
        for damaged in &recovery.damaged_snapshots {
            output.message(format_args!("warning: {damaged}"));
        }
    }
    for file in &recovery.set_aside {
        output.message(format_args!("set aside: {file}"));
    }
    for segment in &recovery.store.rebuilt {
        output.message(format_args!(
            "warning: segment {segment} of the store: its keys' file was damaged, and is written \
             anew from its data"
        ));
    }
}

/// Says that clients are served.
fn announce(about: &About, options: &Options, output: &Output) {
    let urls = |urls: &[Url]| urls.iter().map(Url::to_string).collect::<Vec<_>>();
    let (clients, peers) = (urls(&about.client_urls), urls(&about.peer_urls));
    if output.is_json() {
        output.json(&json!({
            "ready": true,
            "name": about.name,
            "member_id": format!("{:x}", about.member_id),
            "cluster_id": format!("{:x}", about.cluster_id),
            "client_urls": clients,
            "peer_urls": peers,
            "data_dir": options.data_dir,
            "recovered_entries": about.recovery.entries,
        }));
        return;
    }
    output.data(format_args!(
        "ready: member {:x} ({}) of cluster {:x}, clients at {}, peers at {}, data in {}",
        about.member_id,
        about.name,
        about.cluster_id,
        clients.join(" "),
        peers.join(" "),
        options.data_dir.display(),
    ));
}

fn in_words(error: &ServeError) -> Error {
    let what = error.to_string();
    match error.remedy() {
        Some(remedy) => Error::with_remedy(what, remedy),
        None => Error::new(what),
    }
}
