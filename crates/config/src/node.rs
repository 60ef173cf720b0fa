//! The configuration tree: YAML values that know where they were written.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::source::{Origin, Source, Span};

/// The value of a [`Node`].
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false` in the three spellings of the YAML core schema.
    Bool(bool),
    /// Any integer that fits `i64` or `u64`.
    Int(i128),
    /// A number with a fraction or exponent, an infinity or not-a-number.
    Float(f64),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in source order; keys are unique.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// The value; [`Node::key_span`] of it tells where the key stands.
    pub value: Node,
}

/// A value of the configuration with its place in the source.
#[derive(Clone)]
pub struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
    pub(crate) key_span: Option<Span>,
    pub(crate) original: Option<Arc<str>>,
}

impl Node {
    /// A node with a place.
    pub fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            key_span: None,
            original: None,
        }
    }

    /// A node that no source holds (built by a program).
    pub fn synthetic(value: Value) -> Self {
        Self::new(
            value,
            Span::start_of(&Source::new("(built in)", "", Origin::Document)),
        )
    }

    /// An empty map at the place of `span`.
    pub fn empty_map(span: Span) -> Self {
        Self::new(Value::Map(Vec::new()), span)
    }

    /// What the node holds.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the value was written. For a value out of `${...}` this is the reference.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Where the key of this value was written, if it is the value of a map entry.
    pub fn key_span(&self) -> Option<&Span> {
        self.key_span.as_ref()
    }

    /// The best place for an error about the node as a whole: its key, or else its value.
    pub fn place(&self) -> &Span {
        self.key_span.as_ref().unwrap_or(&self.span)
    }

    /// The text a value had before YAML gave it a type, if it came whole out of `${...}`.
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// The text of a scalar as written (`0123`, `1e3`); `None` for lists and maps.
    pub fn scalar_text(&self) -> Option<Cow<'_, str>> {
        if let Some(original) = &self.original {
            return Some(Cow::Borrowed(original));
        }
        match &self.value {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Null => Some(Cow::Borrowed("")),
            Value::Bool(flag) => Some(self.written_or(|| flag.to_string())),
            Value::Int(number) => Some(self.written_or(|| number.to_string())),
            Value::Float(number) => Some(self.written_or(|| number.to_string())),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    fn written_or(&self, print: impl FnOnce() -> String) -> Cow<'_, str> {
        match self.span.text() {
            "" => Cow::Owned(print()),
            text => Cow::Borrowed(text),
        }
    }

    /// Is the value null (or absent, as in `key:`)?
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text, if the value is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The flag, if the value is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The number, if the value is an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self.value {
            Value::Int(number) => i64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The number, if the value is a float or an integer.
    pub fn as_f64(&self) -> Option<f64> {
        match self.value {
            Value::Float(number) => Some(number),
            Value::Int(number) => Some(number as f64),
            _ => None,
        }
    }

    /// The elements, if the value is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    /// The entries in source order, if the value is a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entries in source order; none unless the value is a map.
    pub fn entries(&self) -> &[Entry] {
        self.as_map().unwrap_or_default()
    }

    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The value under `path`, key by key.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The word for the value's type in error texts.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Shows the value only, not the places.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::String(text) => write!(f, "{text:?}"),
            Value::List(nodes) => f.debug_list().entries(nodes).finish(),
            Value::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|e| (&e.key, &e.value)))
                .finish(),
        }
    }
}

/// Equal values, wherever they were written; the order of map keys counts, not-a-number equals itself.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(signed), _) => serializer.serialize_i64(signed),
                (_, Ok(unsigned)) => serializer.serialize_u64(unsigned),
                _ => serializer.serialize_i128(*number),
            },
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) => serializer.serialize_str(text),
            Value::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                for node in nodes {
                    list.serialize_element(node)?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    map.serialize_entry(&entry.key, &entry.value)?;
                }
                map.end()
            }
        }
    }
}
