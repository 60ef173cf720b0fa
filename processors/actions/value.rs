//! Attribute values as a configuration gives them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use weir_model::{Value, ValueRef};

/// A value of any type: text, number, boolean, list or map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigValue(pub Value);

impl ConfigValue {
    /// Runs `f` on a borrowed view; only lists and maps are encoded for that.
    pub(crate) fn with_ref<R>(&self, f: impl FnOnce(ValueRef<'_>) -> R) -> R {
        with_ref(&self.0, f)
    }
}

/// Runs `f` on a borrowed view of a value; only lists and maps are encoded for that.
pub(crate) fn with_ref<R>(value: &Value, f: impl FnOnce(ValueRef<'_>) -> R) -> R {
    match value {
        Value::Empty => f(ValueRef::Empty),
        Value::Str(text) => f(ValueRef::Str(text)),
        Value::Bool(flag) => f(ValueRef::Bool(*flag)),
        Value::Int(number) => f(ValueRef::Int(*number)),
        Value::Double(number) => f(ValueRef::Double(*number)),
        Value::Bytes(bytes) => f(ValueRef::Bytes(bytes)),
        Value::List(_) | Value::Map(_) => value.with_ref(f),
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = ConfigValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a boolean, a list or a map")
    }

    fn visit_unit<E: de::Error>(self) -> Result<ConfigValue, E> {
        Ok(ConfigValue(Value::Empty))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<ConfigValue, E> {
        Ok(ConfigValue(Value::Bool(flag)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<ConfigValue, E> {
        Ok(ConfigValue(Value::Int(number)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ConfigValue, E> {
        let number = i64::try_from(number)
            .map_err(|_| E::custom(format!("{number} does not fit a 64-bit integer")))?;
        Ok(ConfigValue(Value::Int(number)))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<ConfigValue, E> {
        Ok(ConfigValue(Value::Double(number)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigValue, E> {
        Ok(ConfigValue(Value::Str(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ConfigValue, A::Error> {
        let mut items = Vec::new();
        while let Some(ConfigValue(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(ConfigValue(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigValue, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, ConfigValue(value))) = map.next_entry()? {
            entries.push((key, value));
        }
        Ok(ConfigValue(Value::Map(entries)))
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

impl Serialize for ConfigValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown(&self.0).serialize(serializer)
    }
}

/// A value on its way out.
struct Shown<'a>(&'a Value);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Empty => serializer.serialize_unit(),
            Value::Str(text) => serializer.serialize_str(text),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Double(number) => serializer.serialize_f64(*number),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::List(items) => serializer.collect_seq(items.iter().map(Shown)),
            Value::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, Shown(value))))
            }
        }
    }
}
