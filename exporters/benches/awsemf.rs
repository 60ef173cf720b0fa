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
use weir_model::{Interner, Metrics};

mod awsemf_input;

use awsemf_input::{NOW_NS, request};

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
