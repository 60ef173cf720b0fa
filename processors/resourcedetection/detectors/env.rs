//! `env`: attributes from the environment.

use std::sync::Arc;

use tokio::time::Instant;
use weir_core::BoxFut;
use weir_model::Value;

use super::super::detection::{Detector, Found};
use super::super::world::World;

/// The variable, and the one that had its place before.
const VARIABLES: [&str; 2] = ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_RESOURCE"];
/// Longest key and longest value, in characters.
const LONGEST: usize = 256;

pub(super) struct Env {
    pub(super) world: Arc<dyn World>,
}

impl Detector for Env {
    fn detect(&self, _: Instant) -> BoxFut<'_, Result<Found, String>> {
        Box::pin(async {
            let set = |name: &&str| Some(self.world.variable(name)?.trim().to_owned());
            let mut texts = VARIABLES.iter().filter_map(set);
            match texts.find(|text| !text.is_empty()) {
                Some(text) => parse(&text),
                None => Ok(Found::default()),
            }
        })
    }
}

/// `key=value,key=value`, values in the encoding of URL queries.
fn parse(text: &str) -> Result<Found, String> {
    let mut found = Found::default();
    let mut rest = text;
    while !rest.is_empty() {
        let wrong = |why: &str| {
            format!(
                "invalid resource format: {why} in `{rest}` (OTEL_RESOURCE_ATTRIBUTES is to be \
                 `key=value,key=value`, ASCII, other characters as %XX)"
            )
        };
        let (key, behind) = rest.split_once('=').ok_or_else(|| wrong("no `=`"))?;
        let (value, behind) = behind.split_once(',').unwrap_or((behind, ""));
        let (key, value) = (key.trim_ascii(), value.trim_ascii());
        if key.is_empty() {
            return Err(wrong("no key before `=`"));
        }
        if !key.is_ascii() || !value.is_ascii() || key.len() > LONGEST || value.len() > LONGEST {
            return Err(wrong("a key or value that is not ASCII or longer than 256 characters"));
        }
        let value = decoded(value).ok_or_else(|| wrong("a `%` without two hexadecimal digits"))?;
        found.attributes.insert(key.to_owned(), Value::from(value));
        rest = behind;
    }
    Ok(found)
}

/// Percent signs and plus signs decoded; `None` for a broken escape. What is not UTF-8 is replaced.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
