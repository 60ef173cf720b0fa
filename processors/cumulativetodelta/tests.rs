#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;
use weir_core::Signal;
use weir_core::clock::ManualClock;
use weir_model::{
    Attributes, Buckets, ExponentialHistogram, Histogram, MetricKind, MetricMeta, Point,
    PointValue, Resource, Scope, Series, Temporality,
};

use super::difference::{Refused, difference};
use super::*;
use crate::testing::{context, decode};

const SECOND: u64 = 1_000_000_000;
/// When the processor of a test begins, s.
const BEGAN: u64 = 1000;

struct Bench {
    processor: CumulativeToDelta,
    clock: Arc<ManualClock>,
    cx: BuildCtx,
}

impl Bench {
    fn new(yaml: &str) -> Self {
        let config: Config = decode(yaml).unwrap_or_else(|error| panic!("{error}"));
        let clock = Arc::new(ManualClock::at(BEGAN * SECOND));
        let mut cx = context(Signal::Metrics);
        cx.clock = clock.clone();
        Self { processor: CumulativeToDelta::new(&config, &cx), clock, cx }
    }

    fn series(&self, name: &str, kind: MetricKind) -> Arc<Series> {
        let interner = &self.cx.interner;
        let resource = interner.resource(Resource::default());
        let scope = interner.scope(Scope::default());
        let metric = interner.metric(MetricMeta::new(name, kind));
        interner.series(&resource, &scope, &metric, Attributes::default())
    }

    fn counter(&self, name: &str) -> Arc<Series> {
        let temporality = Temporality::Cumulative;
        self.series(name, MetricKind::Sum { temporality, monotonic: true })
    }

    /// Sends one point; start and time in s.
    fn send(&self, series: &Arc<Series>, start: u64, time: u64, value: PointValue) -> Option<Point> {
        let point = Point::new(series.clone(), start * SECOND, time * SECOND, value);
        let mut batch = Batch::metrics(Metrics::from_points(vec![point]));
        let flow = self.processor.apply(&mut batch).unwrap();
        let Data::Metrics(metrics) = batch.data else { panic!("other data") };
        assert_eq!(flow == Flow::Drop, metrics.is_empty());
        metrics.into_points().pop()
    }

    fn int(&self, series: &Arc<Series>, start: u64, time: u64, value: i64) -> Option<(u64, i64)> {
        let point = self.send(series, start, time, PointValue::Int(value))?;
        let PointValue::Int(value) = point.value else { panic!("other value") };
        Some((point.start_ns / SECOND, value))
    }

    fn dropped(&self, reason: &str) -> u64 {
        let at = REASONS.iter().position(|known| *known == reason).unwrap();
        self.processor.dropped[at].get()
    }
}

#[tokio::test]
async fn cumulative_points_become_those_of_the_reference() {
    crate::golden::cases::<Kind>("cumulativetodelta").await;
}

#[test]
fn the_first_point_is_sent_if_it_counted_from_nothing_since_the_start() {
    let bench = Bench::new("{}");
    assert_eq!(bench.int(&bench.counter("a"), BEGAN, BEGAN + 9, 5), Some((BEGAN, 5)));
    assert_eq!(bench.int(&bench.counter("b"), BEGAN - 1, BEGAN + 9, 5), None);
    assert_eq!(bench.int(&bench.counter("c"), BEGAN + 9, BEGAN + 9, 5), None);
    assert_eq!(bench.int(&bench.counter("d"), 0, BEGAN + 9, 5), None);
    assert_eq!(bench.dropped("initial"), 3);
}

#[test]
fn a_reset_drops_one_point_and_goes_on_from_it() {
    let bench = Bench::new("{}");
    let series = bench.counter("a");
    let sent = [(10, 100), (20, 300), (30, 200), (40, 400), (40, 500), (35, 600), (50, 700)];
    let got = sent.map(|(time, value)| bench.int(&series, 0, time, value));
    let expected = [None, Some((10, 200)), None, Some((30, 200)), None, None, Some((40, 300))];
    assert_eq!(got, expected);
    assert_eq!((bench.dropped("reset"), bench.dropped("out_of_order")), (1, 2));
}

#[test]
fn streams_that_start_at_other_times_are_apart() {
    let bench = Bench::new("{}");
    let series = bench.counter("a");
    assert_eq!(bench.int(&series, 1, 10, 100), None);
    assert_eq!(bench.int(&series, 2, 10, 5), None);
    assert_eq!(bench.int(&series, 1, 20, 130), Some((10, 30)));
    assert_eq!(bench.int(&series, 2, 20, 6), Some((10, 1)));
}

#[test]
fn other_metrics_pass_and_keep_their_bytes() {
    let bench = Bench::new("{}");
    let cumulative = Temporality::Cumulative;
    for kind in [
        MetricKind::Gauge,
        MetricKind::Summary,
        MetricKind::Sum { temporality: cumulative, monotonic: false },
        MetricKind::Sum { temporality: Temporality::Delta, monotonic: true },
        MetricKind::Histogram { temporality: Temporality::Delta },
    ] {
        let series = bench.series("a", kind);
        let point = bench.send(&series, 1, 2, PointValue::Int(3)).unwrap();
        assert_eq!(point.series.metric().kind, kind);
        assert_eq!(point.value, PointValue::Int(3));
    }
    let gauge = serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "g", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "1"}]}}]}]}]});
    let mut batch = crate::testing::batch(Signal::Metrics, &gauge, &bench.cx.interner);
    bench.processor.apply(&mut batch).unwrap();
    assert!(batch.wire_chunks().is_some());
}

#[test]
fn values_that_are_no_number_pass_and_points_without_value_do_not() {
    let bench = Bench::new("{}");
    let series = bench.counter("a");
    assert!(bench.send(&series, 1, 10, PointValue::Double(1.0)).is_none());
    let nan = bench.send(&series, 1, 20, PointValue::Double(f64::NAN)).unwrap();
    assert!(matches!(nan.value, PointValue::Double(value) if value.is_nan()));
    assert!(bench.send(&series, 1, 25, PointValue::Empty).is_none());
    assert_eq!(bench.dropped("no_value"), 1);
    let next = bench.send(&series, 1, 30, PointValue::Double(4.0)).unwrap();
    assert_eq!((next.value, next.start_ns), (PointValue::Double(3.0), 10 * SECOND));
}

#[test]
fn streams_are_forgotten_after_max_staleness_and_kept_from_the_intern_table_until_then() {
    let bench = Bench::new("max_staleness: 30m\n");
    let chores = || {
        bench.cx.interner.sweep();
        bench.cx.housekeeping.run(&bench.cx.interner);
    };
    bench.int(&bench.counter("a"), 0, 10, 1);
    for _ in 0..30 {
        bench.clock.advance(Duration::from_secs(60));
        chores();
    }
    assert_eq!(bench.int(&bench.counter("a"), 0, 20, 3), Some((10, 2)));
    bench.clock.advance(Duration::from_secs(31 * 60));
    chores();
    assert_eq!(lock(&bench.processor.store).len(), 0);
    assert_eq!(bench.int(&bench.counter("a"), 0, 30, 9), None);
    let shown = bench.cx.telemetry.encode();
    assert!(shown.contains("otelcol_processor_cumulativetodelta_streams"), "{shown}");
}

#[test]
fn no_more_streams_than_max_streams() {
    let bench = Bench::new("{max_streams: 1, initial_value: keep}");
    assert!(bench.int(&bench.counter("a"), 0, 10, 1).is_some());
    assert!(bench.int(&bench.counter("b"), 0, 10, 1).is_none());
    assert_eq!(bench.int(&bench.counter("a"), 0, 20, 4), Some((10, 3)));
    assert_eq!(bench.dropped("limit"), 1);
}

#[test]
fn names_and_types_choose() {
    let bench = Bench::new(
        "include: {match_type: regexp, metrics: ['^a'], metric_types: [Sum]}\n\
         exclude: {match_type: strict, metrics: [ab]}\ninitial_value: drop\n",
    );
    assert!(bench.int(&bench.counter("a"), 0, 10, 1).is_none());
    assert!(bench.int(&bench.counter("ab"), 0, 10, 1).is_some());
    assert!(bench.int(&bench.counter("b"), 0, 10, 1).is_some());
    let histogram = MetricKind::Histogram { temporality: Temporality::Cumulative };
    let value = PointValue::Histogram(Box::default());
    assert!(bench.send(&bench.series("a", histogram), 0, 10, value).is_some());
}

#[test]
fn a_wrong_configuration_names_place_and_cure() {
    for (yaml, wanted) in [
        ("include: {metrics: [a]}", "include.metrics"),
        ("include: {match_type: strict}", "include.match_type"),
        ("include: {match_type: expr, metrics: [a]}", "strict or regexp"),
        ("exclude: {match_type: regexp, metrics: [a, '(']}", "exclude.metrics[1]"),
        ("include: {metric_types: [gauge]}", "sum, histogram, exponentialhistogram"),
        ("initial_value: always", "initial_value"),
        ("metrics: [a]", "metrics"),
        ("max_staleness: -1s", "max_staleness"),
    ] {
        let error = decode::<Config>(yaml).unwrap_err();
        assert!(error.contains(wanted), "{yaml}: {error}");
    }
}

fn exponential(scale: i32, threshold: f64, zeros: u64, offset: i32, counts: &[u64]) -> PointValue {
    PointValue::ExponentialHistogram(Box::new(ExponentialHistogram {
        count: zeros + counts.iter().sum::<u64>(),
        scale,
        zero_count: zeros,
        zero_threshold: threshold,
        positive: Some(Buckets { offset, counts: counts.to_vec() }),
        ..ExponentialHistogram::default()
    }))
}

#[test]
fn a_wider_zero_bucket_swallows_old_buckets() {
    // At scale 0 the buckets are (1, 2], (2, 4], (4, 8].
    let mut before = exponential(0, 0.0, 1, 0, &[2, 3, 4]);
    let mut now = exponential(0, 2.0, 5, 1, &[3, 6]);
    difference(&mut before, &mut now).unwrap();
    let mut expected = exponential(0, 2.0, 2, 2, &[2]);
    if let PointValue::ExponentialHistogram(expected) = &mut expected {
        expected.count = 4;
    }
    assert_eq!(now, expected);
}

#[test]
fn a_bucket_that_falls_is_a_reset() {
    let histogram = |counts: [u64; 2]| {
        PointValue::Histogram(Box::new(Histogram {
            count: counts.iter().sum(),
            bucket_counts: counts.to_vec(),
            explicit_bounds: vec![1.0],
            ..Histogram::default()
        }))
    };
    let refused = difference(&mut histogram([5, 0]), &mut histogram([1, 9]));
    assert_eq!(refused, Err(Refused::Reset { rebase: true }));
    let mut far = exponential(0, 0.0, 0, i32::MAX, &[9]);
    let refused = difference(&mut exponential(9, 0.0, 0, i32::MIN, &[1]), &mut far);
    assert_eq!(refused, Err(Refused::Reset { rebase: true }));
}

proptest! {
    /// What is sent adds up to what the counter gained, resets aside.
    #[test]
    fn differences_add_up(steps in proptest::collection::vec(0i64..1000, 1..40)) {
        let bench = Bench::new("{initial_value: keep}");
        let series = bench.counter("a");
        let (mut total, mut sent) = (0, 0);
        for (time, step) in steps.iter().enumerate() {
            total += step;
            sent += bench.int(&series, 0, time as u64 + 1, total).unwrap().1;
        }
        prop_assert_eq!(total, sent);
    }

    /// Exponential histograms of any shape: no panic, and no more observations than the new one has.
    #[test]
    fn any_two_exponential_histograms(
        a in (any::<i32>(), any::<f64>(), any::<u32>(), any::<i32>(), proptest::collection::vec(0u64..9, 0..20)),
        b in (any::<i32>(), any::<f64>(), any::<u32>(), any::<i32>(), proptest::collection::vec(0u64..9, 0..20)),
    ) {
        let make = |(scale, threshold, zeros, offset, counts): &(i32, f64, u32, i32, Vec<u64>)| {
            exponential(*scale, *threshold, u64::from(*zeros), *offset, counts)
        };
        let (mut before, mut now) = (make(&a), make(&b));
        let whole = make(&b);
        if difference(&mut before, &mut now).is_ok()
            && let (PointValue::ExponentialHistogram(now), PointValue::ExponentialHistogram(whole)) = (now, whole)
        {
            prop_assert!(now.count <= whole.count && now.zero_count <= whole.zero_count);
        }
    }
}
