//! Own metrics and log lines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;
use weir_aws::UnprocessedSegment;
use weir_core::telemetry::Counter;
use weir_core::{BuildCtx, Clock, Fold, Telemetry};
use weir_xray::Skipped;

/// Error codes of the service that get a series of their own; the rest counts as `other`.
const MAX_CODES: usize = 20;
/// Longest error code in a label.
const MAX_CODE_BYTES: usize = 64;
/// Longest text of the service in a log line.
const MAX_TEXT_BYTES: usize = 1024;

/// The longest start of a text within a limit.
fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or("")
}

/// Counts what does not arrive, with its reason.
pub(super) struct Meters {
    name: String,
    telemetry: Arc<Telemetry>,
    pub(super) clock: Arc<dyn Clock>,
    fold: Fold,
    documents: Counter,
    values: Counter,
    invalid_trace_id: Counter,
    too_large: Counter,
    unprocessed: Counter,
    codes: Mutex<HashMap<String, Counter>>,
}

impl Meters {
    pub(super) fn new(cx: &BuildCtx) -> Self {
        let name = cx.id.as_str();
        let dropped = |reason: &str| {
            cx.telemetry.counter(
                "weir_dropped_items_total",
                "Items that were taken in and will never arrive",
                &[
                    ("component", name),
                    ("signal", "traces"),
                    ("reason", reason),
                ],
            )
        };
        let count =
            |metric: &str, help: &str| cx.telemetry.counter(metric, help, &[("exporter", name)]);
        Self {
            documents: count(
                "weir_exporter_awsxray_documents",
                "Segment documents that X-Ray took",
            ),
            values: count(
                "weir_exporter_awsxray_dropped_values",
                "Attribute values left out because JSON has no form for them (NaN, infinities)",
            ),
            invalid_trace_id: dropped("invalid_trace_id"),
            too_large: dropped("document_too_large"),
            unprocessed: dropped("unprocessed"),
            codes: Mutex::default(),
            name: name.to_owned(),
            telemetry: cx.telemetry.clone(),
            clock: cx.clock.clone(),
            fold: Fold::default(),
        }
    }

    /// Documents arrived.
    pub(super) fn sent(&self, documents: usize) {
        self.documents.add(documents as u64);
    }

    /// Values were left out of documents.
    pub(super) fn unprintable(&self, values: u64) {
        self.values.add(values);
    }

    /// A span is not sent.
    pub(super) fn skipped(&self, why: Skipped) {
        let (counter, message) = match why {
            Skipped::InvalidTraceId => (
                &self.invalid_trace_id,
                "A span was dropped: X-Ray does not take its trace id or that of a link. Its time must \
                 lie within the last 28 days, or leave the gate \
                 exporter.awsxray.skiptimestampvalidation on.",
            ),
            Skipped::TooLarge => (
                &self.too_large,
                "A span was dropped: its document is over 64 KiB even without metadata. Send fewer or \
                 shorter annotations.",
            ),
        };
        counter.add(1);
        self.say(message, message, "");
    }

    /// The service did not take these documents, of so many spans, and will not.
    pub(super) fn refused(&self, segments: &[&UnprocessedSegment], spans: usize) {
        self.unprocessed.add(spans as u64);
        for segment in segments {
            let code = segment.error_code.as_deref().unwrap_or("");
            self.code_counter(code).add(1);
            let text = segment.message.as_deref().unwrap_or("");
            // The text may name the segment, so lines fold by the code; both come from outside.
            let key = cut(code, MAX_CODE_BYTES);
            self.say(
                key,
                "X-Ray did not take a segment document.",
                &format!("{key}: {}", cut(text, MAX_TEXT_BYTES)),
            );
        }
    }

    fn code_counter(&self, code: &str) -> Counter {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = codes.contains_key(code);
        let fits = code.len() <= MAX_CODE_BYTES && codes.len() < MAX_CODES;
        let code = if known || fits { code } else { "other" };
        let make = || {
            self.telemetry.counter(
                "weir_exporter_awsxray_unprocessed_documents",
                "Segment documents that X-Ray did not take, by its error code",
                &[("exporter", &self.name), ("code", code)],
            )
        };
        codes.entry(code.to_owned()).or_insert_with(make).clone()
    }

    /// Writes a line, folding repetitions of `key`.
    pub(super) fn say(&self, key: &str, message: &str, error: &str) {
        if let Some(left_out) = self.fold.say(key, self.clock.monotonic()) {
            warn!(
                kind = "exporter",
                name = self.name,
                error,
                left_out,
                "{message}"
            );
        }
    }
}
