//! Which names a simulated disk has, and the changes to them that are not durable yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::DiskPath;

/// A file whatever it is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

impl FileId {
    pub(super) fn next(self) -> FileId {
        FileId(self.0 + 1)
    }
}

/// The directories (besides the root) and files of a disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) dirs: BTreeSet<DiskPath>,
    pub(super) files: BTreeMap<DiskPath, FileId>,
}

impl Names {
    pub(super) fn has_dir(&self, dir: &DiskPath) -> bool {
        dir.parent().is_none() || self.dirs.contains(dir)
    }

    pub(super) fn has_parent_of(&self, path: &DiskPath) -> bool {
        match path.parent() {
            None | Some("") => true,
            Some(parent) => self.dirs.iter().any(|dir| dir.as_str() == parent),
        }
    }

    pub(super) fn in_dir(&self, dir: &DiskPath) -> impl Iterator<Item = &DiskPath> {
        self.files.keys().filter(move |file| file.is_in(dir))
    }

    /// How many names the others have, lack, or give to another file.
    pub(super) fn differences(&self, others: &Names) -> u64 {
        let other = |(file, id): &(&DiskPath, &FileId)| others.files.get(*file) != Some(*id);
        let changed = self.files.iter().filter(other).count();
        let added = others.files.keys().filter(|file| !self.files.contains_key(*file)).count();
        (changed + added + self.dirs.symmetric_difference(&others.dirs).count()) as u64
    }

    /// Forgets what is in directories that do not exist.
    pub(super) fn drop_unreachable(&mut self) {
        // Ascending order has every directory after the one that it is in.
        for dir in self.dirs.clone() {
            if !self.has_parent_of(&dir) {
                self.dirs.remove(&dir);
            }
        }
        let files = std::mem::take(&mut self.files);
        self.files = files.into_iter().filter(|(file, _)| self.has_parent_of(file)).collect();
    }
}

/// A change of one directory. Each names its file, so that it stays meaningful when another, on
/// which it built, is lost.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    CreateDir { dir: DiskPath },
    Create { file: DiskPath, id: FileId },
    Rename { from: DiskPath, to: DiskPath, id: FileId },
    Remove { file: DiskPath, id: FileId },
}

impl NameChange {
    /// A name in the directory that has to be synced for the change to be durable.
    pub(super) fn path(&self) -> &DiskPath {
        match self {
            NameChange::CreateDir { dir } => dir,
            NameChange::Create { file, .. } | NameChange::Remove { file, .. } => file,
            NameChange::Rename { to, .. } => to,
        }
    }

    /// Whether the change would give this file a name.
    pub(super) fn names(&self, file: FileId) -> bool {
        match self {
            NameChange::Create { id, .. } | NameChange::Rename { id, .. } => *id == file,
            NameChange::CreateDir { .. } | NameChange::Remove { .. } => false,
        }
    }

    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            NameChange::CreateDir { dir } => {
                names.dirs.insert(dir.clone());
            }
            NameChange::Create { file, id } => {
                names.files.insert(file.clone(), *id);
            }
            NameChange::Rename { from, to, id } => {
                if names.files.get(from) == Some(id) {
                    names.files.remove(from);
                }
                names.files.insert(to.clone(), *id);
            }
            NameChange::Remove { file, id } => {
                if names.files.get(file) == Some(id) {
                    names.files.remove(file);
                }
            }
        }
    }
}
