use std::fs;

use proptest::prelude::*;
use weir_config::{NoFetch, Node, load};

use crate::{json, load_texts, variables};

const ENVIRONMENT: [(&str, &str); 22] = [
    ("N", "8192"),
    ("ZERO", "0123"),
    ("EXP", "1e3"),
    ("T", "text"),
    ("QUOTED", "\"7\""),
    ("EMPTY", ""),
    ("BOOL", "true"),
    ("MAP", "{a: 1, b: ['${env:T}', $$x]}"),
    ("LIST", "[a,b]"),
    ("BAD", "[a"),
    ("NAME", "T"),
    ("DOLLARS", "p$$w$x"),
    ("SELF", "${env:SELF}"),
    ("PING", "a${env:PONG}"),
    ("PONG", "b${env:PING}"),
    ("DEEP", "{a: '${env:DEEP}'}"),
    ("INDIRECT", "${env:N}"),
    (
        "BOMB0",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
    (
        "BOMB1",
        "${BOMB0}${BOMB0}${BOMB0}${BOMB0}${BOMB0}${BOMB0}${BOMB0}${BOMB0}${BOMB0}",
    ),
    (
        "BOMB2",
        "${BOMB1}${BOMB1}${BOMB1}${BOMB1}${BOMB1}${BOMB1}${BOMB1}${BOMB1}${BOMB1}",
    ),
    (
        "BOMB3",
        "${BOMB2}${BOMB2}${BOMB2}${BOMB2}${BOMB2}${BOMB2}${BOMB2}${BOMB2}${BOMB2}",
    ),
    (
        "WIDE",
        "['${env:WIDE}', '${env:WIDE}', '${env:WIDE}', '${env:WIDE}']",
    ),
];

fn value(text: &str) -> Node {
    let loaded = load_texts(&[&format!("v: {text}")], &ENVIRONMENT).unwrap();
    loaded.root.get("v").unwrap().clone()
}

fn error(text: &str) -> String {
    load_texts(&[&format!("v: {text}")], &ENVIRONMENT)
        .unwrap_err()
        .to_string()
}

/// CFG-15 to CFG-17, CFG-19, CFG-20, CFG-22, CFG-23 and section 4.
#[test]
fn references_are_resolved() {
    for (text, wanted, original) in [
        ("${env:N}", "8192", Some("8192")),
        ("${N}", "8192", Some("8192")),
        ("'${N}'", "8192", Some("8192")),
        ("${env:ZERO}", "83", Some("0123")),
        ("${env:EXP}", "1000.0", Some("1e3")),
        ("${env:T}", "\"text\"", None),
        ("${env:QUOTED}", r#""\"7\"""#, None),
        ("${env:BOOL}", "true", Some("true")),
        ("${env:EMPTY}", "null", Some("")),
        ("${env:NOPE:-d}", "\"d\"", None),
        ("${env:NOPE:-5}", "5", Some("5")),
        ("${env:NOPE:-}", "null", Some("")),
        ("${env:EMPTY:-d}", "null", Some("")),
        ("${NOPE:-d}", "\"d\"", None),
        ("${NOPE:-a:b}", "\"a:b\"", None),
        ("${N:-d}", "8192", Some("8192")),
        (
            "${env:MAP}",
            r#"{"a":1,"b":["text","$x"]}"#,
            Some("{a: 1, b: ['text', $x]}"),
        ),
        ("${env:LIST}", r#"["a","b"]"#, Some("[a,b]")),
        ("${env:BAD}", "\"[a\"", None),
        ("${env:INDIRECT}", "8192", Some("8192")),
        ("${env:${env:NAME}}", "\"text\"", None),
        ("${${NAME}}", "\"text\"", None),
        ("'${yaml:{a: b}'", "\"{a: b\"", None),
        ("'${yaml:x::y}'", "\"x::y\"", None),
        ("a-${N}-${T}", "\"a-8192-text\"", None),
        ("43${N}", "\"438192\"", None),
        ("a${EMPTY}b", "\"ab\"", None),
        ("a${QUOTED}", r#""a\"7\"""#, None),
        ("$$1", "\"$1\"", None),
        ("$1", "\"$1\"", None),
        ("$NAME", "\"$NAME\"", None),
        ("$${env:X}", "\"${env:X}\"", None),
        ("$$${T}", "\"$text\"", None),
        ("$$$${T}", "\"$${T}\"", None),
        ("$${A} ${T}", "\"${A} text\"", None),
        ("a}${T}", "\"a}text\"", None),
        ("${T", "\"${T\"", None),
        ("${env:DOLLARS}", "\"p$w$x\"", None),
        (
            "[a, '${LIST}', {b: '${N}'}]",
            r#"["a",["a","b"],{"b":8192}]"#,
            None,
        ),
    ] {
        let node = value(text);
        assert_eq!(json(&node), wanted, "{text}");
        assert_eq!(node.original(), original, "{text}");
    }
}

#[test]
fn keys_are_left_alone() {
    let loaded = load_texts(&["'${T}': {'$$x': 1}"], &ENVIRONMENT).unwrap();
    assert_eq!(json(&loaded.root), r#"{"${T}":{"$$x":1}}"#);
}

/// CFG-18: null, and one warning that names variable and place.
#[test]
fn unset_variables_are_null_and_warned_about() {
    let loaded = load_texts(
        &["e: {a: '${env:NOPE}', b: 'x${NOPE}y', c: 1}"],
        &ENVIRONMENT,
    )
    .unwrap();
    assert_eq!(json(&loaded.root), r#"{"e":{"a":null,"b":"xy","c":1}}"#);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("unset environment variable `NOPE`"),
        "{}",
        warnings[0]
    );
    assert!(warnings[0].contains("yaml:1:9   e.a"), "{}", warnings[0]);
    assert!(warnings[1].contains("yaml:1:28   e.b"), "{}", warnings[1]);
}

/// CFG-21, CFG-23, CFG-24 and what else is refused.
#[test]
fn refuses_with_a_reason() {
    for (text, message) in [
        (
            "x${MAP}",
            "`${MAP}` is a map, which cannot stand inside a text",
        ),
        ("x${LIST}", "`${LIST}` is a list"),
        ("${env:SELF}", "too many recursive expansions"),
        ("${env:PING}", "too many recursive expansions"),
        ("${env:DEEP}", "too many recursive expansions"),
        ("${env:WIDE}", "too many recursive expansions"),
        (
            "x${BOMB3}${BOMB3}${BOMB3}${BOMB3}",
            "too many recursive expansions",
        ),
        ("${env:1A}", "`1A` is not a valid name"),
        ("${1}", "for a literal ${...} write $${...}"),
        ("${env:}", "`` is not a valid name"),
        ("${ssm:/x}", "scheme `ssm` is not supported"),
        ("${evn:X}", "did you mean `env`?"),
        ("${a b:c}", "is not a reference"),
        ("${env:A$B}", "unsupported character `$`"),
        (
            "${file:/nonexistent/x}",
            "cannot read file `/nonexistent/x`",
        ),
    ] {
        let shown = error(text);
        assert!(shown.contains(message), "{text}: {shown}");
        assert!(shown.contains("   v"), "{shown}");
    }
}

#[test]
fn references_cannot_multiply_without_bound() {
    let mut environment = variables(&[("V0", "[x, x, x, x, x, x, x, x, x, x]")]);
    for level in 1..8 {
        let below = vec![format!("'${{V{}}}'", level - 1); 10].join(", ");
        environment.insert(format!("V{level}"), format!("[{below}]"));
    }
    let errors = load(&["yaml:a: ${V7}".to_owned()], &[], &environment, &NoFetch).unwrap_err();
    assert_eq!(errors.error_count(), 1, "{errors}");
    assert!(
        errors.to_string().contains("too large a configuration"),
        "{errors}"
    );
}

#[test]
fn all_bad_references_are_found_at_once() {
    let errors =
        load_texts(&["a: '${1}'\nb: [x, '${ssm:y}']\nc: 'x ${env:2} y'"], &[]).unwrap_err();
    let shown = errors.to_string();
    assert_eq!(errors.error_count(), 3, "{shown}");
    for place in ["yaml:1:5   a", "yaml:2:9   b[1]", "yaml:3:7   c"] {
        assert!(shown.contains(place), "{shown}");
    }
}

#[test]
fn files_bring_text_and_trees() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("token"), "abc${T}\n").unwrap();
    fs::write(path("number"), "12\n").unwrap();
    fs::write(path("tree.yaml"), "x: ${env:N}\ny: [1, z]\n").unwrap();
    fs::write(
        path("loop.yaml"),
        format!("x: ${{file:{}}}\n", path("loop.yaml")),
    )
    .unwrap();
    let read = |name: &str| {
        let text = format!("yaml:v: ${{file:{}}}", path(name));
        load(&[text], &[], &variables(&ENVIRONMENT), &NoFetch)
    };
    let root = |name: &str| read(name).unwrap().root;
    assert_eq!(json(&root("token")), r#"{"v":"abctext"}"#);
    assert_eq!(json(&root("number")), r#"{"v":12}"#);
    assert_eq!(root("number").get("v").unwrap().original(), Some("12"));
    let tree = root("tree.yaml");
    assert_eq!(json(&tree), r#"{"v":{"x":8192,"y":[1,"z"]}}"#);
    let y = tree.at(&["v", "y"]).unwrap().place().to_string();
    assert_eq!(y, format!("{}:2:1", path("tree.yaml")));
    assert!(
        read("loop.yaml")
            .unwrap_err()
            .to_string()
            .contains("too many recursive expansions")
    );
}

proptest! {
    /// Whatever stands in a value: it is resolved or refused, and `$$` never survives.
    #[test]
    fn any_text_is_resolved_or_refused(text in "[$a{}:N-]{0,30}") {
        let quoted = serde_json::to_string(&text).unwrap();
        match load_texts(&[&format!("v: {quoted}")], &ENVIRONMENT) {
            Ok(loaded) => prop_assert!(loaded.root.get("v").is_some()),
            Err(errors) => prop_assert!(errors.has_errors()),
        }
    }

    /// Doubling every `$` protects any text.
    #[test]
    fn doubled_dollars_protect(text in "[$a{}:N-]{0,30}") {
        let quoted = serde_json::to_string(&text.replace('$', "$$")).unwrap();
        let loaded = load_texts(&[&format!("v: {quoted}")], &ENVIRONMENT).unwrap();
        prop_assert_eq!(loaded.root.get("v").unwrap().as_str(), Some(text.as_str()));
    }
}
