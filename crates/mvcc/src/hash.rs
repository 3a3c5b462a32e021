//! Fingerprints of what a store holds, by which members are compared.
//!
//! Owns the hash function and what goes into it. It is made for speed (some 0.3 ns a byte) and
//! for finding mistakes, not for withstanding an adversary: who can write to a store could
//! construct two that collide.

use quorate_wal::disk::{Disk, MemDisk};

use crate::error::{Error, Failure};
use crate::response::KvHash;
use crate::revision::{LeaseId, Revision};
use crate::revision_log::Record;
use crate::revision_log::damage::Damage;
use crate::store::Store;

impl Store {
    /// Hashes all that a read at or above the last compaction can see of the history up to a
    /// revision, the current one if not given: etcd's HashKV. Walks the whole store.
    ///
    /// # Errors
    /// [`Error::Compacted`] below the last compaction, [`Error::FutureRevision`] above the
    /// current revision.
    pub fn hash_kv(&self, revision: Option<Revision>) -> Result<KvHash, Error> {
        self.hash_of(revision, &MemDisk::new()).map_err(Failure::refusal)
    }

    pub(crate) fn hash_of(
        &self,
        revision: Option<Revision>,
        disk: &dyn Disk,
    ) -> Result<KvHash, Failure> {
        let hash_revision = self.readable_revision(revision, self.revision())?;
        let mut hash = Fingerprint::new();
        self.for_each_kept(hash_revision, disk, |record| hash.record(record))?;
        Ok(KvHash {
            revision: self.revision(),
            hash: hash.value(),
            hash_revision,
            compact_revision: self.compact_revision(),
        })
    }

    /// Visits, oldest first, the changes up to a revision that the last compaction leaves, whether
    /// it was carried out everywhere yet or not.
    pub(crate) fn for_each_kept(
        &self,
        through: Revision,
        disk: &dyn Disk,
        mut visit: impl FnMut(&Record),
    ) -> Result<(), Damage> {
        let is_kept = |record: &Record| self.index.keeps(record, self.compacted);
        let mut walk = self.log.walk(Revision::INITIAL);
        while let Some(record) = walk.next(disk, is_kept)? {
            if record.revision.main > through {
                break;
            }
            if is_kept(&record) {
                visit(&record);
            }
        }
        Ok(())
    }
}

/// A running hash over changes: equal only if the same changes were absorbed in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

/// Odd and without pattern: the fractional digits of the golden ratio and of the square root of 3.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xbb67_ae85_84ca_a73b;

/// What was absorbed, so that no change looks like one of another kind.
#[derive(Clone, Copy)]
enum Kind {
    Put = 1,
    Tombstone = 2,
    Compaction = 3,
}

impl Fingerprint {
    pub(crate) fn new() -> Fingerprint {
        Fingerprint(SEED)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// The running hash that had this value, to go on from.
    pub(crate) fn from_value(value: u64) -> Fingerprint {
        Fingerprint(value)
    }

    /// Absorbs a change of a key.
    pub(crate) fn record(&mut self, record: &Record) {
        let kind = if record.is_tombstone { Kind::Tombstone } else { Kind::Put };
        self.word(kind as u64 | u64::from(record.revision.sub) << 8);
        self.word(record.revision.main.0 as u64);
        self.bytes(&record.kv.key);
        if !record.is_tombstone {
            self.word(record.kv.create_revision.0 as u64);
            self.word(record.kv.version as u64);
            self.word(LeaseId::to_wire(record.kv.lease) as u64);
            self.bytes(&record.kv.value);
        }
    }

    /// Absorbs a compaction.
    pub(crate) fn compaction(&mut self, revision: Revision) {
        self.word(Kind::Compaction as u64);
        self.word(revision.0 as u64);
    }

    /// The length goes first: the bytes of two neighbouring fields cannot trade places.
    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("chunks are of 8 bytes")));
        }
        let mut rest = [0; 8];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(rest));
    }

    /// Folds the 128-bit product into 64, so that each input bit reaches every output bit. The
    /// seed is added each time: a state that once became zero would absorb nothing more.
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        self.0 = ((product as u64) ^ (product >> 64) as u64).wrapping_add(SEED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&[u8]]) -> u64 {
        let mut hash = Fingerprint::new();
        for bytes in words {
            hash.bytes(bytes);
        }
        hash.value()
    }

    #[test]
    fn neighbouring_fields_do_not_run_together() {
        let fields: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""]];
        for (at, one) in fields.iter().enumerate() {
            for other in &fields[at + 1..] {
                assert_ne!(of(one), of(other), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn each_bit_flipped_changes_about_half_of_the_hash() {
        let message = *b"some key and a value of a few words";
        let plain = of(&[&message]);
        for bit in 0..message.len() * 8 {
            let mut flipped = message;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let changed = (of(&[&flipped]) ^ plain).count_ones();
            assert!((12..=52).contains(&changed), "bit {bit} changed {changed} of 64 bits");
        }
    }

    #[test]
    fn padding_is_not_data() {
        assert_ne!(of(&[b"a"]), of(&[b"a\0"]));
        assert_ne!(of(&[b"12345678"]), of(&[b"12345678\0"]));
    }
}
