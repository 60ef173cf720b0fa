//! The exporter's own counters and log lines (specification section 8).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_core::telemetry::{Counter, Gauge, Histogram};
use weir_core::{BuildCtx, Clock, Fold, Reject, Telemetry};

use super::labels::Refused;
use super::pack::Counts;
use super::send::Written;

/// Bounds of the latencies of the log on disk, in milliseconds.
const LATENCIES: [f64; 12] =
    [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0, 5_000.0];

const PREFIX: &str = "otelcol_exporter_prometheusremotewrite_";

/// Handles of one exporter.
pub(crate) struct Own {
    id: String,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    fold: Fold,
    sent_batches: Counter,
    translated_time_series: Counter,
    failed_translations: Counter,
    written_samples: Counter,
    written_histograms: Counter,
    written_exemplars: Counter,
    wal_reads: Counter,
    wal_reads_failures: Counter,
    wal_writes: Counter,
    wal_writes_failures: Counter,
    wal_bytes_read: Counter,
    wal_bytes_written: Counter,
    wal_lag: Gauge,
    wal_read_latency: Histogram,
    wal_write_latency: Histogram,
    label_sets: Gauge,
    label_bytes: Gauge,
    endpoint: String,
    /// The lack of written counts was said.
    said_nothing_written: AtomicBool,
}

impl Own {
    pub(crate) fn new(cx: &BuildCtx, endpoint: &str, consumers: usize) -> Self {
        let id = cx.id.to_string();
        let labels = [("exporter", id.as_str()), ("endpoint", endpoint)];
        let counter = |name: &str, help: &str| {
            cx.telemetry.counter(&format!("{PREFIX}{name}"), help, &labels)
        };
        let gauge =
            |name: &str, help: &str| cx.telemetry.gauge(&format!("{PREFIX}{name}"), help, &labels);
        let latency = |name: &str, help: &str| {
            cx.telemetry.histogram(&format!("{PREFIX}{name}"), help, &LATENCIES, &labels)
        };
        gauge("consumers", "Requests sent in parallel").set(i64::try_from(consumers).unwrap_or(i64::MAX));
        Self {
            sent_batches: counter("sent_batches", "Requests delivered"),
            translated_time_series: counter("translated_time_series", "Series written"),
            failed_translations: counter("failed_translations", "Points that were not translated"),
            written_samples: counter("written_samples", "Samples the receiver has written"),
            written_histograms: counter(
                "written_histograms",
                "Native histograms the receiver has written",
            ),
            written_exemplars: counter("written_exemplars", "Exemplars the receiver has written"),
            wal_reads: counter("wal_reads", "Batches read from the log on disk"),
            wal_reads_failures: counter("wal_reads_failures", "Batches that could not be read"),
            wal_writes: counter("wal_writes", "Batches written to the log on disk"),
            wal_writes_failures: counter("wal_writes_failures", "Batches that could not be written"),
            wal_bytes_read: counter("wal_bytes_read", "Bytes read from the log on disk"),
            wal_bytes_written: counter("wal_bytes_written", "Bytes written to the log on disk"),
            wal_lag: gauge("wal_lag", "Batches in the log on disk that were not delivered"),
            wal_read_latency: latency("wal_read_latency", "Milliseconds to read a batch from the log on disk"),
            wal_write_latency: latency("wal_write_latency", "Milliseconds to write a batch to the log on disk"),
            label_sets: gauge("label_sets", "Label sets kept, of all series and their lines"),
            label_bytes: gauge("label_bytes", "Bytes of the label sets kept"),
            endpoint: endpoint.to_owned(),
            telemetry: cx.telemetry.clone(),
            clock: cx.clock.clone(),
            fold: Fold::default(),
            said_nothing_written: AtomicBool::new(false),
            id,
        }
    }

    /// Shows the fill of the table of label sets.
    pub(crate) fn show_labels(&self, sets: usize, bytes: usize) {
        self.label_sets.set(i64::try_from(sets).unwrap_or(i64::MAX));
        self.label_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn say(&self, key: &str) -> Option<u64> {
        self.fold.say(key, self.clock.monotonic())
    }

    /// Points that remote write cannot carry.
    pub(crate) fn refused(&self, why: Refused, points: u64, metric: &str) {
        self.failed_translations.add(points);
        let labels = [
            ("component", self.id.as_str()),
            ("signal", "metrics"),
            ("reason", why.reason()),
        ];
        self.telemetry
            .counter(
                "weir_dropped_items_total",
                "Items that were taken in and will never arrive",
                &labels,
            )
            .add(points);
        if let Some(left_out) = self.say(why.reason()) {
            tracing::warn!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.id,
                metric,
                dropped_items = points,
                left_out,
                "Dropping data: {}",
                why.explain()
            );
        }
    }

    /// A wait before the next attempt.
    pub(crate) fn will_retry(&self, reject: &Reject, interval: Duration) {
        let why = &reject.why().message;
        if let Some(left_out) = self.say(why) {
            tracing::info!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.id,
                error = why,
                interval = %weir_config::Duration::from(interval),
                left_out,
                "Exporting failed. Will retry the request after interval."
            );
        }
    }

    /// A request arrived.
    pub(crate) fn written(&self, counts: Counts, written: Written) {
        self.sent_batches.add(1);
        self.translated_time_series.add(counts.series);
        self.partly_written(written);
        if self.is_first_silence(written) {
            tracing::warn!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.id,
                "the receiver does not say what it has written; it may not know remote write 2.0"
            );
        }
    }

    /// Whether the receiver does not say what it has written, for the first time.
    pub(super) fn is_first_silence(&self, written: Written) -> bool {
        written.samples.is_none() && !self.said_nothing_written.swap(true, Ordering::Relaxed)
    }

    /// Of a request, whether or not it was taken, the receiver has written so much.
    pub(crate) fn partly_written(&self, written: Written) {
        self.written_samples.add(written.samples.unwrap_or(0));
        self.written_histograms.add(written.histograms.unwrap_or(0));
        self.written_exemplars.add(written.exemplars.unwrap_or(0));
    }

    /// The log on disk was opened; what an earlier run has left in it is sent first.
    pub(crate) fn opened_log(&self, folder: &Path, batches: usize, damaged: u64) {
        tracing::info!(
            "otelcol.component.kind" = "exporter",
            "otelcol.component.id" = self.id,
            folder = %folder.display(),
            batches,
            "Opened the log on disk"
        );
        self.wal_lag.add(i64::try_from(batches).unwrap_or(i64::MAX));
        if damaged > 0 {
            self.wal_reads_failures.add(1);
            tracing::warn!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.id,
                folder = %folder.display(),
                damaged_bytes = damaged,
                "The log on disk ends with something that was not written whole; it was cut off"
            );
        }
    }

    /// Shows the fill of the log on disk.
    pub(crate) fn observe_log(&self, bytes: impl Fn() -> u64 + Send + Sync + 'static) {
        let labels = [("exporter", self.id.as_str()), ("endpoint", self.endpoint.as_str())];
        let read = move || bytes() as f64;
        self.telemetry.observe_gauge(
            &format!("{PREFIX}wal_bytes"),
            "Bytes in the log on disk",
            &labels,
            read,
        );
    }

    /// Now, for the time that the log takes.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn since(&self, begun: Duration) -> f64 {
        self.now().saturating_sub(begun).as_secs_f64() * 1_000.0
    }

    /// A batch was written to the log, from `begun` on.
    pub(crate) fn log_written(&self, bytes: u64, begun: Duration) {
        self.wal_write_latency.observe(self.since(begun));
        self.wal_lag.add(1);
        self.wal_writes.add(1);
        self.wal_bytes_written.add(bytes);
    }

    pub(crate) fn log_write_failed(&self) {
        self.wal_writes_failures.add(1);
    }

    /// A batch of the log needs no more delivery.
    pub(crate) fn log_done(&self) {
        self.wal_lag.add(-1);
    }

    /// A batch was read from the log, from `begun` on.
    pub(crate) fn log_read(&self, bytes: u64, begun: Duration) {
        self.wal_read_latency.observe(self.since(begun));
        self.wal_reads.add(1);
        self.wal_bytes_read.add(bytes);
    }

    pub(crate) fn log_read_failed(&self) {
        self.wal_reads_failures.add(1);
    }

    /// The log does not know that something was delivered: it may be sent twice.
    pub(crate) fn log_done_failed(&self, error: &std::io::Error) {
        if let Some(left_out) = self.say("log") {
            tracing::warn!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.id,
                %error,
                left_out,
                "Cannot note in the log on disk what was delivered"
            );
        }
    }

    /// Protocol 1.0 from now on.
    pub(crate) fn fell_back(&self) {
        tracing::warn!(
            "otelcol.component.kind" = "exporter",
            "otelcol.component.id" = self.id,
            "the receiver does not take remote write 2.0 (HTTP status 415); sending 1.0 from now on"
        );
    }
}
