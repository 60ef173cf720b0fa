//! The check at the door: accepts exactly what prost accepts, allocates nothing, counts items.

use crate::error::DecodeError;
use crate::schema::{self, Kind, Message, Rule};
use crate::wire::{
    ANY_BOOL, ANY_DOUBLE, ANY_INT, ANY_STRING, FIXED32, FIXED64, Key, LEN, MAX_DEPTH, Reader,
    VARINT, short_pair,
};

/// Checks an `ExportTraceServiceRequest` and counts its spans.
pub(crate) fn traces(bytes: &[u8]) -> Result<usize, DecodeError> {
    check(bytes, &schema::TRACES, MAX_DEPTH)?;
    count_grandchildren(bytes)
}

/// Checks an `ExportLogsServiceRequest` and counts its records.
pub(crate) fn logs(bytes: &[u8]) -> Result<usize, DecodeError> {
    check(bytes, &schema::LOGS, MAX_DEPTH)?;
    count_grandchildren(bytes)
}

/// Checks the body of a `KeyValue` from outside.
pub(crate) fn key_value(body: &[u8]) -> Result<(), DecodeError> {
    check(body, &schema::KEY_VALUE, MAX_DEPTH)
}

/// Checks the body of an `AnyValue` from outside.
pub(crate) fn any_value(body: &[u8]) -> Result<(), DecodeError> {
    check(body, &schema::ANY_VALUE, MAX_DEPTH)
}

/// Children of a checked request two levels down: spans, log records.
fn count_grandchildren(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut items = 0;
    each(bytes, 1, |resource| {
        each(resource, 2, |scope| {
            each(scope, 2, |_| {
                items += 1;
                Ok(())
            })
        })
    })?;
    Ok(items)
}

/// Calls `f` on the body of every message in field `number`.
pub(crate) fn each<'a>(
    bytes: &'a [u8],
    number: u32,
    mut f: impl FnMut(&'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key()? {
        if key.field == number && key.wire == LEN {
            f(reader.bytes()?)?;
        } else {
            reader.skip(key)?;
        }
    }
    Ok(())
}

/// Checks one message. `depth` is what prost calls the recursion count: 100 at the root, one less
/// per level, and at 0 neither a nested message nor an unknown field is accepted.
pub(crate) fn check(body: &[u8], message: &Message, depth: u32) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match message.field(key.field) {
            Some(field) => check_field(&mut reader, key, field.kind, field.rule, depth)?,
            None => reader.skip_within(key, depth)?,
        }
    }
    Ok(())
}

#[inline]
fn check_field(
    reader: &mut Reader<'_>,
    key: Key,
    kind: Kind,
    rule: Rule,
    depth: u32,
) -> Result<(), DecodeError> {
    match kind {
        Kind::Message(message) => {
            let body = reader.bytes_of(key)?;
            let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
            if message.is_pair && depth > 2 && is_usual_pair(body) {
                return Ok(());
            }
            check(body, message, depth)
        }
        Kind::Str => {
            key.expect(LEN)?;
            reader.text().map(drop)
        }
        Kind::Hex(_) | Kind::Bytes => {
            key.expect(LEN)?;
            reader.bytes().map(drop)
        }
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
            if rule == Rule::Many && key.wire == LEN {
                // Packed: whole values only.
                let run = reader.bytes()?;
                return if run.len() % 8 == 0 {
                    Ok(())
                } else {
                    Err(DecodeError::Truncated)
                };
            }
            key.expect(FIXED64)?;
            reader.fixed64().map(drop)
        }
        Kind::Fixed32 => {
            key.expect(FIXED32)?;
            reader.fixed32().map(drop)
        }
        Kind::Bool
        | Kind::Index
        | Kind::Uint32
        | Kind::Sint32
        | Kind::Int64
        | Kind::Uint64
        | Kind::Enum(_) => {
            if rule == Rule::Many && key.wire == LEN {
                let mut run = Reader::new(reader.bytes()?);
                while !run.is_empty() {
                    run.varint()?;
                }
                return Ok(());
            }
            key.expect(VARINT)?;
            reader.varint().map(drop)
        }
    }
}

/// Whether a `KeyValue` is one that nearly everybody sends: an ASCII key and a scalar value, once
/// each, less than 128 bytes long. Nothing else needs to be checked then.
#[inline]
fn is_usual_pair(body: &[u8]) -> bool {
    let Some((key, value)) = short_pair(body) else {
        return false;
    };
    match value {
        [ANY_STRING, len, text @ ..] => usize::from(*len) == text.len() && is_ascii(body),
        [ANY_BOOL | ANY_INT, b] => *b < 0x80 && is_ascii(key),
        [ANY_DOUBLE, bits @ ..] => bits.len() == 8 && is_ascii(key),
        [] => is_ascii(key),
        _ => false,
    }
}

/// `is_ascii` for short slices, without a loop over the last bytes.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut seen = 0;
    for word in words {
        seen |= u64::from_le_bytes(*word);
    }
    if let Some(last) = bytes.last_chunk::<8>() {
        seen |= u64::from_le_bytes(*last);
    } else {
        for byte in rest {
            seen |= u64::from(*byte);
        }
    }
    seen & HIGH == 0
}
