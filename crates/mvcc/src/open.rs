//! Opening a store: from a manifest, and the keys' files that it names.
//!
//! Owns that what is opened is what the manifest says, in every byte that was read. Reads no value:
//! a keys' file says everything else, and its checksum is in the manifest. One that is damaged is
//! written anew from its data. What lies beyond the manifest's lengths is cut off: it was written
//! after the checkpoint, and its changes are applied again.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_wal::disk::{Disk, DiskError, DiskPath};

use crate::hash::Fingerprint;
use crate::index::Index;
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::revision::ChangeRevision;
use crate::revision_log::damage::Defect;
use crate::revision_log::keys::{KeysEntry, KeysReader, check_keys};
use crate::revision_log::segment::{Segment, SegmentId, SegmentInfo};
use crate::revision_log::{Location, Place, RevisionLog, Slot, rebuild_keys};
use crate::store::Store;

/// What opening a store had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Segments whose keys' file was damaged and is written anew.
    pub rebuilt: Vec<SegmentId>,
    /// Segments whose data is gone, all of it or its end. Its file is there again, with nothing in
    /// it, so that what was there can be repaired.
    pub emptied: Vec<SegmentId>,
}

/// Why a store cannot be opened. Nothing was lost by trying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A keys' file and the data from which it would be written anew are both damaged: it is not
    /// known any more which keys there are.
    #[error(
        "segment {segment} of the store is damaged twice: its keys' file at byte {keys_at} ({keys}), \
         and its data at byte {data_at} ({data}); restore the member from its peers"
    )]
    Lost {
        /// The segment.
        segment: SegmentId,
        /// Where in its keys' file.
        keys_at: u64,
        /// What is wrong there.
        keys: Defect,
        /// Where in its data.
        data_at: u64,
        /// What is wrong there.
        data: Defect,
    },
    /// The files are intact, but no store can have written them.
    #[error("segment {segment} of the store is intact, but no store wrote it: {reason}")]
    Incoherent {
        /// The segment.
        segment: SegmentId,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Store {
    /// Opens the store in a directory, which is created if only its parent exists. Without a
    /// manifest it is an empty one, whatever files are there; those stay until
    /// [`retain`](Store::retain). What it changes is durable on return.
    ///
    /// # Errors
    /// If the files are not what the manifest says and cannot be repaired from each other.
    pub fn open(
        disk: &mut dyn Disk,
        dir: &DiskPath,
        manifest: Option<&Manifest>,
        options: StoreOptions,
    ) -> Result<(Store, Opened), OpenError> {
        let limit = StoreOptions::MAX_SEGMENT_BYTES;
        assert!(options.segment_bytes <= limit, "a segment has at most {limit} bytes");
        if let Some(parent) = dir.parent_dir() {
            disk.create_dir(dir)?;
            disk.sync_dir(&parent)?;
        }
        let place = Place { dir: dir.clone(), options };
        Store::open_at(disk, place, manifest, SegmentId::default())
    }

    /// `unused` and what follows it was never the name of a segment, whatever the disk says.
    fn open_at(
        disk: &mut dyn Disk,
        place: Place,
        manifest: Option<&Manifest>,
        unused: SegmentId,
    ) -> Result<(Store, Opened), OpenError> {
        let dir = &place.dir.clone();
        let (mut files, mut newest) = (BTreeSet::new(), SegmentId::default());
        for file in disk.list(dir)? {
            newest = newest.max(SegmentId::of_file(file.name()).unwrap_or_default());
            files.insert(file);
        }
        let named = manifest.iter().flat_map(|manifest| &manifest.segments).map(|info| info.id);
        let newest = named.fold(newest, SegmentId::max);
        let mut log = RevisionLog::new(Some(place), newest.next().max(unused));
        log.files = files;
        let mut opened = Opened::default();
        let empty = Store::with_log(log);
        let store = match manifest {
            Some(manifest) => {
                let mut loading = Loading { disk, dir, manifest, opened: &mut opened };
                loading.run(empty)?
            }
            None => empty,
        };
        disk.sync_dir(dir)?;
        Ok((store, opened))
    }

    /// Becomes the store that a manifest names, whose files are all here and durable: one that was
    /// [received](Store::receive). Writes nothing.
    ///
    /// # Errors
    /// If the files are not what the manifest says. The store is as it was then.
    ///
    /// # Panics
    /// If the store is all in memory.
    pub fn replace(&mut self, manifest: &Manifest, disk: &dyn Disk) -> Result<(), OpenError> {
        let place = self.log.place.clone().expect("a store in memory is not replaced");
        // What was not created yet has a name all the same: what is arriving, for instance.
        let unused = self.log.unused_id();
        let (store, _) = Store::open_at(&mut ReadOnly(disk), place, Some(manifest), unused)?;
        *self = store;
        Ok(())
    }
}

/// A disk on which nothing changes. What exists already is created, and what is durable synced,
/// without anything to do; whoever wants more than that meets an error.
struct ReadOnly<'a>(&'a dyn Disk);

impl ReadOnly<'_> {
    fn refuse(path: &DiskPath) -> Result<(), DiskError> {
        let message = "the store is only read here".to_owned();
        Err(DiskError::Io { path: path.clone(), operation: "change", message })
    }
}

impl Disk for ReadOnly<'_> {
    fn list(&self, dir: &DiskPath) -> Result<Vec<DiskPath>, DiskError> {
        self.0.list(dir)
    }

    fn len(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.0.len(file)
    }

    fn data_end(&self, file: &DiskPath) -> Result<u64, DiskError> {
        self.0.data_end(file)
    }

    fn read(&self, file: &DiskPath, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.0.read(file, offset, len)
    }

    fn create_dir(&mut self, _: &DiskPath) -> Result<(), DiskError> {
        Ok(())
    }

    fn create(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        ReadOnly::refuse(file)
    }

    fn set_len(&mut self, file: &DiskPath, _: u64) -> Result<(), DiskError> {
        ReadOnly::refuse(file)
    }

    fn write(&mut self, file: &DiskPath, _: u64, _: &[u8]) -> Result<(), DiskError> {
        ReadOnly::refuse(file)
    }

    fn sync(&mut self, _: &DiskPath) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&mut self, _: &DiskPath) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&mut self, from: &DiskPath, _: &DiskPath) -> Result<(), DiskError> {
        ReadOnly::refuse(from)
    }

    fn remove(&mut self, file: &DiskPath) -> Result<(), DiskError> {
        ReadOnly::refuse(file)
    }
}

/// A store that is being opened.
struct Loading<'a> {
    disk: &'a mut dyn Disk,
    dir: &'a DiskPath,
    manifest: &'a Manifest,
    opened: &'a mut Opened,
}

impl Loading<'_> {
    fn run(&mut self, mut empty: Store) -> Result<Store, OpenError> {
        let mut segments = self.manifest.segments.clone();
        let mut store = empty.clone();
        if self.load_all(&segments, &mut store).is_err() {
            // Something is damaged: each file is looked at by itself, and then all is loaded anew.
            for info in &mut segments {
                *info = self.with_intact_keys(*info, &mut empty.log)?;
            }
            store = empty;
            self.load_all(&segments, &mut store)?;
        }
        for info in &segments {
            self.fill_up(info, &mut store.log)?;
        }
        if let Some(last) = segments.last() {
            self.cut_off(last)?;
            store.log.resume_tail();
            store.resume_work();
        }
        Ok(store)
    }

    fn load_all(&mut self, segments: &[SegmentInfo], store: &mut Store) -> Result<(), OpenError> {
        store.current = self.manifest.current;
        store.compacted = self.manifest.compacted;
        store.digest = Fingerprint::from_value(self.manifest.digest);
        for info in segments {
            let slot = store.log.restore(Segment::restored(*info));
            self.load(slot, info, &mut store.index, &mut store.log)?;
        }
        Ok(())
    }

    /// The segment as it is once its keys' file is sound.
    fn with_intact_keys(
        &mut self,
        info: SegmentInfo,
        log: &mut RevisionLog,
    ) -> Result<SegmentInfo, OpenError> {
        let looked = self.check_or_rebuild(info, log);
        if !matches!(looked, Err(OpenError::Lost { .. })) {
            return looked;
        }
        // Before a person has to see to it: a read that went to another place was of nothing that
        // is damaged, and goes to the right one the next time.
        self.check_or_rebuild(info, log)
    }

    fn check_or_rebuild(
        &mut self,
        info: SegmentInfo,
        log: &mut RevisionLog,
    ) -> Result<SegmentInfo, OpenError> {
        match check_keys(self.dir, &info, self.disk) {
            Ok(()) => {
                self.opened.read_bytes += info.keys.len;
                Ok(info)
            }
            Err(defect) => self.rebuild(info, defect, log),
        }
    }

    /// Enters a segment's records into the index.
    fn load(
        &mut self,
        slot: Slot,
        info: &SegmentInfo,
        index: &mut Index,
        log: &mut RevisionLog,
    ) -> Result<(), OpenError> {
        let incoherent = |reason| OpenError::Incoherent { segment: info.id, reason };
        let mut reader = KeysReader::new(self.dir, info);
        let mut newest: Option<ChangeRevision> = None;
        let (mut records, mut end) = (0, 0);
        loop {
            let block = reader.next_block(self.disk);
            let block = block.map_err(|_| incoherent("its keys' file cannot be read"))?;
            if block.is_empty() {
                break;
            }
            for entry in block {
                let KeysEntry { record, offset, frame_len, .. } = &entry;
                let is_newer = match newest {
                    Some(newest) => newest < record.revision,
                    None => info.first == record.revision,
                };
                if !is_newer {
                    return Err(incoherent("a change is not newer than the one before"));
                }
                newest = Some(record.revision);
                (records, end) = (records + 1, u64::from(entry.end()));
                let location = Location::new(slot, *offset, *frame_len);
                index
                    .load(record, location, self.manifest.compacted, |dead| log.note_dead(dead))
                    .map_err(incoherent)?;
            }
        }
        self.opened.read_bytes += info.keys.len;
        if reader.extent() != info.keys {
            return Err(incoherent("its keys' file is not the one that the manifest names"));
        }
        if newest != Some(info.last) || records != info.records || end != info.data.len {
            return Err(incoherent("its records are not those that the manifest names"));
        }
        Ok(())
    }

    /// Sees to it that a segment's data has its length.
    fn fill_up(&mut self, info: &SegmentInfo, log: &mut RevisionLog) -> Result<(), OpenError> {
        let file = info.id.data_file(self.dir);
        match self.disk.len(&file) {
            Ok(len) if len >= info.data.len => return Ok(()),
            Ok(_) => {}
            Err(DiskError::NotFound { .. }) => {
                self.disk.create(&file)?;
                log.files.insert(file.clone());
            }
            Err(error) => return Err(error.into()),
        }
        self.disk.set_len(&file, info.data.len)?;
        self.disk.sync(&file)?;
        self.opened.emptied.push(info.id);
        Ok(())
    }

    /// Cuts off what was written to the last segment after the checkpoint.
    fn cut_off(&mut self, last: &SegmentInfo) -> Result<(), OpenError> {
        let data = (last.id.data_file(self.dir), last.data.len);
        let keys = (last.id.keys_file(self.dir), last.keys.len);
        for (file, len) in [data, keys] {
            // A file that is missing or too short is damaged, which shows when it is read.
            if self.disk.len(&file).is_ok_and(|found| found > len) {
                self.disk.set_len(&file, len)?;
                self.disk.sync(&file)?;
            }
        }
        Ok(())
    }

    /// Writes a keys' file anew from the data. The one that is there stays until then: there may be
    /// no room for another one, and perhaps it was only read wrongly.
    fn rebuild(
        &mut self,
        info: SegmentInfo,
        (keys_at, keys): (u64, Defect),
        log: &mut RevisionLog,
    ) -> Result<SegmentInfo, OpenError> {
        let segment = info.id;
        let lost = |(data_at, data)| OpenError::Lost { segment, keys_at, keys, data_at, data };
        let (info, bytes) = rebuild_keys(self.dir, &info, self.disk).map_err(lost)?;
        self.opened.read_bytes += info.data.len;
        let (new, file) = (segment.new_keys_file(self.dir), segment.keys_file(self.dir));
        match self.disk.create(&new) {
            Err(DiskError::AlreadyExists { .. }) => self.disk.set_len(&new, 0)?,
            created => created?,
        }
        self.disk.write(&new, 0, &bytes)?;
        self.disk.sync(&new)?;
        self.disk.rename(&new, &file)?;
        log.files.remove(&new);
        log.files.insert(file);
        self.opened.rebuilt.push(segment);
        Ok(info)
    }
}
