//! The labels of a data point: its attributes as text, and what the configuration adds (spec 4,
//! 11.2; EMF-33, EMF-44, EMF-46, EMF-47).

use std::collections::BTreeMap;

use weir_model::Series;

use super::config::Config;
use super::declarations::SCOPE_LABEL;
use super::encode::{label_text, write_str};

/// Label that sets the storage resolution; neither a field nor a dimension.
const RESOLUTION_LABEL: &str = "aws.emf.storage_resolution";

/// Attributes that `exclude_service_attributes` leaves out.
const SERVICE_ATTRIBUTES: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// Labels by name, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Labels of a series under a scope name (the series' own, or the one it inherits).
    pub(crate) fn new(series: &Series, scope: &str, config: &Config) -> Self {
        let mut labels: BTreeMap<String, String> = series
            .labels()
            .iter()
            .map(|(key, value)| (key.to_owned(), label_text(value).into_owned()))
            .collect();
        let conversion = &config.resource_to_telemetry_conversion;
        if conversion.enabled {
            for (key, value) in series.resource().attributes.iter() {
                if conversion.exclude_service_attributes && SERVICE_ATTRIBUTES.contains(&key) {
                    continue;
                }
                labels.insert(key.to_owned(), label_text(value).into_owned());
            }
        }
        if !scope.is_empty() {
            labels.insert(SCOPE_LABEL.to_owned(), scope.to_owned());
        }
        let mut labels = Self(labels);
        if config.eks_fargate_container_insights_enabled {
            labels.add_kubernetes();
        }
        labels
    }

    /// These labels and the one of a quantile.
    pub(crate) fn with_quantile(&self, quantile: String) -> Self {
        let mut labels = self.clone();
        labels.0.insert("quantile".to_owned(), quantile);
        labels
    }

    /// All labels, sorted by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Labels that are fields and dimensions.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(key, _)| *key != RESOLUTION_LABEL)
    }

    /// The value of a label.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Seconds between values, if a label says so.
    pub(crate) fn resolution(&self) -> Option<i64> {
        self.get(RESOLUTION_LABEL)?.parse().ok()
    }

    /// Container Insights on Fargate: an object of the pod's facts as JSON text.
    fn add_kubernetes(&mut self) {
        if !matches!(self.get("Type"), Some("Pod" | "Container")) {
            return;
        }
        let text = |name: &str| {
            let value = self.get(name).filter(|value| !value.is_empty())?;
            let mut json = Vec::new();
            write_str(value, true, &mut json);
            String::from_utf8(json).ok()
        };
        let json = object([
            ("container_name", text("container")),
            ("docker", part([("container_id", text("container_id"))])),
            ("host", text("NodeName")),
            (
                "labels",
                part([
                    ("app", text("app")),
                    ("pod-template-hash", text("pod-template-hash")),
                ]),
            ),
            ("namespace_name", text("Namespace")),
            ("pod_id", text("PodId")),
            ("pod_name", text("PodName")),
            (
                "pod_owners",
                part([
                    ("owner_kind", text("owner_kind")),
                    ("owner_name", text("owner_name")),
                ]),
            ),
            ("service_name", text("Service")),
        ]);
        self.0.insert("kubernetes".to_owned(), json);
    }
}

/// A JSON object of the members that have a value.
fn object<const N: usize>(members: [(&str, Option<String>); N]) -> String {
    let members: Vec<String> = members
        .into_iter()
        .filter_map(|(key, value)| Some(format!("\"{key}\":{}", value?)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The same as a member: nothing when it is empty.
fn part<const N: usize>(members: [(&str, Option<String>); N]) -> Option<String> {
    Some(object(members)).filter(|json| json != "{}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::sync::Arc;
    use weir_model::{Attributes, Interner, MetricKind, MetricMeta, Resource, Scope, Value};

    fn series(resource: &[(&str, Value)], labels: &[(&str, Value)]) -> Arc<Series> {
        let interner = Interner::default();
        let attributes =
            |pairs: &[(&str, Value)]| -> Attributes { pairs.iter().cloned().collect() };
        let resource = interner.resource(Resource {
            attributes: attributes(resource),
            ..Resource::default()
        });
        let scope = interner.scope(Scope::default());
        let metric = interner.metric(MetricMeta::new("m", MetricKind::Gauge));
        interner.series(&resource, &scope, &metric, attributes(labels))
    }

    #[test]
    fn resource_attributes_win_over_labels_when_asked_for() {
        let series = series(
            &[
                ("host", "r".into()),
                ("service.name", "s".into()),
                ("n", Value::Int(5)),
            ],
            &[("host", "p".into()), ("OTelLib", "own".into())],
        );
        let mut config = Config::default();
        let plain = Labels::new(&series, "", &config);
        assert_eq!(
            plain.all().collect::<Vec<_>>(),
            [("OTelLib", "own"), ("host", "p")]
        );
        config.resource_to_telemetry_conversion.enabled = true;
        config
            .resource_to_telemetry_conversion
            .exclude_service_attributes = true;
        let labels = Labels::new(&series, "lib", &config);
        assert_eq!(
            labels.all().collect::<Vec<_>>(),
            [("OTelLib", "lib"), ("host", "r"), ("n", "5")]
        );
    }

    #[test]
    fn the_resolution_is_no_field() {
        let series = series(&[], &[(RESOLUTION_LABEL, Value::Int(1)), ("a", "b".into())]);
        let labels = Labels::new(&series, "", &Config::default());
        assert_eq!(labels.resolution(), Some(1));
        assert_eq!(labels.fields().collect::<Vec<_>>(), [("a", "b")]);
        assert_eq!(labels.all().count(), 2);
    }

    #[test]
    fn pods_on_fargate_get_an_object_without_empty_parts() {
        let config = Config {
            eks_fargate_container_insights_enabled: true,
            ..Config::default()
        };
        let kubernetes = |pairs: &[(&str, Value)]| {
            let labels = Labels::new(&series(&[], pairs), "", &config);
            labels.get("kubernetes").map(str::to_owned)
        };
        assert_eq!(
            kubernetes(&[
                ("Type", "Container".into()),
                ("container", "a<b".into()),
                ("container_id", "id".into()),
                ("app", "".into()),
                ("owner_name", "web".into()),
            ]),
            Some(
                "{\"container_name\":\"a\\u003cb\",\"docker\":{\"container_id\":\"id\"},\
                 \"pod_owners\":{\"owner_name\":\"web\"}}"
                    .to_owned()
            )
        );
        assert_eq!(kubernetes(&[("Type", "Pod".into())]), Some("{}".to_owned()));
        assert_eq!(kubernetes(&[("Type", "Node".into())]), None);
    }
}
