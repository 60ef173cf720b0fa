//! The program's own metrics: typed handles, the reference's names, one text page.
//!
//! Names carry no `_total` and no unit suffix, as the reference prints them by default
//! (otlp-and-helpers section 6), so that dashboards made for it keep working.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use weir_model::Signal;

/// Label names and values of one series.
type Labels = Vec<(String, String)>;

/// A counter without suffix.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    /// Current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A gauge of whole numbers.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// Adds to it.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
    /// Current value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram with fixed upper bounds.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Mutex<HistogramState>>);

#[derive(Debug)]
struct HistogramState {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        let mut bounds = bounds.to_vec();
        bounds.push(f64::MAX);
        let counts = vec![0; bounds.len()];
        Self(Arc::new(Mutex::new(HistogramState {
            bounds,
            counts,
            sum: 0.0,
            count: 0,
        })))
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let mut state = lock(&self.0);
        let at = state.bounds.partition_point(|bound| *bound < value);
        let at = at.min(state.counts.len().saturating_sub(1));
        if let Some(count) = state.counts.get_mut(at) {
            *count += 1;
        }
        state.sum += value;
        state.count += 1;
    }
}

/// What a family holds.
#[derive(Clone)]
enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Observed(Arc<dyn Fn() -> f64 + Send + Sync>),
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metric")
    }
}

impl Metric {
    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            // Written through the gauge encoder: the counter encoder would add `_total`.
            Metric::Counter(counter) => encoder.encode_gauge(&counter.get()),
            Metric::Gauge(gauge) => encoder.encode_gauge(&gauge.get()),
            Metric::Observed(read) => encoder.encode_gauge(&read()),
            Metric::Histogram(histogram) => {
                let state = lock(&histogram.0);
                let buckets: Vec<(f64, u64)> = state
                    .bounds
                    .iter()
                    .copied()
                    .zip(state.counts.iter().copied())
                    .collect();
                encoder.encode_histogram::<NoLabelSet>(state.sum, state.count, &buckets, None)
            }
        }
    }
}

/// Series of one metric name.
#[derive(Clone, Debug)]
struct Family {
    kind: MetricType,
    series: Arc<Mutex<BTreeMap<Labels, Metric>>>,
}

impl EncodeMetric for Family {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (labels, metric) in lock(&self.series).iter() {
            if labels.is_empty() {
                // As a family it would come with an empty pair of braces.
                metric.encode(&mut encoder)?;
            } else {
                metric.encode(&mut encoder.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

/// The registry behind the metrics page.
#[derive(Debug, Default)]
pub struct Telemetry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    registry: Registry,
    families: BTreeMap<String, Family>,
    target_info: Labels,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Telemetry {
    /// Attributes of `target_info` (service.name and so on), names already in label form.
    pub fn set_target_info(&self, labels: &[(&str, &str)]) {
        lock(&self.inner).target_info = owned(labels);
    }

    /// The counter with this name and labels; the same handle for the same labels.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        let make = || Metric::Counter(Counter::default());
        match self.metric(name, help, MetricType::Counter, labels, make) {
            Metric::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge with this name and labels.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        let make = || Metric::Gauge(Gauge::default());
        match self.metric(name, help, MetricType::Gauge, labels, make) {
            Metric::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram with this name and labels.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[(&str, &str)],
    ) -> Histogram {
        let make = || Metric::Histogram(Histogram::new(bounds));
        match self.metric(name, help, MetricType::Histogram, labels, make) {
            Metric::Histogram(histogram) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    /// A gauge whose value is read when the page is asked for.
    pub fn observe_gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.observe(name, help, labels, MetricType::Gauge, Arc::new(read));
    }

    /// A counter whose value is read when the page is asked for.
    pub fn observe_counter(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.observe(name, help, labels, MetricType::Counter, Arc::new(read));
    }

    fn observe(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        kind: MetricType,
        read: Arc<dyn Fn() -> f64 + Send + Sync>,
    ) {
        let family = self.family(name, help, kind);
        lock(&family.series).insert(owned(labels), Metric::Observed(read));
    }

    fn metric(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        labels: &[(&str, &str)],
        make: impl FnOnce() -> Metric,
    ) -> Metric {
        let family = self.family(name, help, kind);
        lock(&family.series)
            .entry(owned(labels))
            .or_insert_with(make)
            .clone()
    }

    fn family(&self, name: &str, help: &str, kind: MetricType) -> Family {
        let mut inner = lock(&self.inner);
        if let Some(family) = inner.families.get(name) {
            return family.clone();
        }
        let family = Family {
            kind,
            series: Arc::default(),
        };
        inner.registry.register(name, help, family.clone());
        inner.families.insert(name.to_owned(), family.clone());
        family
    }

    /// The page, in the Prometheus text format. Families without series are left out.
    pub fn encode(&self) -> String {
        let inner = lock(&self.inner);
        let mut page = String::new();
        // Writing to a string cannot fail.
        if prometheus_client::encoding::text::encode_registry(&mut page, &inner.registry).is_err() {
            return String::new();
        }
        if !inner.target_info.is_empty() {
            page.push_str(
                "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{",
            );
            for (i, (name, value)) in inner.target_info.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                page.push_str(&format!("{comma}{name}=\"{value}\""));
            }
            page.push_str("} 1\n");
        }
        page
    }

    /// Sum of all series of a counter or gauge; for the summary at the end and for tests.
    pub fn total(&self, name: &str) -> f64 {
        let Some(family) = lock(&self.inner).families.get(name).cloned() else {
            return 0.0;
        };
        let series = lock(&family.series);
        series
            .values()
            .map(|metric| match metric {
                Metric::Counter(c) => c.get() as f64,
                Metric::Gauge(g) => g.get() as f64,
                Metric::Observed(read) => read(),
                Metric::Histogram(h) => lock(&h.0).count as f64,
            })
            .sum()
    }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// Counters of one receiver and transport.
#[derive(Clone, Debug)]
pub struct ReceiverTelemetry {
    accepted: [Counter; 3],
    refused: [Counter; 3],
    failed: [Counter; 3],
}

impl ReceiverTelemetry {
    /// Handles for receiver `id` and `transport` (`grpc`, `http`, ...).
    pub fn new(telemetry: &Telemetry, id: &str, transport: &str) -> Self {
        let labels = [("receiver", id), ("transport", transport)];
        let each = |what: &str, help: &str| {
            Signal::ALL.map(|signal| {
                let name = format!("otelcol_receiver_{what}_{}", signal.items());
                telemetry.counter(&name, &format!("{help} ({})", signal.items()), &labels)
            })
        };
        Self {
            accepted: each("accepted", "Items taken in"),
            refused: each("refused", "Items that could not be handed on"),
            failed: each("failed", "Items that failed inside the receiver"),
        }
    }

    /// Items handed on.
    pub fn accepted(&self, signal: Signal, items: usize) {
        add(&self.accepted, signal, items);
    }
    /// Items refused further on.
    pub fn refused(&self, signal: Signal, items: usize) {
        add(&self.refused, signal, items);
    }
    /// Items that failed in the receiver itself.
    pub fn failed(&self, signal: Signal, items: usize) {
        add(&self.failed, signal, items);
    }
}

fn add(counters: &[Counter; 3], signal: Signal, items: usize) {
    let at = match signal {
        Signal::Traces => 0,
        Signal::Metrics => 1,
        Signal::Logs => 2,
    };
    if let Some(counter) = counters.get(at) {
        counter.add(items as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_as_they_are_and_handles_are_shared() {
        let telemetry = Telemetry::default();
        let labels = [("receiver", "otlp"), ("transport", "grpc")];
        telemetry
            .counter("otelcol_receiver_accepted_spans", "Spans taken in", &labels)
            .add(2);
        telemetry
            .counter("otelcol_receiver_accepted_spans", "Spans taken in", &labels)
            .add(3);
        telemetry.observe_gauge("otelcol_process_memory_rss", "Resident memory", &[], || 7.0);
        telemetry
            .histogram("otelcol_sizes", "Sizes", &[1.0, 10.0], &[])
            .observe(5.0);
        let page = telemetry.encode();
        for line in [
            "# TYPE otelcol_receiver_accepted_spans counter",
            "otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"} 5",
            "otelcol_process_memory_rss 7.0",
            "otelcol_sizes_bucket{le=\"10.0\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
        assert_eq!(telemetry.total("otelcol_receiver_accepted_spans"), 5.0);
    }
}
