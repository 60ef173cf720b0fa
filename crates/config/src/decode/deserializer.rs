//! serde's view of a node, with the type rules of the reference (section 5 of its configuration page).

use std::fmt;

use serde::de::{self, Deserializer, Visitor, value::StrDeserializer};

use super::access::{EnumReader, ListReader, MapReader, split_at_commas};
use super::context::Context;
use super::failure::{Failure, at_child};
use super::handoff;
use crate::diagnostic::Diagnostic;
use crate::mask::is_secret_key;
use crate::node::{Node, Value};
use crate::types::names;

/// Where a node stands in the tree, as a chain on the stack.
pub(super) enum Trail<'a> {
    Root(&'a str),
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    fn is_secret(&self) -> bool {
        match self {
            Self::Root(path) => path.split('.').any(is_secret_key),
            Self::Key(outer, key) => is_secret_key(key) || outer.is_secret(),
            Self::Index(outer, _) => outer.is_secret(),
        }
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(path) => f.write_str(path),
            Self::Key(Trail::Root(""), key) => f.write_str(key),
            Self::Key(outer, key) => write!(f, "{outer}.{key}"),
            Self::Index(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

/// What holds the node: decides what null means for a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Root,
    /// A field of a struct: its default holds.
    Field,
    /// An element of a list or of a free map: the type's zero.
    Element,
}

#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'a> {
    pub(super) node: &'a Node,
    pub(super) trail: &'a Trail<'a>,
    pub(super) context: &'a Context,
    pub(super) slot: Slot,
    /// The node to blame when this one was made up on the way (a piece of `a,b`).
    pub(super) stands_for: Option<&'a Node>,
    pub(super) secret: bool,
}

impl<'a> NodeDeserializer<'a> {
    pub(super) fn new(
        node: &'a Node,
        trail: &'a Trail<'a>,
        context: &'a Context,
        slot: Slot,
    ) -> Self {
        Self {
            node,
            trail,
            context,
            slot,
            stands_for: None,
            secret: false,
        }
    }

    /// Must the value stay out of error texts?
    pub(super) fn is_secret(&self) -> bool {
        self.secret || self.trail.is_secret()
    }

    fn mismatch(&self, expected: &str) -> Failure {
        let failure = Failure::mismatch(expected, self.node.kind());
        match self.node.scalar_text() {
            Some(text) if !self.node.is_null() => failure.showing(&text),
            _ => failure,
        }
    }

    fn integer<T: TryFrom<i128>>(&self, least: &str, most: &str) -> Result<T, Failure> {
        let number = match self.node.value {
            Value::Int(number) => number,
            // A whole number such as 1e3 loses nothing; others would (the reference cuts them).
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e18 => number as i128,
            Value::Float(_) => return Err(self.mismatch("an integer").label("no fractions here")),
            Value::String(ref text) if text.parse::<i128>().is_ok() => {
                return Err(self.mismatch("an integer").label("remove the quotes"));
            }
            _ => return Err(self.mismatch("an integer")),
        };
        T::try_from(number)
            .map_err(|_| self.mismatch(&format!("an integer between {least} and {most}")))
    }

    /// The text for a string field.
    fn text(&self) -> Result<&'a str, Failure> {
        if let Some(original) = &self.node.original {
            return Ok(original);
        }
        if let Value::String(text) = &self.node.value {
            return Ok(text);
        }
        let failure = self.mismatch("a string");
        Err(match self.node.scalar_text() {
            Some(text) => failure.label(format!("quote it: \"{text}\"")),
            None => failure,
        })
    }

    /// Calls the visitor with the text for a string field.
    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() && self.node.original.is_none() {
            return match self.slot {
                Slot::Element => visitor.visit_str(""),
                _ => Err(Failure::null("a string")),
            };
        }
        if self.context.loose.get()
            && let Some(text) = self.node.scalar_text()
        {
            return visitor.visit_str(&text);
        }
        visitor.visit_str(self.text()?)
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::List(nodes) => visitor.visit_seq(ListReader::new(self, nodes, None)),
            Value::Null if self.slot == Slot::Element => {
                visitor.visit_seq(ListReader::new(self, &[], None))
            }
            Value::Null => Err(Failure::null("a list")),
            Value::Map(_) => Err(self.mismatch("a list")),
            _ => {
                let text = self.text().map_err(|_| self.mismatch("a list"))?;
                let pieces = split_at_commas(text, &self.node.span);
                visitor.visit_seq(ListReader::new(self, &pieces, Some(self.node)))
            }
        }
    }

    fn visit_duration<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        const EXPECTED: &str = "a duration such as `30s` or `1m30s`";
        match &self.node.value {
            Value::Null if self.slot == Slot::Element => visitor.visit_i64(0),
            Value::Null => Err(Failure::null(EXPECTED)),
            Value::String(text) => visitor.visit_str(text),
            Value::Int(number) => {
                let number = i64::try_from(*number).map_err(|_| self.mismatch(EXPECTED))?;
                if number != 0 {
                    self.context.report(self.address(), || {
                        Diagnostic::warning(format!("a bare number counts nanoseconds: {number}ns"))
                            .at(&self.node.span)
                            .in_path(self.trail.to_string())
                            .label(format!("write a unit, such as `{number}s`"))
                    });
                }
                visitor.visit_i64(number)
            }
            _ => Err(self.mismatch(EXPECTED)),
        }
    }
}

/// A number that would lose digits as a number: an account id with a leading zero, for example.
fn keeps_its_text(original: &str) -> bool {
    let digits = original.trim_start_matches(['+', '-']);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            if self.node.is_null() {
                return match self.slot {
                    Slot::Element if self.node.original.is_some() => visitor.$visit(0),
                    Slot::Element => Err(self.mismatch("an integer")),
                    _ => Err(Failure::null("an integer")),
                };
            }
            let (least, most) = (<$type>::MIN.to_string(), <$type>::MAX.to_string());
            visitor.$visit(self.integer::<$type>(&least, &most)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if let (Value::Int(_) | Value::Float(_), Some(original)) =
            (&self.node.value, &self.node.original)
            && keeps_its_text(original)
        {
            return visitor.visit_str(original);
        }
        match &self.node.value {
            Value::Null if self.node.original.is_some() => visitor.visit_str(""),
            Value::Null if self.slot == Slot::Field => {
                // A type that has no use for null keeps its default.
                visitor.visit_unit().map_err(Failure::where_null_may_stand)
            }
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (_, Ok(number)) => visitor.visit_u64(number),
                (Ok(number), _) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::String(text) => visitor.visit_str(text),
            Value::List(nodes) => visitor.visit_seq(ListReader::new(self, nodes, None)),
            Value::Map(entries) => visitor.visit_map(MapReader::free(self, entries)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Null if self.slot != Slot::Element => Err(Failure::null("a boolean")),
            Value::String(text)
                if ["yes", "no", "on", "off", "true", "false"]
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(text)) =>
            {
                Err(self
                    .mismatch("a boolean")
                    .label("write true or false, without quotes"))
            }
            _ => Err(self.mismatch("a boolean")),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Int(number) => visitor.visit_f64(*number as f64),
            Value::Null if self.slot != Slot::Element => Err(Failure::null("a number")),
            Value::String(text) if text.parse::<f64>().is_ok() => {
                Err(self.mismatch("a number").label("remove the quotes"))
            }
            _ => Err(self.mismatch("a number")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() && self.node.original.is_none() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Null => visitor.visit_unit(),
            _ => Err(self.mismatch("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match name {
            names::DURATION => self.visit_duration(visitor),
            names::NODE => {
                handoff::put(self.node.clone());
                visitor.visit_unit()
            }
            names::SECRET => {
                self.context.add_secret(&self.node.span);
                let inner = Self {
                    secret: true,
                    ..self
                };
                at_child(visitor.visit_newtype_struct(inner), &inner)
            }
            names::LOOSE => {
                let before = self.context.loose.replace(true);
                let result = at_child(visitor.visit_newtype_struct(self), &self);
                self.context.loose.set(before);
                result
            }
            names::STRING_OR_LIST => match &self.node.value {
                Value::List(nodes) => visitor.visit_seq(ListReader::new(self, nodes, None)),
                Value::Map(_) => Err(self.mismatch("a string or a list of strings")),
                _ => self.visit_text(visitor),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(MapReader::free(self, entries)),
            Value::Null if self.slot == Slot::Field => Err(Failure::null("a map")),
            Value::Null => visitor.visit_map(MapReader::free(self, &[])),
            _ => Err(self.mismatch("a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(MapReader::known(self, entries, fields)),
            Value::Null => visitor.visit_map(MapReader::known(self, &[], fields)),
            _ => Err(self.mismatch("a map")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Null if self.node.original.is_none() => Err(Failure::null("a string")),
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(EnumReader::with_value(self, entry)),
                _ => Err(self.mismatch("a string or a map with exactly one key")),
            },
            Value::List(_) => Err(self.mismatch("a string")),
            _ => visitor.visit_enum(EnumReader::plain(self, self.text()?)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_text(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

/// The text of a key, for keys and names of variants.
pub(super) fn key_deserializer(key: &str) -> StrDeserializer<'_, Failure> {
    de::IntoDeserializer::into_deserializer(key)
}
