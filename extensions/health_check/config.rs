//! Keys of `health_check` (otlp-and-helpers section 7.1).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_net::Headers;
use weir_net::http::{CorsConfig, HttpServerConfig};
use weir_net::tls::TlsServerConfig;

/// Configuration of `health_check`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port` to listen on.
    pub endpoint: String,
    /// Path of the page; everything under it answers the same.
    pub path: String,
    /// Bodies to answer with instead of the JSON object.
    pub response_body: Option<ResponseBody>,
    /// Accepted, without effect, as in the reference.
    pub check_collector_pipeline: CheckPipeline,
    /// TLS; left out: plain text.
    pub tls: Option<TlsServerConfig>,
    /// Cross-origin requests of browsers.
    pub cors: Option<CorsConfig>,
    /// Headers of every answer.
    pub response_headers: Headers,
    /// Whole request.
    pub read_timeout: Option<Duration>,
    /// Headers of a request.
    pub read_header_timeout: Option<Duration>,
    /// A client that does not read its answer.
    pub write_timeout: Option<Duration>,
    /// Connection without a request.
    pub idle_timeout: Option<Duration>,
}

/// Bodies for the two states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseBody {
    /// While the pipelines run.
    pub healthy: String,
    /// Before and after.
    pub unhealthy: String,
}

/// Settings without effect.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckPipeline {
    /// Without effect.
    pub enabled: bool,
    /// Without effect.
    pub interval: Duration,
    /// Without effect.
    pub exporter_failure_threshold: u32,
}

impl Default for CheckPipeline {
    fn default() -> Self {
        Self { enabled: false, interval: Duration::from_mins(5), exporter_failure_threshold: 5 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: "localhost:13133".into(),
            path: "/".into(),
            response_body: None,
            check_collector_pipeline: CheckPipeline::default(),
            tls: None,
            cors: None,
            response_headers: Headers::default(),
            read_timeout: None,
            read_header_timeout: None,
            write_timeout: None,
            idle_timeout: None,
        }
    }
}

impl Config {
    pub(super) fn server(&self) -> HttpServerConfig {
        HttpServerConfig {
            tls: self.tls.clone(),
            cors: self.cors.clone(),
            response_headers: self.response_headers.clone(),
            read_timeout: self.read_timeout,
            read_header_timeout: self.read_header_timeout,
            write_timeout: self.write_timeout,
            idle_timeout: self.idle_timeout,
            ..HttpServerConfig::listening_on(&self.endpoint)
        }
    }

    /// Whether a request path belongs to the page: the path itself, and with a trailing slash
    /// everything under it (the rule of Go's request multiplexer).
    pub(super) fn serves(&self, path: &str) -> bool {
        path == self.path || (self.path.ends_with('/') && path.starts_with(&self.path))
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("", &self.server());
        if !self.path.starts_with('/') {
            errors.push("path", "path must start with /", "");
        }
    }
}
