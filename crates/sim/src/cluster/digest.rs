//! Digests of messages for the trace hash.

use std::hash::Hasher;

use crate::engine::TraceHash;

/// Feeds `#[derive(Hash)]` into the engine's hash, which is the same on every machine and in every
/// process (the standard library's hasher is not promised to be).
pub(crate) struct DigestHasher(TraceHash);

impl DigestHasher {
    pub(crate) fn new() -> DigestHasher {
        DigestHasher(TraceHash::EMPTY)
    }
}

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0.value()
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.0.mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let mut rest = [0; 8];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.0.mix(u64::from_le_bytes(rest));
    }

    fn write_u8(&mut self, number: u8) {
        self.0.mix(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.0.mix(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.0.mix(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.0.mix(number as u64);
    }
}
