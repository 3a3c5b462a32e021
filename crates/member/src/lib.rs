//! One cluster member as a deterministic state machine.
//!
//! [`Member`] joins consensus, log and store behind one request type. It takes an [`Input`] with
//! [`Member::handle`] and hands out [`Output`]s with [`Member::poll`]; its driver owns the clock,
//! the network, the disk and the clients, and carries the outputs out. It is the member that knows
//! in which order things have to happen: write, then send, then apply, then answer.
//!
//! It never reads a clock (the time is an argument), draws a random number, starts a thread or
//! touches a file except through the [`Disk`](quorate_wal::disk::Disk) that it is started from.

mod agreed;
mod codec;
mod config;
mod effects;
mod forwards;
mod journal;
mod lease;
mod member;
pub mod membership;
mod proposals;
mod reads;
mod recovery;
mod request;
mod snapshots;
mod store_messages;
mod transfers;
mod upkeep;
pub mod wire;

pub use config::{Config, Time};
pub use forwards::Ticket;
pub use journal::{Entry, EntryKind};
pub use member::{BatchId, HaltReason, Input, Member, Output, PeerMessage, Timer};
pub use recovery::{NothingLeft, Recovery, RecoveryError};
pub use request::{Error, Request, RequestToken, Response, ResponseBody};
pub use store_messages::StoreMessage;
pub use upkeep::Health;

#[cfg(test)]
mod tests;
