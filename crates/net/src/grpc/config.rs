//! The settings of gRPC servers (spec otlp-and-helpers 1.1, 2.4).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

use crate::http::{Middleware, ServerAuthConfig};
use crate::tls::TlsServerConfig;

/// `keepalive.server_parameters`. Times of 0 are the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveServerParameters {
    /// A connection without a call for so long is closed; 0 never.
    pub max_connection_idle: Duration,
    /// A connection of this age is closed after its calls; 0 never.
    pub max_connection_age: Duration,
    /// What its calls get after that; 0 as long as they take.
    pub max_connection_age_grace: Duration,
    /// Ping a quiet client after so long; 0 is 2 h.
    pub time: Duration,
    /// Close when no answer to a ping comes for so long; 0 is 20 s.
    pub timeout: Duration,
}

/// `keepalive.enforcement_policy`: accepted; pings of clients are answered and never held against
/// them (HTTP/2 floods are cut off by the protocol layer).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnforcementPolicy {
    /// Least time between pings.
    pub min_time: Duration,
    /// Pings without calls.
    pub permit_without_stream: bool,
}

/// `keepalive` of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeepaliveServer {
    /// What this server does.
    pub server_parameters: Option<KeepaliveServerParameters>,
    /// What clients may do.
    pub enforcement_policy: Option<EnforcementPolicy>,
}

/// Settings of a gRPC server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcServerConfig {
    /// `host:port` to listen on, or a path if `transport` is `unix`.
    pub endpoint: String,
    /// `tcp` or `unix`.
    pub transport: String,
    /// TLS; left out: plain text.
    pub tls: Option<TlsServerConfig>,
    /// Largest message in MiB, as sent and as decompressed; 0 is 4.
    pub max_recv_msg_size_mib: u64,
    /// Calls at a time on one connection; 0 is this program's own limit of 1,024.
    pub max_concurrent_streams: u32,
    /// Accepted; buffers adapt by themselves.
    pub read_buffer_size: u64,
    /// Accepted; buffers adapt by themselves.
    pub write_buffer_size: u64,
    /// Pings and ages of connections.
    pub keepalive: Option<KeepaliveServer>,
    /// Authentication of calls.
    pub auth: Option<ServerAuthConfig>,
    /// Keep the request metadata with the data.
    pub include_metadata: bool,
    /// Not supported.
    pub middlewares: Vec<Middleware>,
}

impl Default for GrpcServerConfig {
    fn default() -> Self {
        GrpcServerConfig {
            endpoint: String::new(),
            transport: "tcp".to_owned(),
            tls: None,
            max_recv_msg_size_mib: 0,
            max_concurrent_streams: 0,
            read_buffer_size: 512 << 10,
            write_buffer_size: 0,
            keepalive: None,
            auth: None,
            include_metadata: false,
            middlewares: Vec::new(),
        }
    }
}

/// 4 MiB, the default of gRPC libraries.
const DEFAULT_MAX_MESSAGE: usize = 4 << 20;

impl GrpcServerConfig {
    /// Listening on `endpoint`, everything else left out.
    #[must_use]
    pub fn listening_on(endpoint: &str) -> Self {
        GrpcServerConfig {
            endpoint: endpoint.to_owned(),
            ..GrpcServerConfig::default()
        }
    }

    /// The limit of messages in bytes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        match self.max_recv_msg_size_mib {
            0 => DEFAULT_MAX_MESSAGE,
            mib => usize::try_from(mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX),
        }
    }
}

impl Validate for GrpcServerConfig {
    fn validate(&self, errors: &mut Errors) {
        match self.transport.as_str() {
            "tcp" => {
                if let Err(e) = crate::address::split_host_port(&self.endpoint) {
                    errors.push("endpoint", e.to_string(), "");
                }
            }
            "unix" => {
                if self.endpoint.is_empty() {
                    errors.push("endpoint", "a Unix socket needs a path", "");
                }
            }
            other => errors.push(
                "transport",
                format!("unsupported transport {other:?}"),
                "use tcp or unix",
            ),
        }
        if let Some(tls) = &self.tls {
            errors.nested("tls", tls);
        }
        if let Some(parameters) = self
            .keepalive
            .as_ref()
            .and_then(|k| k.server_parameters.as_ref())
        {
            for (key, time) in [
                ("max_connection_idle", parameters.max_connection_idle),
                ("max_connection_age", parameters.max_connection_age),
                (
                    "max_connection_age_grace",
                    parameters.max_connection_age_grace,
                ),
                ("time", parameters.time),
                ("timeout", parameters.timeout),
            ] {
                if time.is_negative() {
                    let key = format!("keepalive.server_parameters.{key}");
                    errors.push(&key, "must not be negative", "0 is the default");
                }
            }
        }
        crate::http::refuse_middlewares(&self.middlewares, errors);
    }
}
