//! The settings of HTTP clients (spec otlp-and-helpers 2.1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_core::ClientAuth;

use super::exchange::HttpClientOptions;
use super::proxy::{ProxyChoice, ProxyRules};
use crate::compress::{Compression, CompressionParams};
use crate::error::NetError;
use crate::headers::Headers;
use crate::http::{AuthConfig, Middleware, refuse_middlewares};
use crate::tls::TlsClientConfig;

/// `cookies`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookiesConfig {
    /// Keep the cookies of the server and send them back.
    pub enabled: bool,
}

/// Settings of an HTTP client. Exporters set their own defaults with struct update syntax, and
/// place the keys among their own with [`http_client_keys!`](crate::http_client_keys).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientConfig {
    /// Base URL.
    pub endpoint: String,
    /// `http://[user:password@]host:port`; empty: the environment decides.
    pub proxy_url: String,
    /// TLS.
    pub tls: TlsClientConfig,
    /// Accepted; buffers adapt by themselves.
    pub read_buffer_size: u64,
    /// Accepted; buffers adapt by themselves.
    pub write_buffer_size: u64,
    /// Whole request with its answer; 0 is no limit.
    pub timeout: Duration,
    /// Headers of every request; they go before those of the component.
    pub headers: Headers,
    /// Who signs requests.
    pub auth: Option<AuthConfig>,
    /// Compression of bodies.
    pub compression: Compression,
    /// Its level.
    pub compression_params: CompressionParams,
    /// Idle connections kept; 0 is no limit.
    pub max_idle_conns: usize,
    /// Idle connections kept per host; 0: as many as `max_idle_conns`.
    pub max_idle_conns_per_host: usize,
    /// Requests at a time; 0 is no limit.
    pub max_conns_per_host: usize,
    /// An idle connection is closed after this time; 0 never.
    pub idle_conn_timeout: Duration,
    /// One connection per request.
    pub disable_keep_alives: bool,
    /// Offer HTTP/2 in TLS handshakes.
    pub force_attempt_http2: bool,
    /// Ping an HTTP/2 server that is quiet for so long; 0 never.
    pub http2_read_idle_timeout: Duration,
    /// Close when no answer to a ping comes; 0 is 15 s.
    pub http2_ping_timeout: Duration,
    /// Cookies.
    pub cookies: Option<CookiesConfig>,
    /// Not supported.
    pub middlewares: Vec<Middleware>,
}

impl Default for HttpClientConfig {
    fn default() -> Self {
        HttpClientConfig {
            endpoint: String::new(),
            proxy_url: String::new(),
            tls: TlsClientConfig::default(),
            read_buffer_size: 0,
            write_buffer_size: 0,
            timeout: Duration::ZERO,
            headers: Headers::default(),
            auth: None,
            compression: Compression::NONE,
            compression_params: CompressionParams::default(),
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
            max_conns_per_host: 0,
            idle_conn_timeout: Duration::from_secs(90),
            disable_keep_alives: false,
            force_attempt_http2: true,
            http2_read_idle_timeout: Duration::ZERO,
            http2_ping_timeout: Duration::ZERO,
            cookies: None,
            middlewares: Vec::new(),
        }
    }
}

/// What a client takes from its surroundings.
#[derive(Debug, Clone, Default)]
pub struct ClientContext {
    /// Signs requests, if the configuration names an authenticator.
    pub auth: Option<Arc<dyn ClientAuth>>,
    /// `User-Agent` where neither the configuration nor the caller sets one.
    pub user_agent: String,
}

impl HttpClientConfig {
    /// The prepared form.
    ///
    /// # Errors
    /// Values that cannot be used, by key.
    pub fn options(&self, context: ClientContext) -> Result<HttpClientOptions, NetError> {
        let time = |time: Duration| (!time.is_zero()).then(|| time.to_std());
        let proxy = if self.proxy_url.is_empty() {
            ProxyChoice::Environment
        } else {
            ProxyChoice::Url {
                url: self.proxy_url.clone(),
                no_proxy: String::new(),
            }
        };
        let per_host = match (self.max_idle_conns_per_host, self.max_idle_conns) {
            _ if self.disable_keep_alives => 0,
            (0, 0) => usize::MAX,
            (0, all) => all,
            (per_host, _) => per_host,
        };
        Ok(HttpClientOptions {
            tls: self.tls.clone(),
            proxy,
            headers: self.headers.to_map()?,
            encoder: self
                .compression
                .encoder(self.compression_params)
                .map_err(|why| NetError::Config(format!("compression_params.level: {why}")))?,
            timeout: time(self.timeout),
            max_idle_per_host: per_host,
            max_requests: Some(self.max_conns_per_host).filter(|n| *n > 0),
            idle_timeout: time(self.idle_conn_timeout),
            keep_alive: !self.disable_keep_alives,
            http2: self.force_attempt_http2,
            http2_ping_interval: time(self.http2_read_idle_timeout),
            http2_ping_timeout: time(self.http2_ping_timeout),
            cookies: self.cookies.as_ref().is_some_and(|c| c.enabled),
            auth: context.auth,
            user_agent: context.user_agent,
            follow_redirects: true,
            connect_headers: http::HeaderMap::new(),
        })
    }
}

impl Validate for HttpClientConfig {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("tls", &self.tls);
        errors.nested("headers", &self.headers);
        if let Err(why) = self.compression.encoder(self.compression_params) {
            errors.push("compression_params.level", why, "");
        }
        if !self.proxy_url.is_empty() {
            let choice = ProxyChoice::Url {
                url: self.proxy_url.clone(),
                no_proxy: String::new(),
            };
            if let Err(why) = ProxyRules::new(&choice) {
                errors.push("proxy_url", why.to_string(), "");
            }
        }
        for (key, time) in [
            ("timeout", self.timeout),
            ("idle_conn_timeout", self.idle_conn_timeout),
            ("http2_read_idle_timeout", self.http2_read_idle_timeout),
            ("http2_ping_timeout", self.http2_ping_timeout),
        ] {
            if time.is_negative() {
                errors.push(key, "must not be negative", "0 means no limit");
            }
        }
        refuse_middlewares(&self.middlewares, errors);
    }
}

/// Declares a configuration struct that has the keys of an HTTP client among its own.
///
/// Flattening one struct into another would lose the detection of unknown keys, so the keys are
/// spelled out here, once for all components. Own keys carry their defaults; those of the client
/// follow `defaults`. The struct gets `http_client(&self) -> HttpClientConfig`.
///
/// ```
/// weir_net::http_client_keys! {
///     /// A configuration.
///     pub struct Config {
///         /// Its own key.
///         pub namespace: String = "app".to_owned(),
///     }
///     defaults weir_net::HttpClientConfig {
///         timeout: weir_config::Duration::from_secs(30),
///         ..Default::default()
///     }
/// }
/// let config = Config::default();
/// assert_eq!(config.http_client().timeout, config.timeout);
/// ```
#[macro_export]
macro_rules! http_client_keys {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $kind:ty = $default:expr),*
            $(,)?
        }
        defaults $defaults:expr
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $kind,)*
            /// Base URL.
            pub endpoint: String,
            /// Proxy; empty: the environment decides.
            pub proxy_url: String,
            /// TLS.
            pub tls: $crate::tls::TlsClientConfig,
            /// Accepted; buffers adapt by themselves.
            pub read_buffer_size: u64,
            /// Accepted; buffers adapt by themselves.
            pub write_buffer_size: u64,
            /// Whole request with its answer; 0 is no limit.
            pub timeout: ::weir_config::Duration,
            /// Headers of every request.
            pub headers: $crate::Headers,
            /// Who signs requests.
            pub auth: Option<$crate::http::AuthConfig>,
            /// Compression of bodies.
            pub compression: $crate::compress::Compression,
            /// Its level.
            pub compression_params: $crate::compress::CompressionParams,
            /// Idle connections kept; 0 is no limit.
            pub max_idle_conns: usize,
            /// Idle connections kept per host; 0: as many as `max_idle_conns`.
            pub max_idle_conns_per_host: usize,
            /// Requests at a time; 0 is no limit.
            pub max_conns_per_host: usize,
            /// An idle connection is closed after this time; 0 never.
            pub idle_conn_timeout: ::weir_config::Duration,
            /// One connection per request.
            pub disable_keep_alives: bool,
            /// Offer HTTP/2 in TLS handshakes.
            pub force_attempt_http2: bool,
            /// Ping an HTTP/2 server that is quiet for so long; 0 never.
            pub http2_read_idle_timeout: ::weir_config::Duration,
            /// Close when no answer to a ping comes; 0 is 15 s.
            pub http2_ping_timeout: ::weir_config::Duration,
            /// Cookies.
            pub cookies: Option<$crate::CookiesConfig>,
            /// Not supported.
            pub middlewares: Vec<$crate::http::Middleware>,
        }

        impl Default for $name {
            fn default() -> Self {
                let client: $crate::HttpClientConfig = $defaults;
                Self {
                    $($field: $default,)*
                    endpoint: client.endpoint,
                    proxy_url: client.proxy_url,
                    tls: client.tls,
                    read_buffer_size: client.read_buffer_size,
                    write_buffer_size: client.write_buffer_size,
                    timeout: client.timeout,
                    headers: client.headers,
                    auth: client.auth,
                    compression: client.compression,
                    compression_params: client.compression_params,
                    max_idle_conns: client.max_idle_conns,
                    max_idle_conns_per_host: client.max_idle_conns_per_host,
                    max_conns_per_host: client.max_conns_per_host,
                    idle_conn_timeout: client.idle_conn_timeout,
                    disable_keep_alives: client.disable_keep_alives,
                    force_attempt_http2: client.force_attempt_http2,
                    http2_read_idle_timeout: client.http2_read_idle_timeout,
                    http2_ping_timeout: client.http2_ping_timeout,
                    cookies: client.cookies,
                    middlewares: client.middlewares,
                }
            }
        }

        impl $name {
            /// The keys of the HTTP client.
            $visibility fn http_client(&self) -> $crate::HttpClientConfig {
                $crate::HttpClientConfig {
                    endpoint: self.endpoint.clone(),
                    proxy_url: self.proxy_url.clone(),
                    tls: self.tls.clone(),
                    read_buffer_size: self.read_buffer_size,
                    write_buffer_size: self.write_buffer_size,
                    timeout: self.timeout,
                    headers: self.headers.clone(),
                    auth: self.auth.clone(),
                    compression: self.compression,
                    compression_params: self.compression_params,
                    max_idle_conns: self.max_idle_conns,
                    max_idle_conns_per_host: self.max_idle_conns_per_host,
                    max_conns_per_host: self.max_conns_per_host,
                    idle_conn_timeout: self.idle_conn_timeout,
                    disable_keep_alives: self.disable_keep_alives,
                    force_attempt_http2: self.force_attempt_http2,
                    http2_read_idle_timeout: self.http2_read_idle_timeout,
                    http2_ping_timeout: self.http2_ping_timeout,
                    cookies: self.cookies.clone(),
                    middlewares: self.middlewares.clone(),
                }
            }
        }
    };
}
