//! gRPC client: unary calls, messages as bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use weir_core::{ClientAuth, RequestParts};

use super::channel::{Channel, Route};
use super::client_config::GrpcClientConfig;
use super::codec::{ACCEPT_ENCODING, ACCEPTED, ENCODING, PREFIX, accepted_encoding, frame_length};
use super::message::{Message, Pieces};
use super::status::{GrpcCode, GrpcStatus};
use super::target::Target;
use crate::client::ClientContext;
use crate::client::connect::TlsSettings;
use crate::client::proxy::{ProxyChoice, ProxyRules};
use crate::compress::{Encoder, Encoding, decode_body, encode_body};
use crate::error::{NetError, chain};
use crate::tls;

/// Largest answer in bytes, the default of gRPC libraries.
const MAX_ANSWER: usize = 4 << 20;
const DEFAULT_PING: Duration = Duration::from_secs(10);
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// A client for one server. Clones share the connections.
#[derive(Clone)]
pub struct GrpcClient {
    shared: Arc<Shared>,
}

struct Shared {
    channel: Channel,
    peer: String,
    scheme: Scheme,
    authority: Authority,
    /// Headers of every call, in the form they are sent in.
    headers: HeaderMap,
    encoder: Option<Encoder>,
    auth: Option<Arc<dyn ClientAuth>>,
}

impl std::fmt::Debug for GrpcClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcClient")
            .field("peer", &self.shared.peer)
            .finish_non_exhaustive()
    }
}

impl GrpcClient {
    /// A client; it connects at the first call or at [`Self::connect`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// An endpoint or certificates that cannot be used.
    pub fn new(config: &GrpcClientConfig, context: ClientContext) -> Result<Self, NetError> {
        let target = Target::parse(&config.endpoint)?;
        let peer = target.authority();
        let tls = if config.tls.insecure {
            None
        } else {
            let settings = tls::client_config(&config.tls, &[b"h2"])?;
            Some(TlsSettings::new(
                settings,
                &config.tls.server_name_override,
            )?)
        };
        let scheme = if tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let authority = match (
            config.authority.as_str(),
            config.tls.server_name_override.as_str(),
        ) {
            ("", "") => peer.as_str(),
            ("", name) => name,
            (authority, _) => authority,
        };
        let authority = authority.parse().map_err(|_| {
            NetError::Config(format!("authority {authority:?} is not a host with a port"))
        })?;
        let encoder = config.compression.0.map(|encoding| match encoding {
            // What gRPC libraries call snappy is the framed format.
            Encoding::Snappy => Encoder::default_of(Encoding::SnappyFramed),
            other => Encoder::default_of(other),
        });
        let headers = call_headers(config, &context, encoder)?;
        let or = |time: weir_config::Duration| {
            if time.is_zero() {
                DEFAULT_PING
            } else {
                time.to_std()
            }
        };
        let ping = config.keepalive.as_ref();
        let route = Route {
            target,
            tls,
            proxy: ProxyRules::new(&ProxyChoice::Environment)?,
            all_addresses: config.balancer_name != "pick_first",
            ping_interval: ping.map(|p| or(p.time)),
            ping_timeout: ping.map(|p| or(p.timeout)),
            ping_idle: ping.is_some_and(|p| p.permit_without_stream),
        };
        let channel = Channel::new(route, config.wait_for_ready);
        let auth = context.auth;
        let shared = Shared {
            channel,
            peer,
            scheme,
            authority,
            headers,
            encoder,
            auth,
        };
        Ok(GrpcClient {
            shared: Arc::new(shared),
        })
    }

    /// `host:port` of the server.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Begins to connect, without waiting.
    pub fn connect(&self) {
        self.shared.channel.connect();
    }

    /// Calls `path` (`/package.Service/Method`) with a message given in pieces, and returns the
    /// answer's message. The pieces are not copied unless they are compressed.
    ///
    /// # Errors
    /// The server's status, or [`GrpcCode::Unavailable`] when there is no connection, or
    /// [`GrpcCode::DeadlineExceeded`] after `timeout`.
    pub async fn unary(
        &self,
        path: &'static str,
        message: Vec<Bytes>,
        metadata: &HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Bytes, GrpcStatus> {
        let call = self.call(path, message, metadata, timeout);
        match timeout {
            None => call.await,
            Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
                let text = format!("no answer from {} within {limit:?}", self.shared.peer);
                Err(GrpcStatus::new(GrpcCode::DeadlineExceeded, text))
            }),
        }
    }

    async fn call(
        &self,
        path: &'static str,
        message: Vec<Bytes>,
        metadata: &HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<Bytes, GrpcStatus> {
        let shared = &*self.shared;
        let internal = |why: String| GrpcStatus::new(GrpcCode::Internal, why);
        let pieces = self.frame(message).await?;
        let mut request = Request::new(Message::new(pieces));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::builder()
            .scheme(shared.scheme.clone())
            .authority(shared.authority.clone())
            .path_and_query(PathAndQuery::from_static(path))
            .build()
            .map_err(|e| internal(e.to_string()))?;
        let mut headers = shared.headers.clone();
        for (name, value) in metadata {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(limit) = timeout
            && let Ok(value) = HeaderValue::from_str(&timeout_text(limit))
        {
            headers.insert(TIMEOUT, value);
        }
        if let Some(auth) = &shared.auth {
            let (method, uri, body) = (Method::POST, request.uri().clone(), Bytes::new());
            let parts = RequestParts {
                method: &method,
                uri: &uri,
                headers: &mut headers,
                body: &body,
            };
            auth.authorize(parts).await.map_err(|e| {
                let code = if e.retryable {
                    GrpcCode::Unavailable
                } else {
                    GrpcCode::Unauthenticated
                };
                GrpcStatus::new(code, format!("cannot authenticate the call: {e}"))
            })?;
        }
        *request.headers_mut() = headers;
        let response = shared
            .channel
            .send(request)
            .await
            .map_err(|e| self.unavailable(&e))?;
        self.answer(response).await
    }

    async fn frame(&self, message: Vec<Bytes>) -> Result<Pieces, GrpcStatus> {
        let internal = |why: String| GrpcStatus::new(GrpcCode::Internal, why);
        let length: usize = message.iter().map(Bytes::len).sum();
        if u32::try_from(length).is_err() {
            return Err(internal(format!(
                "a message of {length} bytes is too long for gRPC"
            )));
        }
        let Some(encoder) = self.shared.encoder else {
            return Ok(Pieces::framed(false, message));
        };
        let whole = match <[Bytes; 1]>::try_from(message) {
            Ok([one]) => one,
            Err(many) => {
                let mut whole = BytesMut::with_capacity(length);
                many.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        };
        let packed = encode_body(encoder, whole, 0)
            .await
            .map_err(|e| internal(e.to_string()))?;
        Ok(Pieces::framed(true, [Bytes::from(packed)]))
    }

    fn unavailable(&self, error: &NetError) -> GrpcStatus {
        let text = match error {
            NetError::Transport { peer, why } if peer.is_empty() => {
                format!("call to {} failed: {why}", self.shared.peer)
            }
            other => other.to_string(),
        };
        GrpcStatus::new(GrpcCode::Unavailable, text)
    }

    async fn answer(&self, response: Response<Incoming>) -> Result<Bytes, GrpcStatus> {
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::OK {
            let text = format!(
                "{} answered with HTTP status {}",
                self.shared.peer,
                head.status.as_u16()
            );
            return Err(GrpcStatus::new(GrpcCode::from_http(head.status), text));
        }
        let mut data = BytesMut::new();
        let mut trailers = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| {
                let peer = self.shared.peer.clone();
                self.unavailable(&NetError::Transport {
                    peer,
                    why: chain(&e),
                })
            })?;
            match frame.into_data() {
                Ok(chunk) => data.extend_from_slice(&chunk),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
            if data.len() > MAX_ANSWER + PREFIX {
                let text = format!("the answer is larger than {MAX_ANSWER} bytes");
                return Err(GrpcStatus::new(GrpcCode::ResourceExhausted, text));
            }
        }
        let status = trailers
            .as_ref()
            .and_then(GrpcStatus::read)
            .or_else(|| GrpcStatus::read(&head.headers))
            .ok_or_else(|| {
                let text = format!("{} ended the call without a status", self.shared.peer);
                GrpcStatus::new(GrpcCode::Internal, text)
            })?;
        if status.code != GrpcCode::Ok {
            return Err(status);
        }
        unframe(&head.headers, data.freeze()).await
    }
}

/// The message in an answer.
async fn unframe(headers: &HeaderMap, data: Bytes) -> Result<Bytes, GrpcStatus> {
    let internal = |text: &str| GrpcStatus::new(GrpcCode::Internal, text);
    let (compressed, length) =
        frame_length(&data).ok_or_else(|| internal("the answer has no message"))?;
    if data.len() != PREFIX + length {
        return Err(internal(
            "the answer's message has another length than it says",
        ));
    }
    let message = data.slice(PREFIX..);
    if !compressed {
        return Ok(message);
    }
    match accepted_encoding(headers)? {
        Some(encoding) => decode_body(encoding, message, MAX_ANSWER)
            .await
            .map_err(|e| internal(&e.to_string())),
        None => Err(internal(
            "the answer is compressed, but no grpc-encoding is given",
        )),
    }
}

/// What every call has in common.
fn call_headers(
    config: &GrpcClientConfig,
    context: &ClientContext,
    encoder: Option<Encoder>,
) -> Result<HeaderMap, NetError> {
    let mut headers = HeaderMap::new();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    if let Some(encoder) = encoder {
        let name = match encoder.encoding() {
            Encoding::SnappyFramed => "snappy",
            other => other.name(),
        };
        headers.insert(ENCODING, HeaderValue::from_static(name));
    }
    let agent = match config.user_agent.as_str() {
        "" => context.user_agent.as_str(),
        own => own,
    };
    if !agent.is_empty() {
        let value = HeaderValue::from_str(agent).map_err(|_| {
            NetError::Config("user_agent has characters that are not allowed".to_owned())
        })?;
        headers.insert(USER_AGENT, value);
    }
    headers.extend(config.headers.to_map()?);
    Ok(headers)
}

/// `grpc-timeout`: at most eight digits and a unit.
fn timeout_text(limit: Duration) -> String {
    let units: [(u128, &str); 4] = [
        (limit.as_nanos(), "n"),
        (limit.as_micros(), "u"),
        (limit.as_millis(), "m"),
        (u128::from(limit.as_secs()), "S"),
    ];
    units
        .iter()
        .find(|(n, _)| *n < 100_000_000)
        .map_or_else(|| "99999999S".to_owned(), |(n, unit)| format!("{n}{unit}"))
}
