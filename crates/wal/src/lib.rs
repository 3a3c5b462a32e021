//! Durable append-only logs over the [`Disk`](disk::Disk) seam: the write-ahead log and the files
//! of [snapshots](snap), in etcd's on-disk formats.
//!
//! Owns the seam, the format of records and segments, and recovery: what of a log counts after a
//! crash. Never writes by itself once a log is open: it hands [operations](disk::DiskOp) to its
//! driver, which decides when they happen.
//!
//! ```
//! use bytes::Bytes;
//! use quorate_proto::raftpb::{Entry, HardState};
//! use quorate_wal::disk::{DiskOp, DiskPath, MemDisk};
//! use quorate_wal::{Wal, WalOptions};
//!
//! let mut disk = MemDisk::new();
//! let dir = DiskPath::new("wal")?;
//! let mut wal = Wal::create(&mut disk, &dir, Bytes::from("member 1"), WalOptions::default())?;
//!
//! let entry = Entry { term: 1, index: 1, data: Some(Bytes::from("x = 1")), ..Entry::default() };
//! let state = HardState { term: 1, vote: 1, commit: 0 };
//! wal.append(Some(state), [&entry]);
//! DiskOp::execute_all(&wal.take_ops(), &mut disk)?; // Entry and state are durable from here on.
//!
//! disk.power_loss(|_| false);
//! let recovered = Wal::open(&mut disk, &dir, WalOptions::default())?;
//! assert_eq!(recovered.entries, [entry]);
//! assert_eq!(recovered.hard_state, state);
//! # Ok::<(), quorate_wal::WalError>(())
//! ```

pub mod disk;
mod error;
mod extent;
pub mod inspect;
mod reader;
mod record;
mod recovery;
mod replay;
mod scan;
mod segment;
pub mod snap;
mod verdict;
mod writer;

pub use error::{Corruption, Damage, WalError};
pub use recovery::{Contents, Outlook, Recovered, SnapshotId, TornTail};
pub use writer::{Wal, WalOptions};

#[cfg(test)]
mod tests;
