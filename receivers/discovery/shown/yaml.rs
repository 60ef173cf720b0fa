//! Values as YAML in block style.

use serde_json::{Map, Value};

/// Writes a map or list in block style. Its first line is not indented if it follows a dash.
pub(crate) fn block(value: &Value, indent: usize, mut at_start: bool, out: &mut String) {
    let mut begin = |out: &mut String| {
        if std::mem::replace(&mut at_start, true) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, item) in ordered(map) {
                begin(out);
                scalar(key, out);
                out.push(':');
                match item {
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        block(item, indent, true, out);
                    }
                    Value::Object(map) if !map.is_empty() => {
                        out.push('\n');
                        block(item, indent + 2, true, out);
                    }
                    _ => {
                        out.push(' ');
                        block(item, 0, false, out);
                    }
                }
            }
            if map.is_empty() {
                out.push_str("{}\n");
            }
        }
        Value::Array(items) => {
            for item in items {
                begin(out);
                out.push_str("- ");
                block(item, indent + 2, false, out);
            }
            if items.is_empty() {
                out.push_str("[]\n");
            }
        }
        Value::String(text) => {
            scalar(text, out);
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// The entries with the name of the job first.
fn ordered(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let first = |key: &str| key == "job_name";
    let name = map.iter().filter(move |(key, _)| first(key));
    name.chain(map.iter().filter(move |(key, _)| !first(key)))
}

/// Writes a text, without quotes if it cannot be taken for anything else.
fn scalar(text: &str, out: &mut String) {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|other| text.eq_ignore_ascii_case(other));
    // Such as `1h30m`, which is no number.
    let time = text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "ywdhms".contains(c));
    if word || time || text == super::HIDDEN {
        out.push_str(text);
    } else {
        quoted(text, out);
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // Also marks of byte order and ends of lines, which readers take for something else.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use weir_config::{Origin, Source, parse_yaml};

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let text = "[ -~\n\r\t\u{7f}\u{e9}\u{85}\u{2028}\u{feff}]{0,12}|[0-9.:]{1,6}|true|No|~|null|[0-9]{1,3}[smhdwy]";
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,8}|job_name|on|1", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The YAML reads as the value that it was written from.
        #[test]
        fn yaml_reads_back(value in prop::collection::btree_map("[a-z]{1,4}", any_value(), 1..4)) {
            let value = Value::Object(value.into_iter().collect());
            let mut text = String::new();
            block(&value, 0, true, &mut text);
            let node = parse_yaml(&Source::new("t.yaml", &text, Origin::Document)).unwrap();
            let read = serde_json::to_value(node).unwrap();
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
