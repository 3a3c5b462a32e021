//! The network's chances: what becomes of one message.
//!
//! Every message of a link takes four words of that link's own stream, whatever becomes of it, so
//! the n-th message of a link always draws the same. This module decides a message's fate from
//! those words and the rates in force. It never looks at what a message says, and blocked links are
//! not its business: the world drops such messages after their draw.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::stream::{NoiseSeed, Stream, scale_u32};
use super::system::NodeId;
use super::time::Nanos;

/// Rates and delays of a network.
///
/// A message arrives after `base` plus a uniform part of `jitter`, and rarely a uniform part of
/// `tail` more. Then chance may lose it, hold it back so that later ones overtake it, add a copy
/// right behind it, or add a copy that comes very late. Rates are in parts per million of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The least time that a message takes.
    #[serde(rename = "base_ns")]
    pub base: Nanos,
    /// The width of the usual variation on top of it.
    #[serde(rename = "jitter_ns")]
    pub jitter: Nanos,
    /// How many messages fall into the heavy tail.
    pub tail_ppm: u32,
    /// The width of the tail.
    #[serde(rename = "tail_ns")]
    pub tail: Nanos,
    /// How many messages are lost.
    pub loss_ppm: u32,
    /// How many messages arrive twice, the copy up to `reorder` later.
    pub duplicate_ppm: u32,
    /// How many messages are held back.
    pub reorder_ppm: u32,
    /// The longest that a message is held back; short, so that later ones overtake it.
    #[serde(rename = "reorder_ns")]
    pub reorder: Nanos,
    /// How many messages come once more, long after.
    pub replay_ppm: u32,
    /// The longest delay of such a copy (the shortest is half of it); to be chosen well beyond an
    /// election timeout.
    #[serde(rename = "replay_ns")]
    pub replay: Nanos,
}

impl Default for NetworkConfig {
    /// A data centre on a usual day: half a millisecond, rare losses, no mischief.
    fn default() -> NetworkConfig {
        NetworkConfig {
            base: Nanos::from_micros(200),
            jitter: Nanos::from_micros(600),
            tail_ppm: 2_000,
            tail: Nanos::from_millis(20),
            loss_ppm: 100,
            duplicate_ppm: 100,
            reorder_ppm: 1_000,
            reorder: Nanos::from_millis(10),
            replay_ppm: 50,
            replay: Nanos::from_secs(4),
        }
    }
}

/// What a window of noise adds to the network's own rates and delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Added to the share of messages that are lost.
    pub loss_ppm: u32,
    /// Added to the share of messages that arrive twice.
    pub duplicate_ppm: u32,
    /// Added to the share of messages that are held back.
    pub reorder_ppm: u32,
    /// Added to the share of messages that come once more, long after.
    pub replay_ppm: u32,
    /// Added to every message's delay.
    #[serde(rename = "delay_ns")]
    pub delay: Nanos,
}

impl Noise {
    /// Whether it adds nothing.
    pub fn is_none(&self) -> bool {
        *self == Noise::default()
    }

    /// Both together; rates end at all of the messages.
    pub(crate) fn plus(self, other: Noise) -> Noise {
        let rate = |a: u32, b: u32| a.saturating_add(b).min(1_000_000);
        Noise {
            loss_ppm: rate(self.loss_ppm, other.loss_ppm),
            duplicate_ppm: rate(self.duplicate_ppm, other.duplicate_ppm),
            reorder_ppm: rate(self.reorder_ppm, other.reorder_ppm),
            replay_ppm: rate(self.replay_ppm, other.replay_ppm),
            delay: self.delay.saturating_add(other.delay),
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rates = [
            ("loss", self.loss_ppm),
            ("duplicates", self.duplicate_ppm),
            ("reordering", self.reorder_ppm),
            ("replays", self.replay_ppm),
        ];
        let mut parts: Vec<String> = (rates.iter().filter(|(_, ppm)| *ppm > 0))
            .map(|(name, ppm)| format!("{name} {ppm} ppm"))
            .collect();
        if self.delay > Nanos::ZERO {
            parts.push(format!("delay {}", self.delay));
        }
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What becomes of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// The delay after which it arrives; `None` when it is lost.
    pub(crate) arrives: Option<Nanos>,
    /// The delay of a second copy.
    pub(crate) duplicate: Option<Nanos>,
    /// The delay of a copy that comes long after.
    pub(crate) replay: Option<Nanos>,
    /// Whether it was held back.
    pub(crate) held_back: bool,
}

impl NetworkConfig {
    /// The fate that the drawn bits give a message under `noise`.
    ///
    /// The four words decide loss, copies, jitter and delays. What only a rare message needs
    /// (how long it is held back, when its copy comes) is mixed out of the same words instead of
    /// being drawn, so that every message takes equally many.
    pub(crate) fn fate(&self, bits: u128, noise: Noise) -> Fate {
        let words = [bits as u32, (bits >> 32) as u32, (bits >> 64) as u32, (bits >> 96) as u32];
        let picks = |word: u32| scale_u32(word, 1_000_000);
        let jitter = scale_u32(words[2], self.jitter.as_nanos() + 1);
        let usual =
            (self.base.saturating_add(Nanos::from_nanos(jitter))).saturating_add(noise.delay);
        let mut fate = Fate { arrives: Some(usual), ..Fate::default() };

        // One pick decides between the tail and being held back, one between the two copies.
        let (delay_pick, copy_pick) = (picks(words[3]), picks(words[1]));
        let held_ppm = self.reorder_ppm.saturating_add(noise.reorder_ppm);
        let delayed_ppm = u64::from(held_ppm) + u64::from(self.tail_ppm);
        if delay_pick < delayed_ppm {
            fate.held_back = delay_pick < u64::from(held_ppm);
            let longest = if fate.held_back { self.reorder } else { self.tail };
            fate.arrives = Some(usual.saturating_add(rare(bits, 1, Nanos::ZERO, longest)));
        }
        let replay_ppm = self.replay_ppm.saturating_add(noise.replay_ppm);
        let duplicate_ppm = self.duplicate_ppm.saturating_add(noise.duplicate_ppm);
        if copy_pick < u64::from(replay_ppm) {
            let least = Nanos::from_nanos(self.replay.as_nanos() / 2);
            fate.replay = Some(rare(bits, 2, least, self.replay));
        } else if copy_pick < u64::from(replay_ppm) + u64::from(duplicate_ppm) {
            fate.duplicate = Some(usual.saturating_add(rare(bits, 3, Nanos::ZERO, self.reorder)));
        }
        if picks(words[0]) < u64::from(self.loss_ppm.saturating_add(noise.loss_ppm)) {
            fate.arrives = None;
            fate.duplicate = None;
            fate.replay = None;
        }
        fate
    }
}

/// A duration for a rare case, mixed out of bits that were drawn already.
fn rare(bits: u128, case: u64, least: Nanos, most: Nanos) -> Nanos {
    let seed = (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32);
    // SplitMix64's finaliser: every input bit reaches every output bit.
    let mut mixed = seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let width = most.saturating_sub(least).as_nanos().saturating_add(1);
    least + Nanos::from_nanos(super::stream::scale(mixed, width))
}

/// One direction between two nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// Made at the first message: most pairs of nodes never talk.
    stream: Option<Box<Stream>>,
    /// Messages ever sent on it.
    pub(crate) sent: u64,
    /// One more than the highest number of a message that arrived.
    pub(crate) arrived: u64,
    /// What slow links add to each message's delay.
    pub(crate) extra: Nanos,
    /// How many active faults block it.
    pub(crate) blocks: u32,
    /// Healed for good: faults no longer touch it.
    pub(crate) healed: bool,
}

impl Link {
    /// Whether messages on it are swallowed.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocks > 0 && !self.healed
    }

    /// What slow links add to the next message's delay.
    pub(crate) fn extra_delay(&self) -> Nanos {
        if self.healed { Nanos::ZERO } else { self.extra }
    }

    /// The bits of the link's next message.
    pub(crate) fn draw(&mut self, seed: NoiseSeed, from: NodeId, to: NodeId) -> u128 {
        let fresh = || Box::new(Stream::new(seed, "link", u64::from(from.0), u64::from(to.0)));
        self.sent += 1;
        self.stream.get_or_insert_with(fresh).next_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(config: &NetworkConfig, noise: Noise, count: usize) -> Vec<Fate> {
        let mut link = Link::default();
        let mut draw = || link.draw(NoiseSeed(5), NodeId(0), NodeId(1));
        (0..count).map(|_| config.fate(draw(), noise)).collect()
    }

    #[test]
    fn rates_and_delays_are_those_that_were_asked_for() {
        let config = NetworkConfig {
            loss_ppm: 100_000,
            duplicate_ppm: 50_000,
            reorder_ppm: 200_000,
            replay_ppm: 10_000,
            tail_ppm: 0,
            ..NetworkConfig::default()
        };
        let fates = fates(&config, Noise::default(), 100_000);
        let share = |is: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        assert!((9_500..10_500).contains(&share(&|fate| fate.arrives.is_none())));
        assert!((19_000..21_000).contains(&share(&|fate| fate.held_back)));
        // A tenth of the copies is lost together with its original.
        assert!((4_200..4_800).contains(&share(&|fate| fate.duplicate.is_some())));
        assert!((800..1_000).contains(&share(&|fate| fate.replay.is_some())));
        for fate in &fates {
            let longest = config.base + config.jitter + config.reorder;
            assert!(fate.arrives.is_none_or(|delay| delay >= config.base && delay <= longest));
            assert!(
                fate.replay
                    .is_none_or(|delay| { delay >= Nanos::from_secs(2) && delay <= config.replay })
            );
        }
    }

    #[test]
    fn noise_adds_to_what_the_network_does_anyway() {
        let config = NetworkConfig { loss_ppm: 0, ..NetworkConfig::default() };
        let delay = Nanos::from_millis(3);
        let noise = Noise { loss_ppm: 1_000_000, ..Noise::default() };
        assert!(fates(&config, noise, 1_000).iter().all(|fate| fate.arrives.is_none()));
        let noise = Noise { delay, ..Noise::default() };
        for (calm, noisy) in
            fates(&config, Noise::default(), 1_000).iter().zip(fates(&config, noise, 1_000))
        {
            assert_eq!(calm.arrives.map(|arrives| arrives + delay), noisy.arrives);
        }
    }
}
