//! Regular expressions as Go's `regexp` reads them, on the `regex` crate.
//!
//! Both are RE2 dialects; they differ in the classes of letters (Go's `\d`, `\w`, `\s`, `\b` know
//! ASCII only), in `\Q...\E`, and in what is special inside brackets (the crate has set operations,
//! Go has not).

use regex::{Regex, RegexBuilder};

/// Largest compiled program, in bytes; Go has no such limit, but its own limits keep below.
const SIZE_LIMIT: usize = 8 << 20;

/// Compiles a Go regular expression; the error is one line.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("compiles to more than {limit} bytes"),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or("").trim();
                format!(
                    "`{pattern}`: {}",
                    last.strip_prefix("error: ").unwrap_or(last)
                )
            }
        })
}

/// Rewrites what means something else in the `regex` crate.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match (c, in_class) {
            ('\\', _) => match chars.next() {
                Some('Q') if !in_class => quote(&mut chars, &mut out),
                Some(escaped) => escape(escaped, in_class, &mut out),
                None => out.push('\\'),
            },
            ('[', false) => {
                in_class = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket right after the opening one is literal.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ('[', true) if chars.peek() == Some(&':') => named_class(&mut chars, &mut out),
            ('[' | '&' | '~', true) => {
                out.push('\\');
                out.push(c);
            }
            (']', true) => {
                in_class = false;
                out.push(']');
            }
            _ => out.push(c),
        }
    }
    out
}

/// Copies `[:name:]` after its opening bracket.
fn named_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('[');
    for c in chars.by_ref() {
        out.push(c);
        if c == ']' {
            return;
        }
    }
}

/// Copies the text up to `\E` with everything special escaped.
fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(c: char, in_class: bool, out: &mut String) {
    let ascii = match (c, in_class) {
        ('d', false) => "[0-9]",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => r"[\t\n\f\r ]",
        ('S', _) => r"[^\t\n\f\r ]",
        ('d', true) => "0-9",
        ('w', true) => "0-9A-Za-z_",
        ('s', true) => r"\t\n\f\r ",
        ('b', false) => r"(?-u:\b)",
        _ => {
            out.push('\\');
            out.push(c);
            return;
        }
    };
    out.push_str(ascii);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn reads_as_go_does() {
        for (pattern, text, found) in [
            ("^http_.*", "http_requests", true),
            ("errors$", "http_errors_total", false),
            (r"^\d+$", "123", true),
            (r"^\d+$", "\u{0661}\u{0662}", false),
            (r"^\w+$", "\u{e9}", false),
            (r"\bcpu\b", "node cpu", true),
            (r"^[\d.]+$", "1.5", true),
            (r"^[\D]$", "x", true),
            (r"^[[]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"(?i)^CPU", "cpu_use", true),
            (r"^1;x$", "1;x", true),
        ] {
            let regex = compile(pattern).unwrap();
            assert_eq!(regex.is_match(text), found, "{pattern} on {text}");
        }
    }

    #[test]
    fn bad_patterns_are_errors_of_one_line() {
        for pattern in ["(", "[a", "a{2,1}", "\\", "(?<!x)y"] {
            let error = compile(pattern).err().unwrap();
            assert!(error.contains(pattern) && !error.contains('\n'), "{error}");
        }
    }
}
