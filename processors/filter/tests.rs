#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::testing::{applied, attributes, batch, context, decode};

fn filter(yaml: &str, signal: Signal) -> Filter {
    let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
    Filter::new(&config, &context(signal))
}

/// Metrics with a point for each of the labels, by name.
fn metrics(list: &[(&str, &[Value])]) -> Value {
    let point = |labels: &Value| json!({"timeUnixNano": "1", "asInt": "1", "attributes": attributes(labels)});
    let metric = |(name, labels): &(&str, &[Value])| {
        json!({"name": name, "gauge": {"dataPoints": labels.iter().map(point).collect::<Vec<_>>()}})
    };
    let metrics: Vec<Value> = list.iter().map(metric).collect();
    json!({"resourceMetrics": [{"resource": {"attributes": attributes(&json!({"env": "prod"}))},
        "scopeMetrics": [{"scope": {"name": "lib"}, "metrics": metrics}]}]})
}

/// Names of the metrics that are left, with the number of their points; twice, the second time
/// from memory.
fn left(yaml: &str, request: &Value) -> Vec<(String, usize)> {
    let filter = filter(yaml, Signal::Metrics);
    let run = || {
        let after = applied(&filter, &mut batch(Signal::Metrics, request, &filter.cx.interner));
        let metrics = after["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().cloned();
        let metrics = metrics.unwrap_or_default().into_iter().map(|metric| {
            let points = metric["gauge"]["dataPoints"].as_array().unwrap().len();
            (metric["name"].as_str().unwrap().to_owned(), points)
        });
        metrics.collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(run(), first);
    first
}

fn names(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(name, points)| ((*name).to_owned(), *points)).collect()
}

#[tokio::test]
async fn what_is_left_is_what_the_reference_leaves() {
    crate::golden::cases::<Kind>("filter").await;
}

#[test]
fn older_forms_choose_metrics() {
    let request = metrics(&[
        ("a", &[json!({"k": "v"}), json!({"k": "w"})]),
        ("ab", &[json!({"k": "w"})]),
        ("c", &[json!({"j": "v"})]),
    ]);
    for (form, expected) in [
        ("include: {match_type: strict, metric_names: [a, c]}", &[("a", 2), ("c", 1)][..]),
        ("include: {match_type: regexp, metric_names: [a]}", &[("a", 2), ("ab", 1)]),
        ("exclude: {match_type: regexp, metric_names: ['^a$', c]}", &[("ab", 1)]),
        ("include: {match_type: strict, metric_names: [a], resource_attributes: [{key: env, value: dev}]}", &[]),
        ("include: {match_type: strict, resource_attributes: [{key: env, value: prod}]}", &[("a", 2), ("ab", 1), ("c", 1)]),
        ("exclude: {match_type: strict, metric_names: [x], resource_attributes: [{key: env, value: prod}]}", &[]),
        ("include: {match_type: expr, expressions: ['Label(\"k\") == \"v\"']}", &[("a", 2)]),
        ("exclude: {match_type: expr, expressions: ['MetricName == \"a\" || HasLabel(\"j\")']}", &[("ab", 1)]),
        ("include: {match_type: expr, expressions: ['MetricName matches \"^a\" && not (Label(\"k\") in [\"x\"])']}", &[("a", 2), ("ab", 1)]),
        ("exclude: {match_type: expr, expressions: ['MetricName startsWith \"a\" and !HasLabel(\"none\")']}", &[("c", 1)]),
    ] {
        assert_eq!(left(&format!("metrics: {{{form}}}\n"), &request), names(expected), "{form}");
    }
}

#[test]
fn conditions_see_all_points_of_a_metric() {
    let request = metrics(&[("a", &[json!({"k": "v"}), json!({})]), ("b", &[json!({"k": "w"})])]);
    for (conditions, expected) in [
        ("metric: ['HasAttrKeyOnDatapoint(\"k\")']", &[][..]),
        ("metric: ['HasAttrOnDatapoint(\"k\", \"v\")']", &[("b", 1)]),
        ("metric: ['name == \"a\" and not HasAttrKeyOnDatapoint(\"j\")']", &[("b", 1)]),
        ("datapoint: ['attributes[\"k\"] == nil']", &[("a", 1), ("b", 1)]),
        ("datapoint: ['attributes[\"k\"] != nil and value_int == 1']", &[("a", 1)]),
        ("resource: ['attributes[\"env\"] == \"prod\"']", &[]),
        ("metric: ['instrumentation_scope.name == \"lib\" and type == METRIC_DATA_TYPE_SUM']", &[("a", 2), ("b", 1)]),
    ] {
        let yaml = format!("metrics: {{{}}}\n", conditions.replace("{", "{{"));
        assert_eq!(left(&yaml, &request), names(expected), "{conditions}");
    }
    let flat = "metric_conditions: ['metric.name == \"b\"', {conditions: ['datapoint.attributes[\"k\"] == nil']}, \
                {context: metric, conditions: ['name == \"none\"']}]\n";
    assert_eq!(left(flat, &request), names(&[("a", 1)]));
}

#[test]
fn a_failing_condition_does_what_error_mode_says() {
    let request = metrics(&[("a", &[json!({"k": "v"})])]);
    let run = |mode: &str| {
        let yaml = format!("{mode}metrics: {{datapoint: ['ParseJSON(attributes[\"k\"]) == nil', 'value_int == 1']}}\n");
        let filter = filter(&yaml, Signal::Metrics);
        let results = [(); 2].map(|()| {
            let mut batch = batch(Signal::Metrics, &request, &filter.cx.interner);
            filter.apply(&mut batch)
        });
        (results, filter.failed.get(), filter.dropped.get())
    };
    let dropped = [Ok(Flow::Drop), Ok(Flow::Drop)];
    assert_eq!(run("error_mode: silent\n").0, dropped);
    assert_eq!(run(""), (dropped, 1, 2), "asked once per series");
    let (results, failed, dropped) = run("error_mode: propagate\n");
    assert_eq!((failed, dropped), (2, 0));
    for result in results {
        let reject = result.unwrap_err();
        assert!(reject.is_retryable() && reject.to_string().contains("ParseJSON"), "{reject}");
    }
}

#[test]
fn a_batch_of_which_nothing_is_dropped_keeps_its_bytes() {
    let span = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "s"}]}]}]});
    let record = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "s"}]}]}]});
    let point = metrics(&[("a", &[json!({})])]);
    for (signal, request) in
        [(Signal::Traces, span), (Signal::Logs, record), (Signal::Metrics, point)]
    {
        let filter = filter(
            "traces: {span: ['name == \"x\"']}\nlogs: {log_record: ['body == \"x\"']}\nmetrics: {datapoint: ['value_int == 9']}\n",
            signal,
        );
        let mut batch = batch(signal, &request, &filter.cx.interner);
        assert_eq!(filter.apply(&mut batch).unwrap(), Flow::Pass);
        assert!(batch.wire_chunks().is_some(), "{signal}");
    }
}

#[test]
fn a_wrong_configuration_names_place_and_cure() {
    for (yaml, wanted) in [
        ("metrics: {metric: ['name == == nonsense']}", &["metrics.metric[0]", "nonsense", "character 9"][..]),
        ("metrics: {metric: ['name == \"x\"'], include: {match_type: strict, metric_names: [a]}}", &["metrics", "keep either"]),
        ("spans: {include: {match_type: strict, services: [a]}}\ntraces: {span: ['name == \"x\"']}", &["spans", "keep either"]),
        ("metrics: {metric: ['name == \"x\"']}\nmetric_conditions: ['metric.name == \"x\"']", &["metric_conditions"]),
        ("trace_conditions: ['name == \"x\"']", &["trace_conditions[0]", "span.name"]),
        ("trace_conditions: [{context: metric, conditions: ['name == \"x\"']}]", &["trace_conditions[0].context"]),
        ("metrics: {include: {match_type: expr, expressions: ['Nope == 1']}}", &["metrics.include.expressions[0]", "MetricName"]),
        ("metrics: {include: {match_type: regexp, metric_names: ['(']}}", &["metrics.include.metric_names[0]"]),
        ("metrics: {exclude: {metric_names: [a]}}", &["metrics.exclude", "match_type"]),
        ("logs: {include: {match_type: strict, severity_number: {min: LOUD}}}", &["logs.include.severity_number.min", "ERROR"]),
        ("traces: {spanevent: ['name == \"x\"']}", &["traces.spanevent", "not offered"]),
        ("error_mode: loud", &["error_mode"]),
    ] {
        let error = decode::<Config>(yaml).unwrap_err();
        for word in wanted {
            assert!(error.contains(word), "{yaml}: {word}: {error}");
        }
    }
}
