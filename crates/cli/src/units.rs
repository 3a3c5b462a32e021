//! Durations, sizes and counts as people write and read them. Knows no command.

use std::fmt;
use std::time::Duration;

/// Reads a duration: one or more numbers with their unit, as in `90s`, `8h` or `1h30m`.
///
/// # Errors
/// A sentence that says how to write it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || {
        format!("'{text}' is no duration: write numbers with units, as in 500ms, 90s, 5m or 1h30m")
    };
    let mut rest = text.trim();
    let mut total: u128 = 0;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(refused)?;
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let nanos = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS_PER_SECOND,
            "m" | "min" => 60 * NANOS_PER_SECOND,
            "h" => 3_600 * NANOS_PER_SECOND,
            "d" => 86_400 * NANOS_PER_SECOND,
            _ => return Err(refused()),
        };
        total += number.scaled(nanos).ok_or_else(refused)?;
        rest = after;
    }
    if total == 0 {
        return Err(format!("'{text}' is no time at all: it has to be longer than zero"));
    }
    let nanos = u64::try_from(total)
        .map_err(|_| format!("'{text}' is too long: the longest duration is 584 years"))?;
    Ok(Duration::from_nanos(nanos))
}

/// Reads a number of bytes: `800MB`, `2GiB`, or bytes without a unit.
///
/// # Errors
/// A sentence that says how to write it.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let refused =
        || format!("'{text}' is no size: write bytes with a unit, as in 800MB, 512MiB or 2GiB");
    let (number, unit) = split_number(text.trim()).ok_or_else(refused)?;
    let bytes = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(refused()),
    };
    let bytes = number.scaled(bytes).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.filter(|&bytes| bytes > 0).ok_or_else(refused)
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A decimal number, exactly: `digits` divided by 10 to the power of `decimals`.
struct Decimal {
    digits: u128,
    decimals: u32,
}

impl Decimal {
    /// The whole units of `unit` each, rounded down; `None` if there are too many.
    fn scaled(&self, unit: u128) -> Option<u128> {
        Some(self.digits.checked_mul(unit)? / 10u128.checked_pow(self.decimals)?)
    }
}

/// The number at the start of the text, and what follows it.
fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, after) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || decimals.contains('.') {
        return None;
    }
    let digits = format!("{whole}{decimals}").parse().ok()?;
    Some((Decimal { digits, decimals: decimals.len() as u32 }, after))
}

/// A count with thousands separators: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 operation`, `1,204 operations`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// A duration in nanoseconds, shown with three digits or so, in the unit that fits it.
pub(crate) struct Nanos(pub(crate) u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        let nanos = self.0;
        let seconds = nanos / SECOND;
        let text = match seconds {
            0 if nanos < 1_000 => format!("{nanos} ns"),
            0 if nanos < 1_000_000 => three_digits(nanos, 1_000, "µs"),
            0 => three_digits(nanos, 1_000_000, "ms"),
            1..60 => three_digits(nanos, SECOND, "s"),
            60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
            3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
            _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
        };
        f.pad(&text)
    }
}

/// Rounds down: what took 999.9 ms is never shown as 1000 ms.
fn three_digits(nanos: u64, unit: u64, name: &str) -> String {
    let (whole, part) = (nanos / unit, nanos % unit);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", part * 100 / unit),
        10..100 => format!("{whole}.{} {name}", part * 10 / unit),
        _ => format!("{whole} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_sums() {
        for (text, nanos) in [
            ("15ns", 15),
            ("3us", 3_000),
            ("500ms", 500_000_000),
            ("90s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("5m", 300_000_000_000),
            ("8h", 28_800_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("2d", 172_800_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "90", "s", "-1s", "1.s", "1.2.3s", "1 week", "0s", "999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken for a duration");
        }
    }

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        for (text, bytes) in [
            ("1024", 1024),
            ("800MB", 800_000_000),
            ("512MiB", 512 << 20),
            ("1.5gib", 3 << 29),
            ("10k", 10_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "MB", "-1", "1 fortnight", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text:?} was taken for a size");
        }
    }

    #[test]
    fn counts_have_thousands_separators() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
        assert_eq!(plural(1, "operation"), "1 operation");
        assert_eq!(plural(2_000, "file"), "2,000 files");
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        for (nanos, text) in [
            (17, "17 ns"),
            (1_239, "1.23 µs"),
            (12_390_000, "12.3 ms"),
            (999_999_999, "999 ms"),
            (59_990_000_000, "59.9 s"),
            (252_000_000_000, "4 min 12 s"),
            (10_980_000_000_000, "3 h 03 min"),
            (190_800_000_000_000, "2 d 05 h"),
        ] {
            assert_eq!(Nanos(nanos).to_string(), text);
        }
    }
}
