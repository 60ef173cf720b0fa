//! What the receiver counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_aws::SegmentCounts;
use weir_core::telemetry::{Counter, Gauge, ReceiverTelemetry};
use weir_core::{BuildCtx, Signal};
use weir_xray::read::{Outcome, Refused};

/// The memory for data in flight is used up.
pub(super) const NO_MEMORY: &str = "out_of_memory";
/// The pipeline did not take it.
pub(super) const REFUSED: &str = "refused_by_pipeline";
/// It was not delivered before the end.
pub(super) const SHUTDOWN: &str = "shutdown";

/// Counters of one receiver.
#[derive(Debug)]
pub(super) struct Meters {
    spans: ReceiverTelemetry,
    dropped: BTreeMap<&'static str, Counter>,
    /// Bytes of documents read and not delivered yet.
    pub(super) held: Gauge,
    /// What an exporter reports to X-Ray, if one does.
    shared: Option<Arc<SegmentCounts>>,
}

impl Meters {
    pub(super) fn new(cx: &BuildCtx) -> Self {
        let receiver = ("receiver", cx.id.as_str());
        let mut dropped = BTreeMap::new();
        for reason in Refused::REASONS
            .into_iter()
            .chain([NO_MEMORY, REFUSED, SHUTDOWN])
        {
            let counter = cx.telemetry.counter(
                "weir_receiver_awsxray_dropped_segments",
                "Segments and subsegments that were not handed on",
                &[receiver, ("reason", reason)],
            );
            dropped.insert(reason, counter);
        }
        Self {
            spans: ReceiverTelemetry::new(&cx.telemetry, cx.id.as_str(), "udp"),
            dropped,
            held: cx.telemetry.gauge(
                "weir_receiver_awsxray_held_bytes",
                "Bytes of documents read and not delivered yet",
                &[receiver],
            ),
            shared: weir_aws::segment_counts(cx.id.as_str()),
        }
    }

    /// Shows what the kernel dropped at this address, because it was not read in time.
    pub(super) fn watch(cx: &BuildCtx, address: SocketAddr) {
        let last = AtomicU64::new(0);
        cx.telemetry.observe_counter(
            "weir_receiver_awsxray_dropped_datagrams",
            "Datagrams the kernel dropped because its buffer was full",
            &[("receiver", cx.id.as_str())],
            move || {
                // When the socket is closed its last count stays.
                let dropped = weir_net::dropped_datagrams(address).unwrap_or(0);
                last.fetch_max(dropped, Ordering::Relaxed).max(dropped) as f64
            },
        );
    }

    /// A document was read or refused.
    pub(super) fn read(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Taken { spans } => {
                if let Some(shared) = &self.shared {
                    shared.received(*spans);
                }
            }
            Outcome::Refused {
                segments,
                readable,
                why,
            } => {
                self.lost(why.reason(), *segments);
                if let Some(shared) = self.shared.as_ref().filter(|_| *readable) {
                    shared.received(*segments);
                    shared.rejected(*segments);
                }
            }
        }
    }

    /// Segments were not handed on.
    pub(super) fn lost(&self, reason: &'static str, segments: usize) {
        self.spans.refused(Signal::Traces, segments);
        if let Some(counter) = self.dropped.get(reason) {
            counter.add(segments as u64);
        }
    }

    /// Spans were handed on.
    pub(super) fn accepted(&self, spans: usize) {
        self.spans.accepted(Signal::Traces, spans);
    }
}
