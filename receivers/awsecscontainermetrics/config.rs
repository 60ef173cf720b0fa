//! Keys of the `awsecscontainermetrics` receiver.

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

/// Configuration of `awsecscontainermetrics`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time from one collection to the next.
    pub collection_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            collection_interval: Duration::from_secs(20),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.collection_interval <= Duration::ZERO {
            let text = "collection_interval must be a positive duration";
            errors.push("collection_interval", text, "write it as `20s`");
        }
    }
}
