//! One member with everything around it: started, running, stopped.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use quorate_member::{Config, HaltReason, Member, Recovery, RecoveryError};
use quorate_wal::disk::{Disk, DiskError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::transport::Server as Transport;

use crate::api::Identity;
use crate::api::kv::KvService;
use crate::clock::Clock;
use crate::disk;
use crate::driver::{Driver, End, Waiting};
use crate::handle::{self, MemberHandle};
use crate::names::Names;
use crate::observer::Observer;
use crate::options::{Options, OptionsError, Plan, Url};
use crate::peer::{Links, PeerService};
use crate::stubs::etcdserverpb::kv_server::KvServer;
use crate::stubs::quoratepb::peer_server::PeerServer;
use crate::threads::{self, Thread};
use crate::timers::Timers;
use crate::transport::Listener;

/// What a message of a client may be larger than the request that it holds. As in etcd, so that a
/// request which is a little too large is refused with etcd's text.
const MESSAGE_OVERHEAD: usize = 512 * 1024;
/// What a peer may say around the payload of one entry: its term, its index, the lengths of its
/// fields; and as much for the message itself.
const ENTRY_OVERHEAD: usize = 64;
/// The largest manifest of a store that is taken. One of 16 MiB names some 200,000 segments: tera
/// bytes.
const MAX_MANIFEST: usize = 16 << 20;
/// How much a peer may send ahead of what was looked at, in bytes: a full append, so that a message
/// does not take a round trip for each 64 KiB.
const PEER_WINDOW: u32 = 4 << 20;
/// How long stopping may take: for what was begun to be answered, and the disk to finish.
const GRACE: Duration = Duration::from_secs(5);

/// A member that is being served.
#[derive(Debug)]
pub struct Server {
    about: About,
    ready: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    driver: Thread<End>,
    disk: Thread<Option<DiskError>>,
    listeners: Vec<Serving>,
}

/// What is known about a server that has started.
#[derive(Clone, Debug)]
pub struct About {
    /// The member's name.
    pub name: String,
    /// The member's id.
    pub member_id: u64,
    /// The cluster's id.
    pub cluster_id: u64,
    /// Where clients reach it.
    pub client_urls: Vec<Url>,
    /// Where the other members reach it.
    pub peer_urls: Vec<Url>,
    /// What it found on its disk.
    pub recovery: Recovery,
    /// Its log has lost entries that others may count on: it takes no part in elections until it
    /// has got them from the others.
    pub in_doubt: bool,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The options do not go together.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] quorate_disk::OpenError),
    /// What the data directory holds is not what this member left there.
    #[error("{data_dir}: {error}")]
    Recovery {
        /// The directory.
        data_dir: String,
        /// What is wrong with it.
        error: RecoveryError,
    },
    /// No thread, or no runtime.
    #[error("the operating system refuses a thread or what it needs: {0}")]
    System(#[from] io::Error),
}

/// Why a server that ran does not run any longer, other than by being stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The disk failed, or holds what cannot be read.
    #[error("{0}")]
    Halted(HaltReason),
    /// A bug of ours.
    #[error("the thread of the {0} panicked: this is a bug in quorate, what it says stands above")]
    Panicked(&'static str),
    /// Listening failed.
    #[error("cannot listen any longer: {0}")]
    Listen(tonic::transport::Error),
}

impl Server {
    /// Starts a member on real files in [`Options::data_dir`].
    ///
    /// # Errors
    /// If the options do not go together, an address is taken, or the directory cannot be used.
    pub async fn start(options: &Options) -> Result<Server, StartError> {
        // What can be seen to be wrong without it is said before the directory is created.
        let plan = options.plan()?;
        let listeners = Listeners::bind(&plan).await?;
        let disk = quorate_disk::FsDisk::open(&options.data_dir)?;
        let reader = disk.reader()?;
        assemble(options, &plan, listeners, disk, reader)
    }

    /// Starts a member on any disk, which `reader` reads; [`Options::data_dir`] only stands in
    /// messages.
    ///
    /// # Errors
    /// Like [`Server::start`].
    pub async fn start_on(
        options: &Options,
        disk: impl Disk + Send + 'static,
        reader: impl AsRef<dyn Disk> + Send + 'static,
    ) -> Result<Server, StartError> {
        let plan = options.plan()?;
        let listeners = Listeners::bind(&plan).await?;
        assemble(options, &plan, listeners, disk, reader)
    }

    /// What is known about it.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Waits until clients are served: until the member has heard from a leader, which it may be
    /// itself, how far it has to be, and is there. Never ends if the server does before.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ready = self.ready.clone();
        async move {
            if ready.wait_for(|ready| *ready).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Serves until `shutdown` is ready, or something fails. Then clients that wait hear that the
    /// server has stopped, connections are closed, and the disk finishes what it has begun.
    ///
    /// # Errors
    /// What failed.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let mut ended = Ended::default();
        let result = tokio::select! {
            biased;
            () = shutdown => Ok(()),
            end = self.driver.ended() => {
                ended.driver = true;
                of_driver(end)
            }
            end = self.disk.ended() => {
                ended.disk = true;
                match end {
                    Ok(Some(error)) => Err(RunError::Halted(error.into())),
                    // It served the member as long as there was one, which says why it went.
                    Ok(None) => {
                        ended.driver = true;
                        of_driver(self.driver.ended().await)
                    }
                    Err(threads::Died) => Err(RunError::Panicked("disk")),
                }
            }
            error = failed(&mut self.listeners) => Err(error),
        };
        self.stop.send_replace(true);
        // What takes longer is left behind: the log does not need it to have ended well.
        let _ = tokio::time::timeout(GRACE, self.wind_up(ended)).await;
        result
    }

    async fn wind_up(mut self, ended: Ended) {
        if !ended.driver {
            let _ = self.driver.ended().await;
        }
        if !ended.disk {
            let _ = self.disk.ended().await;
        }
        for listener in self.listeners {
            if !listener.is_finished() {
                let _ = listener.await;
            }
        }
    }
}

/// The addresses that a server listens at.
struct Listeners {
    clients: Vec<Listener>,
    peers: Vec<Listener>,
}

impl Listeners {
    async fn bind(plan: &Plan) -> Result<Listeners, StartError> {
        let clients = bind(&plan.client_addresses).await?;
        Ok(Listeners { clients, peers: bind(&plan.peer_addresses).await? })
    }
}

/// Recovers the member and starts everything around it.
fn assemble(
    options: &Options,
    plan: &Plan,
    Listeners { clients, peers }: Listeners,
    mut disk: impl Disk + Send + 'static,
    reader: impl AsRef<dyn Disk> + Send + 'static,
) -> Result<Server, StartError> {
    let clock = Clock::start();
    let config = options.member_config(plan, first_request_id());
    let max_message = config.max_request_bytes + MESSAGE_OVERHEAD;
    let max_frame = max_frame(&config);
    let (handle, inbox) = handle::channel(&config);
    let (member, recovery) = Member::start(config, &mut disk, clock.now()).map_err(|error| {
        StartError::Recovery { data_dir: options.data_dir.display().to_string(), error }
    })?;
    let in_doubt = member.view().abstains;
    let names = Names::of(&plan.founders);
    let (is_ready, ready) = watch::channel(false);
    let observer = Observer::new(&member, names.clone(), options.timing.election_timeout, is_ready);
    let (stop, stopping) = watch::channel(false);
    let (batches, submitted) = mpsc::unbounded_channel();
    let disk = threads::spawn("disk", disk::serve(disk, submitted, handle.clone()))?;
    let driver = Driver {
        member,
        reader,
        clock,
        timers: Timers::new(options.timing),
        links: Links::open(plan.cluster_id, plan.id, &plan.founders, &names),
        disk: batches,
        waiting: Waiting::default(),
        observer,
    };
    let driver = threads::spawn("member", driver.run(inbox, stopping.clone()))?;
    let urls = |listeners: &[Listener]| {
        listeners.iter().map(|listener| Url::of(listener.address())).collect()
    };
    let about = About {
        name: options.name.clone(),
        member_id: plan.id.0,
        cluster_id: plan.cluster_id,
        client_urls: urls(&clients),
        peer_urls: urls(&peers),
        recovery,
        in_doubt,
    };
    let mut listeners = serve_clients(clients, plan, &handle, max_message, &stopping);
    let service = PeerService::new(handle, (plan.cluster_id, plan.id), names, stopping.clone());
    listeners.extend(serve_peers(peers, service, max_frame, &stopping));
    Ok(Server { about, ready, stop, driver, disk, listeners })
}

/// The largest frame that a member with this configuration has reason to send: an append that is
/// full with one large request more, a part of a snapshot, or a snapshot's manifest.
fn max_frame(config: &Config) -> usize {
    let full = usize::try_from(config.raft.max_bytes_per_message).unwrap_or(usize::MAX / 2);
    let overhead = (config.raft.max_entries_per_message + 1) * ENTRY_OVERHEAD;
    let append = full + config.max_request_bytes + overhead;
    append.max(config.chunk_bytes as usize + ENTRY_OVERHEAD).max(MAX_MANIFEST)
}

/// Which threads were seen to end.
#[derive(Debug, Default)]
struct Ended {
    driver: bool,
    disk: bool,
}

/// The first of 2³² ids. An earlier life of this member has the same with a chance of 2⁻³², and
/// it would matter only while requests of that life are still under way.
fn first_request_id() -> u64 {
    u64::from(rand::random::<u32>()) << 32
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let bound = Listener::bind(address).await;
        listeners.push(bound.map_err(|source| StartError::Listen { address, source })?);
    }
    Ok(listeners)
}

type Serving = JoinHandle<Result<(), tonic::transport::Error>>;

fn serve_clients(
    listeners: Vec<Listener>,
    plan: &Plan,
    member: &MemberHandle,
    max_message: usize,
    stop: &watch::Receiver<bool>,
) -> Vec<Serving> {
    let identity = Identity { cluster_id: plan.cluster_id };
    let kv = KvServer::new(KvService::new(member.clone(), identity))
        .max_decoding_message_size(max_message)
        .max_encoding_message_size(usize::MAX);
    let serve = |listener: Listener| {
        let router = Transport::builder().add_service(kv.clone());
        tokio::spawn(listener.serve(router, stop.clone()))
    };
    listeners.into_iter().map(serve).collect()
}

fn serve_peers(
    listeners: Vec<Listener>,
    service: PeerService,
    max_frame: usize,
    stop: &watch::Receiver<bool>,
) -> Vec<Serving> {
    let peer = PeerServer::new(service).max_decoding_message_size(max_frame);
    let serve = |listener: Listener| {
        let router = Transport::builder()
            .initial_stream_window_size(PEER_WINDOW)
            .initial_connection_window_size(PEER_WINDOW)
            .add_service(peer.clone());
        tokio::spawn(listener.serve(router, stop.clone()))
    };
    listeners.into_iter().map(serve).collect()
}

/// What the end of the member's thread means, which nobody has asked to end.
fn of_driver(end: Result<End, threads::Died>) -> Result<(), RunError> {
    match end {
        Ok(End::Halted(reason)) => Err(RunError::Halted(reason)),
        Ok(End::Stopped) => unreachable!("nobody has told the member to stop"),
        Err(threads::Died) => Err(RunError::Panicked("member")),
    }
}

/// Waits until a listener fails; none ends by itself.
async fn failed(listeners: &mut [Serving]) -> RunError {
    let polled = std::future::poll_fn(|context| {
        for listener in listeners.iter_mut() {
            if let std::task::Poll::Ready(end) = std::pin::Pin::new(listener).poll(context) {
                return std::task::Poll::Ready(end);
            }
        }
        std::task::Poll::Pending
    });
    match polled.await {
        Ok(Err(error)) => RunError::Listen(error),
        Ok(Ok(())) => unreachable!("a listener ends only when it is told to"),
        Err(_) => RunError::Panicked("listener"),
    }
}

#[cfg(all(test, not(madsim)))]
mod tests;
