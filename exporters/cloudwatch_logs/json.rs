//! JSON text, byte for byte as Go's `encoding/json` writes it (awsemf, section 10.5, EMF-49).
//!
//! A log event's message is itself a JSON string inside the `PutLogEvents` body: [`embed`] escapes
//! it for that. Numbers need no escaping.

use std::borrow::Cow;

use weir_model::ValueRef;
use weir_model::text::base64;

/// What separates `1e20` from `1e+21` in Go's output.
const EXPONENT_FROM: f64 = 1e21;
/// Below this, Go writes an exponent.
const EXPONENT_BELOW: f64 = 1e-6;
/// Integers up to here are exact doubles (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a JSON string. `html`: whether `<`, `>`, `&` are escaped too.
pub(crate) fn write_str(text: &str, html: bool, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, html, out);
    out.push(b'"');
}

/// Appends text as it stands inside a JSON string.
pub(crate) fn escape(text: &str, html: bool, out: &mut Vec<u8>) {
    pieces(text, html, |piece| match piece {
        Piece::Plain(plain) => out.extend_from_slice(plain),
        Piece::Escape(escape) => out.extend_from_slice(escape),
    });
}

/// A part of a text on its way into a JSON string.
pub(super) enum Piece<'t> {
    /// Stays as it is.
    Plain(&'t [u8]),
    /// Stands in place of something that cannot stand there.
    Escape(&'t [u8]),
}

/// Bytes that may need an escape.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
    table[0xe2] = true;
    table
};

/// Takes a text apart.
#[inline]
pub(super) fn pieces(text: &str, html: bool, mut put: impl FnMut(Piece<'_>)) {
    let bytes = text.as_bytes();
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = bytes.get(at..) {
        let special = |byte: &u8| SPECIAL.get(usize::from(*byte)) == Some(&true);
        let Some(found) = rest.iter().position(special) else {
            break;
        };
        at += found;
        let unicode = |c: [u8; 4]| [b'\\', b'u', c[0], c[1], c[2], c[3]];
        let (escape, len, taken) = match rest.get(found..) {
            Some([byte @ (b'"' | b'\\'), ..]) => ([b'\\', *byte, 0, 0, 0, 0], 2, 1),
            Some([b'\n', ..]) => (*b"\\n\0\0\0\0", 2, 1),
            Some([b'\r', ..]) => (*b"\\r\0\0\0\0", 2, 1),
            Some([b'\t', ..]) => (*b"\\t\0\0\0\0", 2, 1),
            Some([0x08, ..]) => (*b"\\b\0\0\0\0", 2, 1),
            Some([0x0c, ..]) => (*b"\\f\0\0\0\0", 2, 1),
            Some([0xe2, 0x80, last @ (0xa8 | 0xa9), ..]) => {
                (unicode([b'2', b'0', b'2', last - 0x70]), 6, 3)
            }
            Some([byte, ..]) if *byte < 0x20 || (html && *byte < 0x80) => {
                (unicode([b'0', b'0', hex(byte >> 4), hex(byte & 15)]), 6, 1)
            }
            _ => {
                at += 1;
                continue;
            }
        };
        put(Piece::Plain(bytes.get(start..at).unwrap_or(&[])));
        put(Piece::Escape(escape.get(..len).unwrap_or(&[])));
        at += taken;
        start = at;
    }
    put(Piece::Plain(bytes.get(start..).unwrap_or(&[])));
}

fn hex(digit: u8) -> u8 {
    if digit < 10 {
        b'0' + digit
    } else {
        b'a' - 10 + digit
    }
}

/// Appends JSON text so that it can stand inside a JSON string. The text has no control characters
/// (JSON escapes them), so only quotes and backslashes matter.
pub(crate) fn embed(json: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for at in memchr::memchr2_iter(b'"', b'\\', json) {
        out.extend_from_slice(json.get(start..at).unwrap_or(&[]));
        out.push(b'\\');
        start = at;
    }
    out.extend_from_slice(json.get(start..).unwrap_or(&[]));
}

/// Undoes [`embed`].
pub(crate) fn extract(embedded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(embedded.len());
    let mut bytes = embedded.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            out.extend(bytes.next());
        } else {
            out.push(byte);
        }
    }
    out
}

/// Length of embedded text without the escapes that [`embed`] put in.
pub(crate) fn extracted_len(embedded: &[u8]) -> usize {
    let mut len = 0;
    let mut bytes = embedded.iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'\\' {
            bytes.next();
        }
        len += 1;
    }
    len
}

/// Appends a finite double: shortest digits, an exponent only below 1e-6 and from 1e21 on.
#[inline]
pub(crate) fn write_f64(value: f64, out: &mut Vec<u8>) {
    if value.abs() < EXACT && value.fract() == 0.0 && !(value == 0.0 && value.is_sign_negative()) {
        write_i64(value as i64, out);
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let plain = !text.bytes().any(|b| b == b'e') && !text.ends_with(".0");
    if plain {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_wide(value, out);
    }
}

/// Numbers of unusual size.
#[cold]
fn write_wide(value: f64, out: &mut Vec<u8>) {
    let size = value.abs();
    if size != 0.0 && !(EXPONENT_BELOW..EXPONENT_FROM).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                out.extend_from_slice(digits.as_bytes());
                out.extend_from_slice(b"e+");
                out.extend_from_slice(exponent.as_bytes());
            }
            _ => out.extend_from_slice(text.as_bytes()),
        }
    } else {
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

/// Appends an integer.
#[inline]
pub(crate) fn write_i64(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an unsigned integer.
#[inline]
pub(crate) fn write_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A double as text, with JavaScript's names for what JSON lacks.
pub(crate) fn f64_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let mut out = Vec::new();
    write_f64(value, &mut out);
    into_text(out)
}

fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// An attribute value as a label's text (spec 4.1): text as it is, arrays and maps as compact JSON
/// with sorted keys and without HTML escapes.
pub(crate) fn label_text(value: ValueRef<'_>) -> Cow<'_, str> {
    match value {
        ValueRef::Empty => "".into(),
        ValueRef::Str(text) => text.into(),
        ValueRef::Bool(true) => "true".into(),
        ValueRef::Bool(false) => "false".into(),
        ValueRef::Int(int) => int.to_string().into(),
        ValueRef::Double(double) => f64_text(double).into(),
        ValueRef::Bytes(bytes) => base64(bytes).into(),
        ValueRef::List(_) | ValueRef::Map(_) => {
            let mut out = Vec::new();
            // Go refuses to encode NaN and infinities, and the text is empty then.
            if !write_value(value, false, &mut out) {
                return "".into();
            }
            into_text(out).into()
        }
    }
}

/// Appends a value as JSON; `html` as in [`write_str`]. Numbers that JSON lacks become text (`"NaN"`,
/// `"Infinity"`, `"-Infinity"`); whether there were none.
pub(crate) fn write_value(value: ValueRef<'_>, html: bool, out: &mut Vec<u8>) -> bool {
    match value {
        ValueRef::Empty => out.extend_from_slice(b"null"),
        ValueRef::Str(text) => write_str(text, html, out),
        ValueRef::Bool(true) => out.extend_from_slice(b"true"),
        ValueRef::Bool(false) => out.extend_from_slice(b"false"),
        ValueRef::Int(int) => write_i64(int, out),
        ValueRef::Double(double) if !double.is_finite() => {
            write_str(&f64_text(double), false, out);
            return false;
        }
        ValueRef::Double(double) => write_f64(double, out),
        ValueRef::Bytes(bytes) => write_str(&base64(bytes), html, out),
        ValueRef::List(list) => {
            let mut exact = true;
            out.push(b'[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                exact &= write_value(item, html, out);
            }
            out.push(b']');
            return exact;
        }
        ValueRef::Map(map) => return write_map(map.iter(), html, out),
    }
    true
}

/// Appends entries as a JSON object: keys sorted, of equal keys the last one; otherwise as
/// [`write_value`].
pub(crate) fn write_map<'a>(
    entries: impl Iterator<Item = (&'a str, ValueRef<'a>)>,
    html: bool,
    out: &mut Vec<u8>,
) -> bool {
    let mut entries: Vec<(&str, ValueRef<'_>)> = entries.collect();
    if !entries.is_sorted_by(|a, b| a.0 < b.0) {
        entries.sort_by_key(|(key, _)| *key);
    }
    let mut exact = true;
    let mut rest = entries.iter().peekable();
    let mut separator = b'{';
    while let Some((key, value)) = rest.next() {
        if rest.peek().is_some_and(|(next, _)| next == key) {
            continue;
        }
        out.push(separator);
        separator = b',';
        write_str(key, html, out);
        out.push(b':');
        exact &= write_value(*value, html, out);
    }
    if separator == b'{' {
        out.push(separator);
    }
    out.push(b'}');
    exact
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;
    use weir_model::Value;

    fn number(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(value, &mut out);
        into_text(out)
    }

    #[test]
    fn doubles_read_as_go_writes_them() {
        for (value, text) in [
            (7.0, "7"),
            (-0.0, "-0"),
            (2.5, "2.5"),
            (0.000001, "0.000001"),
            (0.00001234, "0.00001234"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (5e-324, "5e-324"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e300, "1e+300"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (-3.75, "-3.75"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        write_str(
            "a\"\\\n\r\t\u{8}\u{c}\u{1}<>&\u{2028}\u{2029}\u{e9}",
            true,
            &mut out,
        );
        assert_eq!(
            into_text(out),
            "\"a\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u003c\\u003e\\u0026\\u2028\\u2029\u{e9}\""
        );
        let mut out = Vec::new();
        write_str("<&>", false, &mut out);
        assert_eq!(into_text(out), "\"<&>\"");
    }

    #[test]
    fn values_become_label_text() {
        let list = Value::List(vec![
            Value::Int(1),
            "<a>".into(),
            Value::Double(3.5),
            Value::Empty,
        ]);
        let map = Value::Map(vec![
            ("b".to_owned(), Value::Int(1)),
            ("a".to_owned(), Value::Bytes(vec![1, 2, 3])),
        ]);
        let odd = Value::List(vec![Value::Double(f64::NAN)]);
        for (value, text) in [
            (Value::Empty, ""),
            (Value::Int(42), "42"),
            (Value::Bool(true), "true"),
            (Value::Double(2.5), "2.5"),
            (Value::Double(f64::NEG_INFINITY), "-Infinity"),
            (Value::Double(1e21), "1e+21"),
            (Value::Bytes(vec![1, 2, 3]), "AQID"),
            (list, "[1,\"<a>\",3.5,null]"),
            (map, "{\"a\":\"AQID\",\"b\":1}"),
            (odd, ""),
        ] {
            assert_eq!(value.with_ref(|v| label_text(v).into_owned()), text);
        }
    }

    proptest! {
        #[test]
        fn doubles_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(number(value).parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(number(value), weir_model::text::go_json_float(value));
        }

        #[test]
        fn strings_read_back_and_embedding_is_undone(text in ".*") {
            let mut json = Vec::new();
            write_str(&text, true, &mut json);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
            let mut embedded = vec![b'"'];
            embed(&json, &mut embedded);
            let inner = embedded[1..].to_vec();
            embedded.push(b'"');
            prop_assert_eq!(serde_json::from_slice::<String>(&embedded).unwrap().into_bytes(), json.clone());
            prop_assert_eq!(extracted_len(&inner), json.len());
            prop_assert_eq!(extract(&inner), json);
        }
    }
}
