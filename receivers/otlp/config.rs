//! Keys of the `otlp` receiver (otlp-and-helpers section 1.1).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate, present};
use weir_core::Reference;
use weir_net::Headers;
use weir_net::grpc::GrpcServerConfig;
use weir_net::http::{CorsConfig, HttpServerConfig, Middleware, ServerAuthConfig};
use weir_net::tls::TlsServerConfig;

/// Configuration of `otlp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to serve; a protocol that is not named is off.
    pub protocols: Protocols,
}

/// The two protocols.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocols {
    /// OTLP over gRPC. `grpc:` with nothing under it means all defaults.
    #[serde(deserialize_with = "present")]
    pub grpc: Option<Grpc>,
    /// OTLP over HTTP. `http:` with nothing under it means all defaults.
    #[serde(deserialize_with = "present")]
    pub http: Option<Http>,
}

/// Settings of the gRPC server: those of every gRPC server, with the receiver's endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "GrpcKeys", into = "GrpcServerConfig")]
pub struct Grpc(pub GrpcServerConfig);

impl Default for Grpc {
    fn default() -> Self {
        Grpc(GrpcServerConfig::listening_on("localhost:4317"))
    }
}

/// As written: the endpoint may be left out.
#[derive(Deserialize)]
#[serde(transparent)]
struct GrpcKeys(GrpcServerConfig);

impl From<GrpcKeys> for Grpc {
    fn from(GrpcKeys(mut config): GrpcKeys) -> Self {
        if config.endpoint.is_empty() {
            config.endpoint = "localhost:4317".into();
        }
        Grpc(config)
    }
}

impl From<Grpc> for GrpcServerConfig {
    fn from(Grpc(config): Grpc) -> Self {
        config
    }
}

/// Settings of the HTTP server: those of every HTTP server, and the paths.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// `host:port` to listen on.
    pub endpoint: String,
    /// TLS; left out: plain text.
    pub tls: Option<TlsServerConfig>,
    /// Cross-origin requests of browsers.
    pub cors: Option<CorsConfig>,
    /// Authentication of requests.
    pub auth: Option<ServerAuthConfig>,
    /// Bytes of a body, on the wire and again when decompressed; 0 is 20 MiB.
    pub max_request_body_size: i64,
    /// Keep the request headers with the data.
    pub include_metadata: bool,
    /// Headers of every answer.
    pub response_headers: Headers,
    /// Accepted request encodings; empty: all.
    pub compression_algorithms: Vec<String>,
    /// Whole request; none by default.
    pub read_timeout: Option<Duration>,
    /// Headers of a request.
    pub read_header_timeout: Option<Duration>,
    /// A client that does not read its answer.
    pub write_timeout: Option<Duration>,
    /// Connection without a request.
    pub idle_timeout: Option<Duration>,
    /// Several requests on one connection.
    pub keep_alives_enabled: Option<bool>,
    /// Not supported.
    pub middlewares: Vec<Middleware>,
    /// Path for spans; a leading slash is added.
    pub traces_url_path: String,
    /// Path for data points.
    pub metrics_url_path: String,
    /// Path for log records.
    pub logs_url_path: String,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            endpoint: "localhost:4318".into(),
            tls: None,
            cors: None,
            auth: None,
            max_request_body_size: 0,
            include_metadata: false,
            response_headers: Headers::default(),
            compression_algorithms: Vec::new(),
            read_timeout: None,
            read_header_timeout: None,
            write_timeout: None,
            idle_timeout: None,
            keep_alives_enabled: None,
            middlewares: Vec::new(),
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
        }
    }
}

impl Http {
    /// The part every HTTP server has.
    pub(super) fn server(&self) -> HttpServerConfig {
        HttpServerConfig {
            endpoint: self.endpoint.clone(),
            tls: self.tls.clone(),
            cors: self.cors.clone(),
            auth: self.auth.clone(),
            max_request_body_size: self.max_request_body_size,
            include_metadata: self.include_metadata,
            response_headers: self.response_headers.clone(),
            compression_algorithms: self.compression_algorithms.clone(),
            read_timeout: self.read_timeout,
            read_header_timeout: self.read_header_timeout,
            write_timeout: self.write_timeout,
            idle_timeout: self.idle_timeout,
            keep_alives_enabled: self.keep_alives_enabled,
            middlewares: self.middlewares.clone(),
        }
    }
}

impl Config {
    /// Listening addresses and authenticators.
    pub(super) fn references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        let mut auth = |auth: Option<&ServerAuthConfig>, key| {
            if let Some(id) = auth.and_then(|a| a.authenticator.clone()) {
                references.push(Reference::Extension { id, role: "authenticator", key });
            }
        };
        if let Some(Grpc(grpc)) = &self.protocols.grpc {
            auth(grpc.auth.as_ref(), "protocols.grpc.auth.authenticator");
        }
        if let Some(http) = &self.protocols.http {
            auth(http.auth.as_ref(), "protocols.http.auth.authenticator");
        }
        if let Some(Grpc(grpc)) = &self.protocols.grpc {
            references
                .push(Reference::Listen { address: grpc.endpoint.clone(), key: "protocols.grpc.endpoint" });
        }
        if let Some(http) = &self.protocols.http {
            references
                .push(Reference::Listen { address: http.endpoint.clone(), key: "protocols.http.endpoint" });
        }
        references
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.protocols.grpc.is_none() && self.protocols.http.is_none() {
            let text = "must specify at least one protocol when using the OTLP receiver";
            errors.push("protocols", text, "add `grpc:` or `http:` under `protocols:`");
        }
        if let Some(Grpc(grpc)) = &self.protocols.grpc {
            errors.nested("protocols.grpc", grpc);
        }
        if let Some(http) = &self.protocols.http {
            errors.nested("protocols.http", &http.server());
        }
    }
}
