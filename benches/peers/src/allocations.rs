//! Counts allocations, when asked to.
//!
//! The one module with `unsafe`: an allocator cannot be written without. It owns no memory of its
//! own and passes every call on to the system's. While nobody counts, a call costs one look at a
//! flag, so that timings do not punish the side that allocates more.

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait; every call is passed on as it is")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether a thread counts.
static COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What this thread has counted so far; none if it does not count.
    static COUNTED: Cell<Option<Counted>> = const { Cell::new(None) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a thread allocated while something ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Calls that asked for memory, among them those that asked for a larger or smaller piece.
    pub(crate) allocations: u64,
    /// Bytes that those calls asked for.
    pub(crate) bytes: u64,
    /// Bytes held afterwards, less those held before.
    pub(crate) live: i64,
}

/// Runs `work` and counts what it allocates on this thread.
///
/// # Panics
/// If another count is under way.
pub(crate) fn count(work: impl FnOnce()) -> Counted {
    assert!(!COUNTING.swap(true, Relaxed), "one count at a time");
    COUNTED.set(Some(Counted { allocations: 0, bytes: 0, live: 0 }));
    work();
    COUNTING.store(false, Relaxed);
    COUNTED.take().expect("nobody else ends this count")
}

struct Counting;

fn note(freed: usize, allocated: usize) {
    if COUNTING.load(Relaxed) {
        note_here(freed, allocated);
    }
}

#[cold]
fn note_here(freed: usize, allocated: usize) {
    if let Some(mut counted) = COUNTED.get() {
        if allocated > 0 {
            counted.allocations += 1;
            counted.bytes += allocated as u64;
        }
        counted.live = counted.live.wrapping_add_unsigned(allocated as u64);
        counted.live = counted.live.wrapping_sub_unsigned(freed as u64);
        COUNTED.set(Some(counted));
    }
}

// SAFETY: each method passes its arguments on to the system's allocator, unchanged, and hands its
// answer back; what is noted besides are numbers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: the caller keeps the contract of this method, which is the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(0, layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(layout.size(), new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn allocations_their_bytes_and_what_stays_are_counted() {
        let mut kept = Vec::new();
        let counted = count(|| {
            kept = black_box(Vec::<u8>::with_capacity(100));
            drop(black_box(Box::new([0u8; 40])));
        });
        assert_eq!(counted, Counted { allocations: 2, bytes: 140, live: 100 });
        let counted = count(|| kept = black_box(Vec::new()));
        assert_eq!(counted, Counted { allocations: 0, bytes: 0, live: -100 });
    }
}
