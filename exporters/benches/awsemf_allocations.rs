//! EMF: allocations per data point once every stream is known. Prints them and fails above the goal;
//! `cargo test` runs it too.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench is no interface"
)]

use std::alloc::System;
use std::sync::Arc;

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weir_exporters::awsemf::{Preview, config::Config};
use weir_model::{Interner, Metrics, PointValue};

mod awsemf_input;

use awsemf_input::{NOW_NS, request};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Most allocations per point on the way from points to `PutLogEvents` bodies.
const GOAL: f64 = 0.1;

/// Calls of the allocator per point, growing included.
fn per_point(points: usize, work: impl FnOnce()) -> f64 {
    let region = Region::new(COUNTED);
    work();
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / points as f64
}

fn bytes(interner: &Interner, round: u64, only_numbers: bool) -> Vec<Bytes> {
    let requests = (0..40).map(|number| {
        let mut points = request(number, round, interner).into_points();
        points.retain(|p| !only_numbers || !matches!(p.value, PointValue::Histogram(_)));
        let mut out = Vec::new();
        Metrics::from_points(points).encode_otlp(&mut out);
        out.into()
    });
    requests.collect()
}

fn measure(only_numbers: bool) -> (f64, f64) {
    let interner = Arc::new(Interner::default());
    let config = Config {
        namespace: "AnyCompany/App".to_owned(),
        log_group_name: "/metrics/app".to_owned(),
        log_stream_name: "bench".to_owned(),
        ..Config::default()
    };
    let mut preview = Preview::new(config, NOW_NS);
    let rounds = [0, 1, 2].map(|round| bytes(&interner, round, only_numbers));
    let [first, second, third] = &rounds;
    let read = |bytes: &Bytes| Metrics::from_otlp(bytes.clone(), &interner).unwrap();
    // All streams become known, and the layouts of their events.
    for bytes in first.iter().chain(second) {
        preview.bodies(&read(bytes), NOW_NS);
    }
    let batches: Vec<Metrics> = third.iter().map(read).collect();
    let points = batches.iter().map(Metrics::len).sum();
    let translate = per_point(points, || {
        for batch in &batches {
            assert!(!preview.bodies(batch, NOW_NS).is_empty());
        }
    });
    let all = per_point(points, || {
        for bytes in third {
            assert!(!preview.bodies(&read(bytes), NOW_NS).is_empty());
        }
    });
    (translate, all)
}

fn main() {
    for (what, only_numbers) in [("numbers", true), ("numbers and histograms", false)] {
        let (translate, all) = measure(only_numbers);
        println!(
            "awsemf, {what}: {translate:.4} allocations per point from points to requests, {all:.4} from OTLP"
        );
        assert!(
            translate <= GOAL,
            "{what}: {translate} allocations per point, goal {GOAL}"
        );
        assert!(
            !only_numbers || all <= GOAL,
            "{what}: {all} allocations per point, goal {GOAL}"
        );
    }
}
