//! Writes segment documents straight into the request body they travel in.
//!
//! A `PutTraceSegments` body is `{"TraceSegmentDocuments":["<document>",...]}`: every document is JSON
//! inside a JSON string, so it is escaped twice. [`DocumentWriter`] does both at once, which saves
//! the second pass over every byte. Literals therefore come through [`member!`] and the methods
//! here; nothing else knows about the outer level.
//!
//! Every value ends with a comma; closing an object or array takes the last one back.

use std::collections::BTreeMap;

use weir_model::ValueRef;
use weir_model::text;

use crate::escape::next_special;
use crate::seconds;

/// The name of an object member as it stands in the body, colon included.
macro_rules! member {
    ($name:literal) => {
        concat!("\\\"", $name, "\\\":")
    };
}
pub(crate) use member;

/// How much of a document is written. The reference has no such limits, the service has: 64 KiB a
/// document, so an oversized one is written again, smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Longest text of metadata, exceptions, statements and URLs, in bytes.
    pub max_text: usize,
    /// Most frames of one exception's stack.
    pub max_frames: usize,
    /// Most exceptions.
    pub max_exceptions: usize,
    /// Most links to other spans.
    pub max_links: usize,
    /// Whether metadata is written at all.
    pub metadata: bool,
}

impl Detail {
    /// Everything, as the reference.
    pub(crate) const FULL: Detail = Detail {
        max_text: usize::MAX,
        max_frames: usize::MAX,
        max_exceptions: usize::MAX,
        max_links: usize::MAX,
        metadata: true,
    };
    /// What an oversized document is cut to first.
    pub(crate) const SHORT_TEXTS: Detail = Detail {
        max_text: 2048,
        max_frames: 50,
        max_exceptions: 20,
        max_links: 100,
        metadata: true,
    };
    /// What is tried last.
    pub(crate) const NO_METADATA: Detail = Detail {
        max_text: 512,
        max_frames: 10,
        max_exceptions: 5,
        max_links: 20,
        metadata: false,
    };
}

/// A position in the output to return to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

/// Appends JSON, escaped for the string it stands in. See the module's head.
#[derive(Debug)]
pub(crate) struct DocumentWriter<'b> {
    out: &'b mut Vec<u8>,
    /// How much is written.
    pub detail: Detail,
    /// Values left out because JSON has no form for them (NaN, infinities).
    pub unprintable: u64,
}

impl<'b> DocumentWriter<'b> {
    pub(crate) fn new(out: &'b mut Vec<u8>, detail: Detail) -> Self {
        Self {
            out,
            detail,
            unprintable: 0,
        }
    }

    /// Appends text that needs no escaping (the output of [`member!`], ready fragments).
    #[inline]
    pub(crate) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Appends a fragment written by another writer of this kind.
    #[inline]
    pub(crate) fn fragment(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Opens an object.
    #[inline]
    pub(crate) fn open_object(&mut self) {
        self.out.push(b'{');
    }

    /// Opens an array.
    #[inline]
    pub(crate) fn open_array(&mut self) {
        self.out.push(b'[');
    }

    /// Closes an object.
    #[inline]
    pub(crate) fn close_object(&mut self) {
        self.take_comma();
        self.out.extend_from_slice(b"},");
    }

    /// Closes an array.
    #[inline]
    pub(crate) fn close_array(&mut self) {
        self.take_comma();
        self.out.extend_from_slice(b"],");
    }

    /// Takes back the comma behind the last value.
    #[inline]
    pub(crate) fn take_comma(&mut self) {
        if self.out.last() == Some(&b',') {
            self.out.pop();
        }
    }

    /// Where the output ends now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.out.len())
    }

    /// Whether something was written since `mark`.
    pub(crate) fn wrote_since(&self, mark: Mark) -> bool {
        self.out.len() > mark.0
    }

    /// Forgets what was written since `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.0);
    }

    /// A text value.
    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        self.out.extend_from_slice(b"\\\"");
        self.escaped(text);
        self.out.extend_from_slice(b"\\\",");
    }

    /// A text value that may be long: cut when the document has to shrink.
    #[inline]
    pub(crate) fn long_text(&mut self, text: &str) {
        self.text(cut(text, self.detail.max_text));
    }

    /// A text value whose last character was cut after this many of its bytes; as in Go, each of them
    /// reads as U+FFFD.
    pub(crate) fn torn_text(&mut self, text: &str, torn_bytes: usize) {
        self.out.extend_from_slice(b"\\\"");
        self.escaped(cut(text, self.detail.max_text));
        for _ in 0..torn_bytes {
            self.raw("\\\\ufffd");
        }
        self.out.extend_from_slice(b"\\\",");
    }

    /// A text value made of parts.
    pub(crate) fn text_parts(&mut self, parts: &[&str]) {
        self.out.extend_from_slice(b"\\\"");
        let mut room = self.detail.max_text;
        for part in parts {
            let part = cut(part, room);
            room -= part.len();
            self.escaped(part);
        }
        self.out.extend_from_slice(b"\\\",");
    }

    /// A member with text, left out when empty.
    #[inline]
    pub(crate) fn text_member(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.raw(name);
            self.long_text(text);
        }
    }

    /// A member with text; empty text prints as `null`.
    pub(crate) fn nullable_member(&mut self, name: &str, text: &str) {
        self.raw(name);
        if text.is_empty() {
            self.raw("null,");
        } else {
            self.long_text(text);
        }
    }

    /// The name of a member that is not known at compile time.
    #[inline]
    pub(crate) fn key(&mut self, name: &str) {
        self.key_parts("", name);
    }

    /// The name of a member with a plain prefix.
    #[inline]
    pub(crate) fn key_parts(&mut self, plain_prefix: &str, name: &str) {
        self.out.extend_from_slice(b"\\\"");
        self.out.extend_from_slice(plain_prefix.as_bytes());
        self.escaped(name);
        self.out.extend_from_slice(b"\\\":");
    }

    /// An integer value.
    #[inline]
    pub(crate) fn int(&mut self, value: i64) {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b',');
    }

    /// `true` or `false`.
    #[inline]
    pub(crate) fn bool(&mut self, value: bool) {
        self.raw(if value { "true," } else { "false," });
    }

    /// A double as Go's encoder prints it; the caller keeps NaN and infinities away.
    #[inline]
    pub(crate) fn double(&mut self, value: f64) {
        let abs = value.abs();
        if abs < 9e15 && value.fract() == 0.0 && (value != 0.0 || value.is_sign_positive()) {
            return self.int(value as i64);
        }
        if (1e-3..1e15).contains(&abs) {
            // In this range both print plain shortest digits.
            let mut buffer = zmij::Buffer::new();
            self.out
                .extend_from_slice(buffer.format_finite(value).as_bytes());
        } else {
            self.raw(&text::go_json_float(value));
        }
        self.out.push(b',');
    }

    /// Unix nanoseconds as seconds, see [`crate::seconds`].
    #[inline]
    pub(crate) fn seconds(&mut self, ns: u64) {
        let Some((number, digits)) = seconds::shortest(ns) else {
            return self.double(ns as f64 / 1e9);
        };
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number).as_bytes();
        let (whole, fraction) = text.split_at_checked(10).unwrap_or((text, &[]));
        self.out.extend_from_slice(whole);
        if digits > 0 {
            self.out.push(b'.');
            self.out.extend_from_slice(fraction);
        }
        self.out.push(b',');
    }

    /// Sixteen hexadecimal digits as text.
    #[inline]
    pub(crate) fn id(&mut self, id: [u8; 8]) {
        // One copy instead of three.
        let mut text = *b"\\\"0000000000000000\\\",";
        if let Some(digits) = text.get_mut(2..18) {
            digits.copy_from_slice(hex(id).as_flattened());
        }
        self.out.extend_from_slice(&text);
    }

    /// `1-<8 digits>-<24 digits>` as text (XR-01).
    #[inline]
    pub(crate) fn trace_id(&mut self, id: [u8; 16]) {
        let mut text = *b"\\\"1-00000000-000000000000000000000000\\\",";
        let digits = hex(id);
        let (time, rest) = digits.as_flattened().split_at(8);
        for (place, part) in [(4..12, time), (13..37, rest)] {
            if let Some(place) = text.get_mut(place) {
                place.copy_from_slice(part);
            }
        }
        self.out.extend_from_slice(&text);
    }

    /// An attribute value. `false` when nothing was written: an empty value, or a double that
    /// JSON cannot hold (counted); the caller then takes its key back.
    pub(crate) fn value(&mut self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Empty => return false,
            ValueRef::Double(d) if !d.is_finite() => {
                self.unprintable += 1;
                return false;
            }
            ValueRef::Str(s) => self.long_text(s),
            ValueRef::Bool(b) => self.bool(b),
            ValueRef::Int(i) => self.int(i),
            ValueRef::Double(d) => self.double(d),
            ValueRef::Bytes(b) => self.long_text(&text::base64(b)),
            ValueRef::List(list) => {
                self.open_array();
                for item in list.iter() {
                    self.value_or_null(item);
                }
                self.close_array();
            }
            ValueRef::Map(map) => {
                let sorted: BTreeMap<&str, ValueRef<'_>> = map.iter().collect();
                self.open_object();
                for (key, item) in sorted {
                    self.key(key);
                    self.value_or_null(item);
                }
                self.close_object();
            }
        }
        true
    }

    /// A value inside a list or map, where nothing can be left out.
    pub(crate) fn value_or_null(&mut self, value: ValueRef<'_>) {
        if !self.value(value) {
            self.raw("null,");
        }
    }

    /// JSON that came as text: keys sorted, numbers as doubles, as the reference's decoder and
    /// encoder leave them.
    pub(crate) fn json(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Null => self.raw("null,"),
            Value::Bool(b) => self.bool(*b),
            Value::Number(n) => self.double(n.as_f64().unwrap_or(0.0)),
            Value::String(s) => self.long_text(s),
            Value::Array(items) => {
                self.open_array();
                for item in items {
                    self.json(item);
                }
                self.close_array();
            }
            Value::Object(members) => {
                let sorted: BTreeMap<&String, &Value> = members.iter().collect();
                self.open_object();
                for (key, item) in sorted {
                    self.key(key);
                    self.json(item);
                }
                self.close_object();
            }
        }
    }

    /// Text without quotes, escaped for both levels.
    #[inline]
    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut start = 0;
        let mut at = 0;
        while let Some(found) = next_special(bytes, at) {
            at = found + 1;
            let byte = bytes.get(found).copied().unwrap_or(0);
            let width = match byte {
                0xe2 => match bytes.get(found + 1..found + 3) {
                    Some([0x80, 0xa8 | 0xa9]) => 3,
                    _ => continue,
                },
                _ => 1,
            };
            self.out
                .extend_from_slice(bytes.get(start..found).unwrap_or(&[]));
            self.escape(byte, bytes.get(found + 2).copied().unwrap_or(0));
            start = found + width;
            at = start;
        }
        self.out
            .extend_from_slice(bytes.get(start..).unwrap_or(&[]));
    }

    #[cold]
    fn escape(&mut self, byte: u8, third: u8) {
        let short: &[u8] = match byte {
            b'"' => b"\\\\\\\"",
            b'\\' => b"\\\\\\\\",
            b'\n' => b"\\\\n",
            b'\r' => b"\\\\r",
            b'\t' => b"\\\\t",
            8 => b"\\\\b",
            12 => b"\\\\f",
            0xe2 if third == 0xa8 => b"\\\\u2028",
            0xe2 => b"\\\\u2029",
            _ => {
                self.out.extend_from_slice(b"\\\\u00");
                self.out.extend_from_slice(hex([byte]).as_flattened());
                return;
            }
        };
        self.out.extend_from_slice(short);
    }
}

/// The hexadecimal digit of a number below 16.
const fn digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'a' - 10 }
}

/// Bytes as lower-case hexadecimal digits.
#[inline]
fn hex<const N: usize>(bytes: [u8; N]) -> [[u8; 2]; N] {
    bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)])
}

/// The longest start of `text` within `limit` bytes that ends between characters.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.get(..text.floor_char_boundary(limit)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut DocumentWriter<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = DocumentWriter::new(&mut out, Detail::FULL);
        write(&mut writer);
        writer.take_comma();
        serde_json::from_str(&format!("\"{}\"", String::from_utf8(out).unwrap())).unwrap()
    }

    #[test]
    fn text_is_escaped_as_go_does_at_both_levels() {
        let text = "q\" b\\ n\n r\r t\t b\u{8} f\u{c} c\u{1} <&> \u{2028}\u{2029} \u{20ac} \u{e2}";
        assert_eq!(
            written(|w| w.text(text)),
            "\"q\\\" b\\\\ n\\n r\\r t\\t b\\b f\\f c\\u0001 \\u003c\\u0026\\u003e \\u2028\\u2029 \u{20ac} \u{e2}\""
        );
    }

    #[test]
    fn doubles_read_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (200.0, "200"),
            (-2.5, "-2.5"),
            (0.25, "0.25"),
            (1e-7, "1e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1_795_364_000.123_456_7, "1795364000.1234567"),
            (123_456_789_012_345.67, "123456789012345.67"),
        ] {
            assert_eq!(written(|w| w.double(value)), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("ab\u{d55c}cd", 4), "ab");
        assert_eq!(cut("ab\u{d55c}cd", 5), "ab\u{d55c}");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in "\\PC*|.{0,40}|[\u{0}-\u{40}\u{2020}-\u{2030}]{0,40}") {
            let document = written(|w| w.text(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&document).unwrap(), text);
        }

        #[test]
        fn any_double_survives(value in proptest::num::f64::NORMAL) {
            let document = written(|w| w.double(value));
            prop_assert_eq!(document.parse::<f64>().unwrap(), value);
            prop_assert_eq!(document, text::go_json_float(value));
        }
    }
}
