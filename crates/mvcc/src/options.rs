//! How a store on a disk is laid out.

/// The sizes of a store. They may differ from one start to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// A segment is ended once its records have so many bytes. At most 1 GiB.
    pub segment_bytes: u32,
    /// New records are handed to the disk once they have so many bytes.
    pub flush_bytes: u32,
    /// What the cache of records that were read may hold, in bytes.
    pub cache_bytes: usize,
}

impl StoreOptions {
    /// The largest size of a segment: what a transaction adds beyond it still has offsets of 32
    /// bits.
    pub const MAX_SEGMENT_BYTES: u32 = 1 << 30;
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { segment_bytes: 16 << 20, flush_bytes: 256 << 10, cache_bytes: 8 << 20 }
    }
}
