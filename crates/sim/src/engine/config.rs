//! What a world is made of: its nodes, its network, its disks, and how long it may run.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::DriftPpm;
use super::disk::DiskConfig;
use super::network::NetworkConfig;
use super::stream::NoiseSeed;
use super::system::NodeId;
use super::time::SignedNanos;

/// One node's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// How far the clock is ahead of the world's when the world begins.
    #[serde(rename = "clock_offset_ns")]
    pub clock_offset: SignedNanos,
    /// How much faster than the world the clock runs.
    #[serde(rename = "clock_drift_ppm")]
    pub clock_drift: DriftPpm,
    /// Whether the machine has a disk.
    pub has_disk: bool,
}

impl NodeConfig {
    /// A machine with a disk and a perfect clock.
    pub fn with_disk() -> NodeConfig {
        NodeConfig { has_disk: true, ..NodeConfig::default() }
    }

    /// A machine without a disk and with a perfect clock: a client's.
    pub fn diskless() -> NodeConfig {
        NodeConfig::default()
    }
}

/// A whole world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// What all chance derives from.
    pub noise_seed: NoiseSeed,
    /// The machines; the first is n0.
    pub nodes: Vec<NodeConfig>,
    /// The network between all of them.
    pub network: NetworkConfig,
    /// How quick the disks are.
    pub disk: DiskConfig,
    /// How many steps the run may take; one more is a failure (a message storm, an endless loop).
    pub event_budget: u64,
}

/// Why a world cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nobody in it.
    #[error("a world needs at least one node")]
    NoNodes,
    /// A clock that runs too fast or too slow.
    #[error(
        "the clock of {node} drifts by {} ppm; it must lie between {} and {} ppm",
        drift.0, DriftPpm::SLOWEST.0, DriftPpm::FASTEST.0
    )]
    Drift {
        /// Whose clock.
        node: NodeId,
        /// Its drift.
        drift: DriftPpm,
    },
    /// A clock's offset that is too large to be told from an error of units.
    #[error("the clock of {node} is off by {offset}; at most 500 s in either direction make sense")]
    Offset {
        /// Whose clock.
        node: NodeId,
        /// Its offset.
        offset: SignedNanos,
    },
    /// A share of more than all.
    #[error("{field} is {ppm} ppm; the most there is is 1000000 ppm (all of them)")]
    Rate {
        /// Which share.
        field: &'static str,
        /// Its value in parts per million.
        ppm: u32,
    },
}

impl WorldConfig {
    /// Checks that a world can be made of it.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        const FARTHEST_OFFSET_NS: u64 = 500_000_000_000;
        if self.nodes.is_empty() {
            return Err(ConfigError::NoNodes);
        }
        for (index, config) in self.nodes.iter().enumerate() {
            let (node, drift) = (NodeId(index as u32), config.clock_drift);
            if !(DriftPpm::SLOWEST..=DriftPpm::FASTEST).contains(&drift) {
                return Err(ConfigError::Drift { node, drift });
            }
            let offset = config.clock_offset;
            if offset.as_nanos().unsigned_abs() > FARTHEST_OFFSET_NS {
                return Err(ConfigError::Offset { node, offset });
            }
        }
        let (network, disk) = (&self.network, &self.disk);
        let rates = [
            ("network.tail_ppm", network.tail_ppm),
            ("network.loss_ppm", network.loss_ppm),
            ("network.duplicate_ppm", network.duplicate_ppm),
            ("network.reorder_ppm", network.reorder_ppm),
            ("network.replay_ppm", network.replay_ppm),
            ("disk.tail_ppm", disk.tail_ppm),
        ];
        match rates.into_iter().find(|(_, ppm)| *ppm > 1_000_000) {
            Some((field, ppm)) => Err(ConfigError::Rate { field, ppm }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        let good = WorldConfig {
            noise_seed: NoiseSeed(1),
            nodes: vec![NodeConfig::with_disk(), NodeConfig::diskless()],
            network: NetworkConfig::default(),
            disk: DiskConfig::default(),
            event_budget: 1,
        };
        good.check().expect("a sensible world");
        let refused = |change: &dyn Fn(&mut WorldConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().expect_err("refused").to_string()
        };
        for (says, message) in [
            ("at least one node", refused(&|config| config.nodes.clear())),
            ("n1 drifts", refused(&|config| config.nodes[1].clock_drift = DriftPpm(-600_000))),
            (
                "n0 is off by",
                refused(&|config| config.nodes[0].clock_offset = SignedNanos::from_millis(600_000)),
            ),
            ("network.loss_ppm", refused(&|config| config.network.loss_ppm = 1_000_001)),
            ("disk.tail_ppm", refused(&|config| config.disk.tail_ppm = 1_000_001)),
        ] {
            assert!(message.contains(says), "{message:?} does not say {says:?}");
        }
    }
}
