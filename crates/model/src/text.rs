//! How values become text, equal to what Go prints in the reference.

use crate::value::ValueRef;

/// Standard base64 with padding, as Go's `base64.StdEncoding`.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Base64 for URLs without padding, as Go's `base64.RawURLEncoding`.
pub fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A double as Go's `encoding/json` writes it: shortest digits, exponent form below 1e-6 and from
/// 1e21 on, `e-07` cut to `e-7`. NaN and infinities, which JSON lacks, come as their Go names.
pub fn go_json_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let abs = value.abs();
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        // Rust writes `1e-7` and `1e21`; Go writes `1e-7` and `1e+21`.
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{value}")
}

/// Appends a value as compact JSON, the way the reference's `AsString` writes arrays and maps:
/// map keys sorted, bytes in base64, `<`, `>` and `&` escaped as Go's encoder does.
pub fn write_json(value: ValueRef<'_>, out: &mut String) {
    match value {
        ValueRef::Empty => out.push_str("null"),
        ValueRef::Str(s) => write_json_str(s, out),
        ValueRef::Bool(b) => out.push_str(if b { "true" } else { "false" }),
        ValueRef::Int(i) => out.push_str(&i.to_string()),
        ValueRef::Double(d) => out.push_str(&go_json_float(d)),
        ValueRef::Bytes(b) => write_json_str(&base64(b), out),
        ValueRef::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        ValueRef::Map(map) => {
            let sorted: std::collections::BTreeMap<&str, ValueRef<'_>> = map.iter().collect();
            out.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_str(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

/// Appends a JSON string with Go's escapes (HTML-safe, as `encoding/json` does by default).
pub fn write_json_str(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let escape: std::borrow::Cow<'static, str> = match c {
            '"' => "\\\"".into(),
            '\\' => "\\\\".into(),
            '\n' => "\\n".into(),
            '\r' => "\\r".into(),
            '\t' => "\\t".into(),
            '\u{8}' => "\\b".into(),
            '\u{c}' => "\\f".into(),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", c as u32).into(),
            c if (c as u32) < 0x20 => format!("\\u{:04x}", c as u32).into(),
            _ => continue,
        };
        out.push_str(text.get(start..at).unwrap_or(""));
        out.push_str(&escape);
        start = at + c.len_utf8();
    }
    out.push_str(text.get(start..).unwrap_or(""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-2.5e-9, "-2.5e-9"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(go_json_float(value), text);
        }
    }
}
