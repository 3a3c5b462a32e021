//! Names of files and directories.

use std::fmt;
use std::sync::Arc;

use super::DiskError;

/// The name of a file or directory: components joined by `/`, relative to the disk's root.
///
/// It cannot name anything outside the root. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskPath(Arc<str>);

impl DiskPath {
    /// The root directory itself.
    #[must_use]
    pub fn root() -> DiskPath {
        DiskPath(Arc::from(""))
    }

    /// Checks a name.
    ///
    /// # Errors
    /// [`DiskError::InvalidPath`] if it is empty, absolute, has an empty component, one that is
    /// `.` or `..`, or a NUL.
    pub fn new(path: &str) -> Result<DiskPath, DiskError> {
        let invalid = |reason| DiskError::InvalidPath { path: path.to_owned(), reason };
        if path.contains('\0') {
            return Err(invalid("a name must not contain a NUL"));
        }
        for component in path.split('/') {
            match component {
                "" => return Err(invalid("a name needs components that are not empty")),
                "." | ".." => return Err(invalid("a name must not contain '.' or '..'")),
                _ => {}
            }
        }
        Ok(DiskPath(Arc::from(path)))
    }

    /// A name in this directory.
    ///
    /// # Panics
    /// If `name` is not a single valid component: callers make names up themselves.
    #[must_use]
    pub fn join(&self, name: &str) -> DiskPath {
        let valid = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        assert!(valid, "{name:?} is not one component of a path");
        if self.0.is_empty() {
            DiskPath(Arc::from(name))
        } else {
            DiskPath(Arc::from(format!("{}/{name}", self.0)))
        }
    }

    /// The name as text; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that this name is in, as text; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => Some(parent),
            None if self.0.is_empty() => None,
            None => Some(""),
        }
    }

    /// The directory that this name is in; none for the root.
    #[must_use]
    pub fn parent_dir(&self) -> Option<DiskPath> {
        self.parent().map(|parent| DiskPath(Arc::from(parent)))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Whether this name is in `dir`, or in a directory there.
    #[must_use]
    pub fn is_below(&self, dir: &DiskPath) -> bool {
        let behind = self.as_str().strip_prefix(dir.as_str());
        behind.is_some_and(|rest| dir.as_str().is_empty() || rest.starts_with('/'))
    }

    /// Whether this name is directly in `dir`.
    #[must_use]
    pub fn is_in(&self, dir: &DiskPath) -> bool {
        self.parent() == Some(dir.as_str())
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl fmt::Debug for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_root() {
        for path in ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "a\0"] {
            assert!(
                matches!(DiskPath::new(path), Err(DiskError::InvalidPath { .. })),
                "{path:?} was accepted"
            );
        }
        for path in ["a", "a/b", "...", "a b/c.wal"] {
            assert_eq!(DiskPath::new(path).expect("a valid name").as_str(), path);
        }
    }

    #[test]
    fn joining_and_taking_apart() {
        let wal = DiskPath::root().join("wal");
        let segment = wal.join("0.wal");
        assert_eq!(segment.as_str(), "wal/0.wal");
        assert_eq!((segment.parent(), segment.name()), (Some("wal"), "0.wal"));
        assert!(segment.is_in(&wal) && wal.is_in(&DiskPath::root()));
        assert!(!segment.is_in(&DiskPath::root()));
        assert_eq!(DiskPath::root().parent(), None);
    }

    #[test]
    #[should_panic(expected = "not one component")]
    fn joining_two_components_at_once_is_a_mistake() {
        let _ = DiskPath::root().join("a/b");
    }
}
