//! Durable append-only logs in etcd's on-disk format, over the Disk seam.

pub mod disk;
