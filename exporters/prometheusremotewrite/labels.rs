//! What can be sent, labels of `target_info`, and labels encoded (specification sections 2, 3.4, 3.7).

use std::collections::BTreeMap;

use weir_model::{MetricKind, MetricMeta, Resource, Series, Temporality};
use weir_prom::labels::METRIC_NAME;
use weir_prom::naming::{Namer, UnusableName, target_info_label};
use weir_prom::write::StoreFull;

use super::config::Config;
use crate::prometheus_labels::{LabelRules, is_service, join};
pub(crate) use crate::prometheus_labels::{Described, Labels};

/// The rules of one exporter.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) labels: LabelRules,
    target_info: bool,
    /// Protocol 2.0.
    pub(crate) v2: bool,
}

/// Why the points of a series are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The temporality is not cumulative.
    Temporality,
    /// No name can be made.
    Name,
    /// The value does not fit the metric's type.
    Value,
    /// The scale is too low for a native histogram.
    Scale,
    /// There are too many different labels.
    Full,
}

impl Refused {
    /// All reasons, in the order of their numbers.
    pub(crate) const ALL: [Self; 5] =
        [Self::Temporality, Self::Name, Self::Value, Self::Scale, Self::Full];

    /// The reason with this number.
    pub(crate) fn of(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Value)
    }

    /// The `reason` label of drop counters.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Temporality => "not_cumulative",
            Self::Name => "unusable_name",
            Self::Value => "wrong_value",
            Self::Scale => "scale_too_low",
            Self::Full => "too_many_series",
        }
    }

    /// What to do about it.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::Temporality => {
                "remote write takes cumulative sums and histograms only: let the SDK send \
                 cumulative ones, or put a deltatocumulative processor in front"
            }
            Self::Name => "no Prometheus name can be made of the metric or one of its attributes",
            Self::Value => "the value does not fit the type of the metric",
            Self::Scale => "exponential histograms with a scale below -4 have no native form",
            Self::Full => "more series at the same time than the exporter can number",
        }
    }
}

impl From<StoreFull> for Refused {
    fn from(_: StoreFull) -> Self {
        Self::Full
    }
}

impl From<UnusableName> for Refused {
    fn from(_: UnusableName) -> Self {
        Self::Name
    }
}

impl Rules {
    /// From a validated configuration.
    pub(crate) fn new(config: &Config, v2: bool, permissive_labels: bool) -> Self {
        let namer = Namer {
            strategy: config.strategy(),
            namespace: config.namespace.clone(),
            permissive_labels,
        };
        let resource = config.resource_to_telemetry_conversion;
        let scope_info = !config.disable_scope_info;
        Self {
            labels: LabelRules::new(namer, &config.external_labels, scope_info, resource),
            target_info: config.target_info.enabled,
            v2,
        }
    }

    /// The metric's name, if its points can be sent at all.
    pub(crate) fn name(&self, metric: &MetricMeta) -> Result<String, Refused> {
        if !is_sendable(metric.kind) {
            return Err(Refused::Temporality);
        }
        Ok(self.labels.family(metric)?)
    }

    /// The labels all lines of a series share, without its name.
    pub(crate) fn labels(&self, series: &Series) -> Result<Labels, Refused> {
        Ok(self.labels.labels(series)?)
    }

    /// The labels of the resource's `target_info`, name included; `None` if it gets none.
    pub(crate) fn target_info(&self, resource: &Resource) -> Option<Labels> {
        if !self.target_info || resource.attributes.iter().all(|(key, _)| is_service(key)) {
            return None;
        }
        let mut labels = Labels::new();
        for (key, value) in resource.attributes.iter() {
            let text = value.to_text();
            if is_service(key) || text.is_empty() {
                continue;
            }
            // Protocol 1.0 has rules of its own for these names.
            let name = match (self.v2, self.labels.namer.label(key)) {
                (false, _) => target_info_label(key),
                (true, Ok(name)) => name,
                (true, Err(_)) => continue,
            };
            join(&mut labels, name, &text);
        }
        self.labels.put_target(resource, &mut labels);
        if !labels.contains_key("job") && !labels.contains_key("instance") {
            return None;
        }
        labels.insert(METRIC_NAME.to_owned(), self.labels.target_info_name());
        Some(labels)
    }
}

/// The labels with a name and perhaps one more.
pub(crate) fn named<'a>(
    labels: &'a Labels,
    name: &'a str,
    extra: Option<(&'a str, &'a str)>,
) -> BTreeMap<&'a str, &'a str> {
    let mut all = borrowed(labels);
    all.insert(METRIC_NAME, name);
    all.extend(extra);
    all
}

/// Labels whose name is among them.
pub(crate) fn borrowed(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

fn is_sendable(kind: MetricKind) -> bool {
    match kind {
        MetricKind::Gauge | MetricKind::Summary => true,
        MetricKind::Sum { temporality, .. }
        | MetricKind::Histogram { temporality }
        | MetricKind::ExponentialHistogram { temporality } => temporality == Temporality::Cumulative,
    }
}
