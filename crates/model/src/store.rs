//! What flat batches are made of: one text, one blob arena and small records of offsets.
//!
//! A request is copied once, message by message, into the text, with everything that is not text
//! overwritten by zeros: then one UTF-8 pass covers all its strings, and reading a string later is
//! a slice, not another check. Numbers and ids move into the records. What processors add goes
//! behind the text; a list that changes is appended anew and its old place is left behind.

use std::sync::{Arc, LazyLock};

use crate::attributes::AttributeSource;
use crate::canonical::{self, Picked};
use crate::series::{Resource, Scope};
use crate::value::{ListRef, MapRef, ValueRef};
use crate::wire;

/// Largest request that becomes a flat batch: key lengths have 28 bits.
pub(crate) const MAX_REQUEST_BYTES: usize = 1 << 28;

/// A place in the text or in the blobs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Slice {
    #[inline]
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }

    /// A place of these dimensions; the empty one when it lies beyond 4 GiB, where no batch gets.
    #[inline]
    pub(crate) fn new(at: usize, len: usize) -> Self {
        match (u32::try_from(at), u32::try_from(len)) {
            (Ok(at), Ok(len)) if at.checked_add(len).is_some() => Self { at, len },
            _ => Self::default(),
        }
    }
}

/// A run of records in one of the store's lists.
pub(crate) type Run = Slice;

const TAG_SHIFT: u32 = 28;
const KEY_LEN: u32 = (1 << TAG_SHIFT) - 1;

const EMPTY: u32 = 0;
const STR: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const BYTES: u32 = 5;
const LIST: u32 = 6;
const MAP: u32 = 7;

/// One attribute: place of the key, type and value or place of the value. 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttrRecord {
    bits: u64,
    key_at: u32,
    /// Key length in the low 28 bits, type above.
    tag_len: u32,
}

impl AttrRecord {
    #[inline]
    pub(crate) fn new(key: Slice, (tag, bits): Packed) -> Self {
        Self {
            bits,
            key_at: key.at,
            tag_len: (key.len & KEY_LEN) | tag << TAG_SHIFT,
        }
    }

    #[inline]
    pub(crate) fn key(self) -> Slice {
        Slice {
            at: self.key_at,
            len: self.tag_len & KEY_LEN,
        }
    }

    #[inline]
    fn tag(self) -> u32 {
        self.tag_len >> TAG_SHIFT
    }

    #[inline]
    fn place(self) -> Slice {
        Slice {
            at: self.bits as u32,
            len: (self.bits >> 32) as u32,
        }
    }
}

/// Type and content of a value as an [`AttrRecord`] has it.
pub(crate) type Packed = (u32, u64);

#[inline]
fn at(tag: u32, slice: Slice) -> Packed {
    (tag, u64::from(slice.at) | u64::from(slice.len) << 32)
}

#[inline]
pub(crate) fn packed_str(slice: Slice) -> Packed {
    at(STR, slice)
}
#[inline]
pub(crate) fn packed_bool(value: bool) -> Packed {
    (BOOL, u64::from(value))
}
#[inline]
pub(crate) fn packed_int(value: i64) -> Packed {
    (INT, value as u64)
}
#[inline]
pub(crate) fn packed_double(value: f64) -> Packed {
    (DOUBLE, value.to_bits())
}
pub(crate) const PACKED_EMPTY: Packed = (EMPTY, 0);

/// An event of a span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventRecord {
    pub(crate) time_ns: u64,
    pub(crate) name: Slice,
    pub(crate) attributes: Run,
    pub(crate) dropped: u32,
}

/// A link of a span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkRecord {
    pub(crate) trace_id: Id<16>,
    pub(crate) span_id: Id<8>,
    pub(crate) trace_state: Slice,
    pub(crate) attributes: Run,
    pub(crate) dropped: u32,
    pub(crate) flags: u32,
}

/// A trace or span id. Ids of a wrong length, which OTLP does not forbid on the wire, lie in the
/// blobs; their place is in the first eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id<const N: usize> {
    bytes: [u8; N],
    state: IdState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdState {
    Absent,
    Inline,
    Blob,
}

impl<const N: usize> Default for Id<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            state: IdState::Absent,
        }
    }
}

static NO_RESOURCE: LazyLock<Arc<Resource>> = LazyLock::new(Arc::default);
static NO_SCOPE: LazyLock<Arc<Scope>> = LazyLock::new(Arc::default);

/// Text, blobs and lists of one flat batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) text: String,
    pub(crate) blobs: Vec<u8>,
    pub(crate) attributes: Vec<AttrRecord>,
    pub(crate) events: Vec<EventRecord>,
    pub(crate) links: Vec<LinkRecord>,
    pub(crate) resources: Vec<Arc<Resource>>,
    pub(crate) scopes: Vec<Arc<Scope>>,
}

impl Store {
    #[inline]
    pub(crate) fn str(&self, slice: Slice) -> &str {
        self.text.get(slice.range()).unwrap_or("")
    }

    #[inline]
    pub(crate) fn blob(&self, slice: Slice) -> &[u8] {
        self.blobs.get(slice.range()).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn id<'a, const N: usize>(&'a self, id: &'a Id<N>) -> &'a [u8] {
        match id.state {
            IdState::Inline => &id.bytes,
            IdState::Absent => &[],
            IdState::Blob => match id.bytes.first_chunk::<8>() {
                Some(place) => {
                    let bits = u64::from_le_bytes(*place);
                    self.blob(Slice {
                        at: bits as u32,
                        len: (bits >> 32) as u32,
                    })
                }
                None => &[],
            },
        }
    }

    /// An id of any length.
    #[inline]
    pub(crate) fn put_id<const N: usize>(&mut self, id: &[u8]) -> Id<N> {
        if let Ok(bytes) = <[u8; N]>::try_from(id) {
            return Id {
                bytes,
                state: IdState::Inline,
            };
        }
        if id.is_empty() {
            return Id::default();
        }
        let place = self.put_blob(id);
        let bits = u64::from(place.at) | u64::from(place.len) << 32;
        let mut bytes = [0; N];
        if let Some(slot) = bytes.first_chunk_mut::<8>() {
            *slot = bits.to_le_bytes();
        }
        Id {
            bytes,
            state: IdState::Blob,
        }
    }

    pub(crate) fn put_str(&mut self, text: &str) -> Slice {
        let at = self.text.len();
        self.text.push_str(text);
        Slice::new(at, text.len())
    }

    pub(crate) fn put_blob(&mut self, blob: &[u8]) -> Slice {
        let at = self.blobs.len();
        self.blobs.extend_from_slice(blob);
        Slice::new(at, blob.len())
    }

    fn put_blob_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Slice {
        let at = self.blobs.len();
        write(&mut self.blobs);
        Slice::new(at, self.blobs.len() - at)
    }

    /// The value of a record.
    #[inline]
    pub(crate) fn value(&self, record: AttrRecord) -> ValueRef<'_> {
        match record.tag() {
            STR => ValueRef::Str(self.str(record.place())),
            BOOL => ValueRef::Bool(record.bits != 0),
            INT => ValueRef::Int(record.bits as i64),
            DOUBLE => ValueRef::Double(f64::from_bits(record.bits)),
            BYTES => ValueRef::Bytes(self.blob(record.place())),
            LIST => ValueRef::List(ListRef(self.blob(record.place()))),
            MAP => ValueRef::Map(MapRef(self.blob(record.place()))),
            _ => ValueRef::Empty,
        }
    }

    /// Stores a value.
    pub(crate) fn put_value(&mut self, value: ValueRef<'_>) -> Packed {
        match value {
            ValueRef::Empty => PACKED_EMPTY,
            ValueRef::Str(text) => packed_str(self.put_str(text)),
            ValueRef::Bool(b) => packed_bool(b),
            ValueRef::Int(i) => packed_int(i),
            ValueRef::Double(d) => packed_double(d),
            ValueRef::Bytes(b) => at(BYTES, self.put_blob(b)),
            ValueRef::List(list) => at(LIST, self.put_blob(list.0)),
            ValueRef::Map(map) => at(MAP, self.put_blob(map.0)),
        }
    }

    /// Stores a checked `AnyValue` body whose text is not in the store's text yet.
    pub(crate) fn put_any(&mut self, body: &[u8], text: &mut Vec<u8>) -> Packed {
        match canonical::pick(body) {
            Picked::Scalar(ValueRef::Str(s)) => {
                let place = Slice::new(text.len(), s.len());
                text.extend_from_slice(s.as_bytes());
                packed_str(place)
            }
            Picked::Scalar(value) => self.put_value(value),
            Picked::List(items) => at(LIST, self.put_blob_with(|out| canonical::list(&items, out))),
            Picked::Map(entries) => {
                at(MAP, self.put_blob_with(|out| canonical::map(&entries, out)))
            }
        }
    }

    #[inline]
    pub(crate) fn run(&self, run: Run) -> AttributesRef<'_> {
        AttributesRef {
            store: self,
            records: self.attributes.get(run.range()).unwrap_or(&[]),
        }
    }

    /// The place of a resource, put at the end unless it is the last one.
    pub(crate) fn put_resource(&mut self, resource: &Arc<Resource>) -> u32 {
        put_shared(&mut self.resources, resource)
    }

    /// The place of a scope, put at the end unless it is the last one.
    pub(crate) fn put_scope(&mut self, scope: &Arc<Scope>) -> u32 {
        put_shared(&mut self.scopes, scope)
    }

    /// Sets or replaces an attribute of a list. A list that grows moves to the end.
    pub(crate) fn set(&mut self, run: &mut Run, key: &str, value: ValueRef<'_>) {
        let Some(at) = self.position(*run, key) else {
            return self.push(run, key, value);
        };
        let packed = self.put_value(value);
        if let Some(record) = self.attributes.get_mut(at) {
            *record = AttrRecord::new(record.key(), packed);
        }
    }

    /// Adds an attribute to a list without looking whether it is there.
    pub(crate) fn push(&mut self, run: &mut Run, key: &str, value: ValueRef<'_>) {
        let packed = self.put_value(value);
        let key = self.put_str(key);
        to_end(&mut self.attributes, run);
        self.attributes.push(AttrRecord::new(key, packed));
        run.len += 1;
    }

    /// Removes every attribute with this key; whether there was one.
    pub(crate) fn remove(&mut self, run: &mut Run, key: &str) -> bool {
        let before = run.len;
        self.retain(run, |name, _| name != key);
        run.len != before
    }

    /// Keeps the attributes for which `keep` says so.
    pub(crate) fn retain(
        &mut self,
        run: &mut Run,
        mut keep: impl FnMut(&str, ValueRef<'_>) -> bool,
    ) {
        let mut kept = run.at as usize;
        for at in run.range() {
            let Some(record) = self.attributes.get(at).copied() else {
                break;
            };
            if keep(self.str(record.key()), self.value(record)) {
                if let Some(slot) = self.attributes.get_mut(kept) {
                    *slot = record;
                }
                kept += 1;
            }
        }
        run.len = (kept - run.at as usize) as u32;
    }

    fn position(&self, run: Run, key: &str) -> Option<usize> {
        let records = self.attributes.get(run.range())?;
        let at = records.iter().position(|r| self.str(r.key()) == key)?;
        Some(run.at as usize + at)
    }

    /// Copies a list of another store.
    pub(crate) fn copy_run(&mut self, from: AttributesRef<'_>) -> Run {
        let at = self.attributes.len();
        for (key, value) in from.iter() {
            let key = self.put_str(key);
            let packed = self.put_value(value);
            self.attributes.push(AttrRecord::new(key, packed));
        }
        Slice::new(at, from.len())
    }

    /// The resource at a place; an empty one for a record that was never given any.
    #[inline]
    pub(crate) fn resource(&self, at: u32) -> &Arc<Resource> {
        self.resources.get(at as usize).unwrap_or(&NO_RESOURCE)
    }

    /// The scope at a place.
    #[inline]
    pub(crate) fn scope(&self, at: u32) -> &Arc<Scope> {
        self.scopes.get(at as usize).unwrap_or(&NO_SCOPE)
    }

    /// Bytes the store keeps alive.
    pub(crate) fn size_bytes(&self) -> usize {
        self.text.len()
            + self.blobs.len()
            + size_of_val(self.attributes.as_slice())
            + size_of_val(self.events.as_slice())
            + size_of_val(self.links.as_slice())
    }
}

/// Moves a run to the end of its list, where it can grow.
pub(crate) fn to_end<T: Copy>(list: &mut Vec<T>, run: &mut Run) {
    if run.range().end != list.len() {
        let range = run.range();
        run.at = list.len() as u32;
        list.extend_from_within(range);
    }
}

fn put_shared<T: Eq>(list: &mut Vec<Arc<T>>, value: &Arc<T>) -> u32 {
    if list.last() != Some(value) {
        list.push(value.clone());
    }
    (list.len() - 1) as u32
}

/// Attributes of a span, event, link or log record, in the order sent.
#[derive(Clone, Copy, Debug)]
pub struct AttributesRef<'a> {
    pub(crate) store: &'a Store,
    pub(crate) records: &'a [AttrRecord],
}

impl<'a> AttributesRef<'a> {
    /// The entries as sent, duplicates included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        let store = self.store;
        self.records
            .iter()
            .map(move |record| (store.str(record.key()), store.value(*record)))
    }

    /// The first entry with this key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        let store = self.store;
        self.records
            .iter()
            .find(|record| store.str(record.key()) == key)
            .map(|record| store.value(*record))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends the entries as repeated field `field` of an OTLP message.
    pub(crate) fn encode(&self, field: u32, out: &mut Vec<u8>) {
        for (key, value) in self.iter() {
            // Fields up to 15 have a key of one byte; so have all attribute fields of OTLP.
            let tag = (field << 3 | u32::from(wire::LEN)) as u8;
            let short = field < 16
                && match value {
                    ValueRef::Str(s) if s.len() < 0x80 => {
                        let head = [wire::ANY_STRING, s.len() as u8];
                        wire::put_short_pair(out, tag, key, &head, s.as_bytes())
                    }
                    ValueRef::Double(d) => {
                        let bits = d.to_bits().to_le_bytes();
                        wire::put_short_pair(out, tag, key, &[wire::ANY_DOUBLE], &bits)
                    }
                    ValueRef::Bool(b) => {
                        wire::put_short_pair(out, tag, key, &[wire::ANY_BOOL, u8::from(b)], &[])
                    }
                    ValueRef::Int(i @ 0..0x80) => {
                        wire::put_short_pair(out, tag, key, &[wire::ANY_INT, i as u8], &[])
                    }
                    _ => false,
                };
            if short {
                continue;
            }
            wire::put_message_always(out, field, |out| {
                crate::value::encode_key_value(key, out, |out| value.encode(out));
            });
        }
    }
}

impl AttributeSource for AttributesRef<'_> {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        AttributesRef::get(self, key)
    }
    fn for_each<'a>(&'a self, f: &mut dyn FnMut(&'a str, ValueRef<'a>)) {
        for (key, value) in self.iter() {
            f(key, value);
        }
    }
    fn len(&self) -> usize {
        AttributesRef::len(self)
    }
}
