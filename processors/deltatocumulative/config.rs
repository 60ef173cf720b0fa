//! Keys of `deltatocumulative` (processors section 8).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};

/// Configuration of `deltatocumulative`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A stream without a point for so long is forgotten; its next point starts anew.
    pub max_stale: Duration,
    /// Most streams; points of further ones are dropped and counted.
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_stale: Duration::from_mins(5),
            max_streams: 500_000,
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.max_stale <= Duration::ZERO {
            errors.push("max_stale", "must be positive", "leave it out for 5m");
        }
        if self.max_streams == 0 {
            errors.push("max_streams", "must be positive", "leave it out for 500000");
        }
    }
}
