//! Endpoints of gRPC clients.

use crate::address::split_host_port;
use crate::error::NetError;

/// Where a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A name or address with its port.
    Tcp {
        /// Host without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(String),
}

impl Target {
    /// Reads an endpoint. A scheme `http://` or `https://` is cut off and decides nothing:
    /// plain text is `tls.insecure: true` (corrections to OTLP-77).
    ///
    /// # Errors
    /// No port (OTLP-33), an unknown scheme.
    pub fn parse(endpoint: &str) -> Result<Target, NetError> {
        for scheme in ["unix://", "unix:"] {
            if let Some(path) = endpoint.strip_prefix(scheme) {
                return Ok(Target::Unix(path.to_owned()));
            }
        }
        let rest = ["http://", "https://", "dns:///", "dns:", "passthrough:///"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme))
            .unwrap_or(endpoint);
        let (host, port) = split_host_port(rest.trim_end_matches('/'))?;
        if host.contains('/') {
            return Err(NetError::Config(format!(
                "invalid endpoint {endpoint:?}: a gRPC endpoint has no path; write host:port"
            )));
        }
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Target::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether a scheme in the endpoint asks for TLS (`https://`) or plain text (`http://`), for
    /// components that go by it.
    #[must_use]
    pub fn scheme_is_secure(endpoint: &str) -> Option<bool> {
        match endpoint.split_once("://") {
            Some(("http", _)) => Some(false),
            Some(("https", _)) => Some(true),
            _ => None,
        }
    }

    /// `host:port`, for messages and for `:authority`.
    pub(super) fn authority(&self) -> String {
        match self {
            Target::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn endpoints() {
        let tcp = |host: &str, port| Target::Tcp {
            host: host.to_owned(),
            port,
        };
        for (endpoint, target) in [
            ("backend:4317", tcp("backend", 4317)),
            ("http://backend:4317", tcp("backend", 4317)),
            ("https://backend:4317/", tcp("backend", 4317)),
            ("dns:///backend:4317", tcp("backend", 4317)),
            ("[::1]:4317", tcp("::1", 4317)),
            (":4317", tcp("localhost", 4317)),
            ("unix:///run/s", Target::Unix("/run/s".to_owned())),
        ] {
            assert_eq!(Target::parse(endpoint).unwrap(), target);
        }
        for bad in [
            "backend",
            "https://backend",
            "",
            "http://backend:4317/path",
            "ftp://x:1",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Target::scheme_is_secure("https://b:1"), Some(true));
        assert_eq!(Target::scheme_is_secure("b:1"), None);
        assert_eq!(tcp("::1", 1).authority(), "[::1]:1");
    }
}
