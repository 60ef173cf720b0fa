//! Cost of one sample: one hot series, and 100,000 series one after the other (cold caches); of
//! writing and reading the states of 100,000 series.
//!
//! Times are CPU time of the measuring thread, so that other work on the machine counts less.
#![allow(missing_docs)]

mod cpu_time;

use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use weir_detect::{ArchiveWriter, Seasonality, Settings, State, read_archive};

const STEP_NS: i64 = 60_000_000_000;
const START_NS: i64 = 1_740_960_000_000_000_000;

/// A daily curve with hash noise, without a libm call in the measured loop.
fn values() -> Vec<f64> {
    (0..1440_u64)
        .map(|i| {
            let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            100.0
                + 30.0 * (i as f64 / 1440.0 * std::f64::consts::TAU).sin()
                + hash as f64 / (1 << 22) as f64
        })
        .collect()
}

fn feed(state: &mut State, settings: &Settings, values: &[f64], from: usize, count: usize) {
    for i in from..from + count {
        let time = START_NS + STEP_NS * i as i64;
        let value = values[i % values.len()];
        black_box(state.observe(settings, time, time / 1_000_000_000, value, true));
    }
}

fn hot(c: &mut Criterion<CpuTime>) {
    let values = values();
    let mut group = c.benchmark_group("hot");
    for (name, seasonality) in [("full", Seasonality::Auto), ("none", Seasonality::None)] {
        let settings = Settings {
            seasonality,
            ..Settings::default()
        };
        let mut state = State::new();
        let mut at = 0;
        feed(&mut state, &settings, &values, at, 10 * 1440);
        at += 10 * 1440;
        group.throughput(Throughput::Elements(1440));
        group.bench_function(name, |b| {
            b.iter(|| {
                feed(&mut state, &settings, &values, at, 1440);
                at += 1440;
            });
        });
    }
    group.finish();
}

const SERIES: usize = 100_000;

fn cold(c: &mut Criterion<CpuTime>) {
    let values = values();
    let settings = Settings::default();
    let mut one = State::new();
    let mut at = 3 * 1440;
    feed(&mut one, &settings, &values, 0, at);
    let mut states = vec![one; SERIES];
    let mut group = c.benchmark_group("cold");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("100k series", |b| {
        b.iter(|| {
            for state in &mut states {
                feed(state, &settings, &values, at, 1);
            }
            at += 1;
        });
    });
    group.finish();
}

/// 100,000 states as an archive in memory, and back. The file around it is the processor's business
/// (`cargo bench -p weir-processors --bench anomaly`).
fn archive(c: &mut Criterion<CpuTime>) {
    let mut state = State::new();
    feed(&mut state, &Settings::default(), &values(), 0, 3 * 1440);
    let states = vec![state; SERIES];
    let write = || {
        let mut writer = ArchiveWriter::new();
        for (key, state) in (0..).zip(&states) {
            writer.series(key, "http.server.requests{host=a}", |out| state.encode(out));
        }
        writer.finish()
    };
    let bytes = write();
    let mut group = c.benchmark_group("archive of 100k series");
    group.sample_size(10);
    group.bench_function("encode", |b| b.iter(&write));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let all = read_archive(&bytes).unwrap_or_default();
            let states = all.iter().filter_map(|s| State::decode(s.payload).ok());
            states.map(|(state, _)| state).collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = hot, cold, archive
}
criterion_main!(benches);
