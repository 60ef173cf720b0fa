//! OTLP bytes to OTLP/JSON, by the tables of the messages: lowerCamelCase, ids in hex, 64-bit
//! integers as strings, enums as numbers, bytes in base64, defaults left out.
//! Source: OTLP specification, "JSON Protobuf Encoding".

use std::borrow::Cow;

use crate::schema::{Field, Kind, Message, Rule};
use crate::text;
use crate::wire::{FIXED32, FIXED64, Key, LEN, MAX_DEPTH, Reader, VARINT};

/// Appends a checked request as JSON.
pub(crate) fn from_wire(bytes: &[u8], message: &Message, out: &mut Vec<u8>) {
    object(bytes, message, MAX_DEPTH, out);
}

/// A field as it stands in the bytes.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Body(&'a [u8]),
}

fn object(bytes: &[u8], message: &Message, depth: u32, out: &mut Vec<u8>) {
    let found = fields(bytes, message);
    let mut comma = b'{';
    for field in message.fields {
        let mut values = found.iter().filter(|(f, _)| std::ptr::eq(*f, field));
        let Some((_, first)) = values.next() else {
            continue;
        };
        let start = out.len();
        out.push(comma);
        out.push(b'"');
        out.extend(field.json_name());
        out.extend_from_slice(b"\":");
        let rest = values.map(|(_, raw)| *raw);
        let written = if field.rule == Rule::Many {
            list(field, std::iter::once(*first).chain(rest), depth, out)
        } else {
            one(field, *first, rest, depth, out)
        };
        if written {
            comma = b',';
        } else {
            out.truncate(start);
        }
    }
    if comma == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// The known fields in the order they stand; of a oneof only the member that counts.
fn fields<'a>(bytes: &'a [u8], message: &Message) -> Vec<(&'static Field, Raw<'a>)> {
    let mut found: Vec<(&'static Field, Raw<'a>)> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Ok(Some(key)) = reader.key() {
        let Some(field) = message.field(key.field) else {
            if reader.skip(key).is_err() {
                break;
            }
            continue;
        };
        let Some(raw) = raw(&mut reader, key) else {
            break;
        };
        if field.rule == Rule::OneOf {
            found.retain(|(f, _)| f.rule != Rule::OneOf || std::ptr::eq(*f, field));
        }
        found.push((field, raw));
    }
    found
}

fn raw<'a>(reader: &mut Reader<'a>, key: Key) -> Option<Raw<'a>> {
    match key.wire {
        VARINT => reader.varint().ok().map(Raw::Number),
        FIXED64 => reader.fixed64().ok().map(Raw::Number),
        FIXED32 => reader.fixed32().ok().map(|v| Raw::Number(v.into())),
        LEN => reader.bytes().ok().map(Raw::Body),
        _ => None,
    }
}

/// Writes a field that stands once in JSON; whether there was something to write.
fn one<'a>(
    field: &Field,
    first: Raw<'a>,
    rest: impl Iterator<Item = Raw<'a>>,
    depth: u32,
    out: &mut Vec<u8>,
) -> bool {
    if let (Kind::Message(message), Raw::Body(first)) = (field.kind, first) {
        // Repeated messages merge, and so do their bytes.
        let mut all = Cow::Borrowed(first);
        for more in rest {
            if let Raw::Body(more) = more {
                all.to_mut().extend_from_slice(more);
            }
        }
        nested(&all, message, depth, out);
        return true;
    }
    let last = rest.last().unwrap_or(first);
    let default = match last {
        Raw::Number(bits) => bits == 0,
        Raw::Body(body) => body.is_empty(),
    };
    if default && field.rule == Rule::One {
        return false;
    }
    scalar(field.kind, last, out);
    !matches!(field.kind, Kind::Index)
}

/// Writes a repeated field; packed numbers are unpacked.
fn list<'a>(
    field: &Field,
    values: impl Iterator<Item = Raw<'a>>,
    depth: u32,
    out: &mut Vec<u8>,
) -> bool {
    let mut comma = b'[';
    let mut item = |raw: Raw<'_>| {
        out.push(comma);
        comma = b',';
        match (field.kind, raw) {
            (Kind::Message(message), Raw::Body(body)) => nested(body, message, depth, out),
            (kind, raw) => scalar(kind, raw, out),
        }
    };
    for raw in values {
        match (field.kind, raw) {
            (Kind::Fixed64 | Kind::Double | Kind::Sfixed64, Raw::Body(run)) => {
                let mut run = Reader::new(run);
                while let Ok(bits) = run.fixed64() {
                    item(Raw::Number(bits));
                }
            }
            (Kind::Uint64, Raw::Body(run)) => {
                let mut run = Reader::new(run);
                while let (false, Ok(bits)) = (run.is_empty(), run.varint()) {
                    item(Raw::Number(bits));
                }
            }
            _ => item(raw),
        }
    }
    out.push(b']');
    comma != b'['
}

fn nested(body: &[u8], message: &Message, depth: u32, out: &mut Vec<u8>) {
    match depth.checked_sub(1) {
        Some(depth) => object(body, message, depth, out),
        // Deeper than any request that was accepted.
        None => out.extend_from_slice(b"{}"),
    }
}

fn scalar(kind: Kind, raw: Raw<'_>, out: &mut Vec<u8>) {
    match (kind, raw) {
        (Kind::Bool, Raw::Number(bits)) => put(out, if bits != 0 { "true" } else { "false" }),
        (Kind::Uint32 | Kind::Fixed32, Raw::Number(bits)) => {
            put(out, &(bits as u32).to_string());
        }
        (Kind::Index | Kind::Enum(_), Raw::Number(bits)) => put(out, &(bits as i32).to_string()),
        (Kind::Sint32, Raw::Number(bits)) => {
            let value = crate::wire::unzigzag(bits & 0xffff_ffff);
            put(out, &value.to_string());
        }
        (Kind::Int64 | Kind::Sfixed64, Raw::Number(bits)) => {
            quoted(out, &(bits as i64).to_string());
        }
        (Kind::Uint64 | Kind::Fixed64, Raw::Number(bits)) => quoted(out, &bits.to_string()),
        (Kind::Double, Raw::Number(bits)) => double(f64::from_bits(bits), out),
        (Kind::Str, Raw::Body(body)) => {
            let mut json = String::new();
            text::write_json_str(&String::from_utf8_lossy(body), &mut json);
            put(out, &json);
        }
        (Kind::Hex(_), Raw::Body(body)) => {
            let digit = |d: u8| char::from_digit(d.into(), 16).unwrap_or('0') as u8;
            out.push(b'"');
            out.extend(body.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]));
            out.push(b'"');
        }
        (_, Raw::Body(body)) => quoted(out, &text::base64(body)),
        // No other kind comes as a number.
        (_, Raw::Number(_)) => put(out, "null"),
    }
}

fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        put(out, &text::go_json_float(value));
    } else if value.is_nan() {
        put(out, "\"NaN\"");
    } else {
        put(
            out,
            if value > 0.0 {
                "\"Infinity\""
            } else {
                "\"-Infinity\""
            },
        );
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    put(out, text);
    out.push(b'"');
}
