//! Which files of a store stay.
//!
//! Owns that none goes which a manifest still needs: what the newest one names is where the store
//! starts from, what an older one names if the newest is damaged one day, and what somebody is
//! still being sent must not go under them. Nor must what a store that is arriving shares with this
//! one.

use std::collections::BTreeSet;

use quorate_wal::disk::DiskOp;

use crate::incoming::Incoming;
use crate::manifest::Manifest;
use crate::revision_log::segment::SegmentId;
use crate::store::Store;

impl Store {
    /// Removes the files of all segments but its own, those that these manifests name (all that
    /// the member keeps a snapshot with, and all that are being sent), and those that were not
    /// fetched for a store that is arriving because they are here. What it queues goes out with
    /// [`take_ops`](Store::take_ops).
    pub fn retain(&mut self, manifests: &[&Manifest], arriving: Option<&Incoming>) {
        let named = manifests.iter().flat_map(|manifest| &manifest.segments).map(|info| info.id);
        let shared = arriving.into_iter().flat_map(Incoming::shared);
        let kept: BTreeSet<SegmentId> = named.chain(shared).chain(self.log.ids()).collect();
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
