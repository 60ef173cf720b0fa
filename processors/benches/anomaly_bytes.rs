//! The anomaly processor: memory of one series as the allocator counts it, with all that the processor
//! keeps about it. Prints it and fails above the goals; `cargo test` runs it too.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is no interface"
)]

mod anomaly_input;

use std::alloc::System;

use anomaly_input::Rig;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A power of two, as the tables grow in such steps.
const SERIES: usize = 1 << 13;

/// Bytes per series that the processor holds after so many points half an hour apart.
fn per_series(yaml: &str, rounds: usize) -> f64 {
    let mut rig = Rig::new(yaml, SERIES, 1800, None);
    let region = Region::new(COUNTED);
    rig.settle(rounds);
    let change = region.change();
    let grown = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    grown / SERIES as f64
}

fn main() {
    for (name, yaml, rounds, goal) in [
        (
            "lite: seasonality none",
            "{emit: log, seasonality: none, max_series: 20000}",
            10,
            600.0,
        ),
        ("full", "{emit: log, max_series: 20000}", 10, 1536.0),
        ("full, emit companion", "{max_series: 20000}", 10, 2800.0),
    ] {
        let bytes = per_series(yaml, rounds);
        println!("{bytes:.0} bytes a series, {name} (at most {goal:.0})");
        assert!(
            bytes <= goal,
            "{name}: {bytes} bytes a series, at most {goal}"
        );
    }
}
