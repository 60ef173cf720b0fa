//! Attribute sets in canonical form: sorted by key, unique keys, one allocation.
//!
//! The encoding is a run of length-delimited OTLP `KeyValue` bodies, so that writing a set back
//! to OTLP is a copy, comparing two sets is a memory compare and a set costs its wire bytes.
//! Decisions (docs/ARCHITECTURE.md, "Data model"): order is not kept, the last of duplicate keys
//! wins, entries without a value stay.

use std::sync::Arc;

use crate::canonical;
use crate::error::DecodeError;
use crate::value::{Value, ValueRef, encode_key_value, read_key_value};
use crate::wire::{self, Reader};

/// Anything that has attributes: interned sets, spans, log records, events.
pub trait AttributeSource {
    /// Value of the first attribute with this key.
    fn get(&self, key: &str) -> Option<ValueRef<'_>>;
    /// Calls `f` for every attribute.
    fn for_each<'a>(&'a self, f: &mut dyn FnMut(&'a str, ValueRef<'a>));
    /// Number of attributes.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An immutable, canonical attribute set; cloning shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    data: Arc<[u8]>,
}

impl Attributes {
    /// The entries, sorted by key.
    pub fn iter(&self) -> AttributesIter<'_> {
        AttributesIter {
            reader: Reader::new(&self.data),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        for (name, value) in self.iter() {
            match name.cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// Number of entries. It is counted, not kept: every series would pay for it.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Whether nobody else shares the bytes.
    pub(crate) fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.data) == 1
    }

    /// The canonical encoding: a run of length-delimited `KeyValue` bodies.
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// Appends the set as repeated field `field` of an OTLP message.
    pub fn encode(&self, field: u32, out: &mut Vec<u8>) {
        let mut reader = Reader::new(&self.data);
        while !reader.is_empty() {
            let Ok(body) = reader.bytes() else { return };
            wire::put_bytes_always(out, field, body);
        }
    }

    /// A builder that starts with these entries.
    pub fn to_builder(&self) -> AttributesBuilder {
        let mut builder = AttributesBuilder::default();
        for (key, value) in self.iter() {
            builder.set(key, value);
        }
        builder
    }
}

impl AttributeSource for Attributes {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        Attributes::get(self, key)
    }
    fn for_each<'a>(&'a self, f: &mut dyn FnMut(&'a str, ValueRef<'a>)) {
        for (key, value) in self.iter() {
            f(key, value);
        }
    }
    fn len(&self) -> usize {
        Attributes::len(self)
    }
}

impl<K: AsRef<str>, V: Into<Value>> FromIterator<(K, V)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(iter: T) -> Self {
        let mut builder = AttributesBuilder::default();
        for (key, value) in iter {
            builder.set_value(key.as_ref(), &value.into());
        }
        builder.build()
    }
}

/// Iterator over the entries of [`Attributes`].
#[derive(Clone, Debug)]
pub struct AttributesIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for AttributesIter<'a> {
    type Item = (&'a str, ValueRef<'a>);
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        self.reader.bytes().ok().map(read_key_value)
    }
}

/// Collects entries in any order; the last of equal keys wins.
#[derive(Clone, Debug, Default)]
pub struct AttributesBuilder {
    /// Encoded `AnyValue` bodies, one after the other.
    arena: Vec<u8>,
    /// Key and the range of its value in the arena, sorted by key.
    entries: Vec<(String, std::ops::Range<usize>)>,
}

impl AttributesBuilder {
    /// Sets or replaces a value.
    pub fn set(&mut self, key: &str, value: ValueRef<'_>) -> &mut Self {
        self.put(key, |out| value.encode(out))
    }

    /// Sets or replaces a value from its owned form.
    pub fn set_value(&mut self, key: &str, value: &Value) -> &mut Self {
        self.put(key, |out| value.encode(out))
    }

    /// Sets or replaces a text value.
    pub fn set_str(&mut self, key: &str, value: &str) -> &mut Self {
        self.set(key, ValueRef::Str(value))
    }

    fn put(&mut self, key: &str, encode: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.arena.len();
        encode(&mut self.arena);
        self.put_range(key, start..self.arena.len());
        self
    }

    fn put_range(&mut self, key: &str, range: std::ops::Range<usize>) {
        // Senders mostly send keys in order already: look at the end first.
        match self.entries.last() {
            Some((last, _)) if last.as_str() >= key => {}
            _ => return self.entries.push((key.to_owned(), range)),
        }
        match self.entries.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    entry.1 = range;
                }
            }
            Err(at) => self.entries.insert(at, (key.to_owned(), range)),
        }
    }

    /// Adds one `KeyValue` body from outside.
    pub fn decode(&mut self, body: &[u8]) -> Result<(), DecodeError> {
        crate::check::key_value(body)?;
        self.put_checked(body);
        Ok(())
    }

    /// Adds one `KeyValue` body that was checked.
    pub(crate) fn put_checked(&mut self, body: &[u8]) {
        let (key, value) = canonical::key_value(body);
        self.put(key, |out| canonical::any_value(&value, out));
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        match self.entries.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
            Ok(at) => {
                self.entries.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        let at = self
            .entries
            .binary_search_by(|(k, _)| k.as_str().cmp(key))
            .ok()?;
        let (_, range) = self.entries.get(at)?;
        self.arena.get(range.clone()).map(ValueRef::read)
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(k, _)| k.as_str())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The finished set.
    pub fn build(&self) -> Attributes {
        let mut out = Vec::with_capacity(self.arena.len() + self.entries.len() * 16);
        let mut body = Vec::new();
        for (key, range) in &self.entries {
            body.clear();
            let value = self.arena.get(range.clone()).unwrap_or(&[]);
            encode_key_value(key, &mut body, |o| o.extend_from_slice(value));
            wire::put_varint(&mut out, body.len() as u64);
            out.extend_from_slice(&body);
        }
        Attributes { data: out.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_unique_and_equal_whatever_the_order() {
        let a: Attributes = [
            ("b", Value::from("x")),
            ("a", Value::Int(1)),
            ("b", Value::from("y")),
        ]
        .into_iter()
        .collect();
        let b: Attributes = [("a", Value::Int(1)), ("b", Value::from("y"))]
            .into_iter()
            .collect();
        assert_eq!(a, b);
        assert_eq!(a.len(), 2);
        assert_eq!(a.get("b"), Some(ValueRef::Str("y")));
        assert_eq!(a.get("c"), None);
        let mut c = a.to_builder();
        assert!(c.remove("b") && !c.remove("b"));
        assert_eq!(
            c.build().iter().collect::<Vec<_>>(),
            vec![("a", ValueRef::Int(1))]
        );
    }
}
