//! Keys of the `batch` processor (otlp-and-helpers section 4).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

/// Configuration of `batch`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time since the first item after the last send; 0 sends at once.
    pub timeout: Duration,
    /// Items that trigger a send; 0 sends every arrival at once.
    pub send_batch_size: u32,
    /// Most items in a batch; 0 for no limit.
    pub send_batch_max_size: u32,
    /// Request headers whose values get batches of their own.
    pub metadata_keys: Vec<String>,
    /// Most combinations of values of `metadata_keys`.
    pub metadata_cardinality_limit: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(200),
            send_batch_size: 8192,
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            let text = format!(
                "send_batch_max_size ({}) must be greater or equal to send_batch_size ({})",
                self.send_batch_max_size, self.send_batch_size
            );
            errors.push("send_batch_max_size", text, "raise it, or set it to 0 for no limit");
        }
        if self.timeout.nanos() < 0 {
            errors.push("timeout", "timeout must be greater or equal to 0", "");
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, key) in self.metadata_keys.iter().enumerate() {
            if !seen.insert(key.to_ascii_lowercase()) {
                let text = format!("duplicate entry in metadata_keys: `{}` (case-insensitive)", key.to_ascii_lowercase());
                errors.push(&format!("metadata_keys[{i}]"), text, "list it once");
            }
        }
    }
}
