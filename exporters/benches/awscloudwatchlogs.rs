//! CloudWatch Logs: time per log record, from OTLP bytes to `PutLogEvents` bodies.
//!
//! Requests of 500 records of one service: a line of about 120 bytes or a map of five members,
//! six attributes, trace and span id.

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
use weir_exporters::awscloudwatchlogs::{Config, preview};
use weir_model::{Interner, Logs, LogsBuilder, Resource, Scope, Value, ValueRef};

const NOW_MS: i64 = 1_795_364_520_183;
const RECORDS: u64 = 500;

fn request() -> Bytes {
    let pairs = [
        ("service.name", "checkout"),
        ("service.namespace", "shop"),
        ("deployment.environment", "prod"),
        ("host.name", "ip-10-0-12-34.ap-northeast-2.compute.internal"),
        ("k8s.pod.name", "checkout-6c8bf9d7b5-x2001"),
    ];
    let resource = Arc::new(Resource {
        attributes: pairs.iter().map(|(k, v)| (*k, Value::from(*v))).collect(),
        ..Resource::default()
    });
    let scope = Arc::new(Scope {
        name: "com.example.shop".into(),
        ..Scope::default()
    });
    let mut builder = LogsBuilder::default();
    for at in 0..RECORDS {
        let mut record = builder.push(&resource, &scope);
        record.set_times((NOW_MS as u64 + at) * 1_000_000, 0);
        record.set_severity(9, "INFO");
        if at % 2 == 0 {
            record.set_body(ValueRef::Str(
                "GET /api/v1/items/ZZ000123 \"checkout\" 200 in 12.5 ms, 3 items of 2 shops, cart \
                 8f14e45f-ceea-467f-a8f1, cache hit",
            ));
        } else {
            record.set_body_value(&Value::Map(vec![
                ("message".to_owned(), "item added to the cart".into()),
                ("item".to_owned(), "ZZ000123".into()),
                ("count".to_owned(), Value::Int(3)),
                ("price".to_owned(), Value::Double(12.5)),
                ("gift".to_owned(), Value::Bool(false)),
            ]));
        }
        record.set("http.request.method", ValueRef::Str("GET"));
        record.set("http.route", ValueRef::Str("/api/v1/items/{item}"));
        record.set("http.response.status_code", ValueRef::Int(200));
        record.set("thread.name", ValueRef::Str("worker-17"));
        record.set("duration_ms", ValueRef::Double(12.5));
        record.set("retried", ValueRef::Bool(false));
        record.set_trace(&[7; 16], &at.to_be_bytes(), 1);
    }
    let mut bytes = Vec::new();
    builder.finish().encode_otlp(&mut bytes);
    bytes.into()
}

fn benches(c: &mut Criterion) {
    let config = |raw_log| Config {
        log_group_name: "/app/{ServiceName}".to_owned(),
        log_stream_name: "{PodName}".to_owned(),
        raw_log,
        ..Config::default()
    };
    let interner = Arc::new(Interner::default());
    let bytes = request();
    let mut group = c.benchmark_group("awscloudwatchlogs");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, raw_log) in [("json", false), ("raw", true)] {
        let config = config(raw_log);
        let logs = Logs::from_otlp(bytes.clone(), &interner).unwrap();
        group.bench_function(format!("records to {name} events"), |b| {
            b.iter(|| black_box(preview(&config, &logs, NOW_MS)));
        });
        group.bench_function(format!("OTLP bytes to {name} events"), |b| {
            b.iter(|| {
                let logs = Logs::from_otlp(bytes.clone(), &interner).unwrap();
                black_box(preview(&config, &logs, NOW_MS))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = benches
}
criterion_main!(all);
