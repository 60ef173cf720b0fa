//! Regular expressions as the reference reads them (RE2 syntax, anchored, dot matches newline),
//! on top of the `regex` crate.
//!
//! The two dialects differ in corners: RE2 classes such as `\d` know ASCII only, a `{` that starts
//! no repetition is an ordinary character, classes do not nest, and `\Q...\E` quotes. The pattern
//! is rewritten so that it means the same.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A pattern that must match the whole input.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Compiles an RE2 pattern.
    ///
    /// # Errors
    /// With the message of the `regex` crate if the pattern is not valid.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let regex = Regex::new(&format!("^(?s:{})$", translate(pattern)));
        regex
            .map(|regex| Self { regex })
            .map_err(|error| one_line(&error.to_string()))
    }

    pub(super) fn is_match(&self, input: &str) -> bool {
        self.regex.is_match(input)
    }

    pub(super) fn captures<'t>(&self, input: &'t str) -> Option<regex::Captures<'t>> {
        self.regex.captures(input)
    }

    /// Number of the group with this name.
    fn group(&self, name: &str) -> Option<usize> {
        self.regex
            .capture_names()
            .position(|group| group == Some(name))
    }
}

/// The last line of the message says what is wrong; the others draw the pattern.
fn one_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Compiles an RE2 pattern that may match anywhere, as Go's `regexp.Compile` does.
///
/// # Errors
/// With the message of the `regex` crate in one line if the pattern is not valid.
pub fn re2(pattern: &str) -> Result<Regex, String> {
    Regex::new(&translate(pattern)).map_err(|error| one_line(&error.to_string()))
}

/// The pattern in the syntax of the `regex` crate, meaning what RE2 takes it for.
#[must_use]
pub fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => escape(&mut rest, &mut out, false),
            '[' => class(&mut rest, &mut out),
            '{' => {
                let tail: String = rest.clone().take_while(|c| *c != '}').collect();
                let closed = rest.clone().any(|c| c == '}');
                out.push_str(if closed && is_repetition(&tail) {
                    "{"
                } else {
                    "\\{"
                });
            }
            '}' => {
                // Ends a repetition if one was opened above; else an ordinary character.
                let open = out.rfind('{').is_some_and(|at| {
                    let inner = out.get(at + 1..).unwrap_or_default();
                    !out.get(..at).unwrap_or_default().ends_with('\\') && is_repetition(inner)
                });
                out.push_str(if open { "}" } else { "\\}" });
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether the text between braces is a count: `3`, `3,` or `3,5`.
fn is_repetition(text: &str) -> bool {
    let (low, high) = text.split_once(',').unwrap_or((text, ""));
    !low.is_empty()
        && low
            .bytes()
            .chain(high.bytes())
            .all(|byte| byte.is_ascii_digit())
}

fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String, in_class: bool) {
    let Some(character) = rest.next() else {
        out.push('\\');
        return;
    };
    let members = match character.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\x0C\\r ",
        'w' => "0-9A-Za-z_",
        _ => "",
    };
    match character {
        'd' | 's' | 'w' if in_class => out.push_str(members),
        'd' | 's' | 'w' => push_class(out, "", members),
        'D' | 'S' | 'W' => push_class(out, "^", members),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'Q' if !in_class => quoted(rest, out),
        'a'..='z' | 'A'..='Z' | '0'..='9' => {
            out.push('\\');
            out.push(character);
        }
        other => push_literal(out, other),
    }
}

fn push_class(out: &mut String, negation: &str, members: &str) {
    // Writing to a string cannot fail.
    let _written = write!(out, "[{negation}{members}]");
}

/// A character that means itself.
fn push_literal(out: &mut String, character: char) {
    let mut buffer = [0; 4];
    out.push_str(&regex::escape(character.encode_utf8(&mut buffer)));
}

/// The text up to `\E` or the end, each character meaning itself.
fn quoted(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(character) = rest.next() {
        if character == '\\' && rest.peek() == Some(&'E') {
            rest.next();
            return;
        }
        push_literal(out, character);
    }
}

/// A class, up to its `]`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    // A `]` in the first place is a member.
    if rest.next_if_eq(&']').is_some() {
        out.push_str("\\]");
    }
    while let Some(character) = rest.next() {
        match character {
            ']' => {
                out.push(']');
                return;
            }
            '\\' => escape(rest, out, true),
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for character in rest.by_ref() {
                    out.push(character);
                    if character == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            // `&&` and `~~` are operators in the other dialect, and so is `--`.
            '&' | '~' => push_escaped(out, character),
            '-' if rest.peek() == Some(&'-') => push_escaped(out, character),
            other => out.push(other),
        }
    }
}

fn push_escaped(out: &mut String, character: char) {
    out.push('\\');
    out.push(character);
}

/// A replacement text with references to groups, as Go's `Regexp.Expand` reads it: `$name` takes
/// the longest word, `${name}` is explicit, `$$` is a dollar, and unknown groups give nothing.
#[derive(Debug, Clone)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    pub(super) fn new(text: &str, pattern: &Pattern) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(tail) = after.strip_prefix('$') {
                literal.push('$');
                rest = tail;
            } else if let Some((name, tail)) = reference(after) {
                if let Some(group) = group_number(name, pattern) {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Group(group));
                }
                rest = tail;
            } else {
                literal.push('$');
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Self { parts }
    }

    pub(super) fn expand(&self, captures: &regex::Captures<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => {
                    out.push_str(captures.get(*group).map_or("", |group| group.as_str()));
                }
            }
        }
    }
}

/// Splits a group name off the text behind a `$`.
fn reference(text: &str) -> Option<(&str, &str)> {
    let word = |text: &str| {
        text.find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(text.len())
    };
    let (name, tail) = match text.strip_prefix('{') {
        Some(inner) => {
            let (name, tail) = inner.split_at_checked(word(inner))?;
            (name, tail.strip_prefix('}')?)
        }
        None => text.split_at_checked(word(text))?,
    };
    (!name.is_empty()).then_some((name, tail))
}

fn group_number(name: &str, pattern: &Pattern) -> Option<usize> {
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if number && !leading_zero {
        name.parse().ok()
    } else {
        pattern.group(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn patterns_mean_what_re2_means() {
        for (pattern, matches, refuses) in [
            ("a.c", "a\nc", "xa\nc"),
            ("a|bc", "bc", "bcd"),
            (r"\d+", "123", "\u{0663}"),
            (r"\w+", "a_1", "\u{00e9}"),
            (r"[\w.]+", "a.b", "a-b"),
            (r"[^\d]", "a", "1"),
            (r"[\D]", "\u{0663}", "1"),
            (r"\s", " ", "\u{00a0}"),
            ("a{2}", "aa", "a{2}"),
            ("a{2,}", "aaa", "a"),
            ("a{,2}", "a{,2}", "aa"),
            ("{a}", "{a}", "a"),
            ("a{", "a{", "a"),
            ("[[a]", "[", "[a"),
            ("[]a]", "]", "b"),
            ("[^]a]", "b", "]"),
            ("[a&&b]", "&", "c"),
            ("[a~~]", "~", "c"),
            ("[[:alpha:]_]+", "a_", "1"),
            (r"\Qa.b\E+", "a.bb", "axb"),
            (r"a\_b\/c\-", "a_b/c-", "a"),
            (r"\x41", "A", "x41"),
            ("(?i)abc", "ABC", "abd"),
            ("(?P<n>x)", "x", "y"),
            ("", "", "a"),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            assert!(compiled.is_match(matches), "{pattern} on {matches}");
            assert!(!compiled.is_match(refuses), "{pattern} on {refuses}");
        }
        for pattern in ["(", "[a", "*a", r"\q", "(?<n"] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn templates_expand_like_go() {
        let pattern = Pattern::new("(?P<first>[a-z]+)-([0-9]+)").unwrap();
        let captures = pattern.captures("abc-42").unwrap();
        for (template, expanded) in [
            ("$1", "abc"),
            ("$2/$1", "42/abc"),
            ("${1}_$2", "abc_42"),
            ("$1_$2", "42"),
            ("$first", "abc"),
            ("${first}x", "abcx"),
            ("$firstx", ""),
            ("$$1", "$1"),
            ("$0", "abc-42"),
            ("$9", ""),
            ("$01", ""),
            ("a$", "a$"),
            ("$-", "$-"),
            ("${1", "${1"),
            ("plain", "plain"),
        ] {
            let mut out = String::new();
            Template::new(template, &pattern).expand(&captures, &mut out);
            assert_eq!(out, expanded, "{template}");
        }
    }
}
