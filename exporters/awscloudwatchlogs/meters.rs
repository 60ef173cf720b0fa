//! Own metrics and log lines.

use tracing::warn;
use weir_core::telemetry::Counter;
use weir_core::{BuildCtx, Fold};

use super::pack::LeftOut;
use crate::cloudwatch_logs::push::Rejected;

/// Counts what does not arrive, with its reason.
pub(super) struct Meters {
    cx: BuildCtx,
    fold: Fold,
    sent: Counter,
    cut: Counter,
}

impl Meters {
    pub(super) fn new(cx: &BuildCtx) -> Self {
        let labels = [("exporter", cx.id.as_str())];
        Self {
            sent: cx.telemetry.counter(
                "weir_awscloudwatchlogs_sent_events",
                "Events that CloudWatch Logs took and keeps",
                &labels,
            ),
            cut: cx.telemetry.counter(
                "weir_awscloudwatchlogs_truncated_events",
                "Events that were cut to max_event_bytes",
                &labels,
            ),
            fold: Fold::default(),
            cx: cx.clone(),
        }
    }

    /// Events arrived.
    pub(super) fn sent(&self, events: u64) {
        self.sent.add(events);
    }

    /// Events were cut.
    pub(super) fn cut(&self, events: u64) {
        if events > 0 {
            self.cut.add(events);
            self.say(
                events,
                "Events were cut to max_event_bytes; JSON text does not survive that. Send shorter \
                 records, or raise max_event_bytes (up to 1048576)",
            );
        }
    }

    /// Records were not sent because CloudWatch Logs would refuse them.
    pub(super) fn left_out(&self, left_out: LeftOut) {
        self.rejected(
            left_out.too_old,
            "too_old",
            "Log records older than 14 days are dropped: CloudWatch Logs refuses them",
        );
        self.rejected(
            left_out.too_new,
            "too_new",
            "Log records more than 2 hours ahead are dropped: CloudWatch Logs refuses them. Check \
             the clock of their sender",
        );
        self.rejected(
            left_out.empty,
            "empty",
            "Log records without text in their body are dropped: CloudWatch Logs refuses empty \
             events (raw_log)",
        );
    }

    /// CloudWatch Logs took the request but will not keep all of it.
    pub(super) fn refused(&self, rejected: Rejected) {
        let text = "CloudWatch Logs did not keep log events because of their time";
        self.rejected(rejected.too_old, "too_old", text);
        self.rejected(rejected.too_new, "too_new", text);
        self.rejected(
            rejected.expired,
            "expired",
            "CloudWatch Logs did not keep log events that are older than the log group's retention",
        );
    }

    fn rejected(&self, events: u64, reason: &str, text: &str) {
        if events == 0 {
            return;
        }
        let labels = [("exporter", self.cx.id.as_str()), ("reason", reason)];
        let help = "Events that CloudWatch Logs refuses";
        self.cx
            .telemetry
            .counter("weir_awscloudwatchlogs_rejected_events", help, &labels)
            .add(events);
        self.say(events, text);
    }

    /// Records are lost of which nobody else will hear: the others of their batch are sent again.
    pub(super) fn dropped(&self, records: u64, reason: &str) {
        if records == 0 {
            return;
        }
        let labels = [
            ("component", self.cx.id.as_str()),
            ("signal", "logs"),
            ("reason", reason),
        ];
        let help = "Items that were taken in and will never arrive";
        self.cx
            .telemetry
            .counter("weir_dropped_items_total", help, &labels)
            .add(records);
    }

    fn say(&self, count: u64, text: &str) {
        if let Some(left_out) = self.fold.say(text, self.cx.clock.monotonic()) {
            let name = self.cx.id.as_str();
            warn!(kind = "exporter", name, count, left_out, "{text}");
        }
    }
}
