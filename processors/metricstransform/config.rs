//! Keys of the `metricstransform` processor (processors section 6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};
use weir_prom::relabel::re2;

/// Configuration of `metricstransform`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Run in order on the metrics of each resource and scope.
    pub transforms: Vec<TransformConfig>,
}

/// One transform.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformConfig {
    /// Metric name or expression (found anywhere in the name).
    pub include: String,
    /// Older spelling of `include`.
    pub metric_name: String,
    /// `strict` (default) or `regexp`; holds for label values too.
    pub match_type: MatchType,
    /// Label values that points must have to take part.
    pub experimental_match_labels: BTreeMap<String, String>,
    /// What to do.
    pub action: Option<ActionName>,
    /// New name; with `regexp` it may use groups of `include`.
    pub new_name: String,
    /// `group`: attributes of the new resource.
    pub group_resource_labels: BTreeMap<String, String>,
    /// `combine`: how points of equal labels and time are merged.
    pub aggregation_type: Option<Aggregation>,
    /// `combine`: letter case of group values that become labels.
    pub submatch_case: Option<SubmatchCase>,
    /// Done in order on each chosen metric.
    pub operations: Vec<OperationConfig>,
}

/// How names and values are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchType {
    /// Equality.
    #[default]
    Strict,
    /// Regular expression, unanchored.
    Regexp,
}

/// What becomes of the chosen metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionName {
    /// Changed in place.
    Update,
    /// Copied, the copy is changed.
    Insert,
    /// Made one metric.
    Combine,
    /// Moved to a resource of their own.
    Group,
}

/// How values are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Sum.
    Sum,
    /// Arithmetic mean; of integers, cut.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Number of points.
    Count,
    /// Middle value.
    Median,
}

/// Letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SubmatchCase {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
}

/// One operation; which keys count depends on `action`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperationConfig {
    /// What to do.
    pub action: Option<OperationName>,
    /// Label to work on.
    pub label: String,
    /// New label name.
    pub new_label: String,
    /// New value.
    pub new_value: String,
    /// Label value whose points are dropped.
    pub label_value: String,
    /// Labels that stay.
    pub label_set: Option<Vec<String>>,
    /// How values are merged.
    pub aggregation_type: Option<Aggregation>,
    /// Values that become `new_value`.
    pub aggregated_values: Vec<String>,
    /// Values to be replaced.
    pub value_actions: Vec<ValueAction>,
    /// Factor.
    pub experimental_scale: f64,
}

/// Operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationName {
    /// Adds a label where it is absent.
    AddLabel,
    /// Renames a label, maps its values.
    UpdateLabel,
    /// Drops the points with a label value.
    DeleteLabelValue,
    /// Integers become doubles and the other way round.
    ToggleScalarDataType,
    /// Multiplies values.
    ExperimentalScaleValue,
    /// Keeps some labels, merges points.
    AggregateLabels,
    /// Makes several values of a label one, merges points.
    AggregateLabelValues,
}

/// A value and its replacement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueAction {
    /// The value.
    pub value: String,
    /// What it becomes.
    pub new_value: String,
}

impl TransformConfig {
    /// The name or expression, whichever key it stands under.
    pub(super) fn included(&self) -> &str {
        if self.include.is_empty() { &self.metric_name } else { &self.include }
    }

    fn check(&self, place: &str, errors: &mut Errors) {
        let at = |key: &str| format!("{place}.{key}");
        let missing = |errors: &mut Errors, key: &str, hint: &str| {
            errors.push(&at(key), format!("missing required field \"{key}\""), hint);
        };
        if self.included().is_empty() {
            missing(errors, "include", "name a metric, or give an expression with match_type regexp");
        }
        if !self.metric_name.is_empty() {
            let text = "`metric_name` is the old spelling of `include`";
            if self.include.is_empty() {
                errors.warn(&at("metric_name"), text, "write `include`");
            } else {
                errors.push(&at("metric_name"), text, "remove it: `include` is there too");
            }
        }
        if self.match_type == MatchType::Regexp {
            let labels = self.experimental_match_labels.iter();
            let labels = labels.map(|(key, value)| {
                (format!("experimental_match_labels.{key}"), value.as_str())
            });
            let name = std::iter::once(("include".to_owned(), self.included()));
            for (key, pattern) in name.chain(labels) {
                if let Err(error) = re2(pattern) {
                    errors.push(&at(&key), format!("not a regular expression: {error}"), "");
                }
            }
        }
        match self.action {
            None => missing(errors, "action", "write update, insert, combine or group"),
            Some(ActionName::Insert | ActionName::Combine) if self.new_name.is_empty() => {
                missing(errors, "new_name", "insert and combine make a metric that needs a name");
            }
            Some(ActionName::Group) if self.group_resource_labels.is_empty() => {
                missing(errors, "group_resource_labels", "group moves metrics to a resource with these");
            }
            Some(ActionName::Combine) if self.aggregation_type.is_none() => {
                let text = "without `aggregation_type`, of points with equal labels and time the first stays";
                errors.warn(place, text, "add sum, mean, min, max, count or median");
            }
            Some(_) => {}
        }
        for (index, operation) in self.operations.iter().enumerate() {
            operation.check(&at(&format!("operations[{index}]")), errors);
        }
    }
}

impl OperationConfig {
    fn check(&self, place: &str, errors: &mut Errors) {
        let mut missing = |key: &str, hint: &str| {
            errors.push(&format!("{place}.{key}"), format!("missing required field \"{key}\""), hint);
        };
        match self.action {
            None => missing("action", "name the operation, such as add_label"),
            Some(OperationName::UpdateLabel) if self.label.is_empty() => {
                missing("label", "name the label to update");
            }
            Some(OperationName::AddLabel) if self.new_label.is_empty() => {
                missing("new_label", "name the label to add");
            }
            Some(OperationName::AddLabel) if self.new_value.is_empty() => {
                missing("new_value", "give the value of the new label");
            }
            Some(OperationName::ExperimentalScaleValue) if self.experimental_scale == 0.0 => {
                missing("experimental_scale", "give the factor, not 0");
            }
            Some(OperationName::AggregateLabels | OperationName::AggregateLabelValues)
                if self.aggregation_type.is_none() =>
            {
                let text = "without `aggregation_type`, of points with equal labels and time the first stays";
                errors.warn(place, text, "add sum, mean, min, max, count or median");
            }
            Some(_) => {}
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        for (index, transform) in self.transforms.iter().enumerate() {
            transform.check(&format!("transforms[{index}]"), errors);
        }
    }
}
