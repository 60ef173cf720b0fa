#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;
use weir_config::Errors;
use weir_model::Attributes;

use super::*;
use crate::testing::{attributes, decode};

/// A processor with nothing but actions.
type Config = crate::resource::Config;

/// The attributes after the actions, as plain JSON.
fn run(
    yaml: &str,
    before: &serde_json::Value,
    client: Option<&ClientMetadata>,
) -> serde_json::Value {
    let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
    let actions = compile("attributes", &config.attributes, &mut Errors::default());
    let mut target = AttributesBuilder::default();
    let otlp = attributes(before);
    for entry in otlp.as_array().unwrap() {
        let value = from_json(&entry["value"]);
        target.set_value(entry["key"].as_str().unwrap(), &value);
    }
    apply(&actions, &mut target, client);
    to_json(&target.build())
}

fn from_json(value: &serde_json::Value) -> Value {
    let Some((kind, inner)) = value.as_object().unwrap().iter().next() else {
        return Value::Empty;
    };
    match kind.as_str() {
        "stringValue" => Value::from(inner.as_str().unwrap()),
        "boolValue" => Value::Bool(inner.as_bool().unwrap()),
        "intValue" => Value::Int(inner.as_str().unwrap().parse().unwrap()),
        "doubleValue" => Value::Double(inner.as_f64().unwrap()),
        "arrayValue" => {
            let items = inner["values"].as_array().unwrap();
            Value::List(items.iter().map(from_json).collect())
        }
        other => panic!("{other}"),
    }
}

fn to_json(attributes: &Attributes) -> serde_json::Value {
    let value = |value: ValueRef<'_>| serde_json::to_value(ConfigValue(value.to_value())).unwrap();
    serde_json::Value::Object(
        attributes
            .iter()
            .map(|(key, v)| (key.to_owned(), value(v)))
            .collect(),
    )
}

#[test]
fn insert_update_and_upsert_look_whether_the_key_is_there() {
    let yaml = r"
attributes:
  - {key: present, value: new, action: insert}
  - {key: absent1, value: 5, action: insert}
  - {key: p2, value: 2.5, action: update}
  - {key: absent2, value: x, action: update}
  - {key: p3, value: true, action: upsert}
  - {key: absent3, value: [a, b], action: upsert}
  - {key: absent4, value: '0123', action: INSERT}
  - {key: big, value: 12345678901234, action: insert}
";
    let before = json!({"present": "old", "p2": 1, "p3": "x"});
    let after = json!({
        "present": "old", "absent1": 5, "p2": 2.5, "p3": true, "absent3": ["a", "b"],
        "absent4": "0123", "big": 12_345_678_901_234_i64,
    });
    assert_eq!(run(yaml, &before, None), after);
}

#[test]
fn delete_and_hash_work_on_a_key_and_on_keys_that_match() {
    let yaml = r"
attributes:
  - {key: gone, action: delete}
  - {pattern: 'secret$', action: delete}
  - {pattern: '^x\d$', action: delete}
  - {key: pw, pattern: '^pin', action: hash}
  - {key: nothing, action: hash}
";
    let before = json!({
        "gone": 1, "my.secret": 2, "secrets": 3, "x1": 4, "x12": 5, "pw": "abc", "pin": 7, "l": [1],
    });
    let after = json!({
        "secrets": 3, "x12": 5, "l": [1],
        "pw": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "pin": "aae89fc0f03e2959ae4d701a80cc3915918c950b159f6abb6c92c1433b1a8534",
    });
    assert_eq!(run(yaml, &before, None), after);
}

#[test]
fn extract_sets_an_attribute_for_each_group_and_keeps_the_source() {
    let yaml = r"
attributes:
  - {key: url, pattern: '^(?P<proto>[a-z]+)://(?P<hst>[^/]+)(?P<path>/[^?]*)?', action: extract}
  - {key: n, pattern: '(?P<num>\d)', action: extract}
";
    let before = json!({"url": "https://h.example/p?q=1", "n": 5, "proto": "old"});
    let after = json!({
        "url": "https://h.example/p?q=1", "n": 5, "proto": "https", "hst": "h.example", "path": "/p",
    });
    assert_eq!(run(yaml, &before, None), after);
    // A group that took no part gives an empty text; what does not match changes nothing.
    let after = json!({"url": "a://b", "proto": "a", "hst": "b", "path": ""});
    assert_eq!(run(yaml, &json!({"url": "a://b"}), None), after);
    assert_eq!(run(yaml, &json!({"url": "no"}), None), json!({"url": "no"}));
}

#[test]
fn values_come_from_other_attributes_or_the_default() {
    let yaml = r"
attributes:
  - {key: i2, from_attribute: i, action: insert}
  - {key: l2, from_attribute: l, action: upsert}
  - {key: no, from_attribute: nope, action: upsert}
  - {key: dv, from_attribute: nope, default_value: 9, action: upsert}
  - {key: s, from_attribute: d, action: update}
  - {key: s2, from_attribute: s, action: insert}
  - {key: d, action: delete}
  - {key: d3, from_attribute: d, action: insert}
";
    let before = json!({"i": 5, "d": 2.5, "l": [1, 2], "s": "x"});
    let after = json!({
        "i": 5, "i2": 5, "l": [1, 2], "l2": [1, 2], "dv": 9, "s": 2.5, "s2": 2.5,
    });
    assert_eq!(run(yaml, &before, None), after);
}

#[test]
fn values_come_from_the_sender() {
    let yaml = r"
attributes:
  - {key: tenant, from_context: metadata.X-Tenant, action: upsert}
  - {key: bare, from_context: x-tenant, action: upsert}
  - {key: peer, from_context: client.address, action: upsert}
  - {key: user, from_context: auth.subject, default_value: nobody, action: upsert}
  - {key: none, from_context: metadata.absent, action: upsert}
";
    let client = ClientMetadata {
        headers: vec![
            ("x-tenant".into(), "a".into()),
            ("x-tenant".into(), "b".into()),
        ],
        address: Some("[::1]:4317".parse().unwrap()),
    };
    let after = json!({"tenant": "a;b", "bare": "a;b", "peer": "::1", "user": "nobody"});
    assert_eq!(run(yaml, &json!({}), Some(&client)), after);
    assert_eq!(run(yaml, &json!({}), None), json!({"user": "nobody"}));
}

#[test]
fn mistakes_are_named_with_action_index_and_key() {
    for (action, says) in [
        ("{key: k, value: 1, action: replace}", "unsupported action"),
        ("{key: k, value: 1}", "`action` is missing"),
        ("{value: 1, action: insert}", "`key` is missing"),
        ("{key: k, action: insert}", "no source"),
        (
            "{key: k, value: 1, from_attribute: a, action: upsert}",
            "more than one source",
        ),
        (
            "{key: k, value: 1, default_value: 2, action: upsert}",
            "default_value",
        ),
        (
            "{key: k, value: 1, pattern: a, action: update}",
            "`pattern` is of no use",
        ),
        ("{action: delete}", "`key` is missing"),
        ("{key: k, value: 1, action: delete}", "`value` is of no use"),
        (
            "{key: k, from_context: a, action: hash}",
            "`from_context` is of no use",
        ),
        ("{pattern: '(', action: delete}", "not a regular expression"),
        ("{key: k, action: extract}", "`pattern` is missing"),
        (
            "{key: k, pattern: 'a(b)', action: extract}",
            "no named group",
        ),
        (
            "{key: k, pattern: '(?P<a>b)(c)', action: extract}",
            "without a name",
        ),
        ("{key: k, action: convert}", "`converted_type` is missing"),
        (
            "{key: k, converted_type: bool, action: convert}",
            "cannot be `bool`",
        ),
    ] {
        let yaml =
            format!("attributes:\n  - {{key: ok, value: 1, action: insert}}\n  - {action}\n");
        let error = decode::<Config>(&yaml).unwrap_err();
        assert!(error.contains(says), "{action}: {error}");
        assert!(
            error.contains("index 1") && error.contains("attributes[1]"),
            "{error}"
        );
        if action.contains("key: k") {
            assert!(error.contains("\"k\""), "{error}");
        }
    }
}

#[test]
fn an_empty_list_is_refused() {
    let error = decode::<Config>("attributes: []\n").unwrap_err();
    assert!(error.contains("attributes"), "{error}");
}
