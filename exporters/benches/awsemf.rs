//! EMF: time per data point, from OTLP bytes to `PutLogEvents` bodies.
//!
//! 20,000 streams (gauges, cumulative sums, histograms 4:4:2; ten metrics share a label set) in
//! requests of 500 points, each sent again and again; "point" in the names is a data point.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench is no interface"
)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_exporters::awsemf::{Preview, config::Config};
use weir_model::{
    Attributes, Histogram, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource,
    Scope, Temporality, Value,
};

const NOW_NS: u64 = 1_795_364_520_183_000_000;
const NAMES: [&str; 10] = [
    "http.server.active_requests",
    "process.memory.usage",
    "queue.depth",
    "jvm.threads.count",
    "http.server.requests",
    "http.server.errors",
    "db.client.operations",
    "messages.processed",
    "http.server.request.duration",
    "db.client.operation.duration",
];

fn text(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
}

/// Request `number` of 40, with values that differ between rounds.
fn request(number: usize, round: u64, interner: &Interner) -> Metrics {
    let resource = interner.resource(Resource {
        attributes: text(&[
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("deployment.environment", "prod"),
            ("host.name", "ip-10-0-12-34.ap-northeast-2.compute.internal"),
            ("k8s.pod.name", "checkout-6c8bf9d7b5-x2001"),
        ]),
        ..Resource::default()
    });
    let scope = interner.scope(Scope {
        name: "com.example.shop".into(),
        ..Scope::default()
    });
    let temporality = Temporality::Cumulative;
    let mut points = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let kind = match at {
            0..4 => MetricKind::Gauge,
            4..8 => MetricKind::Sum {
                temporality,
                monotonic: true,
            },
            _ => MetricKind::Histogram { temporality },
        };
        let metric = interner.metric(MetricMeta {
            unit: if at < 8 { "1" } else { "s" }.into(),
            ..MetricMeta::new(name, kind)
        });
        for set in 0..50 {
            let route = format!("/api/v1/items/ZZ{:06}", number * 50 + set);
            let mut labels = text(&[
                ("http.request.method", ["GET", "POST"][set % 2]),
                ("http.route", &route),
                ("availability_zone", "ap-northeast-2a"),
            ])
            .to_builder();
            labels.set_value("http.response.status_code", &Value::Int(200));
            let series = interner.series(&resource, &scope, &metric, labels.build());
            let count = 1_000 * (at as u64 + 1) + round * 37 + set as u64;
            let value = match kind {
                MetricKind::Histogram { .. } => PointValue::Histogram(Box::new(Histogram {
                    count,
                    sum: Some(count as f64 * 0.731),
                    min: Some(0.001),
                    max: Some(9.5),
                    bucket_counts: vec![count / 13; 13],
                    explicit_bounds: (0..12).map(f64::from).collect(),
                })),
                _ => PointValue::Double(count as f64 * 1.25),
            };
            points.push(Point::new(series, 0, NOW_NS, value));
        }
    }
    Metrics::from_points(points)
}

fn bytes(interner: &Interner) -> Vec<Bytes> {
    let mut requests = Vec::new();
    for round in 0..2 {
        for number in 0..40 {
            let mut out = Vec::new();
            request(number, round, interner).encode_otlp(&mut out);
            requests.push(out.into());
        }
    }
    requests
}

fn bench(c: &mut Criterion) {
    let interner = Arc::new(Interner::default());
    let requests = bytes(&interner);
    let decoded: Vec<Metrics> = requests
        .iter()
        .map(|b| Metrics::from_otlp(b.clone(), &interner).unwrap())
        .collect();
    let config = |rollup: &str| Config {
        namespace: "AnyCompany/App".to_owned(),
        log_group_name: "/metrics/app".to_owned(),
        log_stream_name: "bench".to_owned(),
        dimension_rollup_option: rollup.into(),
        ..Config::default()
    };
    let mut group = c.benchmark_group("awsemf");
    group.throughput(Throughput::Elements(500));
    for rollup in ["ZeroAndSingleDimensionRollup", "NoDimensionRollup"] {
        let mut preview = Preview::new(config(rollup), NOW_NS);
        let mut next = 0;
        group.bench_function(format!("translate/{rollup}"), |b| {
            b.iter(|| {
                next = (next + 1) % decoded.len();
                black_box(preview.bodies(&decoded[next], NOW_NS))
            });
        });
        group.bench_function(format!("decode and translate/{rollup}"), |b| {
            b.iter(|| {
                next = (next + 1) % requests.len();
                let batch = Metrics::from_otlp(requests[next].clone(), &interner).unwrap();
                black_box(preview.bodies(&batch, NOW_NS))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_secs(1))
        .measurement_time(std::time::Duration::from_secs(3))
        .without_plots();
    targets = bench
}
criterion_main!(benches);
