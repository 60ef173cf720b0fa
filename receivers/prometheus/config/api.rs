//! Keys of `api_server` (prometheus-receiver specification, section 1).

use serde::{Deserialize, Deserializer, Serialize};
use weir_config::Duration;
use weir_net::http::HttpServerConfig;

/// Connections at a time where nothing is said.
const MAX_CONNECTIONS: usize = 512;

/// `api_server`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiServer {
    /// Whether there is one.
    pub(crate) enabled: bool,
    /// Connections at a time; 0 is the default as well.
    pub(crate) max_connections: usize,
    /// Where it listens, and how.
    #[serde(deserialize_with = "with_defaults")]
    pub(crate) server_config: HttpServerConfig,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self {
            enabled: false,
            max_connections: MAX_CONNECTIONS,
            server_config: filled(HttpServerConfig::default()),
        }
    }
}

impl ApiServer {
    /// Connections at a time.
    pub(crate) fn most_connections(&self) -> usize {
        match self.max_connections {
            0 => MAX_CONNECTIONS,
            given => given,
        }
    }
}

/// What is left out gets the defaults of this server.
fn filled(mut server: HttpServerConfig) -> HttpServerConfig {
    if server.endpoint.is_empty() {
        "127.0.0.1:9090".clone_into(&mut server.endpoint);
    }
    server.read_timeout = server.read_timeout.or(Some(Duration::from_mins(10)));
    server
}

fn with_defaults<'de, D: Deserializer<'de>>(from: D) -> Result<HttpServerConfig, D::Error> {
    HttpServerConfig::deserialize(from).map(filled)
}
