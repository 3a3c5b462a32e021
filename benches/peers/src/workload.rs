//! What is proposed, how, and what applying it means: the same for both sides.

use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;

/// Entries in one batch.
pub(crate) const BATCH: usize = 64;

/// How entries are proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// One entry, until all three members have applied it; then the next.
    Lockstep,
    /// 64 proposals of one entry, one after another; then until all have applied them.
    Separate,
    /// One proposal of 64 entries, until all have applied them.
    Batch,
}

impl Mode {
    /// All of them.
    pub(crate) const ALL: [Mode; 3] = [Mode::Lockstep, Mode::Separate, Mode::Batch];

    /// Entries that a round proposes.
    pub(crate) fn entries(self) -> usize {
        match self {
            Mode::Lockstep => 1,
            Mode::Separate | Mode::Batch => BATCH,
        }
    }

    /// Rounds that one timed repetition takes: some 10 to 50 ms.
    pub(crate) fn rounds(self) -> usize {
        match self {
            Mode::Lockstep => 1 << 14,
            Mode::Separate | Mode::Batch => 1 << 10,
        }
    }
}

/// Payloads of one size, different from each other, in an order that never changes.
///
/// They are made beforehand, as slices of one buffer: making them is the client's work and none of
/// consensus's. Handing one out shares it.
#[derive(Debug)]
pub(crate) struct Payloads {
    pool: Vec<Bytes>,
    taken: usize,
}

impl Payloads {
    /// The order begins anew after so many.
    const POOL: usize = 1 << 10;

    /// Payloads of `size` bytes, from the beginning.
    pub(crate) fn new(size: usize) -> Payloads {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let buffer: Vec<u8> = (0..Payloads::POOL * size)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let buffer = Bytes::from(buffer);
        let pool = (0..Payloads::POOL).map(|at| buffer.slice(at * size..(at + 1) * size)).collect();
        Payloads { pool, taken: 0 }
    }

    /// The next one.
    pub(crate) fn take(&mut self) -> Bytes {
        let payload = self.pool[self.taken % Payloads::POOL].clone();
        self.taken += 1;
        payload
    }
}

/// The state machine of a member: how many entries it applied, and a checksum over their payloads
/// in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) entries: u64,
    checksum: u64,
}

impl Applied {
    /// What applying the first `entries` payloads of `size` bytes comes to.
    pub(crate) fn expected(size: usize, entries: u64) -> Applied {
        let mut payloads = Payloads::new(size);
        let mut applied = Applied::default();
        for _ in 0..entries {
            applied.apply(&payloads.take());
        }
        applied
    }

    /// Applies one entry. The empty one with which a leader begins its term changes nothing.
    pub(crate) fn apply(&mut self, payload: &[u8]) {
        if let (Some(&first), Some(&last)) = (payload.first(), payload.last()) {
            self.entries += 1;
            let touched = payload.len() as u64 ^ u64::from(first) << 32 ^ u64::from(last) << 40;
            self.checksum = self.checksum.rotate_left(5) ^ touched;
        }
    }
}

/// Three members of which the first leads, with all that lies between them.
pub(crate) trait Group {
    /// Comes up and elects member 1.
    fn elect() -> Self;

    /// Member 1 proposes these payloads at once. They go no further before [`Group::pump`].
    fn propose(&mut self, payloads: impl ExactSizeIterator<Item = Bytes>);

    /// Delivers, writes, commits and applies until nothing is left to do.
    fn pump(&mut self);

    /// Messages sent since the start.
    fn messages(&self) -> u64;

    /// What each member applied.
    fn applied(&self) -> [Applied; 3];

    /// Frees the logs that the driver keeps, so that what the core itself holds is left. The group
    /// is of no use afterwards.
    fn drop_logs(&mut self);
}

/// One round: proposes, and sees it applied by all.
pub(crate) fn round<G: Group>(group: &mut G, payloads: &mut Payloads, mode: Mode) {
    match mode {
        Mode::Lockstep => group.propose(std::iter::once_with(|| payloads.take())),
        Mode::Separate => {
            for _ in 0..BATCH {
                group.propose(std::iter::once_with(|| payloads.take()));
            }
        }
        Mode::Batch => group.propose((0..BATCH).map(|_| payloads.take())),
    }
    group.pump();
    let taken = payloads.taken as u64;
    let all_applied = group.applied().iter().all(|applied| applied.entries == taken);
    assert!(all_applied, "a round ends when all have applied its entries");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_payloads_are_applied_shows() {
        let mut payloads = Payloads::new(16);
        let (first, second) = (payloads.take(), payloads.take());
        assert_ne!(first, second);
        let mut in_order = Applied::default();
        in_order.apply(&first);
        in_order.apply(&second);
        assert_eq!(in_order, Applied::expected(16, 2));
        let mut swapped = Applied::default();
        swapped.apply(&second);
        swapped.apply(&first);
        assert_ne!(swapped, in_order);
    }
}
