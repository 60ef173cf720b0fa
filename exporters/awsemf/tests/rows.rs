//! Rows of the reference's behaviour that no golden case singles out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value as Json, json};
use weir_model::{
    Buckets, ExponentialHistogram, Histogram, MetricKind, Metrics, Point, PointValue, Summary,
    Temporality,
};

use super::super::config::{Config, MetricDeclaration};
use super::super::default_stream;
use super::golden::NOW_MS;
use super::state::{Harness, Spec};

const CUMULATIVE: MetricKind = MetricKind::Sum {
    temporality: Temporality::Cumulative,
    monotonic: true,
};

fn config() -> Config {
    Config {
        dimension_rollup_option: "NoDimensionRollup".into(),
        ..Config::default()
    }
}

fn summary(count: u64, sum: f64, quantiles: &[(f64, f64)]) -> PointValue {
    PointValue::Summary(Box::new(Summary {
        count,
        sum,
        quantiles: quantiles.to_vec(),
    }))
}

fn histogram(sum: f64, min: Option<f64>, max: Option<f64>) -> PointValue {
    PointValue::Histogram(Box::new(Histogram {
        count: 3,
        sum: Some(sum),
        min,
        max,
        ..Histogram::default()
    }))
}

/// A point of metric `m` with a value of any type.
fn point(harness: &Harness, kind: MetricKind, value: PointValue) -> Point {
    let spec = Spec {
        kind,
        ..Spec::default()
    };
    let mut point = spec.point(&harness.interner);
    point.value = value;
    point
}

/// Values of `m` in the events of a batch.
fn values(events: &[Json]) -> Vec<Json> {
    let value = |event: &Json| event["body"].get("m").cloned();
    events.iter().filter_map(value).collect()
}

#[test]
fn group_and_stream_have_defaults() {
    let mut harness = Harness::new(Config {
        namespace: "Shop/{TaskId}".to_owned(),
        ..config()
    });
    let first = harness.send(&[Spec::default()]);
    let second = harness.send(&[Spec::default()]);
    assert_eq!(first[0]["group"], "/metrics/Shop/{TaskId}");
    assert_eq!(first[0]["stream"], second[0]["stream"]);
    let (one, other) = (default_stream(), default_stream());
    let id = one.strip_prefix("otel-stream-").unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok() && one != other);
}

#[test]
fn points_of_any_type_with_a_number_that_json_lacks_are_left_out() {
    let temporality = Temporality::Delta;
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut harness = Harness::new(config());
        let exponential = |sum, min| {
            PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
                sum,
                min,
                positive: Some(Buckets {
                    offset: 0,
                    counts: vec![1],
                }),
                ..ExponentialHistogram::default()
            }))
        };
        let exp = MetricKind::ExponentialHistogram { temporality };
        let hist = MetricKind::Histogram { temporality };
        let points = vec![
            point(&harness, MetricKind::Gauge, PointValue::Double(odd)),
            point(&harness, CUMULATIVE, PointValue::Double(odd)),
            point(&harness, hist, histogram(odd, None, None)),
            point(&harness, hist, histogram(1.0, Some(odd), None)),
            point(&harness, hist, histogram(1.0, None, Some(odd))),
            point(&harness, exp, exponential(Some(odd), None)),
            point(&harness, exp, exponential(None, Some(odd))),
            point(&harness, MetricKind::Summary, summary(1, odd, &[])),
            point(&harness, MetricKind::Summary, summary(1, 1.0, &[(0.5, odd)])),
            point(&harness, MetricKind::Summary, summary(1, 1.0, &[(odd, 1.0)])),
        ];
        let count = points.len() as u64;
        let batch = Metrics::from_points(points);
        let output = harness
            .translator
            .translate(&batch, NOW_MS as u64 * 1_000_000);
        assert_eq!(output.counts.not_finite, count, "{odd}");
        assert!(output.requests.is_empty());
    }
    // What was left out did not touch the base of its stream.
    let mut harness = Harness::new(config());
    let mut sent = |value| {
        let point = point(&harness, CUMULATIVE, PointValue::Double(value));
        values(&harness.send_points(vec![point]))
    };
    assert!(sent(10.0).is_empty() && sent(f64::NAN).is_empty());
    assert_eq!(sent(12.0), [json!(2)]);
}

#[test]
fn only_cumulative_sums_become_differences() {
    for temporality in [Temporality::Delta, Temporality::Unspecified] {
        let kind = MetricKind::Sum {
            temporality,
            monotonic: true,
        };
        let mut harness = Harness::new(config());
        for value in [10.0, 15.0, 12.0] {
            let point = point(&harness, kind, PointValue::Double(value));
            assert_eq!(values(&harness.send_points(vec![point])), [json!(value as i64)]);
        }
    }
    let mut harness = Harness::new(config());
    let kind = MetricKind::Histogram {
        temporality: Temporality::Cumulative,
    };
    for _ in 0..2 {
        let point = point(&harness, kind, histogram(6.5, None, Some(4.0)));
        assert_eq!(
            values(&harness.send_points(vec![point])),
            [json!({"Max": 4, "Min": 0, "Count": 3, "Sum": 6.5})]
        );
    }
}

#[test]
fn the_first_value_of_a_stream_is_sent_if_asked_for() {
    let mut harness = Harness::new(Config {
        retain_initial_value_of_delta_metric: true,
        ..config()
    });
    let scraped = Spec {
        resource: &[("receiver", "prometheus")],
        kind: MetricKind::Summary,
        name: "s",
        ..Spec::default()
    };
    for (value, expected) in [(10.0, 10), (15.0, 5), (15.0, 0), (4.0, 4)] {
        let sum = point(&harness, CUMULATIVE, PointValue::Double(value));
        let mut total = scraped.point(&harness.interner);
        total.value = summary(value as u64, value, &[]);
        let found = harness.send_points(vec![sum, total]);
        assert_eq!(values(&found), [json!(expected)]);
        let of_summary = found.iter().find_map(|event| event["body"].get("s"));
        assert_eq!(of_summary.unwrap()["Count"], expected);
        assert_eq!(of_summary.unwrap()["Sum"], expected);
    }
}

#[test]
fn summaries_take_the_first_and_last_quantile_as_they_come() {
    let mut harness = Harness::new(config());
    for (quantiles, min, max) in [
        (&[(0.9, 7.0), (0.1, 9.0), (0.5, 3.0)][..], 7, 3),
        (&[(0.5, 4.0)], 4, 4),
        (&[], 0, 0),
    ] {
        let point = point(&harness, MetricKind::Summary, summary(5, 2.5, quantiles));
        assert_eq!(
            values(&harness.send_points(vec![point])),
            [json!({"Max": max, "Min": min, "Count": 5, "Sum": 2.5})]
        );
    }
}

#[test]
fn types_never_share_an_event_and_prometheus_points_name_theirs() {
    let mut harness = Harness::new(config());
    let temporality = Temporality::Delta;
    let kinds = [
        (MetricKind::Gauge, "g", "gauge"),
        (
            MetricKind::Sum {
                temporality,
                monotonic: false,
            },
            "c",
            "counter",
        ),
        (MetricKind::Histogram { temporality }, "h", "histogram"),
        (MetricKind::ExponentialHistogram { temporality }, "e", ""),
    ];
    let points = |harness: &Harness, resource| {
        let points = kinds.iter().flat_map(|(kind, name, _)| {
            [*name, "another"].map(|name| {
                let spec = Spec {
                    resource,
                    kind: *kind,
                    name,
                    ..Spec::default()
                };
                let mut point = spec.point(&harness.interner);
                point.value = match kind {
                    MetricKind::Histogram { .. } => histogram(1.0, None, None),
                    MetricKind::ExponentialHistogram { .. } => {
                        PointValue::ExponentialHistogram(Box::default())
                    }
                    _ => PointValue::Double(1.0),
                };
                point
            })
        });
        points.collect::<Vec<_>>()
    };
    let sent = points(&harness, &[]);
    let found = harness.send_points(sent);
    assert_eq!(found.len(), kinds.len());
    for event in &found {
        assert!(event["body"].get("another").is_some());
        assert!(event["body"].get("prom_metric_type").is_none());
    }
    let sent = points(&harness, &[("receiver", "prometheus")]);
    let found = harness.send_points(sent);
    for (event, (_, name, typed)) in found.iter().zip(kinds) {
        assert!(event["body"].get(name).is_some());
        assert_eq!(event["body"]["prom_metric_type"], typed);
    }
}

#[test]
fn declared_sets_of_more_than_ten_names_do_not_count() {
    let names: Vec<String> = (0..11).map(|at| format!("l{at:02}")).collect();
    let labels: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "v")).collect();
    let declared = |dimensions: Vec<Vec<String>>| Config {
        metric_declarations: vec![MetricDeclaration {
            dimensions,
            metric_name_selectors: vec!["^m$".to_owned()],
            label_matchers: Vec::new(),
        }],
        ..config()
    };
    let spec = || Spec {
        labels: &labels,
        ..Spec::default()
    };
    let reversed: Vec<String> = names[..10].iter().rev().cloned().collect();
    let twice = [reversed.clone(), reversed].concat();
    let found = Harness::new(declared(vec![names.clone(), twice])).send(&[spec()]);
    let measurement = &found[0]["body"]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(measurement["Dimensions"], json!([names[..10]]));
    // Nothing is left to declare: the event is a log line.
    let found = Harness::new(declared(vec![names.clone()])).send(&[spec()]);
    assert!(found[0]["body"].get("_aws").is_none());
    assert_eq!(found[0]["body"]["m"], 1);
}

#[test]
fn json_that_is_none_stays_text() {
    let mut harness = Harness::new(Config {
        parse_json_encoded_attr_values: ["a", "b", "c", "d"].map(str::to_owned).into(),
        ..config()
    });
    let found = harness.send(&[Spec {
        labels: &[("a", "{\"x\": [1.50, {}]}"), ("b", "{x"), ("c", "null"), ("e", "[1]")],
        ..Spec::default()
    }]);
    let body = &found[0]["body"];
    assert_eq!(body["a"], json!({"x": [1.5, {}]}));
    assert_eq!((&body["b"], &body["c"]), (&json!("{x"), &Json::Null));
    assert_eq!(body["e"], "[1]");
    let set = &body["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0];
    assert_eq!(*set, json!(["a", "b", "c", "e"]));
}
