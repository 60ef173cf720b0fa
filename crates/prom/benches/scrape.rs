//! Cost of a sample from the text of a body to the cached value of its series: parse and look-up,
//! for a target that fits the caches of the processor and for one that does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::print_stdout, clippy::let_underscore_must_use)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_prom::cache::{Lookup, ScrapeCache};
use weir_prom::exposition::{Block, Scanner, Step, TextFormat};
use weir_prom::labels::LabelSet;

/// A page of `series` samples in families of 100.
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

/// One scrape; the sum keeps the work alive.
fn scrape(
    scanner: &mut Scanner,
    cache: &mut ScrapeCache<u64>,
    body: &[u8],
    set: &mut LabelSet,
) -> f64 {
    scanner.restart(TextFormat::Prometheus);
    cache.begin();
    let mut block = Block::new(body, true);
    let mut sum = 0.0;
    loop {
        match scanner.step(&mut block, cache).unwrap() {
            Step::Sample(sample) => {
                let place = if sample.known {
                    cache.advance().unwrap()
                } else {
                    match cache.look_up(sample.series) {
                        Lookup::Known(place) | Lookup::Repeated(place) => place,
                        Lookup::New => {
                            scanner.labels_into(sample.series, set).unwrap();
                            cache.insert(sample.series, set.len() as u64).unwrap()
                        }
                    }
                };
                *cache.value(place).unwrap() += 1;
                sum += sample.value;
            }
            Step::Metadata(metadata) => {
                if metadata.entry.is_none() {
                    cache.advance();
                } else if cache.look_up(metadata.line) == Lookup::New {
                    cache.insert(metadata.line, 0).unwrap();
                }
            }
            Step::End => break,
            Step::NeedMore => panic!("one block"),
        }
    }
    cache.finish(|_| {});
    sum
}

fn parse_and_look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse_and_look_up");
    group.sample_size(20);
    for series in [200, 2_000, 200_000] {
        let body = page(series);
        let mut scanner = Scanner::new(TextFormat::Prometheus);
        let mut cache = ScrapeCache::new(1);
        let mut set = LabelSet::new();
        scrape(&mut scanner, &mut cache, body.as_bytes(), &mut set);
        println!(
            "{series} series: {} bytes of text and {} bytes of cache per series",
            body.len() / series,
            cache.bytes() / series
        );
        group.throughput(Throughput::Elements(series as u64));
        group.bench_with_input(BenchmarkId::new("unchanged", series), &body, |b, body| {
            b.iter(|| black_box(scrape(&mut scanner, &mut cache, body.as_bytes(), &mut set)));
        });
    }
    // One family is new in every other scrape: the order changes, and lines are searched.
    let body = page(2_000);
    let churned = format!("{body}# TYPE extra gauge\nextra 1\n");
    let mut scanner = Scanner::new(TextFormat::Prometheus);
    let mut cache = ScrapeCache::new(1);
    let mut set = LabelSet::new();
    group.throughput(Throughput::Elements(4_000));
    group.bench_function("series_comes_and_goes/2000", |b| {
        b.iter(|| {
            scrape(&mut scanner, &mut cache, churned.as_bytes(), &mut set);
            black_box(scrape(&mut scanner, &mut cache, body.as_bytes(), &mut set))
        });
    });
    let mut halves: Vec<&str> = body.lines().collect();
    halves.rotate_left(1000);
    let turned = halves.join("\n");
    group.bench_function("order_changes/2000", |b| {
        b.iter(|| {
            scrape(&mut scanner, &mut cache, turned.as_bytes(), &mut set);
            black_box(scrape(&mut scanner, &mut cache, body.as_bytes(), &mut set))
        });
    });
    group.throughput(Throughput::Elements(2_000));
    group.bench_function("first_scrape/2000", |b| {
        b.iter(|| {
            cache.clear();
            black_box(scrape(&mut scanner, &mut cache, body.as_bytes(), &mut set))
        });
    });
    group.finish();
}

criterion_group!(benches, parse_and_look_up);
criterion_main!(benches);
