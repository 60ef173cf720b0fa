//! Events that are larger than CloudWatch takes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value as Json, json};
use weir_model::{Buckets, ExponentialHistogram, MetricKind, Metrics, PointValue, Temporality};
use weir_testkit::emf::check_request;

use super::super::config::{Config, MetricDescriptor};
use super::super::translate::Output;
use super::golden::{NOW_MS, events};
use super::state::{Harness, Spec};

const DELTA: MetricKind = MetricKind::ExponentialHistogram {
    temporality: Temporality::Delta,
};

fn config() -> Config {
    Config {
        namespace: "N".to_owned(),
        dimension_rollup_option: "NoDimensionRollup".into(),
        ..Config::default()
    }
}

fn translate(harness: &mut Harness, specs: &[Spec<'_>]) -> Output {
    let points = specs.iter().map(|spec| spec.point(&harness.interner));
    let batch = Metrics::from_points(points.collect());
    harness.translator.translate(&batch, NOW_MS as u64 * 1_000_000)
}

fn measurement(event: &Json) -> &Json {
    &event["body"]["_aws"]["CloudWatchMetrics"][0]
}

#[test]
fn long_label_values_are_cut_where_an_event_is_too_large() {
    let mut harness = Harness::new(config());
    let (long, quotes) = ("\u{e9}".repeat(2_000), "\"".repeat(270_000));
    let spec = |name, labels| Spec {
        name,
        labels,
        ..Spec::default()
    };
    let output = translate(
        &mut harness,
        &[
            spec("m", &[("a", &long), ("b", &quotes)]),
            spec("n", &[("a", &long), ("b", "short")]),
        ],
    );
    assert_eq!((output.counts.reduced, output.counts.cut), (1, 0));
    assert_eq!(check_request(&output.requests[0].body), Ok(2));
    let found = events(&output);
    assert_eq!(found[0]["body"]["a"], "\u{e9}".repeat(1_024));
    assert_eq!(found[0]["body"]["b"], "\"".repeat(1_024));
    assert_eq!(found[0]["body"]["m"], 1);
    assert_eq!(found[1]["body"]["a"], long);
}

#[test]
fn metrics_that_fill_an_event_are_shared_out_among_several() {
    let mut harness = Harness::new(config());
    let names: Vec<String> = (0..100).map(|at| format!("m{at:02}")).collect();
    let point = |name: &String| {
        let spec = Spec {
            name,
            kind: DELTA,
            ..Spec::default()
        };
        let mut point = spec.point(&harness.interner);
        point.value = PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
            count: 100,
            sum: Some(1.0),
            scale: 7,
            positive: Some(Buckets {
                offset: 1,
                counts: vec![1_234_567_890_123_456; 100],
            }),
            ..ExponentialHistogram::default()
        }));
        point
    };
    let batch = Metrics::from_points(names.iter().map(point).collect());
    let output = harness.translator.translate(&batch, NOW_MS as u64 * 1_000_000);
    assert!(output.counts.reduced > 0 && output.counts.too_large == 0);
    check_request(&output.requests[0].body).unwrap();
    let found = events(&output);
    assert!(found.len() > 1);
    let mut metrics: Vec<&str> = found
        .iter()
        .flat_map(|event| measurement(event)["Metrics"].as_array().unwrap())
        .map(|metric| metric["Name"].as_str().unwrap())
        .collect();
    metrics.sort_unstable();
    assert_eq!(metrics, names);
    // All parts lead back to the points.
    assert_eq!(output.receipt.points_of(|event| event == 0).len(), 100);
}

#[test]
fn what_fits_in_no_event_is_counted() {
    let names: Vec<String> = (0..500).map(|at| format!("{at:0250}")).collect();
    let value = "v".repeat(1_000);
    let labels: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), value.as_str())).collect();
    let mut harness = Harness::new(config());
    let large = Spec {
        labels: &labels,
        ..Spec::default()
    };
    let output = translate(&mut harness, &[large, Spec::default()]);
    assert_eq!(output.counts.too_large, 1);
    assert_eq!(events(&output).len(), 1);
}

#[test]
fn dimension_sets_keep_thirty_names_that_hold_text() {
    let names: Vec<String> = (0..40).map(|at| format!("l{at:02}")).collect();
    let mut labels: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "v")).collect();
    labels.extend([("", "empty"), ("_aws", "x"), ("m", "clash"), ("Version", "7")]);
    let spec = || Spec {
        labels: &labels,
        ..Spec::default()
    };
    let mut harness = Harness::new(config());
    let output = translate(&mut harness, &[spec()]);
    assert_eq!(output.counts.trimmed, 1);
    let found = events(&output);
    assert_eq!(measurement(&found[0])["Dimensions"], json!([names[..30]]));
    assert_eq!(found[0]["body"]["l39"], "v");
    assert_eq!(found[0]["body"][""], "empty");
    // Said once for a layout, not once for an event.
    assert_eq!(translate(&mut harness, &[spec()]).counts.trimmed, 0);
    let off = Config {
        enforce_limits: false,
        ..config()
    };
    let found = Harness::new(off).send(&[spec()]);
    let set = measurement(&found[0])["Dimensions"][0].as_array().unwrap();
    assert_eq!(set.len(), 44);
}

#[test]
fn metrics_without_a_usable_name_are_plain_fields() {
    let mut harness = Harness::new(config());
    let spec = |name| Spec {
        name,
        ..Spec::default()
    };
    let found = harness.send(&[spec(""), spec("Version"), spec("m")]);
    assert_eq!(found.len(), 1);
    let metrics = measurement(&found[0])["Metrics"].as_array().unwrap();
    assert_eq!((metrics.len(), &metrics[0]["Name"]), (1, &json!("m")));
    assert_eq!(found[0]["body"][""], 1);
}

#[test]
fn a_descriptor_makes_a_metric_one_of_high_resolution() {
    let descriptor = |name: &str, storage_resolution| MetricDescriptor {
        metric_name: name.to_owned(),
        storage_resolution,
        ..MetricDescriptor::default()
    };
    let mut harness = Harness::new(Config {
        metric_descriptors: vec![descriptor("fast", 1), descriptor("slow", 60)],
        ..config()
    });
    let spec = |name, labels| Spec {
        name,
        labels,
        ..Spec::default()
    };
    let label = &[("aws.emf.storage_resolution", "1")];
    let found = harness.send(&[
        spec("fast", &[]),
        spec("usual", &[]),
        spec("slow", label),
        spec("labelled", label),
    ]);
    let mut seconds: Vec<(&str, i64)> = found
        .iter()
        .flat_map(|event| measurement(event)["Metrics"].as_array().unwrap())
        .map(|metric| {
            let seconds = metric["StorageResolution"].as_i64().unwrap();
            (metric["Name"].as_str().unwrap(), seconds)
        })
        .collect();
    seconds.sort_unstable();
    assert_eq!(
        seconds,
        [("fast", 1), ("labelled", 1), ("slow", 60), ("usual", 60)]
    );
}
