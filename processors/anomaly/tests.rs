//! The processor over batches, as a pipeline would call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use weir_config::{ComponentId, Node, Origin, Source, decode_and_validate, parse_yaml};
use weir_core::clock::ManualClock;
use weir_core::registry::ComponentKind;
use weir_model::{
    Attributes, ExponentialHistogram, Extras, Histogram, Interner, MetricKind, MetricMeta,
    PointValue, Resource, Scope, Series, Signal, Summary, Temporality, Value,
};

use super::*;

const MINUTE_NS: u64 = 60_000_000_000;
/// A Monday, 00:00 UTC.
const START_NS: u64 = 1_740_960_000_000_000_000;
const DAY: u64 = 1440;

pub(super) struct Rig {
    pub(super) anomaly: Arc<Anomaly>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) cx: BuildCtx,
    noise: u64,
}

fn node(yaml: &str) -> Node {
    parse_yaml(&Source::new("test.yaml", yaml, Origin::Document)).unwrap()
}

pub(super) fn config(yaml: &str) -> Config {
    decode_and_validate::<Config>(&node(yaml), "processors.anomaly").unwrap().value
}

impl Rig {
    pub(super) fn new(yaml: &str) -> Self {
        let id = ComponentId::parse("anomaly/test").unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Processor, Some(Signal::Metrics));
        let clock = Arc::new(ManualClock::at(START_NS));
        cx.clock = clock.clone();
        Self { anomaly: Anomaly::new(&config(yaml), cx.clone()), clock, cx, noise: 1 }
    }

    /// Another instance over the same data directory, as after a restart.
    pub(super) fn kept(yaml: &str, folder: &std::path::Path, clock: &Arc<ManualClock>) -> Self {
        let id = ComponentId::parse("anomaly/test").unwrap();
        let mut cx = BuildCtx::standalone(id, ComponentKind::Processor, Some(Signal::Metrics));
        cx.clock = clock.clone();
        cx.data_dir = Some(folder.to_owned());
        let anomaly = Anomaly::new(&config(yaml), cx.clone());
        Self { anomaly, clock: clock.clone(), cx, noise: 1 }
    }

    pub(super) fn series(&self, name: &str, kind: MetricKind, label: &str) -> Arc<Series> {
        series(&self.cx.interner, name, kind, label)
    }

    /// Noise with mean 0, sum of four uniform numbers, about -1..1.
    pub(super) fn noise(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sum += (self.noise >> 33) as f64 / (1_u64 << 31) as f64 - 0.5;
        }
        sum
    }

    pub(super) fn apply(&self, points: Vec<Point>) -> Vec<Point> {
        let mut batch = Batch::metrics(Metrics::from_points(points));
        assert_eq!(self.anomaly.apply(&mut batch), Ok(Flow::Pass));
        self.clock.advance(Duration::from_secs(60));
        let Data::Metrics(metrics) = batch.data else { panic!("still metrics") };
        metrics.into_points()
    }

    /// One point of a series at minute `minute`, through the processor.
    pub(super) fn minute(&self, series: &Arc<Series>, minute: u64, value: PointValue) -> Vec<Point> {
        self.apply(vec![Point::new(series.clone(), START_NS, at(minute), value)])
    }

    /// A gauge of 50 with noise over these minutes.
    pub(super) fn settle(&mut self, series: &Arc<Series>, minutes: std::ops::Range<u64>) -> Vec<Vec<Point>> {
        let mut out = Vec::new();
        for minute in minutes {
            let value = 50.0 + self.noise();
            out.push(self.minute(series, minute, PointValue::Double(value)));
        }
        out
    }

    pub(super) fn counted(&self, name: &str) -> f64 {
        self.cx.telemetry.total(&format!("otelcol_processor_anomaly_{name}"))
    }
}

fn series(interner: &Interner, name: &str, kind: MetricKind, label: &str) -> Arc<Series> {
    let resource = interner.resource(Resource::default());
    let scope = interner.scope(Scope::default());
    let metric = interner.metric(MetricMeta::new(name, kind));
    let labels: Attributes = [("host", Value::from(label))].into_iter().collect();
    interner.series(&resource, &scope, &metric, labels)
}

pub(super) fn at(minute: u64) -> u64 {
    START_NS + minute * MINUTE_NS
}

pub(super) fn tag<'a>(point: &'a Point, key: &str) -> Option<&'a Value> {
    point.tags().iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

pub(super) fn detected(point: &Point) -> bool {
    tag(point, "anomaly.detected") == Some(&Value::Bool(true))
}

/// The value of a companion among the points, by the end of its name.
pub(super) fn companion(points: &[Point], suffix: &str) -> Option<f64> {
    points
        .iter()
        .find(|p| p.series.metric().name.ends_with(suffix))
        .and_then(|p| p.value.as_f64())
}

#[test]
fn an_injected_spike_and_an_injected_level_shift_in_a_gauge_are_tagged() {
    let mut rig = Rig::new("emit: attributes");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    let quiet = rig.settle(&cpu, 0..3 * DAY);
    let tagged = quiet.iter().flatten().filter(|p| detected(p)).count();
    assert!(tagged <= 3, "{tagged} of {} quiet points", quiet.len());

    let spike = rig.minute(&cpu, 3 * DAY, PointValue::Double(75.0));
    assert!(detected(&spike[0]), "{:?}", spike[0].tags());
    assert_eq!(tag(&spike[0], "anomaly.direction"), Some(&Value::from("above")));
    assert_eq!(tag(&spike[0], "anomaly.kind"), Some(&Value::from("spike")));
    assert_eq!(spike[0].series.stable_hash(), cpu.stable_hash(), "tags are not labels");
    assert_eq!(spike[0].value, PointValue::Double(75.0));

    let calm = rig.settle(&cpu, 3 * DAY + 1..3 * DAY + 60);
    assert!(!calm.iter().skip(5).flatten().any(detected));

    let mut shifted = Vec::new();
    for minute in 3 * DAY + 60..3 * DAY + 75 {
        let value = 38.0 + rig.noise();
        shifted.extend(rig.minute(&cpu, minute, PointValue::Double(value)));
    }
    assert!(shifted.iter().filter(|p| detected(p)).count() >= 10);
    let last = &shifted[10];
    assert_eq!(tag(last, "anomaly.direction"), Some(&Value::from("below")));
    assert_eq!(tag(last, "anomaly.kind"), Some(&Value::from("shift")));
    let Some(Value::Double(upper)) = tag(last, "anomaly.upper") else { panic!("no band") };
    assert!(*upper < 60.0);
    assert!(rig.counted("alarms_started") >= 2.0);
}

#[test]
fn companions_carry_score_state_and_bands_with_the_labels_of_the_series() {
    let mut rig = Rig::new("bands: true");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    let early = rig.settle(&cpu, 0..30);
    assert!(early.iter().all(|points| points.len() == 1), "nothing before the first band");
    let quiet = rig.settle(&cpu, 30..2000);
    let points = quiet.last().unwrap();
    let names: Vec<&str> = points.iter().map(|p| &*p.series.metric().name).collect();
    let all =
        ["cpu", "cpu.anomaly.score", "cpu.anomaly.state", "cpu.anomaly.lower", "cpu.anomaly.upper"];
    assert_eq!(names, all);
    for point in points {
        assert_eq!(point.series.labels(), cpu.labels());
        assert_eq!(point.time_ns, at(1999));
        assert!(point.tags().is_empty());
    }
    let edge = |suffix| companion(points, suffix).unwrap();
    assert!(edge(".lower") < 50.0 && edge(".upper") > 50.0 && edge(".state") == 0.0);

    let spike = rig.minute(&cpu, 2000, PointValue::Double(90.0));
    assert_eq!(companion(&spike, ".state"), Some(1.0));
    assert!(companion(&spike, ".score").unwrap() > 0.5);
    let dip = rig.minute(&cpu, 2001, PointValue::Int(2));
    assert_eq!(companion(&dip, ".state"), Some(-1.0));

    // the companions themselves are not judged when they come by again
    let series_before = rig.counted("series");
    rig.apply(dip);
    assert_eq!(rig.counted("series"), series_before);
}

#[test]
fn a_value_that_stands_still_has_state_2() {
    let mut rig = Rig::new("{}");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    rig.settle(&cpu, 0..2000);
    let states: Vec<f64> = (2000..2040)
        .filter_map(|m| companion(&rig.minute(&cpu, m, PointValue::Double(50.1)), ".state"))
        .collect();
    assert_eq!(states.last(), Some(&2.0));
}

#[test]
fn otlp_bytes_stay_untouched_but_for_tagged_batches() {
    let rig = Rig::new("{}");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    let mut bytes = Vec::new();
    let point = Point::new(cpu, 0, at(0), PointValue::Double(1.0));
    Metrics::from_points(vec![point]).encode_otlp(&mut bytes);
    let metrics = Metrics::from_otlp(bytes.clone().into(), &rig.cx.interner).unwrap();
    let mut batch = Batch::metrics(metrics);
    rig.anomaly.apply(&mut batch).unwrap();
    assert_eq!(batch.wire_chunks().unwrap()[0], bytes);
}

#[test]
fn counters_are_judged_by_rate_and_restarts_are_not_anomalies() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let mut rig = Rig::new("{emit: attributes, bands: true}");
        let kind = MetricKind::Sum { temporality, monotonic: true };
        let requests = rig.series("requests", kind, "a");
        let mut total = 0.0;
        let mut detections = 0;
        for minute in 0..2 * DAY {
            let increase = 600.0 + 12.0 * rig.noise();
            total = if minute % 500 == 499 { increase } else { total + increase };
            let cumulative = temporality == Temporality::Cumulative;
            let value = PointValue::Double(if cumulative { total } else { increase });
            let start = if cumulative { START_NS } else { at(minute) - MINUTE_NS };
            let out = rig.apply(vec![Point::new(requests.clone(), start, at(minute), value)]);
            detections += usize::from(detected(&out[0]));
            if minute == 2 * DAY - 1 {
                let Some(Value::Double(lower)) = tag(&out[0], "anomaly.lower") else {
                    panic!("no band")
                };
                assert!((9.0..10.0).contains(lower), "per second: {lower}");
                let observation = tag(&out[0], "anomaly.observation");
                assert_eq!(observation, Some(&Value::from("rate")));
            }
        }
        assert!(detections <= 2, "{temporality:?}: {detections}");
    }
}

/// Count, sum and the two kinds of histogram they can come in.
fn histogram(kind: MetricKind, count: u64, sum: f64) -> PointValue {
    if matches!(kind, MetricKind::Histogram { .. }) {
        let histogram = Histogram { count, sum: Some(sum), ..Histogram::default() };
        PointValue::Histogram(Box::new(histogram))
    } else {
        let histogram =
            ExponentialHistogram { count, sum: Some(sum), ..ExponentialHistogram::default() };
        PointValue::ExponentialHistogram(Box::new(histogram))
    }
}

#[test]
fn histograms_are_judged_by_rate_and_mean() {
    let temporality = Temporality::Cumulative;
    for kind in
        [MetricKind::Histogram { temporality }, MetricKind::ExponentialHistogram { temporality }]
    {
        let mut rig = Rig::new("{}");
        let latency = rig.series("latency", kind, "a");
        let (mut count, mut sum) = (0, 0.0);
        for minute in 0..2000 {
            count += 100 + minute % 3;
            sum += 100.0 * (0.2 + 0.01 * rig.noise());
            rig.minute(&latency, minute, histogram(kind, count, sum));
        }
        // as many requests, three times as slow
        let slow = rig.minute(&latency, 2000, histogram(kind, count + 101, sum + 60.0));
        assert_eq!(companion(&slow, "latency.mean.anomaly.state"), Some(1.0));
        assert_eq!(companion(&slow, "latency.rate.anomaly.state"), Some(0.0));
        assert_eq!(slow.len(), 5);
    }
}

#[test]
fn summaries_are_judged_by_quantile() {
    let mut rig = Rig::new("{}");
    let latency = rig.series("latency", MetricKind::Summary, "a");
    let summary = |median: f64, high: f64| {
        let quantiles = vec![(0.5, median), (0.99, high)];
        PointValue::Summary(Box::new(Summary { count: 1, sum: 1.0, quantiles }))
    };
    for minute in 0..2000 {
        let (a, b) = (rig.noise(), rig.noise());
        rig.minute(&latency, minute, summary(10.0 + a, 30.0 + b));
    }
    let slow = rig.minute(&latency, 2000, summary(10.0, 60.0));
    let states: Vec<(String, f64)> = slow
        .iter()
        .filter(|p| p.series.metric().name.ends_with(".state"))
        .map(|p| {
            let quantile = p.series.labels().get("quantile").unwrap().to_text().into_owned();
            (quantile, p.value.as_f64().unwrap())
        })
        .collect();
    assert_eq!(states, [("0.5".to_owned(), 0.0), ("0.99".to_owned(), 1.0)]);
}

#[test]
fn only_chosen_metrics_are_judged() {
    let yaml = "metrics: {include: {match_type: regexp, metric_names: ['^app\\.']}, \
                exclude: {metric_names: [app.noise]}}";
    let rig = Rig::new(yaml);
    let names = ["app.cpu", "app.noise", "host.cpu", "my.app.cpu"];
    let all: Vec<_> = names.map(|n| rig.series(n, MetricKind::Gauge, "a")).into();
    for minute in 0..100 {
        let points = all.iter().map(|series| {
            let value = PointValue::Double((minute % 7) as f64);
            Point::new(series.clone(), 0, at(minute), value)
        });
        let out = rig.apply(points.collect());
        if minute == 99 {
            assert_eq!(out.len(), 6);
            assert_eq!(&*out[4].series.metric().name, "app.cpu.anomaly.score");
        }
    }
    assert_eq!(rig.counted("series"), 1.0);
}

#[test]
fn staleness_passes_on_to_the_companions_and_odd_points_pass_untouched() {
    let mut rig = Rig::new("{}");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    rig.settle(&cpu, 0..100);
    let mut stale = Point::new(cpu.clone(), 0, at(100), PointValue::Empty);
    stale.flags = weir_model::point::FLAG_NO_RECORDED_VALUE;
    let out = rig.apply(vec![stale]);
    assert_eq!(out.len(), 3);
    assert!(out.iter().all(Point::is_stale));

    let odd = [
        (PointValue::Empty, at(101)),
        (PointValue::Double(f64::NAN), at(102)),
        (PointValue::Double(f64::INFINITY), at(103)),
        (PointValue::Double(1.0), 1),
        (PointValue::Double(1.0), u64::MAX),
        (PointValue::Histogram(Box::default()), at(104)),
    ];
    for (value, time_ns) in odd {
        let extras = Some(Box::new(Extras::default()));
        let point = Point { extras, ..Point::new(cpu.clone(), u64::MAX, time_ns, value.clone()) };
        let out = rig.apply(vec![point]);
        assert_eq!(out[0].time_ns, time_ns);
        assert_eq!(format!("{:?}", out[0].value), format!("{value:?}"));
    }
}

#[test]
fn further_series_pass_unjudged_and_are_counted() {
    let rig = Rig::new("max_series: 16");
    let all: Vec<_> =
        (0..200).map(|i| rig.series("cpu", MetricKind::Gauge, &format!("{i}"))).collect();
    for minute in 0..50 {
        let points = all.iter().map(|series| {
            let value = PointValue::Double((minute % 5) as f64);
            Point::new(series.clone(), 0, at(minute), value)
        });
        assert!(rig.apply(points.collect()).len() >= 200, "every point passes");
    }
    assert!(rig.counted("series") <= 16.0);
    assert!(rig.counted("samples_refused") >= 50.0 * 184.0);
    assert!(rig.counted("state_bytes") > 0.0);
}

#[test]
fn nothing_is_learned_in_excluded_time() {
    let yaml = "{emit: attributes, bands: true, exclude: \
                [{start: '2025-03-04T00:00:00Z', end: '2025-03-04T01:00:00Z'}]}";
    let mut rig = Rig::new(yaml);
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    rig.settle(&cpu, 0..DAY);
    for minute in DAY..DAY + 60 {
        let out = rig.minute(&cpu, minute, PointValue::Double(500.0));
        assert_eq!(tag(&out[0], "anomaly.direction"), Some(&Value::from("above")));
    }
    let after = rig.settle(&cpu, DAY + 60..DAY + 120);
    let upper = tag(&after.last().unwrap()[0], "anomaly.upper").cloned();
    assert!(matches!(upper, Some(Value::Double(u)) if u < 60.0), "{upper:?}");
    assert!(!after.iter().skip(10).flatten().any(detected));
}

#[test]
fn log_lines_leave_the_batch_alone() {
    let mut rig = Rig::new("emit: log");
    let cpu = rig.series("cpu", MetricKind::Gauge, "a");
    rig.settle(&cpu, 0..2000);
    let out = rig.minute(&cpu, 2000, PointValue::Double(1000.0));
    assert_eq!(out.len(), 1);
    assert!(out[0].extras.is_none());
    assert!(rig.counted("alarms_started") >= 1.0);
}

#[test]
fn wrong_settings_are_named_with_their_place() {
    let yaml = "band: 0\ntimezone: Mars/Olympus\nmax_series: 0\nalarm_m: 9\n\
                exclude: [{start: yesterday, end: '2025-01-01T00:00:00Z'}]\n\
                metrics: {include: {match_type: regexp, metric_names: ['(']}}\n";
    let found = decode_and_validate::<Config>(&node(yaml), "processors.anomaly").unwrap_err();
    let paths: Vec<&str> = found.iter().map(|d| d.path.as_str()).collect();
    for path in ["band", "timezone", "max_series", "exclude[0].start", "metrics.include.metric_names[0]"]
    {
        let path = format!("processors.anomaly.{path}");
        assert!(paths.contains(&path.as_str()), "{path} in {paths:?}");
    }
    let unknown = decode_and_validate::<Config>(&node("stdevs: 2"), "processors.anomaly");
    assert!(unknown.is_err());
    assert_eq!(config("{}"), Config::default());
}

/// Tags for those who read points, companions for those who read series, from one processor.
#[test]
fn findings_can_leave_in_several_ways_at_once() {
    let config = config("emit: [companion, attributes]");
    assert_eq!(config.emit, [Emit::Companion, Emit::Attributes]);
    let mut rig = Rig::new("{emit: [companion, attributes], bands: true}");
    let series = rig.series("m", MetricKind::Gauge, "a");
    let mut last = Vec::new();
    for i in 0..60 {
        let value = PointValue::Double(100.0 + rig.noise());
        last = rig.apply(vec![Point::new(series.clone(), 0, START_NS + i * MINUTE_NS, value)]);
    }
    assert!(last.iter().any(|p| Arc::ptr_eq(&p.series, &series) && !p.tags().is_empty()));
    assert!(last.iter().any(|p| &*p.series.metric().name == "m.anomaly.score"));
}
