#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::testing::{applied, attributes, batch, context, decode, plain};

fn processor(yaml: &str, signal: Signal) -> (AttributesProcessor, Arc<Interner>) {
    let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
    let cx = context(signal);
    let interner = cx.interner.clone();
    (AttributesProcessor::new(&config, &cx).unwrap(), interner)
}

fn metrics(points: &[(&str, Value)]) -> Value {
    let metric = |(name, labels): &(&str, Value)| {
        json!({"name": name, "gauge": {"dataPoints": [
            {"timeUnixNano": "1", "asInt": "1", "attributes": attributes(labels)}]}})
    };
    let metrics: Vec<Value> = points.iter().map(metric).collect();
    json!({"resourceMetrics": [{"resource": {"attributes": attributes(&json!({"env": "prod"}))},
        "scopeMetrics": [{"metrics": metrics}]}]})
}

/// Names and labels of the points, in order.
fn labels(request: &Value) -> Vec<(String, Value)> {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let points = metrics.iter().flat_map(|metric| {
        let points = metric["gauge"]["dataPoints"].as_array().unwrap();
        let name = metric["name"].as_str().unwrap();
        points.iter().map(move |point| (name.to_owned(), plain(&point["attributes"])))
    });
    points.collect()
}

#[test]
fn labels_of_chosen_metrics_change_and_others_stay() {
    let yaml = r"
include: {match_type: regexp, metric_names: ['^http\.']}
exclude: {match_type: strict, metric_names: [http.b]}
actions:
  - {key: hit, value: true, action: insert}
  - {key: x, action: delete}
";
    let (processor, interner) = processor(yaml, Signal::Metrics);
    let request = metrics(&[
        ("http.a", json!({"x": 1, "y": 2})),
        ("http.b", json!({"x": 1})),
        ("e.http", json!({})),
    ]);
    // Twice: the second time from memory.
    for _ in 0..2 {
        let mut batch = batch(Signal::Metrics, &request, &interner);
        let after = applied(&processor, &mut batch);
        assert_eq!(
            labels(&after),
            [
                ("http.a".to_owned(), json!({"hit": true, "y": 2})),
                ("http.b".to_owned(), json!({"x": 1})),
                ("e.http".to_owned(), json!({})),
            ]
        );
    }
}

#[test]
fn a_batch_that_nothing_changes_in_keeps_its_bytes() {
    let yaml = "actions: [{key: x, action: delete}, {key: y, value: 2, action: upsert}]\n";
    let label = json!({"y": 2});
    for (signal, request) in [
        (Signal::Metrics, metrics(&[("m", label.clone())])),
        (
            Signal::Traces,
            json!({"resourceSpans": [{"scopeSpans": [{"spans": [
                {"name": "s", "attributes": attributes(&label)}]}]}]}),
        ),
        (
            Signal::Logs,
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
                {"attributes": attributes(&label)}]}]}]}),
        ),
    ] {
        let (processor, interner) = processor(yaml, signal);
        let mut batch = batch(signal, &request, &interner);
        processor.apply(&mut batch).unwrap();
        assert!(batch.wire_chunks().is_some(), "{signal}");
    }
}

#[test]
fn spans_and_records_change_where_they_are_selected() {
    let yaml = "include: {match_type: strict, span_names: [keep]}\n\
                actions: [{key: x, action: delete}, {pattern: '^k', action: delete}]\n";
    let (processor, interner) = processor(yaml, Signal::Traces);
    let span = |name: &str| json!({"name": name, "attributes": attributes(&json!({"x": 1, "k1": 2, "y": 3}))});
    let request =
        json!({"resourceSpans": [{"scopeSpans": [{"spans": [span("keep"), span("other")]}]}]});
    let after = applied(&processor, &mut batch(Signal::Traces, &request, &interner));
    let spans = &after["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(plain(&spans[0]["attributes"]), json!({"y": 3}));
    assert_eq!(plain(&spans[1]["attributes"]), json!({"x": 1, "k1": 2, "y": 3}));

    let yaml = "include: {match_type: strict, log_bodies: [boom]}\n\
                actions: [{key: hit, value: 1, action: insert}]\n";
    let (processor, interner) = self::processor(yaml, Signal::Logs);
    let record = |body: &str| json!({"body": {"stringValue": body}});
    let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record("boom"), record("x")]}]}]});
    let after = applied(&processor, &mut batch(Signal::Logs, &request, &interner));
    let records = &after["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    assert_eq!(plain(&records[0]["attributes"]), json!({"hit": 1}));
    assert_eq!(plain(&records[1]["attributes"]), json!({}));
}

#[test]
fn what_comes_from_the_sender_is_not_remembered_for_the_next() {
    let yaml = "actions: [{key: tenant, from_context: metadata.tenant, action: upsert}]\n";
    let (processor, interner) = processor(yaml, Signal::Metrics);
    let request = metrics(&[("m", json!({})), ("m", json!({"a": 1}))]);
    for tenant in ["one", "two", "one"] {
        let mut batch = batch(Signal::Metrics, &request, &interner);
        let headers = vec![("tenant".to_owned(), tenant.to_owned())];
        batch.client = Some(Arc::new(ClientMetadata { headers, address: None }));
        let after = labels(&applied(&processor, &mut batch));
        assert_eq!(
            after,
            [
                ("m".to_owned(), json!({"tenant": tenant})),
                ("m".to_owned(), json!({"a": 1, "tenant": tenant})),
            ]
        );
    }
}
