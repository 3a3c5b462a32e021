//! Which files of a store stay.
//!
//! Owns that none goes which a manifest still needs: what the newest one names is where the store
//! starts from, what an older one names if the newest is damaged one day, and what somebody is
//! still being sent must not go under them.

use std::collections::BTreeSet;

use quorate_wal::disk::DiskOp;

use crate::manifest::Manifest;
use crate::revision_log::segment::SegmentId;
use crate::store::Store;

impl Store {
    /// Removes the files of all segments but its own and those that these manifests name: all that
    /// the member keeps a snapshot with, and all that are being sent. What it queues goes out with
    /// [`take_ops`](Store::take_ops).
    pub fn retain(&mut self, manifests: &[&Manifest]) {
        let named = manifests.iter().flat_map(|manifest| &manifest.segments).map(|info| info.id);
        let kept: BTreeSet<SegmentId> = named.chain(self.log.ids()).collect();
        let Some(place) = &self.log.place else { return };
        let dir = place.dir.clone();
        let mut operations = Vec::new();
        self.log.files.retain(|file| {
            let stays = SegmentId::of_file(file.name()).is_none_or(|id| kept.contains(&id));
            if !stays {
                operations.push(DiskOp::Remove { file: file.clone() });
            }
            stays
        });
        if !operations.is_empty() {
            operations.push(DiskOp::SyncDir { dir });
            self.log.enqueue(operations);
        }
    }
}
