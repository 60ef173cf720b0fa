//! Component ids: `type` or `type/name`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id of one configured component, such as `otlp` or `batch/traces`.
///
/// The type starts with a letter and has up to 63 letters, digits and underscores; the name has 1 to
/// 1024 characters without blanks, control characters and symbols. Blanks round the whole are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    text: String,
    kind_length: usize,
}

/// Why a text is not a component id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing at all.
    #[error("a component id must not be empty")]
    Empty,
    /// Nothing before the slash.
    #[error("in `{0}` the part before / should not be empty")]
    NoType(String),
    /// Nothing behind the slash.
    #[error("in `{0}` the part after / should not be empty")]
    NoName(String),
    /// The type has a character or length that is not allowed.
    #[error(
        "`{0}` is not a component type: it must start with a letter and have at most 63 letters, digits and underscores"
    )]
    Type(String),
    /// The name has a character or length that is not allowed.
    #[error(
        "`{0}` is not a component name: it must have 1 to 1024 characters, none of them a blank, a control character or a symbol"
    )]
    Name(String),
}

impl ComponentId {
    /// Reads `type` or `type/name`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text, None),
        };
        if kind.is_empty() {
            return Err(IdError::NoType(text.to_owned()));
        }
        if !is_type(kind) {
            return Err(IdError::Type(kind.to_owned()));
        }
        match name {
            None => Ok(Self {
                text: kind.to_owned(),
                kind_length: kind.len(),
            }),
            Some("") => Err(IdError::NoName(text.to_owned())),
            Some(name) if !is_name(name) => Err(IdError::Name(name.to_owned())),
            Some(name) => Ok(Self {
                text: format!("{kind}/{name}"),
                kind_length: kind.len(),
            }),
        }
    }

    /// The part before the first slash.
    pub fn kind(&self) -> &str {
        self.text.get(..self.kind_length).unwrap_or(&self.text)
    }

    /// The part behind the first slash.
    pub fn name(&self) -> Option<&str> {
        self.text.get(self.kind_length + 1..)
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_type(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_name(text: &str) -> bool {
    // Symbols outside ASCII (Unicode categories Sc, Sk, Sm, So) pass: they harm nobody, and the
    // standard library has no table of them.
    const SYMBOLS: &str = "$+<=>^`|~";
    let length = text.chars().count();
    (1..=1024).contains(&length)
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || SYMBOLS.contains(c))
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl Serialize for ComponentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ComponentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// CFG-36 and section 6 of the configuration page.
    #[test]
    fn reads_ids() {
        let id = ComponentId::parse(" otlp/a ").unwrap();
        assert_eq!(
            (id.kind(), id.name(), id.as_str()),
            ("otlp", Some("a"), "otlp/a")
        );
        let id = ComponentId::parse("batch/a/b").unwrap();
        assert_eq!((id.kind(), id.name()), ("batch", Some("a/b")));
        let id = ComponentId::parse("awsemf").unwrap();
        assert_eq!((id.kind(), id.name()), ("awsemf", None));
        for bad in [
            "",
            "otlp/",
            "/a",
            "1otlp",
            "otlp/a b",
            "o-tlp",
            "otlp/a$",
            &"x".repeat(64),
        ] {
            assert!(ComponentId::parse(bad).is_err(), "{bad}");
        }
    }
}
