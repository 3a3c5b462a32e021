//! The shell in madsim's simulation of time and network: the same services, peers, driver and
//! shutdown as in production, with tasks for threads and simulated disks.
//!
//! Run by `tests/simulated.rs`. It shows what the shell does when members die and links break. It
//! shows nothing about encoding, message limits or clocks that differ: madsim has none of them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle, Runtime};
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use quorate_wal::disk::{Disk, DiskError, DiskPath, MemDisk};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic::transport::Channel;

use crate::stubs::etcdserverpb::kv_client::KvClient;
use crate::{InitialCluster, Options, Server, Timing, Url};

const MEMBERS: usize = 3;
/// Longer than an election and a request's timeout together.
const PATIENCE: Duration = Duration::from_secs(30);

/// A disk that outlives its server.
#[derive(Clone, Default)]
struct SharedDisk(Arc<Mutex<MemDisk>>);

impl SharedDisk {
    fn lock(&self) -> MutexGuard<'_, MemDisk> {
        self.0.lock().expect("nobody panics while using a disk")
    }
}

impl AsRef<dyn Disk> for SharedDisk {
    fn as_ref(&self) -> &(dyn Disk + 'static) {
        self
    }
}

impl Disk for SharedDisk {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        self.lock().list(dir)
    }

    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.lock().len(file)
    }

    fn data_end(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.lock().data_end(file)
    }

    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.lock().read(file, offset, len)
    }

    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.lock().create_dir(dir)
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.lock().create(file)
    }

    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        self.lock().set_len(file, len)
    }

    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.lock().write(file, offset, data)
    }

    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.lock().sync(file)
    }

    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.lock().sync_dir(dir)
    }

    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.lock().rename(from, to)
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.lock().remove(file)
    }
}

/// Three members, each on its own machine with its own disk, and a machine for clients.
struct Cluster {
    nodes: Vec<NodeHandle>,
    disks: Vec<SharedDisk>,
    clients: NodeHandle,
}

fn ip(member: usize) -> String {
    format!("10.0.0.{}", member + 1)
}

fn url(text: String) -> Url {
    text.parse().expect("a URL")
}

fn options(member: usize) -> Options {
    let cluster: Vec<_> =
        (0..MEMBERS).map(|peer| format!("m{peer}=http://{}:2380", ip(peer))).collect();
    let cluster: InitialCluster = cluster.join(",").parse().expect("a cluster");
    Options {
        name: format!("m{member}"),
        data_dir: "simulated".into(),
        listen_client_urls: vec![url(format!("http://{}:2379", ip(member)))],
        listen_peer_urls: vec![url(format!("http://{}:2380", ip(member)))],
        initial_cluster: cluster,
        initial_cluster_token: "simulated".to_owned(),
        timing: Timing::default(),
        // So few that who was away for a while is sent a snapshot.
        snapshot_count: 10,
    }
}

impl Cluster {
    fn start() -> Cluster {
        let handle = Handle::current();
        let disks: Vec<SharedDisk> = (0..MEMBERS).map(|_| SharedDisk::default()).collect();
        let node = |member: usize| {
            let disk = disks[member].clone();
            let serve = move || {
                let disk = disk.clone();
                async move {
                    let server = Server::start_on(&options(member), disk.clone(), disk).await;
                    let ran = server.expect("it starts").run(std::future::pending()).await;
                    panic!("a server ended by itself: {ran:?}");
                }
            };
            let ip = ip(member).parse().expect("an address");
            handle.create_node().name(format!("m{member}")).ip(ip).init(serve).build()
        };
        let nodes = (0..MEMBERS).map(node).collect();
        let ip = "10.0.1.1".parse().expect("an address");
        let clients = handle.create_node().name("clients").ip(ip).build();
        Cluster { nodes, disks, clients }
    }

    /// A loss of power: what was not synced is gone.
    fn kill(&self, member: usize) {
        Handle::current().kill(self.nodes[member].id());
        self.disks[member].lock().power_loss(|_| false);
    }

    fn restart(&self, member: usize) {
        Handle::current().restart(self.nodes[member].id());
    }

    /// Runs a client on its machine.
    async fn client<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let work = self.clients.spawn(timeout(PATIENCE, work));
        work.await.expect("it does not panic").expect("it is over in time")
    }

    /// Writes through a member, until that is answered.
    async fn put(&self, member: usize, key: &'static str, value: &'static str) {
        self.client(async move { until_ok(|| put(member, key, value)).await }).await;
    }

    /// What a member answers to a linearizable read, once it does.
    async fn get(&self, member: usize, key: &'static str) -> Bytes {
        self.client(async move { until_ok(|| get(member, key)).await }).await
    }
}

async fn connect(member: usize) -> Result<KvClient<Channel>, tonic::Status> {
    let connected = KvClient::connect(format!("http://{}:2379", ip(member))).await;
    connected.map_err(|error| tonic::Status::unavailable(error.to_string()))
}

async fn put(member: usize, key: &'static str, value: &'static str) -> Result<i64, tonic::Status> {
    let request = PutRequest { key: key.into(), value: value.into(), ..Default::default() };
    let put = connect(member).await?.put(request).await?;
    Ok(put.into_inner().header.expect("a header").revision)
}

async fn get(member: usize, key: &'static str) -> Result<Bytes, tonic::Status> {
    let request = RangeRequest { key: key.into(), ..Default::default() };
    let range = connect(member).await?.range(request).await?;
    Ok(range.into_inner().kvs.into_iter().next().map(|kv| kv.value).unwrap_or_default())
}

async fn until_ok<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, tonic::Status>>,
{
    loop {
        if let Ok(Ok(answer)) = timeout(Duration::from_secs(9), attempt()).await {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a test in some worlds that differ by their chance.
fn in_simulations(test: impl AsyncFn() + 'static) {
    for seed in 1..=10 {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.block_on(test());
    }
}

#[test]
fn a_member_dies_and_comes_back_and_no_write_is_lost() {
    in_simulations(async || {
        let cluster = Cluster::start();
        for member in 0..MEMBERS {
            cluster.put(member, "first", "written").await;
        }
        for lost in 0..MEMBERS {
            cluster.kill(lost);
            let other = (lost + 1) % MEMBERS;
            // More than a follower may lag without needing a snapshot.
            for value in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"] {
                cluster.put(other, "last", value).await;
            }
            cluster.put(other, "last", "13").await;
            assert_eq!(cluster.get((lost + 2) % MEMBERS, "last").await, "13");
            cluster.restart(lost);
            assert_eq!(cluster.get(lost, "last").await, "13");
            assert_eq!(cluster.get(lost, "first").await, "written");
        }
    });
}

#[test]
fn all_members_lose_power_and_no_write_is_lost() {
    in_simulations(async || {
        let cluster = Cluster::start();
        for (member, value) in ["a", "b", "c"].into_iter().enumerate() {
            cluster.put(member, "key", value).await;
        }
        for member in 0..MEMBERS {
            cluster.kill(member);
        }
        sleep(Duration::from_secs(1)).await;
        for member in 0..MEMBERS {
            cluster.restart(member);
        }
        for member in 0..MEMBERS {
            assert_eq!(cluster.get(member, "key").await, "c");
        }
    });
}

#[test]
fn a_clogged_link_stops_nobody() {
    in_simulations(async || {
        let cluster = Cluster::start();
        cluster.put(0, "key", "before").await;
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let third = MEMBERS - one - other;
            let (from, to) = (cluster.nodes[one].id(), cluster.nodes[other].id());
            NetSim::current().clog_link(from, to);
            NetSim::current().clog_link(to, from);
            // Whoever leads, a majority hears it.
            cluster.put(third, "key", "between").await;
            assert_eq!(cluster.get(third, "key").await, "between");
            NetSim::current().unclog_link(from, to);
            NetSim::current().unclog_link(to, from);
            cluster.put(one, "key", "after").await;
            assert_eq!(cluster.get(other, "key").await, "after");
        }
    });
}

#[test]
fn a_member_that_is_cut_off_answers_no_linearizable_read_and_catches_up() {
    in_simulations(async || {
        let cluster = Cluster::start();
        cluster.put(0, "key", "old").await;
        for lonely in 0..MEMBERS {
            let links = |cut: &dyn Fn(madsim::task::NodeId, madsim::task::NodeId)| {
                for peer in (0..MEMBERS).filter(|peer| *peer != lonely) {
                    cut(cluster.nodes[lonely].id(), cluster.nodes[peer].id());
                    cut(cluster.nodes[peer].id(), cluster.nodes[lonely].id());
                }
            };
            links(&|from, to| NetSim::current().clog_link(from, to));
            // The others first have to see that it is gone, if it led.
            cluster.put((lonely + 1) % MEMBERS, "key", "new").await;
            let begun = Instant::now();
            let refused = cluster.client(async move { get(lonely, "key").await }).await;
            let refused = refused.expect_err("it reaches no majority");
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
            assert!(begun.elapsed() < Duration::from_secs(8), "it says so in time");
            links(&|from, to| NetSim::current().unclog_link(from, to));
            assert_eq!(cluster.get(lonely, "key").await, "new");
            cluster.put(lonely, "key", "old").await;
        }
    });
}

#[test]
fn a_server_that_stops_tells_its_clients() {
    in_simulations(async || {
        let address = "10.0.0.1".parse().expect("an address");
        let handle = Handle::current();
        let node = handle.create_node().name("alone").ip(address).build();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let server = node.spawn(async move {
            // Two members that do not exist: nothing is ever committed.
            let disk = SharedDisk::default();
            let server = Server::start_on(&options(0), disk.clone(), disk).await;
            let server = server.expect("it starts");
            ready.send(()).expect("somebody waits");
            server.run(async { stopped.await.expect("it is told to stop") }).await
        });
        is_ready.await.expect("it starts");
        let clients = handle.create_node().ip("10.0.1.1".parse().expect("an address")).build();
        let waiting = clients.spawn(async { get(0, "key").await });
        sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        stop.send(()).expect("it runs");
        let refused = waiting.await.expect("no panic").expect_err("there is no answer");
        assert_eq!(refused.message(), "etcdserver: server stopped");
        server.await.expect("no panic").expect("it stops well");
        assert!(begun.elapsed() < Duration::from_secs(1), "and soon");
    });
}
