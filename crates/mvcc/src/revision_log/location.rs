//! Where a record lies, in eight bytes: the index holds one for each change.
//!
//! Owns the packing. Besides segment and offset it has the record's size, rounded up to within one
//! part in 128, so that a record is read at once and a dropped one is accounted for without being
//! read.

use std::fmt;

const SLOT_BITS: u32 = 20;
const OFFSET_BITS: u32 = 32;
const SIZE_BITS: u32 = 12;
/// Of the size's bits, those that are not its exponent.
const MANTISSA_BITS: u32 = 7;

const _: () = assert!(SLOT_BITS + OFFSET_BITS + SIZE_BITS == u64::BITS);

/// A segment's place in memory. It is given to another segment once nothing points to the one that
/// had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// How many segments there can be at once: 16 TiB at the default size of a segment.
    pub(crate) const LIMIT: u32 = 1 << SLOT_BITS;
}

/// Where a record lies. Valid until a merge of segments moves the record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location(u64);

impl Location {
    /// # Panics
    /// If the slot is beyond the limit.
    pub(crate) fn new(slot: Slot, offset: u32, frame_bytes: u32) -> Location {
        assert!(slot.0 < Slot::LIMIT, "a store has at most {} segments", Slot::LIMIT);
        let size = size_class(frame_bytes);
        Location(
            u64::from(slot.0) << (OFFSET_BITS + SIZE_BITS)
                | u64::from(offset) << SIZE_BITS
                | u64::from(size),
        )
    }

    pub(crate) fn slot(self) -> Slot {
        Slot((self.0 >> (OFFSET_BITS + SIZE_BITS)) as u32)
    }

    /// Where in the segment's data, in bytes.
    pub(crate) fn offset(self) -> u32 {
        (self.0 >> SIZE_BITS) as u32
    }

    /// How long the record is on the disk: not less, and at most one part in 64 more.
    pub(crate) fn size_bound(self) -> u64 {
        let class = self.0 & ((1 << SIZE_BITS) - 1);
        let mantissa = class & ((1 << MANTISSA_BITS) - 1);
        match class >> MANTISSA_BITS {
            0 => mantissa,
            exponent => (mantissa + (1 << MANTISSA_BITS)) << (exponent - 1),
        }
    }
}

#[cfg(test)]
impl Location {
    /// Any location, each number another one.
    pub(crate) fn nth(number: u64) -> Location {
        Location(number)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} at {} (~{} bytes)", self.slot().0, self.offset(), self.size_bound())
    }
}

/// The smallest class whose bound is not below a size.
fn size_class(bytes: u32) -> u32 {
    let least = 1_u64 << MANTISSA_BITS;
    let bytes = u64::from(bytes);
    if bytes < least {
        return bytes as u32;
    }
    let mut shift = u64::from(bytes.ilog2() - MANTISSA_BITS);
    let mut mantissa = bytes.div_ceil(1 << shift);
    if mantissa == 2 * least {
        (mantissa, shift) = (least, shift + 1);
    }
    ((shift + 1) << MANTISSA_BITS | (mantissa - least)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_sizes_are_rounded_up_a_little() {
        let edges = [0, 1, 127, 128, 129, 255, 256, 257, 511, 513, 65_535, 1 << 20, u32::MAX];
        for size in edges.into_iter().chain((0..4000).map(|n| n * 37)) {
            for (slot, offset) in [(0, 0), (1, u32::MAX), (Slot::LIMIT - 1, 77)] {
                let location = Location::new(Slot(slot), offset, size);
                assert_eq!((location.slot(), location.offset()), (Slot(slot), offset));
                let (bound, size) = (location.size_bound(), u64::from(size));
                assert!(bound >= size, "{size} became {bound}");
                assert!(bound <= size + size / 64, "{size} became {bound}");
            }
        }
    }
}
