//! Raft consensus as a deterministic state machine.
//!
//! [`Raft`] takes an [`Event`] with [`Raft::handle`] and hands out [`Effect`]s with
//! [`Raft::poll`], which its driver carries out: write to disk, send, arm a timer, apply.
//! [`Raft::view`] is the one projection of its state that invariants, model checkers and traces
//! read.
//!
//! It never reads a clock, draws a random number, touches a file or sees a payload byte: deadlines
//! and their jitter are the driver's, and so are the payloads, of which this crate knows number and
//! size only. Therefore a [`Raft`] is small, `Clone + Eq + Hash`, and what a simulator or a model
//! checker explores is the code that runs in production.
//!
//! ```
//! use quorate_raft::{Effect, Event, MembershipChange, NodeId, Options, Raft, Restored, TimerKind};
//!
//! // A group of one: it needs nobody's vote.
//! let founding = MembershipChange::found([NodeId(1)]);
//! let mut raft = Raft::new(Restored::founder(NodeId(1), founding, 0, Options::default()))?;
//! let mut applied = Vec::new();
//! for event in [
//!     Event::Timer(TimerKind::Election),
//!     Event::Timer(TimerKind::Jitter),
//!     Event::Propose { sizes: 100.into() },
//! ] {
//!     raft.handle(event);
//!     while let Some(effect) = raft.poll() {
//!         match effect {
//!             // A real driver writes, and reports it later.
//!             Effect::Persist { id, .. } => raft.handle(Event::Persisted(id)),
//!             Effect::Commit(range) => applied.extend(range.first.0..=range.last.0),
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(applied, [1, 2, 3], "its founding, its leader's own entry, and the proposal");
//! # Ok::<(), quorate_raft::InvalidState>(())
//! ```
//!
//! The example `three_nodes` is a whole group in memory.
//!
//! # What is where
//! `raft` has the state and the order of things, `outbox` the effects on their way out, `io` which
//! write a message waits for. The rules of the protocol, one subject a file: `election`,
//! `replication`, `read`, `change` (of the membership), `transfer`, `snapshot`. The mathematics
//! below them is pure: [`quorum`], `configuration`, `membership`, `progress`, `log`, `votes`.
//!
//! # Time
//! The core asks for three timers and is told when they fire ([`TimerKind`]). Safety never depends
//! on them, with one exception that has to be switched on ([`Options::lease_reads`]): a leader may
//! answer a read without asking anybody while its lease holds ([`Event::LeaseRead`]). That rests on
//! every member's clock counting [`TimerKind::Election`] within a bound that the driver states. A
//! driver whose bound is that no clock is wrong by more than a share ρ lets a lease of timeout T
//! last for `T · (1 - ρ) / (1 + ρ)` from [`Effect::RoundBegun`] on.
//!
//! # The driver's contract
//! 1. After [`Raft::handle`], drain [`Raft::poll`]. Events that are there together may be handled
//!    together before: what they lead to is then written, sent and answered together. An effect
//!    names only entries that the log has when it is handed out; a later message of the same
//!    events may have replaced what an earlier one brought. A timer that one of the events sets
//!    anew has not fired, and its event is passed over. Before an [`Event::Compact`] drain
//!    [`Raft::poll`]: effects that wait may need what is about to go.
//! 2. Carry out [`Effect::Persist`] in the order given, and report each with
//!    [`Event::Persisted`] once it is durable. They may be written together (group commit). What
//!    a crash leaves of them is a prefix: within one write the snapshot, then the entries in
//!    order, then the hard state.
//! 3. Hold an [`Effect::Send`] back until the write that its `after` names is durable. A message
//!    whose write is lost in a crash is never sent.
//! 4. Deliver messages at most with the damage that a network does: loss, duplication, delay and
//!    reordering, never forgery. A message that brings entries or a snapshot comes with their
//!    payloads.
//! 5. Report what became of a snapshot that was sent ([`Event::SnapshotReport`]), at the latest
//!    after a while: until then its follower is sent nothing else.
//! 6. A timer that is set again does not fire for the earlier time any more, not even if it has
//!    fired and its event has not been handled yet: leases rest on that.
//! 7. Give a member that lost its disk a new id ([`NodeId`]). Under its old one it is brought back
//!    as well, but until its leader has spoken to it, it may vote against votes that it has
//!    forgotten.
//!    One whose disk has lost some of its log, but not its hard state, comes up with what it still
//!    has and says so ([`Restored::doubtful`]): it gets the rest again and abstains until then.
//!
//! Sources: Ongaro and Ousterhout, *In Search of an Understandable Consensus Algorithm* (2014), of
//! which section numbers are quoted as §5.2 and so on; Ongaro's dissertation (2014), quoted as
//! *dissertation 6.4*.

mod change;
mod configuration;
mod election;
mod io;
mod list;
mod log;
mod membership;
mod message;
mod outbox;
mod progress;
pub mod quorum;
mod raft;
mod read;
mod replication;
mod restored;
mod snapshot;
mod transfer;
mod types;
mod view;
mod votes;

pub use configuration::{
    Change, ChangeError, Configuration, MembershipChange, Snapshot, Transition,
};
pub use list::List;
pub use log::Log;
pub use membership::Membership;
pub use message::{
    AppendOutcome, Body, DropReason, Effect, EntryMeta, EntryRange, Event, Message, TimerKind,
};
pub use progress::{Inflight, Progress, ProgressState, Window};
pub use raft::Raft;
pub use restored::{InvalidState, Options, Restored};
pub use types::{HardState, IoId, LogIndex, NodeId, ReadId, Round, Term};
pub use view::{ProtocolView, Role};

#[cfg(test)]
mod tests;
