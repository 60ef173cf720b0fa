//! HTTP client: one request at a time over pooled connections, bodies whole.
//!
//! The order for one request is that of the reference: compress, set headers, authenticate (the
//! signature covers what goes over the wire), send.

mod answer;
mod dispatch;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use weir_core::ClientAuth;
use weir_model::Charge;

use super::connect::TlsSettings;
use super::cookies::Jar;
use super::pool::{Connector, Route};
use super::proxy::{ProxyChoice, ProxyRules};
use super::url::{host_key, is_link_local, peer_of, resolve_reference, split_userinfo};
use crate::compress::{Encoder, encode_body};
use crate::error::{NetError, chain};
use crate::tls::{self, TlsClientConfig};

use answer::collect;
pub(super) use answer::{Limit, Longer};

/// What [`HttpClient::send`] keeps of an answer (spec otlp-and-helpers 3.5).
pub const ANSWER_CAP: usize = 64 << 10;
const MAX_REDIRECTS: usize = 10;
/// Largest piece of an HTTP/1 body that is read at once. A connection that has read large bodies keeps
/// a buffer of this size while it is idle; hyper's own limit is 400 KiB.
const READ_BUFFER: usize = 64 << 10;

/// A client's settings, prepared. Components with settings of their own fill it directly; others
/// come from [`HttpClientConfig`](super::HttpClientConfig).
#[derive(Debug, Clone)]
pub struct HttpClientOptions {
    /// TLS.
    pub tls: TlsClientConfig,
    /// Proxy.
    pub proxy: ProxyChoice,
    /// Headers of every request; they go before those of the caller.
    pub headers: HeaderMap,
    /// Compression of bodies.
    pub encoder: Option<Encoder>,
    /// Whole request with its answer.
    pub timeout: Option<Duration>,
    /// Idle connections kept per host.
    pub max_idle_per_host: usize,
    /// Requests at a time.
    pub max_requests: Option<usize>,
    /// An idle connection is closed after this time.
    pub idle_timeout: Option<Duration>,
    /// Connections serve several requests.
    pub keep_alive: bool,
    /// Offer HTTP/2 in TLS handshakes.
    pub http2: bool,
    /// Ping an HTTP/2 server that is quiet for so long.
    pub http2_ping_interval: Option<Duration>,
    /// Close when no answer to a ping comes.
    pub http2_ping_timeout: Option<Duration>,
    /// Keep cookies.
    pub cookies: bool,
    /// Signs requests.
    pub auth: Option<Arc<dyn ClientAuth>>,
    /// `User-Agent` unless headers say otherwise; empty: none.
    pub user_agent: String,
    /// Follow redirects.
    pub follow_redirects: bool,
    /// More headers for the proxy when it is asked for a tunnel.
    pub connect_headers: HeaderMap,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        HttpClientOptions {
            tls: TlsClientConfig::default(),
            proxy: ProxyChoice::default(),
            headers: HeaderMap::new(),
            encoder: None,
            timeout: None,
            max_idle_per_host: 100,
            max_requests: None,
            idle_timeout: Some(Duration::from_secs(90)),
            keep_alive: true,
            http2: true,
            http2_ping_interval: None,
            http2_ping_timeout: None,
            cookies: false,
            auth: None,
            user_agent: String::new(),
            follow_redirects: true,
            connect_headers: HeaderMap::new(),
        }
    }
}

/// An answer with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

/// An HTTP client. Clones share the connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
    options: HttpClientOptions,
    room: Option<Semaphore>,
    jar: Option<Jar>,
}

impl HttpClient {
    /// A client; opens no connection yet.
    ///
    /// # Errors
    /// Certificates that cannot be read, a proxy that cannot be used.
    pub fn new(options: HttpClientOptions) -> Result<Self, NetError> {
        let protocols: &[&[u8]] = if options.http2 {
            &[b"h2", b"http/1.1"]
        } else {
            &[b"http/1.1"]
        };
        let config = tls::client_config(&options.tls, protocols)?;
        let connector = Connector(Arc::new(Route {
            tls: TlsSettings::new(config, &options.tls.server_name_override)?,
            proxy: ProxyRules::new(&options.proxy)?.with_headers(&options.connect_headers),
        }));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(if options.keep_alive {
                options.max_idle_per_host
            } else {
                0
            })
            .http1_max_buf_size(READ_BUFFER)
            .http2_keep_alive_interval(options.http2_ping_interval);
        if let Some(timeout) = options.http2_ping_timeout {
            builder.http2_keep_alive_timeout(timeout);
        }
        let shared = Shared {
            pool: builder.build(connector.clone()),
            connector,
            room: options
                .max_requests
                .map(|n| Semaphore::new(n.min(Semaphore::MAX_PERMITS))),
            jar: options.cookies.then(Jar::default),
            options,
        };
        Ok(HttpClient {
            shared: Arc::new(shared),
        })
    }

    /// Sends a request; of the answer's body at most [`ANSWER_CAP`] bytes are kept.
    ///
    /// `headers` are those of the component; a `Content-Encoding` among them means that the body is
    /// compressed already.
    ///
    /// # Errors
    /// Whatever keeps an answer from coming. An answer with an error status is no error here.
    pub async fn send(
        &self,
        method: Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, NetError> {
        let limit = Limit::of(ANSWER_CAP, Longer::Cut);
        self.in_time(url, self.timeout(), async {
            self.request(method, url, headers, body, limit).await
        })
        .await
        .map(|(answer, _)| answer)
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.shared.options.timeout
    }

    pub(super) async fn in_time<T>(
        &self,
        url: &Uri,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        match limit {
            None => work.await,
            Some(after) => tokio::time::timeout(after, work).await.unwrap_or_else(|_| {
                Err(NetError::Timeout {
                    peer: peer_of(url),
                    after,
                })
            }),
        }
    }

    pub(super) async fn request(
        &self,
        method: Method,
        url: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        limit: Limit<'_>,
    ) -> Result<(HttpResponse, Option<Charge>), NetError> {
        let options = &self.shared.options;
        let mut own = headers.clone();
        let mut body = body;
        if let Some(encoder) = options.encoder
            && !body.is_empty()
            && !own.contains_key(CONTENT_ENCODING)
        {
            body = Bytes::from(encode_body(encoder, body, 0).await?);
            let name = HeaderValue::from_static(encoder.encoding().name());
            own.insert(CONTENT_ENCODING, name);
        }
        let _permit = match &self.shared.room {
            // The semaphore is never closed.
            Some(room) => room.acquire().await.ok(),
            None => None,
        };
        let mut hop = Hop {
            method,
            url: url.clone(),
            body,
            first_host: host_key(url),
        };
        for _ in 0..=MAX_REDIRECTS {
            let response = self.one_hop(&hop, &own).await?;
            self.remember_cookies(&hop.url, response.headers());
            match self.next_hop(&hop, &response)? {
                Some(next) => hop = next,
                None => return collect(response, &hop.url, limit).await,
            }
        }
        let why = format!("more than {MAX_REDIRECTS} redirects");
        Err(NetError::Redirect {
            peer: peer_of(&hop.url),
            why,
        })
    }

    async fn one_hop(&self, hop: &Hop, own: &HeaderMap) -> Result<Response<Incoming>, NetError> {
        let options = &self.shared.options;
        let same_host = host_key(&hop.url) == hop.first_host;
        let mut headers = own.clone();
        if !options.user_agent.is_empty()
            && !headers.contains_key(USER_AGENT)
            && let Ok(agent) = HeaderValue::from_str(&options.user_agent)
        {
            headers.insert(USER_AGENT, agent);
        }
        // What may be a credential does not follow a redirect to another host.
        if same_host {
            for (name, value) in &options.headers {
                headers.insert(name.clone(), value.clone());
            }
            if let Some(jar) = &self.shared.jar {
                jar.add_to(&hop.first_host, &mut headers);
            }
        } else {
            headers.remove(AUTHORIZATION);
            headers.remove(http::header::COOKIE);
            let secret = headers.iter().filter(|(_, value)| value.is_sensitive());
            let secret: Vec<HeaderName> = secret.map(|(name, _)| name.clone()).collect();
            for name in secret {
                headers.remove(name);
            }
        }
        let url = split_userinfo(&hop.url, &mut headers)?;
        if hop.body.is_empty() {
            headers.remove(CONTENT_ENCODING);
        }
        if !hop.body.is_empty() || hop.method == Method::POST || hop.method == Method::PUT {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(hop.body.len()));
        }
        let auth = options.auth.as_ref().filter(|_| same_host);
        self.dispatch(hop, &url, headers, auth).await
    }

    fn remember_cookies(&self, url: &Uri, headers: &HeaderMap) {
        if let Some(jar) = &self.shared.jar {
            jar.take_from(&host_key(url), headers);
        }
    }

    /// Where an answer redirects to, if it does and may be followed.
    fn next_hop(&self, hop: &Hop, response: &Response<Incoming>) -> Result<Option<Hop>, NetError> {
        let status = response.status();
        let keeps_method = matches!(status.as_u16(), 307 | 308);
        if !self.shared.options.follow_redirects
            || !(keeps_method || matches!(status.as_u16(), 301..=303))
        {
            return Ok(None);
        }
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(None);
        };
        let refused = |why: &str| NetError::Redirect {
            peer: peer_of(&hop.url),
            why: why.into(),
        };
        let url = location
            .to_str()
            .ok()
            .and_then(|l| resolve_reference(&hop.url, l))
            .ok_or_else(|| refused("its Location is no URL"))?;
        let same_host = host_key(&url) == hop.first_host;
        if !same_host && url.host().is_some_and(is_link_local) {
            return Err(refused(
                "it points to a link-local address (instance metadata)",
            ));
        }
        if !same_host && self.shared.options.auth.is_some() {
            return Err(refused(
                "it points to another host, which must not get our signature",
            ));
        }
        let method = match hop.method {
            _ if keeps_method => hop.method.clone(),
            Method::HEAD => Method::HEAD,
            _ => Method::GET,
        };
        let body = if keeps_method {
            hop.body.clone()
        } else {
            Bytes::new()
        };
        Ok(Some(Hop {
            method,
            url,
            body,
            first_host: hop.first_host.clone(),
        }))
    }
}

struct Hop {
    method: Method,
    url: Uri,
    body: Bytes,
    /// Scheme, host and port of the first request.
    first_host: String,
}

fn failure(e: &legacy::Error, url: &Uri) -> NetError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(cause) = next {
        if let Some(known) = cause.downcast_ref::<NetError>() {
            return known.clone();
        }
        next = cause.source();
    }
    NetError::Transport {
        peer: peer_of(url),
        why: chain(e),
    }
}
