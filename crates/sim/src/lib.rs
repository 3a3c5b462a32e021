//! The seeded discrete-event simulator: clocks, network, disks, faults, workloads, invariants.
//!
//! It is in two parts. The [`engine`] is a world in which any system of processes can live: it owns
//! virtual time, keyed chance, the network, the disks and every fault, and knows neither Raft nor
//! etcd. The cluster runs our members and their clients in such a world, records what the clients
//! saw and watches the invariants.
//!
//! A run is a function of its schedule and its seed. Nothing in this crate reads a clock, starts a
//! thread or touches a file.

pub mod campaign;
pub mod cluster;
mod document;
pub mod engine;
mod files;
mod generate;
mod invariants;
mod panics;
pub mod scenario;
pub mod schedule;
mod seed;
mod stopwatch;

pub use document::{DocumentError, Place};
pub use generate::generate;
pub use seed::{Seed, SeedError};
