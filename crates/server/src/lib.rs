//! The server shell: etcd's v3 API over gRPC, around one [`Member`](quorate_member::Member).
//!
//! Owns real time, threads, sockets and signals, and carries out what the member asks for; the
//! member decides. The only crate with an async runtime, which ends here: [`serve`] is an ordinary
//! function.
//!
//! # What runs where
//! ```text
//!  clients ── gRPC ── api/kv ──┐ requests (bounded; a full queue refuses)
//!                              ▼
//!  peers ─── gRPC ─── peer/service ── events ──► driver: one thread, owns the member
//!                                          ▲       │        │
//!                                 completions      │        └─ peer/link: one task a peer
//!                                          │       ▼
//!                                        disk: one thread, owns the disk
//! ```
//! The driver never waits for a disk, a peer or a client. While the disk is busy, what clients
//! write gathers at the member and becomes the next batch: group commit.
//!
//! With `--cfg madsim` the same code runs in a simulation of time and network, where the threads
//! are tasks; `process` is all that is left out.

mod api;
mod clock;
mod disk;
mod driver;
mod handle;
mod identity;
mod names;
mod observer;
mod options;
mod peer;
#[cfg(not(madsim))]
mod process;
mod remedy;
mod server;
#[cfg(all(test, madsim))]
mod simulated;
mod stubs;
mod threads;
mod timers;
mod transport;

pub use options::{InitialCluster, Options, OptionsError, Timing, Url};
#[cfg(not(madsim))]
pub use process::{ServeError, serve};
pub use server::{About, RunError, Server, StartError};
