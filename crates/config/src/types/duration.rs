//! Spans of time in the notation of Go: `1h30m`, `1.5s`, `100ms`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::names;

/// A span of time, as Go keeps it: signed nanoseconds in 64 bits.
///
/// In YAML it is text with units (`ns us ms s m h`, also added up: `1m30s`). A bare integer means
/// nanoseconds, as in the reference, and draws a warning (CFG-25, CFG-26).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, or something else where a number should be.
    #[error("invalid duration `{0}`")]
    Invalid(String),
    /// A number without a unit.
    #[error("missing unit in duration `{0}`")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("unknown unit `{1}` in duration `{0}`")]
    Unit(String, String),
    /// More than about 292 years.
    #[error("duration `{0}` is too long")]
    Range(String),
}

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many nanoseconds.
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// So many milliseconds; stays within 64 bits of nanoseconds.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds.saturating_mul(MILLISECOND))
    }

    /// So many seconds; stays within 64 bits of nanoseconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// So many minutes; stays within 64 bits of nanoseconds.
    pub const fn from_mins(minutes: i64) -> Self {
        Self(minutes.saturating_mul(MINUTE))
    }

    /// The nanoseconds, negative if the text began with a minus.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The seconds with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// The type of the standard library; negative spans become zero (validate them first).
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(if self.0 < 0 { 0 } else { self.0.unsigned_abs() })
    }

    /// Is it exactly zero?
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Is it below zero?
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Reads Go's notation.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanoseconds, after) = part(text, rest)?;
            total = total.saturating_add(nanoseconds);
            rest = after;
        }
        let total = i128::try_from(total).unwrap_or(i128::MAX);
        let signed = if negative { -total } else { total };
        i64::try_from(signed)
            .map(Self)
            .map_err(|_| DurationError::Range(text.to_owned()))
    }
}

/// One number with its unit at the start of `rest`: its nanoseconds and what follows.
fn part<'a>(whole: &str, rest: &'a str) -> Result<(u128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(whole.to_owned());
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (integer, after) = rest.split_at(digits(rest));
    let (fraction, after) = match after.strip_prefix('.') {
        Some(behind) => behind.split_at(digits(behind)),
        None => ("", after),
    };
    if integer.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let length = after
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(after.len());
    let (unit, after) = after.split_at(length);
    let scale = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "" => return Err(DurationError::NoUnit(whole.to_owned())),
        other => return Err(DurationError::Unit(whole.to_owned(), other.to_owned())),
    };
    let scale = u128::from(scale.unsigned_abs());
    let too_long = |_| DurationError::Range(whole.to_owned());
    let integer: u128 = if integer.is_empty() {
        0
    } else {
        integer.parse().map_err(too_long)?
    };
    // Digits beyond the eighteenth are below a nanosecond for every unit.
    let kept = fraction.get(..18).unwrap_or(fraction);
    let tenths = 10_u128.pow(kept.len().try_into().unwrap_or(18));
    let fraction: u128 = if kept.is_empty() {
        0
    } else {
        kept.parse().map_err(too_long)?
    };
    Ok((
        integer
            .saturating_mul(scale)
            .saturating_add(fraction * scale / tenths),
        after,
    ))
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        Self::parse(text)
    }
}

/// Too long spans become the longest possible.
impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.to_std()
    }
}

/// Go's form: `1m30s`, `1h0m0s`, `1.5ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let small = |f: &mut fmt::Formatter<'_>, unit: u64, name: &str| {
            decimal(f, nanoseconds / unit, nanoseconds % unit, unit)?;
            f.write_str(name)
        };
        match nanoseconds {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanoseconds}ns"),
            1_000..1_000_000 => small(f, 1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => small(f, 1_000_000, "ms"),
            _ => {
                let seconds = nanoseconds / 1_000_000_000;
                if seconds >= 3600 {
                    write!(f, "{}h", seconds / 3600)?;
                }
                if seconds >= 60 {
                    write!(f, "{}m", seconds / 60 % 60)?;
                }
                decimal(f, seconds % 60, nanoseconds % 1_000_000_000, 1_000_000_000)?;
                f.write_str("s")
            }
        }
    }
}

/// `whole` and, unless it is zero, `part / unit` as decimals without trailing zeros.
fn decimal(f: &mut fmt::Formatter<'_>, whole: u64, part: u64, unit: u64) -> fmt::Result {
    write!(f, "{whole}")?;
    if part == 0 {
        return Ok(());
    }
    let width = usize::try_from(unit.ilog10()).unwrap_or(9);
    let digits = format!("{part:0width$}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The tree's deserializer knows the name and warns about bare integers.
        deserializer.deserialize_newtype_struct(names::DURATION, Reader)
    }
}

struct Reader;

impl<'de> de::Visitor<'de> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `30s` or `1m30s`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Duration, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_i64<E: de::Error>(self, nanoseconds: i64) -> Result<Duration, E> {
        Ok(Duration(nanoseconds))
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<Duration, E> {
        i64::try_from(nanoseconds)
            .map(Duration)
            .map_err(|_| E::custom(DurationError::Range(nanoseconds.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        Duration::parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// CFG-25; the printed forms are those of Go's `Duration.String`.
    #[test]
    fn reads_and_prints_go_notation() {
        for (text, nanoseconds, printed) in [
            ("0", 0, "0s"),
            ("-0", 0, "0s"),
            ("5ns", 5, "5ns"),
            ("1.5us", 1_500, "1.5\u{b5}s"),
            ("1.5\u{3bc}s", 1_500, "1.5\u{b5}s"),
            ("100ms", 100 * MILLISECOND, "100ms"),
            ("1.5h", 90 * MINUTE, "1h30m0s"),
            ("1m30s", 90 * SECOND, "1m30s"),
            ("1h", HOUR, "1h0m0s"),
            (".5s", SECOND / 2, "500ms"),
            ("1.s", SECOND, "1s"),
            ("-2s", -2 * SECOND, "-2s"),
            ("+3m0.25s", 180 * SECOND + SECOND / 4, "3m0.25s"),
            (
                "2562047h47m16.854775807s",
                i64::MAX,
                "2562047h47m16.854775807s",
            ),
        ] {
            let duration = Duration::parse(text).unwrap();
            assert_eq!(duration.nanos(), nanoseconds, "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_other_notations() {
        use DurationError::{Invalid, NoUnit, Range, Unit};
        let text = |s: &str| s.to_owned();
        for (given, error) in [
            ("", Invalid(text(""))),
            ("s", Invalid(text("s"))),
            ("-", Invalid(text("-"))),
            (".s", Invalid(text(".s"))),
            ("5", NoUnit(text("5"))),
            ("1.5", NoUnit(text("1.5"))),
            ("5d", Unit(text("5d"), text("d"))),
            ("5 s", Unit(text("5 s"), text(" s"))),
            ("1h 30m", Unit(text("1h 30m"), text("h "))),
            ("9999999999h", Range(text("9999999999h"))),
        ] {
            assert_eq!(Duration::parse(given), Err(error), "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(nanoseconds in any::<i64>()) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.nu\u{b5}msh ]{0,40}") {
            if let Ok(duration) = Duration::parse(&text) {
                prop_assert_eq!(Duration::parse(&duration.to_string()), Ok(duration));
            }
        }
    }
}
