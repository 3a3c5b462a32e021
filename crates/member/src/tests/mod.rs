//! Tests of the member as a whole, with a driver that does one thing at a time.

mod beyond_repair;
mod crash_points;
mod durability;
mod group;
mod membership;
mod offers;
mod reads;
mod recovery;
mod requests;
mod snapshots;
mod started_over;
