//! Keyed random streams: the only source of chance in a world.
//!
//! A stream is ChaCha8 keyed by the noise seed, a purpose and up to two entities (link a→b, disk of
//! node 3, client 7's operations). There is never one stream for everything: what one entity draws
//! cannot move what another one draws, so taking a fault, a client or a message away leaves all
//! other draws as they were, and that is what makes shrinking work. All draws are integers, and
//! each takes a fixed number of words, whatever its arguments are.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::time::Nanos;

/// The seed that all draws of a world derive from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoiseSeed(pub u64);

/// One keyed stream of draws.
#[derive(Clone, Debug)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// The stream of `purpose` for the entities `first` and `second` (zero where there is none).
    ///
    /// Equal arguments give equal streams. The purpose enters the key by its name's FNV-1a hash,
    /// so it has to stay the same for old schedules to replay.
    pub fn new(seed: NoiseSeed, purpose: &str, first: u64, second: u64) -> Stream {
        let mut key = [0; 32];
        for (bytes, word) in
            key.chunks_exact_mut(8).zip([seed.0, name_hash(purpose), first, second])
        {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Stream { generator: ChaCha8Rng::from_seed(key) }
    }

    /// 64 uniform bits. Takes two words of the stream, as every draw but [`Stream::next_u128`].
    pub fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// 128 uniform bits; takes four words.
    pub fn next_u128(&mut self) -> u128 {
        let low = self.next_u64();
        u128::from(self.next_u64()) << 64 | u128::from(low)
    }

    /// A number below `bound`, uniform but for a bias of at most `bound` / 2^64.
    ///
    /// The bias is the price of taking a fixed number of words; it is far below anything that a
    /// campaign could notice.
    ///
    /// # Panics
    /// When `bound` is zero: there is no such number.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw below zero has no result");
        scale(self.next_u64(), bound)
    }

    /// A duration from `least` to `most`, both included; `least` where `most` is shorter.
    pub fn between(&mut self, least: Nanos, most: Nanos) -> Nanos {
        let width = most.saturating_sub(least).as_nanos().saturating_add(1);
        least + Nanos::from_nanos(self.below(width))
    }

    /// True in `ppm` of a million cases.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there is nothing to choose from.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        assert!(!choices.is_empty(), "a pick needs at least one choice");
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// Maps 64 uniform bits to a number below `bound` (the high half of the product).
pub(crate) fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// Maps 32 uniform bits to a number below `bound`.
pub(crate) fn scale_u32(bits: u32, bound: u64) -> u64 {
    scale(u64::from(bits) << 32, bound)
}

/// FNV-1a over a name's bytes: short, stable, and needs no table.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A few values found by their static name.
///
/// The names a system uses are few, so a scan beats a map. Equal addresses are tried first because
/// the same literal is nearly always the same address; the answer does not depend on it.
#[derive(Clone, Debug)]
pub(crate) struct NameTable<T> {
    rows: Vec<(&'static str, T)>,
}

impl<T> NameTable<T> {
    pub(crate) const fn new() -> NameTable<T> {
        NameTable { rows: Vec::new() }
    }

    /// The value under `name`, made by `make` at its first use.
    pub(crate) fn entry(&mut self, name: &'static str, make: impl FnOnce() -> T) -> &mut T {
        let same_address = |row: &(&'static str, T)| std::ptr::eq(row.0, name);
        let found = (self.rows.iter().position(same_address))
            .or_else(|| self.rows.iter().position(|row| row.0 == name));
        let index = found.unwrap_or_else(|| {
            self.rows.push((name, make()));
            self.rows.len() - 1
        });
        &mut self.rows[index].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        self.rows.iter().map(|(name, value)| (*name, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_every_part_of_its_key() {
        let first = |seed, purpose, a, b| Stream::new(NoiseSeed(seed), purpose, a, b).next_u128();
        let reference = first(1, "link", 2, 3);
        assert_eq!(reference, first(1, "link", 2, 3));
        for other in [
            first(2, "link", 2, 3),
            first(1, "disk", 2, 3),
            first(1, "link", 4, 3),
            first(1, "link", 2, 4),
            first(1, "link", 3, 2),
        ] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn the_draws_of_a_key_never_change() {
        // Old repro files replay only while these stay what they are.
        let mut stream = Stream::new(NoiseSeed(42), "election", 3, 0);
        let drawn = [stream.below(1_000), stream.below(1_000), stream.below(1_000)];
        assert_eq!(drawn, [505, 885, 603], "worked out by hand from RFC 8439 with eight rounds");
    }

    #[test]
    fn chance_comes_close_to_its_rate_and_bounds_are_kept() {
        let mut stream = Stream::new(NoiseSeed(7), "test", 0, 0);
        let hits = (0..100_000).filter(|_| stream.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100,000 at a chance of a quarter");
        let (least, most) = (Nanos::from_nanos(10), Nanos::from_nanos(12));
        let drawn: Vec<u64> = (0..64).map(|_| stream.between(least, most).as_nanos()).collect();
        for value in 10..=12 {
            assert!(drawn.contains(&value));
        }
        assert!(drawn.iter().all(|value| (10..=12).contains(value)));
        assert_eq!(stream.between(most, least), most);
    }
}
