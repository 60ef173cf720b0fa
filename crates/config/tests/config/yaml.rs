use proptest::prelude::*;
use serde_json::Value;

use crate::{json, source, tree};
use weir_config::{Node, parse_yaml};

fn error(text: &str) -> String {
    parse_yaml(&source(text)).unwrap_err().to_string()
}

#[test]
fn reads_the_shapes_of_configurations() {
    for (text, wanted) in [
        ("", "null"),
        ("# nothing\n", "null"),
        ("---\na: 1\n", r#"{"a":1}"#),
        ("\u{feff}a: 1\n", r#"{"a":1}"#),
        ("a: 1\r\nb: x\r\n", r#"{"a":1,"b":"x"}"#),
        ("otlp:\nawsxray: ~\n", r#"{"otlp":null,"awsxray":null}"#),
        (
            "a: [1, 'b', \"c\\n\", 1.5, true]",
            r#"{"a":[1,"b","c\n",1.5,true]}"#,
        ),
        ("a: {b: {}, c: []}", r#"{"a":{"b":{},"c":[]}}"#),
        ("a:\n- b: 1\n  c: 2\n- d", r#"{"a":[{"b":1,"c":2},"d"]}"#),
        (
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            r#"{"a":"x\ny\n","b":"x y"}"#,
        ),
        ("a: |\n  x", r#"{"a":"x"}"#),
        (
            "yes: no\n1: a\nnull: b",
            r#"{"yes":"no","1":"a","null":"b"}"#,
        ),
        ("0123: a", r#"{"0123":"a"}"#),
        ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
        ("a: &k key\n*k : v", r#"{"a":"key","key":"v"}"#),
        (
            "a: !!str 12\nb: !custom 12\nc: !!float 1",
            r#"{"a":"12","b":12,"c":1.0}"#,
        ),
        ("a: 2001-01-02", r#"{"a":"2001-01-02"}"#),
        ("a: b#c # d", r#"{"a":"b#c"}"#),
        ("url: http://h:1/x", r#"{"url":"http://h:1/x"}"#),
    ] {
        assert_eq!(json(&tree(text)), wanted, "{text}");
    }
}

#[test]
fn merge_keys_give_way_to_own_keys_and_to_earlier_ones() {
    for (text, wanted) in [
        (
            "b: &b {x: 1, y: 2}\nm:\n  <<: *b\n  x: 3",
            r#"{"x":3,"y":2}"#,
        ),
        (
            "b: &b {x: 1, y: 2}\nm:\n  x: 3\n  <<: *b",
            r#"{"x":3,"y":2}"#,
        ),
        (
            "m:\n  <<: [{x: 1}, {x: 2, y: 2}]\n  z: 3",
            r#"{"z":3,"x":1,"y":2}"#,
        ),
        ("m:\n  <<: {x: {a: 1}}\n  x: {b: 2}", r#"{"x":{"b":2}}"#),
        ("m:\n  '<<': {x: 1}", r#"{"<<":{"x":1}}"#),
    ] {
        assert_eq!(json(tree(text).get("m").unwrap()), wanted, "{text}");
    }
    assert!(error("<<: 1").contains("takes a map or a list of maps"));
    assert!(error("<<: [1]").contains("takes a map or a list of maps"));
}

/// CFG-38 and what else is refused, with its place.
#[test]
fn refuses_with_a_place() {
    for (text, place, message) in [
        (
            "a: 1\nb: 2\na: 3\n",
            "test.yaml:3:1",
            "mapping key `a` already defined at line 1",
        ),
        (
            "a: {b: 1, b: 2}",
            "test.yaml:1:11",
            "mapping key `b` already defined at line 1",
        ),
        (
            "<<: {}\n<<: {}",
            "test.yaml:2:1",
            "mapping key `<<` already defined",
        ),
        ("a: 1\n---\nb: 2\n", "test.yaml:2:1", "a second document"),
        ("[a]: 1", "test.yaml:1:1", "a key cannot be a list or a map"),
        ("a: &x [*x]", "test.yaml:1:8", "inside its own anchor"),
        ("a: *missing", "test.yaml:1:4", "not valid YAML"),
        ("a: 1\n\tb: 2", "test.yaml:2:", "YAML allows no tabs"),
        ("a: {b: ${env:X}}", "test.yaml:1:", "must stand in quotes"),
        ("a: [1, 2", "test.yaml:1:", "not valid YAML"),
        ("a: !!int x", "test.yaml:1:", "not of the type"),
        (
            "a: !!binary aGk=",
            "test.yaml:1:",
            "the tag `binary` is not supported",
        ),
    ] {
        let shown = error(text);
        assert!(
            shown.contains(place) && shown.contains(message),
            "{text}: {shown}"
        );
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        (0..1000)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect(),
        "- ".repeat(100_000),
        format!("{}x{}", "[".repeat(101), "]".repeat(101)),
    ] {
        assert!(parse_yaml(&source(&text)).is_err());
    }
    let deep = format!("{}x{}", "[".repeat(90), "]".repeat(90));
    assert_eq!(json(&tree(&deep)), deep.replace('x', "\"x\""));
}

#[test]
fn aliases_cannot_multiply_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(error(&text).contains("more than 500000 values"));
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..150 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(error(&text).contains("nested more than 100 deep"));
}

#[test]
fn values_know_their_places() {
    let node = tree("a:\n  b: [x, 'y z']\n  c: |\n    text\n");
    let span = |path: &[&str]| node.at(path).unwrap().span().clone();
    let b = node.at(&["a", "b"]).unwrap();
    assert_eq!(b.key_span().unwrap().to_string(), "test.yaml:2:3");
    assert_eq!(b.key_span().unwrap().text(), "b");
    assert_eq!(span(&["a", "b"]).text(), "[x, 'y z']");
    assert_eq!(b.as_list().unwrap()[1].span().text(), "'y z'");
    assert_eq!(b.as_list().unwrap()[1].span().to_string(), "test.yaml:2:10");
    assert_eq!(span(&["a"]).text(), "b: [x, 'y z']\n  c: |\n    text");
    let node = tree("\u{e9}: \u{e9}x");
    assert_eq!(node.entries()[0].value.span().text(), "\u{e9}x");
    assert_eq!(node.entries()[0].value.span().column, 4);
}

#[test]
fn scalars_keep_their_text() {
    let node = tree("a: 0123\nb: 1e3\nc: 'q'\nd:\ne: [1]\nf: TRUE");
    let text = |key: &str| {
        node.get(key)
            .unwrap()
            .scalar_text()
            .map(|text| text.into_owned())
    };
    assert_eq!(text("a").as_deref(), Some("0123"));
    assert_eq!(text("b").as_deref(), Some("1e3"));
    assert_eq!(text("c").as_deref(), Some("q"));
    assert_eq!(text("d").as_deref(), Some(""));
    assert_eq!(text("e"), None);
    assert_eq!(text("f").as_deref(), Some("TRUE"));
}

/// Any JSON value of a shape that YAML can hold.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,12}",
        "[-+0-9_.eExobn:]{1,8}",
        Just("yes".to_owned()),
        Just("~".to_owned()),
        Just("<<x".to_owned()),
        Just("${env:X}".to_owned()),
        Just("a\n\tb \u{85}\u{2028}\u{0} ".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// JSON is YAML: what is printed as JSON reads back as the same tree.
    #[test]
    fn printed_as_json_reads_the_same(value in any_json()) {
        let node: Node = serde_json::from_value(value).unwrap();
        let printed = serde_json::to_string(&node).unwrap();
        prop_assert_eq!(tree(&printed), node, "{}", printed);
    }

    /// The printer of the program and this reader agree.
    #[test]
    fn printed_as_yaml_reads_the_same(value in any_json()) {
        let node: Node = serde_json::from_value(value).unwrap();
        let printed = serde_yaml::to_string(&node).unwrap();
        prop_assert_eq!(tree(&printed), node, "{}", printed);
    }

    /// Any text is read or refused; a refusal can be shown.
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        if let Err(error) = parse_yaml(&source(&text)) {
            prop_assert!(error.to_string().starts_with("error: "));
        }
    }

    /// Texts made of YAML's own signs get further into the reader.
    #[test]
    fn any_signs_are_read_or_refused(text in "[-a&*!|>%@`?:,{}\\[\\]<#'\"\n \t~0.]{0,80}") {
        if let Err(error) = parse_yaml(&source(&text)) {
            prop_assert!(error.to_string().starts_with("error: "));
        }
    }
}
