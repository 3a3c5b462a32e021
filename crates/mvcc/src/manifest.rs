//! The manifest of a checkpoint: which files, and how much of each, are the store at one moment.
//!
//! Owns its encoding. It is the whole of what a member keeps in its snapshots and sends to one that
//! is far behind, and grows with the number of segments only. Equal manifests have equal bytes.
//!
//! ```text
//! header    magic "qr-manif" · version u32 · length in all u32
//! state     current revision i64 · compacted revision i64 · digest u64
//! segments  number u32, and for each: name u64 · number of records u64
//!           first revision i64 · place in it u32 · last revision i64 · place in it u32
//!           cleaned at revision i64
//!           length of its data u64 · checksum u32 · length of its keys u64 · checksum u32
//! checksum  u32, CRC-32C of all before
//! ```
//!
//! Numbers are little-endian.

use bytes::{Buf, BufMut, Bytes};

use crate::revision::{ChangeRevision, Revision};
use crate::revision_log::segment::{Extent, SegmentId, SegmentInfo};

const MAGIC: &[u8; 8] = b"qr-manif";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 8 + 4 + 4 + 24 + 4 + 4;
const SEGMENT_BYTES: usize = 8 + 8 + 12 + 12 + 8 + 12 + 12;

/// What a store is, as files: see the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The store's revision.
    pub current: Revision,
    /// Its last compaction, or [`Revision::NEVER_COMPACTED`].
    pub compacted: Revision,
    /// Its [digest](crate::Store::digest).
    pub digest: u64,
    /// Oldest first. The last one may have been appended to since.
    pub segments: Vec<SegmentInfo>,
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// They begin as no manifest does.
    #[error("these bytes are no manifest of a store")]
    Foreign,
    /// They are of a version that this program does not know: a newer one has written them.
    #[error(
        "the manifest is of version {found}, but this program reads version 1: start one that is at \
         least as new as the one that wrote it"
    )]
    Version {
        /// The version that they say.
        found: u32,
    },
    /// There are fewer or more of them than there should be, or some of them changed.
    #[error("the manifest is damaged: {0}; an older snapshot, or a peer, has another one")]
    Damaged(&'static str),
    /// They are intact, but no store can have written them.
    #[error("the manifest is intact, but no store wrote it: {0}")]
    Incoherent(&'static str),
}

impl Manifest {
    /// How many bytes of data and keys it names.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.data.len + segment.keys.len).sum()
    }

    /// The manifest as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let len = FIXED_BYTES + self.segments.len() * SEGMENT_BYTES;
        let mut bytes = Vec::with_capacity(len);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u32_le(u32::try_from(len).expect("a manifest is far below 4 GiB"));
        bytes.put_i64_le(self.current.0);
        bytes.put_i64_le(self.compacted.0);
        bytes.put_u64_le(self.digest);
        bytes.put_u32_le(self.segments.len() as u32);
        for segment in &self.segments {
            bytes.put_u64_le(segment.id.0);
            bytes.put_u64_le(segment.records);
            for change in [segment.first, segment.last] {
                bytes.put_i64_le(change.main.0);
                bytes.put_u32_le(change.sub);
            }
            bytes.put_i64_le(segment.cleaned.0);
            for file in [segment.data, segment.keys] {
                bytes.put_u64_le(file.len);
                bytes.put_u32_le(file.crc);
            }
        }
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        assert_eq!(bytes.len(), len, "the length was foretold");
        Bytes::from(bytes)
    }

    /// The manifest that [`encode`](Self::encode) made bytes of.
    ///
    /// # Errors
    /// If they are not such bytes, whatever else they are.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Err(ManifestError::Foreign) };
        if bytes.len() < FIXED_BYTES {
            return Err(ManifestError::Damaged("it was cut off"));
        }
        let found = rest.get_u32_le();
        if found != VERSION {
            return Err(ManifestError::Version { found });
        }
        if rest.get_u32_le() as usize != bytes.len() {
            return Err(ManifestError::Damaged("its length is not the one that it says"));
        }
        let (covered, stored) = bytes.split_last_chunk().expect("its length was checked");
        if crc32c::crc32c(covered) != u32::from_le_bytes(*stored) {
            return Err(ManifestError::Damaged("its checksum differs from that of its bytes"));
        }
        let (current, compacted) = (Revision(rest.get_i64_le()), Revision(rest.get_i64_le()));
        let (digest, count) = (rest.get_u64_le(), rest.get_u32_le() as usize);
        if rest.len() != count * SEGMENT_BYTES + 4 {
            return Err(ManifestError::Incoherent(
                "the number of segments is not that of its bytes",
            ));
        }
        let segments = (0..count).map(|_| decode_segment(&mut rest)).collect();
        let manifest = Manifest { current, compacted, digest, segments };
        manifest.check().map_err(ManifestError::Incoherent)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.current < Revision::INITIAL {
            return Err("no store is below revision 1");
        }
        if self.compacted < Revision::NEVER_COMPACTED || self.compacted > self.current {
            return Err("the compacted revision is none that the store had");
        }
        let mut newest = ChangeRevision { main: Revision::INITIAL, sub: u32::MAX };
        let mut ids: Vec<SegmentId> = Vec::with_capacity(self.segments.len());
        for segment in &self.segments {
            if segment.records == 0 || segment.data.len == 0 || segment.keys.len == 0 {
                return Err("a segment has nothing in it");
            }
            if u32::try_from(segment.data.len).is_err() {
                return Err("a segment is beyond 4 GiB");
            }
            if segment.first <= newest || segment.last < segment.first {
                return Err("a segment is not newer than the one before");
            }
            newest = segment.last;
            ids.push(segment.id);
        }
        if newest.main > self.current {
            return Err("a segment is newer than the store");
        }
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a segment is named twice");
        }
        Ok(())
    }
}

fn decode_segment(bytes: &mut &[u8]) -> SegmentInfo {
    let (id, records) = (SegmentId(bytes.get_u64_le()), bytes.get_u64_le());
    let mut change =
        || ChangeRevision { main: Revision(bytes.get_i64_le()), sub: bytes.get_u32_le() };
    let (first, last) = (change(), change());
    let cleaned = Revision(bytes.get_i64_le());
    let mut file = || Extent { len: bytes.get_u64_le(), crc: bytes.get_u32_le() };
    let (data, keys) = (file(), file());
    SegmentInfo { id, first, last, cleaned, records, data, keys }
}
