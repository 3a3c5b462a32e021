//! Tests of the state machine as a whole.
//!
//! [`group`] is a driver that keeps the contract of the crate's documentation and leaves every
//! choice to the test. The other files each have one subject; `exploration` chooses at random and
//! judges every step by naive invariants.

mod damage;
mod disk;
mod durability;
mod election;
mod exploration;
mod flow_control;
mod group;
mod invariants;
mod lease;
mod membership;
mod pre_vote;
mod read;
mod replication;
mod restore;
mod snapshot;
mod together;
mod transfer;
mod walk;
