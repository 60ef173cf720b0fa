//! Instants as Docker and ECS write them (RFC 3339).

/// Nanoseconds from one instant to another, within 64 bits; `None` if either is no RFC 3339 date and
/// time.
pub(super) fn between(from: &str, to: &str) -> Option<i64> {
    let apart = unix_ns(to)? - unix_ns(from)?;
    Some(apart.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// `2026-01-02T03:04:05[.123456789](Z|+01:00)` as Unix nanoseconds; years from 0 to 9999.
fn unix_ns(text: &str) -> Option<i128> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    let month = after(&mut rest, b'-', 1..=12)?;
    let day = after(&mut rest, b'-', 1..=31)?;
    let hour = after(&mut rest, b'T', 0..=23)?;
    let minute = after(&mut rest, b':', 0..=59)?;
    let second = after(&mut rest, b':', 0..=60)?;
    let mut nanos = 0;
    if let [b'.', digits @ ..] = rest {
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let (fraction, behind) = digits.split_at(length);
        // What is finer than a nanosecond is cut off.
        let padded = fraction.iter().copied().chain(std::iter::repeat(b'0'));
        nanos = padded.take(9).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        rest = behind;
    }
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let mut zone = zone;
            let hours = number(&mut zone, 2)?;
            let minutes = after(&mut zone, b':', 0..=59)?;
            let seconds = hours * 3600 + minutes * 60;
            if !zone.is_empty() {
                return None;
            }
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let days = days_since_epoch(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

/// The next digits, so many of them.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (number, behind) = rest.split_at_checked(digits)?;
    *rest = behind;
    number.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// A separator and two digits within a range.
fn after(rest: &mut &[u8], separator: u8, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let (first, behind) = rest.split_first()?;
    if !first.eq_ignore_ascii_case(&separator) {
        return None;
    }
    *rest = behind;
    number(rest, 2).filter(|number| range.contains(number))
}

/// Days from 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day
/// comes last; 719,468 days lie between the start of year 0 and 1970.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_read_to_the_nanosecond() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00.5+01:00", 500_000_000),
            ("2020-02-29T00:00:00.000000001Z", 1_582_934_400_000_000_001),
            ("2026-11-22T16:53:36.3249999999z", 1_795_366_416_324_999_999),
            ("1969-12-31T23:30:00-00:30", 0),
        ] {
            assert_eq!(unix_ns(text), Some(ns), "{text}");
        }
        // Docker's "never": the whole time since then does not fit 64 bits.
        let since = between("0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert_eq!(since, Some(i64::MAX));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2026-01-02",
            "2026-13-02T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+0100",
            "2026-01-02T03:04:05+01:00x",
            "+026-01-02T03:04:05Z",
        ] {
            assert_eq!(unix_ns(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(text in "\\PC{0,40}", digits in "[0-9TZ:.+-]{0,40}") {
            let _read = (unix_ns(&text), unix_ns(&digits));
        }
    }
}
