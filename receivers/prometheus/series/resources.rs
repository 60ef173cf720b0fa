//! Resources: one per job and instance, with the attributes of the target and of `target_info`
//! (prometheus-receiver specification, section 9.3).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use weir_model::{AttributesBuilder, Interner, Resource, Series};
use weir_prom::labels::{LabelSet, METRIC_NAME};

/// Attributes from labels that discovery found, in the order of the attributes.
const FROM_DISCOVERY: [(&str, &str); 5] = [
    ("k8s.container.name", "__meta_kubernetes_pod_container_name"),
    ("k8s.namespace.name", "__meta_kubernetes_namespace"),
    ("k8s.pod.name", "__meta_kubernetes_pod_name"),
    ("k8s.pod.uid", "__meta_kubernetes_pod_uid"),
    ("url.scheme", "__scheme__"),
];

/// Labels with the name of the node, by role.
const NODE_LABELS: [&str; 3] = [
    "__meta_kubernetes_pod_node_name",
    "__meta_kubernetes_node_name",
    "__meta_kubernetes_endpoint_node_name",
];

/// Kinds of controllers of a pod and the attributes for their names.
const CONTROLLERS: [(&str, &str); 5] = [
    ("ReplicaSet", "k8s.replicaset.name"),
    ("DaemonSet", "k8s.daemonset.name"),
    ("StatefulSet", "k8s.statefulset.name"),
    ("Job", "k8s.job.name"),
    ("CronJob", "k8s.cronjob.name"),
];

/// So many pairs of job and instance are remembered per target.
const MAX_ENTRIES: usize = 4096;

/// Attributes that all resources of a target have: those that follow from discovery, before
/// relabelling.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiscoveredAttributes(Vec<(&'static str, String)>);

impl DiscoveredAttributes {
    /// Reads the labels that discovery gave the target.
    pub(crate) fn new(labels: &LabelSet) -> Self {
        let mut attributes: Vec<(&'static str, String)> = Vec::new();
        let mut add = |attribute, value: &str| {
            if !value.is_empty() {
                attributes.push((attribute, value.to_owned()));
            }
        };
        for (attribute, label) in FROM_DISCOVERY {
            add(attribute, labels.get(label));
        }
        let node = NODE_LABELS
            .iter()
            .map(|label| labels.get(label))
            .find(|name| !name.is_empty());
        add("k8s.node.name", node.unwrap_or_default());
        let kind = labels.get("__meta_kubernetes_pod_controller_kind");
        if let Some((_, attribute)) = CONTROLLERS.iter().find(|(known, _)| *known == kind) {
            add(
                attribute,
                labels.get("__meta_kubernetes_pod_controller_name"),
            );
        }
        Self(attributes)
    }
}

/// Labels of a `target_info` line and the resource that they are for.
#[derive(Debug)]
struct TargetInfo {
    entry: usize,
    labels: Vec<(Box<str>, Box<str>)>,
}

#[derive(Debug)]
struct Entry {
    /// Without the attributes of `target_info`.
    base: Arc<Resource>,
    /// With them.
    current: Arc<Resource>,
}

/// The resources of one target.
#[derive(Debug)]
pub(super) struct Resources {
    discovered: DiscoveredAttributes,
    entries: Vec<Entry>,
    /// Places of the entries, by job and instance.
    by_key: HashMap<String, usize>,
    infos: Vec<Option<TargetInfo>>,
    /// Resources that series may still have, and the entry they were of.
    retired: Vec<(Arc<Resource>, usize)>,
}

impl Resources {
    pub(super) fn new(discovered: DiscoveredAttributes) -> Self {
        Self {
            discovered,
            entries: Vec::new(),
            by_key: HashMap::new(),
            infos: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// The resource of a job and instance.
    pub(super) fn of(&mut self, job: &str, instance: &str, interner: &Interner) -> Arc<Resource> {
        let at = self.entry(job, instance, interner);
        self.entries
            .get(at)
            .map(|entry| Arc::clone(&entry.current))
            .unwrap_or_default()
    }

    fn entry(&mut self, job: &str, instance: &str, interner: &Interner) -> usize {
        // A byte that is in no text keeps the parts from running together.
        let key = format!("{job}\u{0}{instance}");
        if let Some(at) = self.by_key.get(&key) {
            return *at;
        }
        if self.entries.len() >= MAX_ENTRIES && !self.has_infos() && self.retired.is_empty() {
            // A federated page with pairs that come and go; they are made again when needed.
            self.entries.clear();
            self.by_key.clear();
        }
        let base = interner.resource(base_resource(job, instance, &self.discovered));
        let current = Arc::clone(&base);
        self.entries.push(Entry { base, current });
        self.by_key.insert(key, self.entries.len() - 1);
        self.entries.len() - 1
    }

    fn has_infos(&self) -> bool {
        self.infos.iter().any(Option::is_some)
    }

    /// Takes the labels of a `target_info` line; the number is for [`Self::remove_info`].
    pub(super) fn add_info(
        &mut self,
        (job, instance): (&str, &str),
        labels: &LabelSet,
        interner: &Interner,
    ) -> u32 {
        let entry = self.entry(job, instance, interner);
        let labels = labels
            .iter()
            .filter(|(name, _)| !matches!(*name, "job" | "instance" | METRIC_NAME))
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let info = Some(TargetInfo { entry, labels });
        let at = match self.infos.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.infos.push(None);
                self.infos.len() - 1
            }
        };
        if let Some(place) = self.infos.get_mut(at) {
            *place = info;
        }
        self.refresh(entry, interner);
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// A `target_info` line is gone.
    pub(super) fn remove_info(&mut self, number: u32, interner: &Interner) {
        let info = self.infos.get_mut(number as usize).and_then(Option::take);
        if let Some(info) = info {
            self.refresh(info.entry, interner);
        }
    }

    /// Makes the resource of an entry anew.
    fn refresh(&mut self, at: usize, interner: &Interner) {
        let infos = &self.infos;
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        let mut attributes = entry.base.attributes.to_builder();
        for info in infos.iter().flatten().filter(|info| info.entry == at) {
            for (name, value) in &info.labels {
                attributes.set_str(name, value);
            }
        }
        let resource = Resource {
            attributes: attributes.build(),
            ..Resource::clone(&entry.base)
        };
        let current = interner.resource(resource);
        if !Arc::ptr_eq(&current, &entry.current) {
            let before = std::mem::replace(&mut entry.current, current);
            self.retired.push((before, at));
        }
    }

    /// Whether series with outdated resources may be around.
    pub(super) fn are_outdated(&self) -> bool {
        !self.retired.is_empty()
    }

    /// No series with an outdated resource is left.
    pub(super) fn all_updated(&mut self) {
        self.retired.clear();
    }

    /// The series with its up-to-date resource, if it has an outdated one.
    pub(super) fn updated(&self, series: &Series, interner: &Interner) -> Option<Arc<Series>> {
        let outdated =
            |(resource, _): &&(Arc<Resource>, usize)| Arc::ptr_eq(resource, series.resource());
        let (_, at) = self.retired.iter().find(outdated)?;
        let resource = &self.entries.get(*at)?.current;
        Some(with_resource(series, resource, interner))
    }

    /// The series without the attributes of `target_info`, as a failed scrape has it.
    pub(super) fn plain(&self, series: &Arc<Series>, interner: &Interner) -> Arc<Series> {
        if self.retired.is_empty() && !self.has_infos() {
            return Arc::clone(series);
        }
        let of_series = |resource: &Arc<Resource>| Arc::ptr_eq(resource, series.resource());
        let retired = self
            .retired
            .iter()
            .find(|(resource, _)| of_series(resource));
        let entry = match retired {
            Some((_, at)) => self.entries.get(*at),
            None => self.entries.iter().find(|entry| of_series(&entry.current)),
        };
        match entry {
            Some(entry) if !of_series(&entry.base) => with_resource(series, &entry.base, interner),
            _ => Arc::clone(series),
        }
    }
}

fn with_resource(series: &Series, resource: &Arc<Resource>, interner: &Interner) -> Arc<Series> {
    interner.series(
        resource,
        series.scope(),
        series.metric(),
        series.labels().clone(),
    )
}

fn base_resource(job: &str, instance: &str, discovered: &DiscoveredAttributes) -> Resource {
    let (host, port) = split_host_port(instance).unwrap_or((instance, ""));
    let mut attributes = AttributesBuilder::default();
    attributes.set_str("service.name", job);
    if is_telling(host) {
        attributes.set_str("server.address", host);
    }
    attributes.set_str("service.instance.id", instance);
    attributes.set_str("server.port", port);
    attributes.set_str("url.scheme", "");
    for (attribute, value) in &discovered.0 {
        attributes.set_str(attribute, value);
    }
    Resource {
        attributes: attributes.build(),
        ..Resource::default()
    }
}

/// Host and port of an address with exactly one port; the host without brackets.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    (!host.contains([':', '[', ']'])).then_some((host, port))
}

/// Whether a host says more than "this machine".
fn is_telling(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        Err(_) => !host.is_empty() && host != "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::{Attributes, MetricKind, MetricMeta, Scope};

    fn attributes(resource: &Resource) -> Vec<(String, String)> {
        resource
            .attributes
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_text().into_owned()))
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn attributes_of_an_address() {
        let discovered =
            DiscoveredAttributes::new(&[("__scheme__", "https")].into_iter().collect());
        for (instance, expected) in [
            (
                "node-1:9100",
                vec![("server.address", "node-1"), ("server.port", "9100")],
            ),
            (
                "10.0.0.7:80",
                vec![("server.address", "10.0.0.7"), ("server.port", "80")],
            ),
            ("127.0.0.1:80", vec![("server.port", "80")]),
            ("localhost:80", vec![("server.port", "80")]),
            ("0.0.0.0:80", vec![("server.port", "80")]),
            (
                "[fd00::1]:80",
                vec![("server.address", "fd00::1"), ("server.port", "80")],
            ),
            ("[::1]:80", vec![("server.port", "80")]),
            (
                "node-1",
                vec![("server.address", "node-1"), ("server.port", "")],
            ),
        ] {
            let mut expected = expected;
            expected.push(("service.instance.id", instance));
            expected.push(("service.name", "job"));
            expected.push(("url.scheme", "https"));
            let resource = base_resource("job", instance, &discovered);
            assert_eq!(attributes(&resource), pairs(&expected), "{instance}");
        }
    }

    #[test]
    fn attributes_of_a_pod() {
        let labels = [
            ("__scheme__", "http"),
            ("__meta_kubernetes_pod_name", "web-1"),
            ("__meta_kubernetes_pod_uid", "uid"),
            ("__meta_kubernetes_namespace", "shop"),
            ("__meta_kubernetes_pod_container_name", "app"),
            ("__meta_kubernetes_pod_node_name", "node-1"),
            ("__meta_kubernetes_pod_controller_kind", "ReplicaSet"),
            ("__meta_kubernetes_pod_controller_name", "web-5d"),
        ];
        let discovered = DiscoveredAttributes::new(&labels.into_iter().collect());
        let resource = base_resource("j", "10.0.0.1:80", &discovered);
        let found = attributes(&resource);
        for expected in [
            ("k8s.container.name", "app"),
            ("k8s.namespace.name", "shop"),
            ("k8s.node.name", "node-1"),
            ("k8s.pod.name", "web-1"),
            ("k8s.pod.uid", "uid"),
            ("k8s.replicaset.name", "web-5d"),
        ] {
            assert!(
                found.contains(&pairs(&[expected])[0]),
                "{expected:?} in {found:?}"
            );
        }
    }

    #[test]
    fn target_info_comes_and_goes() {
        let interner = Interner::default();
        let mut resources = Resources::new(DiscoveredAttributes::default());
        let before = resources.of("j", "i:1", &interner);
        let metric = interner.metric(MetricMeta::new("m", MetricKind::Gauge));
        let scope = interner.scope(Scope::default());
        let series = interner.series(&before, &scope, &metric, Attributes::default());
        assert!(resources.updated(&series, &interner).is_none());

        let labels = [
            ("__name__", "target_info"),
            ("job", "j"),
            ("env", "prod"),
            ("url.scheme", "x"),
        ];
        let number = resources.add_info(("j", "i:1"), &labels.into_iter().collect(), &interner);
        assert!(resources.are_outdated());
        let updated = resources
            .updated(&series, &interner)
            .expect("its resource changed");
        let found = attributes(updated.resource());
        assert!(found.contains(&("env".into(), "prod".into())));
        assert!(
            found.contains(&("url.scheme".into(), "x".into())),
            "it overrides"
        );
        assert!(!found.iter().any(|(name, _)| name == "job"));
        resources.all_updated();
        assert!(Arc::ptr_eq(&resources.plain(&updated, &interner), &series));

        resources.remove_info(number, &interner);
        let back = resources
            .updated(&updated, &interner)
            .expect("it changed back");
        assert!(Arc::ptr_eq(back.resource(), &before));
    }
}
