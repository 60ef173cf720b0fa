//! Labels of a series and of `target_info`: pure functions of resource, scope, metric and point
//! attributes (specification section 3.1..3.4, section 3.7).

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_model::{MetricKind, MetricMeta, Resource, Scope, Series, Temporality};
use weir_prom::exposition::MetricType;
use weir_prom::labels::METRIC_NAME;
use weir_prom::naming::{NameShape, Namer, UnusableName, target_info_label};
use weir_prom::write::push_label;

use super::config::Config;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Labels by name, in the order of names.
pub(crate) type Labels = BTreeMap<String, String>;

/// The rules of one exporter.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) namer: Namer,
    external: Vec<(String, String)>,
    scope_info: bool,
    target_info: bool,
    /// Resource attributes as labels; whether without those of the service.
    resource_labels: Option<bool>,
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
}

impl Refused {
    /// The `reason` label of drop counters.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Temporality => "not_cumulative",
            Self::Name => "unusable_name",
            Self::Value => "wrong_value",
            Self::Scale => "scale_too_low",
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
        }
    }
}

impl From<UnusableName> for Refused {
    fn from(_: UnusableName) -> Self {
        Self::Name
    }
}

/// Type, unit and help of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) kind: MetricType,
    pub(crate) unit: String,
    pub(crate) help: String,
}

impl Rules {
    /// From a validated configuration.
    pub(crate) fn new(config: &Config, v2: bool, permissive_labels: bool) -> Self {
        let namer = Namer {
            strategy: config.strategy(),
            namespace: config.namespace.clone(),
            permissive_labels,
        };
        let external = config.external_labels.iter().filter_map(|(name, value)| {
            let name = namer.label(name).ok()?.into_owned();
            Some((name, value.clone()))
        });
        let resource = config.resource_to_telemetry_conversion;
        Self {
            external: external.collect(),
            scope_info: !config.disable_scope_info,
            target_info: config.target_info.enabled,
            resource_labels: resource.enabled.then_some(resource.exclude_service_attributes),
            namer,
            v2,
        }
    }

    /// The metric's name, if its points can be sent at all.
    pub(crate) fn name(&self, metric: &MetricMeta) -> Result<String, Refused> {
        if !is_sendable(metric.kind) {
            return Err(Refused::Temporality);
        }
        Ok(self.namer.metric(&metric.name, &metric.unit, shape(metric.kind))?)
    }

    /// The metric's name for metadata, whether or not its points can be sent.
    pub(crate) fn family(&self, metric: &MetricMeta) -> Option<String> {
        let shape = shape(metric.kind);
        self.namer.metric(&metric.name, &metric.unit, shape).ok()
    }

    /// Name, type, unit and help for metadata; dropped metrics have it too.
    pub(crate) fn described(&self, metric: &MetricMeta) -> Described {
        Described {
            kind: metric_type(metric),
            unit: self.namer.unit(&metric.unit),
            help: metric.description.to_string(),
        }
    }

    /// The labels all lines of a series share, without its name.
    pub(crate) fn labels(&self, series: &Series) -> Result<Labels, Refused> {
        let mut labels = Labels::new();
        self.put_attributes(series, &mut labels)?;
        self.put_target(series.resource(), &mut labels);
        if self.scope_info {
            self.put_scope(series.scope(), &mut labels)?;
        }
        labels.retain(|_, value| !value.is_empty());
        Ok(labels)
    }

    fn put_attributes(&self, series: &Series, labels: &mut Labels) -> Result<(), Refused> {
        let Some(without_service) = self.resource_labels else {
            return self.put_all(series.labels().iter(), labels);
        };
        let mut all = series.labels().to_builder();
        for (key, value) in series.resource().attributes.iter() {
            if !(without_service && is_service(key)) {
                all.set(key, value);
            }
        }
        self.put_all(all.build().iter(), labels)
    }

    /// Attributes in the order of their keys. Those whose names become equal are joined, equal
    /// values once.
    fn put_all<'a>(
        &self,
        attributes: impl Iterator<Item = (&'a str, weir_model::ValueRef<'a>)>,
        labels: &mut Labels,
    ) -> Result<(), Refused> {
        for (key, value) in attributes {
            let text = value.to_text();
            if !text.is_empty() {
                join(labels, self.namer.label(key)?, &text);
            }
        }
        Ok(())
    }

    /// `job`, `instance` and the external labels.
    fn put_target(&self, resource: &Resource, labels: &mut Labels) {
        let attribute = |key| {
            let value = resource.attributes.get(key);
            value.map_or(Cow::Borrowed(""), |value| value.to_text())
        };
        let (name, namespace) = (attribute(SERVICE_NAME), attribute(SERVICE_NAMESPACE));
        let job = match (name.as_ref(), namespace.as_ref()) {
            ("", _) => String::new(),
            (name, "") => name.to_owned(),
            (name, namespace) => format!("{namespace}/{name}"),
        };
        for (label, value) in [("job", job), ("instance", attribute(SERVICE_INSTANCE).into_owned())] {
            if !value.is_empty() {
                labels.insert(label.to_owned(), value);
            }
        }
        for (name, value) in &self.external {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    fn put_scope(&self, scope: &Scope, labels: &mut Labels) -> Result<(), Refused> {
        for (label, value) in [("otel_scope_name", &scope.name), ("otel_scope_version", &scope.version)]
        {
            if !value.is_empty() {
                labels.insert(label.to_owned(), value.to_string());
            }
        }
        for (key, value) in scope.attributes.iter() {
            if !["name", "version", "schema_url"].contains(&key) {
                let name = format!("otel_scope_{key}");
                let name = self.namer.label(&name)?.into_owned();
                labels.insert(name, value.to_text().into_owned());
            }
        }
        Ok(())
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
            let name = match (self.v2, self.namer.label(key)) {
                (false, _) => target_info_label(key),
                (true, Ok(name)) => name,
                (true, Err(_)) => continue,
            };
            join(&mut labels, name, &text);
        }
        self.put_target(resource, &mut labels);
        if !labels.contains_key("job") && !labels.contains_key("instance") {
            return None;
        }
        let name = match self.namer.namespace.as_str() {
            "" => "target_info".to_owned(),
            namespace => format!("{namespace}_target_info"),
        };
        labels.insert(METRIC_NAME.to_owned(), name);
        Some(labels)
    }
}

/// The labels with a name and perhaps one more, encoded.
pub(crate) fn encode(labels: &Labels, name: &str, extra: Option<(&str, &str)>) -> Vec<u8> {
    let mut all: BTreeMap<&str, &str> =
        labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    all.insert(METRIC_NAME, name);
    all.extend(extra);
    let mut encoded = Vec::new();
    for (name, value) in all {
        push_label(&mut encoded, name, value);
    }
    encoded
}

/// `target_info` labels, encoded: the name is among them.
pub(crate) fn encode_all(labels: &Labels) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in labels {
        push_label(&mut encoded, name, value);
    }
    encoded
}

fn join(labels: &mut Labels, name: Cow<'_, str>, value: &str) {
    match labels.get_mut(name.as_ref()) {
        None => {
            labels.insert(name.into_owned(), value.to_owned());
        }
        Some(known) => {
            if !known.split(';').any(|part| part == value) {
                known.push(';');
                known.push_str(value);
            }
        }
    }
}

fn is_service(key: &str) -> bool {
    [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE].contains(&key)
}

fn is_sendable(kind: MetricKind) -> bool {
    match kind {
        MetricKind::Gauge | MetricKind::Summary => true,
        MetricKind::Sum { temporality, .. }
        | MetricKind::Histogram { temporality }
        | MetricKind::ExponentialHistogram { temporality } => temporality == Temporality::Cumulative,
    }
}

fn shape(kind: MetricKind) -> NameShape {
    match kind {
        MetricKind::Gauge => NameShape::Gauge,
        MetricKind::Sum { monotonic: true, .. } => NameShape::Counter,
        _ => NameShape::Other,
    }
}

/// The type in metadata (specification section 5.4).
fn metric_type(metric: &MetricMeta) -> MetricType {
    let hint = metric.metadata.get("prometheus.type");
    match (metric.kind, hint.and_then(|hint| hint.as_str())) {
        (MetricKind::Gauge, Some("unknown")) => MetricType::Unknown,
        (MetricKind::Sum { monotonic: true, .. }, _) => MetricType::Counter,
        (MetricKind::Sum { .. }, Some("info")) => MetricType::Info,
        (MetricKind::Sum { .. }, Some("stateset")) => MetricType::StateSet,
        (MetricKind::Gauge | MetricKind::Sum { .. }, _) => MetricType::Gauge,
        (MetricKind::Histogram { .. } | MetricKind::ExponentialHistogram { .. }, _) => {
            MetricType::Histogram
        }
        (MetricKind::Summary, _) => MetricType::Summary,
    }
}
