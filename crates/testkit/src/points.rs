//! Data points in the flat form of the conformance kit's `expected.json`, for golden files.

use serde_json::{Map, Value, json};
use weir_core::Batch;

/// Types of metrics, as OTLP/JSON names them.
const TYPES: [&str; 5] = [
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
];

/// The points of metrics batches: one object a point with its metric, resource and scope, sorted by
/// their text. `time` writes instants, given as Unix nanoseconds. The version of a scope becomes
/// `<version>`.
pub fn flat_points(batches: &[Batch], time: impl Fn(u64) -> Value) -> Vec<Value> {
    let mut points = Vec::new();
    for batch in batches {
        let request: Value = serde_json::from_slice(&batch.to_json()).unwrap_or_default();
        for block in list(&request, "resourceMetrics") {
            let resource = attributes(&block["resource"]["attributes"]);
            for scope in list(block, "scopeMetrics") {
                for metric in list(scope, "metrics") {
                    let mut head = head(metric, scope);
                    head.insert("resource".into(), resource.clone());
                    let data = TYPES.iter().find(|name| metric.get(*name).is_some());
                    let Some(name) = data else { continue };
                    for point in list(&metric[*name], "dataPoints") {
                        let mut flat = head.clone();
                        flat.insert("point".into(), flat_point(point, &time));
                        points.push(Value::Object(flat));
                    }
                }
            }
        }
    }
    points.sort_by_cached_key(Value::to_string);
    points
}

/// Whether two JSON values are equal, numbers by value within one in 10^9.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let equal =
                |(key, value): (&String, &Value)| b.get(key).is_some_and(|b| same(value, b));
            a.len() == b.len() && a.iter().all(equal)
        }
        _ => a == b,
    }
}

/// What of the expected points is missing among the found ones, and what is found beyond them.
pub fn difference(expected: &[Value], found: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let mut left = found.to_vec();
    let mut missing = Vec::new();
    for point in expected {
        match left.iter().position(|other| same(point, other)) {
            Some(at) => drop(left.swap_remove(at)),
            None => missing.push(point.clone()),
        }
    }
    (missing, left)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn head(metric: &Value, scope: &Value) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("metric".into(), metric["name"].clone());
    for key in ["unit", "description"] {
        if let Some(text) = metric.get(key).filter(|text| **text != "") {
            head.insert(key.into(), text.clone());
        }
    }
    let name = &scope["scope"]["name"];
    let scope = match name.as_str() {
        Some(name) if !name.is_empty() => json!({"name": name, "version": "<version>"}),
        _ => json!({}),
    };
    head.insert("scope".into(), scope);
    let Some(kind) = TYPES.iter().find(|name| metric.get(*name).is_some()) else {
        return head;
    };
    head.insert("type".into(), json!(kind));
    match metric[*kind]["aggregationTemporality"].as_u64() {
        Some(1) => head.insert(
            "aggregationTemporality".into(),
            json!("AGGREGATION_TEMPORALITY_DELTA"),
        ),
        Some(2) => head.insert(
            "aggregationTemporality".into(),
            json!("AGGREGATION_TEMPORALITY_CUMULATIVE"),
        ),
        _ => None,
    };
    if metric[*kind]["isMonotonic"] == true {
        head.insert("isMonotonic".into(), json!(true));
    }
    head
}

fn attributes(list: &Value) -> Value {
    let pairs = list.as_array().into_iter().flatten().map(|pair| {
        let value = match pair["value"]
            .as_object()
            .and_then(|value| value.iter().next())
        {
            Some((kind, value)) if kind == "intValue" => integer(value),
            Some((_, value)) => value.clone(),
            None => Value::Null,
        };
        (pair["key"].as_str().unwrap_or_default().to_owned(), value)
    });
    Value::Object(pairs.collect())
}

/// OTLP/JSON writes 64-bit integers as text.
fn integer(value: &Value) -> Value {
    let number: Option<i64> = value.as_str().and_then(|text| text.parse().ok());
    number.map_or_else(|| value.clone(), Value::from)
}

fn flat_point(point: &Value, time: &impl Fn(u64) -> Value) -> Value {
    let mut flat = Map::new();
    for (key, value) in point.as_object().into_iter().flatten() {
        let empty = value.as_array().is_some_and(Vec::is_empty);
        match key.as_str() {
            "attributes" if !empty => {
                flat.insert(key.clone(), attributes(value));
            }
            "timeUnixNano" | "startTimeUnixNano" => {
                let ns = integer(value).as_u64().unwrap_or_default();
                if ns > 0 {
                    flat.insert(key.trim_end_matches("UnixNano").into(), time(ns));
                }
            }
            "asInt" | "count" => {
                flat.insert(key.clone(), integer(value));
            }
            "zeroCount" if integer(value) != json!(0) => {
                flat.insert(key.clone(), integer(value));
            }
            "zeroCount" | "attributes" | "exemplars" if empty || key == "zeroCount" => {}
            "flags" | "zeroThreshold" if value.as_f64() == Some(0.0) => {}
            "bucketCounts" => {
                flat.insert(key.clone(), integers(value));
            }
            "positive" | "negative" => {
                let mut side = Map::new();
                if let Some(offset) = value.get("offset").filter(|offset| **offset != json!(0)) {
                    side.insert("offset".into(), offset.clone());
                }
                if let Some(counts) = value.get("bucketCounts") {
                    side.insert("bucketCounts".into(), integers(counts));
                }
                if !side.is_empty() {
                    flat.insert(key.clone(), Value::Object(side));
                }
            }
            "quantileValues" => {
                let without_zeros = |pair: &Value| {
                    let pair = pair.as_object().into_iter().flatten();
                    let told = pair.filter(|(_, value)| value.as_f64() != Some(0.0));
                    Value::Object(told.map(|(k, v)| (k.clone(), v.clone())).collect())
                };
                let pairs = value.as_array().into_iter().flatten();
                flat.insert(key.clone(), pairs.map(without_zeros).collect());
            }
            _ => {
                flat.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(flat)
}

fn integers(list: &Value) -> Value {
    list.as_array().into_iter().flatten().map(integer).collect()
}
