//! Headers from the configuration.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weir_config::{Errors, Secret, Validate};

use crate::error::NetError;

/// `headers`: a map, or a list of `{name, value}` (OTLP-40). Values are secrets; order is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Secret<String>)>);

impl Headers {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers in the form of the HTTP library; values are marked sensitive.
    ///
    /// # Errors
    /// A name or value that no header can have; the value is not printed.
    pub fn to_map(&self) -> Result<HeaderMap, NetError> {
        let mut map = HeaderMap::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            let (name, value) = checked(name, value).map_err(NetError::Config)?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

fn checked(name: &str, value: &Secret<String>) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not a valid header name"))?;
    let mut value = HeaderValue::from_str(value.expose())
        .map_err(|_| format!("the value of header {name} has characters that are not allowed"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

impl Validate for Headers {
    fn validate(&self, errors: &mut Errors) {
        for (name, value) in &self.0 {
            if let Err(why) = checked(name, value) {
                errors.push(name, why, "");
            }
        }
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeadersVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    #[serde(default)]
    value: Secret<String>,
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of header names to values, or a list of {name, value}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(entry) = map.next_entry()? {
            headers.push(entry);
        }
        Ok(Headers(headers))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(Pair { name, value }) = list.next_element()? {
            headers.push((name, value));
        }
        Ok(Headers(headers))
    }
}
