//! Invariant 23: Members that applied the same entries hold the same store, and equal revisions
//! have equal hashes.

use quorate_mvcc::Reader;

use super::books::Change;
use super::{Violation, ensure, stores};
use crate::cluster::Cluster;
use crate::engine::{NodeId, View};

pub(super) const NAME: &str = "StoresAgree";

/// The store's digest after each entry, where some member stopped to apply there.
#[derive(Debug, Default)]
pub(crate) struct StoresAgree {
    digests: Vec<Option<u64>>,
}

impl StoresAgree {
    pub(super) fn check(&mut self, change: &Change<'_>) -> Result<(), Violation> {
        let applied = change.after.applied;
        if applied == change.before.applied {
            return Ok(());
        }
        let position = applied.0 as usize;
        if self.digests.len() <= position {
            self.digests.resize(position + 1, None);
        }
        let digest = change.store.digest;
        let expected = *self.digests[position].get_or_insert(digest);
        ensure(digest == expected, NAME, || {
            format!(
                "n{} has applied {applied} and holds another store than another member did",
                change.member
            )
        })
    }
}

/// Compares what the stores really hold.
pub(super) fn check_fully(view: &View<'_, Cluster>) -> Result<(), Violation> {
    compare(stores(view))
}

pub(super) fn compare<'a>(
    stores: impl IntoIterator<Item = (NodeId, Reader<'a>)>,
) -> Result<(), Violation> {
    let mut seen = Vec::new();
    for (node, store) in stores {
        // What cannot be read is repaired, or not: that is not what this is about.
        let Ok(hash) = store.hash_kv(None) else { continue };
        for (other, other_hash) in &seen {
            let same = |one: &quorate_mvcc::KvHash, two: &quorate_mvcc::KvHash| {
                (one.hash_revision, one.compact_revision)
                    != (two.hash_revision, two.compact_revision)
                    || one.hash == two.hash
            };
            ensure(same(&hash, other_hash), NAME, || {
                format!("{node} and {other} hash differently at revision {}", hash.hash_revision)
            })?;
        }
        seen.push((node, hash));
    }
    Ok(())
}
