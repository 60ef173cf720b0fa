//! Keys of the `filter` processor (processors section 4).

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};
use weir_config::{Errors, Loose, Validate};
use weir_core::Signal;

use super::plan::Plan;
use crate::matching::{AttributeConfig, MatchConfig, RegexpConfig};

/// Configuration of `filter`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What happens when a condition fails.
    pub error_mode: ErrorMode,
    /// Conditions on metrics and data points.
    pub metrics: Option<MetricsConfig>,
    /// Conditions on log records.
    pub logs: Option<LogsConfig>,
    /// Conditions on spans.
    pub traces: Option<TracesConfig>,
    /// Older form for spans.
    pub spans: Option<SpansConfig>,
    /// Conditions on traces whose paths name their context.
    pub trace_conditions: Vec<Conditions>,
    /// The same on metrics.
    pub metric_conditions: Vec<Conditions>,
    /// The same on logs.
    pub log_conditions: Vec<Conditions>,
}

/// What happens when a condition fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// The condition does not hold; a warning is logged.
    #[default]
    Ignore,
    /// The condition does not hold.
    Silent,
    /// The request fails.
    Propagate,
}

/// Metrics: either `include` and `exclude`, or conditions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Keeps these only.
    pub include: Option<MetricMatch>,
    /// Drops these.
    pub exclude: Option<MetricMatch>,
    /// Conditions on resources.
    pub resource: Vec<String>,
    /// Conditions on metrics.
    pub metric: Vec<String>,
    /// Conditions on data points.
    pub datapoint: Vec<String>,
}

/// Which metrics, in the older form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricMatch {
    /// `strict`, `regexp` or `expr`.
    pub match_type: String,
    /// Accepted: there is no cache of verdicts to be sized.
    pub regexp: Option<RegexpConfig>,
    /// Metric names, any of them.
    pub metric_names: Vec<String>,
    /// `expr`: conditions, any of them.
    pub expressions: Vec<String>,
    /// Resource attributes, all of them.
    pub resource_attributes: Vec<AttributeConfig>,
}

/// Logs: either `include` and `exclude`, or conditions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// Keeps these only.
    pub include: Option<LogMatch>,
    /// Drops these.
    pub exclude: Option<LogMatch>,
    /// Conditions on resources.
    pub resource: Vec<String>,
    /// Conditions on log records.
    pub log_record: Vec<String>,
}

/// Which log records, in the older form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogMatch {
    /// `strict` or `regexp`.
    pub match_type: String,
    /// Accepted.
    pub regexp: Option<RegexpConfig>,
    /// Resource attributes, all of them.
    pub resource_attributes: Vec<AttributeConfig>,
    /// Attributes of the record, all of them.
    pub record_attributes: Vec<AttributeConfig>,
    /// Severity texts, any of them.
    pub severity_texts: Vec<String>,
    /// Least severity.
    pub severity_number: Option<SeverityConfig>,
    /// Bodies, any of them.
    pub bodies: Vec<String>,
}

/// Least severity, by name or number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityConfig {
    /// `INFO`, `WARN2`, or 1 to 24.
    pub min: Loose<String>,
    /// Whether records without a severity match.
    pub match_undefined: bool,
}

/// Conditions on traces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// On resources.
    pub resource: Vec<String>,
    /// On spans.
    pub span: Vec<String>,
    /// On events of spans; not offered yet.
    pub spanevent: Vec<String>,
}

/// Spans in the older form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpansConfig {
    /// Keeps these only.
    pub include: Option<MatchConfig>,
    /// Drops these.
    pub exclude: Option<MatchConfig>,
}

/// An entry of `trace_conditions` and its like: a condition, or several with settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Conditions {
    /// One condition.
    Text(String),
    /// Several.
    Group(ConditionGroup),
}

/// Conditions with settings of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionGroup {
    /// Context of paths that do not name theirs.
    pub context: String,
    /// In place of the processor's.
    pub error_mode: Option<ErrorMode>,
    /// Any of them.
    pub conditions: Vec<String>,
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Conditions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition, or a map with context and conditions")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Conditions, E> {
                Ok(Conditions::Text(text.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Conditions, A::Error> {
                let group = ConditionGroup::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Conditions::Group(group))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Config {
    /// Older and newer forms may not stand together.
    fn check_styles(&self, errors: &mut Errors) {
        let cure = "keep either include and exclude, or the conditions";
        let mut mixed = |key: &str, older: bool, newer: bool| {
            if older && newer {
                errors.push(key, "conditions and the older form are given together", cure);
            }
        };
        if let Some(metrics) = &self.metrics {
            let older = metrics.include.is_some() || metrics.exclude.is_some();
            let newer = [&metrics.resource, &metrics.metric, &metrics.datapoint];
            let newer = newer.iter().any(|list| !list.is_empty());
            mixed("metrics", older, newer || !self.metric_conditions.is_empty());
            mixed("metric_conditions", newer, !self.metric_conditions.is_empty());
        }
        if let Some(logs) = &self.logs {
            let older = logs.include.is_some() || logs.exclude.is_some();
            let newer = !logs.resource.is_empty() || !logs.log_record.is_empty();
            mixed("logs", older, newer || !self.log_conditions.is_empty());
            mixed("log_conditions", newer, !self.log_conditions.is_empty());
        }
        let newer = self.traces.is_some() || !self.trace_conditions.is_empty();
        mixed("spans", self.spans.is_some(), newer);
        mixed("trace_conditions", self.traces.is_some(), !self.trace_conditions.is_empty());
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        self.check_styles(errors);
        for signal in Signal::ALL {
            Plan::compile(self, signal, errors);
        }
    }
}
