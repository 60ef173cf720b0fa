//! Own metrics and log lines of one exporter and signal (otlp-and-helpers section 6).

use std::sync::Arc;

use tracing::{error, info, warn};
use weir_core::telemetry::{Counter, Gauge};
use weir_core::{BuildCtx, Clock, Fold, Signal, Telemetry};

use crate::admission::Room;

/// Counters of items, and what the log lines say about who they are.
pub(crate) struct Meters {
    name: String,
    signal: Signal,
    sent: Counter,
    failed: Counter,
    enqueue_failed: Counter,
    in_flight: Gauge,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    fold: Fold,
}

impl Meters {
    pub(crate) fn new(cx: &BuildCtx, signal: Signal, labels: &[(&'static str, String)]) -> Self {
        let name = cx.id.as_str();
        let mut send_labels = vec![("exporter", name)];
        send_labels.extend(labels.iter().map(|(k, v)| (*k, v.as_str())));
        let count = |what: &str, help: &str, labels: &[(&str, &str)]| {
            let items = signal.items();
            cx.telemetry.counter(
                &format!("otelcol_exporter_{what}_{items}"),
                &format!("{help} ({items})"),
                labels,
            )
        };
        Self {
            sent: count("sent", "Items delivered to the destination", &send_labels),
            failed: count("send_failed", "Items that were not delivered", &send_labels),
            enqueue_failed: count(
                "enqueue_failed",
                "Items refused by the sending queue",
                &[("exporter", name)],
            ),
            in_flight: cx.telemetry.gauge(
                "otelcol_exporter_in_flight_requests",
                "Deliveries going on",
                &[("exporter", name), ("data_type", signal.as_str())],
            ),
            name: name.to_owned(),
            signal,
            telemetry: cx.telemetry.clone(),
            clock: cx.clock.clone(),
            fold: Fold::default(),
        }
    }

    /// Shows the fill of the queue.
    pub(crate) fn observe_queue(&self, room: &Arc<Room>) {
        let labels = [
            ("exporter", self.name.as_str()),
            ("data_type", self.signal.as_str()),
        ];
        let (units, bytes, capacity) = (room.clone(), room.clone(), room.capacity());
        self.telemetry.observe_gauge(
            "otelcol_exporter_queue_size",
            "Fill of the sending queue, what is being sent included, in units of its sizer",
            &labels,
            move || units.used().units as f64,
        );
        self.telemetry.observe_gauge(
            "otelcol_exporter_queue_capacity",
            "Room in the sending queue, in units of its sizer",
            &labels,
            move || capacity as f64,
        );
        self.telemetry.observe_gauge(
            "weir_exporter_queue_bytes",
            "Bytes of data in the sending queue",
            &labels,
            move || bytes.used().bytes as f64,
        );
    }

    pub(crate) fn sent(&self, items: usize) {
        self.sent.add(items as u64);
    }

    pub(crate) fn failed(&self, items: usize) {
        self.failed.add(items as u64);
    }

    /// Items that nobody will send again.
    pub(crate) fn dropped(&self, items: usize, reason: &str) {
        if items == 0 {
            return;
        }
        let labels = [
            ("component", self.name.as_str()),
            ("signal", self.signal.as_str()),
            ("reason", reason),
        ];
        self.telemetry
            .counter(
                "weir_dropped_items_total",
                "Items that were taken in and will never arrive",
                &labels,
            )
            .add(items as u64);
    }

    /// One more delivery until the guard goes.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.in_flight.add(1);
        InFlight(&self.in_flight)
    }

    /// The queue refused a batch.
    pub(crate) fn refused(&self, items: usize, why: &str, hint: &str) {
        self.enqueue_failed.add(items as u64);
        if let Some(left_out) = self.say("refused", why) {
            error!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.name,
                "otelcol.signal" = self.signal.as_str(),
                error = why,
                rejected_items = items,
                left_out,
                "Exporting failed. Rejecting data.{hint}"
            );
        }
    }

    /// A delivery without queue failed; the caller knows.
    pub(crate) fn rejected(&self, items: usize, why: &str, hint: &str) {
        if let Some(left_out) = self.say("rejected", why) {
            error!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.name,
                "otelcol.signal" = self.signal.as_str(),
                error = why,
                rejected_items = items,
                left_out,
                "Exporting failed. Rejecting data.{hint}"
            );
        }
    }

    /// A delivery out of the queue failed for good.
    pub(crate) fn gave_up(&self, items: usize, why: &str, hint: &str) {
        if let Some(left_out) = self.say("dropped", why) {
            error!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.name,
                "otelcol.signal" = self.signal.as_str(),
                error = why,
                dropped_items = items,
                left_out,
                "Exporting failed. Dropping data.{hint}"
            );
        }
    }

    /// A wait before the next attempt.
    pub(crate) fn will_retry(&self, why: &str, interval: std::time::Duration) {
        if let Some(left_out) = self.say("retry", why) {
            info!(
                "otelcol.component.kind" = "exporter",
                "otelcol.component.id" = self.name,
                "otelcol.signal" = self.signal.as_str(),
                error = why,
                interval = %weir_config::Duration::from(interval),
                left_out,
                "Exporting failed. Will retry the request after interval."
            );
        }
    }

    /// What was left when the time to stop was over.
    pub(crate) fn left_behind(&self, items: usize) {
        warn!(
            "otelcol.component.kind" = "exporter",
            "otelcol.component.id" = self.name,
            "otelcol.signal" = self.signal.as_str(),
            dropped_items = items,
            "Stopped with undelivered items. Dropping data. Allow more time to stop, or set \
             sending_queue::wait_for_result so that senders keep what is not delivered."
        );
    }

    /// The exporter did not finish in time.
    pub(crate) fn slow_stop(&self) {
        warn!(
            "otelcol.component.kind" = "exporter",
            "otelcol.component.id" = self.name,
            "otelcol.signal" = self.signal.as_str(),
            "The exporter did not end within the time to stop."
        );
    }

    /// Lines of one kind with the same cause are folded.
    fn say(&self, line: &str, why: &str) -> Option<u64> {
        self.fold
            .say(&format!("{line} {why}"), self.clock.monotonic())
    }
}

/// A delivery that is going on.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
