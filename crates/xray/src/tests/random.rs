//! Whatever is sent, every document is JSON and nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::series::{Resource, Scope};
use weir_model::{Attributes, Traces, TracesBuilder, Value};

use super::support::translate;
use crate::keys::Key;
use crate::segment::Settings;

fn name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = Key::names().collect();
    let resource = vec![
        "cloud.provider",
        "cloud.platform",
        "service.name",
        "service.version",
        "container.image.tags",
        "aws.log.group.arns",
        "aws.log.group.names",
        "telemetry.sdk.language",
        "host.id",
        "otel.resource.x",
        "aws.xray.metadata.ns",
        "aws.xray.metadata.default",
        "exception.stacktrace",
        "exception.type",
        "messaging.message_payload_size_bytes",
    ];
    prop_oneof![
        6 => prop::sample::select(known).prop_map(str::to_owned),
        3 => prop::sample::select(resource).prop_map(str::to_owned),
        2 => ".{0,12}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("LOCAL_ROOT".to_owned()),
        Just("aws-api".to_owned()),
        Just("aws".to_owned()),
        Just("aws_ecs".to_owned()),
        Just("mysql".to_owned()),
        Just("java".to_owned()),
        Just("{\"a\":[1,null]}".to_owned()),
        Just("mysql://u:p@db:1/x".to_owned()),
        Just("x\n\tat a.b(c:1)\nCaused by: X:".to_owned()),
        ".{0,30}",
        "[\\x00-\\x7f]{0,20}",
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::Str),
        1 => any::<i64>().prop_map(Value::Int),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<f64>().prop_map(Value::Double),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        1 => Just(Value::Empty),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((".{0,6}", inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::vec((name(), value()), 0..14)
}

prop_compose! {
    fn id(length: usize)(
        id in prop_oneof![
            6 => prop::collection::vec(any::<u8>(), length),
            1 => Just(vec![0; length]),
            1 => prop::collection::vec(any::<u8>(), 0..20),
        ]
    ) -> Vec<u8> { id }
}

prop_compose! {
    fn traces()(
        resource in attributes(),
        own in attributes(),
        event in attributes(),
        event_name in prop::sample::select(vec!["exception", "HTTP request failure", "x"]),
        link in prop::option::of((id(16), id(8), attributes())),
        ids in (id(16), id(8), id(8)),
        (name, kind) in (".{0,20}", -1i32..7),
        (status, message) in (0i32..3, ".{0,5}"),
        times in (any::<u64>(), any::<u64>()),
    ) -> Traces {
        let resource = Arc::new(Resource {
            attributes: resource.into_iter().collect::<Attributes>(),
            ..Resource::default()
        });
        let mut builder = TracesBuilder::default();
        let mut span = builder.push(&resource, &Arc::new(Scope::default()));
        span.set_name(&name);
        span.set_kind(kind);
        span.set_status(status, &message);
        span.set_times(times.0, times.1);
        span.set_ids(&ids.0, &ids.1, &ids.2);
        for (key, value) in &own {
            span.set_value(key, value);
        }
        let mut to = span.add_event(times.0, event_name);
        for (key, value) in &event {
            to.set_value(key, value);
        }
        if let Some((trace, span_id, list)) = &link {
            let mut to = span.add_link(trace, span_id, "");
            for (key, value) in list {
                to.set_value(key, value);
            }
        }
        builder.finish()
    }
}

prop_compose! {
    fn any_settings()(
        flags in prop::array::uniform4(any::<bool>()),
        indexed in prop::collection::vec(name(), 0..3),
        groups in prop::collection::vec(".{0,4}", 0..2),
    ) -> Settings {
        Settings {
            indexed: indexed.into_iter().map(String::into_boxed_str).collect(),
            index_all: flags[0],
            any_trace_age: flags[1],
            allow_dot: flags[2],
            current_names: flags[3],
            log_groups: groups,
        }
    }
}

proptest! {
    #[test]
    fn any_span_gives_json(traces in traces(), settings in any_settings()) {
        let made = translate(&traces, &settings);
        for (text, document) in made.texts().iter().zip(made.documents()) {
            prop_assert!(text.ends_with('\n') && text.len() <= 64 * 1024);
            prop_assert_eq!(document["trace_id"].as_str().unwrap().len(), 35);
            prop_assert!(document["name"].is_string() && document["fault"].is_boolean());
        }
        prop_assert!(made.texts().len() + made.skipped.len() >= 1);
    }

    /// Going back to the member names, no member appears twice.
    #[test]
    fn no_member_is_written_twice(traces in traces(), settings in any_settings()) {
        for text in translate(&traces, &settings).texts() {
            let parsed: UniqueMembers = serde_json::from_str(&text).unwrap();
            prop_assert!(parsed.0, "{}", text);
        }
    }
}

#[test]
fn plain_settings_translate() {
    assert_eq!(
        translate(&Traces::default(), &Settings::default())
            .texts()
            .len(),
        0
    );
}

/// Whether all objects of a JSON text have unique member names.
struct UniqueMembers(bool);

impl<'de> serde::Deserialize<'de> for UniqueMembers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = bool;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_str<E>(self, _: &str) -> Result<bool, E> {
                Ok(true)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
                let mut unique = true;
                while let Some(UniqueMembers(inner)) = seq.next_element()? {
                    unique &= inner;
                }
                Ok(unique)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
                let mut seen = std::collections::HashSet::new();
                let mut unique = true;
                while let Some((key, UniqueMembers(inner))) =
                    map.next_entry::<String, UniqueMembers>()?
                {
                    unique &= inner && seen.insert(key);
                }
                Ok(unique)
            }
        }
        deserializer.deserialize_any(Visitor).map(UniqueMembers)
    }
}
