//! What the translator keeps between points and between batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use serde_json::{Value as Json, json};
use weir_model::{
    Attributes, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
    Temporality, Value,
};

use super::super::config::Config;
use super::super::settings::Settings;
use super::super::translate::Translator;
use super::golden::{NOW_MS, STREAM, events};

const MINUTE_MS: i64 = 60_000;
const CUMULATIVE: MetricKind = MetricKind::Sum {
    temporality: Temporality::Cumulative,
    monotonic: true,
};

/// A point in words: labels of the resource, metric, labels, time, value.
pub(super) struct Spec<'a> {
    pub(super) resource: &'a [(&'a str, &'a str)],
    pub(super) kind: MetricKind,
    pub(super) name: &'a str,
    pub(super) labels: &'a [(&'a str, &'a str)],
    pub(super) time_ms: i64,
    pub(super) value: f64,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self {
            resource: &[],
            kind: MetricKind::Gauge,
            name: "m",
            labels: &[],
            time_ms: NOW_MS,
            value: 1.0,
        }
    }
}

impl Spec<'_> {
    pub(super) fn point(&self, interner: &Interner) -> Point {
        let attributes = |pairs: &[(&str, &str)]| -> Attributes {
            pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
        };
        let resource = interner.resource(Resource {
            attributes: attributes(self.resource),
            ..Resource::default()
        });
        let scope = interner.scope(Scope::default());
        let metric = interner.metric(MetricMeta::new(self.name, self.kind));
        let series = interner.series(&resource, &scope, &metric, attributes(self.labels));
        let time_ns = self.time_ms as u64 * 1_000_000;
        Point::new(series, 0, time_ns, PointValue::Double(self.value))
    }
}

pub(super) struct Harness {
    pub(super) translator: Translator,
    pub(super) interner: Interner,
    pub(super) now_ms: i64,
}

impl Harness {
    pub(super) fn new(config: Config) -> Self {
        Self::with_budget(config, 1 << 20)
    }

    pub(super) fn with_budget(config: Config, budget: usize) -> Self {
        let settings = Arc::new(Settings::new(config, STREAM.to_owned()));
        Self {
            translator: Translator::new(settings, NOW_MS as u64 * 1_000_000),
            interner: Interner::new(budget),
            now_ms: NOW_MS,
        }
    }

    pub(super) fn send(&mut self, specs: &[Spec<'_>]) -> Vec<Json> {
        let points = specs
            .iter()
            .map(|spec| spec.point(&self.interner))
            .collect();
        self.send_points(points)
    }

    pub(super) fn send_points(&mut self, points: Vec<Point>) -> Vec<Json> {
        let batch = Metrics::from_points(points);
        let now_ns = self.now_ms as u64 * 1_000_000;
        events(&self.translator.translate(&batch, now_ns))
    }

    /// Sends one cumulative value and gives what came out for it.
    fn count(&mut self, time_ms: i64, value: f64) -> Option<f64> {
        let events = self.send(&[Spec {
            kind: CUMULATIVE,
            time_ms,
            value,
            ..Spec::default()
        }]);
        events
            .first()
            .map(|event| event["body"]["m"].as_f64().unwrap())
    }
}

fn names(event: &Json) -> (&str, &str) {
    (
        event["group"].as_str().unwrap(),
        event["stream"].as_str().unwrap(),
    )
}

#[test]
fn streams_are_forgotten_at_five_minute_ticks_after_five_minutes_without_a_point() {
    let mut harness = Harness::new(Config::default());
    let minute = |minutes: i64| NOW_MS + minutes * MINUTE_MS;
    assert_eq!(harness.count(minute(0), 10.0), None);
    harness.now_ms = minute(1);
    assert_eq!(harness.count(minute(1), 12.0), Some(2.0));
    // The tick at five minutes finds a point that is four minutes old.
    harness.now_ms = minute(9);
    assert_eq!(harness.count(minute(9), 13.0), Some(1.0));
    harness.now_ms = minute(16);
    // The tick at fifteen finds one that is six minutes old.
    assert_eq!(harness.count(minute(16), 15.0), None);
    assert_eq!(harness.count(minute(16), 18.0), Some(3.0));
}

#[test]
fn state_is_apart_by_namespace_group_name_and_labels() {
    let config = Config {
        log_group_name: "/{ClusterName}".to_owned(),
        ..Config::default()
    };
    let mut harness = Harness::new(config);
    let specs = |value: f64| {
        let spec = |resource, name, labels, add| Spec {
            resource,
            kind: CUMULATIVE,
            name,
            labels,
            value: value + add,
            ..Spec::default()
        };
        [
            spec(&[("service.name", "a")][..], "m", &[][..], 0.0),
            spec(&[("service.name", "b")], "m", &[], 100.0),
            spec(
                &[("service.name", "b"), ("ClusterName", "c")],
                "m",
                &[],
                200.0,
            ),
            spec(&[("service.name", "b")], "n", &[], 300.0),
            spec(&[("service.name", "b")], "m", &[("k", "v")], 400.0),
            // Differs in nothing that counts: the same stream as the one before.
            spec(
                &[("service.name", "b"), ("host", "h")],
                "m",
                &[("k", "v")],
                407.0,
            ),
        ]
    };
    let first = harness.send(&specs(1.0));
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["body"]["m"], 7);
    assert_eq!(harness.send(&specs(3.0)).len(), 4);
    assert_eq!(harness.translator.fill().streams, 5);
}

#[test]
fn series_beyond_the_intern_budget_keep_their_delta_state() {
    let mut harness = Harness::with_budget(Config::default(), 0);
    assert_eq!(harness.count(NOW_MS, 10.0), None);
    harness
        .translator
        .sweep(&harness.interner, NOW_MS as u64 * 1_000_000);
    assert_eq!(harness.count(NOW_MS, 15.0), Some(5.0));
}

#[test]
fn tables_shrink_when_series_are_gone() {
    let mut harness = Harness::new(Config::default());
    for at in 0..100 {
        let label = at.to_string();
        harness.send(&[Spec {
            kind: CUMULATIVE,
            name: &label,
            labels: &[("k", &label)],
            ..Spec::default()
        }]);
    }
    let full = harness.translator.fill();
    assert_eq!(full.streams, 100);
    harness.interner.sweep();
    let later = (NOW_MS + 11 * MINUTE_MS) as u64 * 1_000_000;
    harness.translator.sweep(&harness.interner, later);
    let empty = harness.translator.fill();
    assert_eq!(empty.streams, 0);
    assert!(empty.bytes * 10 < full.bytes, "{empty:?} {full:?}");
}

#[test]
fn undelivered_deltas_come_with_the_next_value() {
    let mut harness = Harness::new(Config::default());
    let spec = |value| Spec {
        kind: CUMULATIVE,
        value,
        ..Spec::default()
    };
    let gauge = Spec {
        name: "g",
        ..Spec::default()
    };
    let now_ns = NOW_MS as u64 * 1_000_000;
    let batch = |harness: &Harness, value| {
        Metrics::from_points(vec![
            gauge.point(&harness.interner),
            spec(value).point(&harness.interner),
        ])
    };
    let first = batch(&harness, 10.0);
    harness.translator.translate(&first, now_ns);
    let second = batch(&harness, 14.0);
    let output = harness.translator.translate(&second, now_ns);
    let lost = output.receipt.points_of(|_| true);
    assert_eq!(lost, [0, 1]);
    harness.translator.credit(&output.receipt, &lost);
    assert_eq!(harness.count(NOW_MS, 14.0), Some(4.0));
    assert_eq!(harness.count(NOW_MS, 14.0), Some(0.0));
}

#[test]
fn tags_are_plain_fields_of_an_event_of_their_own() {
    let config = Config {
        namespace: "N".to_owned(),
        ..Config::default()
    };
    let mut harness = Harness::new(config);
    let spec = |name, value| Spec {
        name,
        labels: &[("k", "v")],
        value,
        ..Spec::default()
    };
    let mut tagged = spec("a", 9.5).point(&harness.interner);
    tagged.tag("anomaly.detected", Value::Bool(true));
    tagged.tag("anomaly.kind", "spike".into());
    tagged.tag("anomaly.score", Value::Double(0.75));
    // A tag never takes the place of a label or a metric.
    tagged.tag("k", "tag".into());
    let calm = spec("b", 1.0).point(&harness.interner);
    let found = harness.send_points(vec![tagged, calm]);
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0]["body"],
        json!({
            "Version": "1",
            "_aws": {
                "CloudWatchMetrics": [{
                    "Namespace": "N",
                    "Dimensions": [["k"], []],
                    "Metrics": [{"Name": "a", "Unit": "", "StorageResolution": 60}],
                }],
                "Timestamp": NOW_MS,
            },
            "a": 9.5,
            "anomaly.detected": true,
            "anomaly.kind": "spike",
            "anomaly.score": 0.75,
            "k": "v",
        })
    );
    assert_eq!(found[1]["body"]["b"], 1);
    assert!(found[1]["body"].get("anomaly.score").is_none());
}

#[test]
fn names_filled_from_labels_stick_to_the_metric() {
    let config = Config {
        log_group_name: "/x/{ClusterName}/{PodName}".to_owned(),
        log_stream_name: "{PodName}".to_owned(),
        ..Config::default()
    };
    let mut harness = Harness::new(config);
    let spec = |name, labels| Spec {
        resource: &[("ClusterName", "c")],
        name,
        labels,
        ..Spec::default()
    };
    let found = harness.send(&[
        spec("a", &[("x", "1")]),
        spec("a", &[("PodName", "p1")]),
        spec("a", &[("PodName", "p2")]),
        spec("b", &[("PodName", "p2")]),
    ]);
    let found: Vec<_> = found.iter().map(names).collect();
    // The second pass knows labels only, so the cluster of the resource is lost on the way. The
    // group keeps an `undefined` and is filled anew for each point, the stream is not.
    let mut expected = [
        ("/x/undefined/undefined", "undefined"),
        ("/x/undefined/p1", "p1"),
        ("/x/undefined/p2", "p1"),
        ("/x/undefined/p2", "p2"),
    ];
    expected.sort_unstable();
    let mut found = found;
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn points_without_time_take_the_last_of_their_metric_then_now() {
    let mut harness = Harness::new(Config::default());
    let spec = |name, time_ms, labels| Spec {
        name,
        time_ms,
        labels,
        ..Spec::default()
    };
    let early = NOW_MS - 5_000;
    let found = harness.send(&[
        spec("a", 0, &[("k", "1")]),
        spec("a", early, &[("k", "2")]),
        spec("a", 0, &[("k", "3")]),
        spec("b", 0, &[("k", "4")]),
    ]);
    let mut times: Vec<_> = found
        .iter()
        .map(|e| {
            (
                e["body"]["k"].as_str().unwrap(),
                e["timestamp"].as_i64().unwrap(),
            )
        })
        .collect();
    times.sort_unstable();
    assert_eq!(
        times,
        [("1", NOW_MS), ("2", early), ("3", early), ("4", NOW_MS)]
    );
}

#[test]
fn events_out_of_the_services_time_are_dropped_alone() {
    let mut harness = Harness::new(Config::default());
    let hours = |hours: i64| NOW_MS + hours * 3_600_000;
    let spec = |time_ms| Spec {
        time_ms,
        ..Spec::default()
    };
    let batch = [
        hours(0),
        hours(-14 * 24),
        hours(-14 * 24) - 1,
        hours(2),
        hours(2) + 1,
    ]
    .map(|time_ms| spec(time_ms).point(&harness.interner));
    let batch = Metrics::from_points(batch.to_vec());
    let output = harness
        .translator
        .translate(&batch, NOW_MS as u64 * 1_000_000);
    assert_eq!((output.counts.too_old, output.counts.too_new), (1, 1));
    assert_eq!(events(&output).len(), 3);
}

#[test]
fn what_cannot_be_said_in_json_is_left_out_and_counted() {
    let mut harness = Harness::new(Config::default());
    let mut stale = Spec::default().point(&harness.interner);
    stale.flags = 1;
    let odd = |value| {
        Spec {
            value,
            ..Spec::default()
        }
        .point(&harness.interner)
    };
    let batch = vec![stale, odd(f64::NAN), odd(f64::INFINITY), odd(1.0), odd(2.0)];
    let batch = Metrics::from_points(batch);
    let output = harness
        .translator
        .translate(&batch, NOW_MS as u64 * 1_000_000);
    assert_eq!(output.counts.stale, 1);
    assert_eq!(output.counts.not_finite, 2);
    assert_eq!(output.counts.duplicate, 1);
    assert_eq!(events(&output).len(), 1);
}

#[test]
fn unknown_words_in_the_configuration_do_what_they_do_in_the_reference() {
    let config = Config {
        version: "2".to_owned(),
        ..Config::default()
    };
    let found = Harness::new(config).send(&[Spec::default()]);
    assert_eq!(found[0]["body"], json!({"m": 1}));
    let config = Config {
        output_destination: "nowhere".to_owned(),
        ..Config::default()
    };
    assert!(Harness::new(config).send(&[Spec::default()]).is_empty());
    let config = Config {
        output_destination: "StdOut".to_owned(),
        ..Config::default()
    };
    assert_eq!(Harness::new(config).send(&[Spec::default()])[0]["m"], 1);
}

#[test]
fn many_metrics_of_one_event_are_told_apart_by_name() {
    let mut harness = Harness::new(Config::default());
    let names: Vec<String> = (0..200).map(|at| format!("m{}", at % 150)).collect();
    for _ in 0..3 {
        let specs: Vec<Spec<'_>> = names
            .iter()
            .enumerate()
            .map(|(at, name)| Spec {
                name,
                value: at as f64,
                ..Spec::default()
            })
            .collect();
        let found = harness.send(&specs);
        // CloudWatch takes 100 metrics of an event.
        assert_eq!(found.len(), 2);
        for at in 0..150 {
            let event = &found[at / 100];
            assert_eq!(event["body"][&names[at]].as_f64(), Some(at as f64));
        }
        for (event, count) in found.iter().zip([100, 50]) {
            let measurement = &event["body"]["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(measurement["Metrics"].as_array().unwrap().len(), count);
        }
    }
}
