//! Memory of one series as the allocator counts it, early and full, with and without seasons; CPU time of a
//! sample. Prints both and fails above the goals. `cargo test` runs it too, without the times: they mean
//! something in an optimised build only, and are the best of several rounds, as other work on the machine
//! can only add to them.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench is no interface")]

mod cpu_time;

use std::alloc::System;
use std::hint::black_box;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use weir_detect::{Seasonality, Settings, State};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERIES: usize = 1000;
const MINUTE_NS: i64 = 60_000_000_000;
const START_NS: i64 = 1_740_960_000_000_000_000;
/// Most bytes of a series with a season, and of one without or in its first hour.
const FULL: f64 = 1.4 * 1024.0;
const LITE: f64 = 384.0;
/// Most CPU time of a sample whose series is in the caches, and of one among 100,000 series, ns.
const HOT_NS: f64 = 300.0;
const COLD_NS: f64 = 1000.0;

/// Bytes per series still allocated after so many minutes.
fn per_series(seasonality: Seasonality, minutes: i64) -> f64 {
    let settings = Settings {
        seasonality,
        ..Settings::default()
    };
    let region = Region::new(COUNTED);
    let mut states: Vec<State> = Vec::with_capacity(SERIES);
    states.resize_with(SERIES, State::new);
    for state in &mut states {
        for minute in 0..minutes {
            let time = START_NS + minute * MINUTE_NS;
            let value = 100.0 + (minute * 7919 % 101) as f64;
            state.observe(&settings, time, time / 1_000_000_000, value, true);
        }
    }
    let change = region.change();
    let kept = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    drop(states);
    kept / SERIES as f64
}

/// Least CPU time of a sample over some rounds, ns. Each of the series gets `each` samples at a time.
fn per_sample(series: usize, each: i64, rounds: i64) -> f64 {
    let settings = Settings::default();
    let feed = |state: &mut State, minutes: std::ops::Range<i64>| {
        for minute in minutes {
            let time = START_NS + minute * MINUTE_NS;
            let value = 100.0 + (minute * 7919 % 101) as f64;
            black_box(state.observe(&settings, time, time / 1_000_000_000, value, true));
        }
    };
    let old = 3 * 1440;
    let mut state = State::new();
    feed(&mut state, 0..old);
    let mut states = vec![state; series];
    let times = (0..rounds).map(|round| {
        let from = old + round * each;
        let start = cpu_time::now();
        for state in &mut states {
            feed(state, from..from + each);
        }
        let spent = cpu_time::now().saturating_sub(start);
        spent.as_nanos() as f64 / (series as f64 * each as f64)
    });
    times.fold(f64::INFINITY, f64::min)
}

fn times() {
    for (name, series, each, rounds, goal) in [
        ("hot", 1, 1440, 200, HOT_NS),
        ("of 100,000 series in turn", 100_000, 1, 10, COLD_NS),
    ] {
        let ns = per_sample(series, each, rounds);
        println!("{ns:.0} ns a sample, {name} (goal {goal:.0})");
        assert!(ns <= goal, "{name}: {ns} ns a sample, goal {goal}");
    }
}

fn main() {
    if !cfg!(debug_assertions) {
        times();
    }
    for (name, seasonality, minutes, goal) in [
        ("in its first hour", Seasonality::Auto, 55, LITE),
        (
            "lite: seasonality none, three days old",
            Seasonality::None,
            3 * 1440,
            LITE,
        ),
        ("full: three days old", Seasonality::Auto, 3 * 1440, FULL),
    ] {
        let bytes = per_series(seasonality, minutes);
        println!("{bytes:.0} bytes a series {name} (goal {goal:.0})");
        assert!(bytes <= goal, "{name}: {bytes} bytes a series, goal {goal}");
    }
}
