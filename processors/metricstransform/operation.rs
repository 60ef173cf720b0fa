//! Operations on the points of a metric.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use weir_model::{Interner, Mapped, PointValue, Series};

use super::choose::Chooser;
use super::config::{Aggregation, OperationConfig, OperationName};
use super::memo::{Memo, Metric, relabelled};
use super::merge::merge;

/// A compiled operation.
#[derive(Debug)]
pub(super) struct Operation {
    what: What,
    memo: Memo<Mapped>,
}

#[derive(Debug)]
enum What {
    AddLabel { key: String, value: String },
    UpdateLabel { key: String, new_key: String, values: HashMap<String, String> },
    DeleteLabelValue { key: String, value: String },
    Toggle,
    Scale(f64),
    AggregateLabels { keep: Option<BTreeSet<String>>, how: Option<Aggregation> },
    AggregateLabelValues { key: String, values: Vec<String>, new: String, how: Option<Aggregation> },
}

impl Operation {
    /// `version` replaces `{{version}}` in the value of an added label.
    pub(super) fn new(config: &OperationConfig, version: &str) -> Option<Self> {
        let key = config.label.clone();
        let how = config.aggregation_type;
        let what = match config.action? {
            OperationName::AddLabel => What::AddLabel {
                key: config.new_label.clone(),
                value: config.new_value.replace("{{version}}", version),
            },
            OperationName::UpdateLabel => {
                let pairs = config.value_actions.iter();
                let pairs = pairs.map(|action| (action.value.clone(), action.new_value.clone()));
                let (new_key, values) = (config.new_label.clone(), pairs.collect());
                What::UpdateLabel { key, new_key, values }
            }
            OperationName::DeleteLabelValue => {
                What::DeleteLabelValue { key, value: config.label_value.clone() }
            }
            OperationName::ToggleScalarDataType => What::Toggle,
            OperationName::ExperimentalScaleValue => What::Scale(config.experimental_scale),
            OperationName::AggregateLabels => {
                let keep = config.label_set.as_ref().map(|set| set.iter().cloned().collect());
                What::AggregateLabels { keep, how }
            }
            OperationName::AggregateLabelValues => What::AggregateLabelValues {
                key,
                values: config.aggregated_values.clone(),
                new: config.new_value.clone(),
                how,
            },
        };
        Some(Self { what, memo: Memo::default() })
    }

    /// Works on the points of a metric. `all` says that all of them are chosen; where only some
    /// are, whatever would tear the metric apart is left out.
    pub(super) fn apply(&self, points: &mut Metric, chooser: &Chooser, all: bool, interner: &Interner) {
        let per_point = matches!(self.what, What::UpdateLabel { .. } | What::Toggle | What::Scale(_));
        if !all && !per_point {
            return;
        }
        match &self.what {
            What::Toggle | What::Scale(_) => {
                let chosen = points.iter_mut();
                for point in chosen.filter(|point| chooser.takes_labels(point.series.labels())) {
                    match self.what {
                        What::Scale(factor) => scale(&mut point.value, factor),
                        _ => toggle(&mut point.value),
                    }
                }
            }
            What::AggregateLabels { how, .. } | What::AggregateLabelValues { how, .. } => {
                self.memo.apply(points, |series| self.map(series, chooser, interner));
                merge(points, *how);
            }
            _ => self.memo.apply(points, |series| self.map(series, chooser, interner)),
        }
    }

    /// What the operation makes of a series.
    fn map(&self, series: &Arc<Series>, chooser: &Chooser, interner: &Interner) -> Mapped {
        let old = series.labels();
        let text = |key: &str| old.get(key).map(|value| value.as_str().unwrap_or(""));
        let mut labels = old.to_builder();
        match &self.what {
            What::AddLabel { key, value } => {
                if old.get(key).is_none() {
                    labels.set_str(key, value);
                }
            }
            What::UpdateLabel { key, new_key, values } => {
                let Some(value) = old.get(key).filter(|_| chooser.takes_labels(old)) else {
                    return Mapped::Same;
                };
                let mut at = key;
                if !new_key.is_empty() && new_key != key {
                    labels.remove(key);
                    labels.set(new_key, value);
                    at = new_key;
                }
                if let Some(value) = values.get(value.as_str().unwrap_or("")) {
                    labels.set_str(at, value);
                }
            }
            What::DeleteLabelValue { key, value } => {
                let found = text(key) == Some(value);
                return if found { Mapped::Drop } else { Mapped::Same };
            }
            What::AggregateLabels { keep: Some(keep), .. } => {
                for (key, _) in old.iter().filter(|(key, _)| !keep.contains(*key)) {
                    labels.remove(key);
                }
            }
            What::AggregateLabelValues { key, values, new, .. } => {
                if text(key).is_some_and(|value| values.iter().any(|known| known == value)) {
                    labels.set_str(key, new);
                }
            }
            What::AggregateLabels { keep: None, .. } | What::Toggle | What::Scale(_) => {
                return Mapped::Same;
            }
        }
        relabelled(interner, series, labels.build())
    }

    pub(super) fn sweep(&self, interner: &Interner) {
        self.memo.lock().sweep(interner);
    }
}

fn toggle(value: &mut PointValue) {
    *value = match value {
        PointValue::Int(number) => PointValue::Double(*number as f64),
        PointValue::Double(number) => PointValue::Int(*number as i64),
        _ => return,
    };
}

/// Multiplies numbers and histograms. The buckets of exponential histograms stay: only powers of
/// their base would move them whole.
fn scale(value: &mut PointValue, factor: f64) {
    let times = |number: &mut Option<f64>| *number = number.map(|number| number * factor);
    match value {
        PointValue::Int(number) => *number = (*number as f64 * factor) as i64,
        PointValue::Double(number) => *number *= factor,
        PointValue::Histogram(histogram) => {
            times(&mut histogram.sum);
            times(&mut histogram.min);
            times(&mut histogram.max);
            for bound in &mut histogram.explicit_bounds {
                *bound *= factor;
            }
        }
        PointValue::ExponentialHistogram(_) | PointValue::Summary(_) | PointValue::Empty => {}
    }
}
