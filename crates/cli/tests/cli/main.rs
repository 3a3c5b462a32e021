//! The real binary, run as a user would run it.

mod check;
mod common;
mod model;
mod serve;
mod sim;
mod store;
mod usage;
mod wal;
