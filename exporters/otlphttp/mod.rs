//! The `otlp_http` exporter (formerly `otlphttp`): OTLP over HTTP.
//!
//! A batch that nobody changed goes out as the bytes it came in as.

mod config;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
pub use config::{Config, Encoding};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use weir_core::{
    Batch, BoxFut, BuildCtx, BuildError, Cause, Clock, Exporter, ExporterKind, Reference, Reject,
    Signal, Signals, Stability, Stage,
};
use weir_net::grpc::{GrpcCode, GrpcStatus};
use weir_net::{ClientContext, HttpClient, HttpResponse, NetError};
use weir_sending::{SendingSettings, TimeoutSettings};

use crate::otlp_answer::{PartialSuccess, pieces};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Registration.
pub struct Kind;

impl ExporterKind for Kind {
    const TYPE: &'static str = "otlp_http";
    const ALIASES: &'static [&'static str] = &["otlphttp"];
    const STABILITY: Stability = Stability::Stable;
    const SIGNALS: Signals = Signals::ALL;
    type Config = Config;

    fn references(config: &Config) -> Vec<Reference> {
        let id = config
            .auth
            .as_ref()
            .and_then(|auth| auth.authenticator.clone());
        id.map(|id| Reference::Extension {
            id,
            role: "authenticator",
            key: "auth.authenticator",
        })
        .into_iter()
        .collect()
    }

    fn build(config: Config, cx: BuildCtx) -> BoxFut<'static, Result<Arc<dyn Stage>, BuildError>> {
        Box::pin(async move {
            let exporter = OtlpHttp::new(&config, &cx)?;
            // The client keeps the time itself.
            let mut sending = SendingSettings::new(
                TimeoutSettings(weir_config::Duration::ZERO),
                config.retry_on_failure,
                config.sending_queue,
            );
            let url = &exporter.url;
            let port = url.port_u16().unwrap_or(match url.scheme_str() {
                Some("https") => 443,
                _ => 80,
            });
            sending.labels = vec![
                ("server_address", url.host().unwrap_or_default().to_owned()),
                ("server_port", port.to_string()),
                ("url_path", url.path().to_owned()),
            ];
            Ok(weir_sending::wrap(Arc::new(exporter), &sending, &cx))
        })
    }
}

struct OtlpHttp {
    id: String,
    client: HttpClient,
    url: Uri,
    /// The URL for messages: without user and password.
    target: String,
    clock: Arc<dyn Clock>,
    encoding: Encoding,
    headers: HeaderMap,
}

impl OtlpHttp {
    fn new(config: &Config, cx: &BuildCtx) -> Result<Self, BuildError> {
        let signal = cx.signal.unwrap_or(Signal::Traces);
        let url = config.url(signal)?;
        let auth = config
            .auth
            .as_ref()
            .and_then(|auth| auth.authenticator.as_ref());
        let context = ClientContext {
            auth: auth.map(|id| cx.extensions.client_auth(id)).transpose()?,
            user_agent: cx.build_info.user_agent(),
        };
        let wrong = |error: NetError| BuildError(error.to_string());
        let options = config.http_client().options(context).map_err(wrong)?;
        let content_type = match config.encoding {
            Encoding::Proto => PROTOBUF,
            Encoding::Json => JSON,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(Self {
            id: cx.id.to_string(),
            client: HttpClient::new(options).map_err(wrong)?,
            target: without_credentials(&url),
            clock: cx.clock.clone(),
            url,
            encoding: config.encoding,
            headers,
        })
    }

    fn body(&self, batch: &Batch) -> Bytes {
        match self.encoding {
            Encoding::Json => batch.to_json().into(),
            Encoding::Proto => {
                let mut pieces = pieces(batch);
                match pieces.len() {
                    // Requests concatenate to one valid request.
                    0 | 2.. => pieces.concat().into(),
                    1 => pieces.pop().unwrap_or_default(),
                }
            }
        }
    }

    /// An answer that is no success, as a result (OTLP-37).
    fn failure(&self, answer: &HttpResponse) -> Reject {
        let status = answer.status;
        let retryable = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        let mut text = format!("{} answered HTTP status {}", self.target, status.as_u16());
        let message = status_message(answer);
        if !message.is_empty() {
            text = format!("{text}: {message}");
        }
        let code = GrpcCode::from_http(status).number();
        let why = Cause::new("http_status", text).with_grpc_code(code);
        if !retryable {
            return Reject::Permanent(why);
        }
        let says_when = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let after = answer.headers.get(RETRY_AFTER).filter(|_| says_when);
        let after = after.and_then(|value| retry_after(value, self.clock.unix_ns()));
        Reject::Retry { after, why }
    }
}

fn is_json(answer: &HttpResponse) -> bool {
    let kind = answer
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with(JSON))
}

/// The message of a `google.rpc.Status` body.
fn status_message(answer: &HttpResponse) -> String {
    if is_json(answer) {
        let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = status.get("message").and_then(|message| message.as_str());
        return message.unwrap_or_default().to_owned();
    }
    GrpcStatus::from_proto(&answer.body)
        .map(|status| status.message)
        .unwrap_or_default()
}

/// Whole seconds, or a date; `now` is Unix nanoseconds. A date that is over means no wait.
fn retry_after(value: &HeaderValue, now: u64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(
        date.duration_since(UNIX_EPOCH + Duration::from_nanos(now))
            .unwrap_or_default(),
    )
}

/// User and password may stand before the host; they belong in no message.
fn without_credentials(url: &Uri) -> String {
    let host = url.authority().map_or("", |authority| authority.as_str());
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!(
        "{}://{host}{}",
        url.scheme_str().unwrap_or("http"),
        url.path()
    )
}

impl Exporter for OtlpHttp {
    fn export<'a>(&'a self, batch: &'a mut Batch) -> BoxFut<'a, Result<(), Reject>> {
        Box::pin(async move {
            let body = self.body(batch);
            let sent = self
                .client
                .send(Method::POST, &self.url, &self.headers, body)
                .await;
            let answer = sent.map_err(|error| {
                let cause = Cause::new(error.reason(), error.to_string());
                if error.is_retryable() {
                    Reject::Retry {
                        after: None,
                        why: cause,
                    }
                } else {
                    Reject::Permanent(cause)
                }
            })?;
            if !answer.status.is_success() {
                return Err(self.failure(&answer));
            }
            let partial = if is_json(&answer) {
                PartialSuccess::from_json(&answer.body)
            } else {
                PartialSuccess::from_proto(&answer.body)
            };
            partial.warn(&self.id, batch.signal());
            Ok(())
        })
    }
}
