//! The production disk: the [`Disk`] seam over real files.
//!
//! Owns real I/O and nothing above it: no format, no retry, no thread. The only crate of the
//! core's side that touches files. It keeps the promises of [`quorate_wal::disk`] where the file
//! system keeps those of POSIX: `fdatasync` makes a file's content and size durable, `fsync` of a
//! directory its names, and a rename replaces atomically.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the production disk is what touches files"
)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskError, DiskPath};
use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

/// How many files are kept open between operations, to be written; and how many to be read.
const OPEN_FILES: usize = 64;
const READ_FILES: usize = 256;

/// Up to here a read does not ask first how much there is.
const SMALL_READ: usize = 64 << 10;

/// Why a folder cannot serve as a disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses it.
    #[error("{root}: in use by another process, which holds its lock")]
    Locked {
        /// The folder.
        root: PathBuf,
    },
    /// There is something else of that name, or of the name of a folder above.
    #[error("{root}: not a directory")]
    NotADirectory {
        /// What is there.
        root: PathBuf,
    },
    /// The operating system failed.
    #[error("{root}: cannot be opened as a data directory: {source}")]
    Io {
        /// The folder.
        root: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl OpenError {
    /// What to do about it, if that is not what the operating system says.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            OpenError::Locked { .. } => Some("stop that process, or choose another data directory"),
            OpenError::NotADirectory { .. } => Some("choose another data directory"),
            OpenError::Io { .. } => None,
        }
    }
}

/// Real files under one root folder, which is locked against other processes as long as this
/// lives.
#[derive(Debug)]
pub struct FsDisk {
    root: PathBuf,
    /// The folder itself, whose handle holds the lock.
    lock: File,
    /// Files that were written to, so that writing and syncing do not look names up.
    open: BTreeMap<DiskPath, File>,
    /// Files that were read. Those who read by what this one writes share them, so that a name
    /// which is given to another file is not read as the old one. Whoever changes what a name
    /// means, or keeps a file under its name, holds the lock meanwhile; reading itself does not.
    read: Arc<Mutex<BTreeMap<DiskPath, Arc<File>>>>,
}

impl FsDisk {
    /// Takes a folder as a disk, creating it if need be.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process, or another `FsDisk`, has it.
    pub fn open(root: impl Into<PathBuf>) -> Result<FsDisk, OpenError> {
        let root = root.into();
        let there = root.ancestors().find(|folder| folder.exists());
        if let Some(file) = there.filter(|there| !there.is_dir()) {
            return Err(OpenError::NotADirectory { root: file.to_owned() });
        }
        let opened = create_durably(&root).and_then(|()| File::open(&root));
        FsDisk::locked(root, opened, FlockOperation::NonBlockingLockExclusive)
    }

    /// A second way to the same files, to read by what this one writes, also on another thread. The
    /// folder stays locked until both are gone.
    ///
    /// # Errors
    /// [`OpenError::Io`] if the operating system refuses another handle.
    pub fn reader(&self) -> Result<ReadOnlyDisk, OpenError> {
        let (root, read) = (self.root.clone(), Arc::clone(&self.read));
        // A copy of the handle shares its lock.
        match self.lock.try_clone() {
            Ok(lock) => Ok(ReadOnlyDisk(FsDisk { root, lock, open: BTreeMap::new(), read })),
            Err(source) => Err(OpenError::Io { root, source }),
        }
    }

    fn locked(
        root: PathBuf,
        opened: io::Result<File>,
        lock: FlockOperation,
    ) -> Result<FsDisk, OpenError> {
        let handle = match opened {
            Ok(handle) => handle,
            Err(source) => return Err(OpenError::Io { root, source }),
        };
        match rustix::fs::flock(&handle, lock) {
            Ok(()) => {
                let read = Arc::default();
                Ok(FsDisk { root, lock: handle, open: BTreeMap::new(), read })
            }
            Err(Errno::WOULDBLOCK) => Err(OpenError::Locked { root }),
            Err(errno) => Err(OpenError::Io { root, source: errno.into() }),
        }
    }

    fn real(&self, path: &DiskPath) -> PathBuf {
        // A `DiskPath` cannot be absolute or lead upwards.
        self.root.join(path.as_str())
    }

    fn reading<T>(
        &self,
        path: &DiskPath,
        operation: &'static str,
        read: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        match self.open.get(path) {
            Some(file) => read(file),
            None => self.to_read(path).and_then(|file| read(&file)),
        }
        .map_err(|error| told(path, operation, &error))
    }

    /// The file of that name, which is opened if need be and then kept.
    fn to_read(&self, path: &DiskPath) -> io::Result<Arc<File>> {
        let mut read = self.names();
        if let Some(file) = read.get(path) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.real(path))?);
        if read.len() >= READ_FILES {
            read.pop_first();
        }
        read.insert(path.clone(), Arc::clone(&file));
        Ok(file)
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<DiskPath, Arc<File>>> {
        // Whoever panicked had not changed the map by half.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing<T>(
        &mut self,
        path: &DiskPath,
        operation: &'static str,
        write: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let done = match self.open.get(path) {
            Some(file) => write(file),
            None => OpenOptions::new()
                .read(true)
                .write(true)
                .open(self.real(path))
                .and_then(|file| write(self.keep(path, file))),
        };
        done.map_err(|error| told(path, operation, &error))
    }

    fn keep(&mut self, path: &DiskPath, file: File) -> &File {
        if self.open.len() >= OPEN_FILES {
            self.open.pop_first();
        }
        self.open.insert(path.clone(), file);
        &self.open[path]
    }
}

/// Real files under one root folder, to be read only. Several may look at a folder at the same
/// time, but of those who write to it only the one whose [reader](FsDisk::reader) this is: to
/// anybody else, what is being written looks torn.
#[derive(Debug)]
pub struct ReadOnlyDisk(FsDisk);

impl ReadOnlyDisk {
    /// Takes a folder that is there, and changes nothing of it.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if an [`FsDisk`] of some process has it, [`OpenError::Io`] if there is
    /// no such folder.
    pub fn open(root: impl Into<PathBuf>) -> Result<ReadOnlyDisk, OpenError> {
        let root = root.into();
        let opened = File::open(&root).and_then(|handle| match handle.metadata()?.is_dir() {
            true => Ok(handle),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        FsDisk::locked(root, opened, FlockOperation::NonBlockingLockShared).map(ReadOnlyDisk)
    }
}

/// Of the disk, only what reads can be called.
impl AsRef<dyn Disk> for ReadOnlyDisk {
    fn as_ref(&self) -> &(dyn Disk + 'static) {
        &self.0
    }
}

/// Creates a folder and those above it, each of them durably.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    create_durably(above)?;
    match std::fs::create_dir(folder) {
        // Somebody else may have been quicker.
        Err(_) if folder.is_dir() => {}
        done => done?,
    }
    File::open(above)?.sync_all()
}

/// An error of the operating system as the seam tells it.
fn told(path: &DiskPath, operation: &'static str, error: &io::Error) -> DiskError {
    let path = path.clone();
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotFound { path },
        io::ErrorKind::AlreadyExists => DiskError::AlreadyExists { path },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::NoSpace { path },
        _ => DiskError::Io { path, operation, message: error.to_string() },
    }
}

impl Disk for FsDisk {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        let list = || -> io::Result<Vec<DiskPath>> {
            let mut names = Vec::new();
            for found in std::fs::read_dir(self.real(dir))? {
                let found = found?;
                // A name that is not UTF-8 is nobody's here.
                if let (true, Ok(name)) =
                    (found.file_type()?.is_file(), found.file_name().into_string())
                {
                    names.push(dir.join(&name));
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| told(dir, "list the directory", &error))
    }

    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.reading(file, "look up the file's length", |real| Ok(real.metadata()?.len()))
    }

    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.reading(file, "read the file", |real| {
            let mut len = len;
            if len > SMALL_READ {
                let left = real.metadata()?.len().saturating_sub(offset);
                len = len.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            let mut bytes = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match real.read_at(&mut bytes[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(Bytes::from(bytes))
        })
    }

    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        match std::fs::create_dir(self.real(dir)) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && self.real(dir).is_dir() =>
            {
                Ok(())
            }
            done => done.map_err(|error| told(dir, "create the directory", &error)),
        }
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        let created =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.real(file));
        let real = created.map_err(|error| told(file, "create the file", &error))?;
        self.keep(file, real);
        Ok(())
    }

    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        self.writing(file, "set the file's length", |real| {
            let now = real.metadata()?.len();
            if len > now {
                // Really allocated, so that a full disk shows here and not in the middle of a
                // batch, and a later sync has less to do.
                match rustix::fs::fallocate(real, FallocateFlags::empty(), now, len - now) {
                    Ok(()) => return Ok(()),
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            real.set_len(len)
        })
    }

    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.writing(file, "write to the file", |real| real.write_all_at(data, offset))
    }

    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.writing(file, "sync the file", File::sync_data)
    }

    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        File::open(self.real(dir))
            .and_then(|real| real.sync_all())
            .map_err(|error| told(dir, "sync the directory", &error))
    }

    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.len(from)?;
        if from.parent() != to.parent() {
            return Err(DiskError::InvalidPath {
                path: to.as_str().to_owned(),
                reason: "a rename must stay in its directory",
            });
        }
        let mut read = self.names();
        std::fs::rename(self.real(from), self.real(to))
            .map_err(|error| told(from, "rename the file", &error))?;
        read.remove(from);
        read.remove(to);
        drop(read);
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.keep(to, file);
        }
        Ok(())
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.open.remove(file);
        let mut read = self.names();
        std::fs::remove_file(self.real(file))
            .map_err(|error| told(file, "remove the file", &error))?;
        read.remove(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
