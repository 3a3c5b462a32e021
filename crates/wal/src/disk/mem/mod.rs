//! A simulated disk in memory, with a page cache that a loss of power takes away.
//!
//! Owns what the disk holds and which of that is durable. Never decides by itself what a loss of
//! power spares: the caller does, sector by sector and name by name.

mod file;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::file::MemFile;
use self::names::{FileId, NameChange, Names};
use super::{Disk, DiskError, DiskPath, SECTOR_BYTES};

/// What has not been synced and so may get lost: one unit of [`MemDisk::power_loss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsynced {
    /// A sector that was written to.
    Sector,
    /// A file's new length.
    Length,
    /// A name that was created, renamed or removed.
    Name,
}

/// What a loss of power did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerLoss {
    /// How many sectors, lengths and names that had not been synced are there all the same.
    pub kept: u64,
    /// How many of them are as they were before.
    pub lost: u64,
}

/// A disk in memory that tells what is durable from what is only cached.
///
/// A process that dies takes nothing with it: what it wrote stays. [`power_loss`](Self::power_loss)
/// takes what was not synced, as far as its caller decides. The preallocated rest of a file costs
/// no memory. A clone is an independent disk of the same content.
#[derive(Debug, Clone, Default)]
pub struct MemDisk {
    /// The names as programs see them.
    cached: Names,
    /// The names as they are after a loss of power that spares nothing.
    durable: Names,
    /// What turns `durable` into `cached`, in order.
    unsynced: Vec<NameChange>,
    /// The files that either of them names.
    files: BTreeMap<FileId, MemFile>,
    next_file: FileId,
}

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// Cuts the power: for each thing that was not synced, in a fixed order, `keep` says whether
    /// it reached the medium all the same. What is left afterwards is durable.
    pub fn power_loss(&mut self, mut keep: impl FnMut(Unsynced) -> bool) -> PowerLoss {
        let mut loss = PowerLoss::default();
        let mut decide = |unit| {
            let kept = keep(unit);
            if kept {
                loss.kept += 1;
            } else {
                loss.lost += 1;
            }
            kept
        };
        for change in self.unsynced.drain(..) {
            if decide(Unsynced::Name) {
                change.apply(&mut self.durable);
            }
        }
        self.durable.drop_unreachable();
        self.cached = self.durable.clone();
        self.drop_unnamed();
        for file in self.files.values_mut() {
            file.power_loss(&mut decide);
        }
        assert!(self.is_clean(), "nothing is pending after a loss of power");
        loss
    }

    /// Whether everything that was ever done to the disk is durable.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unsynced.is_empty() && self.files.values().all(MemFile::is_clean)
    }

    /// Whether everything that was ever done to the files below a directory is durable, their names
    /// included.
    #[must_use]
    pub fn is_clean_below(&self, dir: &DiskPath) -> bool {
        let changed = self.unsynced.iter().any(|change| change.path().is_below(dir));
        let names = self.cached.files.iter().filter(|(file, _)| file.is_below(dir));
        !changed && names.map(|(_, id)| &self.files[id]).all(MemFile::is_clean)
    }

    /// How many bytes of a file a loss of power could take, in whole sectors; 0 also for a file
    /// that does not exist.
    #[must_use]
    pub fn dirty_bytes(&self, file: &DiskPath) -> u64 {
        let id = self.cached.files.get(file);
        id.map_or(0, |id| self.files[id].dirty_sectors() * SECTOR_BYTES)
    }

    /// How much memory the contents take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.files.values().map(MemFile::memory_bytes).sum()
    }

    fn file(&self, path: &DiskPath) -> Result<&MemFile, DiskError> {
        let id = self.cached.files.get(path);
        id.map(|id| &self.files[id]).ok_or_else(|| not_found(path))
    }

    fn file_mut(&mut self, path: &DiskPath) -> Result<&mut MemFile, DiskError> {
        let id = self.cached.files.get(path).ok_or_else(|| not_found(path))?;
        Ok(self.files.get_mut(id).expect("a named file is held until no name is left"))
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.cached);
        self.unsynced.push(change);
    }

    /// Forgets the content of files that no name leads to, not even after a loss of power.
    fn drop_unnamed(&mut self) {
        let MemDisk { cached, durable, unsynced, files, .. } = self;
        files.retain(|id, _| {
            let named = |names: &Names| names.files.values().any(|other| other == id);
            named(cached) || named(durable) || unsynced.iter().any(|change| change.names(*id))
        });
    }

    fn require_dir_of(&self, path: &DiskPath) -> Result<(), DiskError> {
        if self.cached.has_parent_of(path) { Ok(()) } else { Err(not_found(path)) }
    }
}

fn not_found(path: &DiskPath) -> DiskError {
    DiskError::NotFound { path: path.clone() }
}

impl Disk for MemDisk {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        if !self.cached.has_dir(dir) {
            return Err(not_found(dir));
        }
        let mut names: Vec<DiskPath> = self.cached.in_dir(dir).cloned().collect();
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        Ok(self.file(file)?.len())
    }

    fn data_end(&self, file: &DiskPath) -> Result<u64, DiskError> {
        Ok(self.file(file)?.data_end())
    }

    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        Ok(self.file(file)?.read(offset, len))
    }

    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.require_dir_of(dir)?;
        if self.cached.files.contains_key(dir) {
            return Err(DiskError::AlreadyExists { path: dir.clone() });
        }
        if !self.cached.has_dir(dir) {
            self.change_names(NameChange::CreateDir { dir: dir.clone() });
        }
        Ok(())
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.require_dir_of(file)?;
        if self.cached.files.contains_key(file) || self.cached.has_dir(file) {
            return Err(DiskError::AlreadyExists { path: file.clone() });
        }
        let id = self.next_file;
        self.next_file = id.next();
        self.files.insert(id, MemFile::default());
        self.change_names(NameChange::Create { file: file.clone(), id });
        Ok(())
    }

    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        self.file_mut(file)?.set_len(len);
        Ok(())
    }

    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.file_mut(file)?.write(offset, data);
        Ok(())
    }

    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.file_mut(file)?.sync();
        Ok(())
    }

    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        if !self.cached.has_dir(dir) {
            return Err(not_found(dir));
        }
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let synced = change.path().is_in(dir);
            if synced {
                change.apply(durable);
            }
            !synced
        });
        self.drop_unnamed();
        Ok(())
    }

    fn rename(&mut self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        let id = self.cached.files.get(from).copied();
        let id = id.ok_or_else(|| not_found(from))?;
        if from.parent() != to.parent() {
            return Err(DiskError::InvalidPath {
                path: to.as_str().to_owned(),
                reason: "a rename must stay in its directory",
            });
        }
        if self.cached.has_dir(to) {
            return Err(DiskError::AlreadyExists { path: to.clone() });
        }
        self.change_names(NameChange::Rename { from: from.clone(), to: to.clone(), id });
        Ok(())
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        let id = self.cached.files.get(file).copied();
        let id = id.ok_or_else(|| not_found(file))?;
        self.change_names(NameChange::Remove { file: file.clone(), id });
        Ok(())
    }
}
