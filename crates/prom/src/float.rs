//! Floats as text, in the forms that Go's `strconv.FormatFloat` gives with the shortest digits.
//!
//! Remote write needs the plain decimal form for `le` and `quantile` (PRW-21); scraped labels are
//! normalised to the OpenMetrics form (prometheus-receiver specification, section 10.1).

use std::fmt::Write as _;

/// Digits and decimal exponent of the shortest text that reads back as `value`.
struct Shortest {
    /// Significant digits without a point, at least one.
    digits: String,
    /// Exponent of the first digit: `value = d.ddd * 10^exponent`.
    exponent: i32,
}

fn shortest(value: f64) -> Shortest {
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    Shortest {
        digits: mantissa.chars().filter(char::is_ascii_digit).collect(),
        exponent: exponent.parse().unwrap_or(0),
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Appends the shortest decimal without an exponent, as Go's format `f` with precision -1:
/// `0.005`, `1`, `1000000000000000000000`, `+Inf`.
pub fn push_plain(out: &mut String, value: f64) {
    match special(value) {
        Some(word) => out.push_str(word),
        // Rust's own display of floats is this form; writing to a string cannot fail.
        None => {
            let _written = write!(out, "{value}");
        }
    }
}

/// Decimal exponent from which Go's shortest `g` form is written with an exponent.
const EXPONENT_FROM: i32 = 6;

/// Appends Go's shortest `g` form: an exponent below 1e-4 and from 1e6.
fn push_general(out: &mut String, value: f64) {
    let Shortest { digits, exponent } = shortest(value);
    if special(value).is_some() || (-4..EXPONENT_FROM).contains(&exponent) {
        push_plain(out, value);
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    let (first, rest) = digits.split_at(1);
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let _written = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
}

/// The OpenMetrics form of a label value: Go's shortest `g` form, with `.0` added to whole numbers:
/// `1.0`, `0.005`, `1e+06`, `+Inf`.
#[must_use]
pub fn open_metrics(value: f64) -> String {
    let mut text = String::new();
    if value == 0.0 {
        text.push_str("0.0");
        return text;
    }
    push_general(&mut text, value);
    if value.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_never_has_an_exponent() {
        for (value, text) in [
            (0.005, "0.005"),
            (1.0, "1"),
            (1_000_000.0, "1000000"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (-0.0, "-0"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            let mut out = String::new();
            push_plain(&mut out, value);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn open_metrics_forms() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (10.0, "10.0"),
            (123_456.0, "123456.0"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.000_1, "0.0001"),
            (0.000_01, "1e-05"),
            (2.5, "2.5"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(open_metrics(value), text);
        }
    }
}
