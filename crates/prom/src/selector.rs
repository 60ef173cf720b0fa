//! Selectors of series as the HTTP API of Prometheus takes them: `up{job="app",zone=~"eu-.*"}`.

use regex::Regex;

use crate::labels::{LabelSet, METRIC_NAME};
use crate::relabel::re2;

/// Matchers of labels, all of which are to fit.
#[derive(Debug, Clone, Default)]
pub struct Selector(Vec<Matcher>);

#[derive(Debug, Clone)]
struct Matcher {
    name: String,
    wanted: Wanted,
    /// `!=` and `!~`.
    negated: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    Pattern(Regex),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("1:{at}: parse error: {why}")]
pub struct SelectorError {
    /// Place in the text, from 1.
    at: usize,
    why: String,
}

impl Selector {
    /// Reads a metric name, matchers in braces, or both.
    ///
    /// # Errors
    /// If the text is no selector; the error says where.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut rest = Rest { text, at: 0 };
        let mut matchers = Vec::new();
        let metric = rest.word();
        if !metric.is_empty() {
            matchers.push(Matcher::of_metric(metric));
        }
        if metric.is_empty() || rest.peek().is_some() {
            rest.expect('{')?;
            while !rest.take('}') {
                matchers.push(rest.matcher()?);
                if !rest.take(',') {
                    rest.expect('}')?;
                    break;
                }
            }
        }
        match rest.peek() {
            None => Ok(Self(matchers)),
            Some(_) => Err(rest.wrong("unexpected text after the selector")),
        }
    }

    /// Whether all matchers fit; a label that is missing counts as empty.
    #[must_use]
    pub fn matches(&self, labels: &LabelSet) -> bool {
        self.0.iter().all(|matcher| {
            let value = labels.get(&matcher.name);
            let fits = match &matcher.wanted {
                Wanted::Text(text) => value == text,
                Wanted::Pattern(pattern) => pattern.is_match(value),
            };
            fits != matcher.negated
        })
    }
}

impl Matcher {
    fn of_metric(name: &str) -> Self {
        Self {
            name: METRIC_NAME.to_owned(),
            wanted: Wanted::Text(name.to_owned()),
            negated: false,
        }
    }
}

/// What has not been read yet.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), SelectorError> {
        if self.take(wanted) {
            Ok(())
        } else {
            Err(self.wrong(&format!("expected `{wanted}`")))
        }
    }

    fn wrong(&self, why: &str) -> SelectorError {
        SelectorError {
            at: self.at + 1,
            why: why.to_owned(),
        }
    }

    /// A name without quotes; empty if there is none.
    fn word(&mut self) -> &'a str {
        let first = self.peek();
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        if !first.is_some_and(|c| part(c) && !c.is_ascii_digit()) {
            return "";
        }
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let quoted = matches!(self.peek(), Some('"' | '\'' | '`'));
        let name = if quoted {
            self.string()?
        } else {
            self.word().to_owned()
        };
        if name.is_empty() {
            return Err(self.wrong("expected the name of a label"));
        }
        if quoted && matches!(self.peek(), Some(',' | '}')) {
            return Ok(Matcher::of_metric(&name));
        }
        let operators = [
            ("=~", false, true),
            ("!~", true, true),
            ("!=", true, false),
            ("=", false, false),
        ];
        let rest = self.rest().trim_start();
        let found = operators
            .into_iter()
            .find(|(sign, ..)| rest.starts_with(sign));
        let Some((sign, negated, pattern)) = found else {
            return Err(self.wrong("expected one of =, !=, =~, !~"));
        };
        self.peek();
        self.at += sign.len();
        let value = self.string()?;
        let wanted = if pattern {
            Wanted::Pattern(re2(&format!("^(?s:{value})$")).map_err(|why| self.wrong(&why))?)
        } else {
            Wanted::Text(value)
        };
        Ok(Matcher {
            name,
            wanted,
            negated,
        })
    }

    /// A text in quotes; in backquotes a backslash is one.
    fn string(&mut self) -> Result<String, SelectorError> {
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Err(self.wrong("expected a text in quotes"));
        };
        let mut out = String::new();
        let rest = self.rest();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            if c == quote {
                self.at += at + 1;
                return Ok(out);
            }
            if c != '\\' || quote == '`' {
                out.push(c);
                continue;
            }
            out.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, c @ ('\\' | '"' | '\''))) => c,
                _ => return Err(self.wrong("unknown escape sequence")),
            });
        }
        Err(self.wrong("unterminated quoted string"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels() -> LabelSet {
        let mut labels = LabelSet::new();
        for (name, value) in [("job", "app"), ("instance", "h:1"), ("say", "a \"b\" \\")] {
            labels.set(name, value);
        }
        labels
    }

    #[test]
    fn selectors_match_labels() {
        for (text, fits) in [
            ("{}", true),
            (r#"{job="app"}"#, true),
            (r#" { job = 'app' , instance=~"h:.*", } "#, true),
            (r#"{job=~"ap"}"#, false),
            (r#"{job!~"ap"}"#, true),
            (r#"{job!="app"}"#, false),
            (r#"{none=""}"#, true),
            (r#"{none!=""}"#, false),
            (r#"{say="a \"b\" \\"}"#, true),
            ("{say=`a \"b\" \\`}", true),
            (r#"{"job"="app"}"#, true),
            // The labels of a target have no metric name.
            ("up", false),
            (r#"up{job="app"}"#, false),
            (r#"{"up"}"#, false),
        ] {
            assert_eq!(
                Selector::parse(text).unwrap().matches(&labels()),
                fits,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_selector_says_where() {
        for (text, why) in [
            ("", "1:1: parse error: expected `{`"),
            ("{", "1:2: parse error: expected the name of a label"),
            ("{job}", "1:5: parse error: expected one of"),
            ("{job=app}", "1:6: parse error: expected a text in quotes"),
            (
                r#"{job="app"#,
                "1:6: parse error: unterminated quoted string",
            ),
            (r#"{job="\q"}"#, "1:6: parse error: unknown escape sequence"),
            (r#"{job=~"("}"#, "parse error: "),
            (r#"{job="a" x="b"}"#, "1:10: parse error: expected `}`"),
            (r#"{job="a"} x"#, "1:11: parse error: unexpected text"),
            ("1x", "1:1: parse error: expected `{`"),
            ("a b", "1:3: parse error: expected `{`"),
        ] {
            let error = Selector::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{why} in {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in r#"[a-z{}=~!,"'`\\ \x{e9}]{0,40}"#) {
            let _read = Selector::parse(&text);
        }
    }
}
