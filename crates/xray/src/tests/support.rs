//! Spans from plain JSON, and their documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use serde_json::{Value as Json, json};
use weir_model::Traces;

use crate::body::{Body, Request};
use crate::segment::{Settings, Skipped, Translator};

/// The instant that placeholders are relative to, Unix seconds.
pub(super) const T0: i64 = 1_795_364_000;

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub requests: Vec<Request>,
    pub skipped: Vec<Skipped>,
    pub unprintable: u64,
}

impl Made {
    /// The documents as text.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for request in &self.requests {
            let body: Json = serde_json::from_slice(&request.bytes).expect("the body is JSON");
            let documents = body["TraceSegmentDocuments"].as_array().unwrap();
            assert_eq!(documents.len(), request.documents.len());
            texts.extend(documents.iter().map(|d| d.as_str().unwrap().to_owned()));
        }
        texts
    }
    /// The documents as JSON.
    pub(super) fn documents(&self) -> Vec<Json> {
        let texts = self.texts();
        texts
            .iter()
            .map(|text| serde_json::from_str(text).expect("a document is JSON"))
            .collect()
    }
}

/// Translates a batch.
pub(super) fn translate(traces: &Traces, settings: &Settings) -> Made {
    let mut body = Body::default();
    let mut made = Made::default();
    let mut translator = Translator::new(settings, T0);
    for span in traces.spans().enumerate() {
        let added = translator.add(span, &mut body, |body| {
            made.requests.extend(body.finish());
        });
        made.skipped.extend(added.err());
    }
    made.unprintable = translator.unprintable;
    made.requests.extend(body.finish());
    made
}

/// The only document of a batch of one span, attributes of span and resource given as JSON.
pub(super) fn document(span: Json, resource: &Json) -> Json {
    let mut documents = documents_with(&Settings::default(), span, resource);
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// The documents of a batch of one span. `span` has OTLP/JSON members, but plain attributes.
pub(super) fn documents_with(settings: &Settings, span: Json, resource: &Json) -> Vec<Json> {
    translate(&batch(vec![span], resource), settings).documents()
}

/// A batch of spans with plain attributes; ids and times have defaults.
pub(super) fn batch(spans: Vec<Json>, resource: &Json) -> Traces {
    let any = |v: &Json| match v {
        Json::Number(n) if n.is_f64() => json!({"doubleValue": n}),
        Json::Number(n) => json!({"intValue": n}),
        Json::Bool(b) => json!({"boolValue": b}),
        Json::String(s) => json!({"stringValue": s}),
        // OTLP's own form, for what plain JSON cannot say.
        Json::Object(_) => v.clone(),
        _ => json!({}),
    };
    let list = |attributes: &Json| -> Json {
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        let value = |v: &Json| match v {
            Json::Array(items) => {
                json!({"arrayValue": {"values": items.iter().map(any).collect::<Vec<_>>()}})
            }
            v => any(v),
        };
        attributes
            .iter()
            .map(|(k, v)| json!({"key": k, "value": value(v)}))
            .collect()
    };
    let spans: Vec<Json> = spans
        .into_iter()
        .map(|mut span| {
            let defaults = json!({
                "traceId": "6b0314a00123456789abcdef01234567", "spanId": "a1b2c3d4e5f60718",
                "startTimeUnixNano": "1795364000123456789", "endTimeUnixNano": "1795364000987654321",
            });
            for (key, value) in defaults.as_object().unwrap() {
                span.as_object_mut()
                    .unwrap()
                    .entry(key)
                    .or_insert(value.clone());
            }
            span["attributes"] = list(&span["attributes"]);
            for part in ["events", "links"] {
                for item in span[part].as_array_mut().into_iter().flatten() {
                    item["attributes"] = list(&item["attributes"]);
                }
            }
            span
        })
        .collect();
    traces(&json!({"resourceSpans": [{
        "resource": {"attributes": list(resource)}, "scopeSpans": [{"spans": spans}],
    }]}))
}

/// Reads an OTLP/JSON request.
fn traces(request: &Json) -> Traces {
    Traces::from_json(request.to_string().as_bytes(), &Arc::default()).expect("OTLP/JSON")
}
