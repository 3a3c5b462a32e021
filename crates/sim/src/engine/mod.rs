//! A seeded discrete-event world of processes, messages, timers and disks.
//!
//! The engine knows no Raft and no etcd: any [`System`] can live in its [`World`]. A run is a
//! function of the [`WorldConfig`], the system and the list of [`ScheduledFault`]s. It owns time,
//! chance and every fault; it never reads a clock, starts a thread or touches a file, and it decides
//! nothing that depends on an address or on the order of a hash.

mod clock;
mod config;
mod core;
mod counters;
mod disk;
mod fault;
mod io;
mod network;
mod queue;
mod stream;
mod system;
mod time;
mod timers;
mod trace;
mod world;

pub use clock::{Clock, DriftPpm};
pub use config::{ConfigError, NodeConfig, WorldConfig};
pub use counters::{Count, Counters};
pub use disk::DiskConfig;
pub(crate) use fault::MOST_ROTTEN_BITS_AT_THE_END;
pub use fault::{Fault, FaultError, FileKind, ScheduledFault};
pub use io::Io;
pub use network::{NetworkConfig, Noise};
pub(crate) use stream::scale;
pub use stream::{NoiseSeed, Stream};
pub use system::{Cause, Exposed, Input, NoStart, NodeId, Step, System, TimerId, View};
pub use time::{LocalTime, Nanos, SignedNanos, WorldTime};
pub use trace::TraceHash;
pub use world::{Stop, World};
