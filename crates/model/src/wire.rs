//! Walking and writing the protobuf wire format by hand.
//!
//! Everything hot in this crate reads OTLP straight from its bytes. The rules of acceptance are
//! those of prost (wrong wire type of a known field, bad length, bad UTF-8, group nesting): the
//! property tests hold both side by side.
//! Source: protobuf encoding specification, <https://protobuf.dev/programming-guides/encoding/>.

use crate::error::DecodeError;

/// Wire type of a varint field.
pub const VARINT: u8 = 0;
/// Wire type of an eight-byte field.
pub const FIXED64: u8 = 1;
/// Wire type of a length-delimited field.
pub const LEN: u8 = 2;
/// Wire type that opens a group.
pub const START_GROUP: u8 = 3;
/// Wire type that closes a group.
pub const END_GROUP: u8 = 4;
/// Wire type of a four-byte field.
pub const FIXED32: u8 = 5;

/// Nesting at which prost gives up; the same bound here, so that verdicts agree.
pub const MAX_DEPTH: u32 = 100;

/// Key of `AnyValue.string_value`.
pub(crate) const ANY_STRING: u8 = 1 << 3 | LEN;
/// Key of `AnyValue.bool_value`.
pub(crate) const ANY_BOOL: u8 = 2 << 3 | VARINT;
/// Key of `AnyValue.int_value`.
pub(crate) const ANY_INT: u8 = 3 << 3 | VARINT;
/// Key of `AnyValue.double_value`.
pub(crate) const ANY_DOUBLE: u8 = 4 << 3 | FIXED64;
const PAIR_KEY: u8 = 1 << 3 | LEN;
const PAIR_VALUE: u8 = 2 << 3 | LEN;

/// Key and value body of a `KeyValue` that has both, once and in this order, with lengths of one
/// byte each.
#[inline]
pub(crate) fn short_pair(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let [PAIR_KEY, key_len, rest @ ..] = body else {
        return None;
    };
    // Lengths from 128 on have their top bit set: they would need a second byte.
    let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
    let [PAIR_VALUE, value_len, value @ ..] = rest else {
        return None;
    };
    let short = (*key_len | *value_len) < 0x80;
    (short && usize::from(*value_len) == value.len()).then_some((key, value))
}

/// Appends a `KeyValue` with these bytes as the body of its value, in the shape of [`short_pair`]
/// and with its own key `tag` of one byte; `false`, and nothing appended, if it does not fit.
#[inline]
pub(crate) fn put_short_pair(
    out: &mut Vec<u8>,
    tag: u8,
    key: &str,
    head: &[u8],
    tail: &[u8],
) -> bool {
    let value = head.len() + tail.len();
    let body = 4 + key.len() + value;
    if body >= 0x80 || key.is_empty() {
        return false;
    }
    out.reserve(2 + body);
    out.extend_from_slice(&[tag, body as u8, PAIR_KEY, key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&[PAIR_VALUE, value as u8]);
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    true
}

/// A cursor over the fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    buf: &'a [u8],
}

/// One field's key: number and wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Field number, at least 1.
    pub field: u32,
    /// Wire type, 0..=5.
    pub wire: u8,
}

impl<'a> Reader<'a> {
    /// Starts at the first field of `buf`.
    #[inline]
    pub fn new(buf: &'a [u8]) -> Self {
        Self { buf }
    }

    /// Bytes not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.buf
    }

    /// Whether all fields have been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Next key, or `None` at the end.
    #[inline]
    pub fn key(&mut self) -> Result<Option<Key>, DecodeError> {
        let Some(&first) = self.buf.first() else {
            return Ok(None);
        };
        // Field numbers up to 15 take one byte: nearly all of OTLP.
        let raw = if first < 0x80 {
            self.buf = &self.buf[1..];
            u64::from(first)
        } else {
            self.varint()?
        };
        let raw = u32::try_from(raw).map_err(|_| DecodeError::Key)?;
        let key = Key {
            field: raw >> 3,
            wire: (raw & 7) as u8,
        };
        if key.field == 0 || key.wire > FIXED32 {
            return Err(DecodeError::Key);
        }
        Ok(Some(key))
    }

    /// A base-128 varint of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.buf.first() {
            Some(&b) if b < 0x80 => {
                self.buf = &self.buf[1..];
                Ok(u64::from(b))
            }
            _ => self.varint_slow(),
        }
    }

    fn varint_slow(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, &b) in self.buf.iter().take(10).enumerate() {
            value |= u64::from(b & 0x7f) << (7 * i);
            if b < 0x80 {
                // The tenth byte may only carry the topmost bit.
                if i == 9 && b > 1 {
                    return Err(DecodeError::Varint);
                }
                self.buf = &self.buf[i + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// Eight little-endian bytes.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        let (head, rest) = self
            .buf
            .split_first_chunk::<8>()
            .ok_or(DecodeError::Truncated)?;
        self.buf = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// Four little-endian bytes.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, DecodeError> {
        let (head, rest) = self
            .buf
            .split_first_chunk::<4>()
            .ok_or(DecodeError::Truncated)?;
        self.buf = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// A length-delimited body.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        let (head, rest) = self
            .buf
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.buf = rest;
        Ok(head)
    }

    /// A length-delimited body that must be UTF-8, as bytes: cheaper than [`Reader::str`] where
    /// the text itself is not needed.
    #[inline]
    pub fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let body = self.bytes()?;
        if crate::check::is_ascii(body) || std::str::from_utf8(body).is_ok() {
            Ok(body)
        } else {
            Err(DecodeError::Utf8)
        }
    }

    /// A length-delimited body that must be UTF-8.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Utf8)
    }

    /// The value of a varint field.
    #[inline]
    pub(crate) fn varint_of(&mut self, key: Key) -> Result<u64, DecodeError> {
        key.expect(VARINT)?;
        self.varint()
    }

    /// The value of a fixed64 field.
    #[inline]
    pub(crate) fn fixed64_of(&mut self, key: Key) -> Result<u64, DecodeError> {
        key.expect(FIXED64)?;
        self.fixed64()
    }

    /// The value of a fixed32 field.
    #[inline]
    pub(crate) fn fixed32_of(&mut self, key: Key) -> Result<u32, DecodeError> {
        key.expect(FIXED32)?;
        self.fixed32()
    }

    /// The body of a length-delimited field.
    #[inline]
    pub(crate) fn bytes_of(&mut self, key: Key) -> Result<&'a [u8], DecodeError> {
        key.expect(LEN)?;
        self.bytes()
    }

    /// Steps over bytes that were looked at already.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.buf = self.buf.get(count..).unwrap_or(&[]);
    }

    /// Steps over a field of any type, groups included.
    #[inline]
    pub fn skip(&mut self, key: Key) -> Result<(), DecodeError> {
        self.skip_within(key, MAX_DEPTH)
    }

    /// Steps over a field of a message at this depth (counted down from [`MAX_DEPTH`]); like prost
    /// it refuses any unknown field at depth 0.
    #[inline]
    pub fn skip_within(&mut self, key: Key, depth: u32) -> Result<(), DecodeError> {
        if depth == 0 {
            return Err(DecodeError::Depth);
        }
        match key.wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            START_GROUP => self.skip_group(key.field, depth - 1),
            _ => Err(DecodeError::Key),
        }
    }

    fn skip_group(&mut self, field: u32, depth: u32) -> Result<(), DecodeError> {
        loop {
            let inner = self.key()?.ok_or(DecodeError::Truncated)?;
            if inner.wire == END_GROUP {
                return if inner.field == field {
                    Ok(())
                } else {
                    Err(DecodeError::Key)
                };
            }
            self.skip_within(inner, depth)?;
        }
    }
}

impl Key {
    /// Checks the wire type of a known field.
    #[inline]
    pub fn expect(self, wire: u8) -> Result<(), DecodeError> {
        if self.wire == wire {
            Ok(())
        } else {
            Err(DecodeError::WireType { field: self.field })
        }
    }
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes a varint takes.
#[inline]
pub fn varint_len(value: u64) -> usize {
    // 1 + floor(log2(value) / 7), without a branch.
    ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64
}

/// Appends a field key.
#[inline]
pub fn put_key(out: &mut Vec<u8>, field: u32, wire: u8) {
    put_varint(out, u64::from(field << 3 | u32::from(wire)));
}

/// Appends a length-delimited field; nothing when it is empty (proto3 default).
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, field: u32, body: &[u8]) {
    if !body.is_empty() {
        put_bytes_always(out, field, body);
    }
}

/// Appends a length-delimited field even when it is empty.
#[inline]
pub fn put_bytes_always(out: &mut Vec<u8>, field: u32, body: &[u8]) {
    put_key(out, field, LEN);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Appends a fixed64 field; nothing when it is zero.
#[inline]
pub fn put_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_fixed64_always(out, field, value);
    }
}

/// Appends a fixed64 field even when it is zero.
#[inline]
pub fn put_fixed64_always(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a fixed32 field; nothing when it is zero.
#[inline]
pub fn put_fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    if value != 0 {
        put_key(out, field, FIXED32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a varint field; nothing when it is zero.
#[inline]
pub fn put_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_key(out, field, VARINT);
        put_varint(out, value);
    }
}

/// Appends a nested message written by `body`, with its length in front, even when it is empty.
///
/// One byte is reserved for the length; a longer length moves the body once.
#[inline]
pub fn put_message_always(out: &mut Vec<u8>, field: u32, body: impl FnOnce(&mut Vec<u8>)) {
    put_key(out, field, LEN);
    let at = out.len();
    out.push(0);
    body(out);
    patch_length(out, at);
}

/// Writes the length of everything behind `at` into the one byte reserved there, widening it.
#[inline]
pub fn patch_length(out: &mut Vec<u8>, at: usize) {
    let len = out.len() - at - 1;
    if len < 0x80 {
        if let Some(slot) = out.get_mut(at) {
            *slot = len as u8;
        }
        return;
    }
    let extra = varint_len(len as u64) - 1;
    let end = out.len();
    out.resize(end + extra, 0);
    out.copy_within(at + 1..end, at + 1 + extra);
    let mut rest = len as u64;
    for i in 0..=extra {
        let more = if i < extra { 0x80 } else { 0 };
        if let Some(slot) = out.get_mut(at + i) {
            *slot = (rest as u8 & 0x7f) | more;
        }
        rest >>= 7;
    }
}

/// Zigzag decoding of sint32 and sint64.
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Zigzag encoding of sint32 and sint64.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn varints_round_trip_and_their_length_is_known() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, (1u64 << shift) | 1] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(Reader::new(&out).varint().unwrap(), value);
            }
        }
    }

    #[test]
    fn lengths_of_every_width_are_patched_in_place() {
        for len in [0usize, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = Vec::new();
            put_message_always(&mut out, 3, |o| o.resize(o.len() + len, 7));
            let mut reader = Reader::new(&out);
            assert_eq!(
                reader.key().unwrap(),
                Some(Key {
                    field: 3,
                    wire: LEN
                })
            );
            let body = reader.bytes().unwrap();
            assert!(body.len() == len && body.iter().all(|b| *b == 7));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn eleven_byte_varint_and_unclosed_group_are_errors() {
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        let mut open = Reader::new(&[0x0b, 0x08, 0x01]);
        let key = open.key().unwrap().unwrap();
        assert!(open.skip(key).is_err());
    }
}
