//! How many living keys lie before a chunk: a Fenwick tree over the chunks' counts.
//!
//! Owns the sums, and nothing of what is counted. One chunk's count changes in O(log n); a chunk
//! more or less is a rebuild in O(n), once for every some hundred keys that come or go.

use std::ops::Range;

/// The counts of living keys, one a chunk, and their partial sums.
#[derive(Clone, Debug)]
pub(super) struct LivingCounts {
    counts: Vec<u64>,
    /// At `i`, the sum over the chunks from `i & (i + 1)` to `i`.
    sums: Vec<u64>,
}

impl LivingCounts {
    pub(super) fn new(counts: Vec<u64>) -> LivingCounts {
        let mut living = LivingCounts { counts, sums: Vec::new() };
        living.sum_up();
        living
    }

    /// Puts other chunks in the place of some.
    pub(super) fn splice(&mut self, chunks: Range<usize>, counts: impl Iterator<Item = u64>) {
        self.counts.splice(chunks, counts);
        self.sum_up();
    }

    fn sum_up(&mut self) {
        let LivingCounts { counts, sums } = self;
        sums.clone_from(counts);
        for at in 0..sums.len() {
            let parent = at | (at + 1);
            if parent < sums.len() {
                sums[parent] += sums[at];
            }
        }
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

    /// Takes in that a chunk has one living key more.
    pub(super) fn add_one(&mut self, chunk: usize) {
        self.counts[chunk] += 1;
        self.each_sum_over(chunk, |sum| *sum += 1);
    }

    /// Takes in that a chunk has one living key less.
    pub(super) fn subtract_one(&mut self, chunk: usize) {
        let count = &mut self.counts[chunk];
        *count = count.checked_sub(1).expect("a chunk loses no more keys than it has");
        self.each_sum_over(chunk, |sum| *sum -= 1);
    }

    fn each_sum_over(&mut self, chunk: usize, mut change: impl FnMut(&mut u64)) {
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

    #[track_caller]
    fn check(living: &LivingCounts, counts: &[u64]) {
        for before in 0..=counts.len() {
            assert_eq!(living.before(before), counts[..before].iter().sum::<u64>());
        }
    }

    #[test]
    fn sums_are_those_of_the_counts_through_all_changes() {
        for chunks in 0..20 {
            let mut counts: Vec<u64> = (0..chunks).map(|chunk| chunk * chunk % 7).collect();
            let mut living = LivingCounts::new(counts.clone());
            check(&living, &counts);
            for changed in 0..counts.len() {
                counts[changed] += 1;
                living.add_one(changed);
                check(&living, &counts);
                let next = (changed + 1) % counts.len();
                if counts[next] > 0 {
                    counts[next] -= 1;
                    living.subtract_one(next);
                    check(&living, &counts);
                }
            }
            for (replaced, others) in [(0..0, vec![5, 6]), (1..2, vec![1, 2, 3]), (1..4, vec![9])] {
                counts.splice(replaced.clone(), others.clone());
                living.splice(replaced, others.into_iter());
                check(&living, &counts);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a chunk loses no more keys than it has")]
    fn no_count_falls_below_zero() {
        LivingCounts::new(vec![3, 0]).subtract_one(1);
    }
}
