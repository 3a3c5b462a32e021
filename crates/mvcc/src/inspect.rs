//! A store looked at from outside, without changing it: for people, and for those who have to
//! decide what to do about a damaged disk.
//!
//! Reads everything that a manifest names, values too. Never repairs anything.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskError, DiskPath};

use crate::index::Index;
use crate::key_range::KeyRange;
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::repair::check_record;
use crate::revision_log::damage::{Damage, Defect};
use crate::revision_log::keys::{KeysEntry, KeysReader};
use crate::revision_log::segment::{Segment, SegmentId, SegmentInfo, SegmentUse};
use crate::revision_log::{DataScan, Location, Place, RevisionLog};

/// What was found of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The segments that the manifest names, oldest first.
    pub segments: Vec<SegmentUse>,
    /// How many keys exist at the store's revision; `None` if too much is damaged to say.
    pub keys: Option<u64>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Segments of which both files are damaged, so that it is not known what they hold.
    pub lost: Vec<SegmentId>,
    /// The first thing that no store can have written, though it is intact.
    pub incoherent: Option<(SegmentId, &'static str)>,
    /// Files in the directory that the manifest does not name: written after it, or left over.
    pub others: Vec<DiskPath>,
}

impl Survey {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.lost.is_empty() && self.incoherent.is_none()
    }
}

/// Reads all of the store that a manifest names.
///
/// # Errors
/// If the directory cannot be listed. What cannot be read of its files is damage.
pub fn survey(disk: &dyn Disk, dir: &DiskPath, manifest: &Manifest) -> Result<Survey, DiskError> {
    let place = Place { dir: dir.clone(), options: StoreOptions::default() };
    let mut log = RevisionLog::new(Some(place), SegmentId(u64::MAX - 1));
    let (mut index, mut survey) = (Index::default(), Survey::default());
    for info in &manifest.segments {
        let slot = log.restore(Segment::restored(*info));
        let entries = entries(disk, dir, info, &mut survey);
        let mut piece = (0, Bytes::new());
        for entry in entries {
            let checked = check_record(&log, log.segment(slot), &entry, &mut piece, disk);
            survey.damage.extend(checked.err());
            let location = Location::new(slot, entry.offset, entry.frame_len);
            let dead = |dead| log.note_dead(dead);
            let loaded = index.load(&entry.record, location, manifest.compacted, dead);
            if let Err(reason) = loaded
                && survey.lost.is_empty()
            {
                survey.incoherent.get_or_insert((info.id, reason));
            }
        }
    }
    survey.segments = log.uses().collect();
    let all = KeyRange::From(&[]);
    survey.keys = survey.lost.is_empty().then(|| index.count(all, manifest.current));
    let named: BTreeSet<SegmentId> = manifest.segments.iter().map(|info| info.id).collect();
    let is_other =
        |file: &DiskPath| SegmentId::of_file(file.name()).is_none_or(|id| !named.contains(&id));
    survey.others = disk.list(dir)?.into_iter().filter(is_other).collect();
    Ok(survey)
}

/// What a segment holds, by its keys' file or, if that is damaged, by its data.
fn entries(
    disk: &dyn Disk,
    dir: &DiskPath,
    info: &SegmentInfo,
    survey: &mut Survey,
) -> Vec<KeysEntry> {
    let mut reader = KeysReader::new(dir, info);
    let mut entries = Vec::new();
    let what = loop {
        match reader.next_block(disk) {
            Ok(block) if !block.is_empty() => entries.extend(block),
            Ok(_) if reader.extent() == info.keys => return entries,
            Ok(_) => break Defect::Foreign,
            Err(what) => break what,
        }
    };
    survey.damage.push(Damage::of_keys(info.id, what));
    entries.clear();
    let mut scan = DataScan::new(dir, info);
    loop {
        match scan.next(disk) {
            Ok(Some(scanned)) => entries.push(scanned.into_entry()),
            Ok(None) if scan.extent() == info.data => return entries,
            Ok(None) | Err(_) => {
                survey.lost.push(info.id);
                return Vec::new();
            }
        }
    }
}
