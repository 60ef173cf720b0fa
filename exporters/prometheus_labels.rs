//! Labels of a series as a Prometheus server knows them: pure functions of resource, scope, metric and
//! point attributes (prometheusremotewrite specification, sections 3.1..3.4). Shared by the exporters
//! that write and that show Prometheus metrics.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{MetricKind, MetricMeta, Resource, Scope, Series};
use weir_prom::exposition::MetricType;
use weir_prom::naming::{NameShape, Namer, TranslationStrategy, UnusableName};

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// Labels by name, in the order of names.
pub(crate) type Labels = BTreeMap<String, String>;

/// `resource_to_telemetry_conversion`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceToTelemetry {
    /// Copies resource attributes to the labels of every point; they win over equal keys.
    pub enabled: bool,
    /// Leaves out `service.name`, `service.namespace` and `service.instance.id`.
    pub exclude_service_attributes: bool,
}

/// The strategy that `translation_strategy` and the older `add_metric_suffixes` ask for.
pub(crate) fn strategy(name: &str, add_metric_suffixes: bool) -> TranslationStrategy {
    match (name, add_metric_suffixes) {
        ("", true) => TranslationStrategy::UnderscoreEscapingWithSuffixes,
        ("", false) => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        // Validated before.
        (name, _) => name.parse().unwrap_or_default(),
    }
}

/// How labels are made.
#[derive(Debug, Clone)]
pub(crate) struct LabelRules {
    pub(crate) namer: Namer,
    /// Labels of every series that does not have them.
    pub(crate) external: Vec<(String, String)>,
    /// Whether there are labels `otel_scope_...`.
    pub(crate) scope_info: bool,
    pub(crate) resource: ResourceToTelemetry,
}

/// Type, unit and help of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Described {
    pub(crate) kind: MetricType,
    pub(crate) unit: String,
    pub(crate) help: String,
}

impl LabelRules {
    /// The rules, with the names of the labels for every series made as those of others.
    pub(crate) fn new<'a>(
        namer: Namer,
        external: impl IntoIterator<Item = (&'a String, &'a String)>,
        scope_info: bool,
        resource: ResourceToTelemetry,
    ) -> Self {
        let external = external.into_iter().filter_map(|(name, value)| {
            let name = namer.label(name).ok()?.into_owned();
            Some((name, value.clone()))
        });
        Self {
            external: external.collect(),
            scope_info,
            resource,
            namer,
        }
    }

    /// The metric's name, whether or not its points can be used.
    pub(crate) fn family(&self, metric: &MetricMeta) -> Result<String, UnusableName> {
        self.namer
            .metric(&metric.name, &metric.unit, shape(metric.kind))
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
    pub(crate) fn labels(&self, series: &Series) -> Result<Labels, UnusableName> {
        let mut labels = Labels::new();
        self.put_attributes(series, &mut labels)?;
        self.put_target(series.resource(), &mut labels);
        if self.scope_info {
            self.put_scope(series.scope(), &mut labels)?;
        }
        labels.retain(|_, value| !value.is_empty());
        Ok(labels)
    }

    fn put_attributes(&self, series: &Series, labels: &mut Labels) -> Result<(), UnusableName> {
        if !self.resource.enabled {
            return self.put_all(series.labels().iter(), labels);
        }
        let mut all = series.labels().to_builder();
        for (key, value) in series.resource().attributes.iter() {
            if !(self.resource.exclude_service_attributes && is_service(key)) {
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
    ) -> Result<(), UnusableName> {
        for (key, value) in attributes {
            let text = value.to_text();
            if !text.is_empty() {
                join(labels, self.namer.label(key)?, &text);
            }
        }
        Ok(())
    }

    /// `job`, `instance` and the external labels.
    pub(crate) fn put_target(&self, resource: &Resource, labels: &mut Labels) {
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
        for (label, value) in [
            ("job", job),
            ("instance", attribute(SERVICE_INSTANCE).into_owned()),
        ] {
            if !value.is_empty() {
                labels.insert(label.to_owned(), value);
            }
        }
        for (name, value) in &self.external {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    fn put_scope(&self, scope: &Scope, labels: &mut Labels) -> Result<(), UnusableName> {
        for (label, value) in [
            ("otel_scope_name", &scope.name),
            ("otel_scope_version", &scope.version),
        ] {
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

    /// The name of the series that tells the attributes of a resource.
    pub(crate) fn target_info_name(&self) -> String {
        match self.namer.namespace.as_str() {
            "" => "target_info".to_owned(),
            namespace => format!("{namespace}_target_info"),
        }
    }
}

/// Adds a value to a label; what is there already is kept in front, equal values once.
pub(crate) fn join(labels: &mut Labels, name: Cow<'_, str>, value: &str) {
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

/// Whether an attribute is one of those that become `job` and `instance`.
pub(crate) fn is_service(key: &str) -> bool {
    [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE].contains(&key)
}

fn shape(kind: MetricKind) -> NameShape {
    match kind {
        MetricKind::Gauge => NameShape::Gauge,
        MetricKind::Sum {
            monotonic: true, ..
        } => NameShape::Counter,
        _ => NameShape::Other,
    }
}

/// The type in metadata (specification section 5.4).
fn metric_type(metric: &MetricMeta) -> MetricType {
    let hint = metric.metadata.get("prometheus.type");
    match (metric.kind, hint.and_then(|hint| hint.as_str())) {
        (MetricKind::Gauge, Some("unknown")) => MetricType::Unknown,
        (
            MetricKind::Sum {
                monotonic: true, ..
            },
            _,
        ) => MetricType::Counter,
        (MetricKind::Sum { .. }, Some("info")) => MetricType::Info,
        (MetricKind::Sum { .. }, Some("stateset")) => MetricType::StateSet,
        (MetricKind::Gauge | MetricKind::Sum { .. }, _) => MetricType::Gauge,
        (MetricKind::Histogram { .. } | MetricKind::ExponentialHistogram { .. }, _) => {
            MetricType::Histogram
        }
        (MetricKind::Summary, _) => MetricType::Summary,
    }
}
