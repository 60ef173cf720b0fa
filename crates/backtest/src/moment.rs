//! Points in time and spans, as people write them, and the calendar that the detector goes by.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Nanoseconds per second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Days that fit in the nanoseconds of an `i64` are far more than any span asked for here.
const MOST_DAYS: f64 = 36_500.0;

/// A point in time as Unix nanoseconds: Unix seconds, milli-, micro- or nanoseconds (told apart by
/// their size), RFC 3339, or date and time without a zone, which are taken as UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    number(text).or_else(|| written(text))
}

/// Seconds since 1970 of Unix nanoseconds.
pub(crate) fn seconds(time_ns: i64) -> f64 {
    // whole and fraction apart: a float holds no more than 53 bits of a nanosecond count
    let (whole, part) = (time_ns.div_euclid(SECOND), time_ns.rem_euclid(SECOND));
    whole as f64 + part as f64 / 1e9
}

/// Nanoseconds of a number of seconds, to the millisecond.
pub(crate) fn from_seconds(seconds: f64) -> i64 {
    ((seconds * 1000.0).round() as i64).saturating_mul(1_000_000)
}

fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(part) {
        // such as 1.7e9
        let value: f64 = text.parse().ok()?;
        return (value.abs() < 1e11).then(|| from_seconds(value));
    }
    let whole: i64 = whole.parse().ok()?;
    // the year 5138 in seconds, 1973 in milliseconds, and so on
    let unit = if whole < 100_000_000_000 {
        SECOND
    } else if whole < 100_000_000_000_000 {
        1_000_000
    } else if whole < 100_000_000_000_000_000 {
        1000
    } else {
        1
    };
    let mut ns = whole.checked_mul(unit)?;
    let mut digit_ns = unit / 10;
    for digit in part.bytes() {
        ns += digit_ns * i64::from(digit - b'0');
        digit_ns /= 10;
    }
    Some(if digits.len() == text.len() { ns } else { -ns })
}

fn written(text: &str) -> Option<i64> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let civil: DateTime = text.parse().ok()?;
            civil.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    i64::try_from(time.as_nanosecond()).ok()
}

/// A length of time such as `90s`, `1h30m`, `14d`, `2w`, in seconds.
pub(crate) fn length(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (count, unit) = rest.split_at(digits);
        let letters = unit
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(unit.len());
        let (unit, next) = unit.split_at(letters);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return None,
        };
        sum += count.parse::<f64>().ok()? * seconds;
        rest = next;
    }
    (sum <= MOST_DAYS * 86_400.0).then_some(sum)
}

/// From inclusive, to exclusive, Unix nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First moment.
    pub(crate) from_ns: i64,
    /// First moment after it.
    pub(crate) to_ns: i64,
}

impl Span {
    /// Two points in time with `..` between them; either may be missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("..")?;
        let end = |text: &str, missing: i64| match text.trim() {
            "" => Some(missing),
            text => parse(text),
        };
        let (from_ns, to_ns) = (end(from, i64::MIN)?, end(to, i64::MAX)?);
        (from_ns < to_ns).then_some(Self { from_ns, to_ns })
    }

    /// The first moment as RFC 3339; year 1 when it is open.
    pub(crate) fn start_rfc3339(&self) -> String {
        rfc3339(self.from_ns, "0001-01-01T00:00:00Z")
    }

    /// The first moment after it; year 9999 when it is open.
    pub(crate) fn end_rfc3339(&self) -> String {
        rfc3339(self.to_ns, "9999-01-01T00:00:00Z")
    }

    pub(crate) fn contains(&self, time_ns: i64) -> bool {
        (self.from_ns..self.to_ns).contains(&time_ns)
    }
}

fn rfc3339(time_ns: i64, open: &str) -> String {
    match Timestamp::from_nanosecond(i128::from(time_ns)) {
        Ok(time) if time_ns != i64::MIN && time_ns != i64::MAX => time.to_string(),
        _ => open.to_owned(),
    }
}

/// Local time of samples, and times from which nothing is learned: the same reading of `timezone`
/// and `exclude` as in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: Option<TimeZone>,
    excluded: Vec<Span>,
    /// The quarter of an hour of the last answer. All changes of all zones in use fall on one.
    stretch: i64,
    offset_s: i64,
}

/// Length of the stretches within which a zone's offset is constant, s.
const STRETCH_S: i64 = 900;

impl Calendar {
    /// `timezone` is an IANA name; `None` when there is no such zone.
    pub(crate) fn new(timezone: &str, excluded: Vec<Span>) -> Option<Self> {
        let zone = match timezone {
            "UTC" => None,
            name => Some(TimeZoneDatabase::bundled().get(name).ok()?),
        };
        Some(Self {
            zone,
            excluded,
            stretch: i64::MIN,
            offset_s: 0,
        })
    }

    /// Local seconds since 1970.
    pub(crate) fn local_s(&mut self, time_ns: i64) -> i64 {
        let utc_s = time_ns.div_euclid(SECOND);
        let Some(zone) = &self.zone else { return utc_s };
        let stretch = utc_s.div_euclid(STRETCH_S);
        if stretch != self.stretch {
            let offset = Timestamp::from_second(utc_s).map(|time| zone.to_offset(time).seconds());
            self.offset_s = offset.map_or(0, i64::from);
            self.stretch = stretch;
        }
        utc_s + self.offset_s
    }

    /// Whether samples of this time are learned.
    pub(crate) fn learns(&self, time_ns: i64) -> bool {
        !self.excluded.iter().any(|span| span.contains(time_ns))
    }
}

/// A point in time for people, to the second: `2026-01-31 13:05:00` in UTC.
pub(crate) fn show(time_ns: i64) -> String {
    let Ok(time) = Timestamp::from_second(time_ns.div_euclid(SECOND)) else {
        return time_ns.to_string();
    };
    let civil = TimeZone::UTC.to_datetime(time);
    civil.to_string().replace('T', " ")
}

/// A count for people: `1,234,567`.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time for people: `45 s`, `12 min`, `3.5 h`, `9 d`.
pub(crate) fn show_length(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 120.0 => (s, "s"),
        s if s < 7200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    let rounded = (value * 10.0).round() / 10.0;
    format!("{rounded} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart_by_size() {
        let expected = Some(1_700_000_000 * SECOND);
        for text in [
            "1700000000",
            "1700000000000",
            "1700000000000000",
            "1700000000000000000",
            "1.7e9",
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "2023-11-14 22:13:20",
            " 2023-11-14T22:13:20 ",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("1700000000.25"), Some(1_700_000_000_250_000_000));
        assert_eq!(
            parse("1700000000.123456789123"),
            Some(1_700_000_000_123_456_789)
        );
        assert_eq!(parse("-1.5"), Some(-1_500_000_000));
        assert_eq!(parse("1970-01-02"), Some(86_400 * SECOND));
        for text in [
            "",
            "now",
            "12:00",
            "1.2.3",
            "-",
            "9223372036854775808",
            "1e300",
            "nan",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_and_spans() {
        assert_eq!(length("1h30m"), Some(5400.0));
        assert_eq!(length("14d"), Some(14.0 * 86_400.0));
        assert_eq!(length("0.5s"), Some(0.5));
        for text in ["", "5", "m", "5y", "1h-", "999999999w"] {
            assert_eq!(length(text), None, "{text}");
        }
        let span = Span::parse("10..20");
        assert!(span.is_some_and(|s| s.contains(10 * SECOND) && !s.contains(20 * SECOND)));
        assert!(Span::parse("..20").is_some_and(|s| s.contains(i64::MIN)));
        assert_eq!(Span::parse("20..10"), None);
        assert_eq!(Span::parse("20"), None);
        assert_eq!(show_length(5400.0), "90 min");
        assert_eq!(show(1_700_000_000 * SECOND + 5), "2023-11-14 22:13:20");
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(show_count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn the_calendar_follows_daylight_saving() {
        let calendar = Calendar::new("Europe/Berlin", Vec::new());
        let mut calendar = calendar.expect("a zone");
        // 2025-03-30 01:00 UTC: from +1 h to +2 h
        let change = 1_743_296_400;
        assert_eq!(calendar.local_s((change - 1) * SECOND), change - 1 + 3600);
        assert_eq!(calendar.local_s(change * SECOND), change + 7200);
        assert!(Calendar::new("Europe/Atlantis", Vec::new()).is_none());
    }
}
