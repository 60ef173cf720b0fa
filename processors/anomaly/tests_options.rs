//! Options of the processor, one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use weir_config::{ComponentId, Origin, Source, decode_and_validate, parse_yaml};
use weir_model::{
    Attributes, Buckets, ExponentialHistogram, Histogram, MetricKind, MetricMeta, Resource, Scope,
    Series, Temporality, Value,
};

use super::tests::{Rig, at, companion, detected, tag};
use super::*;

#[test]
fn a_fixed_limit_holds_before_anything_is_learned_and_beside_the_band() {
    let yaml = "{emit: attributes, thresholds: \
                [{metrics: {metric_names: [cpu]}, above: 80, below: 5, samples: 2}]}";
    let rig = Rig::new(yaml);
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    let other = rig.series("other", MetricKind::Gauge, "a");
    let judge = |minute, value| rig.minute(&cpu, minute, PointValue::Double(value)).remove(0);
    assert!(!detected(&judge(0, 90.0)), "one sample is not enough");
    let second = judge(1, 91.0);
    assert!(detected(&second));
    assert_eq!(tag(&second, "anomaly.kind"), Some(&Value::from("threshold")));
    assert_eq!(tag(&second, "anomaly.direction"), Some(&Value::from("above")));
    assert_eq!(tag(&second, "anomaly.upper"), Some(&Value::Double(80.0)));
    assert!(!detected(&judge(2, 70.0)), "over");
    judge(3, 4.0);
    let low = judge(4, 4.0);
    assert_eq!(tag(&low, "anomaly.direction"), Some(&Value::from("below")));
    let untouched = rig.minute(&other, 0, PointValue::Double(1000.0));
    assert!(untouched[0].tags().is_empty(), "no rule for it");
    assert_eq!(rig.counted("alarms_started"), 2.0);
}

#[test]
fn a_limit_is_for_the_mean_of_a_distribution_not_for_its_rate() {
    let yaml = "{emit: attributes, thresholds: [{above: 10}]}";
    let rig = Rig::new(yaml);
    let kind = MetricKind::Histogram { temporality: Temporality::Delta };
    let latency = rig.series("latency", kind, "a");
    let point = |minute: u64, count, sum| {
        let h = Histogram { count, sum: Some(sum), ..Histogram::default() };
        let value = PointValue::Histogram(Box::new(h));
        Point::new(latency.clone(), at(minute) - 1_000_000_000, at(minute), value)
    };
    assert!(!detected(&rig.apply(vec![point(1, 100_000, 1.0)])[0]), "many, but fast");
    let slow = rig.apply(vec![point(2, 10, 200.0)]).remove(0);
    assert!(detected(&slow));
    assert_eq!(tag(&slow, "anomaly.observation"), Some(&Value::from("mean")));
}

#[test]
fn quantiles_of_histograms_are_judged_on_request() {
    let cumulative = Temporality::Cumulative;
    let explicit = |n: u64, slow: u64| {
        PointValue::Histogram(Box::new(Histogram {
            count: 100 * n + slow,
            sum: None,
            bucket_counts: vec![50 * n, 50 * n, slow],
            explicit_bounds: vec![0.1, 0.2],
            ..Histogram::default()
        }))
    };
    let exponential = |n: u64, slow: u64| {
        PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
            count: 100 * n + slow,
            sum: None,
            positive: Some(Buckets { offset: 0, counts: vec![50 * n, 50 * n, 0, slow] }),
            ..ExponentialHistogram::default()
        }))
    };
    type Make = fn(u64, u64) -> PointValue;
    let cases: [(MetricKind, Make); 2] = [
        (MetricKind::Histogram { temporality: cumulative }, explicit),
        (MetricKind::ExponentialHistogram { temporality: cumulative }, exponential),
    ];
    for (kind, make) in cases {
        let rig = Rig::new("{quantiles: [0.5, 0.9], bands: true}");
        let latency = rig.series("latency", kind, "a");
        let mut last = Vec::new();
        for minute in 0..200 {
            last = rig.minute(&latency, minute, make(minute, 0));
        }
        let judged: Vec<_> = last
            .iter()
            .filter(|p| p.series.metric().name.ends_with("latency.anomaly.score"))
            .map(|p| p.series.labels().get("quantile").unwrap().to_text().into_owned())
            .collect();
        assert_eq!(judged, ["0.5", "0.9"], "{kind:?}");
        let slow = rig.minute(&latency, 200, make(199, 400));
        let high = slow
            .iter()
            .filter(|p| p.series.labels().get("quantile").is_some())
            .filter(|p| p.series.metric().name.ends_with(".state"))
            .map(|p| p.value.as_f64().unwrap())
            .collect::<Vec<_>>();
        assert!(high.contains(&1.0), "{kind:?}: {high:?}");
    }
}

/// A gauge of a pod.
fn of_pod(rig: &Rig, pod: &str, deployment: &str) -> Arc<Series> {
    let resource = rig.cx.interner.resource(Resource {
        attributes: Attributes::from_iter([
            ("k8s.pod.name", pod),
            ("k8s.deployment.name", deployment),
        ]),
        ..Resource::default()
    });
    let scope = rig.cx.interner.scope(Scope::default());
    let metric = rig.cx.interner.metric(MetricMeta::new("cpu", MetricKind::Gauge));
    rig.cx.interner.series(&resource, &scope, &metric, Attributes::default())
}

#[test]
fn a_restarted_pod_keeps_its_model_when_its_name_does_not_count() {
    for (yaml, kept) in [("{}", false), ("identity: {without: [k8s.pod.name]}", true)] {
        let mut rig = Rig::new(yaml);
        let before = of_pod(&rig, "web-abc", "web");
        rig.settle(&before, 0..300);
        let after = of_pod(&rig, "web-xyz", "web");
        let spike = rig.minute(&after, 300, PointValue::Double(90.0));
        assert_eq!(companion(&spike, ".state"), kept.then_some(1.0), "{yaml}");
        if kept {
            let labelled = &spike[1].series;
            let pod = labelled.resource().attributes.get("k8s.pod.name").unwrap();
            assert_eq!(pod.to_text(), "web-xyz", "companions belong to the pod that is");
        }
        let other = of_pod(&rig, "db-1", "db");
        let unknown = rig.minute(&other, 300, PointValue::Double(90.0));
        assert_eq!(companion(&unknown, ".state"), None, "another deployment is another series");
    }
}

#[test]
fn series_are_chosen_by_type_and_labels() {
    let yaml = "metrics: {include: {types: [gauge], labels: {k8s.deployment.name: web}}}";
    let rig = Rig::new(yaml);
    let counter = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
    let all = [of_pod(&rig, "a", "web"), of_pod(&rig, "b", "db"), rig.series("n", counter, "a")];
    for series in &all {
        rig.minute(series, 0, PointValue::Double(1.0));
    }
    assert_eq!(rig.counted("series"), 1.0);
}

#[test]
fn a_silent_warm_up_shows_bands_and_starts_no_alarm() {
    let mut rig = Rig::new("{warm_up: silent, bands: true}");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    rig.settle(&cpu, 0..300);
    let spike = rig.minute(&cpu, 300, PointValue::Double(900.0));
    assert_eq!(companion(&spike, ".state"), Some(0.0));
    assert!(companion(&spike, ".upper").unwrap() < 900.0);
    assert_eq!(rig.counted("alarms_started"), 0.0);
}

#[test]
fn the_byte_budget_refuses_new_series() {
    let rig = Rig::new("max_state: 64KiB");
    let all: Vec<_> = (0..2000)
        .map(|i| rig.series("m", MetricKind::Gauge, &i.to_string()))
        .map(|series| Point::new(series, 0, at(0), PointValue::Double(1.0)))
        .collect();
    rig.apply(all);
    assert!(rig.counted("samples_refused") > 1000.0);
    assert!(rig.counted("series") < 1000.0);
}

#[test]
fn wrong_options_are_named() {
    let yaml = "{quantiles: [2], thresholds: [{samples: 0}, {above: .nan}], \
                incidents: {group_by: []}, \
                metrics: {exclude: {match_type: regexp, labels: {a: '('}}}}";
    let node = parse_yaml(&Source::new("test.yaml", yaml, Origin::Document)).unwrap();
    let found = decode_and_validate::<Config>(&node, "processors.anomaly").unwrap_err();
    let paths: Vec<&str> = found.iter().map(|d| d.path.as_str()).collect();
    for path in [
        "quantiles[0]",
        "thresholds[0]",
        "thresholds[0].samples",
        "thresholds[1]",
        "incidents.group_by",
        "metrics.exclude.labels.a",
    ] {
        let path = format!("processors.anomaly.{path}");
        assert!(paths.contains(&path.as_str()), "{path} in {paths:?}");
    }
    assert!(ComponentId::parse("anomaly").is_ok());
}

/// People follow the wall clock; on the last Sunday of March it jumps by an hour.
#[test]
fn with_a_timezone_the_day_keeps_its_shape_over_a_clock_change() {
    // 2025-03-30 01:00 UTC, in minutes since the start
    const CHANGE: u64 = (1_743_296_400 - 1_740_960_000) / 60;
    let alarms_after = |yaml: &str| {
        let mut rig = Rig::new(yaml);
        let load = rig.series("load", MetricKind::Gauge, "a");
        let mut before = 0.0;
        for minute in (0..CHANGE + 1440).step_by(5) {
            if minute == CHANGE - CHANGE % 5 {
                before = rig.counted("alarms_started");
            }
            let wall = minute + if minute >= CHANGE { 120 } else { 60 };
            // a steep morning and a steep evening
            let hour = (wall % 1440) as f64 / 60.0;
            let busy = (hour - 8.0).clamp(0.0, 1.0) - (hour - 18.0).clamp(0.0, 1.0);
            let value = PointValue::Double(100.0 + 80.0 * busy + rig.noise());
            rig.apply(vec![Point::new(load.clone(), 1, at(minute), value)]);
        }
        rig.counted("alarms_started") - before
    };
    assert_eq!(alarms_after("{emit: log, timezone: Europe/Berlin}"), 0.0);
    assert!(alarms_after("{emit: log}") > 0.0, "in UTC the morning comes an hour early");
}
