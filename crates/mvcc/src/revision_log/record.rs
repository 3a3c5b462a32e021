//! One change of one key, and its bytes on the disk.
//!
//! Owns the encoding of records and of the frames around them. Never touches a disk.
//!
//! ```text
//! frame    checksum of the header u32 · checksum of the body u32 · length of the body u32 · body
//! body     revision i64 · place in it u32 · kind u8 · length of the key u32 · creation i64
//!          a put only: version i64 · lease i64
//!          key · a put only: value, up to the end
//! ```
//!
//! Numbers are little-endian, checksums CRC-32C. The header's also covers what the frame does not
//! hold: the [seed](Seed) of its segment, and its offset there. So a frame that a disk wrote to,
//! or read from, another place is not taken for the one that belongs there. The body has nothing
//! of where it lies, and is the same at every member.

use bytes::{Buf, BufMut, Bytes};

use super::segment::Seed;
use crate::response::KeyValue;
use crate::revision::{ChangeRevision, LeaseId, Revision};

pub(crate) const HEADER_BYTES: usize = 12;
const TOMBSTONE_BYTES: usize = 8 + 4 + 1 + 4 + 8;
const PUT_BYTES: usize = TOMBSTONE_BYTES + 8 + 8;

const PUT: u8 = 0;
const TOMBSTONE: u8 = 1;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) revision: ChangeRevision,
    /// The change deleted the key: of `kv`, only the key, its mod revision, and the creation of the
    /// generation that ended mean something.
    pub(crate) is_tombstone: bool,
    /// The key as the change left it.
    pub(crate) kv: KeyValue,
}

impl Record {
    /// How long the record's body is, in bytes, if its value has a length: that of the record
    /// itself may have been left out.
    pub(crate) fn body_len_with(&self, value_len: usize) -> usize {
        let fixed = if self.is_tombstone { TOMBSTONE_BYTES } else { PUT_BYTES + value_len };
        fixed + self.kv.key.len()
    }

    /// How long the record's frame is, in bytes.
    ///
    /// # Panics
    /// If it is beyond 4 GiB, which no request is.
    pub(crate) fn frame_len(&self) -> u32 {
        let len = HEADER_BYTES + self.body_len_with(self.kv.value.len());
        u32::try_from(len).expect("a record is far below 4 GiB")
    }

    pub(crate) fn encode_body(&self, bytes: &mut Vec<u8>) {
        let Record { revision, is_tombstone, ref kv } = *self;
        bytes.put_i64_le(revision.main.0);
        bytes.put_u32_le(revision.sub);
        bytes.put_u8(if is_tombstone { TOMBSTONE } else { PUT });
        bytes.put_u32_le(kv.key.len() as u32);
        bytes.put_i64_le(kv.create_revision.0);
        if !is_tombstone {
            bytes.put_i64_le(kv.version);
            bytes.put_i64_le(LeaseId::to_wire(kv.lease));
        }
        bytes.put_slice(&kv.key);
        if !is_tombstone {
            bytes.put_slice(&kv.value);
        }
    }

    /// The record that a body encodes, `None` if it encodes none. Key and value share its memory.
    pub(crate) fn decode_body(body: &Bytes) -> Option<Record> {
        let mut rest = body.clone();
        if rest.len() < TOMBSTONE_BYTES {
            return None;
        }
        let revision = ChangeRevision { main: Revision(rest.get_i64_le()), sub: rest.get_u32_le() };
        let is_tombstone = match rest.get_u8() {
            PUT => false,
            TOMBSTONE => true,
            _ => return None,
        };
        let key_len = rest.get_u32_le() as usize;
        let create_revision = Revision(rest.get_i64_le());
        let mut kv =
            KeyValue { create_revision, mod_revision: revision.main, ..KeyValue::default() };
        if !is_tombstone {
            if rest.len() < PUT_BYTES - TOMBSTONE_BYTES {
                return None;
            }
            kv.version = rest.get_i64_le();
            kv.lease = LeaseId::from_wire(rest.get_i64_le());
        }
        if key_len > rest.len() || (is_tombstone && key_len < rest.len()) {
            return None;
        }
        kv.key = rest.split_to(key_len);
        kv.value = rest;
        Some(Record { revision, is_tombstone, kv })
    }
}

/// The header of a record's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_crc: u32,
    pub(crate) body_len: u32,
}

impl FrameHeader {
    /// How long the whole frame is, in bytes.
    pub(crate) fn frame_len(self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_len)
    }

    /// The header's bytes in a segment, at an offset of its data.
    pub(crate) fn encode(self, seed: Seed, offset: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&self.checksum(seed, offset).to_le_bytes());
        header[4..8].copy_from_slice(&self.body_crc.to_le_bytes());
        header[8..].copy_from_slice(&self.body_len.to_le_bytes());
        header
    }

    /// The header that lies at an offset of a segment's data; `None` if what
    /// lies there is no header, or that of another place.
    pub(crate) fn decode(bytes: &[u8], seed: Seed, offset: u32) -> Option<FrameHeader> {
        let mut bytes = bytes.get(..HEADER_BYTES)?;
        let stored = bytes.get_u32_le();
        let header = FrameHeader { body_crc: bytes.get_u32_le(), body_len: bytes.get_u32_le() };
        (header.checksum(seed, offset) == stored).then_some(header)
    }

    fn checksum(self, seed: Seed, offset: u32) -> u32 {
        let mut covered = [0; Seed::BYTES + 12];
        covered[..Seed::BYTES].copy_from_slice(&seed.to_bytes());
        let (place, own) = covered[Seed::BYTES..].split_at_mut(4);
        place.copy_from_slice(&offset.to_le_bytes());
        own[..4].copy_from_slice(&self.body_crc.to_le_bytes());
        own[4..].copy_from_slice(&self.body_len.to_le_bytes());
        crc32c::crc32c(&covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static [u8], value: &'static [u8]) -> Record {
        let revision = ChangeRevision { main: Revision(9), sub: 3 };
        let kv = KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: Revision(4),
            mod_revision: Revision(9),
            version: 2,
            lease: LeaseId::from_wire(-7),
        };
        Record { revision, is_tombstone: false, kv }
    }

    fn tombstone() -> Record {
        let revision = ChangeRevision { main: Revision(11), sub: 0 };
        let kv = KeyValue {
            key: "gone".into(),
            create_revision: Revision(4),
            mod_revision: revision.main,
            ..KeyValue::default()
        };
        Record { revision, is_tombstone: true, kv }
    }

    #[test]
    fn records_come_back_as_they_were_and_no_shorter_bytes_are_one() {
        for record in [put(b"k", b"value"), put(b"k", b""), tombstone()] {
            let mut body = Vec::new();
            record.encode_body(&mut body);
            assert_eq!(body.len() + HEADER_BYTES, record.frame_len() as usize);
            assert_eq!(Record::decode_body(&Bytes::from(body.clone())), Some(record.clone()));
            let fixed = body.len() - record.kv.value.len();
            for cut in 0..fixed {
                let cut = Bytes::copy_from_slice(&body[..cut]);
                assert_eq!(Record::decode_body(&cut), None);
            }
        }
        let mut body = Vec::new();
        tombstone().encode_body(&mut body);
        body.push(0);
        assert_eq!(Record::decode_body(&Bytes::from(body)), None, "a tombstone has no value");
    }

    #[test]
    fn a_frame_is_valid_in_its_own_place_only() {
        let first = ChangeRevision { main: Revision(5), sub: 1 };
        let seed = Seed { first, cleaned: Revision(-1) };
        let header = FrameHeader { body_crc: 77, body_len: 1000 };
        let bytes = header.encode(seed, 4096);
        assert_eq!(FrameHeader::decode(&bytes, seed, 4096), Some(header));
        assert_eq!(FrameHeader::decode(&bytes, seed, 4097), None);
        let later = ChangeRevision { main: Revision(5), sub: 2 };
        for other in [Seed { first: later, ..seed }, Seed { cleaned: Revision(4), ..seed }] {
            assert_eq!(FrameHeader::decode(&bytes, other, 4096), None);
        }
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&flipped, seed, 4096), None, "bit {bit}");
        }
        assert_eq!(FrameHeader::decode(&[0; HEADER_BYTES], seed, 0), None, "zeros are no frame");
    }
}
