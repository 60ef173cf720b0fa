//! The settings of HTTP servers (spec otlp-and-helpers 1.1, 2.2).

use serde::{Deserialize, Serialize};
use weir_config::{ComponentId, Duration, Errors, Validate};

use super::cors::CorsConfig;
use crate::compress::Encoding;
use crate::headers::Headers;
use crate::server::ConnectionLimits;
use crate::tls::TlsServerConfig;

/// `auth` of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Id of the extension that signs requests.
    pub authenticator: Option<ComponentId>,
}

/// `auth` of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerAuthConfig {
    /// Id of the extension that checks requests.
    pub authenticator: Option<ComponentId>,
    /// Query parameters that the authenticator sees as if they were headers.
    pub request_params: Vec<String>,
}

/// An entry of `middlewares`; none is supported, so that using one is an error, not a surprise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Middleware {
    /// Id of the extension.
    pub id: String,
}

pub(crate) fn refuse_middlewares(middlewares: &[Middleware], errors: &mut Errors) {
    if !middlewares.is_empty() {
        errors.push(
            "middlewares",
            "middlewares are not supported",
            "remove the key",
        );
    }
}

/// Settings of an HTTP server. A time of 0 is no limit; a time left out is the default of the
/// component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServerConfig {
    /// `host:port` to listen on.
    pub endpoint: String,
    /// TLS; left out: plain text.
    pub tls: Option<TlsServerConfig>,
    /// Cross-origin requests of browsers.
    pub cors: Option<CorsConfig>,
    /// Authentication of requests.
    pub auth: Option<ServerAuthConfig>,
    /// Bytes of a body, on the wire and again when decompressed; 0 is 20 MiB, negative no limit.
    pub max_request_body_size: i64,
    /// Keep the request headers with the data.
    pub include_metadata: bool,
    /// Headers of every answer.
    pub response_headers: Headers,
    /// Accepted request encodings; empty: all. The empty name stands for no encoding.
    pub compression_algorithms: Vec<String>,
    /// Whole request, headers and body.
    pub read_timeout: Option<Duration>,
    /// Headers of a request.
    pub read_header_timeout: Option<Duration>,
    /// A client that does not read its answer.
    pub write_timeout: Option<Duration>,
    /// Connection without a request.
    pub idle_timeout: Option<Duration>,
    /// Several requests on one connection; on unless switched off.
    pub keep_alives_enabled: Option<bool>,
    /// Not supported.
    pub middlewares: Vec<Middleware>,
}

/// 20 MiB, the reference's limit of bodies.
const DEFAULT_MAX_BODY: usize = 20 << 20;

impl HttpServerConfig {
    /// Listening on `endpoint`, everything else left out.
    #[must_use]
    pub fn listening_on(endpoint: &str) -> Self {
        HttpServerConfig {
            endpoint: endpoint.to_owned(),
            ..HttpServerConfig::default()
        }
    }

    /// The limit of bodies in bytes.
    #[must_use]
    pub fn max_body(&self) -> usize {
        match self.max_request_body_size {
            0 => DEFAULT_MAX_BODY,
            n => usize::try_from(n).unwrap_or(usize::MAX),
        }
    }

    /// Whether a request encoding is accepted.
    pub(crate) fn accepts(&self, encoding: Encoding) -> bool {
        self.compression_algorithms.is_empty()
            || self
                .compression_algorithms
                .iter()
                .any(|name| name == encoding.name())
    }

    /// The limits of connections: what is configured, else `defaults`.
    pub(crate) fn limits(&self, defaults: ConnectionLimits) -> ConnectionLimits {
        let set = |configured: Option<Duration>, default| match configured {
            None => default,
            Some(time) if time.is_zero() => None,
            Some(time) => Some(time.to_std()),
        };
        ConnectionLimits {
            header: set(self.read_header_timeout, defaults.header),
            idle: set(self.idle_timeout, defaults.idle),
            write: set(self.write_timeout, defaults.write),
            body: set(self.read_timeout, defaults.body),
            ..defaults
        }
    }
}

impl Validate for HttpServerConfig {
    fn validate(&self, errors: &mut Errors) {
        if let Err(e) = crate::address::split_host_port(&self.endpoint) {
            errors.push("endpoint", e.to_string(), "");
        }
        if let Some(tls) = &self.tls {
            errors.nested("tls", tls);
        }
        if let Some(cors) = &self.cors {
            errors.nested("cors", cors);
        }
        errors.nested("response_headers", &self.response_headers);
        for (index, name) in self.compression_algorithms.iter().enumerate() {
            if !name.is_empty() && Encoding::from_name(name).is_none() {
                let known = Encoding::ALL.map(Encoding::name).join(", ");
                errors.push(
                    &format!("compression_algorithms[{index}]"),
                    format!("unsupported compression type {name:?}"),
                    format!("use any of: {known}"),
                );
            }
        }
        for (key, time) in [
            ("read_timeout", self.read_timeout),
            ("read_header_timeout", self.read_header_timeout),
            ("write_timeout", self.write_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if time.is_some_and(Duration::is_negative) {
                errors.push(key, "must not be negative", "0 means no limit");
            }
        }
        refuse_middlewares(&self.middlewares, errors);
    }
}
