//! What is kept from one batch to the next: equal output with and without it, nothing left behind.

use std::sync::Arc;

use proptest::prelude::*;
use weir_core::Interner;
use weir_model::{
    Attributes, Histogram, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource, Scope,
    Temporality, Value,
};

use super::decode::T0_MS;
use super::golden::translate;
use crate::prometheusremotewrite::config::Config;
use crate::prometheusremotewrite::labels::Rules;
use crate::prometheusremotewrite::pack::Packer;
use crate::prometheusremotewrite::translate::Translator;

/// What a generated point is made of.
#[derive(Clone, Copy, Debug)]
struct Made {
    host: u8,
    metric: u8,
    label: u8,
    second: u8,
    bounds: u8,
}

fn made() -> impl Strategy<Value = Made> {
    (0..3_u8, 0..4_u8, 0..4_u8, 0..20_u8, 0..3_u8).prop_map(
        |(host, metric, label, second, bounds)| Made {
            host,
            metric,
            label,
            second,
            bounds,
        },
    )
}

fn point(made: &Made, interner: &Interner) -> Point {
    let host = format!("h{}", made.host);
    let resource = interner.resource(Resource {
        attributes: [("service.name", "shop"), ("host.name", host.as_str())]
            .into_iter()
            .collect(),
        ..Resource::default()
    });
    let temporality = Temporality::Cumulative;
    let kind = match made.metric {
        0 => MetricKind::Gauge,
        1 => MetricKind::Sum { temporality, monotonic: true },
        2 => MetricKind::Sum { temporality: Temporality::Delta, monotonic: true },
        _ => MetricKind::Histogram { temporality },
    };
    let metric = interner.metric(MetricMeta::new(&format!("m{}", made.metric), kind));
    let labels: Attributes = [("k.1", Value::Int(i64::from(made.label)))].into_iter().collect();
    let series = interner.series(&resource, &interner.scope(Scope::default()), &metric, labels);
    let bounds = usize::from(made.bounds);
    let value = match made.metric {
        3 => PointValue::Histogram(Box::new(Histogram {
            count: 9,
            sum: Some(1.5),
            bucket_counts: vec![1; bounds + 1],
            explicit_bounds: (0..bounds).map(|b| b as f64).collect(),
            ..Histogram::default()
        })),
        _ => PointValue::Int(i64::from(made.second)),
    };
    let time = (T0_MS + 1000 * i64::from(made.second)) * 1_000_000;
    Point::new(series, 0, time.cast_unsigned(), value)
}

fn batches(points: &[Vec<Made>], interner: &Interner) -> Vec<Metrics> {
    let batch = |made: &Vec<Made>| made.iter().map(|m| point(m, interner)).collect();
    points.iter().map(|made| Metrics::from_points(batch(made))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The tables change nothing: one translator for all batches, a new one for each, series that
    /// are not interned, and small requests give the same series in both protocols.
    #[test]
    fn cached_and_plain_translations_are_equal(
        points in proptest::collection::vec(proptest::collection::vec(made(), 0..12), 1..5),
        v2 in any::<bool>(),
    ) {
        let interner = Interner::new(16 << 20);
        let mut config = Config::default();
        if v2 {
            config.protobuf_message = "io.prometheus.write.v2.Request".to_owned();
        }
        let all = batches(&points, &interner);
        let (cached, _) = translate(&config, &all);
        // Over the intern budget from the start.
        let (loose, _) = translate(&config, &batches(&points, &Interner::new(0)));
        prop_assert_eq!(cached.series(), loose.series());
        config.max_batch_size_bytes = 400;
        let (small, requests) = translate(&config, &all);
        prop_assert_eq!(cached.series(), small.series());
        prop_assert!(requests > 0 || all.iter().all(Metrics::is_empty) || cached.series().is_empty());
        let mut plain = super::decode::Decoded::default();
        for batch in &all {
            let (one, _) = translate(&config, std::slice::from_ref(batch));
            for (key, series) in one.series {
                let known = plain.series.entry(key).or_default();
                for (part, value) in series {
                    match (known.get_mut(&part), value) {
                        (Some(serde_json::Value::Array(old)), serde_json::Value::Array(new)) => {
                            old.extend(new);
                        }
                        (_, value) => {
                            known.insert(part, value);
                        }
                    }
                }
            }
        }
        prop_assert_eq!(cached.series(), plain.series());
    }
}

#[test]
fn what_is_no_more_is_forgotten() {
    let interner = Interner::new(16 << 20);
    let config = Config::default();
    let mut translator = Translator::new(Rules::new(&config, false, false), false);
    let mut packer = Packer::new(config.batch_bytes());
    let mut run = |translator: &mut Translator, labels: std::ops::Range<u8>, interner: &Interner| {
        let made = |label| Made { host: label, metric: 3, label, second: 1, bounds: 2 };
        let points: Vec<Point> = labels.map(|l| point(&made(l), interner)).collect();
        translator.begin();
        translator.add(&points);
        translator.finish();
        packer.begin();
        while packer.next(translator).is_some() {}
    };
    run(&mut translator, 0..100, &interner);
    // Five lines per histogram, one target_info per host.
    assert_eq!(translator.sets.bound(), 600);
    for _ in 0..4 {
        interner.sweep();
    }
    translator.sweep(&interner);
    run(&mut translator, 100..200, &interner);
    assert_eq!(translator.sets.bound(), 600, "numbers are used again");
    // Series over the intern budget leave nothing but the last one's lines and the targets.
    let none = Interner::new(0);
    for _ in 0..3 {
        run(&mut translator, 0..100, &none);
    }
    assert!(translator.sets.bound() < 1700, "{}", translator.sets.bound());
}

/// PRW-27 and the counts: what is not sent is told by reason.
#[test]
fn refused_points_are_counted_by_reason() {
    let interner = Arc::new(Interner::new(16 << 20));
    let config = Config::default();
    let mut translator = Translator::new(Rules::new(&config, false, false), false);
    let delta = Made { host: 0, metric: 2, label: 0, second: 1, bounds: 0 };
    let gauge = Made { metric: 0, ..delta };
    let points: Vec<Point> = [&delta, &gauge, &delta].map(|m| point(m, &interner)).into();
    translator.begin();
    translator.add(&points);
    let refused: Vec<_> = translator
        .finish()
        .into_iter()
        .map(|(why, points, name)| (why.reason(), points, name))
        .collect();
    assert_eq!(refused, [("not_cumulative", 2, "m2".to_owned())]);
}
