//! Keeps secrets out of error texts.

use crate::source::{Origin, Span};
use crate::types::REDACTED;

/// Parts of keys whose values are taken for secrets.
const SECRET_PARTS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "key_pem",
    "authorization",
    "credential",
    "cookie",
    "bearer",
];

/// Does the value under this key look secret? Everything under `headers` does.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let key = key
        .trim_matches(['"', '\''])
        .to_ascii_lowercase()
        .replace('-', "_");
    matches!(key.as_str(), "headers" | "pass" | "pwd")
        || SECRET_PARTS.iter().any(|part| key.contains(part))
}

/// The source line at the start of `span` as it may be shown; `None` if it must not be.
pub(crate) fn shown_line(span: &Span, path: &str) -> Option<String> {
    match span.source.origin() {
        Origin::Reference => None,
        Origin::Argument => {
            let line = span.source.line(span.line)?;
            let (key, _) = line.split_once('=').unwrap_or((line, ""));
            if key
                .split(['.', ':'])
                .chain(path.split('.'))
                .any(is_secret_key)
            {
                return Some(format!("{key}={REDACTED}"));
            }
            Some(without_credentials(line))
        }
        Origin::Document => {
            let line = span.source.line(span.line)?;
            let under_secret = stands_under_secret(span);
            let own = key_of(line).is_some_and(is_secret_key);
            Some(if own || path.split(['.', '[']).any(is_secret_key) {
                keep_key(line)
            } else if under_secret {
                // Even what looks like a key may be a piece of a secret whose quotes are broken.
                format!("{}{REDACTED}", indent_of(line))
            } else {
                without_credentials(&keep_flow(line))
            })
        }
    }
}

/// Is one of the keys round this line (above it, further left) a secret one? A line without a key of
/// its own belongs to the next key above it.
fn stands_under_secret(span: &Span) -> bool {
    const FURTHEST: usize = 500;
    let last = usize::try_from(span.line).unwrap_or(0);
    let lines: Vec<&str> = span.source.text().lines().take(last).collect();
    // The rightmost column where a key round the line may stand.
    let mut limit = usize::MAX;
    for line in lines.iter().rev().take(FURTHEST) {
        let indent = indent_of(line).len();
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || indent >= limit {
            continue;
        }
        let Some(key) = key_of(text) else { continue };
        if is_secret_key(key) {
            return true;
        }
        // A list may stand as far left as the key that it belongs to.
        limit = if text.starts_with('-') {
            indent + 1
        } else {
            indent
        };
    }
    false
}

fn indent_of(line: &str) -> &str {
    line.get(..line.len() - line.trim_start().len())
        .unwrap_or("")
}

/// The key that a line starts with, if it starts with something like a key.
fn key_of(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(['-', ' ', '{', '?', '\t']);
    let (key, _) = text.split_once(':')?;
    key_like(key).then(|| key.trim())
}

/// Masks everything behind the first key of the line, or the whole line without one.
fn keep_key(line: &str) -> String {
    match line.split_once(':') {
        Some((key, rest)) if key_like(key) => {
            let value = if rest.trim().is_empty() { "" } else { REDACTED };
            format!("{key}: {value}").trim_end().to_owned()
        }
        _ => format!("{}{REDACTED}", indent_of(line)),
    }
}

fn key_like(text: &str) -> bool {
    let text = text.trim_start_matches(['-', ' ', '{']);
    text.len() <= 64
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./\"'".contains(c))
}

/// Masks what follows a secret key further inside the line, as in `{user: a, password: b}`.
fn keep_flow(line: &str) -> String {
    let mut from = 0;
    while let Some(colon) = line.get(from..).and_then(|rest| rest.find([':', '='])) {
        let end = from + colon;
        let before = line.get(..end).unwrap_or("");
        let start = before
            .rfind(|c: char| " ,{\t&?;".contains(c))
            .map_or(0, |at| at + 1);
        let key = before.get(start..).unwrap_or("");
        if is_secret_key(key)
            && line
                .get(end + 1..)
                .is_some_and(|rest| !rest.trim().is_empty())
        {
            return format!("{before}{} {REDACTED}", line.get(end..=end).unwrap_or(":"));
        }
        from = end + 1;
    }
    line.to_owned()
}

/// Masks the user part of URLs: `https://user:password@host`.
#[must_use]
pub fn without_credentials(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        shown.push_str(head);
        let host = tail.find(|c: char| c == '/' || c.is_whitespace() || "\"'".contains(c));
        let authority = tail.get(..host.unwrap_or(tail.len())).unwrap_or(tail);
        rest = match authority.rfind('@') {
            Some(end) => {
                shown.push_str(REDACTED);
                tail.get(end..).unwrap_or("")
            }
            None => tail,
        };
    }
    shown.push_str(rest);
    shown
}
