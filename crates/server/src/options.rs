//! What a server is told when it starts, and what of it cannot be meant.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use quorate_member::Config;
use quorate_raft::NodeId;

use crate::identity;

/// A server's identity, addresses and limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member's name, by which it finds itself in `initial_cluster`.
    pub name: String,
    /// Where it keeps what it must not forget. Created if need be.
    pub data_dir: PathBuf,
    /// Where it listens for clients; at least one.
    pub listen_client_urls: Vec<Url>,
    /// Where it listens for the other members; at least one.
    pub listen_peer_urls: Vec<Url>,
    /// All members that found the cluster, and where they reach each other.
    pub initial_cluster: InitialCluster,
    /// Tells clusters apart whose members have the same addresses.
    pub initial_cluster_token: String,
    /// How it keeps time.
    pub timing: Timing,
    /// A snapshot is taken whenever so many entries were applied since the last one; not 0.
    pub snapshot_count: u64,
}

/// A member's timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader says that it is there.
    pub heartbeat_interval: Duration,
    /// How long a follower keeps a leader that says nothing. The same at all members.
    pub election_timeout: Duration,
}

/// A plaintext URL, `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    host: String,
    port: u16,
}

/// Who founds a cluster: names, and the peer URLs of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialCluster(BTreeMap<String, Vec<Url>>);

/// Why options cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// Not a URL of that form.
    #[error("'{0}' is no address to speak plaintext at")]
    Url(String),
    /// TLS is not there yet.
    #[error("'{0}' asks for TLS, which this version does not speak")]
    Tls(String),
    /// A name where an address is needed.
    #[error("'{0}' cannot be listened at")]
    ListenHost(Url),
    /// Not a list of members.
    #[error("'{0}' names no members")]
    InitialCluster(String),
    /// No address to listen at.
    #[error("there is no address to listen at for {0}")]
    NoAddress(&'static str),
    /// A member that is not among the founders.
    #[error("the initial cluster has no member '{name}', only {known}")]
    UnknownName {
        /// The member.
        name: String,
        /// Those who are.
        known: String,
    },
    /// Two members that would be one.
    #[error("members of the initial cluster share their URLs")]
    SharedUrls,
    /// Timeouts with which no leader would last.
    #[error("an election timeout of {election:?} is less than five heartbeats of {heartbeat:?}")]
    Timing {
        /// The election timeout.
        election: Duration,
        /// The heartbeat interval.
        heartbeat: Duration,
        /// What would do.
        least: Duration,
    },
    /// A limit that must be at least 1.
    #[error("{0} has to be at least 1")]
    Zero(&'static str),
}

impl OptionsError {
    /// What to do about it, unless that goes without saying.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            OptionsError::Url(_) | OptionsError::Tls(_) => "write http://HOST:PORT".to_owned(),
            OptionsError::ListenHost(_) => {
                "name an IP address of this machine, or localhost".to_owned()
            }
            OptionsError::InitialCluster(_) => {
                "write NAME=http://HOST:PORT, with commas between members".to_owned()
            }
            OptionsError::NoAddress(_) => "name at least one URL".to_owned(),
            OptionsError::UnknownName { .. } => {
                "name this member there, or give it one of these names".to_owned()
            }
            OptionsError::SharedUrls => "give each its own".to_owned(),
            OptionsError::Timing { least, .. } => format!("make it at least {least:?}"),
            OptionsError::Zero(_) => return None,
        })
    }
}

/// A member of the initial cluster, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Founder {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) peer_urls: Vec<Url>,
}

/// Options that go together.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) id: NodeId,
    pub(crate) cluster_id: u64,
    pub(crate) founders: Vec<Founder>,
    pub(crate) client_addresses: Vec<SocketAddr>,
    pub(crate) peer_addresses: Vec<SocketAddr>,
}

impl Options {
    /// What follows from the options.
    pub(crate) fn plan(&self) -> Result<Plan, OptionsError> {
        self.timing.check()?;
        if self.snapshot_count == 0 {
            return Err(OptionsError::Zero("the number of entries between two snapshots"));
        }
        let members = &self.initial_cluster.0;
        let id_of = |urls: &[Url]| {
            let urls: Vec<String> = urls.iter().map(Url::to_string).collect();
            identity::member_id(&urls, &self.initial_cluster_token)
        };
        let founders: Vec<Founder> = members
            .iter()
            .map(|(name, urls)| Founder {
                id: id_of(urls),
                name: name.clone(),
                peer_urls: urls.clone(),
            })
            .collect();
        let Some(urls) = members.get(&self.name) else {
            let known = members.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(OptionsError::UnknownName { name: self.name.clone(), known });
        };
        let mut ids: Vec<NodeId> = founders.iter().map(|founder| founder.id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(OptionsError::SharedUrls);
        }
        Ok(Plan {
            id: id_of(urls),
            cluster_id: identity::cluster_id(ids),
            founders,
            client_addresses: addresses(&self.listen_client_urls, "clients")?,
            peer_addresses: addresses(&self.listen_peer_urls, "peers")?,
        })
    }

    /// The URLs at which the others are told to reach this member, and at which it does not listen
    /// itself. That is well if something passes connections on from there.
    #[must_use]
    pub fn unheard_peer_urls(&self) -> Vec<&Url> {
        let own = self.initial_cluster.0.get(&self.name);
        let is_heard = |url: &Url| self.listen_peer_urls.iter().any(|listens| listens.hears(url));
        own.into_iter().flatten().filter(|url| !is_heard(url)).collect()
    }

    /// What the member is told. `first_request_id` is that of [`Config`].
    pub(crate) fn member_config(&self, plan: &Plan, first_request_id: u64) -> Config {
        let founders = plan.founders.iter().map(|founder| founder.id).collect();
        let election_timeout_ns = nanos(self.timing.election_timeout);
        Config {
            election_timeout_ns,
            // As in etcd: time for the request itself, and for an election in between.
            request_timeout_ns: 5_000_000_000 + 2 * election_timeout_ns,
            snapshot_every: self.snapshot_count,
            snapshot_keep: self.snapshot_count.div_ceil(2),
            ..Config::new(plan.id, plan.cluster_id, Some(founders), first_request_id)
        }
    }
}

impl Timing {
    /// The bound is etcd's: with less, a few late heartbeats unseat a leader.
    fn check(self) -> Result<(), OptionsError> {
        let (election, heartbeat) = (self.election_timeout, self.heartbeat_interval);
        if heartbeat.is_zero() {
            return Err(OptionsError::Zero("the heartbeat interval, in milliseconds,"));
        }
        let least = heartbeat.saturating_mul(5);
        if election < least {
            return Err(OptionsError::Timing { election, heartbeat, least });
        }
        Ok(())
    }
}

impl Default for Timing {
    /// etcd's defaults: 100 ms and 1 s.
    fn default() -> Timing {
        Timing {
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1_000),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

fn addresses(urls: &[Url], whom: &'static str) -> Result<Vec<SocketAddr>, OptionsError> {
    if urls.is_empty() {
        return Err(OptionsError::NoAddress(whom));
    }
    urls.iter().map(Url::listen_address).collect()
}

impl Url {
    /// The URL of an address.
    #[must_use]
    pub fn of(address: SocketAddr) -> Url {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Url { host, port: address.port() }
    }

    /// Whether who listens here can be the one that another URL names: certainly not at another port,
    /// nor at another address. What a name stands for is not known here.
    fn hears(&self, other: &Url) -> bool {
        let address = |url: &Url| url.listen_address().ok().map(|address| address.ip());
        let same_host = match (address(self), address(other)) {
            (Some(own), Some(other)) => own.is_unspecified() || own == other,
            _ => true,
        };
        self.port == other.port && same_host
    }

    /// As etcd has it, one listens at an address, not at a name that may come to mean another.
    fn listen_address(&self) -> Result<SocketAddr, OptionsError> {
        if self.host == "localhost" {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        }
        format!("{}:{}", self.host, self.port)
            .parse()
            .map_err(|_| OptionsError::ListenHost(self.clone()))
    }
}

impl FromStr for Url {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Url, OptionsError> {
        let wrong = || OptionsError::Url(text.to_owned());
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(OptionsError::Tls(text.to_owned())),
            _ => return Err(wrong()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = !host.is_empty() && host.chars().all(is_name);
        if !named && format!("{host}:{port}").parse::<SocketAddr>().is_err() {
            return Err(wrong());
        }
        Ok(Url { host: host.to_owned(), port })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl InitialCluster {
    /// A cluster of one member.
    #[must_use]
    pub fn alone(name: &str, peer_urls: &[Url]) -> InitialCluster {
        InitialCluster(BTreeMap::from([(name.to_owned(), peer_urls.to_vec())]))
    }
}

impl FromStr for InitialCluster {
    type Err = OptionsError;

    /// etcd's form: `a=http://10.0.0.1:2380,b=http://10.0.0.2:2380`. A name that comes again
    /// brings another URL of the same member.
    fn from_str(text: &str) -> Result<InitialCluster, OptionsError> {
        let mut members: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for member in text.split(',') {
            let (name, url) = member
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| OptionsError::InitialCluster(text.to_owned()))?;
            members.entry(name.to_owned()).or_default().push(url.parse()?);
        }
        Ok(InitialCluster(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, cluster: &str) -> Options {
        Options {
            name: name.to_owned(),
            data_dir: PathBuf::from("unused"),
            listen_client_urls: vec!["http://localhost:0".parse().expect("a URL")],
            listen_peer_urls: vec!["http://127.0.0.1:2380".parse().expect("a URL")],
            initial_cluster: cluster.parse().expect("a cluster"),
            initial_cluster_token: "etcd-cluster".to_owned(),
            timing: Timing::default(),
            snapshot_count: 10_000,
        }
    }

    /// What is wrong, and what to do about it.
    fn words(error: &OptionsError) -> String {
        format!("{error}; {}", error.remedy().unwrap_or_default())
    }

    #[test]
    fn urls_at_which_a_member_does_not_listen_are_told_from_those_that_may_be_its_own() {
        for (listens, own, is_heard) in [
            ("http://127.0.0.1:2380", "http://127.0.0.1:2380", true),
            ("http://localhost:2380", "http://127.0.0.1:2380", true),
            ("http://0.0.0.0:2380", "http://10.0.0.1:2380", true),
            ("http://[::]:2380", "http://10.0.0.1:2380", true),
            ("http://10.0.0.1:2380", "http://one.example:2380", true),
            ("http://127.0.0.1:2380", "http://127.0.0.1:2480", false),
            ("http://0.0.0.0:2380", "http://10.0.0.1:2480", false),
            ("http://127.0.0.1:2380", "http://10.0.0.1:2380", false),
            ("http://10.0.0.1:2380", "http://one.example:2480", false),
        ] {
            let mut options = options("a", &format!("a={own},b=http://10.0.0.2:2380"));
            options.listen_peer_urls = vec![listens.parse().expect("a URL")];
            let own = own.parse().expect("a URL");
            let unheard = if is_heard { vec![] } else { vec![&own] };
            assert_eq!(options.unheard_peer_urls(), unheard, "{listens} and {own}");
        }
    }

    #[test]
    fn urls_are_read_as_they_are_written() {
        for text in ["http://127.0.0.1:2379", "http://[::1]:80", "http://node-1.example:2380"] {
            assert_eq!(text.parse::<Url>().expect("a URL").to_string(), text);
        }
        for (text, error) in [
            ("127.0.0.1:2379", "write http://HOST:PORT"),
            ("http://127.0.0.1", "write http://HOST:PORT"),
            ("http://127.0.0.1:2379/", "write http://HOST:PORT"),
            ("http://:2379", "write http://HOST:PORT"),
            ("http://a b:2379", "write http://HOST:PORT"),
            ("http://::1:2379", "write http://HOST:PORT"),
            ("https://127.0.0.1:2379", "TLS"),
        ] {
            let said = words(&text.parse::<Url>().expect_err(text));
            assert!(said.contains(error), "{text}: {said}");
        }
    }

    #[test]
    fn all_members_derive_the_same_cluster() {
        let cluster = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";
        let turned = "c=http://127.0.0.1:3,a=http://127.0.0.1:1,b=http://127.0.0.1:2";
        let (a, b) = (options("a", cluster).plan(), options("b", turned).plan());
        let (a, b) = (a.expect("a plan"), b.expect("a plan"));
        assert_eq!((a.cluster_id, &a.founders), (b.cluster_id, &b.founders));
        assert_ne!(a.id, b.id);
        assert!(a.founders.iter().any(|founder| founder.id == a.id));
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let good = || options("a", "a=http://127.0.0.1:1,b=http://127.0.0.1:2");
        assert!(good().plan().is_ok());
        let refused = |change: &dyn Fn(&mut Options)| {
            let mut options = good();
            change(&mut options);
            words(&options.plan().expect_err("it is refused"))
        };
        let said = refused(&|options| options.name = "c".to_owned());
        assert!(said.contains("no member 'c', only a, b"), "{said}");
        let said = refused(&|options| {
            options.initial_cluster = "a=http://h:1,b=http://h:1".parse().expect("a cluster");
        });
        assert!(said.contains("share their URLs"), "{said}");
        let said = refused(&|options| options.timing.heartbeat_interval = Duration::from_secs(1));
        assert!(said.contains("make it at least 5s"), "{said}");
        let said = refused(&|options| options.listen_peer_urls.clear());
        assert!(said.contains("no address to listen at for peers"), "{said}");
        let said = refused(&|options| {
            options.listen_client_urls = vec!["http://example:1".parse().expect("a URL")];
        });
        assert!(said.contains("name an IP address"), "{said}");
        let said = refused(&|options| options.snapshot_count = 0);
        assert!(said.contains("at least 1"), "{said}");
        for text in ["", "a", "=http://h:1", "a=http://h:1,"] {
            text.parse::<InitialCluster>().expect_err(text);
        }
    }
}
