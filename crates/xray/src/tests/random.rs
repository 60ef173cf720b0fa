//! Whatever is sent, every document is one that X-Ray takes, and nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::series::{Resource, Scope};
use weir_model::{Attributes, Interner, Traces, TracesBuilder, Value};

use super::schema::{self, Rules};
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
        stacktrace(),
        Just("a name (with) *signs*".to_owned()),
        (".", 0usize..400).prop_map(|(text, times)| text.repeat(times)),
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

/// Pieces of stack traces of all languages, mostly malformed.
fn stacktrace() -> impl Strategy<Value = String> {
    let pieces = vec![
        "Error: x",
        "\n",
        "\n",
        "\r\n",
        "\tat a.b(c:1)",
        "\tat ",
        "Caused by: X:",
        "Caused by: ",
        ": ",
        "  File \"a\", line 1, in f",
        "  File \"",
        ", line ",
        "    at f (a:1:2)",
        "    at ",
        "(",
        ")",
        "During handling of the above exception, another exception occurred:",
        "   at A.B() in /c:line 1",
        " in ",
        ":line",
        "goroutine 1 [running]:",
        "\t/a/b.go:1 +0x1",
        "native",
        "\u{d55c}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

/// Attributes of a resource: a platform mostly, and a language with stacks.
fn resource() -> impl Strategy<Value = Vec<(String, Value)>> {
    let languages = vec![
        "java",
        "python",
        "javascript",
        "dotnet",
        "php",
        "go",
        "ruby",
    ];
    let platforms = vec![
        "aws_ec2",
        "aws_ecs",
        "aws_eks",
        "aws_elastic_beanstalk",
        "aws_app_runner",
        "aws_lambda",
        "x",
    ];
    let known = (
        prop::sample::select(languages),
        prop::sample::select(platforms),
        prop::sample::select(vec!["aws", "gcp", ""]),
    );
    (known, attributes()).prop_map(|((language, platform, provider), mut list)| {
        for (key, text) in [
            ("telemetry.sdk.language", language),
            ("cloud.platform", platform),
            ("cloud.provider", provider),
        ] {
            list.push((key.to_owned(), Value::Str(text.to_owned())));
        }
        list
    })
}

/// Exceptions, failed tries of an SDK, anything.
fn event() -> impl Strategy<Value = (String, Vec<(String, Value)>)> {
    let names = vec!["exception", "exception", "HTTP request failure", "x", ""];
    let exception = (stacktrace(), ".{0,9}").prop_map(|(stack, message)| {
        let list = [
            ("exception.stacktrace", stack),
            ("exception.message", message),
        ];
        let list = list.map(|(key, text)| (key.to_owned(), Value::Str(text)));
        ("exception".to_owned(), list.to_vec())
    });
    let any = (prop::sample::select(names), attributes());
    prop_oneof![
        exception,
        any.prop_map(|(name, list)| (name.to_owned(), list))
    ]
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
        resource in resource(),
        own in attributes(),
        events in prop::collection::vec(event(), 0..4),
        link in prop::option::of((id(16), id(8), attributes())),
        ids in (id(16), id(8), id(8)),
        (name, kind) in (prop_oneof![4 => ".{0,20}", 1 => ".{180,300}"], -1i32..7),
        (status, message) in (-1i32..5, ".{0,5}"),
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
        for (name, list) in &events {
            let mut to = span.add_event(times.0, name);
            for (key, value) in list {
                to.set_value(key, value);
            }
        }
        if let Some((trace, span_id, list)) = &link {
            let mut to = span.add_link(trace, span_id, "");
            for (key, value) in list {
                to.set_value(key, value);
            }
        }
        // By way of the wire, as spans come in.
        let mut bytes = Vec::new();
        builder.finish().encode_otlp(&mut bytes);
        Traces::from_otlp(bytes.into(), &Arc::new(Interner::default())).unwrap()
    }
}

prop_compose! {
    /// One span with too much of something.
    fn large_traces()(
        (texts, bytes) in (0usize..30, 1usize..20_000),
        (exceptions, frames) in (0usize..40, 0usize..600),
        links in 0usize..800,
        unit in prop::sample::select(vec!["x", "\"", "\u{1}", "\u{d55c}", "<"]),
    ) -> Traces {
        let resource = Arc::new(Resource {
            attributes: [("telemetry.sdk.language", "java")].into_iter().collect::<Attributes>(),
            ..Resource::default()
        });
        let mut builder = TracesBuilder::default();
        let mut span = builder.push(&resource, &Arc::new(Scope::default()));
        span.set_ids(&[1; 16], &[2; 8], &[3; 8]);
        for n in 0..texts {
            span.set_value(&format!("key.{n}"), &Value::Str(unit.repeat(bytes)));
        }
        let frame = format!("\n\tat com.example.{}(A.java:1)", unit.replace('\u{1}', "y"));
        for _ in 0..exceptions {
            let stack = format!("x{}\nCaused by: Y: z{}", frame.repeat(frames), frame.repeat(frames));
            let mut event = span.add_event(1, "exception");
            event.set_value("exception.stacktrace", &Value::Str(stack));
        }
        for _ in 0..links {
            span.add_link(&[4; 16], &[5; 8], "").set_value("k", &Value::Str(unit.repeat(99)));
        }
        builder.finish()
    }
}

prop_compose! {
    fn any_settings()(
        flags in prop::array::uniform5(any::<bool>()),
        indexed in prop::collection::vec(name(), 0..3),
        groups in prop::collection::vec(".{0,4}", 0..2),
    ) -> Settings {
        Settings {
            indexed: indexed.into_iter().map(String::into_boxed_str).collect(),
            index_all: flags[0],
            any_trace_age: flags[1],
            allow_dot: flags[2],
            current_names: flags[3],
            strict: flags[4],
            log_groups: groups,
        }
    }
}

proptest! {
    #[test]
    fn any_span_gives_documents_of_the_schema(traces in traces(), settings in any_settings()) {
        let made = translate(&traces, &settings);
        let rules = Rules { reference_forms: !settings.strict, dots: settings.allow_dot };
        for text in made.texts() {
            prop_assert!(text.ends_with('\n'));
            let checked = schema::check(&text, rules);
            prop_assert!(checked.is_ok(), "{:?}", checked);
        }
        prop_assert!(made.texts().len() + made.skipped.len() >= 1);
    }

    /// Sent again, a span gives the same documents, made-up ids included.
    #[test]
    fn a_span_sent_again_gives_the_same_documents(traces in traces(), settings in any_settings()) {
        prop_assert_eq!(translate(&traces, &settings).texts(), translate(&traces, &settings).texts());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A span that is too large gives a smaller document of the schema, or is counted.
    #[test]
    fn a_large_span_is_cut_to_a_document_of_the_schema(
        traces in large_traces(),
        settings in any_settings(),
    ) {
        let made = translate(&traces, &settings);
        let rules = Rules { reference_forms: !settings.strict, dots: settings.allow_dot };
        for text in made.texts() {
            let checked = schema::check(&text, rules);
            prop_assert!(checked.is_ok(), "{:?}", checked);
        }
        prop_assert!(made.texts().len() + made.skipped.len() >= 1);
    }

}

proptest! {
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
