//! Scrape to remote write: time per sample from the text of a page to points, and on to the
//! compressed body of a request, with label bytes kept per series as an exporter may do.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::let_underscore_must_use,
    reason = "a bench is no interface"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_model::{Interner, Point, SeriesTable};
use weir_prom::write::{RequestV1, Sample, SnappyBlock, push_label};
use weir_receivers::prometheus::PageReader;

const TIME_MS: i64 = 1_795_364_520_183;

/// A page of counters and gauges, 100 series a family, four labels each.
fn page(series: usize) -> String {
    let mut body = String::new();
    for n in 0..series {
        let family = n / 100;
        if n % 100 == 0 {
            let _ = writeln!(
                body,
                "# HELP app_requests_{family}_total Requests by route and code."
            );
            let _ = writeln!(body, "# TYPE app_requests_{family}_total counter");
        }
        let _ = writeln!(
            body,
            "app_requests_{family}_total{{code=\"{}\",method=\"GET\",route=\"/api/v1/items/{}\",shard=\"{}\"}} {}.{}",
            200 + n % 5,
            n % 100,
            n % 7,
            n * 37,
            n % 10
        );
    }
    body
}

/// Resident memory in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The bytes of a series' labels in protocol 1.0.
fn labels(point: &Point) -> Box<[u8]> {
    let mut out = Vec::new();
    push_label(&mut out, "__name__", &point.series.metric().name);
    for (name, value) in point.series.labels().iter() {
        push_label(&mut out, name, &value.to_text());
    }
    out.into()
}

fn encode(points: &[Point], table: &mut SeriesTable<Box<[u8]>>, request: &mut RequestV1) {
    request.clear();
    for point in points {
        let labels = table.get_or_insert_with(&point.series, || labels(point));
        let value = point.value.as_f64().unwrap_or_default();
        let timestamp_ms = i64::try_from(point.time_ns / 1_000_000).unwrap();
        request.push_sample(
            labels,
            Sample {
                value,
                timestamp_ms,
            },
        );
    }
}

fn scrape(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape");
    group.sample_size(15);
    for series in [200, 2_000, 200_000] {
        let body = page(series);
        let interner = Arc::new(Interner::new(1 << 30));
        let before = resident();
        let mut reader = PageReader::new(interner.clone(), "10.0.0.1:9100");
        drop(reader.text(body.as_bytes(), TIME_MS).unwrap());
        drop(reader.text(body.as_bytes(), TIME_MS).unwrap());
        if series >= 200_000 {
            println!(
                "{series} series: {} bytes each resident after two scrapes, {} of them cache, {} interned",
                (resident() - before) / series,
                reader.cache_bytes() / series,
                interner.stats().used_bytes / series
            );
        }
        group.throughput(Throughput::Elements(series as u64));
        group.bench_with_input(
            BenchmarkId::new("page_to_points", series),
            &body,
            |b, body| {
                b.iter(|| black_box(reader.text(body.as_bytes(), TIME_MS).unwrap()));
            },
        );
        let mut table = SeriesTable::default();
        let (mut request, mut block) = (RequestV1::new(), SnappyBlock::default());
        let mut out = Vec::new();
        group.bench_with_input(
            BenchmarkId::new("page_to_request", series),
            &body,
            |b, body| {
                b.iter(|| {
                    let points = reader.text(body.as_bytes(), TIME_MS).unwrap();
                    encode(&points, &mut table, &mut request);
                    block.compress(request.body(), &mut out).unwrap();
                    black_box(out.len())
                });
            },
        );
    }
    let body = page(2_000);
    group.throughput(Throughput::Elements(2_000));
    group.bench_function("first_page/2000", |b| {
        b.iter(|| {
            let interner = Arc::new(Interner::default());
            let mut reader = PageReader::new(interner, "10.0.0.1:9100");
            black_box(reader.text(body.as_bytes(), TIME_MS).unwrap())
        });
    });
    group.finish();
}

criterion_group!(benches, scrape);
criterion_main!(benches);
