//! Actions on attributes: what `attributes` and `resource` do with spans, log records, series and
//! resources (processors section 3, PROC rows of both).
//!
//! A list of actions is compiled once and applied in order to anything that has attributes. What
//! an action would leave as it is, is not touched, so that batches keep their bytes.

mod config;
mod convert;
#[cfg(test)]
mod tests;
mod value;

use regex::Regex;
use weir_model::{AttributesBuilder, ClientMetadata, LogMut, SpanMut, Value, ValueRef};

pub(crate) use config::ActionConfig;
pub(crate) use config::compile;
use convert::{Conversion, hash};
pub(crate) use value::ConfigValue;
use value::with_ref;

/// A compiled action.
#[derive(Debug)]
pub(crate) struct Action {
    key: String,
    change: Change,
}

/// What an action does.
#[derive(Debug)]
enum Change {
    Set {
        mode: Mode,
        source: Source,
        default: Option<ConfigValue>,
    },
    /// The key, and the keys that match.
    Delete(Option<Regex>),
    /// The key, and the keys that match.
    Hash(Option<Regex>),
    Extract(Regex),
    Convert(Conversion),
}

/// When an attribute is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// If it is not there.
    Insert,
    /// If it is there.
    Update,
    /// Always.
    Upsert,
}

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Constant(ConfigValue),
    Attribute(String),
    Context(ContextKey),
}

/// A fact about the sender.
#[derive(Debug, PartialEq, Eq)]
enum ContextKey {
    /// Values of a request header.
    Metadata(String),
    /// What an authenticator found out: none of ours keeps anything.
    Auth,
    /// The peer's address, without port.
    ClientAddress,
}

impl ContextKey {
    fn parse(text: &str) -> Self {
        if text == "client.address" {
            return Self::ClientAddress;
        }
        if text.starts_with("auth.") {
            return Self::Auth;
        }
        // Without a prefix it is a header too: so it was before there were prefixes.
        Self::Metadata(text.strip_prefix("metadata.").unwrap_or(text).to_owned())
    }

    /// The value; several are joined with `;`.
    fn get(&self, client: Option<&ClientMetadata>) -> Option<String> {
        let client = client?;
        match self {
            Self::Metadata(name) => {
                let values: Vec<&str> = client.get(name).collect();
                (!values.is_empty()).then(|| values.join(";"))
            }
            Self::Auth => None,
            Self::ClientAddress => client.address.map(|address| address.ip().to_string()),
        }
    }
}

/// Anything with attributes that may be changed.
pub(crate) trait Target {
    /// The value of a key.
    fn get(&self, key: &str) -> Option<ValueRef<'_>>;
    /// Sets or replaces a value.
    fn set(&mut self, key: &str, value: ValueRef<'_>);
    /// Removes a key if it is there.
    fn remove(&mut self, key: &str);
    /// The keys that match.
    fn keys(&self, pattern: &Regex) -> Vec<String>;
}

/// Applies actions in order.
pub(crate) fn apply(actions: &[Action], target: &mut impl Target, client: Option<&ClientMetadata>) {
    for action in actions {
        action.apply(target, client);
    }
}

/// Whether an action asks for the sender: then its result depends on more than the attributes.
pub(crate) fn ask_sender(actions: &[Action]) -> bool {
    actions.iter().any(|action| {
        matches!(
            action.change,
            Change::Set {
                source: Source::Context(_),
                ..
            }
        )
    })
}

impl Action {
    fn apply(&self, target: &mut impl Target, client: Option<&ClientMetadata>) {
        let key = self.key.as_str();
        match &self.change {
            Change::Set {
                mode,
                source,
                default,
            } => {
                let wanted = match mode {
                    Mode::Insert => target.get(key).is_none(),
                    Mode::Update => target.get(key).is_some(),
                    Mode::Upsert => true,
                };
                if wanted {
                    set_from(target, key, source, default.as_ref(), client);
                }
            }
            Change::Delete(pattern) => {
                target.remove(key);
                for key in matching(target, pattern.as_ref()) {
                    target.remove(&key);
                }
            }
            Change::Hash(pattern) => {
                replace(target, key, |value| Some(Value::Str(hash(value))));
                for key in matching(target, pattern.as_ref())
                    .iter()
                    .filter(|k| *k != key)
                {
                    replace(target, key, |value| Some(Value::Str(hash(value))));
                }
            }
            Change::Extract(pattern) => extract(target, key, pattern),
            Change::Convert(conversion) => {
                replace(target, key, |value| conversion.apply(value));
            }
        }
    }
}

fn set_from(
    target: &mut impl Target,
    key: &str,
    source: &Source,
    default: Option<&ConfigValue>,
    client: Option<&ClientMetadata>,
) {
    let found = match source {
        Source::Constant(value) => {
            return value.with_ref(|value| set_if_new(target, key, value));
        }
        Source::Attribute(name) => target.get(name).map(|value| value.to_value()),
        Source::Context(context) => context.get(client).map(Value::Str),
    };
    if let Some(value) = found.as_ref().or(default.map(|default| &default.0)) {
        with_ref(value, |value| set_if_new(target, key, value));
    }
}

/// Sets a value unless it is there already.
fn set_if_new(target: &mut impl Target, key: &str, value: ValueRef<'_>) {
    if target.get(key) != Some(value) {
        target.set(key, value);
    }
}

/// Puts another value in place of the one that is there, if there is one and one to put.
fn replace(target: &mut impl Target, key: &str, new: impl Fn(ValueRef<'_>) -> Option<Value>) {
    if let Some(value) = target.get(key).and_then(new) {
        with_ref(&value, |value| target.set(key, value));
    }
}

fn matching(target: &impl Target, pattern: Option<&Regex>) -> Vec<String> {
    pattern
        .map(|pattern| target.keys(pattern))
        .unwrap_or_default()
}

/// Sets one attribute for each named group of the first match in a text; a group that took no part
/// gives an empty text.
fn extract(target: &mut impl Target, key: &str, pattern: &Regex) {
    let Some(text) = target.get(key).and_then(|value| value.as_str()) else {
        return;
    };
    let Some(captures) = pattern.captures(text) else {
        return;
    };
    let text_of = |name| captures.name(name).map_or("", |group| group.as_str());
    let names = pattern.capture_names().flatten();
    let found: Vec<(&str, String)> = names.map(|name| (name, text_of(name).to_owned())).collect();
    for (name, value) in found {
        set_if_new(target, name, ValueRef::Str(&value));
    }
}

impl Target for AttributesBuilder {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        Self::get(self, key)
    }
    fn set(&mut self, key: &str, value: ValueRef<'_>) {
        Self::set(self, key, value);
    }
    fn remove(&mut self, key: &str) {
        Self::remove(self, key);
    }
    fn keys(&self, pattern: &Regex) -> Vec<String> {
        let keys = Self::keys(self).filter(|key| pattern.is_match(key));
        keys.map(str::to_owned).collect()
    }
}

impl Target for SpanMut<'_> {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.as_ref().attr(key)
    }
    fn set(&mut self, key: &str, value: ValueRef<'_>) {
        SpanMut::set(self, key, value);
    }
    fn remove(&mut self, key: &str) {
        SpanMut::remove(self, key);
    }
    fn keys(&self, pattern: &Regex) -> Vec<String> {
        let attributes = self.as_ref().attributes();
        let keys = attributes.iter().map(|(key, _)| key);
        keys.filter(|key| pattern.is_match(key))
            .map(str::to_owned)
            .collect()
    }
}

impl Target for LogMut<'_> {
    fn get(&self, key: &str) -> Option<ValueRef<'_>> {
        self.as_ref().attr(key)
    }
    fn set(&mut self, key: &str, value: ValueRef<'_>) {
        LogMut::set(self, key, value);
    }
    fn remove(&mut self, key: &str) {
        LogMut::remove(self, key);
    }
    fn keys(&self, pattern: &Regex) -> Vec<String> {
        let attributes = self.as_ref().attributes();
        let keys = attributes.iter().map(|(key, _)| key);
        keys.filter(|key| pattern.is_match(key))
            .map(str::to_owned)
            .collect()
    }
}
