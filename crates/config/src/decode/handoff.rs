//! Hands a whole [`Node`] through serde, which has no notion of one.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::node::{Entry, Node, Value};
use crate::types::names;

thread_local! {
    /// Filled by the tree's deserializer right before it calls the visitor below, which empties it.
    static HANDED_OVER: RefCell<Option<Node>> = const { RefCell::new(None) };
}

pub(super) fn put(node: Node) {
    HANDED_OVER.with_borrow_mut(|slot| *slot = Some(node));
}

/// The node handed over, if there is one.
fn take() -> Option<Node> {
    HANDED_OVER.with_borrow_mut(Option::take)
}

/// Keeps places when decoded from a tree; from other formats the node has no place.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(names::NODE, NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(take().unwrap_or_else(|| Node::synthetic(Value::Null)))
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::synthetic(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::synthetic(Value::Bool(flag)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::synthetic(Value::Int(number.into())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::synthetic(Value::Int(number.into())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Node, E> {
        Ok(Node::synthetic(Value::Float(number)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::synthetic(Value::String(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Node::synthetic(Value::List(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.push(Entry { key, value });
        }
        Ok(Node::synthetic(Value::Map(entries)))
    }
}
