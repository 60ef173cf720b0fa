//! OTLP/HTTP: paths, content types, answers (otlp-and-helpers section 1.2).

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use weir_core::auth::AuthError;
use weir_core::{BoxFut, Signal};
use weir_net::BodyError;
use weir_net::grpc::{GrpcCode, GrpcStatus};
use weir_net::http::{HttpHandler, HttpRequest};

use super::{Encoding, Http, Intake};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

pub(super) struct Handler {
    intake: Intake,
    /// Paths of the signals that a pipeline uses.
    paths: Vec<(String, Signal)>,
}

impl Handler {
    pub(super) fn new(intake: Intake, config: &Http) -> Self {
        let all = [
            (&config.traces_url_path, Signal::Traces),
            (&config.metrics_url_path, Signal::Metrics),
            (&config.logs_url_path, Signal::Logs),
        ];
        let served = all.into_iter().filter(|(_, signal)| intake.out.get(*signal).is_some());
        let paths = served.map(|(path, signal)| (format!("/{}", path.trim_start_matches('/')), signal)).collect();
        Self { intake, paths }
    }

    fn signal(&self, path: &str) -> Option<Signal> {
        self.paths.iter().find(|(p, _)| p == path).map(|(_, signal)| *signal)
    }
}

/// The encoding by content type; parameters such as a charset do not matter.
fn encoding(head: &Parts) -> Option<Encoding> {
    let value = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match value.split(';').next().unwrap_or_default().trim() {
        t if t.eq_ignore_ascii_case(JSON) => Some(Encoding::Json),
        t if t.eq_ignore_ascii_case(PROTOBUF) => Some(Encoding::Protobuf),
        _ => None,
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// A failure as `google.rpc.Status` in the encoding of the request.
fn failure(encoding: Encoding, http_status: StatusCode, status: &GrpcStatus) -> Response<Bytes> {
    let (kind, body) = match encoding {
        Encoding::Json => {
            let body = serde_json::json!({"code": status.code.number(), "message": status.message});
            (JSON, Bytes::from(body.to_string()))
        }
        Encoding::Protobuf => (PROTOBUF, Bytes::from(status.to_proto())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = http_status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let retryable = matches!(http_status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if let Some(after) = status.retry_after.filter(|_| retryable) {
        // Whole seconds, rounded up: coming back early is what the header is to prevent.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl HttpHandler for Handler {
    fn screen(&self, head: &Parts) -> Option<Response<Bytes>> {
        if self.signal(head.uri.path()).is_none() {
            return Some(plain(StatusCode::NOT_FOUND, "404 page not found\n"));
        }
        if head.method != Method::POST {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed, supported: [POST]");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Some(response);
        }
        if encoding(head).is_none() {
            let text = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
            return Some(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        None
    }

    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>> {
        Box::pin(async move {
            let encoding = encoding(&request.head).unwrap_or(Encoding::Protobuf);
            let signal = self.signal(request.head.uri.path()).unwrap_or(Signal::Traces);
            let client = self.intake.client(&request.head.headers, request.peer);
            match self.intake.take(signal, encoding, request.body, request.charge, client).await {
                Ok(()) => {
                    // The reference writes the empty partial success out.
                    let (kind, body): (_, &[u8]) = match encoding {
                        Encoding::Json => (JSON, b"{\"partialSuccess\":{}}"),
                        Encoding::Protobuf => (PROTOBUF, b"\x0a\x00"),
                    };
                    let mut response = Response::new(Bytes::from_static(body));
                    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                    response
                }
                Err(status) => failure(encoding, status.code.to_http(), &status),
            }
        })
    }

    fn refuse(&self, head: &Parts, error: &BodyError) -> Response<Bytes> {
        let encoding = encoding(head).unwrap_or(Encoding::Protobuf);
        let (http_status, code) = match error {
            BodyError::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, GrpcCode::Unavailable),
            _ => (StatusCode::BAD_REQUEST, GrpcCode::InvalidArgument),
        };
        // The reference answers 400, not 413, and with this text, which clients look for.
        let message = match error {
            BodyError::TooLarge { .. } => format!("http: {error}"),
            _ => error.to_string(),
        };
        let mut response = failure(encoding, http_status, &GrpcStatus::new(code, message));
        if matches!(error, BodyError::TooLarge { .. }) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn unauthenticated(&self, head: &Parts, error: &AuthError) -> Response<Bytes> {
        let encoding = encoding(head).unwrap_or(Encoding::Protobuf);
        let status = GrpcStatus::new(GrpcCode::Unauthenticated, error.to_string());
        failure(encoding, StatusCode::UNAUTHORIZED, &status)
    }
}
