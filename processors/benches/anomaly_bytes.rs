//! The anomaly processor: memory of one series as the allocator counts it, with all that the processor
//! keeps about it. Prints it and fails above the bounds; `cargo test` runs it too.
//!
//! The goal of a full series, 1.4 KiB, holds with the processor's part. That of a lite one, 384 bytes, holds
//! for the detector's state only (`cargo bench -p weir-detect --bench goals`): here the bound is what both
//! take together.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench is no interface"
)]

mod anomaly_input;

use std::alloc::System;
use std::path::Path;

use anomaly_input::Rig;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A power of two, as the tables grow in such steps.
const SERIES: usize = 1 << 13;

/// Points of each series: enough for a judgement, after which there are companions.
const ROUNDS: usize = 45;

/// Bytes per series that the processor holds after some points half an hour apart.
fn per_series(yaml: &str, folder: Option<&Path>) -> f64 {
    let mut rig = Rig::new(yaml, SERIES, 1800, folder);
    let region = Region::new(COUNTED);
    rig.settle(ROUNDS);
    let change = region.change();
    let grown = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    grown / SERIES as f64
}

fn main() {
    const LITE: &str = "{emit: log, seasonality: none, max_series: 20000}";
    const FULL: &str = "{emit: log, max_series: 20000}";
    let folder = tempfile::tempdir().unwrap();
    for (name, yaml, folder, most) in [
        ("lite: seasonality none", LITE, None, 512.0),
        ("full", FULL, None, 1.4 * 1024.0),
        // the name of each, for `weir state inspect`: here 53 to 58 bytes
        (
            "full, with a data directory",
            FULL,
            Some(folder.path()),
            1.4 * 1024.0 + 60.0,
        ),
        ("full, emit companion", "{max_series: 20000}", None, 1700.0),
    ] {
        let bytes = per_series(yaml, folder);
        println!("{bytes:.0} bytes a series, {name} (at most {most:.0})");
        assert!(
            bytes <= most,
            "{name}: {bytes} bytes a series, at most {most}"
        );
    }
}
