//! The text of records, and how they are packed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use weir_model::{Attributes, LogRef, Logs, LogsBuilder, Resource, Scope, Value, ValueRef};

use super::super::pack::{LeftOut, Packed, pack};
use super::harness::{NOW_MS, config, logs, records};

/// Messages, by log stream.
fn messages(packed: &Packed) -> Vec<Vec<String>> {
    let of = |body: &[u8]| -> Vec<String> {
        let body: Json = serde_json::from_slice(body).unwrap();
        let listed = body["logEvents"].as_array().unwrap();
        listed.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    };
    let streams = packed.streams.iter();
    streams.map(|requests| requests.iter().flat_map(|r| of(&r.body)).collect()).collect()
}

/// The text of the only record.
fn text(logs: &Logs) -> String {
    messages(&pack(logs, &config(|_| ()), NOW_MS)).concat().concat()
}

#[test]
fn members_stand_in_the_order_of_the_reference() {
    let resource = Arc::new(Resource {
        attributes: [("b", Value::Int(2)), ("a", "<x>".into())].into_iter().collect(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope {
        name: "lib".into(),
        version: "1".into(),
        attributes: [("k", "v")].into_iter().collect(),
        ..Scope::default()
    });
    let mut builder = LogsBuilder::default();
    let mut record = builder.push(&resource, &scope);
    record.set_times(1, 0);
    record.set_severity(17, "ERR\"OR");
    record.set_body_value(&Value::Map(vec![
        ("z".to_owned(), Value::Bytes(vec![1, 2, 3])),
        ("a".to_owned(), Value::List(vec![Value::Empty, Value::Double(1e21)])),
        ("z".to_owned(), Value::Bool(true)),
    ]));
    record.set("m", ValueRef::Double(0.5));
    record.set("d", ValueRef::Empty);
    record.set_trace(&[0xab; 16], &[1; 8], 1);
    record.set_dropped_attributes(4);
    assert_eq!(
        text(&builder.finish()),
        "{\"body\":{\"a\":[null,1e+21],\"z\":true},\"severity_number\":17,\
         \"severity_text\":\"ERR\\\"OR\",\"dropped_attributes_count\":4,\"flags\":1,\
         \"trace_id\":\"abababababababababababababababab\",\"span_id\":\"0101010101010101\",\
         \"attributes\":{\"d\":null,\"m\":0.5},\
         \"scope\":{\"name\":\"lib\",\"version\":\"1\",\"attributes\":{\"k\":\"v\"}},\
         \"resource\":{\"a\":\"\\u003cx\\u003e\",\"b\":2}}"
    );
}

#[test]
fn empty_members_are_left_out() {
    let resource = Arc::new(Resource::default());
    let nameless = Arc::new(Scope {
        version: "1".into(),
        ..Scope::default()
    });
    let mut builder = LogsBuilder::default();
    builder.push(&resource, &nameless).set_trace(&[0; 16], &[0; 8], 0);
    assert_eq!(text(&builder.finish()), "{}");
    let named = Arc::new(Scope {
        name: "n".into(),
        ..Scope::default()
    });
    let mut builder = LogsBuilder::default();
    builder.push(&resource, &named);
    assert_eq!(text(&builder.finish()), "{\"scope\":{\"name\":\"n\"}}");
}

#[test]
fn numbers_that_json_lacks_become_text_and_cost_no_record() {
    let mut builder = LogsBuilder::default();
    let resource = Arc::new(Resource::default());
    let mut record = builder.push(&resource, &Arc::new(Scope::default()));
    record.set_body(ValueRef::Double(f64::NAN));
    record.set("up", ValueRef::Double(f64::INFINITY));
    assert_eq!(
        text(&builder.finish()),
        "{\"body\":\"NaN\",\"attributes\":{\"up\":\"Infinity\"}}"
    );
}

#[test]
fn records_that_the_service_would_refuse_are_left_out_and_counted() {
    let day = 86_400_000;
    let batch = records([
        ("p", -14 * day, "oldest"),
        ("p", -14 * day - 1, "too old"),
        ("p", 2 * 3_600_000, "newest"),
        ("p", 2 * 3_600_000 + 1, "too new"),
        ("p", 0, ""),
    ]);
    let raw = config(|config| config.raw_log = true);
    let packed = pack(logs(&batch), &raw, NOW_MS);
    let left_out = LeftOut {
        too_old: 1,
        too_new: 1,
        empty: 1,
    };
    assert_eq!(packed.left_out, left_out);
    assert_eq!(messages(&packed), [["oldest", "newest"]]);
    // More than a day lies between them.
    assert_eq!(packed.streams[0].len(), 2);
    assert_eq!(packed.streams[0][1].events, [2]);
}

#[test]
fn long_events_are_cut_at_a_character() {
    let long = "\u{e9}\n".repeat(1000);
    for raw_log in [true, false] {
        let batch = records([("p", 0, long.as_str()), ("p", 0, "short")]);
        let config = config(|config| {
            config.raw_log = raw_log;
            (config.max_event_bytes, config.max_request_bytes) = (1024, 1024);
        });
        let packed = pack(logs(&batch), &config, NOW_MS);
        assert_eq!(packed.cut, 1);
        let messages = messages(&packed).concat();
        assert!(messages[0].ends_with("[Truncated...]"), "{}", messages[0]);
        let room = 1024 - 26;
        assert!((room - 2..=room).contains(&messages[0].len()), "{}", messages[0].len());
        assert!(messages[1].contains("short"));
        assert_eq!(packed.streams[0].len(), 2);
    }
}

#[test]
fn a_time_below_a_millisecond_is_none() {
    let mut builder = LogsBuilder::default();
    let resource = Arc::new(Resource::default());
    let mut record = builder.push(&resource, &Arc::new(Scope::default()));
    record.set_times(999_999, 5_000_000_000);
    let packed = pack(&builder.finish(), &config(|_| ()), NOW_MS);
    let body: Json = serde_json::from_slice(&packed.streams[0][0].body).unwrap();
    assert_eq!(body["logEvents"][0]["timestamp"], NOW_MS);
}

/// The record in the slow way: through a tree of values.
fn plainly(record: LogRef<'_>) -> Json {
    let mut tree = serde_json::Map::new();
    let mut put = |key: &str, value: Json, is_empty: bool| {
        if !is_empty {
            tree.insert(key.to_owned(), value);
        }
    };
    let body = record.body();
    put("body", value_tree(body), body == ValueRef::Empty);
    let number = record.severity_number();
    put("severity_number", number.into(), number == 0);
    let severity = record.severity_text();
    put("severity_text", severity.into(), severity.is_empty());
    put("flags", record.flags().into(), record.flags() == 0);
    let attributes: serde_json::Map<String, Json> =
        record.attributes().iter().map(|(k, v)| (k.to_owned(), value_tree(v))).collect();
    put("attributes", attributes.clone().into(), attributes.is_empty());
    let resource: serde_json::Map<String, Json> = record
        .resource()
        .attributes
        .iter()
        .map(|(k, v)| (k.to_owned(), value_tree(v)))
        .collect();
    put("resource", resource.clone().into(), resource.is_empty());
    tree.into()
}

fn value_tree(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Empty => Json::Null,
        ValueRef::Str(text) => text.into(),
        ValueRef::Bool(bool) => bool.into(),
        ValueRef::Int(int) => int.into(),
        ValueRef::Double(double) if double.is_finite() => json!(double),
        ValueRef::Double(_) | ValueRef::Bytes(_) => value.to_text().into(),
        ValueRef::List(list) => list.iter().map(value_tree).collect(),
        ValueRef::Map(map) => map.iter().map(|(k, v)| (k.to_owned(), value_tree(v))).collect(),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        ".*".prop_map(Value::Str),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9f64).prop_map(Value::Double),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            proptest::collection::vec((".*", inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn by_value(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| by_value(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| by_value(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn the_text_is_what_a_tree_of_values_gives(
        body in any_value(),
        severity in 0..24i32,
        severity_text in ".*",
        attributes in proptest::collection::vec((".{0,3}", any_value()), 0..5),
        of_resource in proptest::collection::vec((".{0,3}", any_value()), 0..3),
    ) {
        let of_resource: Attributes = of_resource.into_iter().collect();
        let resource = Arc::new(Resource { attributes: of_resource, ..Resource::default() });
        let mut builder = LogsBuilder::default();
        let mut record = builder.push(&resource, &Arc::new(Scope::default()));
        record.set_severity(severity, &severity_text);
        record.set_body_value(&body);
        for (key, value) in &attributes {
            record.set_value(key, value);
        }
        let logs = builder.finish();
        let found: Json = serde_json::from_str(&text(&logs)).unwrap();
        let expected = plainly(logs.records().next().unwrap());
        prop_assert!(by_value(&expected, &found), "{} {}", expected, found);
    }

    #[test]
    fn raw_bodies_arrive_as_they_are(bodies in proptest::collection::vec(".+", 1..8)) {
        let batch = records(bodies.iter().map(|body| ("p", 0, body.as_str())));
        let raw = config(|config| config.raw_log = true);
        let packed = pack(logs(&batch), &raw, NOW_MS);
        prop_assert_eq!(messages(&packed).concat(), bodies);
    }
}
