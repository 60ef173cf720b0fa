//! Calls of X-Ray (API version 2016-04-12).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use weir_core::Clock;

use crate::client::{AwsClient, Call};
use crate::error::{AwsError, ErrorKind};

/// X-Ray.
#[derive(Debug)]
pub struct XRay {
    client: AwsClient,
    clock: Arc<dyn Clock>,
}

/// A document that was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UnprocessedSegment {
    /// Id of the segment, if it could be read.
    pub id: Option<String>,
    /// The service's word for why.
    pub error_code: Option<String>,
    /// Text.
    pub message: Option<String>,
}

/// Answer of `PutTraceSegments`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutTraceSegmentsReply {
    /// Documents that were not taken.
    pub unprocessed_trace_segments: Vec<UnprocessedSegment>,
}

impl PutTraceSegmentsReply {
    /// Reads an answer; nothing at all means that nothing is unprocessed. An entry of the list that
    /// cannot be read still stands for a document that was not taken.
    fn read(answer: &[u8]) -> Option<Self> {
        use serde_json::Value;
        if answer.is_empty() {
            return Some(Self::default());
        }
        let mut answer: serde_json::Map<String, Value> = serde_json::from_slice(answer).ok()?;
        let entries = match answer.remove("UnprocessedTraceSegments") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => return None,
        };
        let entries = entries.into_iter();
        Some(Self {
            unprocessed_trace_segments: entries
                .map(|entry| serde_json::from_value(entry).unwrap_or_default())
                .collect(),
        })
    }
}

impl XRay {
    /// The calls over a client made for [`crate::Service::XRay`].
    pub fn new(client: AwsClient, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }

    /// The region it works in.
    pub fn region(&self) -> &str {
        self.client.region()
    }

    async fn send(&self, path: &'static str, body: Bytes) -> Result<Bytes, AwsError> {
        let now = self.clock.unix_ns();
        let stamp = format!("{}.{:09}", now / 1_000_000_000, now % 1_000_000_000);
        let mut headers = HeaderMap::new();
        if let Ok(stamp) = HeaderValue::from_str(&stamp) {
            headers.insert(HeaderName::from_static("x-amzn-xray-timestamp"), stamp);
        }
        self.client
            .call(&Call {
                path,
                content_type: "application/json",
                target: None,
                headers,
                body,
            })
            .await
    }

    /// `PutTraceSegments` with a ready body (`TraceSegmentDocuments`, at most 50).
    ///
    /// # Errors
    /// See [`AwsError`]. An answer that is none of X-Ray's says nothing about the documents, so it is
    /// an error although its status is a success; the SDK of the reference sees it so too.
    pub async fn put_trace_segments(&self, body: Bytes) -> Result<PutTraceSegmentsReply, AwsError> {
        let answer = self.send("/TraceSegments", body).await?;
        PutTraceSegmentsReply::read(&answer).ok_or_else(|| AwsError {
            status: Some(200),
            ..AwsError::local(
                ErrorKind::Server,
                "the answer is not one of X-Ray; check `endpoint` and `proxy_address`".to_owned(),
            )
        })
    }

    /// `PutTelemetryRecords` with a ready body.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn put_telemetry_records(&self, body: Bytes) -> Result<(), AwsError> {
        self.send("/TelemetryRecords", body).await.map(drop)
    }
}
