//! Keeping metadata within what CloudWatch makes metrics of (Embedded Metric Format specification):
//! it takes no metric at all from an event that breaks a rule. The reference sends such events as
//! they are; `enforce_limits: false` does too.

use std::collections::BTreeSet;

use super::declarations::Measurement;
use super::plan::PlanKey;
use super::settings::Version;

/// Metrics of an event at most.
pub(crate) const MAX_METRICS: usize = 100;
/// Names of a dimension set at most.
const MAX_DIMENSIONS: usize = 30;
/// Characters of a dimension's name at most.
const MAX_DIMENSION_NAME: usize = 250;
/// Characters of a metric's name and of a namespace at most.
const MAX_NAME: usize = 1024;
/// Characters of a dimension's value at most; longer ones are cut where an event is too large.
pub(crate) const MAX_VALUE: usize = 1024;

/// Takes out what breaks a rule: names that are empty, too long, or whose member holds something
/// else, and what a dimension set has beyond 30 names. Returns whether something went.
pub(crate) fn hold(
    measurements: &mut Vec<Measurement<'_>>,
    metrics: &[&str],
    key: &PlanKey,
    version: Version,
) -> bool {
    let reserved = |name: &str| is_reserved(name, key, version);
    let is_metric = |name: &str| {
        let long = name.len() > MAX_NAME && name.chars().count() > MAX_NAME;
        !name.is_empty() && !long && !reserved(name)
    };
    let is_dimension = |name: &str| {
        let long = name.len() > MAX_DIMENSION_NAME && name.chars().count() > MAX_DIMENSION_NAME;
        // A metric takes the place of a label of its name, so that a number stands there.
        !name.is_empty() && !long && !reserved(name) && !metrics.contains(&name)
    };
    let mut changed = false;
    measurements.retain_mut(|measurement| {
        let count = measurement.metrics.len();
        let named = |at: &usize| metrics.get(*at).is_some_and(|name| is_metric(name));
        measurement.metrics.retain(named);
        changed |= measurement.metrics.len() != count;
        let mut sets: Vec<Vec<&str>> = Vec::with_capacity(measurement.dimensions.len());
        for mut set in std::mem::take(&mut measurement.dimensions) {
            let count = set.len();
            set.retain(|name| is_dimension(name));
            set.truncate(MAX_DIMENSIONS);
            changed |= set.len() != count;
            sets.push(set);
        }
        if changed {
            let mut seen = BTreeSet::new();
            sets.retain(|set| seen.insert(set.clone()));
        }
        measurement.dimensions = sets;
        !measurement.metrics.is_empty()
    });
    changed
}

/// Whether an event has a member of this name that is neither label nor metric.
fn is_reserved(name: &str, key: &PlanKey, version: Version) -> bool {
    match (name, version) {
        ("prom_metric_type", _) => key.prometheus.is_some(),
        ("Version", _) | ("_aws", Version::One) => true,
        ("Timestamp" | "CloudWatchMetrics", Version::Zero) => true,
        _ => false,
    }
}

/// A namespace with at most so many characters as CloudWatch takes.
pub(crate) fn namespace(text: &str) -> &str {
    match text.char_indices().nth(MAX_NAME) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
