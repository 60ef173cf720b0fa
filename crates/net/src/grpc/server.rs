//! gRPC server: unary calls, messages as bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use weir_core::{BoxFut, Stop};
use weir_model::Charge;

use super::codec::{ACCEPT_ENCODING, ACCEPTED, PREFIX, accepted_encoding, frame_length};
use super::config::GrpcServerConfig;
use super::status::{GrpcCode, GrpcStatus};
use crate::address;
use crate::compress::{DecodeError, decode_body};
use crate::error::NetError;
use crate::http::ServerContext;
use crate::server::{
    Acceptor, Answer, BodyError, BodyReader, ConnectionLimits, Http2Settings, Protocol, Reply,
    Serve, UnderWay,
};
use crate::tls;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A whole answer that is an empty message.
const EMPTY_MESSAGE: Bytes = Bytes::from_static(&[0; PREFIX]);
const DEFAULT_PING: Duration = Duration::from_secs(2 * 3600);
const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A unary call with its message complete and decompressed.
#[derive(Debug)]
pub struct GrpcRequest {
    /// `/package.Service/Method`.
    pub uri: http::Uri,
    /// Metadata.
    pub headers: HeaderMap,
    /// The message.
    pub message: Bytes,
    /// Who sent it; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What it holds of the memory for requests in flight.
    pub charge: Option<Charge>,
}

/// Answers the calls of a [`GrpcServer`].
pub trait GrpcHandler: Send + Sync + 'static {
    /// Whether there is such a method; asked before the message is read.
    fn serves(&self, path: &str) -> bool;

    /// Answers a call with the bytes of the answer's message.
    fn call(&self, request: GrpcRequest) -> BoxFut<'_, Result<Bytes, GrpcStatus>>;

    /// The status for a message that could not be read, if it is not to be the usual one.
    fn refuse(&self, _path: &str, _error: &BodyError) -> Option<GrpcStatus> {
        None
    }
}

/// A bound gRPC server.
pub struct GrpcServer {
    acceptor: Acceptor,
    max_message: usize,
    context: ServerContext,
}

impl std::fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer")
            .field("address", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl GrpcServer {
    /// Binds the endpoint and loads certificates.
    ///
    /// # Errors
    /// An address that cannot be bound, files that cannot be used.
    pub fn bind(config: &GrpcServerConfig, context: ServerContext) -> Result<Self, NetError> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| tls::server_config(tls, &[b"h2"]))
            .transpose()?;
        let listener = match config.transport.as_str() {
            "unix" => address::listen_unix(&config.endpoint)?,
            _ => address::listen_tcp(&config.endpoint)?,
        };
        let parameters = config
            .keepalive
            .as_ref()
            .and_then(|k| k.server_parameters.clone())
            .unwrap_or_default();
        let or = |time: weir_config::Duration, default| {
            if time.is_zero() {
                default
            } else {
                Some(time.to_std())
            }
        };
        let settings = Http2Settings {
            max_streams: Some(config.max_concurrent_streams).filter(|n| *n > 0),
            ping_interval: or(parameters.time, Some(DEFAULT_PING)),
            ping_timeout: or(parameters.timeout, Some(DEFAULT_PING_TIMEOUT)),
        };
        let limits = ConnectionLimits {
            idle: or(parameters.max_connection_idle, context.limits.idle),
            age: or(parameters.max_connection_age, context.limits.age),
            age_grace: or(
                parameters.max_connection_age_grace,
                context.limits.age_grace,
            ),
            ..context.limits
        };
        let protocol = Protocol::Http2(settings);
        let acceptor = Acceptor {
            listener,
            tls,
            protocol,
            limits,
        };
        Ok(GrpcServer {
            acceptor,
            max_message: config.max_message(),
            context,
        })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.acceptor.listener.local_addr()
    }

    /// Serves until `stop`, then finishes the calls under way within its deadline.
    pub async fn serve(self, handler: Arc<dyn GrpcHandler>, stop: Stop) {
        let endpoint = Endpoint {
            handler,
            max_message: self.max_message,
            body_time: self.acceptor.limits.body,
            context: self.context,
        };
        self.acceptor.run(Arc::new(endpoint), stop).await;
    }
}

impl Serve for Endpoint {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        address: Option<SocketAddr>,
        under_way: UnderWay,
    ) -> Answer {
        Box::pin(async move {
            let response = self.respond(request, address).await;
            drop(under_way);
            Ok(response)
        })
    }
}

struct Endpoint {
    handler: Arc<dyn GrpcHandler>,
    max_message: usize,
    body_time: Option<Duration>,
    context: ServerContext,
}

impl Endpoint {
    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> Response<Reply> {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .map_or(&b""[..], |v| v.as_bytes());
        if request.method() != http::Method::POST || !content_type.starts_with(GRPC.as_bytes()) {
            let mut response = Response::new(Reply::data(Bytes::from_static(
                b"this port speaks gRPC: POST with content-type application/grpc",
            )));
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let result = match request.headers().get(TIMEOUT).map(parse_timeout) {
            None => self.call(request, peer).await,
            Some(None) => Err(GrpcStatus::new(
                GrpcCode::Internal,
                "malformed grpc-timeout",
            )),
            Some(Some(limit)) => {
                match tokio::time::timeout(limit, self.call(request, peer)).await {
                    Ok(result) => result,
                    Err(_) => {
                        let text = "the deadline of the caller has passed";
                        Err(GrpcStatus::new(GrpcCode::DeadlineExceeded, text))
                    }
                }
            }
        };
        match result {
            Ok(message) => success(&message),
            Err(status) => failure(&status),
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> Result<Bytes, GrpcStatus> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if !self.handler.serves(path) {
            let path: String = path.chars().take(200).collect();
            return Err(GrpcStatus::new(
                GrpcCode::Unimplemented,
                format!("unknown method {path}"),
            ));
        }
        if let Some(auth) = &self.context.auth {
            auth.authenticate(&head.headers)
                .await
                .map_err(|e| GrpcStatus::new(GrpcCode::Unauthenticated, e.to_string()))?;
        }
        let encoding = accepted_encoding(&head.headers)?;
        let refused = |error: BodyError| {
            self.handler
                .refuse(path, &error)
                .unwrap_or_else(|| body_status(&error))
        };
        let wire_limit = self.max_message.saturating_add(PREFIX);
        let ledger = self.context.ledger.clone();
        let mut reader = BodyReader::new(body, wire_limit, self.body_time, ledger);
        let (compressed, mut message) = self.message(&mut reader, &refused).await?;
        if compressed {
            let Some(encoding) = encoding else {
                let text = "message marked as compressed, but no grpc-encoding is given";
                return Err(GrpcStatus::new(GrpcCode::Internal, text));
            };
            message = decode_body(encoding, message, self.max_message)
                .await
                .map_err(|e| refused(BodyError::Decode(e)))?;
            reader.take(message.len()).map_err(&refused)?;
        }
        let charge = reader.into_charge();
        let request = GrpcRequest {
            uri: head.uri,
            headers: head.headers,
            message,
            peer,
            charge,
        };
        self.handler.call(request).await
    }

    /// The one message of the call, without its frame, and whether it is compressed.
    async fn message(
        &self,
        reader: &mut BodyReader,
        refused: &(impl Fn(BodyError) -> GrpcStatus + Sync),
    ) -> Result<(bool, Bytes), GrpcStatus> {
        let internal = |text: &str| GrpcStatus::new(GrpcCode::Internal, text);
        let missing = || internal("the call ended before its message was complete");
        let mut first = reader.chunk().await.map_err(refused)?.ok_or_else(missing)?;
        while first.len() < PREFIX {
            // Hardly ever: a frame that cuts the prefix.
            let next = reader.chunk().await.map_err(refused)?.ok_or_else(missing)?;
            first = [first, next].concat().into();
        }
        let (compressed, length) = frame_length(&first).ok_or_else(missing)?;
        if length > self.max_message {
            return Err(too_large(length, self.max_message));
        }
        let whole = if reader.is_end() {
            first
        } else {
            let missing_bytes = (PREFIX + length).saturating_sub(first.len());
            reader.charge_ahead(missing_bytes).map_err(refused)?;
            reader.rest(first, PREFIX + length).await.map_err(refused)?
        };
        match whole.len() - PREFIX {
            n if n < length => Err(missing()),
            n if n > length => Err(internal("a unary call has one message, but more came")),
            _ => Ok((compressed, whole.slice(PREFIX..))),
        }
    }
}

fn too_large(length: usize, limit: usize) -> GrpcStatus {
    let text = format!(
        "received message larger than max ({length} vs. {limit}); raise max_recv_msg_size_mib \
         or send smaller batches"
    );
    GrpcStatus::new(GrpcCode::ResourceExhausted, text)
}

fn body_status(error: &BodyError) -> GrpcStatus {
    let code = match error {
        BodyError::TooLarge { .. } | BodyError::Decode(DecodeError::TooLarge { .. }) => {
            GrpcCode::ResourceExhausted
        }
        BodyError::NoMemory => {
            return GrpcStatus::new(GrpcCode::Unavailable, error.to_string())
                .with_retry_after(Some(Duration::from_secs(1)));
        }
        BodyError::Slow => GrpcCode::DeadlineExceeded,
        BodyError::Broken(_) => GrpcCode::Cancelled,
        BodyError::Decode(DecodeError::Corrupt { .. }) => GrpcCode::Internal,
        BodyError::UnsupportedEncoding(_) => GrpcCode::Unimplemented,
    };
    GrpcStatus::new(code, error.to_string())
}

fn success(message: &Bytes) -> Response<Reply> {
    let data = if message.is_empty() {
        EMPTY_MESSAGE
    } else {
        let mut framed = Vec::with_capacity(PREFIX + message.len());
        framed.push(0);
        framed.extend_from_slice(
            &u32::try_from(message.len())
                .unwrap_or(u32::MAX)
                .to_be_bytes(),
        );
        framed.extend_from_slice(message);
        framed.into()
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = Response::new(Reply {
        data: Some(data),
        trailers: Some(trailers),
    });
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn failure(status: &GrpcStatus) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if status.code == GrpcCode::Unimplemented {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    status.write(headers);
    response
}

/// `grpc-timeout`: up to eight digits and a unit.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}
