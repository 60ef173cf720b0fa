//! Numbers of the text formats: the float grammar of Go's `strconv.ParseFloat` without hexadecimal
//! floats and underscores (PROM-70), and integer timestamps.

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Largest integer below which every integer is a double.
const MAX_EXACT: u64 = 1 << 53;

/// Bits of the NaN that every scraped NaN becomes, so that no target can send the staleness
/// marker (PROM-51).
pub const NORMAL_NAN_BITS: u64 = 0x7FF8_0000_0000_0001;

/// Bits of the NaN that marks a series as stale.
pub const STALE_NAN_BITS: u64 = 0x7FF0_0000_0000_0002;

/// Why a number was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberError {
    /// Not of the float grammar.
    Syntax,
    /// Magnitude above the largest double, such as `1e999`.
    Range,
}

/// Reads a plain decimal at the start of `bytes` and returns it with its length.
///
/// `None` if the text needs the general parser: words, more than 19 digits, or a value that one
/// exact multiplication or division cannot give. The caller checks what follows the number.
#[inline]
pub(crate) fn leading_decimal(bytes: &[u8]) -> Option<(f64, usize)> {
    let mut at = 0;
    let negative = match bytes.first()? {
        b'-' => {
            at = 1;
            true
        }
        b'+' => {
            at = 1;
            false
        }
        _ => false,
    };
    let start = at;
    let mut mantissa: u64 = 0;
    while let Some(digit) = digit_at(bytes, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - start;
    let mut exponent: i32 = 0;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let fraction = at;
        while let Some(digit) = digit_at(bytes, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        digits += at - fraction;
        exponent = -i32::try_from(at - fraction).ok()?;
    }
    // 19 digits cannot overflow the 64 bits; more may have.
    if digits == 0 || digits > 19 {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let (power, after) = exponent_at(bytes, at + 1)?;
        exponent += power;
        at = after;
    }
    if mantissa > MAX_EXACT {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 2^53, so exact")]
    let exact = mantissa as f64;
    let power = *EXACT_POWERS.get(exponent.unsigned_abs() as usize)?;
    let magnitude = if exponent < 0 {
        exact / power
    } else {
        exact * power
    };
    Some((if negative { -magnitude } else { magnitude }, at))
}

#[inline]
fn digit_at(bytes: &[u8], at: usize) -> Option<u64> {
    let digit = bytes.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

fn exponent_at(bytes: &[u8], mut at: usize) -> Option<(i32, usize)> {
    let negative = match bytes.get(at)? {
        b'-' => {
            at += 1;
            true
        }
        b'+' => {
            at += 1;
            false
        }
        _ => false,
    };
    let start = at;
    let mut power: i32 = 0;
    while let Some(digit) = digit_at(bytes, at) {
        power = power
            .checked_mul(10)?
            .checked_add(i32::try_from(digit).ok()?)?;
        at += 1;
    }
    if at == start || power > 400 {
        return None;
    }
    Some((if negative { -power } else { power }, at))
}

/// Parses a whole token as a float.
///
/// # Errors
/// If the token is no number of the grammar, or too large for a double.
pub(crate) fn parse_float(token: &[u8]) -> Result<f64, NumberError> {
    if let Some((value, length)) = leading_decimal(token)
        && length == token.len()
    {
        return Ok(value);
    }
    let text = std::str::from_utf8(token).map_err(|_| NumberError::Syntax)?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let signed = unsigned.len() != text.len();
    let word = unsigned
        .as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphabetic);
    if word && signed && unsigned.eq_ignore_ascii_case("nan") {
        return Err(NumberError::Syntax);
    }
    let value: f64 = text.parse().map_err(|_| NumberError::Syntax)?;
    if value.is_infinite() && !word {
        return Err(NumberError::Range);
    }
    Ok(if value.is_nan() {
        f64::from_bits(NORMAL_NAN_BITS)
    } else {
        value
    })
}

/// Parses the integer milliseconds of a text format timestamp; the token holds digits only.
pub(crate) fn parse_milliseconds(digits: &[u8]) -> Option<i64> {
    let mut value: i64 = 0;
    for digit in digits {
        value = value
            .checked_mul(10)?
            .checked_add(i64::from(digit.wrapping_sub(b'0')))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_and_refused_forms() {
        for (text, value) in [
            ("Inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1.", 1.0),
            (".5", 0.5),
            ("+1e3", 1000.0),
            ("-0", -0.0),
            ("1e-400", 0.0),
            (
                "123456789012345678901234567890",
                123_456_789_012_345_680_000_000_000_000.0,
            ),
        ] {
            let parsed = parse_float(text.as_bytes()).unwrap();
            assert_eq!(parsed.to_bits(), f64::to_bits(value), "{text}");
        }
        assert_eq!(parse_float(b"NaN").unwrap().to_bits(), NORMAL_NAN_BITS);
        for text in [
            "", ".", "e5", "1e", "0x1p4", "0x10", "1_000", "+nan", "-NaN", "1 ", "infi", "1e5x",
        ] {
            assert_eq!(
                parse_float(text.as_bytes()),
                Err(NumberError::Syntax),
                "{text}"
            );
        }
        assert_eq!(parse_float(b"1e999"), Err(NumberError::Range));
        assert_eq!(parse_float(b"-1e309"), Err(NumberError::Range));
    }

    proptest! {
        #[test]
        fn fast_path_equals_std(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:.3}")] {
                let expected: f64 = text.parse().unwrap();
                prop_assert_eq!(parse_float(text.as_bytes()).unwrap().to_bits(), expected.to_bits());
            }
        }

        #[test]
        fn decimal_text_equals_std(text in "[+-]?[0-9]{0,21}\\.?[0-9]{0,6}([eE][+-]?[0-9]{1,3})?") {
            let expected = text.parse::<f64>().ok().filter(|v| v.is_finite());
            prop_assert_eq!(parse_float(text.as_bytes()).ok().map(f64::to_bits), expected.map(f64::to_bits));
        }
    }
}
