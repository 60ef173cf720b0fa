//! Keys of `deltatorate` (processors section 8).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};

/// Configuration of `deltatorate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names of the metrics to convert; required.
    pub metrics: Vec<String>,
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.metrics.is_empty() {
            errors.push("metrics", "metric names are missing", "list the names to convert");
        }
    }
}
