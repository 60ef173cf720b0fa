//! Nanoseconds per span from a flat batch to finished `PutTraceSegments` bodies.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_model::series::{Resource, Scope};
use weir_model::{Attributes, Interner, Traces, TracesBuilder, ValueRef};
use weir_xray::{Body, Request, Settings, Translator};

/// Name, kind and attributes of a span.
type Shape = (
    &'static str,
    i32,
    &'static [(&'static str, ValueRef<'static>)],
);

/// The spans of a trace: server, two internal, HTTP client, database client.
const TRACE: [Shape; 5] = {
    use ValueRef::{Int, Str};
    let work: Shape = (
        "CartService.priceItems",
        1,
        &[
            ("code.function", Str("priceItems")),
            ("thread.name", Str("worker-7")),
            ("cart.items", Int(3)),
            ("cart.currency", Str("KRW")),
        ],
    );
    let server: Shape = (
        "GET /api/v1/items/{id}",
        2,
        &[
            ("http.request.method", Str("GET")),
            ("url.scheme", Str("https")),
            ("url.path", Str("/api/v1/items/4711")),
            ("server.address", Str("shop.example.com")),
            ("http.route", Str("/api/v1/items/{id}")),
            ("http.response.status_code", Int(200)),
            (
                "user_agent.original",
                Str("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0"),
            ),
            ("client.address", Str("203.0.113.17")),
        ],
    );
    let call: Shape = (
        "POST",
        3,
        &[
            ("http.request.method", Str("POST")),
            (
                "url.full",
                Str("http://pricing.shop.svc.cluster.local:8080/v2/quote"),
            ),
            ("server.address", Str("pricing.shop.svc.cluster.local")),
            ("server.port", Int(8080)),
            ("http.response.status_code", Int(200)),
        ],
    );
    let query: Shape = (
        "SELECT shop.items",
        3,
        &[
            ("db.system", Str("postgresql")),
            ("db.name", Str("shop")),
            (
                "db.statement",
                Str("SELECT id, name, price FROM items WHERE id = $1 AND active"),
            ),
            ("db.user", Str("app")),
            ("server.address", Str("db.shop.internal")),
            ("server.port", Int(5432)),
        ],
    );
    [server, work, work, call, query]
};

const RESOURCE: [(&str, &str); 10] = [
    ("service.name", "checkout-0"),
    ("service.namespace", "shop"),
    ("service.version", "1.42.0"),
    ("deployment.environment", "prod"),
    ("host.name", "ip-10-0-12-34.ap-northeast-2.compute.internal"),
    ("cloud.provider", "aws"),
    ("cloud.region", "ap-northeast-2"),
    ("k8s.namespace.name", "shop"),
    ("k8s.pod.name", "checkout-6c8bf9d7b5-x2000"),
    ("k8s.node.name", "ip-10-0-12-34"),
];

/// A request as OTLP bytes, about 280 a span.
fn batch(spans: usize) -> Vec<u8> {
    let resource = Arc::new(Resource {
        attributes: RESOURCE.into_iter().collect::<Attributes>(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope::default());
    let mut builder = TracesBuilder::default();
    for index in 0..spans {
        let (name, kind, attributes) = TRACE[index % 5];
        let mut span = builder.push(&resource, &scope);
        let number = index as u64 + 1;
        let mut trace_id = [7; 16];
        trace_id[8..].copy_from_slice(&(number / 5).to_be_bytes());
        let parent = (number - index as u64 % 5).to_be_bytes();
        let parent: &[u8] = if index % 5 == 0 { &[] } else { &parent };
        span.set_ids(&trace_id, &number.to_be_bytes(), parent);
        span.set_name(name);
        span.set_kind(kind);
        span.set_times(1_795_364_000_123_456_789, 1_795_364_000_987_654_321);
        for (key, value) in attributes {
            span.set(key, *value);
        }
        if index % 5 == 1 {
            span.add_event(1_795_364_000_500_000_000, "cache.miss")
                .set("cache.key", ValueRef::Str("item:4711"));
        }
    }
    let mut bytes = Vec::new();
    builder.finish().encode_otlp(&mut bytes);
    bytes
}

fn bodies(traces: &Traces, settings: &Settings) -> Vec<Request> {
    let mut translator = Translator::new(settings, 1_795_364_000);
    let (mut body, mut requests) = (Body::default(), Vec::new());
    for span in traces.spans().enumerate() {
        let added = translator.add(span, &mut body, |body| requests.extend(body.finish()));
        added.unwrap();
    }
    requests.extend(body.finish());
    requests
}

fn per_span(c: &mut Criterion) {
    let interner = Arc::new(Interner::default());
    let indexed = ["http.route", "otel.resource.service.name"];
    let indexed = Settings {
        indexed: indexed.into_iter().map(Into::into).collect(),
        ..Settings::default()
    };
    for (name, settings) in [("plain", Settings::default()), ("indexed", indexed)] {
        let bytes = Bytes::from(batch(100));
        let traces = Traces::from_otlp(bytes.clone(), &interner).unwrap();
        let made = bodies(&traces, &settings);
        let sent: usize = made.iter().map(|request| request.bytes.len()).sum();
        let mut group = c.benchmark_group(format!("xray/{name}, {} bytes a span", sent / 100));
        group.throughput(Throughput::Elements(100));
        group.bench_function("from decoded spans", |b| {
            b.iter(|| black_box(bodies(black_box(&traces), &settings)));
        });
        group.bench_function("from OTLP bytes", |b| {
            b.iter(|| {
                let traces = Traces::from_otlp(bytes.clone(), &interner).unwrap();
                black_box(bodies(&traces, &settings))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, per_span);
criterion_main!(benches);
