//! Values in the notation of Prometheus: durations and sizes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Units of durations, longest first, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3600 * 1000),
    ("w", 7 * 24 * 3600 * 1000),
    ("d", 24 * 3600 * 1000),
    ("h", 3600 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// A span of time as Prometheus writes it: whole numbers with units in falling order, such as
/// `1h30m`; a bare `0` is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PromDuration(u64);

impl PromDuration {
    /// So many seconds.
    pub(crate) const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// From the type of the standard library, without what is less than a millisecond.
    pub(crate) fn from_std(time: Duration) -> Self {
        Self(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// The type of the standard library.
    pub(crate) const fn to_std(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it is no time at all.
    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads the notation.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(0));
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut allowed = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, after) = rest.split_at_checked(digits)?;
            let number: u64 = number.parse().ok()?;
            let end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, tail) = after.split_at_checked(end)?;
            let at = UNITS.iter().position(|(name, _)| *name == unit)?;
            if at < allowed {
                return None;
            }
            allowed = at + 1;
            total = total.checked_add(number.checked_mul(UNITS.get(at)?.1)?)?;
            rest = tail;
        }
        (!text.is_empty()).then_some(Self(total))
    }
}

impl TryFrom<String> for PromDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| {
            format!("not a valid duration string: `{text}`; write it as `15s` or `1h30m`")
        })
    }
}

impl From<PromDuration> for String {
    fn from(duration: PromDuration) -> Self {
        let mut rest = duration.0;
        let mut text = String::new();
        for (unit, length) in UNITS {
            // Weeks and years only if nothing is left over, as the reference prints them.
            let exact = !matches!(unit, "y" | "w") || rest.is_multiple_of(length);
            if rest >= length && exact {
                text.push_str(&format!("{}{unit}", rest / length));
                rest %= length;
            }
        }
        if text.is_empty() {
            "0s".to_owned()
        } else {
            text
        }
    }
}

/// A size with a unit; `KB` and `KiB` are both 1024 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PromSize(pub(crate) u64);

impl TryFrom<String> for PromSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("not a valid size: `{text}`; write it as `500KB` or `10MB`");
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).ok_or_else(bad)?;
        let power = match unit.trim() {
            "" | "B" => 0,
            "K" | "KB" | "KiB" => 1,
            "M" | "MB" | "MiB" => 2,
            "G" | "GB" | "GiB" => 3,
            "T" | "TB" | "TiB" => 4,
            "P" | "PB" | "PiB" => 5,
            "E" | "EB" | "EiB" => 6,
            _ => return Err(bad()),
        };
        let number: f64 = number.parse().map_err(|_| bad())?;
        let bytes = number * 1024f64.powi(power);
        if !bytes.is_finite() || bytes < 0.0 {
            return Err(bad());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be finite and not negative; casts saturate"
        )]
        Ok(Self(bytes as u64))
    }
}

impl From<PromSize> for String {
    fn from(size: PromSize) -> Self {
        if size.0 == 0 {
            "0".to_owned()
        } else {
            format!("{}B", size.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("15s", Some(15_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1m500ms", Some(60_500)),
            ("1d", Some(86_400_000)),
            ("2w", Some(1_209_600_000)),
            ("0", Some(0)),
            ("", None),
            ("15", None),
            ("1.5s", None),
            ("30m1h", None),
            ("1s1s", None),
            ("-1s", None),
            ("s", None),
            ("1 s", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(
                PromDuration::parse(text).map(|d| d.0),
                milliseconds,
                "{text}"
            );
        }
        for text in ["15s", "1h30m", "1m500ms", "1d", "2w", "1y", "0s"] {
            let parsed = PromDuration::parse(text).unwrap_or_default();
            assert_eq!(String::from(parsed), text);
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("500B", Some(500)),
            ("10KB", Some(10 << 10)),
            ("10KiB", Some(10 << 10)),
            ("1.5MB", Some(1_572_864)),
            ("0", Some(0)),
            ("x", None),
            ("5XB", None),
        ] {
            assert_eq!(
                PromSize::try_from(text.to_owned()).ok().map(|s| s.0),
                bytes,
                "{text}"
            );
        }
    }
}
