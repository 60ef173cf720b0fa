//! Keys of `pprof` (otlp-and-helpers section 7.3).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_net::http::HttpServerConfig;

/// Configuration of `pprof`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port` to listen on.
    pub endpoint: String,
    /// Accepted, without effect: there is no such profile.
    pub block_profile_fraction: i64,
    /// Accepted, without effect: there is no such profile.
    pub mutex_profile_fraction: i64,
    /// File for a CPU profile; refused.
    pub save_to_file: String,
    /// Accepted, without effect: a listener dials nobody.
    pub dialer: Dialer,
}

/// Settings of outgoing connections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialer {
    /// Without effect.
    pub timeout: Duration,
}

impl Default for Dialer {
    fn default() -> Self {
        Self { timeout: Duration::ZERO }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: "localhost:1777".into(),
            block_profile_fraction: 0,
            mutex_profile_fraction: 0,
            save_to_file: String::new(),
            dialer: Dialer::default(),
        }
    }
}

impl Config {
    pub(super) fn server(&self) -> HttpServerConfig {
        HttpServerConfig::listening_on(&self.endpoint)
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        errors.nested("", &self.server());
        if !self.save_to_file.is_empty() {
            errors.push("save_to_file", "no CPU profile can be written", "take the key out");
        }
        for (key, fraction) in [
            ("block_profile_fraction", self.block_profile_fraction),
            ("mutex_profile_fraction", self.mutex_profile_fraction),
        ] {
            if fraction != 0 {
                errors.warn(key, "there is no such profile in this program; the key has no effect", "");
            }
        }
    }
}
