//! Remote write: time per data point, from OTLP bytes to compressed requests.
//!
//! 20,000 series in requests of 500 points, each sent again and again; and batches of ten such
//! requests, as they are gathered while a destination is slow.

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
use weir_exporters::prometheusremotewrite::{Config, Preview};
use weir_model::{
    Attributes, Histogram, Interner, MetricKind, MetricMeta, Metrics, Point, PointValue, Resource,
    Scope, Temporality, Value,
};

const POINTS: usize = 500;
const REQUESTS: usize = 40;

fn text(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect()
}

/// The bytes of request `number`; every tenth point is a histogram when `histograms`.
fn request(number: usize, histograms: bool) -> Bytes {
    let interner = Interner::new(1 << 30);
    let resource = interner.resource(Resource {
        attributes: text(&[
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("service.instance.id", "checkout-6c8bf9d7b5-x2001"),
            ("host.name", "ip-10-0-12-34.ap-northeast-2.compute.internal"),
        ]),
        ..Resource::default()
    });
    let scope = interner.scope(Scope::default());
    let temporality = Temporality::Cumulative;
    let point = |at: usize| {
        let histogram = histograms && at.is_multiple_of(10);
        let kind = match (histogram, at % 2) {
            (true, _) => MetricKind::Histogram { temporality },
            (_, 0) => MetricKind::Gauge,
            _ => MetricKind::Sum {
                temporality,
                monotonic: true,
            },
        };
        let name = format!("http.server.metric.{}", at % 10);
        let metric = interner.metric(MetricMeta::new(&name, kind));
        let route = format!("/api/v1/items/{number}/{}", at / 10);
        let labels = text(&[
            ("http.method", "GET"),
            ("http.route", &route),
            ("http.status_code", "200"),
            ("region", "eu-west-1"),
            ("zone", "a"),
            ("tenant", "t1"),
        ]);
        let series = interner.series(&resource, &scope, &metric, labels);
        let value = if histogram {
            PointValue::Histogram(Box::new(Histogram {
                count: 100,
                sum: Some(1.5),
                bucket_counts: vec![5; 12],
                explicit_bounds: (0..11).map(f64::from).collect(),
                ..Histogram::default()
            }))
        } else {
            PointValue::Double(at as f64 * 0.37)
        };
        Point::new(series, 1, 1_795_364_520_183_000_000 + number as u64, value)
    };
    let mut bytes = Vec::new();
    Metrics::from_points((0..POINTS).map(point).collect()).encode_otlp(&mut bytes);
    bytes.into()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("prometheusremotewrite");
    group.throughput(Throughput::Elements((POINTS * REQUESTS) as u64));
    for (name, histograms, v2) in [
        ("numbers", false, false),
        ("numbers, protocol 2.0", false, true),
        ("one in ten a histogram of 12 buckets", true, false),
    ] {
        let requests: Vec<Bytes> = (0..REQUESTS).map(|n| request(n, histograms)).collect();
        let mut config = Config::default();
        if v2 {
            config.protobuf_message = "io.prometheus.write.v2.Request".to_owned();
        }
        let interner = Arc::new(Interner::new(1 << 30));
        let decode = || -> Vec<Metrics> {
            let decode = |b: &Bytes| Metrics::from_otlp(b.clone(), &interner).unwrap();
            requests.iter().map(decode).collect()
        };
        let mut preview = Preview::new(&config);
        for batch in decode() {
            preview.requests(&batch);
        }
        group.bench_function(format!("{name}, from bytes"), |b| {
            b.iter(|| {
                for batch in decode() {
                    black_box(preview.requests(&batch));
                }
            });
        });
        let decoded = decode();
        for batch in &decoded {
            preview.requests(batch);
        }
        group.bench_function(format!("{name}, decoded"), |b| {
            b.iter(|| {
                for batch in &decoded {
                    black_box(preview.requests(batch));
                }
            });
        });
        group.bench_function(format!("{name}, ten requests at once"), |b| {
            b.iter(|| {
                for ten in decoded.chunks(10) {
                    let mut all = Metrics::default();
                    for _ in 0..10 {
                        all.append(ten[0].clone());
                    }
                    black_box(preview.requests(&all));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
