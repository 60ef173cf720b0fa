//! Attributes of a pod, of its container and of what stands behind it (processors 1.2, 1.4).

use std::collections::BTreeMap;

use weir_kube::{Container, Owner, Pod};
use weir_model::{Attributes, AttributesBuilder, Value, ValueRef};

use super::association::{bare_id, text};
use super::config::From;
use super::image::Image;
use super::rules::Rules;
use super::watches::Watches;

/// Labels that name a service, the later one wins.
const SERVICE_NAME_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app.kubernetes.io/instance"];
const SERVICE_VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The tag of an image that has none.
const NO_TAG: &str = "latest";

/// What is looked at.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) rules: &'a Rules,
    pub(super) watches: &'a Watches,
}

impl View<'_> {
    /// Attributes of a pod, whatever the resource.
    pub(super) fn of_pod(self, pod: &Pod) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let metadata = &pod.metadata;
        let mut put = |name: &str, value: &str| {
            if self.rules.wants(name) {
                found.insert(name.to_owned(), value.to_owned());
            }
        };
        put("k8s.pod.name", &metadata.name);
        put("k8s.pod.hostname", &pod.hostname);
        put("k8s.namespace.name", &metadata.namespace);
        put("service.namespace", &metadata.namespace);
        put("service.name", &metadata.name);
        for (name, value) in [
            ("k8s.pod.ip", &pod.ip),
            ("k8s.pod.start_time", &pod.created),
            ("k8s.pod.uid", &metadata.uid),
            ("k8s.node.name", &pod.node),
        ] {
            if !value.is_empty() {
                put(name, value);
            }
        }
        if let Some(uid) = self.watches.cluster_uid() {
            put("k8s.cluster.uid", &uid);
        }
        for owner in &metadata.owners {
            self.put_owner(pod, owner, &mut put);
        }
        for label in SERVICE_NAME_LABELS {
            if let Some(name) = metadata.labels.get(label) {
                put("service.name", name);
            }
        }
        if let Some(version) = metadata.labels.get(SERVICE_VERSION_LABEL) {
            put("service.version", version);
        }
        self.rules.object(From::Pod, metadata, &mut found);
        found
    }

    fn put_owner(self, pod: &Pod, owner: &Owner, put: &mut impl FnMut(&str, &str)) {
        let mut both = |kind: &str, owner: &Owner| {
            put(&format!("k8s.{kind}.name"), &owner.name);
            if !owner.uid.is_empty() {
                put(&format!("k8s.{kind}.uid"), &owner.uid);
            }
            put("service.name", &owner.name);
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                both("replicaset", owner);
                let deployment = self.watches.deployment_of(pod, owner, self.rules);
                if let Some(deployment) = deployment {
                    both("deployment", &deployment);
                }
            }
            "DaemonSet" => both("daemonset", owner),
            "StatefulSet" => both("statefulset", owner),
            "Job" => {
                both("job", owner);
                if let Some(cron_job) = self.watches.cron_job_of(pod, owner) {
                    both("cronjob", &cron_job);
                }
            }
            _ => {}
        }
    }

    /// Adds what is known to the attributes of a resource.
    pub(super) fn add(self, pod: Option<&Pod>, resource: &Attributes, out: &mut AttributesBuilder) {
        if let Some(pod) = pod {
            put_all(&self.of_pod(pod), out);
            self.add_container(pod, resource, out);
        }
        self.add_others(pod, resource, out);
    }

    /// Labels, annotations and uids of the objects round a pod; without a pod, of those that the
    /// resource itself names.
    fn add_others(self, pod: Option<&Pod>, resource: &Attributes, out: &mut AttributesBuilder) {
        let (rules, watches) = (self.rules, self.watches);
        let own = |value: Option<&String>, name: &str| match value {
            Some(value) if !value.is_empty() => value.clone(),
            _ => text(resource, name),
        };
        let namespace = own(pod.map(|pod| &pod.metadata.namespace), "k8s.namespace.name");
        let node = own(pod.map(|pod| &pod.node), "k8s.node.name");
        let mut found = BTreeMap::new();
        if let Some(object) = watches.named(From::Namespace, "", &namespace) {
            rules.object(From::Namespace, &object, &mut found);
        }
        if let Some(object) = watches.named(From::Node, "", &node) {
            rules.object(From::Node, &object, &mut found);
            // The reference adds the uid with the name, once nodes are watched.
            if rules.wants_any(&["k8s.node.uid", "k8s.node.name"]) {
                found.insert("k8s.node.uid".to_owned(), object.uid.clone());
            }
        }
        for (from, kind, attribute) in [
            (From::Deployment, "ReplicaSet", "k8s.deployment.uid"),
            (From::StatefulSet, "StatefulSet", "k8s.statefulset.uid"),
            (From::DaemonSet, "DaemonSet", "k8s.daemonset.uid"),
            (From::Job, "Job", "k8s.job.uid"),
        ] {
            if !rules.reads(from) {
                continue;
            }
            let owner = pod.and_then(|pod| Some((pod, pod.metadata.owner(kind)?)));
            let object = match owner {
                Some((pod, owner)) if from == From::Deployment => watches
                    .deployment_of(pod, owner, rules)
                    .and_then(|deployment| watches.named(from, &namespace, &deployment.name)),
                Some((_, owner)) => watches.named(from, &namespace, &owner.name),
                None => {
                    let uid = text(resource, attribute);
                    (!uid.is_empty()).then(|| watches.with_uid(from, &uid)).flatten()
                }
            };
            if let Some(object) = object {
                rules.object(from, &object, &mut found);
            }
        }
        put_all(&found, out);
    }

    /// Attributes of the container that the resource names, or of the only one.
    fn add_container(self, pod: &Pod, resource: &Attributes, out: &mut AttributesBuilder) {
        let rules = self.rules;
        let wanted = [
            "container.id", "container.image.name", "container.image.repo_digests",
            "container.image.tag", "container.image.tags", "k8s.container.name",
            "service.instance.id", "service.version",
        ];
        if !rules.wants_any(&wanted) {
            return;
        }
        let Some(container) = choose(pod, resource) else { return };
        let mut put = |name: &str, value: &str| {
            if rules.wants(name) && !value.is_empty() {
                put_absent(out, name, ValueRef::Str(value));
            }
        };
        // A container that runs is known by its status.
        if container.known {
            put("k8s.container.name", &container.name);
        }
        let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
        put("service.instance.id", &format!("{namespace}.{name}.{}", container.name));
        if let Some(image) = Image::of(&container.image) {
            let tag = image.tag.unwrap_or(NO_TAG);
            put("container.image.name", image.repository);
            put("container.image.tag", tag);
            put("service.version", &image.version().unwrap_or_default());
            if rules.wants("container.image.tags") && out.get("container.image.tags").is_none() {
                let tags = Value::List(vec![Value::Str(tag.to_owned())]);
                out.set_value("container.image.tags", &tags);
            }
        }
        add_run(rules, container, resource, out);
    }
}

/// What a run of a container has of its own.
fn add_run(rules: &Rules, container: &Container, resource: &Attributes, out: &mut AttributesBuilder) {
    const RUN: &str = "k8s.container.restart_count";
    let asked = match resource.get(RUN) {
        None => Some(container.restarts),
        Some(ValueRef::Int(run)) => Some(run),
        Some(_) => text(resource, RUN).parse().ok(),
    };
    // Only the run that goes on now is known.
    if !container.known || asked != Some(container.restarts) {
        return;
    }
    let id = bare_id(&container.id);
    if rules.wants("container.id") && !id.is_empty() && out.get("container.id").is_none() {
        out.set_str("container.id", id);
    }
    const DIGESTS: &str = "container.image.repo_digests";
    let digest = container.image_id.contains("@sha256:") && !container.image_id.contains("://");
    if rules.wants(DIGESTS) && digest && out.get(DIGESTS).is_none() {
        let list = Value::List(vec![Value::Str(container.image_id.clone())]);
        out.set_value(DIGESTS, &list);
    }
}

/// The container that a resource is about.
fn choose<'a>(pod: &'a Pod, resource: &Attributes) -> Option<&'a Container> {
    let (name, id) = (text(resource, "k8s.container.name"), text(resource, "container.id"));
    let mut all = pod.containers.iter();
    if !name.is_empty() {
        return all.find(|container| container.name == name);
    }
    if !id.is_empty() {
        return all.find(|container| bare_id(&container.id) == id);
    }
    let only = |mut some: Vec<&'a Container>| if some.len() == 1 { some.pop() } else { None };
    let running = all.clone().filter(|container| container.known && !container.id.is_empty());
    only(running.collect()).or_else(|| only(all.collect()))
}

fn put_all(found: &BTreeMap<String, String>, out: &mut AttributesBuilder) {
    for (name, value) in found {
        put_absent(out, name, ValueRef::Str(value));
    }
}

/// Sets what is absent or empty.
fn put_absent(out: &mut AttributesBuilder, name: &str, value: ValueRef<'_>) {
    if matches!(out.get(name), None | Some(ValueRef::Empty | ValueRef::Str(""))) {
        out.set(name, value);
    }
}
