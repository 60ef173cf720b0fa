//! Attribute values in their one canonical encoding.
//!
//! Protobuf lets a message repeat its singular fields: scalars overwrite, messages merge, the last
//! member of a oneof wins. Nobody sends that on purpose, but everybody who reads the same bytes
//! must see the same content, so it is resolved once, here, on the way in. Unknown fields inside
//! values and indices into the profiles dictionary are left out.

use std::borrow::Cow;

use crate::value::{ListRef, MapRef, ValueRef, encode_key_value};
use crate::wire::{FIXED64, LEN, Reader, VARINT, put_message_always};

/// What a checked `AnyValue` body says after all its fields were merged.
#[derive(Debug)]
pub(crate) enum Picked<'a> {
    /// A value without parts; never `List` or `Map`.
    Scalar(ValueRef<'a>),
    /// Bodies of an `ArrayValue`, merged.
    List(Cow<'a, [u8]>),
    /// Bodies of a `KeyValueList`, merged.
    Map(Cow<'a, [u8]>),
}

/// Merges the fields of a checked `AnyValue`.
pub(crate) fn pick(body: &[u8]) -> Picked<'_> {
    let mut picked = Picked::Scalar(ValueRef::Empty);
    let mut reader = Reader::new(body);
    // The bytes were checked: an error cannot come and would end the value here.
    while let Ok(Some(key)) = reader.key() {
        let scalar = match (key.field, key.wire) {
            (1, LEN) => ValueRef::Str(reader.str().unwrap_or("")),
            (2, VARINT) => ValueRef::Bool(reader.varint().unwrap_or(0) != 0),
            (3, VARINT) => ValueRef::Int(reader.varint().unwrap_or(0) as i64),
            (4, FIXED64) => ValueRef::Double(f64::from_bits(reader.fixed64().unwrap_or(0))),
            (7, LEN) => ValueRef::Bytes(reader.bytes().unwrap_or(&[])),
            (8, VARINT) => {
                if reader.varint().is_err() {
                    break;
                }
                ValueRef::Empty
            }
            (5, LEN) => {
                let more = reader.bytes().unwrap_or(&[]);
                picked = Picked::List(match picked {
                    Picked::List(before) => join(before, more),
                    _ => more.into(),
                });
                continue;
            }
            (6, LEN) => {
                let more = reader.bytes().unwrap_or(&[]);
                picked = Picked::Map(match picked {
                    Picked::Map(before) => join(before, more),
                    _ => more.into(),
                });
                continue;
            }
            _ => {
                if reader.skip(key).is_err() {
                    break;
                }
                continue;
            }
        };
        picked = Picked::Scalar(scalar);
    }
    picked
}

/// Two encodings of one message behind each other are the encoding of both merged.
fn join<'a>(before: Cow<'a, [u8]>, more: &[u8]) -> Cow<'a, [u8]> {
    let mut all = before.into_owned();
    all.extend_from_slice(more);
    all.into()
}

/// Merges the fields of a checked `KeyValue`: the key and the body of the value.
pub(crate) fn key_value(body: &[u8]) -> (&str, Cow<'_, [u8]>) {
    let (mut name, mut value) = ("", None);
    let mut reader = Reader::new(body);
    while let Ok(Some(key)) = reader.key() {
        match (key.field, key.wire) {
            (1, LEN) => name = reader.str().unwrap_or(""),
            (2, LEN) => {
                let more = reader.bytes().unwrap_or(&[]);
                value = Some(match value {
                    Some(before) => join(before, more),
                    None => Cow::from(more),
                });
            }
            _ => {
                if reader.skip(key).is_err() {
                    break;
                }
            }
        }
    }
    (name, value.unwrap_or_default())
}

/// Appends the canonical body of a checked `AnyValue`.
pub(crate) fn any_value(body: &[u8], out: &mut Vec<u8>) {
    match pick(body) {
        Picked::Scalar(value) => value.encode(out),
        Picked::List(items) => put_message_always(out, 5, |out| list(&items, out)),
        Picked::Map(entries) => put_message_always(out, 6, |out| map(&entries, out)),
    }
}

/// Appends the canonical body of a checked `ArrayValue`.
pub(crate) fn list(body: &[u8], out: &mut Vec<u8>) {
    for item in ListRef(body).bodies() {
        put_message_always(out, 1, |out| any_value(item, out));
    }
}

/// Appends the canonical body of a checked `KeyValueList`.
pub(crate) fn map(body: &[u8], out: &mut Vec<u8>) {
    for entry in MapRef(body).bodies() {
        let (key, value) = key_value(entry);
        put_message_always(out, 1, |out| {
            encode_key_value(key, out, |out| any_value(&value, out));
        });
    }
}
