//! The inputs of the golden cases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value as Json;

/// The time that `{{ns:+0s}}` in inputs stands for, Unix milliseconds.
pub(super) const T0_MS: i64 = 1_795_364_520_000;

/// The request of a case with its placeholders filled: instants relative to [`T0_MS`] and runs of
/// equal characters.
pub(super) fn fill_placeholders(json: &Json) -> Json {
    match json {
        Json::String(text) => Json::String(fill_text(text)),
        Json::Array(items) => items.iter().map(fill_placeholders).collect(),
        Json::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), fill_placeholders(value)))
            .collect(),
        other => other.clone(),
    }
}

fn fill_text(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else {
        return text.to_owned();
    };
    let Some((inner, after)) = rest.split_once("}}") else {
        return text.to_owned();
    };
    let parts: Vec<&str> = inner.split(':').collect();
    let filled = match parts.as_slice() {
        ["ns", offset] => ((T0_MS + offset_ms(offset)) * 1_000_000).to_string(),
        ["pad", count, what] => what.repeat(count.parse().unwrap()),
        other => unreachable!("placeholder {other:?}"),
    };
    format!("{before}{filled}{}", fill_text(after))
}

fn offset_ms(text: &str) -> i64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = &text[digits.len()..];
    let number: i64 = digits.trim_start_matches('+').parse().unwrap();
    number
        * match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            other => unreachable!("unit {other}"),
        }
}
