//! JSON text written at once as it stands inside a JSON string: a log event's message in its request.

use weir_model::ValueRef;
use weir_model::text::base64;

use super::json::{Piece, f64_text, pieces, write_f64, write_i64};

/// Appends JSON text, escaped for the string around it, and counts its length without these escapes.
/// Escapes `<`, `>`, `&` as Go does; numbers that JSON lacks become text (`"NaN"`).
#[derive(Debug)]
pub(crate) struct Embedded<'o> {
    out: &'o mut Vec<u8>,
    /// Bytes of the text, without the escapes of the string around it.
    pub(crate) len: usize,
}

impl<'o> Embedded<'o> {
    /// Appends to `out`.
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, len: 0 }
    }

    /// Appends text that holds neither quotes nor backslashes nor control characters.
    #[inline]
    pub(crate) fn plain(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
        self.len += text.len();
    }

    /// Appends text that is escaped already, and is `len` bytes long without these escapes.
    pub(crate) fn ready(&mut self, text: &[u8], len: usize) {
        self.out.extend_from_slice(text);
        self.len += len;
    }

    /// Appends the name of a member, with the colon behind it and the comma in front that it needs.
    #[inline]
    pub(crate) fn member(&mut self, name: &str) {
        if self.out.last() != Some(&b'{') {
            self.plain(b",");
        }
        self.quoted(name.as_bytes());
        self.plain(b":");
    }

    /// Appends text in quotes; the text is as in [`Self::plain`].
    #[inline]
    pub(crate) fn quoted(&mut self, text: &[u8]) {
        self.quote();
        self.plain(text);
        self.quote();
    }

    #[inline]
    fn quote(&mut self) {
        self.out.extend_from_slice(b"\\\"");
        self.len += 1;
    }

    /// Appends a string.
    #[inline]
    pub(crate) fn text(&mut self, text: &str) {
        self.quote();
        let (out, len) = (&mut *self.out, &mut self.len);
        pieces(text, true, |piece| match piece {
            Piece::Plain(plain) => {
                out.extend_from_slice(plain);
                *len += plain.len();
            }
            Piece::Escape(escape) => {
                *len += escape.len();
                for byte in escape {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
            }
        });
        self.quote();
    }

    /// Appends an integer.
    #[inline]
    pub(crate) fn int(&mut self, int: i64) {
        let start = self.out.len();
        write_i64(int, self.out);
        self.len += self.out.len() - start;
    }

    /// Appends a value.
    pub(crate) fn value(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Empty => self.plain(b"null"),
            ValueRef::Str(text) => self.text(text),
            ValueRef::Bool(true) => self.plain(b"true"),
            ValueRef::Bool(false) => self.plain(b"false"),
            ValueRef::Int(int) => self.int(int),
            ValueRef::Double(double) if double.is_finite() => {
                let start = self.out.len();
                write_f64(double, self.out);
                self.len += self.out.len() - start;
            }
            ValueRef::Double(double) => self.quoted(f64_text(double).as_bytes()),
            ValueRef::Bytes(bytes) => self.quoted(base64(bytes).as_bytes()),
            ValueRef::List(list) => {
                self.plain(b"[");
                for (at, item) in list.iter().enumerate() {
                    if at > 0 {
                        self.plain(b",");
                    }
                    self.value(item);
                }
                self.plain(b"]");
            }
            ValueRef::Map(map) => self.map(map.iter()),
        }
    }

    /// Appends entries as an object: keys sorted, of equal keys the last one.
    pub(crate) fn map<'a>(&mut self, entries: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
        let mut entries: Vec<(&str, ValueRef<'_>)> = entries.collect();
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by_key(|(key, _)| *key);
        }
        self.plain(b"{");
        let mut separator: &[u8] = b"";
        let mut rest = entries.iter().peekable();
        while let Some((key, value)) = rest.next() {
            if rest.peek().is_some_and(|(next, _)| next == key) {
                continue;
            }
            self.plain(separator);
            separator = b",";
            self.text(key);
            self.plain(b":");
            self.value(*value);
        }
        self.plain(b"}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::json::{embed, write_value};
    use super::*;
    use proptest::prelude::*;
    use weir_model::Value;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Empty),
            "(\\PC|[\"<>&\n\t\u{1}\u{8}\u{c}\r\u{2028}\u{2029}\u{2030}\\\\])*".prop_map(Value::Str),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::vec((".{0,2}", inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_pass_gives_what_writing_and_embedding_gives(value in any_value()) {
            let (mut json, mut expected, mut found) = (Vec::new(), Vec::new(), Vec::new());
            value.with_ref(|value| write_value(value, true, &mut json));
            embed(&json, &mut expected);
            let mut writer = Embedded::new(&mut found);
            value.with_ref(|value| writer.value(value));
            prop_assert_eq!(writer.len, json.len());
            prop_assert_eq!(found, expected);
        }
    }
}
