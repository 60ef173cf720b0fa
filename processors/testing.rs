//! What the tests of several processors need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use serde::de::DeserializeOwned;
use weir_config::{Diagnostics, Origin, Source, Validate, decode_and_validate, parse_yaml};
use weir_core::{Batch, BuildCtx, ComponentId, ComponentKind, Flow, Signal, Transform};
use weir_model::{Interner, Logs, Metrics, Traces};

/// A configuration from YAML, or all that is wrong with it.
pub(crate) fn decode<T: DeserializeOwned + Validate>(yaml: &str) -> Result<T, String> {
    let source = Source::new("config.yaml", yaml, Origin::Document);
    let node = parse_yaml(&source).map_err(|error| error.to_string())?;
    decode_and_validate(&node, "processors.it")
        .map(|decoded| decoded.value)
        .map_err(|found| Diagnostics(found).to_string())
}

pub(crate) fn context(signal: Signal) -> BuildCtx {
    let id = ComponentId::parse("it").unwrap();
    BuildCtx::standalone(id, ComponentKind::Processor, Some(signal))
}

/// A batch of OTLP/JSON.
pub(crate) fn batch(signal: Signal, json: &serde_json::Value, interner: &Arc<Interner>) -> Batch {
    let json = json.to_string();
    let json = json.as_bytes();
    match signal {
        Signal::Traces => Batch::traces(Traces::from_json(json, interner).unwrap()),
        Signal::Metrics => Batch::metrics(Metrics::from_json(json, interner).unwrap()),
        Signal::Logs => Batch::logs(Logs::from_json(json, interner).unwrap()),
    }
}

/// What is left of a batch, as OTLP/JSON; null if it is dropped.
pub(crate) fn applied(transform: &dyn Transform, batch: &mut Batch) -> serde_json::Value {
    match transform.apply(batch).unwrap() {
        Flow::Pass => serde_json::from_slice(&batch.to_json()).unwrap(),
        Flow::Drop => serde_json::Value::Null,
    }
}

/// OTLP attributes from a plain JSON object.
pub(crate) fn attributes(plain: &serde_json::Value) -> serde_json::Value {
    let entries = plain.as_object().unwrap().iter();
    entries
        .map(|(key, value)| serde_json::json!({"key": key, "value": any_value(value)}))
        .collect()
}

fn any_value(plain: &serde_json::Value) -> serde_json::Value {
    use serde_json::{Value, json};
    match plain {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.iter().map(any_value).collect::<Vec<_>>()}})
        }
        Value::Object(_) => json!({"kvlistValue": {"values": attributes(plain)}}),
    }
}

/// A plain JSON object from OTLP attributes.
pub(crate) fn plain(attributes: &serde_json::Value) -> serde_json::Value {
    let entries = attributes.as_array().map_or(&[][..], Vec::as_slice).iter();
    let pair = |entry: &serde_json::Value| {
        (
            entry["key"].as_str().unwrap().to_owned(),
            plain_value(&entry["value"]),
        )
    };
    serde_json::Value::Object(entries.map(pair).collect())
}

fn plain_value(value: &serde_json::Value) -> serde_json::Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return serde_json::Value::Null;
    };
    match kind.as_str() {
        "intValue" => inner.as_str().unwrap().parse::<i64>().unwrap().into(),
        "arrayValue" => inner["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(plain_value)
            .collect(),
        "kvlistValue" => plain(&inner["values"]),
        _ => inner.clone(),
    }
}
