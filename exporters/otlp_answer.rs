//! What both OTLP exporters do with a batch on its way out and with the answer.

use bytes::Bytes;
use tracing::warn;
use weir_core::{Batch, Cause, Reject, Signal};
use weir_model::wire::{LEN, Reader, VARINT};
use weir_net::grpc::{GrpcCode, GrpcStatus};

/// The batch as an export request in pieces: untouched bytes as they are, without a copy.
pub(crate) fn pieces(batch: &Batch) -> Vec<Bytes> {
    batch.wire_chunks().unwrap_or_else(|| {
        let mut bytes = Vec::with_capacity(batch.size_bytes());
        batch.encode_otlp(&mut bytes);
        vec![bytes.into()]
    })
}

/// A failed call as a result (OTLP-34, OTLP-35): some codes are worth another try;
/// `ResourceExhausted` only if the server says when.
pub(crate) fn reject(status: &GrpcStatus) -> Reject {
    let retryable = match status.code {
        GrpcCode::Cancelled
        | GrpcCode::DeadlineExceeded
        | GrpcCode::Aborted
        | GrpcCode::OutOfRange
        | GrpcCode::Unavailable
        | GrpcCode::DataLoss => true,
        GrpcCode::ResourceExhausted => status.retry_after.is_some(),
        _ => false,
    };
    let text = format!("rpc error: {status}");
    let why = Cause::new("rpc", text).with_grpc_code(status.code.number());
    if retryable {
        Reject::Retry {
            after: status.retry_after,
            why,
        }
    } else {
        Reject::Permanent(why)
    }
}

/// What a server took only in part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialSuccess {
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

impl PartialSuccess {
    /// Reads an export response; whatever is none says nothing.
    pub(crate) fn from_proto(response: &[u8]) -> Self {
        let mut found = Self::default();
        let mut reader = Reader::new(response);
        while let Ok(Some(key)) = reader.key() {
            let read = match (key.field, key.wire) {
                (1, LEN) => reader.bytes().map(|body| found.read(body)),
                _ => reader.skip(key),
            };
            if read.is_err() {
                break;
            }
        }
        found
    }

    fn read(&mut self, body: &[u8]) {
        let mut reader = Reader::new(body);
        while let Ok(Some(key)) = reader.key() {
            let read = match (key.field, key.wire) {
                (1, VARINT) => reader.varint().map(|rejected| self.rejected = rejected),
                (2, LEN) => reader.bytes().map(|text| {
                    self.message = String::from_utf8_lossy(text).into_owned();
                }),
                _ => reader.skip(key),
            };
            if read.is_err() {
                break;
            }
        }
    }

    /// Reads an export response in OTLP/JSON.
    pub(crate) fn from_json(response: &[u8]) -> Self {
        let response: serde_json::Value = serde_json::from_slice(response).unwrap_or_default();
        let Some(partial) = response.get("partialSuccess") else {
            return Self::default();
        };
        let count = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"]
            .iter()
            .find_map(|key| partial.get(key));
        let rejected = count.and_then(|count| match count {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        let message = partial.get("errorMessage").and_then(|text| text.as_str());
        Self {
            rejected: rejected.unwrap_or(0),
            message: message.unwrap_or_default().to_owned(),
        }
    }

    /// Says so, if there is something to say (OTLP-39). Sending again would not help.
    pub(crate) fn warn(&self, id: &str, signal: Signal) {
        if *self == Self::default() {
            return;
        }
        let (message, rejected) = (self.message.as_str(), self.rejected);
        match signal {
            Signal::Traces => warn!(
                "otelcol.component.id" = id,
                "otelcol.component.kind" = "exporter",
                message_from_server = message,
                dropped_spans = rejected,
                "Partial success response"
            ),
            Signal::Metrics => warn!(
                "otelcol.component.id" = id,
                "otelcol.component.kind" = "exporter",
                message_from_server = message,
                dropped_data_points = rejected,
                "Partial success response"
            ),
            Signal::Logs => warn!(
                "otelcol.component.id" = id,
                "otelcol.component.kind" = "exporter",
                message_from_server = message,
                dropped_log_records = rejected,
                "Partial success response"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn codes_decide_whether_to_try_again() {
        let retryable = |code| reject(&GrpcStatus::new(code, "x")).is_retryable();
        assert!(retryable(GrpcCode::Unavailable) && retryable(GrpcCode::DataLoss));
        assert!(!retryable(GrpcCode::InvalidArgument) && !retryable(GrpcCode::Internal));
        assert!(!retryable(GrpcCode::ResourceExhausted));
        let after = Some(Duration::from_secs(3));
        let status = GrpcStatus::new(GrpcCode::ResourceExhausted, "x").with_retry_after(after);
        let Reject::Retry { after: wait, why } = reject(&status) else {
            unreachable!("it says when")
        };
        assert_eq!((wait, why.grpc_code), (after, Some(8)));
    }

    #[test]
    fn partial_success_is_read_in_both_encodings() {
        let expected = PartialSuccess {
            rejected: 3,
            message: "no".to_owned(),
        };
        let proto = [0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o'];
        assert_eq!(PartialSuccess::from_proto(&proto), expected);
        let json = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#;
        assert_eq!(PartialSuccess::from_json(json), expected);
        for nothing in [&b""[..], b"\x0a\x00", b"\xff\xff", b"{}"] {
            assert_eq!(
                PartialSuccess::from_proto(nothing),
                PartialSuccess::default()
            );
            assert_eq!(
                PartialSuccess::from_json(nothing),
                PartialSuccess::default()
            );
        }
    }
}
