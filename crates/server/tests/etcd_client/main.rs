//! Servers on real files and loopback sockets, asked by the crate `etcd-client`, which nobody here
//! wrote.
#![cfg(not(madsim))]

mod cluster;
mod kv;
mod support;
