//! From the tree to typed configuration, with every error at once.
//!
//! serde stops at the first error. To find all of them, a value that cannot be decoded is reported,
//! left out, and the whole is decoded again, until it succeeds or nothing is left. Keys that nobody
//! asked for are collected on the way.

mod access;
mod context;
mod deserializer;
mod failure;
mod handoff;

use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::validate::{Errors, Validate};

use context::{Context, Found};
use deserializer::{NodeDeserializer, Slot, Trail};

/// At most so many errors are looked for in one part of the configuration.
const MAX_ERRORS: usize = 50;

/// A decoded value and what is doubtful about it.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The value.
    pub value: T,
    /// Findings that do not forbid its use.
    pub warnings: Vec<Diagnostic>,
}

/// How to decode.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecodeOptions {
    /// Numbers and booleans fit string fields by their text, as in Prometheus' own configuration.
    /// The collector's rule (off) takes them only when they came whole out of `${...}`.
    pub loose_strings: bool,
}

/// Decodes the value at `path` (such as `exporters.awsemf/app`) with the rules of the reference:
///
/// * types are strict; a scalar that came whole out of `${...}` fits a string by its original text;
/// * `a,b` fits a list; an integer fits a float, a float an integer only without a fraction;
/// * null keeps the field's default, a null body means all defaults (structs need `serde(default)`);
/// * keys are case-sensitive and unknown ones are errors, whether or not the struct denies them.
///
/// On failure all errors come back, and the warnings with them.
pub fn decode<T: DeserializeOwned>(node: &Node, path: &str) -> Result<T, Vec<Diagnostic>> {
    decode_with(node, path, DecodeOptions::default()).map(|decoded| decoded.value)
}

/// Like [`decode`], with options, and with the warnings of a success.
pub fn decode_with<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    options: DecodeOptions,
) -> Result<Decoded<T>, Vec<Diagnostic>> {
    let (value, found) = run(node, path, options);
    finish(value, found)
}

/// Decodes and, if every value has the right type, validates; unknown keys do not keep the
/// validation from running, so that all errors come back at once.
pub fn decode_and_validate<T: DeserializeOwned + Validate>(
    node: &Node,
    path: &str,
) -> Result<Decoded<T>, Vec<Diagnostic>> {
    let (value, mut found) = run::<T>(node, path, DecodeOptions::default());
    if let Some(value) = &value {
        let mut errors = Errors::default();
        value.validate(&mut errors);
        found.diagnostics.extend(errors.resolve(node, path));
    }
    finish(value, found)
}

fn finish<T>(value: Option<T>, found: Found) -> Result<Decoded<T>, Vec<Diagnostic>> {
    let found = found.into_diagnostics();
    match value {
        Some(value) if !found.iter().any(Diagnostic::is_error) => Ok(Decoded {
            value,
            warnings: found,
        }),
        _ => Err(found),
    }
}

/// For `#[serde(deserialize_with = "weir_config::present")]`: a key with nothing under it is there with
/// all defaults (`grpc:` under `protocols:`), where a plain `Option` would take it for absent.
///
/// ```
/// #[derive(serde::Deserialize, Default)]
/// #[serde(default)]
/// struct Protocols {
///     #[serde(deserialize_with = "weir_config::present")]
///     grpc: Option<Grpc>,
/// }
/// # #[derive(serde::Deserialize, Default)]
/// # #[serde(default)]
/// # struct Grpc {}
/// ```
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The value, unless a part of it had the wrong type, and everything found.
fn run<T: DeserializeOwned>(node: &Node, path: &str, options: DecodeOptions) -> (Option<T>, Found) {
    let context = Context::new(options);
    let trail = Trail::Root(path);
    let mut errors = 0;
    let value = loop {
        let root = NodeDeserializer::new(node, &trail, &context, Slot::Root);
        let failure = match T::deserialize(root) {
            Ok(value) => break Some(value),
            Err(failure) => failure.placed(&root),
        };
        let address = failure.address();
        let is_root = address == context::address(node);
        if is_root || !failure.is_null() {
            errors += usize::from(context.report_failure(&failure));
        }
        // Leaving out a value that was left out before would go on for ever.
        if !context.leave_out(address) || is_root || errors >= MAX_ERRORS {
            break None;
        }
    };
    (value.filter(|_| errors == 0), context.into_found())
}
