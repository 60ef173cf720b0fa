#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines
)]
use super::*;

fn config(json: &str) -> RelabelConfig {
    serde_json::from_str(json).unwrap()
}

/// Applies one rule to labels in the form `a=1 b=2`.
fn apply(rule: &str, labels: &str) -> Option<String> {
    let mut set: LabelSet = labels
        .split_whitespace()
        .map(|label| label.split_once('=').unwrap())
        .collect();
    let rule = config(rule).compile(NameScheme::Utf8).unwrap();
    rule.apply(&mut set).then(|| {
        let labels: Vec<String> = set.iter().map(|(n, v)| format!("{n}={v}")).collect();
        labels.join(" ")
    })
}

#[test]
fn every_action() {
    for (rule, labels, result) in [
        (
            r#"{"source_labels":["a"],"regex":"f(.*)","target_label":"d","replacement":"ch${1}-ch${1}"}"#,
            "a=foo b=bar",
            Some("a=foo b=bar d=choo-choo"),
        ),
        (
            r#"{"source_labels":["a","b"],"regex":"f(.*);(.*)r","target_label":"a","replacement":"b${1}${2}m"}"#,
            "a=foo b=bar",
            Some("a=boobam b=bar"),
        ),
        // No match: nothing happens. The pattern is anchored.
        (
            r#"{"source_labels":["a"],"regex":"o","target_label":"d","replacement":"x"}"#,
            "a=foo",
            Some("a=foo"),
        ),
        // An empty result removes the label.
        (
            r#"{"source_labels":["a"],"regex":"(f).*","target_label":"a","replacement":"$2"}"#,
            "a=foo b=1",
            Some("b=1"),
        ),
        // The target may come from the groups; an invalid name makes it a no-op.
        (
            r#"{"source_labels":["a"],"regex":"(.*)=(.*)","target_label":"${1}","replacement":"${2}"}"#,
            "a=x=y",
            Some("a=x=y x=y"),
        ),
        (
            r#"{"source_labels":["b"],"regex":".*","target_label":"${1}","replacement":"x"}"#,
            "a=1",
            Some("a=1"),
        ),
        // Without a source the replacement is set as it is.
        (
            r#"{"target_label":"c","replacement":"const"}"#,
            "a=1",
            Some("a=1 c=const"),
        ),
        (
            r#"{"target_label":"a","replacement":""}"#,
            "a=1 b=2",
            Some("b=2"),
        ),
        (
            r#"{"source_labels":["a"],"target_label":"b"}"#,
            "a=1",
            Some("a=1 b=1"),
        ),
        (
            r#"{"source_labels":["a"],"target_label":"b","replacement":"$$1"}"#,
            "a=1",
            Some("a=1 b=$1"),
        ),
        (
            r#"{"action":"keep","source_labels":["a"],"regex":"foo|bar"}"#,
            "a=bar",
            Some("a=bar"),
        ),
        (
            r#"{"action":"Keep","source_labels":["a"],"regex":"foo|bar"}"#,
            "a=barx",
            None,
        ),
        (
            r#"{"action":"DROP","source_labels":["a"],"regex":".*o.*"}"#,
            "a=foo",
            None,
        ),
        (
            r#"{"action":"drop","source_labels":["a"],"regex":"f"}"#,
            "a=foo",
            Some("a=foo"),
        ),
        // A label that is missing counts as empty.
        (
            r#"{"action":"drop","source_labels":["x"],"regex":""}"#,
            "a=foo",
            None,
        ),
        (
            r#"{"action":"keepequal","source_labels":["a"],"target_label":"b"}"#,
            "a=1 b=1",
            Some("a=1 b=1"),
        ),
        (
            r#"{"action":"keepequal","source_labels":["a"],"target_label":"b"}"#,
            "a=1 b=2",
            None,
        ),
        (
            r#"{"action":"dropequal","source_labels":["a"],"target_label":"b"}"#,
            "a=1 b=1",
            None,
        ),
        (
            r#"{"action":"dropequal","source_labels":["a"],"target_label":"b"}"#,
            "a=1 b=2",
            Some("a=1 b=2"),
        ),
        (
            r#"{"action":"hashmod","source_labels":["c"],"target_label":"d","modulus":1000}"#,
            "c=baz",
            Some("c=baz d=976"),
        ),
        (
            r#"{"action":"labelmap","regex":"__meta_(.+)"}"#,
            "__meta_x=1 b=2",
            Some("__meta_x=1 b=2 x=1"),
        ),
        (
            r#"{"action":"labelmap","regex":"(b.*)","replacement":"bar_${1}"}"#,
            "a=1 b1=2 b2=3",
            Some("a=1 b1=2 b2=3 bar_b1=2 bar_b2=3"),
        ),
        (
            r#"{"action":"labeldrop","regex":"b.*"}"#,
            "a=1 b1=2 b2=3",
            Some("a=1"),
        ),
        (
            r#"{"action":"labelkeep","regex":"b.*"}"#,
            "a=1 b1=2 b2=3",
            Some("b1=2 b2=3"),
        ),
        (
            r#"{"action":"lowercase","source_labels":["a"],"target_label":"b"}"#,
            "a=FooBar",
            Some("a=FooBar b=foobar"),
        ),
        (
            r#"{"action":"uppercase","source_labels":["a"],"target_label":"b"}"#,
            "a=Foo\u{df}",
            Some("a=Foo\u{df} b=FOO\u{df}"),
        ),
    ] {
        assert_eq!(apply(rule, labels).as_deref(), result, "{rule} on {labels}");
    }
}

#[test]
fn hash_of_text_with_a_line_end() {
    let mut set: LabelSet = [("a", "foo\nbar")].into_iter().collect();
    let rule =
        config(r#"{"action":"hashmod","source_labels":["a"],"target_label":"b","modulus":1000}"#);
    assert!(rule.compile(NameScheme::Utf8).unwrap().apply(&mut set));
    assert_eq!(set.get("b"), "734");
}

#[test]
fn a_drop_ends_the_chain() {
    let rules: Vec<RelabelRule> = [
        r#"{"target_label":"__tmp","replacement":"x"}"#,
        r#"{"action":"drop","source_labels":["__tmp"],"regex":"x"}"#,
        r#"{"target_label":"never","replacement":"x"}"#,
    ]
    .iter()
    .map(|rule| config(rule).compile(NameScheme::Utf8).unwrap())
    .collect();
    let mut set = LabelSet::new();
    assert!(!apply_all(&rules, &mut set));
    assert_eq!(set.get("never"), "");
}

#[test]
fn rules_that_are_refused() {
    for (rule, scheme, message) in [
        (
            r#"{"action":"relace"}"#,
            NameScheme::Utf8,
            "unknown relabel action `relace`",
        ),
        (r#"{"regex":"("}"#, NameScheme::Utf8, "`regex` is not valid"),
        (
            r#"{"action":"hashmod","target_label":"a"}"#,
            NameScheme::Utf8,
            "needs `modulus`",
        ),
        (
            r#"{"source_labels":["a"]}"#,
            NameScheme::Utf8,
            "action replace needs `target_label`",
        ),
        (
            r#"{"target_label":"a-b"}"#,
            NameScheme::Legacy,
            "`target_label: a-b` is no valid label name",
        ),
        (
            r#"{"target_label":"${1}-b"}"#,
            NameScheme::Legacy,
            "no valid label name",
        ),
        (
            r#"{"action":"lowercase","target_label":"a","replacement":"x"}"#,
            NameScheme::Utf8,
            "`replacement` cannot be set",
        ),
        (
            r#"{"action":"keepequal","target_label":"a","regex":"x"}"#,
            NameScheme::Utf8,
            "only `source_labels` and `target_label`",
        ),
        (
            r#"{"action":"labeldrop","regex":"a","target_label":"x"}"#,
            NameScheme::Utf8,
            "takes only `regex`",
        ),
        (
            r#"{"action":"labelmap","replacement":"a-$1"}"#,
            NameScheme::Legacy,
            "no valid label name for action labelmap",
        ),
    ] {
        let error = config(rule).compile(scheme).unwrap_err().to_string();
        assert!(error.contains(message), "{rule}: {error}");
    }
    assert!(
        config(r#"{"target_label":"a_${1}_$2"}"#)
            .compile(NameScheme::Legacy)
            .is_ok()
    );
    assert!(
        config(r#"{"target_label":"a-b"}"#)
            .compile(NameScheme::Utf8)
            .is_ok()
    );
    assert!(serde_json::from_str::<RelabelConfig>(r#"{"source_label":["a"]}"#).is_err());
}

#[test]
fn rules_that_write_the_metric_name_are_known() {
    let rule = config(r#"{"source_labels":["a"],"target_label":"__name__"}"#);
    assert!(rule.compile(NameScheme::Utf8).unwrap().writes_metric_name());
    let rule = config(r#"{"action":"keep","source_labels":["__name__"],"regex":"a"}"#);
    assert!(!rule.compile(NameScheme::Utf8).unwrap().writes_metric_name());
}
