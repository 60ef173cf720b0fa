//! Keys of the `otlp_grpc` exporter (otlp-and-helpers section 2.3, section 3.2, section 3.4).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};
use weir_net::Headers;
use weir_net::compress::Compression;
use weir_net::grpc::{GrpcClientConfig, KeepaliveClient};
use weir_net::http::{AuthConfig, Middleware};
use weir_net::tls::TlsClientConfig;
use weir_sending::{QueueSettings, RetrySettings, TimeoutSettings, validate_sending};

/// Configuration of `otlp_grpc`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time for one attempt.
    pub timeout: TimeoutSettings,
    /// Repeating what failed for now.
    pub retry_on_failure: RetrySettings,
    /// Queue in front; null switches it off.
    pub sending_queue: Option<QueueSettings>,
    /// `host:port` of the server.
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
    /// `round_robin` or `pick_first`.
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

impl Default for Config {
    fn default() -> Self {
        let client = GrpcClientConfig::default();
        Self {
            timeout: TimeoutSettings::default(),
            retry_on_failure: RetrySettings::default(),
            sending_queue: Some(QueueSettings::default()),
            endpoint: client.endpoint,
            compression: client.compression,
            tls: client.tls,
            keepalive: client.keepalive,
            read_buffer_size: client.read_buffer_size,
            write_buffer_size: client.write_buffer_size,
            wait_for_ready: client.wait_for_ready,
            headers: client.headers,
            balancer_name: client.balancer_name,
            authority: client.authority,
            user_agent: client.user_agent,
            auth: client.auth,
            middlewares: client.middlewares,
        }
    }
}

impl Config {
    /// The keys of the gRPC client.
    pub(super) fn client(&self) -> GrpcClientConfig {
        GrpcClientConfig {
            endpoint: self.endpoint.clone(),
            compression: self.compression,
            tls: self.tls.clone(),
            keepalive: self.keepalive.clone(),
            read_buffer_size: self.read_buffer_size,
            write_buffer_size: self.write_buffer_size,
            wait_for_ready: self.wait_for_ready,
            headers: self.headers.clone(),
            balancer_name: self.balancer_name.clone(),
            authority: self.authority.clone(),
            user_agent: self.user_agent.clone(),
            auth: self.auth.clone(),
            middlewares: self.middlewares.clone(),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("", &self.client());
        let queue = self.sending_queue.as_ref();
        validate_sending(errors, self.timeout, &self.retry_on_failure, queue);
    }
}
