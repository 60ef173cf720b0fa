//! Keys of the `cumulativetodelta` processor (processors section 7).

use serde::{Deserialize, Serialize};
use weir_config::{Duration, Errors, Validate};
use weir_model::{MetricKind, MetricMeta};

use crate::matching::{RegexpConfig, Texts};

/// Configuration of `cumulativetodelta`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Converts these metrics only.
    pub include: Option<MetricsConfig>,
    /// Converts not these metrics.
    pub exclude: Option<MetricsConfig>,
    /// Time without a point after which a stream is forgotten; 0 for never.
    pub max_staleness: Duration,
    /// What becomes of the first point of a stream.
    pub initial_value: InitialValue,
    /// Most streams remembered; points of further ones are dropped and counted. Not in the
    /// reference.
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: None,
            exclude: None,
            max_staleness: Duration::from_secs(3600),
            initial_value: InitialValue::Auto,
            max_streams: 500_000,
        }
    }
}

/// What becomes of the first point of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialValue {
    /// Sent if its start time says that it counted from nothing since this processor runs.
    #[default]
    Auto,
    /// Sent.
    Keep,
    /// Dropped.
    Drop,
}

/// A choice of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// `strict` or `regexp`; goes with `metrics`.
    pub match_type: String,
    /// Names, or expressions found anywhere in names.
    pub metrics: Vec<String>,
    /// `sum`, `histogram`, `exponentialhistogram`.
    pub metric_types: Vec<String>,
    /// Accepted: there is no cache of verdicts to be sized.
    pub regexp: Option<RegexpConfig>,
}

/// The types that can be chosen.
const TYPES: [&str; 3] = ["sum", "histogram", "exponentialhistogram"];

/// A compiled choice: the reference tests names and types apart.
#[derive(Debug, Default)]
struct Choice {
    names: Option<Texts>,
    types: Vec<String>,
}

impl MetricsConfig {
    fn compile(&self, place: &str, errors: &mut Errors) -> Choice {
        let at = |key: &str| format!("{place}.{key}");
        let regexp = match self.match_type.as_str() {
            "strict" | "" => false,
            "regexp" => true,
            other => {
                let text = format!("unrecognized `match_type` \"{other}\"");
                errors.push(&at("match_type"), text, "write strict or regexp");
                return Choice::default();
            }
        };
        if self.match_type.is_empty() && !self.metrics.is_empty() {
            let text = "`metrics` needs a `match_type`";
            errors.push(&at("metrics"), text, "add `match_type: strict` or `match_type: regexp`");
        }
        if !self.match_type.is_empty() && self.metrics.is_empty() {
            let text = "`match_type` needs `metrics`";
            errors.push(&at("match_type"), text, "list the names under `metrics`");
        }
        for (index, name) in self.metric_types.iter().enumerate() {
            if !TYPES.contains(&name.to_ascii_lowercase().as_str()) {
                let text = format!("unsupported metric type \"{name}\"");
                let hint = format!("write one of {}", TYPES.join(", "));
                errors.push(&at(&format!("metric_types[{index}]")), text, hint);
            }
        }
        let mut names = None;
        if !self.metrics.is_empty() {
            match Texts::new(self.metrics.iter().map(String::as_str), regexp) {
                Ok(texts) => names = Some(texts),
                Err((index, error)) => {
                    let text = format!("not a regular expression: {error}");
                    errors.push(&at(&format!("metrics[{index}]")), text, "");
                }
            }
        }
        let types = self.metric_types.iter().map(|name| name.to_ascii_lowercase()).collect();
        Choice { names, types }
    }
}

impl Choice {
    fn has_name(&self, name: &str) -> Option<bool> {
        self.names.as_ref().map(|texts| texts.matches(name))
    }

    fn has_type(&self, kind: MetricKind) -> Option<bool> {
        let name = match kind {
            MetricKind::Sum { .. } => "sum",
            MetricKind::Histogram { .. } => "histogram",
            MetricKind::ExponentialHistogram { .. } => "exponentialhistogram",
            MetricKind::Gauge | MetricKind::Summary => "",
        };
        (!self.types.is_empty()).then(|| self.types.iter().any(|known| known == name))
    }
}

/// `include` and `exclude`, compiled.
#[derive(Debug, Default)]
pub(super) struct Choices {
    include: Choice,
    exclude: Choice,
}

impl Choices {
    pub(super) fn compile(config: &Config, errors: &mut Errors) -> Self {
        let mut choice = |place: &str, part: &Option<MetricsConfig>| {
            part.as_ref().map(|part| part.compile(place, errors)).unwrap_or_default()
        };
        Self {
            include: choice("include", &config.include),
            exclude: choice("exclude", &config.exclude),
        }
    }

    /// Whether a metric is chosen.
    pub(super) fn takes(&self, metric: &MetricMeta) -> bool {
        let (include, exclude) = (&self.include, &self.exclude);
        include.has_name(&metric.name).unwrap_or(true)
            && include.has_type(metric.kind).unwrap_or(true)
            && !exclude.has_name(&metric.name).unwrap_or(false)
            && !exclude.has_type(metric.kind).unwrap_or(false)
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        if self.max_staleness.nanos() < 0 {
            errors.push("max_staleness", "max_staleness must not be negative", "0 means never");
        }
        if self.max_streams == 0 {
            errors.push("max_streams", "max_streams must be positive", "leave it out for 500000");
        }
        Choices::compile(self, errors);
    }
}
