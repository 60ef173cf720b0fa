//! The settings of gRPC clients (spec otlp-and-helpers 2.3).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

use super::target::Target;
use crate::compress::{Compression, Encoding};
use crate::headers::Headers;
use crate::http::{AuthConfig, Middleware, refuse_middlewares};
use crate::tls::TlsClientConfig;

/// `keepalive` of a client. Times of 0 are the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveClient {
    /// Ping a quiet server after so long; 0 is 10 s.
    pub time: Duration,
    /// Close when no answer to a ping comes for so long; 0 is 10 s.
    pub timeout: Duration,
    /// Ping without calls under way.
    pub permit_without_stream: bool,
}

/// Settings of a gRPC client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcClientConfig {
    /// `host:port`, `dns:///host:port`, `unix:///path`; `http://` and `https://` are cut off.
    pub endpoint: String,
    /// Compression of messages: `gzip`, `snappy`, `zstd`, `none`.
    pub compression: Compression,
    /// TLS; `insecure: true` is plain text.
    pub tls: TlsClientConfig,
    /// Pings.
    pub keepalive: Option<KeepaliveClient>,
    /// Accepted; buffers adapt by themselves.
    pub read_buffer_size: u64,
    /// Accepted; buffers adapt by themselves.
    pub write_buffer_size: u64,
    /// Calls wait for a connection instead of failing at once after a failed attempt.
    pub wait_for_ready: bool,
    /// Metadata of every call.
    pub headers: Headers,
    /// `round_robin` (all addresses of the name in turn) or `pick_first`.
    pub balancer_name: String,
    /// `:authority` instead of the endpoint.
    pub authority: String,
    /// `User-Agent` instead of the program's.
    pub user_agent: String,
    /// Who signs calls.
    pub auth: Option<AuthConfig>,
    /// Not supported.
    pub middlewares: Vec<Middleware>,
}

impl Default for GrpcClientConfig {
    /// The defaults of the `otlp` exporter.
    fn default() -> Self {
        GrpcClientConfig {
            endpoint: String::new(),
            compression: Compression::GZIP,
            tls: TlsClientConfig::default(),
            keepalive: None,
            read_buffer_size: 0,
            write_buffer_size: 512 << 10,
            wait_for_ready: false,
            headers: Headers::default(),
            balancer_name: "round_robin".to_owned(),
            authority: String::new(),
            user_agent: String::new(),
            auth: None,
            middlewares: Vec::new(),
        }
    }
}

impl Validate for GrpcClientConfig {
    fn validate(&self, errors: &mut Errors) {
        if self.endpoint.is_empty() {
            errors.push(
                "endpoint",
                "requires a non-empty \"endpoint\"",
                "write host:port",
            );
        } else if let Err(e) = Target::parse(&self.endpoint) {
            errors.push("endpoint", e.to_string(), "");
        }
        if !matches!(
            self.compression.0,
            None | Some(Encoding::Gzip | Encoding::Snappy | Encoding::Zstd)
        ) {
            let name = String::from(self.compression);
            errors.push(
                "compression",
                format!("unsupported compression type {name:?} for gRPC"),
                "use gzip, snappy, zstd or none",
            );
        }
        if !matches!(
            self.balancer_name.as_str(),
            "" | "round_robin" | "pick_first"
        ) {
            errors.push(
                "balancer_name",
                format!("invalid balancer_name: {}", self.balancer_name),
                "use round_robin or pick_first",
            );
        }
        errors.nested("tls", &self.tls);
        errors.nested("headers", &self.headers);
        if let Some(keepalive) = &self.keepalive {
            for (key, time) in [("time", keepalive.time), ("timeout", keepalive.timeout)] {
                if time.is_negative() {
                    errors.push(&format!("keepalive.{key}"), "must not be negative", "");
                }
            }
        }
        refuse_middlewares(&self.middlewares, errors);
    }
}
