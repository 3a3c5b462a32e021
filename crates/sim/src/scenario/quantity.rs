//! Quantities as people write them: `150ms`, `1.5%`, `64KiB`, and ranges like `100ms..2s`.
//!
//! No floating point takes part: what cannot be written as a whole number of the smallest unit is
//! refused.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::engine::{Nanos, Stream};

/// A share in parts per million, between none and all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ppm(pub(crate) u32);

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

/// Something that is measured, and drawn between a least and a most.
pub(crate) trait Quantity: Copy + Ord {
    /// What it is, and how to write it.
    const HOW: &'static str;

    fn read(text: &str) -> Option<Self>;

    /// What is drawn is a multiple of this, where the least value allows it.
    const GRAIN: u64 = 1;

    /// A TOML number without a unit.
    fn from_number(_number: u64) -> Option<Self> {
        None
    }

    fn as_u64(self) -> u64;

    /// The inverse of [`Quantity::as_u64`], for values between two that there are.
    fn from_u64(number: u64) -> Self;
}

impl Quantity for Nanos {
    const HOW: &'static str = "a duration in ns, us, ms, s, min or h, like 150ms";

    /// A microsecond, so that people can read what was drawn.
    const GRAIN: u64 = 1_000;

    fn read(text: &str) -> Option<Nanos> {
        const UNITS: [(&str, u64); 6] = [
            ("ns", 1),
            ("us", 1_000),
            ("ms", 1_000_000),
            ("min", 60_000_000_000),
            ("s", 1_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        amount(text, &UNITS).map(Nanos::from_nanos)
    }

    fn as_u64(self) -> u64 {
        self.as_nanos()
    }

    fn from_u64(number: u64) -> Nanos {
        Nanos::from_nanos(number)
    }
}

impl Quantity for Ppm {
    const HOW: &'static str = "a share in % or ppm, at most 100%, like 1.5% or 200ppm";

    fn read(text: &str) -> Option<Ppm> {
        let ppm = amount(text, &[("%", 10_000), ("ppm", 1)])?;
        u32::try_from(ppm).ok().filter(|ppm| *ppm <= 1_000_000).map(Ppm)
    }

    fn as_u64(self) -> u64 {
        u64::from(self.0)
    }

    fn from_u64(number: u64) -> Ppm {
        Ppm(number as u32)
    }
}

impl Quantity for Bytes {
    const HOW: &'static str = "a size in B, KiB or MiB, like 64KiB";

    fn read(text: &str) -> Option<Bytes> {
        amount(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1)]).map(Bytes)
    }

    fn as_u64(self) -> u64 {
        self.0
    }

    fn from_u64(number: u64) -> Bytes {
        Bytes(number)
    }
}

impl Quantity for u32 {
    const HOW: &'static str = "a whole number, like 5";

    fn read(text: &str) -> Option<u32> {
        amount(text, &[("", 1)]).and_then(|number| u32::try_from(number).ok())
    }

    fn from_number(number: u64) -> Option<u32> {
        u32::try_from(number).ok()
    }

    fn as_u64(self) -> u64 {
        u64::from(self)
    }

    fn from_u64(number: u64) -> u32 {
        number as u32
    }
}

/// A decimal number and a unit, as a number of the smallest unit.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (digits, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), unit)))?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || digits.ends_with('.') {
        return None;
    }
    let scale = 10_u64.checked_pow(fraction.len() as u32)?;
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let whole = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(fraction)?;
    let total = whole.checked_mul(*unit)?;
    total.is_multiple_of(scale).then(|| total / scale)
}

/// A quantity that is drawn anew for each use, from the least to the most, both included.
///
/// Written as one value, or as `LEAST..MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Within<T> {
    pub(crate) least: T,
    pub(crate) most: T,
}

impl<T: Quantity> Within<T> {
    pub(crate) const fn exactly(value: T) -> Within<T> {
        Within { least: value, most: value }
    }

    pub(crate) const fn new(least: T, most: T) -> Within<T> {
        Within { least, most }
    }

    /// Takes one draw, whatever the bounds.
    pub(crate) fn draw(self, stream: &mut Stream) -> T {
        let (least, most) = (self.least.as_u64(), self.most.as_u64());
        let drawn = least + stream.below((most - least).saturating_add(1));
        T::from_u64((drawn - drawn % T::GRAIN).max(least))
    }

    fn read(text: &str) -> Result<Within<T>, String> {
        let value = |part: &str| {
            T::read(part).ok_or_else(|| {
                format!("'{}' is not what belongs here; write {}, or a range", part.trim(), T::HOW)
            })
        };
        let (least, most) = match text.split_once("..") {
            Some((least, most)) => (value(least)?, value(most)?),
            None => (value(text)?, value(text)?),
        };
        if least > most {
            return Err(format!("the range '{text}' is empty; write the smaller value first"));
        }
        Ok(Within { least, most })
    }
}

struct TextOrNumber<T>(PhantomData<T>);

impl<T: Quantity> Visitor<'_> for TextOrNumber<T> {
    type Value = Within<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a range LEAST..MOST as a string", T::HOW)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Within<T>, E> {
        Within::read(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Within<T>, E> {
        let value = u64::try_from(number).ok().and_then(T::from_number);
        let wrong = || E::custom(format!("{number} is not what belongs here; write {}", T::HOW));
        value.map(Within::exactly).ok_or_else(wrong)
    }
}

impl<'de, T: Quantity> Deserialize<'de> for Within<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Within<T>, D::Error> {
        deserializer.deserialize_any(TextOrNumber(PhantomData))
    }
}

/// One quantity, not a range.
pub(crate) fn single<'de, T: Quantity, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let within = Within::<T>::deserialize(deserializer)?;
    if within.least != within.most {
        let error = format!("a range is not possible here; write {}", T::HOW);
        return Err(D::Error::custom(error));
    }
    Ok(within.least)
}

/// One value, or a list of which each run draws one; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choices<T>(Vec<T>);

impl<T> Choices<T> {
    /// # Panics
    /// When there is nothing to choose from.
    pub(crate) fn new(choices: Vec<T>) -> Choices<T> {
        assert!(!choices.is_empty(), "a choice needs something to choose from");
        Choices(choices)
    }

    pub(crate) fn all(&self) -> &[T] {
        &self.0
    }

    /// Takes one draw. A choice that is listed twice is twice as likely.
    pub(crate) fn draw<'a>(&'a self, stream: &mut Stream) -> &'a T {
        stream.pick(&self.0)
    }
}

struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Choices<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value, or a list to choose from")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Choices<T>, E> {
        use serde::de::IntoDeserializer;
        T::deserialize(number.into_deserializer()).map(|one| Choices(vec![one]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Choices<T>, E> {
        use serde::de::IntoDeserializer;
        T::deserialize(text.into_deserializer()).map(|one| Choices(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices<T>, A::Error> {
        let mut choices = Vec::new();
        while let Some(choice) = list.next_element()? {
            choices.push(choice);
        }
        if choices.is_empty() {
            return Err(A::Error::custom("the list is empty; give at least one value"));
        }
        Ok(Choices(choices))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Choices<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choices<T>, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NoiseSeed;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        for (text, nanos) in [
            ("8s", 8_000_000_000),
            ("150ms", 150_000_000),
            ("1.5 ms", 1_500_000),
            ("0.25s", 250_000_000),
            ("2min", 120_000_000_000),
            ("7us", 7_000),
            ("0ns", 0),
        ] {
            assert_eq!(Nanos::read(text), Some(Nanos::from_nanos(nanos)), "{text}");
        }
        for text in ["", "s", "8", "8x", "-1s", "1.s", ".5s", "0.5ns", "1e3s", "99999999999h"] {
            assert_eq!(Nanos::read(text), None, "{text}");
        }
        assert_eq!(Ppm::read("1.5%"), Some(Ppm(15_000)));
        assert_eq!(Ppm::read("100%"), Some(Ppm(1_000_000)));
        assert_eq!(Ppm::read("200ppm"), Some(Ppm(200)));
        assert_eq!(Ppm::read("100.1%"), None);
        assert_eq!(Ppm::read("0.00001%"), None);
        assert_eq!(Bytes::read("64KiB"), Some(Bytes(65_536)));
        assert_eq!(Bytes::read("12B"), Some(Bytes(12)));
    }

    #[test]
    fn a_range_includes_both_ends_and_an_empty_one_is_refused() {
        let within = Within::<u32>::read("3..5").unwrap();
        let mut stream = Stream::new(NoiseSeed(1), "test", 0, 0);
        let drawn: Vec<u32> = (0..50).map(|_| within.draw(&mut stream)).collect();
        for value in 3..=5 {
            assert!(drawn.contains(&value));
        }
        assert!(drawn.iter().all(|value| (3..=5).contains(value)));
        let times = Within::<Nanos>::read("1500ns..1ms").unwrap();
        for _ in 0..50 {
            let time = times.draw(&mut stream).as_nanos();
            assert!(
                time == 1_500 || time.is_multiple_of(1_000) && (1_500..=1_000_000).contains(&time)
            );
        }
        assert!(Within::<u32>::read("5..3").unwrap_err().contains("is empty; "));
        assert!(Within::<Nanos>::read("1s..2").unwrap_err().contains("'2' is not what"));
    }
}
