//! What is run next: the seeds of all scenarios, in turns.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::Batch;
use crate::scenario::Scenario;
use crate::seed::Seed;

/// One of several parts of a campaign: those seeds whose place, counted from 1, leaves the same
/// remainder. Written `K/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    of: u64,
}

/// Why a text is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is not a part of a campaign: write K/N with K from 1 to N, like 2/8")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let numbers = text.split_once('/').and_then(|(number, of)| {
            let (number, of) = (number.parse::<u64>().ok()?, of.parse::<u64>().ok()?);
            (1..=of).contains(&number).then_some(Shard { number, of })
        });
        numbers.ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    fn contains(self, offset: u64) -> bool {
        offset % self.of == self.number - 1
    }

    /// How many of the offsets below `seeds` it contains.
    fn share(self, seeds: u64) -> u64 {
        seeds / self.of + u64::from(seeds % self.of >= self.number)
    }
}

/// One seed to be run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Its place in the campaign.
    pub(super) number: u64,
    /// The place of its scenario among the batches.
    pub(super) batch: usize,
    pub(super) scenario: Arc<Scenario>,
    pub(super) seed: Seed,
}

#[derive(Debug)]
pub(super) struct Queue {
    batches: Vec<Batch>,
    from: Seed,
    shard: Shard,
    offset: u64,
    batch: usize,
    handed_out: u64,
}

impl Queue {
    pub(super) fn new(batches: &[Batch], from: Seed, shard: Option<Shard>) -> Queue {
        Queue {
            batches: batches.to_vec(),
            from,
            shard: shard.unwrap_or(Shard { number: 1, of: 1 }),
            offset: 0,
            batch: 0,
            handed_out: 0,
        }
    }

    /// How many tasks there are; `None` without an end.
    pub(super) fn planned(&self) -> Option<u64> {
        if self.batches.iter().any(|batch| batch.seeds == u64::MAX) {
            return None;
        }
        let shares = self.batches.iter().map(|batch| self.shard.share(batch.seeds));
        Some(shares.fold(0, u64::saturating_add))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.planned() == Some(self.handed_out)
    }

    pub(super) fn next(&mut self) -> Option<Task> {
        if self.is_empty() {
            return None;
        }
        // One round of all scenarios for each seed, so that every scenario gets its share even if
        // the time is over soon.
        loop {
            let (offset, index) = (self.offset, self.batch);
            self.batch += 1;
            if self.batch == self.batches.len() {
                (self.offset, self.batch) = (self.offset + 1, 0);
            }
            let batch = &self.batches[index];
            if offset < batch.seeds && self.shard.contains(offset) {
                let number = self.handed_out;
                self.handed_out += 1;
                return Some(Task {
                    number,
                    batch: index,
                    scenario: Arc::clone(&batch.scenario),
                    seed: Seed(self.from.0.wrapping_add(offset)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(seeds: &[u64]) -> Vec<Batch> {
        let scenario = Arc::new(Scenario::find("smoke").expect("it is shipped"));
        let batch = |seeds: &u64| Batch { scenario: Arc::clone(&scenario), seeds: *seeds };
        seeds.iter().map(batch).collect()
    }

    fn all(mut queue: Queue) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| queue.next()).map(|task| (task.batch, task.seed.0)).collect()
    }

    #[test]
    fn scenarios_take_turns_and_each_gets_its_number_of_seeds() {
        let queue = Queue::new(&batches(&[1, 3, 0]), Seed(7), None);
        assert_eq!(queue.planned(), Some(4));
        assert_eq!(all(queue), [(0, 7), (1, 7), (1, 8), (1, 9)]);
        assert_eq!(all(Queue::new(&[], Seed(0), None)), []);
    }

    #[test]
    fn shards_divide_the_seeds_without_overlap() {
        let mut together = Vec::new();
        for number in 1..=3 {
            let shard = Some(format!("{number}/3").parse().expect("it is one"));
            let queue = Queue::new(&batches(&[5, 7]), Seed(u64::MAX), shard);
            let planned = queue.planned();
            let part = all(queue);
            assert_eq!(Some(part.len() as u64), planned);
            together.extend(part);
        }
        together.sort_unstable();
        let mut whole = all(Queue::new(&batches(&[5, 7]), Seed(u64::MAX), None));
        whole.sort_unstable();
        assert_eq!(together, whole);
    }

    #[test]
    fn a_batch_without_an_end_has_no_planned_number() {
        let mut queue = Queue::new(&batches(&[u64::MAX]), Seed(0), None);
        assert_eq!(queue.planned(), None);
        assert_eq!(queue.next().map(|task| task.seed), Some(Seed(0)));
        assert!(!queue.is_empty());
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        assert_eq!("2/8".parse::<Shard>().map(|shard| shard.to_string()), Ok("2/8".to_owned()));
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
