#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use weir_core::{Signal, Transform as _};

use super::*;
use crate::testing::{applied, attributes, batch, context, decode, plain};

/// Name, labels and value of every point, in order, after the processor; twice, the second time
/// from memory.
fn after(yaml: &str, metrics: &[Value]) -> Vec<(String, Value, f64)> {
    let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
    let cx = context(Signal::Metrics);
    let processor = MetricsTransform::new(&config, &cx).unwrap();
    let request = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    let run = || {
        let mut batch = batch(Signal::Metrics, &request, &cx.interner);
        points(&applied(&*processor, &mut batch))
    };
    let first = run();
    assert_eq!(run(), first);
    first
}

fn points(request: &Value) -> Vec<(String, Value, f64)> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut out = Vec::new();
    for resource in list(request, "resourceMetrics") {
        for scope in list(&resource, "scopeMetrics") {
            for metric in list(&scope, "metrics") {
                let name = metric["name"].as_str().unwrap().to_owned();
                for point in list(&metric["gauge"], "dataPoints") {
                    let int = point["asInt"].as_str().map(|text| text.parse().unwrap());
                    let value = int.or(point["asDouble"].as_f64()).unwrap();
                    out.push((name.clone(), plain(&point["attributes"]), value));
                }
            }
        }
    }
    out
}

fn gauge(name: &str, points: &[(Value, i64)]) -> Value {
    let point = |(labels, value): &(Value, i64)| {
        json!({"timeUnixNano": "1", "asInt": value.to_string(), "attributes": attributes(labels)})
    };
    json!({"name": name, "gauge": {"dataPoints": points.iter().map(point).collect::<Vec<_>>()}})
}

fn rows(expected: &[(&str, Value, f64)]) -> Vec<(String, Value, f64)> {
    expected.iter().map(|(name, labels, value)| ((*name).to_owned(), labels.clone(), *value)).collect()
}

#[tokio::test]
async fn metrics_become_those_of_the_reference() {
    crate::golden::cases::<Kind>("metricstransform").await;
}

#[test]
fn what_would_tear_a_metric_apart_is_left_out() {
    let yaml = "transforms: [{include: a, experimental_match_labels: {x: '1'}, action: update, \
                new_name: b, operations: [{action: experimental_scale_value, experimental_scale: 10}, \
                {action: add_label, new_label: n, new_value: v}, \
                {action: update_label, label: x, new_label: y}]}]\n";
    let some = gauge("a", &[(json!({"x": "1"}), 1), (json!({"x": "2"}), 2)]);
    let expected = [("a", json!({"y": "1"}), 10.0), ("a", json!({"x": "2"}), 2.0)];
    assert_eq!(after(yaml, &[some]), rows(&expected));
    let all = gauge("a", &[(json!({"x": "1"}), 1)]);
    assert_eq!(after(yaml, &[all]), rows(&[("b", json!({"n": "v", "y": "1"}), 10.0)]));
}

#[test]
fn an_absent_label_is_asked_for_as_an_empty_one() {
    let yaml = "transforms: [{include: a, match_type: strict, experimental_match_labels: {x: ''}, \
                action: insert, new_name: b}]\n";
    let some = gauge("a", &[(json!({"x": "1"}), 1), (json!({}), 2)]);
    let expected =
        [("a", json!({"x": "1"}), 1.0), ("a", json!({}), 2.0), ("b", json!({}), 2.0)];
    assert_eq!(after(yaml, &[some]), rows(&expected));
}

#[test]
fn groups_of_the_expression_become_labels() {
    let yaml = "transforms: [{include: '^e\\.(?P<n>.*)\\.(.*)$', match_type: regexp, action: combine, \
                new_name: all, aggregation_type: sum, submatch_case: upper}]\n";
    let metrics = ["e.a.x", "e.b.x", "e.A.x"].map(|name| gauge(name, &[(json!({}), 2)]));
    let expected = [
        ("all", json!({"$2": "X", "n": "A"}), 4.0),
        ("all", json!({"$2": "X", "n": "B"}), 2.0),
    ];
    assert_eq!(after(yaml, &metrics), rows(&expected));
}

#[test]
fn grouped_metrics_move_to_a_resource_of_their_own() {
    let yaml = "transforms: [{include: '^g', match_type: regexp, action: group, \
                group_resource_labels: {type: new}}]\n";
    let config: Config = decode(yaml).unwrap();
    let cx = context(Signal::Metrics);
    let processor = MetricsTransform::new(&config, &cx).unwrap();
    let metrics = json!([gauge("g1", &[(json!({}), 1)]), gauge("h", &[(json!({}), 2)])]);
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(&json!({"host": "h1"}))},
        "scopeMetrics": [{"metrics": metrics}]}]});
    let mut batch = batch(Signal::Metrics, &request, &cx.interner);
    let got = applied(&*processor, &mut batch);
    let got: Vec<_> = got["resourceMetrics"].as_array().unwrap().iter().map(|resource| {
        let name = resource["scopeMetrics"][0]["metrics"][0]["name"].as_str().unwrap().to_owned();
        (plain(&resource["resource"]["attributes"]), name)
    }).collect();
    let expected = [
        (json!({"host": "h1"}), "h".to_owned()),
        (json!({"host": "h1", "type": "new"}), "g1".to_owned()),
    ];
    assert_eq!(got, expected);
}

#[test]
fn numbers_change_type_and_size() {
    let yaml = "transforms: [{include: a, action: update, operations: [\
                {action: toggle_scalar_data_type}, {action: experimental_scale_value, experimental_scale: 0.5}]}, \
                {include: a, action: insert, new_name: b, operations: [{action: toggle_scalar_data_type}]}]\n";
    let expected = [("a", json!({}), 1.5), ("b", json!({}), 1.0)];
    assert_eq!(after(yaml, &[gauge("a", &[(json!({}), 3)])]), rows(&expected));
}

#[test]
fn transforms_see_what_those_before_them_made() {
    let yaml = "transforms: [{include: a, action: update, new_name: b}, \
                {metric_name: b, action: update, operations: [\
                {action: add_label, new_label: v, new_value: 'is {{version}}'}]}]\n";
    let version = format!("is {}", context(Signal::Metrics).build_info.version);
    let expected = [("b", json!({"v": version}), 3.0)];
    assert_eq!(after(yaml, &[gauge("a", &[(json!({}), 3)])]), rows(&expected));
}

#[test]
fn a_batch_that_no_transform_asks_for_keeps_its_bytes_and_an_emptied_one_ends() {
    let yaml = "transforms: [{include: a, action: update, operations: [\
                {action: delete_label_value, label: x, label_value: '1'}]}]\n";
    let config: Config = decode(yaml).unwrap();
    let cx = context(Signal::Metrics);
    let processor = MetricsTransform::new(&config, &cx).unwrap();
    let request = |name: &str| {
        let metrics = json!([gauge(name, &[(json!({"x": "1"}), 1)])]);
        json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
    };
    let mut other = batch(Signal::Metrics, &request("b"), &cx.interner);
    assert_eq!(processor.apply(&mut other).unwrap(), Flow::Pass);
    assert!(other.wire_chunks().is_some());
    let mut emptied = batch(Signal::Metrics, &request("a"), &cx.interner);
    assert_eq!(processor.apply(&mut emptied).unwrap(), Flow::Drop);
}

#[test]
fn a_wrong_configuration_names_place_and_cure() {
    for (yaml, wanted) in [
        ("transforms: [{action: update}]", "transforms[0].include"),
        ("transforms: [{include: a}]", "write update, insert, combine or group"),
        ("transforms: [{include: a, action: insert}]", "transforms[0].new_name"),
        ("transforms: [{include: a, action: group}]", "group_resource_labels"),
        ("transforms: [{include: '(', match_type: regexp, action: update}]", "not a regular expression"),
        ("transforms: [{include: a, action: update, operations: [{action: add_label, new_label: x}]}]", "transforms[0].operations[0].new_value"),
        ("transforms: [{include: a, action: update, operations: [{action: wrong}]}]", "wrong"),
        ("transforms: [{include: a, action: update, operations: [{action: experimental_scale_value}]}]", "experimental_scale"),
    ] {
        let error = decode::<Config>(yaml).unwrap_err();
        assert!(error.contains(wanted), "{yaml}: {error}");
    }
}
