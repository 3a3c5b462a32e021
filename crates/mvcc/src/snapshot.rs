//! The store as bytes: what a member that is far behind is sent, and starts from.
//!
//! Owns the encoding, and that no bytes but those of a store become one. It is the whole state at
//! once; the durable store will hand out lists of segments in its place. The encoding is canonical:
//! equal stores have equal bytes, and what was read is written again to the same ones.
//!
//! ```text
//! header    magic "qr-store" · version u32 · bytes in all u64
//! state     current revision i64 · compacted revision i64 · digest u64 · number of records u64
//! record    revision i64 · place in it u32 · kind u8 · key
//!           a put only: creation i64 · version i64 · lease i64 · value
//! checksum  u64, of all before
//! ```
//!
//! Numbers are little-endian, keys and values have their length as a u32 before them. The records
//! are those of the log, in its order: what a compaction dropped is not there, the tombstones that
//! it left are.

use std::fmt;

use bytes::{BufMut, Bytes};
use quorate_wal::disk::MemDisk;

use crate::hash::Fingerprint;
use crate::index::Index;
use crate::maintenance::Maintenance;
use crate::response::KeyValue;
use crate::revision::{ChangeRevision, LeaseId, Revision};
use crate::revision_log::{Record, RevisionLog};
use crate::store::Store;

const MAGIC: &[u8; 8] = b"qr-store";
const VERSION: u32 = 1;

const HEADER_BYTES: usize = 8 + 4 + 8;
const STATE_BYTES: usize = 8 + 8 + 8 + 8;
const CHECKSUM_BYTES: usize = 8;
/// Of a record without key, and of what a put has besides, without its value.
const RECORD_BYTES: usize = 8 + 4 + 1 + 4;
const PUT_BYTES: usize = 8 + 8 + 8 + 4;

const PUT: u8 = 0;
const TOMBSTONE: u8 = 1;

/// Why bytes are no store. Whoever got them from elsewhere has to get them again; nothing of them
/// was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They begin as no snapshot of a store does.
    Foreign,
    /// They are of a version that this program does not know: a newer one has written them.
    Version {
        /// The version that they say.
        found: u32,
    },
    /// There are fewer or more of them than there should be.
    Length {
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Some of them changed.
    Checksum {
        /// What they say.
        stored: u64,
        /// What they give.
        computed: u64,
    },
    /// They are intact, but no store can have written them.
    Incoherent {
        /// Where, in bytes.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Foreign => f.write_str("these bytes are no snapshot of a store"),
            SnapshotError::Version { found } => write!(
                f,
                "the snapshot is of version {found}, but this program reads version {VERSION}: \
                 start one that is at least as new as the one that wrote it"
            ),
            SnapshotError::Length { expected, found } => write!(
                f,
                "the snapshot should have {expected} bytes, but has {found}: it was cut off or put \
                 together wrongly; get it again"
            ),
            SnapshotError::Checksum { stored, computed } => write!(
                f,
                "the snapshot's checksum is {stored:#018x}, but its bytes give {computed:#018x}: it \
                 is damaged; get it again"
            ),
            SnapshotError::Incoherent { at, reason } => {
                write!(f, "the snapshot is intact, but no store wrote it: at byte {at}, {reason}")
            }
        }
    }
}

impl std::error::Error for SnapshotError {}

impl Store {
    /// The whole store as bytes. Takes time and memory in proportion to what it holds.
    pub fn snapshot(&self) -> Bytes {
        let mut records = Vec::new();
        let walked = self.for_each_kept(self.current, &MemDisk::new(), |record| {
            records.push(record.clone());
        });
        walked.expect("a store in memory reads no disk");
        let content: usize = records.iter().map(encoded_len).sum();
        let len = HEADER_BYTES + STATE_BYTES + content + CHECKSUM_BYTES;
        let mut bytes = Vec::with_capacity(len);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u64_le(len as u64);
        bytes.put_i64_le(self.current.0);
        bytes.put_i64_le(self.compacted.0);
        bytes.put_u64_le(self.digest.value());
        bytes.put_u64_le(records.len() as u64);
        for record in &records {
            encode(record, &mut bytes);
        }
        bytes.put_u64_le(Fingerprint::of(&bytes));
        assert_eq!(bytes.len(), len, "the length was foretold");
        Bytes::from(bytes)
    }

    /// The store that [`snapshot`](Store::snapshot) was taken of. It keeps none of `bytes` in
    /// memory.
    ///
    /// # Errors
    /// If they are not such bytes, whatever else they are.
    pub fn from_snapshot(bytes: Bytes) -> Result<Store, SnapshotError> {
        let mut reader = Reader { bytes: checked(&bytes)?, at: HEADER_BYTES };
        let (current, compacted) = (Revision(reader.i64()?), Revision(reader.i64()?));
        if current < Revision::INITIAL {
            return Err(reader.incoherent("no store is below revision 1"));
        }
        if compacted < Revision::NEVER_COMPACTED || compacted > current {
            return Err(reader.incoherent("the compacted revision is none that the store had"));
        }
        let (digest, count) = (Fingerprint::from_value(reader.u64()?), reader.u64()?);
        let (mut index, mut log) = (Index::default(), RevisionLog::default());
        let mut newest = ChangeRevision { main: Revision::INITIAL, sub: u32::MAX };
        for _ in 0..count {
            let at = reader.at;
            let incoherent = |reason| SnapshotError::Incoherent { at, reason };
            let record = reader.record()?;
            if record.revision <= newest {
                return Err(incoherent("a change is not newer than the one before"));
            }
            newest = record.revision;
            index.restore(&record, log.next_location(&record), compacted).map_err(incoherent)?;
            log.push(record);
            log.settle();
        }
        // A compaction keeps the newest change of all, even if it is a tombstone.
        if newest.main != current {
            return Err(reader.incoherent("the current revision is not that of the newest change"));
        }
        if reader.at != reader.bytes.len() {
            return Err(reader.incoherent("something follows the last record"));
        }
        let maintenance = Maintenance::default();
        Ok(Store { index, log, current, compacted, digest, maintenance })
    }
}

/// What the checksum covers, if it is right.
fn checked(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    let Some(behind) = bytes.strip_prefix(MAGIC) else { return Err(SnapshotError::Foreign) };
    let mut header = Reader { bytes: behind, at: 0 };
    let found = bytes.len() as u64;
    let least = (HEADER_BYTES + STATE_BYTES + CHECKSUM_BYTES) as u64;
    let too_short = |_| SnapshotError::Length { expected: least, found };
    let version = header.u32().map_err(too_short)?;
    if version != VERSION {
        return Err(SnapshotError::Version { found: version });
    }
    let expected = header.u64().map_err(too_short)?;
    if expected != found || found < least {
        return Err(SnapshotError::Length { expected: expected.max(least), found });
    }
    let (covered, stored) =
        bytes.split_last_chunk().expect("a length that was checked has room for a checksum");
    let (stored, computed) = (u64::from_le_bytes(*stored), Fingerprint::of(covered));
    if stored != computed {
        return Err(SnapshotError::Checksum { stored, computed });
    }
    Ok(covered)
}

fn encoded_len(record: &Record) -> usize {
    let put = if record.is_tombstone { 0 } else { PUT_BYTES + record.kv.value.len() };
    RECORD_BYTES + record.kv.key.len() + put
}

fn encode(record: &Record, bytes: &mut Vec<u8>) {
    let Record { revision, is_tombstone, ref kv } = *record;
    bytes.put_i64_le(revision.main.0);
    bytes.put_u32_le(revision.sub);
    bytes.put_u8(if is_tombstone { TOMBSTONE } else { PUT });
    put_bytes(bytes, &kv.key);
    if !is_tombstone {
        bytes.put_i64_le(kv.create_revision.0);
        bytes.put_i64_le(kv.version);
        bytes.put_i64_le(LeaseId::to_wire(kv.lease));
        put_bytes(bytes, &kv.value);
    }
}

fn put_bytes(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.put_u32_le(u32::try_from(field.len()).expect("a key or value is far below 4 GiB"));
    bytes.put_slice(field);
}

/// What is still to be read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn incoherent(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::Incoherent { at: self.at, reason }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let Some(taken) = self.bytes[self.at..].get(..len) else {
            return Err(self.incoherent("a field goes on beyond the end"));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let taken = self.take(N)?;
        Ok(*taken.first_chunk().expect("as many bytes were taken"))
    }

    fn u32(&mut self) -> Result<u32, SnapshotError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, SnapshotError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A key or value, copied: a slice would keep alive the whole snapshot.
    fn field(&mut self) -> Result<Bytes, SnapshotError> {
        let len = self.u32()?;
        Ok(Bytes::copy_from_slice(self.take(len as usize)?))
    }

    fn record(&mut self) -> Result<Record, SnapshotError> {
        let revision = ChangeRevision { main: Revision(self.i64()?), sub: self.u32()? };
        let [kind] = self.array()?;
        let key = self.field()?;
        let mut kv = KeyValue { key, mod_revision: revision.main, ..KeyValue::default() };
        let is_tombstone = match kind {
            TOMBSTONE => true,
            PUT => {
                kv.create_revision = Revision(self.i64()?);
                kv.version = self.i64()?;
                kv.lease = LeaseId::from_wire(self.i64()?);
                kv.value = self.field()?;
                false
            }
            _ => return Err(self.incoherent("a change is neither a put nor a tombstone")),
        };
        Ok(Record { revision, is_tombstone, kv })
    }
}

#[cfg(test)]
mod tests;
