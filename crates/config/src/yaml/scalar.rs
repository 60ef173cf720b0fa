//! The type of a plain scalar, as Go's `yaml.v3` tells it when it decodes into an untyped value.
//!
//! That is the YAML 1.2 core schema with a few words of YAML 1.1: `yes`, `no`, `on` and `off` stay
//! text, `0123` is octal, `0b11` binary, and underscores in numbers are dropped. Dates stay text here.

use crate::node::Value;

/// The value of `text`, given whether it stood in quotes (or a block) and its tag's name, if any.
pub(super) fn resolve(text: &str, quoted: bool, tag: Option<&str>) -> Result<Value, String> {
    let refuse = || Err(format!("`{text}` is not of the type that its tag names"));
    match tag {
        None if quoted => Ok(Value::String(text.to_owned())),
        None => Ok(plain(text)),
        Some("str" | "timestamp") => Ok(Value::String(text.to_owned())),
        Some("null") => match plain(text) {
            Value::Null => Ok(Value::Null),
            _ => refuse(),
        },
        Some("bool") => match plain(text) {
            Value::Bool(flag) => Ok(Value::Bool(flag)),
            _ => refuse(),
        },
        Some("int") => match plain(text) {
            Value::Int(number) => Ok(Value::Int(number)),
            _ => refuse(),
        },
        Some("float") => match plain(text) {
            Value::Int(number) => Ok(Value::Float(number as f64)),
            Value::Float(number) => Ok(Value::Float(number)),
            _ => refuse(),
        },
        Some(other) => Err(format!("the tag `{other}` is not supported")),
    }
}

/// The value of a scalar without quotes and tag.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    // No number of 64 bits needs more, and a float gains nothing from more digits.
    if !numeric || text.len() > 400 {
        return Value::String(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Value::Int(number);
    }
    if is_decimal(&digits)
        && let Ok(number) = digits.parse::<f64>()
        && number.is_finite()
    {
        return Value::Float(number);
    }
    Value::String(text.to_owned())
}

/// An integer with an optional sign and base prefix that fits `i64` or `u64`.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |prefix: &str| digits.get(..2).filter(|p| p.eq_ignore_ascii_case(prefix));
    let (base, digits) = if prefixed("0x").is_some() {
        (16, digits.get(2..)?)
    } else if prefixed("0o").is_some() {
        (8, digits.get(2..)?)
    } else if prefixed("0b").is_some() {
        (2, digits.get(2..)?)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits.get(1..)?)
    } else {
        (10, digits)
    };
    if !digits.starts_with(|c: char| c.is_digit(base)) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, base).ok()?);
    let number = if negative { -number } else { number };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, part)) => {
            digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_the_reference() {
        let text = |s: &str| Value::String(s.to_owned());
        for (given, wanted) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("NULL", Value::Null),
            ("nULL", text("nULL")),
            ("True", Value::Bool(true)),
            ("yes", text("yes")),
            ("on", text("on")),
            ("off", text("off")),
            ("y", text("y")),
            ("123", Value::Int(123)),
            ("+5", Value::Int(5)),
            ("-5", Value::Int(-5)),
            ("1_000", Value::Int(1000)),
            ("0123", Value::Int(83)),
            ("0o17", Value::Int(15)),
            ("0x1F", Value::Int(31)),
            ("-0b11", Value::Int(-3)),
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            ("-9223372036854775808", Value::Int(i64::MIN.into())),
            (
                "18446744073709551616",
                Value::Float(18_446_744_073_709_551_616.0),
            ),
            ("012345678901", Value::Float(12_345_678_901.0)),
            ("08", Value::Float(8.0)),
            ("1e3", Value::Float(1000.0)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-1.5E-3", Value::Float(-0.0015)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            (".NaN", Value::Float(f64::NAN)),
            ("1e999", text("1e999")),
            ("1e", text("1e")),
            ("0x", text("0x")),
            ("0x-1", text("0x-1")),
            ("--1", text("--1")),
            ("+", text("+")),
            (".", text(".")),
            ("5s", text("5s")),
            ("2024-01-02", text("2024-01-02")),
            ("0.0.0.0:4317", text("0.0.0.0:4317")),
            ("infinity", text("infinity")),
        ] {
            assert_eq!(plain(given), wanted, "{given}");
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        assert_eq!(resolve("1", true, None), Ok(Value::String("1".to_owned())));
        assert_eq!(
            resolve("1", false, Some("str")),
            Ok(Value::String("1".to_owned()))
        );
        assert_eq!(resolve("1", true, Some("int")), Ok(Value::Int(1)));
        assert_eq!(resolve("1", false, Some("float")), Ok(Value::Float(1.0)));
        assert_eq!(resolve("~", false, Some("null")), Ok(Value::Null));
        for (text, tag) in [
            ("a", "int"),
            ("a", "bool"),
            ("1", "null"),
            ("aGk=", "binary"),
        ] {
            assert!(resolve(text, false, Some(tag)).is_err(), "{tag} {text}");
        }
    }
}
