//! The anomaly processor: cost of a point by the way findings leave, and with 100,000 series that take
//! turns; a snapshot of those, and its loading at the start.
//!
//! The points pass at the times of their series; times are CPU time of the measuring thread, but
//! for the snapshot: wall-clock time, with the waiting for the disk.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench is no interface"
)]

mod anomaly_input;
#[path = "../../crates/detect/benches/cpu_time/mod.rs"]
mod cpu_time;

use anomaly_input::Rig;
use cpu_time::CpuTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const MANY: usize = 100_000;

fn point(c: &mut Criterion<CpuTime>) {
    const FEW: usize = 1000;
    let mut group = c.benchmark_group("anomaly, point");
    group.throughput(Throughput::Elements(FEW as u64));
    for emit in ["log", "attributes", "companion"] {
        // 300 rounds of ten minutes: two days, the season takes part
        let mut rig = Rig::new(&format!("{{emit: {emit}}}"), FEW, 600, None);
        rig.settle(300);
        measure(&mut group, &format!("1,000 series, emit {emit}"), &mut rig);
    }
    group
        .sample_size(10)
        .throughput(Throughput::Elements(MANY as u64));
    for emit in ["log", "companion"] {
        let yaml = format!("{{emit: {emit}, max_series: 200000, max_state: 1GiB}}");
        let mut rig = Rig::new(&yaml, MANY, 1800, None);
        rig.settle(100);
        measure(
            &mut group,
            &format!("100,000 series, emit {emit}"),
            &mut rig,
        );
    }
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, CpuTime>;

fn measure(group: &mut Group<'_>, name: &str, rig: &mut Rig) {
    let rig = std::cell::RefCell::new(rig);
    group.bench_function(name, |b| {
        b.iter_batched(
            || rig.borrow_mut().round(),
            |mut batches| {
                rig.borrow().apply(&mut batches);
                batches
            },
            BatchSize::PerIteration,
        );
    });
}

fn snapshot(c: &mut Criterion) {
    const YAML: &str = "{emit: log, max_series: 200000, max_state: 1GiB}";
    let folder = tempfile::tempdir().unwrap();
    // an hour and more: every series has its season
    let mut rig = Rig::new(YAML, MANY, 1800, Some(folder.path()));
    rig.settle(4);
    let mut group = c.benchmark_group("anomaly, state of 100,000 series");
    group.sample_size(10);
    group.bench_function("save", |b| b.iter(|| rig.anomaly.stop()));
    let file = folder.path().join("anomaly-bench.state");
    let bytes = std::fs::metadata(file).unwrap().len();
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("load", |b| {
        b.iter(|| Rig::new(YAML, 0, 1800, Some(folder.path())));
    });
    group.finish();
}

criterion_group! {
    name = points;
    config = Criterion::default().with_measurement(CpuTime);
    targets = point
}
criterion_group!(state, snapshot);
criterion_main!(points, state);
