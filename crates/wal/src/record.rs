//! One frame: a record behind its length field, checksummed in a chain. The format is etcd's.
//!
//! ```text
//! 0        8                                          8 + n      multiple of 8
//! ├────────┼──────────────────────────────────────────┼─────────┤
//! │ length │ walpb.Record { type, crc, data }, n bytes │ zeros   │
//! └────────┴──────────────────────────────────────────┴─────────┘
//! length: little-endian; the low 56 bits are n; with padding, the top byte is 0x80 | its length
//! ```
//!
//! The checksum is CRC-32C over the data of all records since the chain began, this one included.
//! It covers data only: neither length, type nor padding. Our [seals](seal) cover those.
//!
//! # Seals
//! Each batch that is synced ends with a record of type 4 (checksum), which etcd's readers take
//! for what it is: the chain's value, restated. Its data, which they do not look at, is the
//! checksum of the batch's frames as raw bytes, where they begin, and which segment they are in.
//! So a seal tells where syncs were: whatever lies before a sealed batch was durable when that
//! batch was written. It also says what the log comes to with this batch, so that damage before
//! it makes nobody forget a vote.

pub(crate) mod seal;

use bytes::{BufMut, BytesMut};

/// Bytes of the length field, and the alignment of frames.
pub(crate) const LENGTH_BYTES: usize = 8;

/// What a record holds, with the numbers of etcd's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordType {
    Metadata = 1,
    Entry = 2,
    State = 3,
    Checksum = 4,
    Snapshot = 5,
}

impl RecordType {
    pub(crate) fn from_number(number: u64) -> Option<RecordType> {
        Some(match number {
            1 => RecordType::Metadata,
            2 => RecordType::Entry,
            3 => RecordType::State,
            4 => RecordType::Checksum,
            5 => RecordType::Snapshot,
            _ => return None,
        })
    }
}

// The fields of walpb.Record as protobuf keys.
const TYPE_KEY: u8 = 1 << 3;
const CRC_KEY: u8 = 2 << 3;
const DATA_KEY: u8 = 3 << 3 | 2;

/// A few small fields, gathered on the stack so that a buffer is appended to once for all of them.
pub(crate) struct Fields {
    bytes: [u8; 48],
    len: usize,
}

impl Fields {
    pub(crate) fn new() -> Fields {
        Fields { bytes: [0; 48], len: 0 }
    }

    pub(crate) fn byte(mut self, byte: u8) -> Fields {
        self.bytes[self.len] = byte;
        self.len += 1;
        self
    }

    pub(crate) fn varint(mut self, mut value: u64) -> Fields {
        while value >= 0x80 {
            self = self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8)
    }

    fn length(mut self, field: u64) -> Fields {
        self.bytes[self.len..self.len + LENGTH_BYTES].copy_from_slice(&field.to_le_bytes());
        self.len += LENGTH_BYTES;
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Appends a frame whose data is `head` followed by `payload`, and advances the chain.
///
/// In two parts so that an entry's payload is copied once, to where it is written from.
pub(crate) fn put(
    buffer: &mut BytesMut,
    chain: &mut u32,
    kind: RecordType,
    head: &[u8],
    payload: &[u8],
) {
    *chain = crc32c::crc32c_append(crc32c::crc32c_append(*chain, head), payload);
    put_frame(buffer, kind, *chain, head, payload);
}

/// Appends the record that begins a segment: the chain's value, without data.
pub(crate) fn put_chain(buffer: &mut BytesMut, chain: u32) {
    let record_len = 2 + 1 + varint_len(u64::from(chain));
    let fields = frame_head(record_len, RecordType::Checksum, chain);
    buffer.put_slice(fields.as_bytes());
    buffer.put_slice(padding(record_len));
}

fn put_frame(buffer: &mut BytesMut, kind: RecordType, crc: u32, head: &[u8], payload: &[u8]) {
    let data_len = head.len() + payload.len();
    let record_len =
        2 + 1 + varint_len(u64::from(crc)) + 1 + varint_len(data_len as u64) + data_len;
    let fields = frame_head(record_len, kind, crc).byte(DATA_KEY).varint(data_len as u64);
    buffer.reserve(frame_len(record_len));
    buffer.put_slice(fields.as_bytes());
    buffer.put_slice(head);
    buffer.put_slice(payload);
    buffer.put_slice(padding(record_len));
}

/// A frame up to its record's data.
fn frame_head(record_len: usize, kind: RecordType, crc: u32) -> Fields {
    Fields::new()
        .length(length_field(record_len))
        .byte(TYPE_KEY)
        .byte(kind as u8)
        .byte(CRC_KEY)
        .varint(u64::from(crc))
}

fn length_field(record_len: usize) -> u64 {
    let field = record_len as u64;
    assert!(field >> 56 == 0, "a record of {field} bytes has no length field");
    match padding(record_len).len() as u64 {
        0 => field,
        padding => field | (0x80 | padding) << 56,
    }
}

fn padding(record_len: usize) -> &'static [u8] {
    &[0; LENGTH_BYTES][..record_len.wrapping_neg() % LENGTH_BYTES]
}

/// Bytes that a record of `record_len` bytes takes with its length field and padding.
pub(crate) fn frame_len(record_len: usize) -> usize {
    LENGTH_BYTES + record_len.next_multiple_of(LENGTH_BYTES)
}

/// The record size that a length field says, if it can be one that was written.
pub(crate) fn record_len(field: u64) -> Option<usize> {
    let len = usize::try_from(field & ((1 << 56) - 1)).ok()?;
    // The smallest record has a type and a checksum.
    ((4..usize::MAX / 2).contains(&len) && length_field(len) == field).then_some(len)
}

/// A record's fields and where its data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u64,
    pub(crate) crc: u32,
    /// The data's place in what was parsed.
    pub(crate) data: Option<std::ops::Range<usize>>,
    /// The record's size.
    pub(crate) len: usize,
}

/// Reads the record at the start of `bytes`, which may go on behind it. None if there is none:
/// fields missing, out of order, or longer than the bytes.
pub(crate) fn parse(bytes: &[u8]) -> Option<Record> {
    let mut at = 0;
    let key = |at: &mut usize, key: u8| {
        let is = bytes.get(*at) == Some(&key);
        *at += usize::from(is);
        is
    };
    if !key(&mut at, TYPE_KEY) {
        return None;
    }
    let kind = varint(bytes, &mut at)?;
    if !key(&mut at, CRC_KEY) {
        return None;
    }
    let crc = u32::try_from(varint(bytes, &mut at)?).ok()?;
    let data = if key(&mut at, DATA_KEY) {
        let len = usize::try_from(varint(bytes, &mut at)?).ok()?;
        let end = at.checked_add(len).filter(|end| *end <= bytes.len())?;
        let start = std::mem::replace(&mut at, end);
        Some(start..end)
    } else {
        None
    };
    Some(Record { kind, crc, data, len: at })
}

impl Record {
    /// What the checksum should be behind `chain`.
    pub(crate) fn checksum(&self, chain: u32, bytes: &[u8]) -> u32 {
        match &self.data {
            // etcd's readers take no notice of a checksum record's data.
            Some(data) if self.kind != RecordType::Checksum as u64 => {
                crc32c::crc32c_append(chain, &bytes[data.clone()])
            }
            _ => chain,
        }
    }
}

fn varint_len(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

/// Reads a varint as prost and gogo write it: never longer than needed.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut rest = bytes.get(*at..)?;
    let before = rest.len();
    let value = prost::encoding::decode_varint(&mut rest).ok()?;
    let read = before - rest.len();
    *at += read;
    (read == varint_len(value)).then_some(value)
}
