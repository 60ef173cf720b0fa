//! Attribute values: borrowed views over wire bytes, and an owned form for whoever makes values.
//!
//! Arrays and maps stay in their OTLP encoding everywhere and are read on the way out: they are
//! rare, and one representation serves interned labels, flat spans and processors alike.

use crate::check;
use crate::error::DecodeError;
use crate::wire::{self, FIXED64, LEN, Reader, VARINT};

/// A borrowed attribute value (OTLP `AnyValue`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// No value set.
    Empty,
    /// Text.
    Str(&'a str),
    /// Boolean.
    Bool(bool),
    /// 64-bit signed integer.
    Int(i64),
    /// Double.
    Double(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// Array of values.
    List(ListRef<'a>),
    /// Map of values.
    Map(MapRef<'a>),
}

/// An array value: the body of an OTLP `ArrayValue`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListRef<'a>(pub(crate) &'a [u8]);

/// A map value: the body of an OTLP `KeyValueList`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapRef<'a>(pub(crate) &'a [u8]);

/// An owned attribute value, for components that create values from configuration.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// No value set.
    #[default]
    Empty,
    /// Text.
    Str(String),
    /// Boolean.
    Bool(bool),
    /// 64-bit signed integer.
    Int(i64),
    /// Double.
    Double(f64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Array of values.
    List(Vec<Value>),
    /// Map of values, in insertion order.
    Map(Vec<(String, Value)>),
}

impl<'a> ValueRef<'a> {
    /// Reads the body of an `AnyValue` that may come from outside: full checks, bounded depth.
    /// Of repeated fields the last one counts.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        check::any_value(body)?;
        read_any(body)
    }

    /// Reads the body of an `AnyValue` that was checked before; anything odd is `Empty`.
    pub(crate) fn read(body: &'a [u8]) -> Self {
        read_any(body).unwrap_or(ValueRef::Empty)
    }

    /// The text of a string value.
    pub fn as_str(&self) -> Option<&'a str> {
        if let ValueRef::Str(s) = self {
            Some(s)
        } else {
            None
        }
    }

    /// The integer of an int value.
    pub fn as_int(&self) -> Option<i64> {
        if let ValueRef::Int(i) = self {
            Some(*i)
        } else {
            None
        }
    }

    /// The boolean of a bool value.
    pub fn as_bool(&self) -> Option<bool> {
        if let ValueRef::Bool(b) = self {
            Some(*b)
        } else {
            None
        }
    }

    /// Appends this value as the body of an `AnyValue`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            ValueRef::Empty => {}
            ValueRef::Str(s) => wire::put_bytes_always(out, 1, s.as_bytes()),
            ValueRef::Bool(b) => {
                wire::put_key(out, 2, VARINT);
                out.push(u8::from(b));
            }
            ValueRef::Int(i) => {
                wire::put_key(out, 3, VARINT);
                wire::put_varint(out, i as u64);
            }
            ValueRef::Double(d) => wire::put_fixed64_always(out, 4, d.to_bits()),
            ValueRef::List(l) => wire::put_bytes_always(out, 5, l.0),
            ValueRef::Map(m) => wire::put_bytes_always(out, 6, m.0),
            ValueRef::Bytes(b) => wire::put_bytes_always(out, 7, b),
        }
    }

    /// An owned copy.
    pub fn to_value(&self) -> Value {
        match *self {
            ValueRef::Empty => Value::Empty,
            ValueRef::Str(s) => Value::Str(s.to_owned()),
            ValueRef::Bool(b) => Value::Bool(b),
            ValueRef::Int(i) => Value::Int(i),
            ValueRef::Double(d) => Value::Double(d),
            ValueRef::Bytes(b) => Value::Bytes(b.to_vec()),
            ValueRef::List(l) => Value::List(l.iter().map(|v| v.to_value()).collect()),
            ValueRef::Map(m) => Value::Map(
                m.iter()
                    .map(|(k, v)| (k.to_owned(), v.to_value()))
                    .collect(),
            ),
        }
    }

    /// The reference's `AsString`: how a value is written where only text fits (labels,
    /// dimensions, annotations): strings bare, numbers and booleans as Go prints them, bytes in
    /// base64, arrays and maps as compact JSON with sorted keys.
    pub fn to_text(&self) -> std::borrow::Cow<'a, str> {
        match *self {
            ValueRef::Empty => "".into(),
            ValueRef::Str(s) => s.into(),
            ValueRef::Bool(true) => "true".into(),
            ValueRef::Bool(false) => "false".into(),
            ValueRef::Int(i) => i.to_string().into(),
            ValueRef::Double(d) => crate::text::go_json_float(d).into(),
            ValueRef::Bytes(b) => crate::text::base64(b).into(),
            ValueRef::List(_) | ValueRef::Map(_) => {
                let mut out = String::new();
                crate::text::write_json(*self, &mut out);
                out.into()
            }
        }
    }
}

impl Value {
    /// Appends this value as the body of an `AnyValue`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::List(items) => wire::put_message_always(out, 5, |o| {
                for item in items {
                    wire::put_message_always(o, 1, |o| item.encode(o));
                }
            }),
            Value::Map(entries) => wire::put_message_always(out, 6, |o| {
                for (key, value) in entries {
                    wire::put_message_always(o, 1, |o| {
                        encode_key_value(key, o, |o| value.encode(o));
                    });
                }
            }),
            Value::Empty => {}
            Value::Str(s) => ValueRef::Str(s).encode(out),
            Value::Bool(b) => ValueRef::Bool(*b).encode(out),
            Value::Int(i) => ValueRef::Int(*i).encode(out),
            Value::Double(d) => ValueRef::Double(*d).encode(out),
            Value::Bytes(b) => ValueRef::Bytes(b).encode(out),
        }
    }

    /// Runs `f` on a borrowed view of this value. Lists and maps are encoded for the call.
    pub fn with_ref<R>(&self, f: impl FnOnce(ValueRef<'_>) -> R) -> R {
        let mut out = Vec::new();
        self.encode(&mut out);
        f(ValueRef::read(&out))
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::Str(s.to_owned())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::Str(s)
    }
}
impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}
impl From<f64> for Value {
    fn from(d: f64) -> Self {
        Value::Double(d)
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl<'a> ListRef<'a> {
    /// The bodies of the values.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.0)
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        fields(self.0).map(ValueRef::read)
    }
}

impl<'a> MapRef<'a> {
    /// The bodies of the entries.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.0)
    }

    /// The entries in order, as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        fields(self.0).map(read_key_value)
    }

    /// The first entry with this key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// Bodies of field 1 (`values` of ArrayValue and KeyValueList), other fields stepped over.
fn fields<'a>(body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        loop {
            let key = reader.key().ok()??;
            if key.field == 1 && key.wire == LEN {
                return reader.bytes().ok();
            }
            reader.skip(key).ok()?;
        }
    })
}

/// Appends the body of a `KeyValue`.
#[inline]
pub(crate) fn encode_key_value(key: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    wire::put_bytes(out, 1, key.as_bytes());
    wire::put_message_always(out, 2, value);
}

/// Reads the body of a checked `KeyValue`.
#[inline]
pub(crate) fn read_key_value(body: &[u8]) -> (&str, ValueRef<'_>) {
    let mut reader = Reader::new(body);
    let (mut name, mut value) = ("", ValueRef::Empty);
    while let Ok(Some(key)) = reader.key() {
        match (key.field, key.wire) {
            (1, LEN) => name = reader.str().unwrap_or(""),
            (2, LEN) => value = reader.bytes().map_or(ValueRef::Empty, ValueRef::read),
            _ => {
                if reader.skip(key).is_err() {
                    break;
                }
            }
        }
    }
    (name, value)
}

fn read_any(body: &[u8]) -> Result<ValueRef<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let mut value = ValueRef::Empty;
    while let Some(key) = reader.key()? {
        value = match (key.field, key.wire) {
            (1, LEN) => ValueRef::Str(reader.str()?),
            (2, VARINT) => ValueRef::Bool(reader.varint()? != 0),
            (3, VARINT) => ValueRef::Int(reader.varint()? as i64),
            (4, FIXED64) => ValueRef::Double(f64::from_bits(reader.fixed64()?)),
            (5, LEN) => ValueRef::List(ListRef(reader.bytes()?)),
            (6, LEN) => ValueRef::Map(MapRef(reader.bytes()?)),
            (7, LEN) => ValueRef::Bytes(reader.bytes()?),
            _ => {
                reader.skip(key)?;
                continue;
            }
        };
    }
    Ok(value)
}
