//! How many living keys lie before a chunk: a Fenwick tree over the chunks' counts.
//!
//! Owns the sums, and nothing of what is counted. One chunk's count changes in O(log n); a chunk
//! more or less is a rebuild in O(n), once for every some hundred keys that come or go.

/// The counts of living keys, one a chunk, as partial sums.
#[derive(Clone, Debug)]
pub(super) struct LivingCounts {
    /// At `i`, the sum over the chunks from `i & (i + 1)` to `i`.
    sums: Vec<u64>,
}

impl LivingCounts {
    pub(super) fn new(counts: impl Iterator<Item = u64>) -> LivingCounts {
        let mut sums: Vec<u64> = counts.collect();
        for at in 0..sums.len() {
            let parent = at | (at + 1);
            if parent < sums.len() {
                sums[parent] += sums[at];
            }
        }
        LivingCounts { sums }
    }

    /// The living keys of all chunks before one.
    pub(super) fn before(&self, chunk: usize) -> u64 {
        assert!(chunk <= self.sums.len(), "a chunk is asked for that is there, or the end");
        let mut sum = 0;
        let mut end = chunk;
        while end > 0 {
            sum += self.sums[end - 1];
            end &= end - 1;
        }
        sum
    }

    /// Takes in that a chunk has so many living keys more.
    pub(super) fn add(&mut self, chunk: usize, more: u64) {
        self.each_sum_over(chunk, |sum| *sum += more);
    }

    /// Takes in that a chunk has so many living keys less.
    pub(super) fn subtract(&mut self, chunk: usize, fewer: u64) {
        self.each_sum_over(chunk, |sum| {
            *sum = sum.checked_sub(fewer).expect("a chunk loses no more than it has");
        });
    }

    fn each_sum_over(&mut self, chunk: usize, mut change: impl FnMut(&mut u64)) {
        assert!(chunk < self.sums.len(), "a count changes of a chunk that is there");
        let mut at = chunk;
        while at < self.sums.len() {
            change(&mut self.sums[at]);
            at |= at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_counts_through_all_changes() {
        for chunks in 0..20 {
            let mut counts: Vec<u64> = (0..chunks).map(|chunk| chunk * chunk % 7).collect();
            let mut living = LivingCounts::new(counts.iter().copied());
            for changed in 0..counts.len() {
                counts[changed] += 5;
                living.add(changed, 5);
                let fewer = counts[changed] / 2;
                counts[changed] -= fewer;
                living.subtract(changed, fewer);
                for before in 0..=counts.len() {
                    assert_eq!(living.before(before), counts[..before].iter().sum::<u64>());
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a chunk loses no more than it has")]
    fn no_sum_falls_below_zero() {
        LivingCounts::new([3, 2].into_iter()).subtract(1, 6);
    }
}
