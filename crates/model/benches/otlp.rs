//! Time per item of reading and writing OTLP: `cargo bench -p weir-model`.
//!
//! The figures are per request of 500 items; divide by 500. Points have 8 attributes in about 300
//! bytes, spans 12 attributes in about 490 bytes, the shapes of the design's measurements.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_model::{
    Attributes, Batch, Interner, Logs, LogsBuilder, MetricKind, MetricMeta, Metrics, Point,
    PointValue, Resource, Scope, Temporality, Traces, TracesBuilder, ValueRef,
};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: usize = 500;

fn resource(i: usize) -> Arc<Resource> {
    Arc::new(Resource {
        attributes: Attributes::from_iter([
            ("service.name", format!("checkout-{i}")),
            ("service.version", "1.18.3".to_owned()),
            ("k8s.pod.name", format!("checkout-{i}-7c9d8f6b5-x2x9z")),
            ("k8s.namespace.name", "shop".to_owned()),
            ("telemetry.sdk.language", "java".to_owned()),
        ]),
        ..Resource::default()
    })
}

fn scope() -> Arc<Scope> {
    Arc::new(Scope {
        name: "io.opentelemetry.http".into(),
        version: "2.4.0".into(),
        ..Scope::default()
    })
}

/// A request of number points of `ITEMS` series, from the `first` on.
fn metrics(first: usize) -> Bytes {
    let interner = Interner::default();
    let (resource, scope) = (resource(0), scope());
    let kind = MetricKind::Sum {
        temporality: Temporality::Cumulative,
        monotonic: true,
    };
    let mut points = Vec::new();
    for i in first..first + ITEMS {
        let name = format!("http.server.request.duration.{}", i % ITEMS / 50);
        let labels = Attributes::from_iter([
            ("http.request.method", "GET".to_owned()),
            ("http.response.status_code", format!("{}", 200 + i % 7)),
            ("http.route", format!("/api/v1/orders/{}/items", i % 50)),
            ("network.protocol.version", "1.1".to_owned()),
            ("server.address", format!("node-{}.shop.internal", i / 50)),
            ("server.port", "8443".to_owned()),
            ("url.scheme", "https".to_owned()),
            ("user_agent.family", "Mozilla".to_owned()),
        ]);
        let metric = interner.metric(MetricMeta::new(&name, kind));
        let series = interner.series(&resource, &scope, &metric, labels);
        let value = PointValue::Double(i as f64 + 0.25);
        points.push(Point::new(
            series,
            1_700_000_000_000_000_000,
            1_700_000_060_000_000_000,
            value,
        ));
    }
    encode(&Batch::metrics(Metrics::from_points(points)))
}

fn encode(batch: &Batch) -> Bytes {
    let mut out = Vec::new();
    batch.encode_otlp(&mut out);
    out.into()
}

fn traces() -> Bytes {
    let (resource, scope) = (resource(0), scope());
    let mut builder = TracesBuilder::default();
    for i in 0..ITEMS {
        let mut span = builder.push(&resource, &scope);
        let mut id = [0x9a; 16];
        id[..8].copy_from_slice(&(i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        span.set_ids(&id, &id[..8], &id[1..9]);
        span.set_name("GET /api/v1/orders/{id}");
        span.set_kind(2);
        span.set_times(1_700_000_000_123_456_789, 1_700_000_000_223_456_789);
        span.set("http.request.method", ValueRef::Str("GET"));
        span.set("http.response.status_code", ValueRef::Int(200));
        span.set("http.route", ValueRef::Str("/api/v1/orders/{id}"));
        span.set("url.path", ValueRef::Str(&format!("/api/v1/orders/{i}")));
        span.set("url.scheme", ValueRef::Str("https"));
        span.set("server.address", ValueRef::Str("node-7.shop.internal"));
        span.set("server.port", ValueRef::Int(8443));
        span.set("network.peer.address", ValueRef::Str("10.12.14.16"));
        span.set("user_agent.original", ValueRef::Str("Mozilla/5.0 (X11)"));
        span.set("thread.id", ValueRef::Int(47));
        span.set("sampled", ValueRef::Bool(true));
        span.set("queue.ratio", ValueRef::Double(0.75));
    }
    encode(&Batch::traces(builder.finish()))
}

fn logs() -> Bytes {
    let (resource, scope) = (resource(0), scope());
    let mut builder = LogsBuilder::default();
    for i in 0..ITEMS {
        let mut record = builder.push(&resource, &scope);
        record.set_times(1_700_000_000_123_456_789, 1_700_000_000_223_456_789);
        record.set_severity(9, "INFO");
        record.set_body(ValueRef::Str(&format!(
            "order {i} accepted by the payment service after 2 attempts in 183 ms"
        )));
        record.set_trace(&[7; 16], &[9; 8], 1);
        record.set("logger", ValueRef::Str("com.shop.orders.OrderService"));
        record.set("thread.name", ValueRef::Str("http-nio-8080-exec-12"));
        record.set("order.id", ValueRef::Int(i as i64));
        record.set("customer.tier", ValueRef::Str("gold"));
    }
    encode(&Batch::logs(builder.finish()))
}

/// What a consumer does at least: look at every string and number.
fn walk_attributes<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> usize {
    attributes
        .map(|(key, value)| {
            key.len()
                + match value {
                    ValueRef::Str(s) => s.len(),
                    ValueRef::Int(i) => i as usize & 1,
                    ValueRef::Double(d) => d.to_bits() as usize & 1,
                    _ => 0,
                }
        })
        .sum()
}

fn walk_spans(traces: &Traces) -> usize {
    traces
        .spans()
        .map(|span| {
            span.name().len() + span.trace_id().len() + walk_attributes(span.attributes().iter())
        })
        .sum()
}

fn bench_metrics(c: &mut Criterion) {
    let mut group = c.benchmark_group("metrics");
    let one = metrics(0);
    println!("{} bytes per point", one.len() / ITEMS);
    group.throughput(Throughput::Elements(ITEMS as u64));
    let interner = Arc::default();
    group.bench_function("check", |b| {
        b.iter(|| {
            Metrics::from_otlp(black_box(one.clone()), &interner)
                .unwrap()
                .len()
        });
    });
    group.bench_function("read_warm", |b| {
        b.iter(|| {
            let batch = Metrics::from_otlp(black_box(one.clone()), &interner).unwrap();
            batch.points().map(|p| p.time_ns & 1).sum::<u64>()
        });
    });
    let batch = Metrics::from_points(
        Metrics::from_otlp(one.clone(), &interner)
            .unwrap()
            .into_points(),
    );
    let mut out = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            batch.encode_otlp(&mut out);
            out.len()
        });
    });
    // 200,000 series in turn: the tables no longer fit the caches.
    let many: Vec<Bytes> = (0..400).map(|i| metrics(i * ITEMS)).collect();
    let interner = Arc::default();
    let mut at = 0;
    group.bench_function("read_200k_series", |b| {
        b.iter(|| {
            at = (at + 1) % many.len();
            let batch = Metrics::from_otlp(many[at].clone(), &interner).unwrap();
            batch.points().map(|p| p.time_ns & 1).sum::<u64>()
        });
    });
    group.finish();
}

fn bench_traces(c: &mut Criterion) {
    let mut group = c.benchmark_group("traces");
    let one = traces();
    println!("{} bytes per span", one.len() / ITEMS);
    group.throughput(Throughput::Elements(ITEMS as u64));
    let interner = Arc::default();
    group.bench_function("check", |b| {
        b.iter(|| {
            Traces::from_otlp(black_box(one.clone()), &interner)
                .unwrap()
                .len()
        });
    });
    group.bench_function("flatten", |b| {
        b.iter(|| {
            let batch = Traces::from_otlp(black_box(one.clone()), &interner).unwrap();
            batch.spans().count()
        });
    });
    group.bench_function("flatten_walk", |b| {
        b.iter(|| walk_spans(&Traces::from_otlp(black_box(one.clone()), &interner).unwrap()));
    });
    let batch = Traces::from_otlp(one.clone(), &interner).unwrap();
    group.bench_function("walk", |b| b.iter(|| walk_spans(black_box(&batch))));
    let mut flat = batch.clone();
    flat.for_each_mut(|span| span.set("k8s.cluster.name", ValueRef::Str("prod")));
    let mut out = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            flat.encode_otlp(&mut out);
            out.len()
        });
    });
    group.bench_function("flatten_set_encode", |b| {
        b.iter(|| {
            let mut batch = Traces::from_otlp(black_box(one.clone()), &interner).unwrap();
            batch.for_each_mut(|span| span.set("k8s.cluster.name", ValueRef::Str("prod")));
            out.clear();
            batch.encode_otlp(&mut out);
            out.len()
        });
    });
    group.finish();
}

fn bench_logs(c: &mut Criterion) {
    let mut group = c.benchmark_group("logs");
    let one = logs();
    println!("{} bytes per record", one.len() / ITEMS);
    group.throughput(Throughput::Elements(ITEMS as u64));
    let interner = Arc::default();
    group.bench_function("check", |b| {
        b.iter(|| {
            Logs::from_otlp(black_box(one.clone()), &interner)
                .unwrap()
                .len()
        });
    });
    group.bench_function("flatten_walk", |b| {
        b.iter(|| {
            let batch = Logs::from_otlp(black_box(one.clone()), &interner).unwrap();
            let record = |r: weir_model::LogRef<'_>| {
                r.body().as_str().map_or(0, str::len) + walk_attributes(r.attributes().iter())
            };
            batch.records().map(record).sum::<usize>()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(1200))
        .sample_size(20);
    targets = bench_metrics, bench_traces, bench_logs
}
criterion_main!(benches);
