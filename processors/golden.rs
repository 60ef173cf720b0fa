//! Golden cases of the reference, applied to a processor by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_config::{Origin, Source, decode_and_validate, parse_yaml};
use weir_core::clock::ManualClock;
use weir_core::{Consumer, Flow, Processor, ProcessorKind, Signal};

use crate::testing::{batch, context, plain};

/// The instant that times in cases are relative to; the run is ten minutes later.
const T0_S: i64 = 1_700_000_000;

/// Downstream of a transform: nobody.
struct Nobody;

impl Consumer for Nobody {
    fn consume(&self, _: weir_core::Batch) -> weir_core::BoxFut<'_, Result<(), weir_core::Reject>> {
        Box::pin(async { Ok(()) })
    }
}

/// Runs every case below `processors/<folder>/testdata`. A case whose `expected-alt.json` holds
/// what we do on purpose is compared with that.
pub(crate) async fn cases<K: ProcessorKind>(folder: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join("testdata");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{}", root.display());
    for case in found {
        let read = |name: &str| std::fs::read_to_string(case.join(name));
        let expected = read("expected-alt.json")
            .or_else(|_| read("expected.json"))
            .unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let steps: Value = serde_json::from_str(&instants(&read("input.json").unwrap())).unwrap();
        let config = read("config.yaml").unwrap().replace("$$", "$");
        let items = run::<K>(&config, &steps["steps"]).await;
        let mut wanted: Vec<Value> = ["points", "spans", "logs"]
            .iter()
            .filter_map(|list| expected["otlp"][list].as_array())
            .flatten()
            .map(normal)
            .collect();
        let mut items: Vec<Value> = items.iter().map(normal).collect();
        let key = |value: &Value| value.to_string();
        wanted.sort_by_key(key);
        items.sort_by_key(key);
        assert_eq!(
            serde_json::to_string_pretty(&items).unwrap(),
            serde_json::to_string_pretty(&wanted).unwrap(),
            "{}",
            case.display()
        );
    }
}

/// Puts instants in: `{{ns:-60s}}`.
fn instants(text: &str) -> String {
    let place = regex::Regex::new(r"\{\{ns:([+-]\d+)(ms|s|m|h)\}\}").unwrap();
    let text = place.replace_all(text, |found: &regex::Captures<'_>| {
        let unit = match &found[2] {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            _ => 3_600_000_000_000_i64,
        };
        (T0_S * 1_000_000_000 + found[1].parse::<i64>().unwrap() * unit).to_string()
    });
    let trace = regex::Regex::new(r"\{\{tid:([0-9a-f]*)\}\}").unwrap();
    trace
        .replace_all(&text, format!("{T0_S:08x}${{1}}"))
        .into_owned()
}

/// What is left of all steps, an object for each item.
async fn run<K: ProcessorKind>(config: &str, steps: &Value) -> Vec<Value> {
    let source = Source::new("config.yaml", config, Origin::Document);
    let root = parse_yaml(&source).unwrap();
    let entries = root.at(&["processors"]).unwrap().entries();
    let mut built = Vec::new();
    let interner = context(Signal::Metrics).interner;
    for signal in Signal::ALL {
        let mut chain = Vec::new();
        for entry in entries {
            let node = &entry.value;
            let config = decode_and_validate::<K::Config>(node, "processors.it")
                .unwrap()
                .value;
            let mut cx = context(signal);
            cx.interner = interner.clone();
            cx.clock = Arc::new(ManualClock::at((T0_S as u64 + 600) * 1_000_000_000));
            let processor = K::build(config, cx, Arc::new(Nobody)).await;
            if let Ok(Processor::Transform(transform)) = processor {
                chain.push(transform);
            }
        }
        built.push((signal, chain));
    }
    let mut items = Vec::new();
    for step in steps
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["send"].is_string())
    {
        let signal = *Signal::ALL
            .iter()
            .find(|s| s.as_str() == step["send"])
            .unwrap();
        let (_, chain) = built.iter().find(|(of, _)| *of == signal).unwrap();
        assert!(!chain.is_empty(), "{signal}: no transform");
        let mut batch = batch(signal, &step["body"], &interner);
        let mut passes = |transform: &Arc<dyn weir_core::Transform>| {
            transform
                .apply(&mut batch)
                .is_ok_and(|flow| flow == Flow::Pass)
        };
        if chain.iter().all(&mut passes) {
            let json: Value = serde_json::from_slice(&batch.to_json()).unwrap();
            flatten(&json, &mut items);
        }
    }
    items
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn scope(scope: &Value) -> Value {
    let mut out = Map::new();
    for key in ["name", "version"] {
        if let Some(text) = scope[key].as_str().filter(|text| !text.is_empty()) {
            out.insert(key.to_owned(), json!(text));
        }
    }
    if !list(scope, "attributes").is_empty() {
        out.insert("attributes".to_owned(), plain(&scope["attributes"]));
    }
    out.into()
}

/// An object for each point, span or record, with its resource and scope.
fn flatten(request: &Value, items: &mut Vec<Value>) {
    for (resources, scopes, members) in [
        ("resourceMetrics", "scopeMetrics", "metrics"),
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ] {
        for by_resource in list(request, resources) {
            for by_scope in list(by_resource, scopes) {
                let head = json!({
                    "resource": plain(&by_resource["resource"]["attributes"]),
                    "scope": scope(&by_scope["scope"]),
                });
                for member in list(by_scope, members) {
                    match members {
                        "metrics" => points(&head, member, items),
                        "spans" => items.push(with(&head, "span", record(member))),
                        _ => items.push(with(&head, "record", record(member))),
                    }
                }
            }
        }
    }
}

fn with(head: &Value, key: &str, value: Value) -> Value {
    let mut item = head.clone();
    item[key] = value;
    item
}

fn points(head: &Value, metric: &Value, items: &mut Vec<Value>) {
    let kinds = [
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ];
    let kind = kinds
        .iter()
        .find(|kind| metric.get(kind).is_some())
        .unwrap();
    let mut head = with(head, "metric", metric["name"].clone());
    head["type"] = json!(kind);
    for key in ["unit", "description"] {
        if metric[key].as_str().is_some_and(|text| !text.is_empty()) {
            head[key] = metric[key].clone();
        }
    }
    for key in ["aggregationTemporality", "isMonotonic"] {
        if metric[kind]
            .get(key)
            .is_some_and(|value| *value != json!(false))
        {
            head[key] = metric[kind][key].clone();
        }
    }
    for point in list(&metric[kind], "dataPoints") {
        items.push(with(&head, "point", record(point)));
    }
}

/// Attributes as a plain object, instants relative to T0.
fn record(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in item.as_object().unwrap() {
        if let Some(name) = key.strip_suffix("UnixNano") {
            let ns: i64 = value.as_str().unwrap().parse().unwrap();
            let ms = Duration::from_nanos(ns.unsigned_abs()).as_millis() as i64 - T0_S * 1000;
            if ns != 0 {
                out.insert(name.to_owned(), json!(format!("T0{ms:+}ms")));
            }
        } else if key == "attributes" {
            out.insert(key.clone(), plain(value));
        } else if key == "body" {
            let body = plain(&json!([{"key": "body", "value": value}]));
            out.insert(key.clone(), body["body"].clone());
        } else if key == "traceId" {
            let id = value.as_str().unwrap();
            let seconds = i64::from_str_radix(&id[..8], 16).unwrap() - T0_S;
            out.insert(key.clone(), json!(format!("[T0{seconds:+}s]{}", &id[8..])));
        } else {
            out.insert(key.clone(), value.clone());
        }
    }
    out.into()
}

/// The common form of both sides: numbers as doubles, enums by name, nothing empty.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(entries) => {
            let mut out = Map::new();
            for (key, value) in entries {
                let value = match (key.as_str(), value) {
                    ("asInt" | "count" | "zeroCount", Value::String(text)) => {
                        json!(text.parse::<f64>().unwrap())
                    }
                    ("bucketCounts", Value::Array(counts)) => counts
                        .iter()
                        .map(|count| match count {
                            Value::String(text) => json!(text.parse::<f64>().unwrap()),
                            other => normal(other),
                        })
                        .collect(),
                    ("aggregationTemporality", Value::Number(number)) => {
                        let names = ["UNSPECIFIED", "DELTA", "CUMULATIVE"];
                        let name = names[number.as_u64().unwrap() as usize];
                        json!(format!("AGGREGATION_TEMPORALITY_{name}"))
                    }
                    ("kind" | "code" | "severityNumber", Value::Number(number)) => {
                        named(key, number.as_u64().unwrap() as usize)
                    }
                    _ => normal(value),
                };
                let empty = match &value {
                    Value::Object(entries) => entries.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    Value::Null => true,
                    _ => false,
                };
                let zero = [
                    "zeroCount",
                    "offset",
                    "scale",
                    "zeroThreshold",
                    "flags",
                    "severityNumber",
                ];
                let zero = zero.contains(&key.as_str()) && value == json!(0.0);
                if !empty && !zero {
                    out.insert(key.clone(), value);
                }
            }
            out.into()
        }
        other => other.clone(),
    }
}

/// The name of an enum's value; null for none.
fn named(key: &str, number: usize) -> Value {
    const KINDS: [&str; 6] = [
        "UNSPECIFIED",
        "INTERNAL",
        "SERVER",
        "CLIENT",
        "PRODUCER",
        "CONSUMER",
    ];
    match key {
        "kind" => json!(format!("SPAN_KIND_{}", KINDS[number])),
        "code" => json!(format!("STATUS_CODE_{}", ["UNSET", "OK", "ERROR"][number])),
        _ if number == 0 => Value::Null,
        _ => {
            let names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
            let (name, step) = (
                names[(number - 1) / 4],
                ["", "2", "3", "4"][(number - 1) % 4],
            );
            json!(format!("SEVERITY_NUMBER_{name}{step}"))
        }
    }
}
