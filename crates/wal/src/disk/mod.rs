//! The `Disk` seam: the only way in which anything of the core reaches durable storage.
//!
//! Owns the names, the operations as calls ([`Disk`]) and as data ([`DiskOp`]), their errors, and
//! the simulated disk ([`MemDisk`]). Never touches a real file: that is the crate `quorate-disk`.
//!
//! # What is assumed of the medium
//! - A write reaches the page cache at once: it is seen by every later read, and survives the
//!   death of the process.
//! - It survives a loss of power only once [`Disk::sync`] of that file returned. Until then each
//!   [sector](SECTOR_BYTES) that it touched is, independently, as before or as after; a sector is
//!   never half of each.
//! - A created, renamed or removed name survives a loss of power only once [`Disk::sync_dir`] of
//!   its directory returned. Until then each of these is, independently, done or not done. A
//!   rename is never half done.
//! - What lies between the written bytes and a length given with [`Disk::set_len`] is zero.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(any(test, feature = "conformance"))]
mod cut_off;
mod error;
mod mem;
mod op;
mod path;

use bytes::Bytes;

#[cfg(any(test, feature = "conformance"))]
pub use cut_off::CutOff;
pub use error::DiskError;
pub use mem::{DiskFailure, MemDisk, PowerLoss, Struck, Unsynced};
pub use op::DiskOp;
pub use path::DiskPath;

/// The unit in which a disk writes: at a loss of power a sector has either its old or its new
/// content. 512 is what disks with larger sectors keep as well.
pub const SECTOR_BYTES: u64 = 512;

/// Files in directories under one root, with the guarantees that the [module](self) states.
///
/// Calls take effect in the order they are made. After an error of a call that changes something,
/// it is unknown what of it took effect; after a failed [`sync`](Disk::sync) also what earlier
/// writes did, and calling it again proves nothing. The owner then has to stop and recover.
pub trait Disk {
    /// The names in a directory, without those of their subdirectories, in ascending order.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such directory.
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError>;

    /// A file's length in bytes.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn len(&self, file: &DiskPath) -> Result<u64, DiskError>;

    /// An offset, at most the file's length, from which on the file is known to hold only zeros.
    /// It spares a reader the preallocated rest of a file. A disk that does not know says the
    /// file's length.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn data_end(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.len(file)
    }

    /// Up to `len` bytes from `offset` on: fewer, or none, only where the file ends.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError>;

    /// Creates a directory in one that exists. One that exists already is left as it is.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if the parent does not exist.
    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// [`DiskError::AlreadyExists`] if the name is taken, [`DiskError::NotFound`] if the directory
    /// does not exist.
    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError>;

    /// Lengthens a file with zeros, or cuts it off.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError>;

    /// Writes all of `data` at `offset`. Beyond the end it lengthens the file, with zeros in
    /// between.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file, [`DiskError::NoSpace`] on a full disk.
    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError>;

    /// Makes a file's content and length durable. Its name is durable only through
    /// [`sync_dir`](Disk::sync_dir).
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError>;

    /// Makes durable which names a directory has.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such directory.
    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError>;

    /// Gives a file another name in the same directory; a file which had that name is gone.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file, [`DiskError::InvalidPath`] if `to` is in
    /// another directory.
    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`DiskError::NotFound`] if there is no such file.
    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError>;
}
