//! Keys of the `debug` exporter (otlp-and-helpers section 3.6).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};
use weir_sending::QueueSettings;

/// Configuration of `debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much to write about each batch.
    pub verbosity: Verbosity,
    /// Batches written in full each second before sampling begins.
    pub sampling_initial: u64,
    /// After these, every so many-th batch is written; 1 for all, 0 for none.
    pub sampling_thereafter: u64,
    /// Write through the program's own log, or else to `output_paths`.
    pub use_internal_logger: bool,
    /// `stdout`, `stderr` or files, which are appended to.
    pub output_paths: Vec<String>,
    /// Queue in front; off unless it is there.
    pub sending_queue: Option<QueueSettings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: vec!["stdout".to_owned()],
            sending_queue: None,
        }
    }
}

/// How much is written about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Verbosity {
    /// One line of counts.
    Basic,
    /// About a line per item.
    Normal,
    /// Everything.
    Detailed,
}

impl TryFrom<String> for Verbosity {
    type Error = String;

    /// In any letter case, as in the reference.
    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "basic" => Ok(Self::Basic),
            "normal" => Ok(Self::Normal),
            "detailed" => Ok(Self::Detailed),
            _ => Err(format!(
                "verbosity level `{text}` is not supported: write basic, normal or detailed"
            )),
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if !self.use_internal_logger && self.output_paths.iter().all(String::is_empty) {
            errors.push(
                "output_paths",
                "`output_paths` must not be empty when `use_internal_logger` is false",
                "for example [stdout]",
            );
        }
        if let Some(queue) = &self.sending_queue {
            errors.nested("sending_queue", queue);
        }
    }
}
