#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use weir_core::Signal;

use super::{Config, Generation, Kind, MATCH_GATE};
use crate::testing::{applied, batch, context, decode};

#[tokio::test]
async fn generated_metrics_equal_those_of_the_reference() {
    crate::golden::cases::<Kind>("metricsgeneration").await;
}

#[test]
fn wrong_rules_are_errors_at_their_keys() {
    for (rule, error) in [
        ("{type: scale, metric1: a, scale_by: 2, operation: add}", "rules[0].name"),
        ("{name: n, metric1: a, operation: add}", "rules[0].type"),
        ("{name: n, type: x, metric1: a, operation: add}", "unknown type `x`"),
        ("{name: n, type: scale, scale_by: 2, operation: add}", "rules[0].metric1"),
        ("{name: n, type: calculate, metric1: a, operation: add}", "rules[0].metric2"),
        ("{name: n, type: scale, metric1: a, operation: add}", "rules[0].scale_by"),
        ("{name: n, type: scale, metric1: a, scale_by: 2, operation: x}", "unknown operation `x`"),
    ] {
        let found = decode::<Config>(&format!("rules: [{rule}]")).unwrap_err();
        assert!(found.contains(error), "{found} instead of {error}");
    }
}

fn generated(processor: &Generation, metrics: &Value, cx: &weir_core::BuildCtx) -> Vec<Value> {
    let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    let mut batch = batch(Signal::Metrics, &body, &cx.interner);
    let out = applied(processor, &mut batch);
    let metrics = out["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().clone();
    metrics.into_iter().filter(|metric| metric["name"] == "new").collect()
}

fn point(k: &str, value: i64) -> Value {
    json!({"asInt": value.to_string(), "timeUnixNano": "5", "attributes": [{"key": "k", "value": {"stringValue": k}}]})
}

#[test]
fn operands_are_the_first_point_or_those_of_equal_attributes() {
    let rule = "rules: [{name: new, unit: '%', type: calculate, metric1: a, metric2: b, operation: percent}]";
    let metrics = json!([
        {"name": "a", "gauge": {"dataPoints": [point("x", 10), point("y", 30)]}},
        {"name": "b", "gauge": {"dataPoints": [point("y", 60), point("x", 20)]}},
    ]);
    let values = |found: &[Value]| -> Vec<f64> {
        let points = found[0]["gauge"]["dataPoints"].as_array().unwrap();
        points.iter().map(|point| point["asDouble"].as_f64().unwrap()).collect()
    };
    let mut cx = context(Signal::Metrics);
    let found = generated(&Generation::new(decode(rule).unwrap(), &cx), &metrics, &cx);
    assert_eq!(found[0]["unit"], "%");
    assert_eq!(values(&found), [10.0 / 60.0 * 100.0, 50.0]);
    cx.gates = [(MATCH_GATE, true)].into_iter().collect();
    let found = generated(&Generation::new(decode(rule).unwrap(), &cx), &metrics, &cx);
    assert_eq!(values(&found), [50.0, 50.0]);
}

#[test]
fn a_scaled_sum_stays_a_sum_and_divisions_by_zero_are_counted() {
    let cx = context(Signal::Metrics);
    let metrics = json!([
        {"name": "a", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point("x", 10)]}},
        {"name": "z", "gauge": {"dataPoints": [point("x", 0)]}},
    ]);
    let rule = "rules: [{name: new, type: scale, metric1: a, scale_by: 4, operation: divide}]";
    let found = generated(&Generation::new(decode(rule).unwrap(), &cx), &metrics, &cx);
    assert_eq!(found[0]["sum"]["dataPoints"][0]["asDouble"].as_f64(), Some(2.5));
    assert_eq!(found[0]["sum"]["isMonotonic"], true);
    let rule = "rules: [{name: new, type: calculate, metric1: a, metric2: z, operation: divide}]";
    assert!(generated(&Generation::new(decode(rule).unwrap(), &cx), &metrics, &cx).is_empty());
    assert_eq!(cx.telemetry.total("weir_processor_metricsgeneration_left_out"), 1.0);
}
