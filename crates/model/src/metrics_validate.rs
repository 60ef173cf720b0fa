//! The check at the door: accepts exactly what prost accepts, allocates nothing, counts points.

use crate::error::DecodeError;
use crate::value::{check_any, decode_key_value};
use crate::wire::{FIXED64, LEN, MAX_DEPTH, Reader, VARINT};

/// Checks an `ExportMetricsServiceRequest` and counts its data points.
pub(crate) fn validate(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut items = 0;
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key()? {
        if key.field == 1 {
            key.expect(LEN)?;
            items += block(reader.bytes()?, check_resource, resource_child)?;
        } else {
            reader.skip(key)?;
        }
    }
    Ok(items)
}

fn resource_child(body: &[u8]) -> Result<usize, DecodeError> {
    block(body, check_scope, metric)
}

/// A block of OTLP: 1 = head message, 2 = repeated children, 3 = schema URL.
pub(crate) fn block(
    body: &[u8],
    head: fn(&[u8]) -> Result<(), DecodeError>,
    child: fn(&[u8]) -> Result<usize, DecodeError>,
) -> Result<usize, DecodeError> {
    let mut items = 0;
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => {
                key.expect(LEN)?;
                head(reader.bytes()?)?;
            }
            2 => {
                key.expect(LEN)?;
                items += child(reader.bytes()?)?;
            }
            3 => {
                key.expect(LEN)?;
                reader.str()?;
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(items)
}

/// A `Resource`.
pub(crate) fn check_resource(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => check_pair(&mut reader, key)?,
            2 => {
                key.expect(VARINT)?;
                reader.varint()?;
            }
            3 => {
                key.expect(LEN)?;
                check_entity_ref(reader.bytes()?)?;
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn check_entity_ref(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        if (1..=4).contains(&key.field) {
            key.expect(LEN)?;
            reader.str()?;
        } else {
            reader.skip(key)?;
        }
    }
    Ok(())
}

/// An `InstrumentationScope`.
pub(crate) fn check_scope(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 | 2 => {
                key.expect(LEN)?;
                reader.str()?;
            }
            3 => check_pair(&mut reader, key)?,
            4 => {
                key.expect(VARINT)?;
                reader.varint()?;
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

/// One attribute field.
#[inline]
pub(crate) fn check_pair(
    reader: &mut Reader<'_>,
    key: crate::wire::Key,
) -> Result<(), DecodeError> {
    key.expect(LEN)?;
    decode_key_value(reader.bytes()?, MAX_DEPTH - 8).map(drop)
}

fn metric(body: &[u8]) -> Result<usize, DecodeError> {
    // The data oneof: prost keeps the last one, so only its points count.
    let mut items = 0;
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1..=3 => {
                key.expect(LEN)?;
                reader.str()?;
            }
            5 | 7 | 9 | 10 | 11 => {
                key.expect(LEN)?;
                items = data(key.field, reader.bytes()?)?;
            }
            12 => check_pair(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(items)
}

fn data(field: u32, body: &[u8]) -> Result<usize, DecodeError> {
    let mut items = 0;
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match (key.field, field) {
            (1, _) => {
                key.expect(LEN)?;
                let point = reader.bytes()?;
                match field {
                    5 | 7 => number(point)?,
                    9 => histogram(point)?,
                    10 => exponential(point)?,
                    _ => summary(point)?,
                }
                items += 1;
            }
            (2, 7 | 9 | 10) | (3, 7) => {
                key.expect(VARINT)?;
                reader.varint()?;
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(items)
}

fn number(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            7 => check_pair(&mut reader, key)?,
            2 | 3 | 4 | 6 => fixed(&mut reader, key)?,
            5 => check_exemplar(&mut reader, key)?,
            8 => varint(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn histogram(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            9 => check_pair(&mut reader, key)?,
            2..=5 | 11 | 12 => fixed(&mut reader, key)?,
            6 | 7 => packed_fixed(&mut reader, key)?,
            8 => check_exemplar(&mut reader, key)?,
            10 => varint(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn exponential(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => check_pair(&mut reader, key)?,
            2..=5 | 7 | 12 | 13 | 14 => fixed(&mut reader, key)?,
            6 | 10 => varint(&mut reader, key)?,
            8 | 9 => {
                key.expect(LEN)?;
                check_buckets(reader.bytes()?)?;
            }
            11 => check_exemplar(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn summary(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            7 => check_pair(&mut reader, key)?,
            2..=5 => fixed(&mut reader, key)?,
            6 => {
                key.expect(LEN)?;
                let mut inner = Reader::new(reader.bytes()?);
                while let Some(key) = inner.key()? {
                    match key.field {
                        1 | 2 => fixed(&mut inner, key)?,
                        _ => inner.skip(key)?,
                    }
                }
            }
            8 => varint(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

#[inline]
fn fixed(reader: &mut Reader<'_>, key: crate::wire::Key) -> Result<(), DecodeError> {
    key.expect(FIXED64)?;
    reader.fixed64().map(drop)
}

#[inline]
fn varint(reader: &mut Reader<'_>, key: crate::wire::Key) -> Result<(), DecodeError> {
    key.expect(VARINT)?;
    reader.varint().map(drop)
}

fn packed_fixed(reader: &mut Reader<'_>, key: crate::wire::Key) -> Result<(), DecodeError> {
    if key.wire == FIXED64 {
        return reader.fixed64().map(drop);
    }
    key.expect(LEN)?;
    if reader.bytes()?.len() % 8 == 0 {
        Ok(())
    } else {
        Err(DecodeError::Truncated)
    }
}

fn check_buckets(body: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(body);
    while let Some(key) = reader.key()? {
        match key.field {
            1 => varint(&mut reader, key)?,
            2 if key.wire == LEN => {
                let mut run = Reader::new(reader.bytes()?);
                while !run.is_empty() {
                    run.varint()?;
                }
            }
            2 => varint(&mut reader, key)?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn check_exemplar(reader: &mut Reader<'_>, key: crate::wire::Key) -> Result<(), DecodeError> {
    key.expect(LEN)?;
    let mut inner = Reader::new(reader.bytes()?);
    while let Some(key) = inner.key()? {
        match key.field {
            2 | 3 | 6 => fixed(&mut inner, key)?,
            4 | 5 => {
                key.expect(LEN)?;
                inner.bytes()?;
            }
            7 => check_pair(&mut inner, key)?,
            _ => inner.skip(key)?,
        }
    }
    Ok(())
}

/// Checks the body of an `AnyValue` (log bodies).
pub(crate) fn check_body(body: &[u8]) -> Result<(), DecodeError> {
    check_any(body, MAX_DEPTH - 8)
}
