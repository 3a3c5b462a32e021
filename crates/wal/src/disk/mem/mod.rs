//! A simulated disk in memory, with a page cache that a loss of power takes away.
//!
//! Owns what the disk holds and which of that is durable. Never decides by itself what a loss of
//! power spares, or when something fails: the caller does.

mod faults;
mod file;
mod names;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;

use bytes::Bytes;

use self::faults::{Faults, io_error};
use self::file::MemFile;
use self::names::{FileId, NameChange, Names};
use super::{Disk, DiskError, DiskPath, SECTOR_BYTES};

pub use self::faults::{DiskFailure, Struck};

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
    /// How many names of files and directories are not as programs saw them: gone, there again, or
    /// another file's.
    pub names_lost: u64,
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
    /// In a cell, since a read may be the one that goes wrong.
    faults: RefCell<Faults>,
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
        let seen = std::mem::replace(&mut self.cached, self.durable.clone());
        self.drop_unnamed();
        for file in self.files.values_mut() {
            file.power_loss(&mut decide);
        }
        loss.names_lost = seen.differences(&self.cached);
        assert!(self.is_clean(), "nothing is pending after a loss of power");
        loss
    }

    /// Whether everything that was ever done to the disk is durable.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unsynced.is_empty() && self.files.values().all(MemFile::is_clean)
    }

    /// Whether all names below a directory are durable, and all that was ever done to those files of
    /// them that matter.
    #[must_use]
    pub fn is_clean_below(&self, dir: &DiskPath, matters: impl Fn(&DiskPath) -> bool) -> bool {
        let changed = self.unsynced.iter().any(|change| change.path().is_below(dir));
        let mut files = self.cached.files.iter().filter(|(file, _)| file.is_below(dir));
        !changed && files.all(|(file, id)| !matters(file) || self.files[id].is_clean())
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

    /// Changes a name, unless the disk fails: then it is changed or not, and the caller is told of
    /// the error.
    fn change_names_or_fail(
        &mut self,
        change: NameChange,
        operation: &'static str,
    ) -> Result<(), DiskError> {
        let failed = self.faults.get_mut().fails();
        let error = failed.map(|_| io_error(change.path(), operation));
        if failed.is_none_or(|spared| spared & 1 == 1) {
            change.apply(&mut self.cached);
            self.unsynced.push(change);
        } else {
            // A file that was to be created has no name.
            self.drop_unnamed();
        }
        error.map_or(Ok(()), Err)
    }

    /// Forgets the content of files that no name leads to, not even after a loss of power.
    fn drop_unnamed(&mut self) {
        let MemDisk { cached, durable, unsynced, files, .. } = self;
        files.retain(|id, _| {
            let named = |names: &Names| names.files.values().any(|other| other == id);
            named(cached) || named(durable) || unsynced.iter().any(|change| change.names(*id))
        });
    }

    /// A sync of a directory that fails: each change of a name in it is done or not, and not
    /// pending any more.
    fn fail_sync_dir(&mut self, dir: &DiskPath, mut keep: impl FnMut(Unsynced) -> bool) {
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let hit = change.path().is_in(dir);
            if hit && keep(Unsynced::Name) {
                change.apply(durable);
            }
            !hit
        });
        self.cached = self.durable.clone();
        for change in &self.unsynced {
            change.apply(&mut self.cached);
        }
        self.cached.drop_unreachable();
        self.drop_unnamed();
    }

    fn require_dir_of(&self, path: &DiskPath) -> Result<(), DiskError> {
        if self.cached.has_parent_of(path) { Ok(()) } else { Err(not_found(path)) }
    }
}

/// Answers from bits, one after the other, and from the first again.
fn from_bits(bits: u64) -> impl FnMut(Unsynced) -> bool {
    let mut asked = 0_u32;
    move |_| {
        asked += 1;
        bits.rotate_right(asked - 1) & 1 == 1
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
        let held = self.file(file)?;
        let right = held.read(offset, len);
        let elsewhere = |place: u64| {
            // At least one byte away, and as much as was asked for where the file has that much.
            let places = held.len().saturating_sub(right.len() as u64).max(1);
            held.read((offset + 1 + place % places) % (places + 1), right.len())
        };
        Ok(self.faults.borrow_mut().misdirect(file, &right, elsewhere).unwrap_or(right))
    }

    fn create_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.require_dir_of(dir)?;
        if self.cached.files.contains_key(dir) {
            return Err(DiskError::AlreadyExists { path: dir.clone() });
        }
        if self.cached.has_dir(dir) {
            return Ok(());
        }
        self.faults.get_mut().require_space(dir)?;
        self.change_names_or_fail(NameChange::CreateDir { dir: dir.clone() }, "create")
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.require_dir_of(file)?;
        if self.cached.files.contains_key(file) || self.cached.has_dir(file) {
            return Err(DiskError::AlreadyExists { path: file.clone() });
        }
        self.faults.get_mut().require_space(file)?;
        let id = self.next_file;
        self.next_file = id.next();
        self.files.insert(id, MemFile::default());
        self.change_names_or_fail(NameChange::Create { file: file.clone(), id }, "create")
    }

    fn set_len(&mut self, file: &DiskPath, len: u64) -> Result<(), DiskError> {
        if len > self.file(file)?.len() {
            self.faults.get_mut().require_space(file)?;
        }
        let failed = self.faults.get_mut().fails();
        if failed.is_none_or(|spared| spared & 1 == 1) {
            self.file_mut(file)?.set_len(len);
        }
        failed.map_or(Ok(()), |_| Err(io_error(file, "set the length")))
    }

    fn write(&mut self, file: &DiskPath, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.file(file)?;
        self.faults.get_mut().require_space(file)?;
        let Some(spared) = self.faults.get_mut().fails() else {
            self.file_mut(file)?.write(offset, data);
            return Ok(());
        };
        let keep = |sector: u64| spared >> (sector % 64) & 1 == 1;
        self.file_mut(file)?.write_some(offset, data, keep);
        Err(io_error(file, "write"))
    }

    fn sync(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        self.file(file)?;
        if let Some(spared) = self.faults.get_mut().sync_fails() {
            self.file_mut(file)?.fail_sync(&mut from_bits(spared));
            return Err(io_error(file, "sync"));
        }
        self.file_mut(file)?.sync();
        Ok(())
    }

    fn sync_dir(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        if !self.cached.has_dir(dir) {
            return Err(not_found(dir));
        }
        if let Some(spared) = self.faults.get_mut().sync_fails() {
            self.fail_sync_dir(dir, from_bits(spared));
            return Err(io_error(dir, "sync"));
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
        let change = NameChange::Rename { from: from.clone(), to: to.clone(), id };
        self.change_names_or_fail(change, "rename")
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        let id = self.cached.files.get(file).copied();
        let id = id.ok_or_else(|| not_found(file))?;
        self.change_names_or_fail(NameChange::Remove { file: file.clone(), id }, "remove")
    }
}
