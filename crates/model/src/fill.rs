//! Filling a store from OTLP bytes: the parts that spans and log records share.

use crate::check::check;
use crate::error::DecodeError;
use crate::schema;
use crate::store::{
    AttrRecord, PACKED_EMPTY, Packed, Run, Slice, Store, packed_bool, packed_double, packed_int,
    packed_str,
};
use crate::wire::{
    self, ANY_BOOL as BOOL, ANY_DOUBLE as DOUBLE, ANY_INT as INT, ANY_STRING as STRING, FIXED64,
    LEN, Reader, VARINT,
};

/// Reads messages into a store. Every message is copied into the text first; whatever of it is not
/// text has to be blanked, so that one UTF-8 pass at the end covers all strings.
#[derive(Debug, Default)]
pub(crate) struct Filler {
    pub(crate) store: Store,
    text: Vec<u8>,
}

/// A message being read: its bytes and where its copy stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied<'a> {
    body: &'a [u8],
    at: usize,
}

impl Copied<'_> {
    /// Where a part of the body starts within it.
    #[inline]
    fn offset(&self, part: &[u8]) -> usize {
        (part.as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize)
    }
}

impl Filler {
    /// A filler for a request of this size.
    pub(crate) fn new(bytes: usize, items: usize) -> Self {
        let mut filler = Self::default();
        filler.text.reserve(bytes);
        filler.store.attributes.reserve(items * 8);
        filler
    }

    /// Copies a message (a span, a log record) into the text.
    #[inline]
    pub(crate) fn copy<'a>(&mut self, body: &'a [u8]) -> Copied<'a> {
        let at = self.text.len();
        self.text.extend_from_slice(body);
        Copied { body, at }
    }

    /// Blanks everything from `from` (bytes not read before a field) to where `to` stands.
    #[inline]
    pub(crate) fn blank(&mut self, whole: Copied<'_>, from: &[u8], to: &[u8]) {
        let start = whole.at + whole.offset(from);
        let end = whole.at + whole.offset(to);
        let Some(part) = self.text.get_mut(start..end) else {
            return;
        };
        // Times and ids have few sizes; a known size is a store or two, not a call.
        if let Ok(time) = <&mut [u8; 9]>::try_from(&mut *part) {
            *time = [0; 9];
        } else if let Ok(span_id) = <&mut [u8; 10]>::try_from(&mut *part) {
            *span_id = [0; 10];
        } else if let Ok(trace_id) = <&mut [u8; 18]>::try_from(&mut *part) {
            *trace_id = [0; 18];
        } else {
            part.fill(0);
        }
    }

    /// The place of a string whose field started at `from`. Its key and length are one ASCII byte
    /// each nearly always; longer ones are blanked.
    #[inline]
    pub(crate) fn text(&mut self, whole: Copied<'_>, from: &[u8], text: &[u8]) -> Slice {
        self.header(whole, from, text);
        Slice::new(whole.at + whole.offset(text), text.len())
    }

    /// Blanks key and length of a nested message unless they are ASCII.
    #[inline]
    pub(crate) fn header(&mut self, whole: Copied<'_>, from: &[u8], body: &[u8]) {
        if whole.offset(body) - whole.offset(from) > 2 {
            self.blank(whole, from, body);
        }
    }

    /// Reads one attribute of a message at `depth`; `from` is where its field started.
    #[inline]
    pub(crate) fn attribute(
        &mut self,
        whole: Copied<'_>,
        from: &[u8],
        body: &[u8],
        depth: u32,
    ) -> Result<(), DecodeError> {
        self.header(whole, from, body);
        let record = match self
            .short_attribute(whole, body)
            .or_else(|| self.usual_attribute(whole, body))
        {
            Some(record) => record,
            None => self.odd_attribute(whole, body, depth - 1)?,
        };
        self.store.attributes.push(record);
        Ok(())
    }

    /// The shape that nearly everybody sends: key and scalar value, once each, all lengths in one
    /// byte. Then only doubles have to be blanked.
    #[inline]
    fn short_attribute(&mut self, whole: Copied<'_>, body: &[u8]) -> Option<AttrRecord> {
        let (key, value) = wire::short_pair(body)?;
        let start = whole.at + whole.offset(body);
        let key = Slice::new(start + 2, key.len());
        let end = start + body.len();
        let packed = match value {
            [STRING, len, text @ ..] if usize::from(*len) == text.len() => {
                packed_str(Slice::new(end - text.len(), text.len()))
            }
            [INT, b] if *b < 0x80 => packed_int(i64::from(*b)),
            [BOOL, b] if *b < 0x80 => packed_bool(*b != 0),
            [DOUBLE, bits @ ..] => {
                let bits = u64::from_le_bytes(bits.try_into().ok()?);
                let place = self.text.get_mut(end - 8..end)?;
                *<&mut [u8; 8]>::try_from(place).ok()? = [0; 8];
                packed_double(f64::from_bits(bits))
            }
            _ => return None,
        };
        Some(AttrRecord::new(key, packed))
    }

    /// The same with lengths and numbers of any size.
    #[inline(never)]
    fn usual_attribute(&mut self, whole: Copied<'_>, body: &[u8]) -> Option<AttrRecord> {
        let mut reader = Reader::new(body);
        let from = reader.rest();
        if *from.first()? != 1 << 3 | LEN {
            return None;
        }
        reader.key().ok()?;
        let key = reader.bytes().ok()?;
        let between = reader.rest();
        if *between.first()? != 2 << 3 | LEN {
            return None;
        }
        reader.key().ok()?;
        let value = reader.bytes().ok()?;
        if !reader.is_empty() {
            return None;
        }
        let packed = self.usual_value(whole, value)?;
        let key = self.text(whole, from, key);
        self.header(whole, between, value);
        Some(AttrRecord::new(key, packed))
    }

    /// A value of one scalar field; bytes, arrays, maps and odd encodings go the other way.
    #[inline]
    fn usual_value(&mut self, whole: Copied<'_>, value: &[u8]) -> Option<Packed> {
        let mut reader = Reader::new(value);
        let Some(key) = reader.key().ok()? else {
            return Some(PACKED_EMPTY);
        };
        match (key.field, key.wire) {
            (1, LEN) => {
                let text = reader.bytes().ok()?;
                reader
                    .is_empty()
                    .then(|| packed_str(self.text(whole, value, text)))
            }
            (2, VARINT) => {
                let flag = reader.varint().ok()? != 0;
                reader.is_empty().then(|| {
                    self.blank(whole, value, reader.rest());
                    packed_bool(flag)
                })
            }
            (3, VARINT) => {
                let int = reader.varint().ok()? as i64;
                reader.is_empty().then(|| {
                    self.blank(whole, value, reader.rest());
                    packed_int(int)
                })
            }
            (4, FIXED64) => {
                let double = f64::from_bits(reader.fixed64().ok()?);
                reader.is_empty().then(|| {
                    self.blank(whole, value, reader.rest());
                    packed_double(double)
                })
            }
            _ => None,
        }
    }

    /// Any other attribute: blanked where it stands, its content put behind everything.
    #[cold]
    fn odd_attribute(
        &mut self,
        whole: Copied<'_>,
        body: &[u8],
        depth: u32,
    ) -> Result<AttrRecord, DecodeError> {
        check(body, &schema::KEY_VALUE, depth)?;
        let (key, value) = crate::canonical::key_value(body);
        self.blank(whole, body, body.get(body.len()..).unwrap_or(&[]));
        let at = Slice::new(self.text.len(), key.len());
        self.text.extend_from_slice(key.as_bytes());
        let packed = self.store.put_any(&value, &mut self.text);
        Ok(AttrRecord::new(at, packed))
    }

    /// Reads the body of an `AnyValue` field at `depth` that started at `from`.
    #[inline]
    pub(crate) fn value(
        &mut self,
        whole: Copied<'_>,
        from: &[u8],
        body: &[u8],
        depth: u32,
    ) -> Result<Packed, DecodeError> {
        self.header(whole, from, body);
        if let Some(packed) = self.usual_value(whole, body) {
            return Ok(packed);
        }
        check(body, &schema::ANY_VALUE, depth - 1)?;
        self.blank(whole, body, body.get(body.len()..).unwrap_or(&[]));
        Ok(self.store.put_any(body, &mut self.text))
    }

    /// Stores a checked `AnyValue` body that is no part of the message being read.
    pub(crate) fn put_any(&mut self, body: &[u8]) -> Packed {
        self.store.put_any(body, &mut self.text)
    }

    /// Attributes pushed since the list had `from` entries.
    #[inline]
    pub(crate) fn run_from(&self, from: usize) -> Run {
        Slice::new(from, self.store.attributes.len() - from)
    }

    /// The finished store. What is no UTF-8 by now was sent so: every string of the usual kind
    /// stands between ASCII bytes, so the whole is good if and only if each of them is.
    pub(crate) fn finish(mut self) -> Result<Store, DecodeError> {
        self.store.text = String::from_utf8(self.text).map_err(|_| DecodeError::Utf8)?;
        Ok(self.store)
    }
}
