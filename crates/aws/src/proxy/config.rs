//! Keys of the signing proxy (sigv4auth-and-aws-client, section 5).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_net::address::split_host_port;
use weir_net::tls::TlsClientConfig;

use crate::session::wrong_url;

/// A proxy that signs what local programs send and hands it to an AWS service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyConfig {
    /// `host:port` to listen on (TCP).
    pub endpoint: String,
    /// Accepted, without effect, as in the reference.
    pub dialer: Dialer,
    /// Proxy on the way to AWS; empty: the environment's.
    pub proxy_address: String,
    /// TLS towards AWS.
    pub tls: TlsClientConfig,
    /// Region; empty: environment, ECS metadata file, instance.
    pub region: String,
    /// Role to assume on top of the found credentials.
    pub role_arn: String,
    /// Where requests go, with scheme; empty: the service's endpoint in the region.
    pub aws_endpoint: String,
    /// Does not ask metadata services for the region.
    pub local_mode: bool,
    /// Service to sign for, and first label of its host name; empty: `xray`.
    pub service_name: String,
}

/// `dialer`: settings of outgoing connections, which a listener has none of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialer {
    /// Without effect.
    pub timeout: Duration,
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            endpoint: "localhost:2000".to_owned(),
            dialer: Dialer::default(),
            proxy_address: String::new(),
            tls: TlsClientConfig::default(),
            region: String::new(),
            role_arn: String::new(),
            aws_endpoint: String::new(),
            local_mode: false,
            service_name: String::new(),
        }
    }
}

impl ProxyConfig {
    /// The service to sign for.
    pub fn service(&self) -> &str {
        match self.service_name.as_str() {
            "" => "xray",
            name => name,
        }
    }
}

/// Lower-case letters, digits and hyphens: what region and service names are made of, and what may
/// stand in a host name.
pub(super) fn is_name(text: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(part)
}

impl Validate for ProxyConfig {
    fn validate(&self, errors: &mut Errors) {
        match split_host_port(&self.endpoint) {
            Err(error) => errors.push("endpoint", error.to_string(), ""),
            Ok((host, _)) if !is_loopback(host) => errors.warn(
                "endpoint",
                "every program that reaches this address can call AWS with the credentials of this one",
                "listen on `localhost`, or keep others away with a security group or network policy",
            ),
            Ok(_) => {}
        }
        for (key, url) in [
            ("proxy_address", &self.proxy_address),
            ("aws_endpoint", &self.aws_endpoint),
        ] {
            if !url.is_empty()
                && let Some(hint) = wrong_url(url)
            {
                errors.push(key, "this is not a URL to send requests to", hint);
            }
        }
        for (key, name, example) in [
            ("region", &self.region, "eu-west-1"),
            ("service_name", &self.service_name, "xray"),
        ] {
            if !name.is_empty() && !is_name(name) {
                errors.push(
                    key,
                    format!("invalid {}: {name}", key.trim_end_matches("_name")),
                    format!("write it in lower case, such as `{example}`"),
                );
            }
        }
        errors.nested("tls", &self.tls);
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
