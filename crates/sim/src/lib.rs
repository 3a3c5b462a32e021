//! The seeded discrete-event simulator: clocks, network, disks, faults, workloads, invariants.
//!
//! It is in two parts. The [`engine`] is a world in which any system of processes can live: it owns
//! virtual time, keyed chance, the network, the disks and every fault, and knows neither Raft nor
//! etcd. The cluster runs our members and their clients in such a world, records what the clients
//! saw and watches the invariants.
//!
//! Around it, a [`scenario`] and a seed give a [`schedule`] ([`generate`]), a [`campaign`] runs many
//! of them, a failing one is made smaller ([`shrink`]) and written down ([`repro`], [`artifacts`]).
//!
//! A run is a function of its schedule: nothing inside reads a clock, starts a thread or touches a
//! file. Only the campaign starts threads, only `stopwatch` reads a clock, only `files` opens files,
//! all of them before and after runs.

pub mod artifacts;
pub mod campaign;
pub mod cluster;
mod document;
pub mod engine;
mod files;
mod generate;
mod invariants;
mod panics;
pub mod repro;
pub mod scenario;
pub mod schedule;
mod seed;
pub mod shrink;
mod stopwatch;

pub use document::{DocumentError, Place};
pub use generate::generate;
pub use seed::{Seed, SeedError};
