//! Spans equal to the reference's: the conformance cases of segments.
//!
//! `testdata/<case>/` has the configuration, the datagrams and what the reference made of them.
//! Instants stand there as `T0+1500ms`, long texts as `<z*50000>`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use regex::{Captures, Regex};
use serde_json::{Value as Json, json};
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_model::{Data, SpanRef, ValueRef};

use super::super::Config;
use super::{Bench, HEADER, Pipeline, cx};

/// The instant that places are relative to, Unix seconds.
const T0: i64 = 1_795_364_000;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("awsxray/testdata")
}

fn read(case: &str, file: &str) -> String {
    let path = testdata().join(case).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Puts ports, instants, trace ids and long texts in their places.
fn fill(text: &str) -> String {
    let places = Regex::new(r"\{\{([a-z0-9_]+)(?::([^}]*))?\}\}").unwrap();
    let filled = places.replace_all(text, |found: &Captures<'_>| {
        match (&found[1], found.get(2)) {
            ("sf", Some(offset)) => {
                let ms = milliseconds(offset.as_str());
                format!("{}.{:03}", T0 + ms / 1000, ms % 1000)
            }
            ("tid", Some(_)) => format!("{T0:08x}"),
            ("pad", Some(what)) => {
                let (count, text) = what.as_str().split_once(':').unwrap();
                text.repeat(count.parse().unwrap())
            }
            (_, None) => "2000".to_owned(),
            other => panic!("{other:?}"),
        }
    });
    filled.into_owned()
}

/// `+1500ms`, `+2s`.
fn milliseconds(offset: &str) -> i64 {
    match offset.strip_suffix("ms") {
        Some(ms) => ms.parse().unwrap(),
        None => offset.strip_suffix('s').unwrap().parse::<i64>().unwrap() * 1000,
    }
}

fn datagrams(case: &str) -> Vec<Vec<u8>> {
    let input: Json = serde_json::from_str(&read(case, "input.json")).unwrap();
    let steps = input["steps"].as_array().unwrap();
    let all = steps
        .iter()
        .flat_map(|step| step["datagrams"].as_array().unwrap());
    all.map(|datagram| match datagram {
        Json::String(text) => fill(text).into_bytes(),
        parts => {
            let header = match &parts["header"] {
                Json::Null => HEADER.trim_end().to_owned(),
                Json::String(header) => header.clone(),
                header => header.to_string(),
            };
            let separator = parts["separator"].as_str().unwrap_or("\n");
            let segment = fill(parts["segment"].as_str().unwrap());
            format!("{header}{separator}{segment}").into_bytes()
        }
    })
    .collect()
}

/// A span as the cases show it.
fn shown(span: SpanRef<'_>) -> Json {
    let kind = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT"][span.kind() as usize];
    let hex = |id: &[u8]| {
        id.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let mut status = json!({});
    if span.status_code() == 2 {
        status["code"] = "STATUS_CODE_ERROR".into();
    }
    if !span.status_message().is_empty() {
        status["message"] = span.status_message().into();
    }
    let trace_id = hex(span.trace_id());
    let (epoch, rest) = trace_id.split_at(8);
    assert_eq!(epoch, format!("{T0:08x}"));
    let events = span.events().map(|event| {
        let attributes = members(event.attributes().iter());
        json!({"name": event.name(), "time": event.time_ns() as f64, "attributes": attributes})
    });
    let mut inner = json!({
        "attributes": members(span.attributes().iter()), "name": span.name(), "kind": format!("SPAN_KIND_{kind}"),
        "spanId": hex(span.span_id()), "traceId": format!("[T0+0s]{rest}"), "status": status,
        "startTime": instant(span.start_ns()), "events": events.collect::<Vec<_>>(),
    });
    if span.end_ns() != 0 {
        inner["endTime"] = instant(span.end_ns());
    }
    if !span.parent_span_id().is_empty() {
        inner["parentSpanId"] = hex(span.parent_span_id()).into();
    }
    let resource = members(span.resource().attributes.iter());
    json!({"resource": resource, "scope": {}, "span": inner})
}

fn instant(ns: u64) -> Json {
    let ms = (ns as f64 / 1e6).round() as i64 - T0 * 1000;
    format!("T0+{ms}ms").into()
}

fn members<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Json {
    let all: serde_json::Map<String, Json> = attributes
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect();
    all.into()
}

fn plain(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Str(text) => {
            let long = "z".repeat(50_000);
            text.replace(&long, "<z*50000>").into()
        }
        ValueRef::Bool(value) => value.into(),
        ValueRef::Int(value) => (value as f64).into(),
        ValueRef::Double(value) => value.into(),
        ValueRef::List(list) => list.iter().map(plain).collect(),
        other => panic!("{other:?}"),
    }
}

/// Integers and doubles are the same number here.
fn with_doubles(value: &Json) -> Json {
    match value {
        Json::Number(number) => number.as_f64().unwrap().into(),
        Json::Array(items) => items.iter().map(with_doubles).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), with_doubles(value)))
            .collect(),
        other => other.clone(),
    }
}

fn sorted(mut spans: Vec<Json>) -> Vec<Json> {
    spans.sort_by_key(Json::to_string);
    spans
}

#[tokio::test]
async fn spans_equal_those_of_the_reference() {
    let mut names: Vec<String> = std::fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 12);
    for case in names {
        let source = Source::new(
            "config.yaml",
            fill(&read(&case, "config.yaml")),
            Origin::Document,
        );
        let tree = parse_yaml(&source).unwrap();
        let node = tree.get("receivers").unwrap().get("awsxray").unwrap();
        decode_and_validate::<Config>(node, "receivers.awsxray").unwrap();
        let expected: Json = serde_json::from_str(&read(&case, "expected.json")).unwrap();
        let wanted = expected["otlp"]["spans"].as_array().unwrap();
        let bench = Bench::start(Pipeline::default(), cx());
        for datagram in datagrams(&case) {
            bench.send(&datagram);
            tokio::task::yield_now().await;
        }
        bench.pipeline.wait(wanted.len()).await;
        let pipeline = bench.pipeline.clone();
        bench.end().await;
        let mut got = Vec::new();
        for batch in pipeline.batches() {
            let Data::Traces(traces) = &batch.data else {
                panic!("{batch:?}")
            };
            got.extend(traces.spans().map(shown));
        }
        let wanted = sorted(wanted.iter().map(with_doubles).collect());
        let got = sorted(got.iter().map(with_doubles).collect());
        assert_eq!(got, wanted, "{case}");
    }
}
