//! What the receiver says of itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;
use weir_core::telemetry::{Counter, Gauge};
use weir_core::{BuildCtx, Fold};

use weir_net::dropped_datagrams;

use super::line::LineError;

/// At most so much of a bad line is shown.
const SHOWN: usize = 200;

/// Counters and the log of bad lines.
#[derive(Debug)]
pub(super) struct Meters {
    id: String,
    pub(super) lines: Counter,
    /// In the order of [`LineError::ALL`].
    dropped: Vec<(LineError, Counter, AtomicBool)>,
    pub(super) series: Gauge,
    pub(super) memory: Gauge,
    pub(super) failures: Fold,
}

impl Meters {
    pub(super) fn new(cx: &BuildCtx) -> Self {
        let id = cx.id.as_str();
        let own = [("receiver", id)];
        let dropped = LineError::ALL.map(|error| {
            let labels = [("receiver", id), ("reason", error.reason())];
            let help = "Lines, or values of a line, that were not counted";
            let name = "otelcol_receiver_statsd_dropped_lines";
            (error, cx.telemetry.counter(name, help, &labels), AtomicBool::new(false))
        });
        Self {
            id: id.to_owned(),
            lines: cx.telemetry.counter(
                "otelcol_receiver_statsd_received_lines",
                "Lines that came in",
                &own,
            ),
            dropped: dropped.into(),
            series: cx.telemetry.gauge(
                "otelcol_receiver_statsd_series",
                "Series being added up; max_series is the limit",
                &own,
            ),
            memory: cx.telemetry.gauge(
                "otelcol_receiver_statsd_memory_bytes",
                "Bytes of series and values being added up; max_memory is the limit",
                &own,
            ),
            failures: Fold::default(),
        }
    }

    /// Counts lines that were not taken; the first one of each reason is shown in the log.
    pub(super) fn drop_line(&self, error: LineError, line: &[u8]) {
        let Some((_, counter, shown)) = self.dropped.iter().find(|(of, ..)| *of == error) else {
            return;
        };
        counter.add(1);
        if !shown.swap(true, Ordering::Relaxed) {
            let line = line.get(..SHOWN).unwrap_or(line);
            warn!(
                receiver = self.id,
                reason = error.reason(),
                line = %line.escape_ascii(),
                "line not counted: {error}; further ones only in otelcol_receiver_statsd_dropped_lines"
            );
        }
    }
}

/// Shows how much the kernel threw away because it came faster than it was read.
pub(super) fn observe_kernel_drops(cx: &BuildCtx, address: SocketAddr) {
    cx.telemetry.observe_counter(
        "otelcol_receiver_statsd_kernel_dropped_datagrams",
        "Datagrams that the kernel dropped because the socket's buffer was full",
        &[("receiver", cx.id.as_str())],
        move || dropped_datagrams(address).unwrap_or_default() as f64,
    );
}
