//! Names and labels as text, in both forms: with names that need quotes, and with what older
//! readers get in their place.

use std::fmt::Write as _;

use crate::prometheus_labels::Labels;

/// A metric's name. One beyond the classic alphabet has a second form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    full: String,
    plain: Option<String>,
}

impl Names {
    pub(super) fn new(full: String) -> Self {
        let plain = (!is_classic(&full, true)).then(|| underscores(&full, true));
        Self { full, plain }
    }

    /// The name itself.
    pub(super) fn quoted(&self) -> &str {
        &self.full
    }

    /// The name for a reader, and whether it stands in quotes.
    pub(super) fn shown(&self, quoted: bool) -> (&str, bool) {
        match &self.plain {
            None => (&self.full, false),
            Some(_) if quoted => (&self.full, true),
            Some(plain) => (plain, false),
        }
    }
}

/// Whether a name is of the classic alphabet; those of metrics may have colons.
fn is_classic(name: &str, metric: bool) -> bool {
    !name.is_empty() && underscores(name, metric) == name
}

/// The name with an underscore for each character that the classic alphabet lacks.
fn underscores(name: &str, metric: bool) -> String {
    let fits = |(at, c): (usize, char)| match c {
        'a'..='z' | 'A'..='Z' | '_' => c,
        '0'..='9' if at > 0 => c,
        ':' if metric => c,
        _ => '_',
    };
    name.char_indices().map(fits).collect()
}

/// `a="1",b="2"`: with names in quotes where they need some, and without where that differs.
pub(super) fn text(labels: &Labels) -> (String, Option<String>) {
    let mut full = String::new();
    let mut classic = true;
    for (name, value) in labels {
        if is_classic(name, false) {
            push_label(&mut full, name, value);
        } else {
            classic = false;
            let mut quoted = String::from("\"");
            push_escaped(&mut quoted, name, true);
            quoted.push('"');
            push_label(&mut full, &quoted, value);
        }
    }
    if classic {
        return (full, None);
    }
    let mut plain = Labels::new();
    for (name, value) in labels {
        plain.entry(underscores(name, false)).or_insert_with(|| value.clone());
    }
    let mut text = String::new();
    for (name, value) in &plain {
        push_label(&mut text, name, value);
    }
    (full, Some(text))
}

/// Adds `name="value"`, after a comma if it is not the first.
pub(super) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    // Writing to a string cannot fail.
    let _written = write!(out, "{name}=\"");
    push_escaped(out, value, true);
    out.push('"');
}

/// Adds text with backslashes and line ends escaped, and quotes if asked for.
pub(super) fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// The names and values of labels in the form of [`text`].
pub(super) fn pairs(text: &str, mut visit: impl FnMut(&str, &str)) {
    let (mut name, mut value) = (String::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        name.clear();
        value.clear();
        if let Some(inner) = rest.strip_prefix('"') {
            rest = unescaped(inner, &mut name).strip_prefix('=').unwrap_or_default();
        } else {
            let (plain, after) = rest.split_once('=').unwrap_or((rest, ""));
            name.push_str(plain);
            rest = after;
        }
        rest = unescaped(rest.strip_prefix('"').unwrap_or_default(), &mut value);
        rest = rest.strip_prefix(',').unwrap_or_default();
        visit(&name, &value);
    }
}

/// Adds text up to its quote, without escapes, and gives what comes after the quote.
fn unescaped<'a>(mut text: &'a str, out: &mut String) -> &'a str {
    loop {
        let Some(at) = text.find(['"', '\\']) else {
            out.push_str(text);
            return "";
        };
        let (before, from) = text.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        if chars.next() == Some('"') {
            return chars.as_str();
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
        text = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_beyond_the_alphabet_have_two_forms() {
        let names = Names::new("queue.depth".to_owned());
        assert_eq!(names.shown(true), ("queue.depth", true));
        assert_eq!(names.shown(false), ("queue_depth", false));
        let names = Names::new("a:b_1".to_owned());
        assert_eq!(names.shown(true), ("a:b_1", false));
        assert_eq!(Names::new("1\u{e9}".to_owned()).shown(false), ("__", false));
    }

    proptest! {
        /// What was written is read back, in either form.
        #[test]
        fn pairs_are_the_labels_of_the_text(
            labels in btree_map("[a-c.\\\\\"\n=,{\u{e9}]{1,3}", "[a\\\\\"\n=,{\u{e9}]{0,4}", 0..5),
        ) {
            let read = |text: &str| {
                let mut found = Vec::new();
                pairs(text, |name, value| found.push((name.to_owned(), value.to_owned())));
                found
            };
            let (full, plain) = text(&labels);
            prop_assert_eq!(read(&full), labels.clone().into_iter().collect::<Vec<_>>());
            if let Some(plain) = plain {
                for (name, value) in read(&plain) {
                    let from = |(label, of): (&String, &String)| {
                        underscores(label, false) == name && *of == value
                    };
                    prop_assert!(labels.iter().any(from), "{} {}", name, value);
                }
            }
        }
    }

    #[test]
    fn labels_are_escaped_and_quoted() {
        let labels: Labels = [("a", "x\"\\\n"), ("b.c", "1"), ("b_c", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let (full, plain) = text(&labels);
        assert_eq!(full, r#"a="x\"\\\n","b.c"="1",b_c="2""#);
        assert_eq!(plain.as_deref(), Some(r#"a="x\"\\\n",b_c="1""#));
    }
}
