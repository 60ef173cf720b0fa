//! HTTP server: reads requests whole, decompresses them, hands them to one handler.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use weir_core::{AuthError, BoxFut, ServerAuth, Stop};
use weir_model::{Charge, Ledger};

use super::config::HttpServerConfig;
use super::cors::Cors;
use crate::address::{self, Listener};
use crate::compress::{DecodeError, Encoding, decode_body};
use crate::error::NetError;
use crate::server::{
    Acceptor, Answer, BodyError, BodyReader, ConnectionLimits, Protocol, Reply, Serve, UnderWay,
};
use crate::tls;

/// A request whose body is complete and decompressed.
#[derive(Debug)]
pub struct HttpRequest {
    /// Method, URI, headers.
    pub head: request::Parts,
    /// The body, decompressed.
    pub body: Bytes,
    /// Who sent it; `None` on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What it holds of the memory for requests in flight.
    pub charge: Option<Charge>,
}

/// Answers the requests of an [`HttpServer`].
pub trait HttpHandler: Send + Sync + 'static {
    /// Answers by the head alone, before the body is read; `None` goes on to [`Self::handle`].
    fn screen(&self, _head: &request::Parts) -> Option<Response<Bytes>> {
        None
    }

    /// Answers a request.
    fn handle(&self, request: HttpRequest) -> BoxFut<'_, Response<Bytes>>;

    /// Answers a request whose body could not be read: 400, 408 or 503 in plain text by default.
    fn refuse(&self, _head: &request::Parts, error: &BodyError) -> Response<Bytes> {
        let status = match error {
            BodyError::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Slow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        };
        text(status, error.to_string())
    }

    /// Answers a request that the authenticator refused: 401 in plain text by default.
    fn unauthenticated(&self, _head: &request::Parts, error: &AuthError) -> Response<Bytes> {
        text(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

fn text(status: StatusCode, message: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(message));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// What a server takes from its surroundings.
#[derive(Debug, Clone, Default)]
pub struct ServerContext {
    /// Checks requests, if the configuration names an authenticator.
    pub auth: Option<Arc<dyn ServerAuth>>,
    /// Memory for requests in flight.
    pub ledger: Option<Arc<Ledger>>,
    /// Limits of connections where the configuration leaves them out.
    pub limits: ConnectionLimits,
    /// Bodies are handed on as they came, whatever `Content-Encoding` says: for proxies.
    pub raw_bodies: bool,
}

/// A bound HTTP server.
pub struct HttpServer {
    acceptor: Acceptor,
    config: HttpServerConfig,
    context: ServerContext,
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServer")
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Binds the endpoint and loads certificates.
    ///
    /// # Errors
    /// An address that cannot be bound, files that cannot be used.
    pub fn bind(config: &HttpServerConfig, context: ServerContext) -> Result<Self, NetError> {
        let tls = config
            .tls
            .as_ref()
            .map(|tls| tls::server_config(tls, &[b"h2", b"http/1.1"]))
            .transpose()?;
        let acceptor = Acceptor {
            listener: address::listen_tcp(&config.endpoint)?,
            tls,
            protocol: Protocol::Http {
                keep_alive: config.keep_alives_enabled.unwrap_or(true),
            },
            limits: config.limits(context.limits),
        };
        Ok(HttpServer {
            acceptor,
            config: config.clone(),
            context,
        })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        Listener::local_addr(&self.acceptor.listener)
    }

    /// Serves until `stop`, then finishes the requests under way within its deadline.
    ///
    /// # Errors
    /// Response headers that are none.
    pub async fn serve(self, handler: Arc<dyn HttpHandler>, stop: Stop) -> Result<(), NetError> {
        let service = Endpoint {
            handler,
            cors: self.config.cors.as_ref().and_then(Cors::new),
            response_headers: self.config.response_headers.to_map()?,
            max_body: self.config.max_body(),
            limits: self.acceptor.limits,
            context: self.context,
            config: self.config,
        };
        self.acceptor.run(Arc::new(service), stop).await;
        Ok(())
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
            Ok(response.map(Reply::data))
        })
    }
}

struct Endpoint {
    handler: Arc<dyn HttpHandler>,
    cors: Option<Cors>,
    response_headers: HeaderMap,
    max_body: usize,
    limits: ConnectionLimits,
    config: HttpServerConfig,
    context: ServerContext,
}

impl Endpoint {
    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: Option<SocketAddr>,
    ) -> Response<Bytes> {
        let (mut head, body) = request.into_parts();
        let Some(cors) = &self.cors else {
            return self.answer_own(head, body, peer).await;
        };
        if let Some(headers) = cors.preflight(&head.method, &head.headers) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = headers;
            return response;
        }
        let method = head.method.clone();
        let mut origin = HeaderMap::new();
        if let Some(value) = head.headers.remove(http::header::ORIGIN) {
            origin.insert(http::header::ORIGIN, value.clone());
            head.headers.insert(http::header::ORIGIN, value);
        }
        let mut response = self.answer_own(head, body, peer).await;
        cors.decorate(&method, &origin, response.headers_mut());
        response
    }

    async fn answer_own(
        &self,
        head: request::Parts,
        body: Incoming,
        peer: Option<SocketAddr>,
    ) -> Response<Bytes> {
        let mut response = match self.read(&head, body).await {
            Ok((body, charge)) => {
                self.handler
                    .handle(HttpRequest {
                        head,
                        body,
                        peer,
                        charge,
                    })
                    .await
            }
            Err(response) => response,
        };
        for (name, value) in &self.response_headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }

    /// The body, or the answer that ends the request.
    async fn read(
        &self,
        head: &request::Parts,
        body: Incoming,
    ) -> Result<(Bytes, Option<Charge>), Response<Bytes>> {
        self.authenticate(head).await?;
        let refused = |error: BodyError| self.refused(head, &error);
        let encoding = if self.context.raw_bodies {
            None
        } else {
            self.encoding(&head.headers).map_err(refused)?
        };
        if let Some(response) = self.handler.screen(head) {
            return Err(response);
        }
        let ledger = self.context.ledger.clone();
        let mut reader = BodyReader::new(body, self.max_body, self.limits.body, ledger);
        let mut body = reader.whole().await.map_err(refused)?;
        if let Some(encoding) = encoding {
            body = decode_body(encoding, body, self.max_body)
                .await
                .map_err(|e| refused(BodyError::Decode(e)))?;
            reader.take(body.len()).map_err(refused)?;
        }
        Ok((body, reader.into_charge()))
    }

    async fn authenticate(&self, head: &request::Parts) -> Result<(), Response<Bytes>> {
        let Some(auth) = &self.context.auth else {
            return Ok(());
        };
        let params = self
            .config
            .auth
            .as_ref()
            .map_or(&[][..], |auth| &auth.request_params);
        let result = if params.is_empty() {
            auth.authenticate(&head.headers).await
        } else {
            auth.authenticate(&with_params(head, params)).await
        };
        result.map_err(|error| self.handler.unauthenticated(head, &error))
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Option<Encoding>, BodyError> {
        let Some(value) = headers.get(CONTENT_ENCODING) else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(value.as_bytes());
        if name.is_empty() {
            return Ok(None);
        }
        Encoding::from_name(&name)
            .filter(|encoding| self.config.accepts(*encoding))
            .map(Some)
            .ok_or_else(|| BodyError::UnsupportedEncoding(name.chars().take(100).collect()))
    }

    fn refused(&self, head: &request::Parts, error: &BodyError) -> Response<Bytes> {
        let mut response = self.handler.refuse(head, error);
        let headers = response.headers_mut();
        match error {
            BodyError::NoMemory if !headers.contains_key(RETRY_AFTER) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // The rest of the body is not read, so the connection is of no more use.
            BodyError::TooLarge { .. }
            | BodyError::Slow
            | BodyError::Broken(_)
            | BodyError::Decode(DecodeError::TooLarge { .. })
                if head.version < http::Version::HTTP_2 =>
            {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// The headers, with the named query parameters among them.
fn with_params(head: &request::Parts, params: &[String]) -> HeaderMap {
    let mut headers = head.headers.clone();
    for pair in head.uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if params.iter().any(|p| p == name)
            && let Ok(name) = http::HeaderName::from_bytes(name.as_bytes())
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.append(name, value);
        }
    }
    headers
}
