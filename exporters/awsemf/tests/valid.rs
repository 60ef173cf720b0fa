//! Whatever comes in, what goes out keeps CloudWatch's rules for events and requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::{
    Attributes, Buckets, ExponentialHistogram, Histogram, Interner, MetricKind, MetricMeta,
    Metrics, Point, PointValue, Resource, Scope, Summary, Temporality, Value,
};
use weir_testkit::emf::{check_event, check_request};

use super::super::Preview;
use super::super::config::{Config, MetricDeclaration};
use super::golden::NOW_MS;

const NOW_NS: u64 = NOW_MS as u64 * 1_000_000;

/// Names that mean something in events, and others.
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "m",
    "m_sum",
    "_aws",
    "Version",
    "Timestamp",
    "CloudWatchMetrics",
    "OTelLib",
    "prom_metric_type",
    "quantile",
    "aws.emf.storage_resolution",
    "receiver",
    "service.name",
    "Type",
    "PodName",
];

/// Names: with a meaning, empty, long, any.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(str::to_owned),
        2 => ".{0,12}",
        1 => (200usize..1200).prop_map(|count| "\u{e9}".repeat(count)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        name().prop_map(Value::Str),
        Just(Value::from("prometheus")),
        Just(Value::from("Pod")),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
    ];
    let nested = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec((name(), inner), 0..3).prop_map(Value::Map),
        ]
    });
    prop_oneof![
        40 => nested,
        1 => (260_000usize..400_000).prop_map(|count| Value::Str("x\"".repeat(count / 2))),
    ]
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let few = prop::collection::vec((name(), value()), 0..5);
    let many = (25usize..40).prop_map(|count| {
        (0..count)
            .map(|at| (format!("l{at}"), Value::from("v")))
            .collect()
    });
    prop_oneof![5 => few, 1 => many].prop_map(|pairs: Vec<(String, Value)>| {
        let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.clone()));
        pairs.collect()
    })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1000i32..1000).prop_map(f64::from),
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX]),
    ]
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    let offset = prop_oneof![-300i32..300, any::<i32>()];
    let counts = prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u64>()], 0..250);
    prop::option::of((offset, counts).prop_map(|(offset, counts)| Buckets { offset, counts }))
}

fn point_value() -> impl Strategy<Value = (MetricKind, PointValue)> {
    let temporality = prop::sample::select(vec![
        Temporality::Unspecified,
        Temporality::Delta,
        Temporality::Cumulative,
    ]);
    let some = || prop::option::of(number());
    let simple = prop_oneof![
        number().prop_map(PointValue::Double),
        any::<i64>().prop_map(PointValue::Int),
        Just(PointValue::Empty),
    ];
    let sum = (temporality.clone(), any::<bool>()).prop_map(|(temporality, monotonic)| {
        MetricKind::Sum {
            temporality,
            monotonic,
        }
    });
    let histogram = (temporality.clone(), some(), some(), some(), any::<u64>()).prop_map(
        |(temporality, sum, min, max, count)| {
            let value = Histogram {
                count,
                sum,
                min,
                max,
                ..Histogram::default()
            };
            let kind = MetricKind::Histogram { temporality };
            (kind, PointValue::Histogram(Box::new(value)))
        },
    );
    let scale = prop_oneof![-11i32..21, any::<i32>()];
    let exponential = (temporality, scale, buckets(), buckets(), any::<u64>(), some()).prop_map(
        |(temporality, scale, positive, negative, zero_count, sum)| {
            let value = ExponentialHistogram {
                count: zero_count,
                sum,
                min: sum,
                max: sum,
                scale,
                zero_count,
                positive,
                negative,
                ..ExponentialHistogram::default()
            };
            let kind = MetricKind::ExponentialHistogram { temporality };
            (kind, PointValue::ExponentialHistogram(Box::new(value)))
        },
    );
    let quantiles = prop::collection::vec((number(), number()), 0..4);
    let summary = (any::<u64>(), number(), quantiles).prop_map(|(count, sum, quantiles)| {
        let value = Summary {
            count,
            sum,
            quantiles,
        };
        (MetricKind::Summary, PointValue::Summary(Box::new(value)))
    });
    prop_oneof![
        (Just(MetricKind::Gauge), simple.clone()),
        (sum, simple),
        histogram,
        exponential,
        summary,
    ]
}

/// Points of some resources and label sets; sometimes with so many metrics in one event, or such
/// large ones, that it has to be split.
fn batch() -> impl Strategy<Value = Vec<Draw>> {
    let time = prop_oneof![
        Just(0),
        Just(NOW_NS),
        (0u64..200_000_000_000_000).prop_map(|ago| NOW_NS - ago),
        any::<u64>(),
    ];
    let draw = (0usize..3, 0usize..4, name(), point_value(), time, any::<bool>());
    let many = (point_value(), 0usize..4, 90usize..330).prop_map(|(value, labels, count)| {
        let draw = |at| (0, labels, format!("m{at}"), value.clone(), NOW_NS, false);
        (0..count).map(draw).collect()
    });
    prop_oneof![4 => prop::collection::vec(draw, 0..30), 1 => many]
}

/// Resource, label set, metric, value, time, whether a processor tagged the point.
type Draw = (usize, usize, String, (MetricKind, PointValue), u64, bool);

fn config() -> impl Strategy<Value = Config> {
    let rollup = prop::sample::select(vec![
        "ZeroAndSingleDimensionRollup",
        "SingleDimensionRollupOnly",
        "NoDimensionRollup",
    ]);
    (rollup, any::<[bool; 7]>()).prop_map(|(rollup, [old, declared, a, b, c, d, lines])| {
        let mut config = Config {
            dimension_rollup_option: rollup.into(),
            version: if old { "0" } else { "1" }.to_owned(),
            retain_initial_value_of_delta_metric: a,
            detailed_metrics: b,
            eks_fargate_container_insights_enabled: c,
            output_destination: if lines { "stdout" } else { "cloudwatch" }.to_owned(),
            ..Config::default()
        };
        config.resource_to_telemetry_conversion.enabled = d;
        if declared {
            let names = ["a", "b", "_aws", "OTelLib", "Version", ""].map(str::to_owned);
            config.metric_declarations = vec![MetricDeclaration {
                dimensions: vec![names[..2].to_vec(), names[2..].to_vec(), Vec::new()],
                metric_name_selectors: vec!["m|a|^$|V".to_owned()],
                label_matchers: Vec::new(),
            }];
        }
        config
    })
}

fn check(output: &[u8]) -> Result<usize, String> {
    if output.starts_with(b"{\"logEvents\"") {
        return check_request(output);
    }
    let text = std::str::from_utf8(output).map_err(|error| error.to_string())?;
    text.lines().try_for_each(check_event)?;
    Ok(text.lines().count())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_input_gives_events_that_cloudwatch_takes(
        config in config(),
        resources in prop::collection::vec(attributes(), 3),
        scope in name(),
        labels in prop::collection::vec(attributes(), 4),
        batches in prop::collection::vec(batch(), 1..3),
    ) {
        let interner = Arc::new(Interner::new(1 << 20));
        let mut preview = Preview::new(config, NOW_NS);
        let scope = interner.scope(Scope { name: scope.into(), ..Scope::default() });
        for draws in &batches {
            let points = draws.iter().map(|(resource, set, name, (kind, value), time, tagged)| {
                let resource = interner.resource(Resource {
                    attributes: resources[*resource].clone(),
                    ..Resource::default()
                });
                let metric = interner.metric(MetricMeta::new(name, *kind));
                let series = interner.series(&resource, &scope, &metric, labels[*set].clone());
                let mut point = Point::new(series, 0, *time, value.clone());
                if *tagged {
                    point.tag("anomaly.score", Value::Double(0.5));
                }
                point
            });
            let batch = Metrics::from_points(points.collect());
            // Twice, so that what is kept from the first time is used, and over the wire.
            let mut bytes = Vec::new();
            batch.encode_otlp(&mut bytes);
            let read = Metrics::from_otlp(bytes.into(), &interner).unwrap();
            for batch in [batch, read] {
                for output in preview.bodies(&batch, NOW_NS) {
                    let checked = check(&output);
                    prop_assert!(checked.is_ok(), "{:?}", checked);
                }
            }
        }
    }
}
