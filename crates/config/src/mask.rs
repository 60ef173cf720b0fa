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
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key
        .trim_matches(['"', '\''])
        .to_ascii_lowercase()
        .replace('-', "_");
    key == "headers" || SECRET_PARTS.iter().any(|part| key.contains(part))
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
            let secret = path.split(['.', '[']).any(is_secret_key) || stands_under_secret(span);
            Some(if secret {
                keep_key(line)
            } else {
                without_credentials(&keep_flow(line))
            })
        }
    }
}

/// Is one of the keys round this line (those further left, above it) a secret one?
fn stands_under_secret(span: &Span) -> bool {
    const FURTHEST: usize = 500;
    let last = usize::try_from(span.line).unwrap_or(0);
    let lines: Vec<&str> = span.source.text().lines().take(last).collect();
    let mut indent = usize::MAX;
    for line in lines.iter().rev().take(FURTHEST) {
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let here = line.len() - text.len();
        if here >= indent {
            continue;
        }
        indent = here;
        if key_of(text).is_some_and(is_secret_key) {
            return true;
        }
    }
    false
}

/// The key that a line starts with.
fn key_of(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['-', ' ', '{', '?']);
    let (key, _) = text.split_once(':')?;
    Some(key.trim())
}

/// Masks everything behind the first key of the line, or the whole line without one.
fn keep_key(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    match line.split_once(':') {
        Some((key, rest)) if key_like(key) => {
            let value = if rest.trim().is_empty() { "" } else { REDACTED };
            format!("{key}: {value}").trim_end().to_owned()
        }
        _ => format!("{}{REDACTED}", line.get(..indent).unwrap_or("")),
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
fn without_credentials(line: &str) -> String {
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
