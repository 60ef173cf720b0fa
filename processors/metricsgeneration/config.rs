//! Keys of `metricsgeneration` (processors section 8).

use serde::{Deserialize, Serialize};
use weir_config::{Errors, Validate};

/// Configuration of `metricsgeneration`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to generate.
    pub rules: Vec<Rule>,
}

/// One generated metric.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Name of the new metric.
    pub name: String,
    /// Unit of the new metric.
    pub unit: String,
    /// `calculate` or `scale`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Each of its points gives one of the new metric.
    pub metric1: String,
    /// Second operand of `calculate`.
    pub metric2: String,
    /// `add`, `subtract`, `multiply`, `divide`, `percent`.
    pub operation: String,
    /// Second operand of `scale`.
    pub scale_by: f64,
}

/// What is done with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Percent,
}

const OPERATIONS: [(&str, Operation); 5] = [
    ("add", Operation::Add),
    ("subtract", Operation::Subtract),
    ("multiply", Operation::Multiply),
    ("divide", Operation::Divide),
    ("percent", Operation::Percent),
];

impl Operation {
    /// The result, unless it is a division by zero.
    pub(super) fn apply(self, first: f64, second: f64) -> Option<f64> {
        match self {
            Self::Add => Some(first + second),
            Self::Subtract => Some(first - second),
            Self::Multiply => Some(first * second),
            Self::Divide => (second != 0.0).then(|| first / second),
            Self::Percent => (second != 0.0).then(|| first / second * 100.0),
        }
    }
}

impl Rule {
    /// Whether the second operand is a number of the configuration.
    pub(super) fn scales(&self) -> bool {
        self.kind == "scale"
    }

    pub(super) fn operation(&self) -> Option<Operation> {
        let found = OPERATIONS.iter().find(|(name, _)| *name == self.operation);
        found.map(|(_, operation)| *operation)
    }

    fn validate(&self, place: &str, errors: &mut Errors) {
        let mut required = |key: &str, value: &str| {
            if value.is_empty() {
                let text = format!("`{key}` is required");
                errors.push(&format!("{place}.{key}"), text, "");
            }
        };
        required("name", &self.name);
        required("type", &self.kind);
        required("metric1", &self.metric1);
        if self.kind == "calculate" {
            required("metric2", &self.metric2);
        }
        if !["", "calculate", "scale"].contains(&self.kind.as_str()) {
            let text = format!("unknown type `{}`", self.kind);
            errors.push(&format!("{place}.type"), text, "write calculate or scale");
        }
        if self.scales() && self.scale_by <= 0.0 {
            let text = "`scale_by` must be above 0";
            errors.push(&format!("{place}.scale_by"), text, "");
        }
        if self.operation().is_none() {
            let names: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
            let text = format!("unknown operation `{}`", self.operation);
            let hint = format!("write one of {}", names.join(", "));
            errors.push(&format!("{place}.operation"), text, hint);
        }
    }
}

impl Validate for Config {
    fn validate(&self, errors: &mut Errors) {
        for (index, rule) in self.rules.iter().enumerate() {
            rule.validate(&format!("rules[{index}]"), errors);
        }
    }
}
