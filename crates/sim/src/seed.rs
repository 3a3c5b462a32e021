//! The number that decides a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A run's seed. Written in decimal or, after `0x`, in hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

/// Why a text is not a seed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is not a seed: write a number below 2^64, in decimal or as 0x…")]
pub struct SeedError(String);

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Seed, SeedError> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
            Some(_) => None,
            None if text.starts_with('+') => None,
            None => text.parse().ok(),
        };
        number.map(Seed).ok_or_else(|| SeedError(text.to_owned()))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Seeds counted up from a small number are read, fresh ones are copied.
        if self.0 < 1 << 32 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}

impl Serialize for Seed {
    /// As text: TOML has no unsigned 64-bit numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seed, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_in_both_notations_and_written_so_that_they_can_be_read() {
        for (text, seed) in [("0", 0), ("17", 17), ("0x1f", 31), ("18446744073709551615", u64::MAX)]
        {
            assert_eq!(text.parse(), Ok(Seed(seed)));
            assert_eq!(Seed(seed).to_string().parse(), Ok(Seed(seed)));
        }
        for text in ["", "0x", "-1", "+1", "0x+1", "1e3", "18446744073709551616", "seven"] {
            assert!(text.parse::<Seed>().is_err(), "{text:?} was taken for a seed");
        }
    }
}
