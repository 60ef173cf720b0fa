//! Keys of the `awsxray` receiver (sigv4auth-and-aws-client, section 6.1).

use serde::{Deserialize, Serialize};
use weir_aws::proxy::{Dialer, ProxyConfig};
use weir_config::{Errors, Validate};
use weir_core::Reference;
use weir_net::address::split_host_port;

/// Configuration of the receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port` to listen on for segments.
    pub endpoint: String,
    /// `udp`; there is no other.
    pub transport: String,
    /// Accepted, without effect, as in the reference.
    pub dialer: Dialer,
    /// The proxy for sampling rules, on TCP.
    pub proxy_server: ProxyConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: "localhost:2000".to_owned(),
            transport: "udp".to_owned(),
            dialer: Dialer::default(),
            proxy_server: ProxyConfig::default(),
        }
    }
}

impl Config {
    /// The UDP address. The proxy's is not named: two proxies at one address are no error here.
    pub(super) fn references(&self) -> Vec<Reference> {
        match split_host_port(&self.endpoint) {
            Ok((_, port)) if port != 0 => vec![Reference::Listen {
                address: format!("{}/udp", self.endpoint),
                key: "endpoint",
            }],
            _ => Vec::new(),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if let Err(error) = split_host_port(&self.endpoint) {
            errors.push("endpoint", error.to_string(), "");
        }
        if self.transport != "udp" {
            errors.push(
                "transport",
                format!(
                    "X-Ray receiver only supports ingesting spans through UDP, provided: {}",
                    self.transport
                ),
                "remove the key, or write `udp`",
            );
        }
        errors.nested("proxy_server", &self.proxy_server);
    }
}
