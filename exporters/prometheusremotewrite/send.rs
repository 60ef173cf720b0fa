//! One request over HTTP, and what its answer means (specification section 5).

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode, Uri};
use weir_core::{Cause, Clock, Reject};
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
    /// For dates in `Retry-After`.
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a 2.0 receiver says it has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

    /// Whether the receiver said anything.
    pub(crate) fn is_said(self) -> bool {
        self.samples.is_some() || self.histograms.is_some()
    }

    /// Points of the request that were not written, as far as the receiver says so.
    pub(crate) fn missing(self, counts: Counts) -> usize {
        if !self.is_said() {
            return 0;
        }
        // A receiver that names one kind only has written none of the other.
        let said = |written: Option<u64>, sent: u64| written.unwrap_or(0).min(sent);
        let written = said(self.samples, counts.samples) + said(self.histograms, counts.histograms);
        let sent = counts.samples + counts.histograms;
        let missing = u128::from(sent - written) * counts.items as u128;
        usize::try_from(missing.div_ceil(u128::from(sent.max(1)))).unwrap_or(counts.items)
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
    /// Sends one request, once. An answer of failure may also say that a part was written.
    pub(crate) async fn send(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Written, Result<(), Reject>) {
        let answer = self.client.send(Method::POST, &self.uri, headers, body).await;
        match answer {
            Err(error) => (Written::default(), Err(failed(&error))),
            Ok(answer) if answer.status.is_success() => (Written::of(&answer.headers), Ok(())),
            Ok(answer) => (Written::of(&answer.headers), Err(self.refused(&answer))),
        }
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
            let after = after.and_then(|value| retry_after(value, self.clock.unix_ns()));
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

/// Whole seconds, or the date until which to wait; one in the past asks for no wait (RFC 9110,
/// section 10.2.3).
fn retry_after(value: &HeaderValue, now_ns: u64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH + Duration::from_nanos(now_ns);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now_ns = 784_111_777 * 1_000_000_000;
        let after = |text| retry_after(&HeaderValue::from_static(text), now_ns);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("Sun, 06 Nov 1994 08:50:07 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            after("Sun, 06 Nov 1994 08:49:07 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn points_that_were_not_written_are_found_from_the_counts() {
        let counts = Counts {
            items: 10,
            samples: 40,
            histograms: 10,
            ..Counts::default()
        };
        let missing = |samples, histograms| {
            let written = Written {
                samples,
                histograms,
                exemplars: None,
            };
            written.missing(counts)
        };
        assert_eq!(missing(None, None), 0, "nothing is known");
        assert_eq!(missing(Some(40), Some(10)), 0);
        assert_eq!(missing(Some(40), None), 2, "no histogram was written");
        assert_eq!(missing(Some(39), Some(10)), 1, "rounded up");
        assert_eq!(missing(Some(0), Some(0)), 10);
        assert_eq!(missing(Some(u64::MAX), Some(10)), 0, "more than was sent");
    }
}
