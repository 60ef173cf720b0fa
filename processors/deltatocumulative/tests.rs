#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_core::clock::ManualClock;
use weir_core::{BuildCtx, Signal};

use super::{Config, DeltaToCumulative};
use crate::testing::{applied, batch, context, decode};

struct Bench {
    processor: DeltaToCumulative,
    clock: Arc<ManualClock>,
    cx: BuildCtx,
}

fn bench(config: &Config) -> Bench {
    let mut cx = context(Signal::Metrics);
    let clock = Arc::new(ManualClock::at(0));
    cx.clock = clock.clone();
    Bench { processor: DeltaToCumulative::new(config, &cx), clock, cx }
}

impl Bench {
    /// What becomes of metrics, as OTLP/JSON; null if nothing is left.
    fn apply(&self, metrics: &Value) -> Value {
        let body = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
        let mut batch = batch(Signal::Metrics, &body, &self.cx.interner);
        let json = applied(&self.processor, &mut batch);
        json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone()
    }

    /// Start, time and value of a delta sum's point after the processor.
    fn sum(&self, start: u64, time: u64, value: i64) -> Option<(u64, u64, i64)> {
        let metrics = self.apply(&json!([sum(start, time, value)]));
        let sum = metrics.get(0)?.get("sum")?;
        assert_eq!(sum["aggregationTemporality"], 2);
        let point = &sum["dataPoints"][0];
        let number = |key: &str| point[key].as_str().map_or(0, |text| text.parse::<i64>().unwrap());
        Some((
            number("startTimeUnixNano").cast_unsigned(),
            number("timeUnixNano").cast_unsigned(),
            number("asInt"),
        ))
    }

    fn dropped(&self, reason: &str) -> u64 {
        let text = self.cx.telemetry.encode();
        let line = text.lines().find(|line| line.contains(&format!("error=\"{reason}\"")));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn sum(start: u64, time: u64, value: i64) -> Value {
    json!({"name": "s", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints":
        [{"startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(), "asInt": value.to_string()}]}})
}

#[test]
fn defaults_and_errors() {
    let config: Config = decode("{}").unwrap();
    assert_eq!(config.max_stale, weir_config::Duration::from_mins(5));
    assert_eq!(config.max_streams, 500_000);
    for (yaml, error) in [
        ("max_stale: 0s", "max_stale"),
        ("max_streams: 0", "max_streams"),
        ("max_streem: 1", "unknown key"),
    ] {
        assert!(decode::<Config>(yaml).unwrap_err().contains(error), "{yaml}");
    }
}

#[test]
fn points_become_the_sum_since_the_stream_began() {
    let bench = bench(&Config::default());
    assert_eq!(bench.sum(1, 10, 5), Some((1, 10, 5)));
    assert_eq!(bench.sum(10, 20, 7), Some((1, 20, 12)));
    // A gap does not start anew: a server that reads no start times would take 13 for an increase by 1.
    assert_eq!(bench.sum(50, 60, 1), Some((1, 60, 13)));
    assert_eq!(bench.cx.telemetry.total("otelcol_deltatocumulative_streams_tracked"), 1.0);
}

#[test]
fn late_points_are_dropped_and_counted() {
    let bench = bench(&Config::default());
    bench.sum(5, 10, 5);
    assert_eq!(bench.sum(5, 10, 5), None, "the same again");
    assert_eq!(bench.sum(6, 9, 5), None);
    assert_eq!(bench.sum(4, 20, 5), None, "it began before the stream did");
    assert_eq!((bench.dropped("out_of_order"), bench.dropped("older_start")), (2, 1));
    assert_eq!(bench.sum(10, 20, 1), Some((5, 20, 6)));
}

#[test]
fn a_stream_without_points_is_forgotten() {
    let bench = bench(&Config::default());
    bench.sum(1, 10, 5);
    bench.clock.advance(Duration::from_secs(301));
    assert_eq!(bench.sum(10, 20, 7), Some((10, 20, 7)), "also before housekeeping runs");
    bench.clock.advance(Duration::from_secs(301));
    bench.cx.housekeeping.run(&bench.cx.interner);
    assert_eq!(bench.cx.telemetry.total("otelcol_deltatocumulative_streams_tracked"), 0.0);
    assert_eq!(bench.sum(20, 30, 1), Some((20, 30, 1)));
}

#[test]
fn the_number_of_streams_is_bounded() {
    let bench = bench(&Config { max_streams: 1, ..Config::default() });
    let mut other = sum(1, 10, 3);
    other["name"] = json!("t");
    let metrics = bench.apply(&json!([sum(1, 10, 5), other]));
    assert_eq!(metrics.as_array().unwrap().len(), 1);
    assert_eq!(bench.dropped("limit"), 1);
}

#[test]
fn a_stale_marker_passes_and_ends_the_stream() {
    let bench = bench(&Config::default());
    bench.sum(1, 10, 5);
    let mut stale = sum(1, 20, 0);
    stale["sum"]["dataPoints"][0]["flags"] = json!(1);
    let metrics = bench.apply(&json!([stale]));
    assert_eq!(metrics[0]["sum"]["aggregationTemporality"], 2);
    assert_eq!(metrics[0]["sum"]["dataPoints"][0]["flags"], 1);
    assert_eq!(bench.sum(20, 30, 2), Some((20, 30, 2)));
}

#[test]
fn histograms_of_both_kinds_are_summed() {
    let bench = bench(&Config::default());
    let histograms = |start: u64, bounds: Value| {
        let times = |mut point: Value| {
            point["startTimeUnixNano"] = json!(start.to_string());
            point["timeUnixNano"] = json!((start + 10).to_string());
            json!({"aggregationTemporality": 1, "dataPoints": [point]})
        };
        json!([
            {"name": "h", "histogram": times(json!({"count": "3", "sum": 1.5,
                "bucketCounts": ["1", "2"], "explicitBounds": bounds}))},
            {"name": "e", "exponentialHistogram": times(json!({"count": "3", "sum": 1.5, "scale": 1,
                "zeroCount": "1", "positive": {"offset": start.to_string().len(), "bucketCounts": ["2"]}}))},
        ])
    };
    bench.apply(&histograms(1, json!([1])));
    let metrics = bench.apply(&histograms(11, json!([1])));
    let point = &metrics[0]["histogram"]["dataPoints"][0];
    assert_eq!(point["bucketCounts"], json!(["2", "4"]));
    assert_eq!((&point["count"], point["sum"].as_f64()), (&json!("6"), Some(3.0)));
    assert_eq!(point["startTimeUnixNano"], "1");
    let point = &metrics[1]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!(point["positive"], json!({"offset": 1, "bucketCounts": ["2", "2"]}));
    assert_eq!((&point["count"], &point["zeroCount"]), (&json!("6"), &json!("2")));
    // Other bounds: the sum begins anew.
    let metrics = bench.apply(&histograms(21, json!([2])));
    let point = &metrics[0]["histogram"]["dataPoints"][0];
    assert_eq!((&point["count"], &point["startTimeUnixNano"]), (&json!("3"), &json!("21")));
}

#[test]
fn what_is_not_a_delta_passes_untouched() {
    let bench = bench(&Config::default());
    let metrics = json!([
        {"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "3"}]}},
        {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{"timeUnixNano": "1", "asInt": "3"}]}},
    ]);
    for _ in 0..2 {
        assert_eq!(bench.apply(&metrics), metrics);
    }
    assert_eq!(bench.cx.telemetry.total("otelcol_deltatocumulative_datapoints"), 0.0);
}

#[test]
fn up_down_counters_are_summed_too() {
    let bench = bench(&Config::default());
    let down = |start: u64, value: i64| {
        let mut down = sum(start, start + 10, value);
        down["sum"].as_object_mut().unwrap().remove("isMonotonic");
        down
    };
    bench.apply(&json!([down(1, 5)]));
    let metrics = bench.apply(&json!([down(11, -7)]));
    assert_eq!(metrics[0]["sum"]["dataPoints"][0]["asInt"], "-2");
}

proptest! {
    /// The last sum is that of all points in order, however they are batched and whatever late
    /// ones come between.
    #[test]
    fn the_last_point_is_the_sum_of_all_in_order(values in proptest::collection::vec((0..100_i64, any::<bool>()), 1..30)) {
        let bench = bench(&Config::default());
        let (mut total, mut time) = (0, 10);
        for (value, late) in values {
            if late && time > 10 {
                prop_assert_eq!(bench.sum(1, time - 10, value), None);
                continue;
            }
            total += value;
            prop_assert_eq!(bench.sum(1, time, value), Some((1, time, total)));
            time += 10;
        }
    }
}
