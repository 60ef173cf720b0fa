//! One request over HTTP, and what its answer means (specification section 5).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use weir_core::{Cause, Reject};
use weir_net::grpc::GrpcCode;
use weir_net::{HttpClient, HttpResponse, NetError};

use super::pack::Counts;

/// Header with the version of the protocol.
pub(crate) const VERSION_HEADER: &str = "x-prometheus-remote-write-version";
/// Bytes of an error answer that are put into messages.
const SHOWN_BYTES: usize = 1024;
/// The `reason` of an answer that asks for another protocol.
pub(crate) const WRONG_PROTOCOL: &str = "http_415";

/// Where requests go.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) client: HttpClient,
    pub(crate) uri: Uri,
    /// Whether 429 is tried again.
    pub(crate) retry_on_429: bool,
}

/// What a 2.0 receiver says it has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) samples: Option<u64>,
    pub(crate) histograms: Option<u64>,
    pub(crate) exemplars: Option<u64>,
}

impl Written {
    /// Everything that was sent: protocol 1.0 says nothing.
    pub(crate) fn all(counts: Counts) -> Self {
        Self {
            samples: Some(counts.samples),
            histograms: Some(counts.histograms),
            exemplars: Some(counts.exemplars),
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let number = |what: &str| {
            let value = headers.get(format!("x-prometheus-remote-write-{what}-written"))?;
            value.to_str().ok()?.trim().parse().ok()
        };
        Self {
            samples: number("samples"),
            histograms: number("histograms"),
            exemplars: number("exemplars"),
        }
    }
}

/// The protocol's headers (PRW-32).
pub(crate) fn headers(v2: bool) -> HeaderMap {
    let (kind, version) = if v2 {
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0")
    } else {
        ("application/x-protobuf", "0.1.0")
    };
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VERSION_HEADER, HeaderValue::from_static(version));
    headers
}

impl Destination {
    /// Sends one request, once.
    pub(crate) async fn send(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Written, Reject> {
        let answer = self.client.send(Method::POST, &self.uri, headers, body).await;
        let answer = answer.map_err(|error| failed(&error))?;
        if answer.status.is_success() {
            return Ok(Written::of(&answer.headers));
        }
        Err(self.refused(&answer))
    }

    fn refused(&self, answer: &HttpResponse) -> Reject {
        let status = answer.status;
        let shown = answer.body.get(..SHOWN_BYTES).unwrap_or(&answer.body);
        let text = String::from_utf8_lossy(shown);
        let message = format!(
            "remote write to {} returned HTTP status {status}: {}",
            self.uri.authority().map_or("", http::uri::Authority::as_str),
            text.trim()
        );
        let code = GrpcCode::from_http(status).number();
        let why = Cause::new(reason(status), message).with_grpc_code(code);
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        if status.is_server_error() || (throttled && self.retry_on_429) {
            let after = answer.headers.get(RETRY_AFTER);
            let after = after.and_then(retry_after);
            return Reject::Retry { after, why };
        }
        Reject::Permanent(why)
    }
}

#[allow(clippy::match_overlapping_arm, reason = "codes before their classes")]
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "http_400",
        401 => "http_401",
        403 => "http_403",
        404 => "http_404",
        413 => "http_413",
        415 => WRONG_PROTOCOL,
        429 => "http_429",
        _ if status.is_redirection() => "http_3xx",
        _ if status.is_client_error() => "http_4xx",
        _ => "http_5xx",
    }
}

fn failed(error: &NetError) -> Reject {
    let why = Cause::new(error.reason(), error.to_string());
    if error.is_retryable() {
        Reject::Retry { after: None, why }
    } else {
        Reject::Permanent(why)
    }
}

/// Whole seconds. A date would need the server's clock and ours to agree, so it counts as no hint.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
