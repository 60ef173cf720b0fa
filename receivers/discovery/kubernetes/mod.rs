//! `kubernetes_sd_configs` (prometheus-receiver 3.4): role `pod` here, `node`, `service` and
//! `ingress` in [`roles`], `endpoints` in [`endpoints`].
//!
//! Only the fields that become labels are read from an object, and none of it is kept but the labels.

mod endpoints;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{Stream, StreamExt as _};
use kube::api::{Api, ApiResource, ObjectMeta};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, Object};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::{error, warn};
use weir_core::Stop;

use super::config::{KubernetesSdConfig, Role};
use super::{Group, TargetLabels};

/// Where a pod finds the name of its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The part of a pod that becomes labels.
type Pod = Object<Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: String,
    container_port: u32,
    protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: String,
}

/// Watches what the role needs until `stop`. Without a cluster there are no targets, and one line says so.
pub(super) async fn run(
    at: usize,
    config: KubernetesSdConfig,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
) {
    let client = match client(&config).await {
        Ok(client) => client,
        Err(reason) => return error!("Cannot create service discovery: {reason}"),
    };
    let mut namespaces: Vec<Option<String>> =
        config.namespaces.names.iter().cloned().map(Some).collect();
    if config.namespaces.own_namespace {
        match tokio::fs::read_to_string(OWN_NAMESPACE).await {
            Ok(name) => namespaces.push(Some(name.trim().to_owned())),
            Err(reason) => {
                return error!("Cannot create service discovery: own_namespace: {reason}");
            }
        }
    }
    let role = config.role.unwrap_or(Role::Pod);
    if role == Role::Node {
        // nodes belong to no namespace
        namespaces.clear();
    }
    if namespaces.is_empty() {
        namespaces.push(None);
    }
    let watches = namespaces.into_iter().map(|namespace| {
        let scope = Scope {
            at,
            client: client.clone(),
            namespace,
            config: &config,
            updates: updates.clone(),
            stop: stop.clone(),
        };
        follow(role, scope)
    });
    futures_util::future::join_all(watches).await;
}

/// One entry in one namespace, or in all.
struct Scope<'a> {
    /// Place of the entry, part of the names of its groups.
    at: usize,
    client: Client,
    namespace: Option<String>,
    config: &'a KubernetesSdConfig,
    updates: mpsc::Sender<Vec<Group>>,
    stop: Stop,
}

async fn follow(role: Role, scope: Scope<'_>) {
    match role {
        Role::Pod => scope.groups::<Pod>(Role::Pod, "pod", group).await,
        Role::Node => scope.groups(role, "node", roles::node).await,
        Role::Service => scope.groups(role, "service", roles::service).await,
        Role::Ingress => scope.groups(role, "ingress", roles::ingress).await,
        // the configuration refuses slices
        Role::Endpoints | Role::EndpointSlice => endpoints::follow(scope).await,
    }
}

/// What is read for a role, as the API names it.
fn resource(role: Role) -> ApiResource {
    let (group, kind) = match role {
        Role::Pod => ("", "Pod"),
        Role::Node => ("", "Node"),
        Role::Service => ("", "Service"),
        Role::Endpoints => ("", "Endpoints"),
        Role::EndpointSlice => ("discovery.k8s.io", "EndpointSlice"),
        Role::Ingress => ("networking.k8s.io", "Ingress"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

/// What can be watched: the pod in its short form, or any object.
trait Watched:
    kube::Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>
    + Clone
    + std::fmt::Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Watched for K where
    K: kube::Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

impl Scope<'_> {
    /// List and watch of one kind, with its selector, tried again for ever.
    fn events<K: Watched>(
        &self,
        role: Role,
    ) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K> {
        let resource = resource(role);
        let client = self.client.clone();
        let api: Api<K> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let mut settings = watcher::Config::default();
        let selectors = &self.config.selectors;
        if let Some(selector) = selectors.iter().find(|s| s.role == Some(role)) {
            if !selector.label.is_empty() {
                settings = settings.labels(&selector.label);
            }
            if !selector.field.is_empty() {
                settings = settings.fields(&selector.field);
            }
        }
        watcher(api, settings).default_backoff()
    }

    /// Publishes a group for each object of one kind.
    async fn groups<K: Watched>(
        &self,
        role: Role,
        kind: &'static str,
        targets: fn(&K) -> Vec<TargetLabels>,
    ) {
        let mut events = std::pin::pin!(self.events::<K>(role));
        let mut listing = Listing {
            at: self.at,
            kind,
            known: BTreeSet::new(),
            fresh: Vec::new(),
        };
        loop {
            let event = tokio::select! {
                () = self.stop.stopped() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Err(reason)) => {
                    warn!("watching {kind} objects failed, trying again: {reason}");
                }
                Some(Ok(event)) => {
                    if let Some(groups) = listing.take(event, targets)
                        && self.updates.send(groups).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    }
}

async fn client(config: &KubernetesSdConfig) -> Result<Client, String> {
    let settings = if !config.api_server.is_empty() {
        let url = http::Uri::try_from(&config.api_server).map_err(|e| e.to_string())?;
        Config::new(url)
    } else if !config.kubeconfig_file.is_empty() {
        let file = Kubeconfig::read_from(&config.kubeconfig_file).map_err(|e| e.to_string())?;
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|e| e.to_string())?
    } else {
        Config::incluster().map_err(|e| e.to_string())?
    };
    Client::try_from(settings).map_err(|e| e.to_string())
}

/// Which objects are known, so that a new listing can remove those that are gone.
struct Listing {
    at: usize,
    kind: &'static str,
    known: BTreeSet<String>,
    /// Groups of a listing under way; published together when it is complete.
    fresh: Vec<Group>,
}

impl Listing {
    fn take<K: Watched>(
        &mut self,
        event: Event<K>,
        targets: fn(&K) -> Vec<TargetLabels>,
    ) -> Option<Vec<Group>> {
        match event {
            Event::Init => {
                self.fresh.clear();
                None
            }
            Event::InitApply(object) => {
                let source = source(self.at, self.kind, object.meta());
                self.fresh.push(Group {
                    source,
                    targets: targets(&object),
                });
                None
            }
            Event::InitDone => {
                let mut groups = std::mem::take(&mut self.fresh);
                let here: BTreeSet<String> = groups.iter().map(|g| g.source.clone()).collect();
                for gone in self.known.difference(&here) {
                    groups.push(Group {
                        source: gone.clone(),
                        targets: Vec::new(),
                    });
                }
                self.known = here;
                Some(groups)
            }
            Event::Apply(object) => {
                let source = source(self.at, self.kind, object.meta());
                self.known.insert(source.clone());
                Some(vec![Group {
                    source,
                    targets: targets(&object),
                }])
            }
            Event::Delete(object) => {
                let source = source(self.at, self.kind, object.meta());
                self.known.remove(&source);
                Some(vec![Group {
                    source,
                    targets: Vec::new(),
                }])
            }
        }
    }
}

fn source(at: usize, kind: &str, metadata: &ObjectMeta) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!(
        "kubernetes/{at}/{kind}/{}/{}",
        part(&metadata.namespace),
        part(&metadata.name)
    )
}

/// `host:port`, with brackets around an IPv6 address.
fn join(host: &str, port: u32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Every character outside `[a-zA-Z0-9_]` becomes `_`.
fn label_name(key: &str) -> String {
    key.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// Labels by short name; empty values give no label.
#[derive(Clone, Default)]
struct Meta(BTreeMap<String, String>);

impl Meta {
    fn put(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0
                .insert(format!("__meta_kubernetes_{name}"), value.to_owned());
        }
    }

    /// Labels and annotations: the value, which may be empty, and that it is present.
    fn put_object(&mut self, kind: &str, metadata: &ObjectMeta) {
        let each = [
            ("label", metadata.labels.as_ref()),
            ("annotation", metadata.annotations.as_ref()),
        ];
        for (what, map) in each {
            for (key, value) in map.into_iter().flatten() {
                let key = label_name(key);
                self.put(&format!("{kind}_{what}_{key}"), value);
                self.put(&format!("{kind}_{what}present_{key}"), "true");
            }
        }
    }

    /// As the labels of a target with this address.
    fn at(mut self, address: String) -> TargetLabels {
        self.0.insert("__address__".to_owned(), address);
        self.0.into_iter().collect()
    }
}

fn group(pod: &Pod) -> Vec<TargetLabels> {
    let default = Status::default();
    let status = pod.status.as_ref().unwrap_or(&default);
    let mut targets = Vec::new();
    // A pod without an address cannot be scraped.
    if !status.pod_ip.is_empty() {
        let meta = pod_labels(pod, status);
        let regular = pod
            .spec
            .containers
            .iter()
            .map(|c| (c, false, &status.container_statuses));
        let init = pod
            .spec
            .init_containers
            .iter()
            .map(|c| (c, true, &status.init_container_statuses));
        for (container, init, statuses) in regular.chain(init) {
            container_targets(
                &meta,
                &status.pod_ip,
                container,
                init,
                statuses,
                &mut targets,
            );
        }
    }
    targets
}

fn pod_labels(pod: &Pod, status: &Status) -> Meta {
    let mut meta = Meta::default();
    let metadata = &pod.metadata;
    meta.put(
        "namespace",
        metadata.namespace.as_deref().unwrap_or_default(),
    );
    meta.put("pod_name", metadata.name.as_deref().unwrap_or_default());
    meta.put("pod_uid", metadata.uid.as_deref().unwrap_or_default());
    meta.put("pod_ip", &status.pod_ip);
    meta.put("pod_host_ip", &status.host_ip);
    meta.put("pod_node_name", &pod.spec.node_name);
    meta.put("pod_phase", &status.phase);
    let ready = status.conditions.iter().find(|c| c.kind == "Ready");
    meta.put(
        "pod_ready",
        &ready.map_or("unknown".to_owned(), |c| c.status.to_lowercase()),
    );
    meta.put_object("pod", metadata);
    let owners = metadata.owner_references.iter().flatten();
    if let Some(owner) = owners.into_iter().find(|o| o.controller == Some(true)) {
        meta.put("pod_controller_kind", &owner.kind);
        meta.put("pod_controller_name", &owner.name);
    }
    meta
}

fn container_targets(
    pod: &Meta,
    ip: &str,
    container: &Container,
    init: bool,
    statuses: &[ContainerStatus],
    targets: &mut Vec<TargetLabels>,
) {
    let mut meta = pod.clone();
    meta.put("pod_container_name", &container.name);
    meta.put("pod_container_image", &container.image);
    let status = statuses.iter().find(|s| s.name == container.name);
    meta.put(
        "pod_container_id",
        status.map_or("", |s| s.container_id.as_str()),
    );
    meta.put("pod_container_init", if init { "true" } else { "false" });
    if container.ports.is_empty() {
        // The bare address, as it is: relabelling adds the port.
        return targets.push(meta.at(ip.to_owned()));
    }
    for port in &container.ports {
        let mut meta = meta.clone();
        meta.put("pod_container_port_name", &port.name);
        meta.put(
            "pod_container_port_number",
            &port.container_port.to_string(),
        );
        meta.put("pod_container_port_protocol", &port.protocol);
        targets.push(meta.at(join(ip, port.container_port)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pod(json: &str) -> Pod {
        serde_json::from_str(json).unwrap()
    }

    const WEB: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"shop","uid":"u",
        "labels":{"app.kubernetes.io/name":"web"},"annotations":{"empty":""},
        "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5","uid":"r","controller":true}]},
        "spec":{"nodeName":"n1","containers":[{"name":"app","image":"i:1","ports":[
            {"name":"http","containerPort":80,"protocol":"TCP"},{"containerPort":81,"protocol":"TCP"}]},
            {"name":"side","image":"s:1"}]},
        "status":{"phase":"Running","podIP":"10.0.0.1","hostIP":"10.0.1.1",
            "conditions":[{"type":"Ready","status":"True"}],
            "containerStatuses":[{"name":"app","containerID":"containerd://x"}]}}"#;

    #[test]
    fn a_target_per_port_and_one_for_a_container_without_ports() {
        let targets = group(&pod(WEB));
        let group = Group {
            source: source(0, "pod", &pod(WEB).metadata),
            targets,
        };
        assert_eq!(group.source, "kubernetes/0/pod/shop/web");
        let get = |i: usize, name: &str| {
            let found = group.targets[i].iter().find(|(k, _)| k == name);
            found.map(|(_, v)| v.as_str())
        };
        let meta = |i: usize, name: &str| get(i, &format!("__meta_kubernetes_{name}"));
        assert_eq!(group.targets.len(), 3);
        assert_eq!(
            [0, 1, 2].map(|i| get(i, "__address__").unwrap()),
            ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.1"]
        );
        assert_eq!(meta(0, "pod_container_port_name"), Some("http"));
        assert_eq!(meta(1, "pod_container_port_name"), None);
        assert_eq!(meta(0, "pod_container_id"), Some("containerd://x"));
        assert_eq!(meta(2, "pod_container_id"), None);
        assert_eq!(meta(0, "pod_ready"), Some("true"));
        assert_eq!(meta(0, "pod_label_app_kubernetes_io_name"), Some("web"));
        assert_eq!(meta(0, "pod_annotation_empty"), None);
        assert_eq!(meta(0, "pod_annotationpresent_empty"), Some("true"));
        assert_eq!(meta(0, "pod_controller_kind"), Some("ReplicaSet"));
    }

    #[test]
    fn a_new_listing_removes_what_is_gone_and_a_deletion_removes_at_once() {
        let other = WEB.replace("\"web\",\"namespace\"", "\"other\",\"namespace\"");
        let mut listing = Listing {
            at: 0,
            kind: "pod",
            known: BTreeSet::new(),
            fresh: Vec::new(),
        };
        assert_eq!(listing.take(Event::Init, group), None);
        assert_eq!(listing.take(Event::InitApply(pod(WEB)), group), None);
        assert_eq!(
            listing.take(Event::InitDone, group).map(|g| g.len()),
            Some(1)
        );
        assert_eq!(
            listing
                .take(Event::Apply(pod(&other)), group)
                .map(|g| g.len()),
            Some(1)
        );
        assert_eq!(listing.take(Event::Init, group), None);
        assert_eq!(listing.take(Event::InitApply(pod(&other)), group), None);
        let groups = listing.take(Event::InitDone, group).unwrap();
        let gone: Vec<_> = groups
            .iter()
            .filter(|g| g.targets.is_empty())
            .map(|g| &g.source)
            .collect();
        assert_eq!(gone, ["kubernetes/0/pod/shop/web"]);
        let groups = listing.take(Event::Delete(pod(&other)), group).unwrap();
        assert!(groups[0].targets.is_empty() && groups[0].source.ends_with("shop/other"));
    }

    #[test]
    fn a_pod_without_an_address_has_no_targets_and_ipv6_gets_brackets() {
        assert!(group(&pod(&WEB.replace("10.0.0.1", ""))).is_empty());
        let six = group(&pod(&WEB.replace("10.0.0.1", "fd00::1")));
        let has = |address: &str| {
            six.iter()
                .any(|t| t.contains(&("__address__".into(), address.into())))
        };
        assert!(has("[fd00::1]:80") && has("fd00::1"));
    }
}
