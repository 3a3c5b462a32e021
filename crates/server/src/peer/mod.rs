//! Members among themselves: one stream from each to each of the others.
//!
//! Owns connections and the frames on them. May lose messages, which consensus expects of a
//! network, and never changes one.

mod link;
mod service;
mod wire;

pub(crate) use link::Links;
pub(crate) use service::PeerService;
