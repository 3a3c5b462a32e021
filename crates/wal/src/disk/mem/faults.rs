//! What a simulated disk does wrong when it is told to: failed operations, failed syncs, no space
//! left, rot, and reads of another place.
//!
//! Owns what is armed and what has struck. Never draws anything: chance comes in as bits.

use bytes::Bytes;

use super::MemDisk;
use crate::disk::{DiskError, DiskPath};

/// A failure that a [`MemDisk`] shows once, at the first opportunity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskFailure {
    /// An operation that changes the disk, but for a sync, fails; what it should have done is done
    /// in part.
    Operation {
        /// How many such operations still succeed before.
        after: u32,
        /// Bit `i % 64` says whether the `i`-th sector of a write is written all the same; the
        /// lowest one whether an operation that is no write takes effect.
        spared: u64,
    },
    /// A sync fails, and the operating system forgets what it could not write: each dirty sector
    /// is as before or as after, for programs as well as on the medium, and clean. A second sync
    /// would succeed and prove nothing.
    Sync {
        /// Bit `i % 64` says whether the `i`-th thing that was not synced is there all the same.
        spared: u64,
    },
    /// A read in a directory gives what stands elsewhere in the same file.
    MisdirectedRead {
        /// The directory.
        dir: DiskPath,
        /// What the other place is derived from.
        place: u64,
    },
}

/// How often armed failures have struck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Struck {
    /// Operations that failed.
    pub operations: u64,
    /// Syncs that failed.
    pub syncs: u64,
    /// Operations for which there was no space.
    pub no_space: u64,
    /// Reads that gave something else than what stands there.
    pub misdirected_reads: u64,
}

/// What is armed, and what has struck since somebody asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    armed: Vec<DiskFailure>,
    full: bool,
    struck: Struck,
}

impl Faults {
    /// Whether an operation that changes the disk fails now, and what it does nevertheless.
    pub(super) fn fails(&mut self) -> Option<u64> {
        let operation = |failure: &DiskFailure| matches!(failure, DiskFailure::Operation { .. });
        let position = self.armed.iter().position(operation)?;
        let DiskFailure::Operation { after, spared } = &mut self.armed[position] else {
            unreachable!("it was looked for")
        };
        let spared = *spared;
        if let Some(fewer) = after.checked_sub(1) {
            *after = fewer;
            return None;
        }
        self.armed.remove(position);
        self.struck.operations += 1;
        Some(spared)
    }

    /// Whether a sync fails now, and what reaches the medium nevertheless.
    pub(super) fn sync_fails(&mut self) -> Option<u64> {
        let position =
            self.armed.iter().position(|failure| matches!(failure, DiskFailure::Sync { .. }))?;
        let DiskFailure::Sync { spared } = self.armed.remove(position) else {
            unreachable!("it was looked for")
        };
        self.struck.syncs += 1;
        Some(spared)
    }

    /// # Errors
    /// [`DiskError::NoSpace`] on a full disk.
    pub(super) fn require_space(&mut self, path: &DiskPath) -> Result<(), DiskError> {
        if !self.full {
            return Ok(());
        }
        self.struck.no_space += 1;
        Err(DiskError::NoSpace { path: path.clone() })
    }

    /// What a read gives instead of what stands there, if it is misdirected. `elsewhere` reads as
    /// much at another place, derived from a number.
    pub(super) fn misdirect(
        &mut self,
        file: &DiskPath,
        right: &Bytes,
        elsewhere: impl Fn(u64) -> Bytes,
    ) -> Option<Bytes> {
        let position = self.armed.iter().position(|failure| {
            matches!(failure, DiskFailure::MisdirectedRead { dir, .. } if file.is_in(dir))
        })?;
        let DiskFailure::MisdirectedRead { place, .. } = &self.armed[position] else {
            unreachable!("it was looked for")
        };
        let wrong = elsewhere(*place);
        // The same bytes elsewhere would be no fault; it stays armed.
        if wrong == *right {
            return None;
        }
        self.armed.remove(position);
        self.struck.misdirected_reads += 1;
        Some(wrong)
    }
}

/// What the operating system says when the medium does not do its part.
pub(super) fn io_error(path: &DiskPath, operation: &'static str) -> DiskError {
    DiskError::Io { path: path.clone(), operation, message: "input/output error".to_owned() }
}

impl MemDisk {
    /// Has a failure happen once, at the first opportunity. Several of one kind happen one after
    /// the other.
    pub fn arm(&mut self, failure: DiskFailure) {
        self.faults.get_mut().armed.push(failure);
    }

    /// Takes back all failures that have not struck.
    pub fn disarm(&mut self) {
        self.faults.get_mut().armed.clear();
    }

    /// Whether there is no space left: nothing can be created, lengthened or written until it is
    /// said that there is.
    pub fn set_full(&mut self, full: bool) {
        self.faults.get_mut().full = full;
    }

    /// What has struck since this was asked last.
    pub fn take_struck(&mut self) -> Struck {
        std::mem::take(&mut self.faults.get_mut().struck)
    }

    /// Up to which offset a file has durable content that was ever written; 0 also for a file that
    /// does not exist, or whose name is not durable.
    #[must_use]
    pub fn durable_end(&self, file: &DiskPath) -> u64 {
        let id = self.durable.files.get(file);
        id.map_or(0, |id| self.files[id].durable_end())
    }

    /// Rot: inverts bit `bit % 8` of a file's durable byte `bit / 8`. Says whether that changed
    /// anything: a sector that was written since, and not synced, hides it until it is lost.
    ///
    /// # Panics
    /// If the byte lies at or behind the file's [durable end](Self::durable_end).
    pub fn flip_bit(&mut self, file: &DiskPath, bit: u64) -> bool {
        assert!(bit / 8 < self.durable_end(file), "bit {bit} of {file} is not on the medium");
        let id = self.durable.files[file];
        self.files.get_mut(&id).expect("a named file is held").flip_bit(bit)
    }
}

#[cfg(test)]
mod tests;
