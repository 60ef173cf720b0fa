//! Lists, maps, structs and enums, element by element.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::context;
use super::deserializer::{NodeDeserializer, Slot, Trail, key_deserializer};
use super::failure::{Failure, at_child};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Entry, Node, Value};
use crate::source::Span;

/// The reference cuts at commas and keeps blanks; an empty text is an empty list.
pub(super) fn split_at_commas(text: &str, span: &Span) -> Vec<Node> {
    if text.is_empty() {
        return Vec::new();
    }
    let piece = |piece: &str| Node::new(Value::String(piece.to_owned()), span.clone());
    text.split(',').map(piece).collect()
}

pub(super) struct ListReader<'a> {
    outer: NodeDeserializer<'a>,
    nodes: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    /// The node to blame for made-up elements.
    stands_for: Option<&'a Node>,
}

impl<'a> ListReader<'a> {
    pub(super) fn new<'b: 'a>(
        outer: NodeDeserializer<'b>,
        nodes: &'a [Node],
        stands_for: Option<&'b Node>,
    ) -> Self {
        Self {
            outer,
            nodes: nodes.iter().enumerate(),
            stands_for,
        }
    }
}

impl<'de> SeqAccess<'de> for ListReader<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let context = self.outer.context;
        let Some((index, node)) = self.nodes.find(|(_, node)| !context.is_left_out(node)) else {
            return Ok(None);
        };
        let trail = Trail::Index(self.outer.trail, index);
        let child = NodeDeserializer {
            node,
            trail: &trail,
            context,
            slot: Slot::Element,
            stands_for: self.stands_for,
            secret: self.outer.secret,
        };
        at_child(seed.deserialize(child), &child).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len())
    }
}

pub(super) struct MapReader<'a> {
    outer: NodeDeserializer<'a>,
    entries: std::slice::Iter<'a, Entry>,
    /// The keys of a struct; others are reported and passed over.
    fields: Option<&'static [&'static str]>,
    current: Option<&'a Entry>,
}

impl<'a> MapReader<'a> {
    /// A map with keys of any name.
    pub(super) fn free(outer: NodeDeserializer<'a>, entries: &'a [Entry]) -> Self {
        Self {
            outer,
            entries: entries.iter(),
            fields: None,
            current: None,
        }
    }

    /// A struct with these keys.
    pub(super) fn known(
        outer: NodeDeserializer<'a>,
        entries: &'a [Entry],
        fields: &'static [&'static str],
    ) -> Self {
        Self {
            outer,
            entries: entries.iter(),
            fields: Some(fields),
            current: None,
        }
    }

    fn is_known(&self, entry: &Entry) -> bool {
        let Some(fields) = self.fields else {
            return true;
        };
        if fields.contains(&entry.key.as_str()) {
            return true;
        }
        self.outer
            .context
            .report(context::address(&entry.value), || {
                let near = nearest(&entry.key, fields.iter().copied());
                let diagnostic = Diagnostic::error(format!("unknown key `{}`", entry.key))
                    .at(entry.value.place())
                    .in_path(self.outer.trail.to_string());
                match near {
                    Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                    None if fields.is_empty() => diagnostic.label("there are no keys here"),
                    None => diagnostic.hint(format!("known keys: {}", sorted(fields))),
                }
            });
        false
    }
}

fn sorted(fields: &[&str]) -> String {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields.join(", ")
}

impl<'de> MapAccess<'de> for MapReader<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        loop {
            let Some(entry) = self.entries.next() else {
                return Ok(None);
            };
            if self.outer.context.is_left_out(&entry.value) || !self.is_known(entry) {
                continue;
            }
            self.current = Some(entry);
            let trail = Trail::Key(self.outer.trail, &entry.key);
            let name = Node::new(
                Value::String(entry.key.clone()),
                entry.value.place().clone(),
            );
            let stands_for = Some(&entry.value);
            let key = NodeDeserializer {
                trail: &trail,
                node: &name,
                stands_for,
                ..self.outer
            };
            let result = seed.deserialize(key_deserializer(&entry.key));
            return at_child(result, &key).map(Some);
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some(entry) = self.current.take() else {
            return Err(Failure::mismatch("a key", "nothing"));
        };
        let trail = Trail::Key(self.outer.trail, &entry.key);
        let child = NodeDeserializer {
            node: &entry.value,
            trail: &trail,
            context: self.outer.context,
            slot: if self.fields.is_some() {
                Slot::Field
            } else {
                Slot::Element
            },
            stands_for: None,
            secret: self.outer.secret,
        };
        at_child(seed.deserialize(child), &child)
    }
}

pub(super) struct EnumReader<'a> {
    outer: NodeDeserializer<'a>,
    name: &'a str,
    entry: Option<&'a Entry>,
}

impl<'a> EnumReader<'a> {
    /// A variant without content, written as a string.
    pub(super) fn plain(outer: NodeDeserializer<'a>, name: &'a str) -> Self {
        Self {
            outer,
            name,
            entry: None,
        }
    }

    /// A variant with content, written as a map with one key.
    pub(super) fn with_value(outer: NodeDeserializer<'a>, entry: &'a Entry) -> Self {
        Self {
            outer,
            name: &entry.key,
            entry: Some(entry),
        }
    }

    fn content<T>(
        self,
        read: impl FnOnce(NodeDeserializer<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(entry) = self.entry else {
            return Err(Failure::mismatch(
                &format!("a map with the key `{}`", self.name),
                "a string",
            ));
        };
        let trail = Trail::Key(self.outer.trail, &entry.key);
        let child = NodeDeserializer {
            node: &entry.value,
            trail: &trail,
            slot: Slot::Root,
            stands_for: None,
            ..self.outer
        };
        at_child(read(child), &child)
    }
}

impl<'de> EnumAccess<'de> for EnumReader<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        Ok((seed.deserialize(key_deserializer(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for EnumReader<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.entry {
            Some(entry) if !entry.value.is_null() => Err(Failure::mismatch(
                &format!("just the word `{}`", self.name),
                "a map",
            )),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        self.content(|child| seed.deserialize(child))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.content(|child| child.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.content(|child| child.deserialize_struct("", fields, visitor))
    }
}
