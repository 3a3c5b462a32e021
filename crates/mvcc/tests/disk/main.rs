//! The store on a disk: what it answers, what it keeps, what it notices.

mod bounds;
mod crash;
mod damage;
mod lives;
mod support;
mod transfer;
