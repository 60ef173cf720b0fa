//! The deserializer's error: what serde reports, with the place added on the way out.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::context;
use super::deserializer::NodeDeserializer;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::Value;
use crate::source::Span;

#[derive(Debug)]
pub(super) struct Failure(Box<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kind: Kind,
    message: String,
    /// The value, to be shown behind the message unless it is secret.
    shown: String,
    hint: String,
    label: String,
    place: Option<Place>,
    consequence: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Null where a scalar is wanted: the default holds.
    Null,
    /// A key that has no default.
    Missing(&'static str),
    /// Text of unknown making, which may quote the value.
    Custom,
    /// Text made here, free of values.
    #[default]
    Type,
}

#[derive(Debug)]
struct Place {
    address: usize,
    span: Span,
    path: String,
}

impl Failure {
    pub(super) fn mismatch(expected: &str, got: &str) -> Self {
        let message = format!("expected {expected}, got {got}");
        Self(Box::new(Inner {
            message,
            ..Inner::default()
        }))
    }

    pub(super) fn null(expected: &str) -> Self {
        let mut failure = Self::mismatch(expected, "nothing");
        failure.0.kind = Kind::Null;
        failure
    }

    /// The failure of a type that was offered null.
    pub(super) fn where_null_may_stand(mut self) -> Self {
        self.0.kind = Kind::Null;
        self
    }

    pub(super) fn showing(mut self, value: &str) -> Self {
        if value.chars().count() <= 60 && !value.contains(char::is_control) {
            value.clone_into(&mut self.0.shown);
        }
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = label.into();
        self
    }

    pub(super) fn is_null(&self) -> bool {
        self.0.kind == Kind::Null
    }

    pub(super) fn is_consequence(&self) -> bool {
        self.0.consequence
    }

    /// The address of the node that failed; 0 before [`Failure::placed`].
    pub(super) fn address(&self) -> usize {
        self.0.place.as_ref().map_or(0, |place| place.address)
    }

    /// Adds the place, unless a node further in has done so.
    pub(super) fn placed(mut self, at: &NodeDeserializer<'_>) -> Self {
        let inner = &mut *self.0;
        if inner.place.is_some() {
            return self;
        }
        let secret = at.is_secret();
        if secret {
            inner.shown.clear();
            inner.label.clear();
            inner.hint.clear();
            if inner.kind == Kind::Custom {
                "this value is not valid".clone_into(&mut inner.message);
            }
        }
        let mut span = at.node.span.clone();
        if let Kind::Missing(key) = inner.kind {
            span = at.node.place().clone();
            if let Some(child) = at.node.get(key) {
                inner.consequence = at.context.is_reported(child);
                span = child.place().clone();
                inner.message = format!("`{key}` must have a value");
            }
        } else if inner.message.is_empty() || matches!(at.node.value, Value::Null) {
            span = at.node.place().clone();
        }
        if at.secret {
            // Nothing in the line tells that it is a secret; the type does.
            span = span.without_text();
        }
        inner.place = Some(Place {
            address: at.address(),
            span,
            path: at.trail.to_string(),
        });
        self
    }

    pub(super) fn diagnostic(&self) -> Diagnostic {
        let inner = &*self.0;
        let mut message = inner.message.clone();
        if !inner.shown.is_empty() {
            message = format!("{message} `{}`", inner.shown);
        }
        let diagnostic = Diagnostic::error(message)
            .label(inner.label.clone())
            .hint(inner.hint.clone());
        match &inner.place {
            Some(place) => diagnostic.at(&place.span).in_path(place.path.clone()),
            None => diagnostic,
        }
    }
}

/// The place of a failure that a child reported is the child itself.
pub(super) fn at_child<T>(
    result: Result<T, Failure>,
    child: &NodeDeserializer<'_>,
) -> Result<T, Failure> {
    result.map_err(|failure| failure.placed(child))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self(Box::new(Inner {
            kind: Kind::Custom,
            message,
            ..Inner::default()
        }))
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (kind, value) = describe(got);
        Self::mismatch(&expected.to_string(), kind).showing(&value)
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(got, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let label = nearest(variant, expected.iter().copied())
            .map(|near| format!("did you mean `{near}`?"))
            .unwrap_or_default();
        let message = format!("expected one of {}, got", listed(expected));
        Self(Box::new(Inner {
            message,
            label,
            ..Inner::default()
        }))
        .showing(variant)
    }

    fn missing_field(field: &'static str) -> Self {
        let message = format!("`{field}` is missing");
        Self(Box::new(Inner {
            kind: Kind::Missing(field),
            message,
            ..Inner::default()
        }))
    }
}

/// `` `a`, `b` and `c` ``.
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

fn describe(got: Unexpected<'_>) -> (&'static str, String) {
    match got {
        Unexpected::Bool(flag) => ("a boolean", flag.to_string()),
        Unexpected::Unsigned(number) => ("an integer", number.to_string()),
        Unexpected::Signed(number) => ("an integer", number.to_string()),
        Unexpected::Float(number) => ("a number", number.to_string()),
        Unexpected::Char(c) => ("a string", c.to_string()),
        Unexpected::Str(text) => ("a string", text.to_owned()),
        Unexpected::Unit | Unexpected::Option => ("nothing", String::new()),
        Unexpected::Seq => ("a list", String::new()),
        Unexpected::Map => ("a map", String::new()),
        _ => ("something else", String::new()),
    }
}

/// So that the address type stays private to the context.
impl NodeDeserializer<'_> {
    pub(super) fn address(&self) -> usize {
        self.stands_for
            .map_or_else(|| context::address(self.node), context::address)
    }
}
