//! A disk that takes so many changes and then fails: a process that dies at any moment of its
//! start, or a disk that has a bad day.

use bytes::Bytes;

use super::{Disk, DiskError, DiskPath, MemDisk};

/// A disk each of whose changes fails after so many that did not. Reading it always works.
#[derive(Debug)]
pub struct CutOff {
    /// The disk that is changed.
    pub disk: MemDisk,
    /// How many changes it still takes.
    pub changes_left: u32,
}

impl CutOff {
    fn change(&mut self, path: &DiskPath) -> Result<&mut MemDisk, DiskError> {
        let left = self.changes_left.checked_sub(1);
        self.changes_left = left.ok_or_else(|| DiskError::Io {
            path: path.clone(),
            operation: "change",
            message: "a bad day".to_owned(),
        })?;
        Ok(&mut self.disk)
    }
}

impl Disk for CutOff {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        self.disk.list(dir)
    }

    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.disk.len(file)
    }

    fn data_end(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.disk.data_end(file)
    }

    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.disk.read(file, offset, len)
    }

    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.change(dir)?.create_dir(dir)
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.change(file)?.create(file)
    }

    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        self.change(file)?.set_len(file, len)
    }

    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.change(file)?.write(file, offset, data)
    }

    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.change(file)?.sync(file)
    }

    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.change(dir)?.sync_dir(dir)
    }

    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.change(from)?.rename(from, to)
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.change(file)?.remove(file)
    }
}
