//! Targets of endpoints, with what is known of the service and the pods behind them
//! (prometheus-receiver 3.4).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, select_all};
use kube::api::ObjectMeta;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde::Deserialize;
use tracing::warn;

use super::super::config::Role;
use super::super::{Group, TargetLabels};
use super::{Meta, Pod, Scope, Status, join, pod_labels, roles};

/// Namespace and name.
type Key = (String, String);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Subset {
    addresses: Vec<Address>,
    not_ready_addresses: Vec<Address>,
    ports: Vec<EndpointPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Address {
    ip: String,
    hostname: String,
    node_name: String,
    target_ref: Option<TargetRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct EndpointPort {
    name: String,
    port: u32,
    protocol: String,
}

/// Endpoints with the labels that all their targets have.
struct Endpoints {
    meta: Meta,
    subsets: Vec<Subset>,
}

/// What targets take from a pod.
struct PodView {
    meta: Meta,
    ip: String,
    ports: Vec<PodPort>,
}

struct PodPort {
    number: u32,
    protocol: String,
    meta: Meta,
}

fn view(pod: &Pod) -> PodView {
    let default = Status::default();
    let status = pod.status.as_ref().unwrap_or(&default);
    let regular = pod.spec.containers.iter().map(|c| (c, "false"));
    let init = pod.spec.init_containers.iter().map(|c| (c, "true"));
    let mut ports = Vec::new();
    for (container, init) in regular.chain(init) {
        for port in &container.ports {
            let mut meta = Meta::default();
            meta.put("pod_container_name", &container.name);
            meta.put("pod_container_image", &container.image);
            meta.put("pod_container_init", init);
            meta.put("pod_container_port_name", &port.name);
            let number = port.container_port.to_string();
            meta.put("pod_container_port_number", &number);
            ports.push(PodPort {
                number: port.container_port,
                protocol: port.protocol.clone(),
                meta,
            });
        }
    }
    PodView {
        meta: pod_labels(pod, status),
        ip: status.pod_ip.clone(),
        ports,
    }
}

/// The objects of one kind.
struct Cache<T> {
    items: BTreeMap<Key, T>,
    /// What a listing under way has named.
    listed: BTreeSet<Key>,
    complete: bool,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            listed: BTreeSet::new(),
            complete: false,
        }
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    (part(&metadata.namespace), part(&metadata.name))
}

impl<T> Cache<T> {
    /// Takes an event; the objects that may have changed are added to `changed`.
    fn take<K: kube::Resource>(
        &mut self,
        event: Event<K>,
        view: impl Fn(&K) -> T,
        changed: &mut BTreeSet<Key>,
    ) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let key = key(object.meta());
                self.listed.insert(key.clone());
                self.items.insert(key.clone(), view(&object));
                changed.insert(key);
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                changed.extend(
                    self.items
                        .keys()
                        .filter(|key| !listed.contains(*key))
                        .cloned(),
                );
                self.items.retain(|key, _| listed.contains(key));
                self.complete = true;
            }
            Event::Apply(object) => {
                let key = key(object.meta());
                self.items.insert(key.clone(), view(&object));
                changed.insert(key);
            }
            Event::Delete(object) => {
                let key = key(object.meta());
                self.items.remove(&key);
                changed.insert(key);
            }
        }
    }
}

/// Endpoints, services and pods, and which groups are to be built again.
#[derive(Default)]
struct Joined {
    at: usize,
    endpoints: Cache<Endpoints>,
    services: Cache<Meta>,
    pods: Cache<PodView>,
    due: BTreeSet<Key>,
    published: bool,
}

enum Change {
    Endpoints(Event<DynamicObject>),
    Service(Event<DynamicObject>),
    Pod(Event<Pod>),
}

impl Joined {
    fn take(&mut self, change: Change) {
        match change {
            Change::Endpoints(event) => {
                let view = |object: &DynamicObject| {
                    let mut meta = Meta::default();
                    let (namespace, name) = key(&object.metadata);
                    meta.put("namespace", &namespace);
                    meta.put("endpoints_name", &name);
                    meta.put_object("endpoints", &object.metadata);
                    Endpoints {
                        meta,
                        subsets: roles::part(object, "subsets"),
                    }
                };
                self.endpoints.take(event, view, &mut self.due);
            }
            Change::Service(event) => {
                // a service and its endpoints have the same name
                let view = |object: &DynamicObject| {
                    let mut meta = Meta::default();
                    roles::service_labels(object, &mut meta);
                    meta
                };
                self.services.take(event, view, &mut self.due);
            }
            Change::Pod(event) => {
                let mut pods = BTreeSet::new();
                self.pods.take(event, view, &mut pods);
                let of_changed = |(_, endpoints): &(&Key, &Endpoints)| {
                    let subsets = endpoints.subsets.iter();
                    subsets
                        .flat_map(|s| s.addresses.iter().chain(&s.not_ready_addresses))
                        .filter_map(pod_of)
                        .any(|pod| pods.contains(&pod))
                };
                let touched = self.endpoints.items.iter().filter(of_changed);
                self.due.extend(touched.map(|(key, _)| key.clone()));
            }
        }
    }

    /// The groups that are due, once everything has been listed.
    fn groups(&mut self) -> Option<Vec<Group>> {
        let complete = self.endpoints.complete && self.services.complete && self.pods.complete;
        if !complete || (self.published && self.due.is_empty()) {
            return None;
        }
        self.published = true;
        let due = std::mem::take(&mut self.due);
        Some(due.iter().map(|key| self.group(key)).collect())
    }

    fn group(&self, key: &Key) -> Group {
        let (namespace, name) = key;
        let endpoints = self.endpoints.items.get(key);
        Group {
            source: format!("kubernetes/{}/endpoints/{namespace}/{name}", self.at),
            targets: endpoints.map_or_else(Vec::new, |endpoints| self.targets(key, endpoints)),
        }
    }

    fn targets(&self, key: &Key, endpoints: &Endpoints) -> Vec<TargetLabels> {
        let mut common = endpoints.meta.clone();
        if let Some(service) = self.services.items.get(key) {
            common.0.extend(service.0.clone());
        }
        let mut targets = Vec::new();
        // ports of a pod that are targets already
        let mut covered: BTreeMap<Key, BTreeSet<u32>> = BTreeMap::new();
        for subset in &endpoints.subsets {
            let ready = subset.addresses.iter().map(|a| (a, "true"));
            let unready = subset.not_ready_addresses.iter().map(|a| (a, "false"));
            for port in &subset.ports {
                for (address, ready) in ready.clone().chain(unready.clone()) {
                    let mut meta = common.clone();
                    put_address(&mut meta, address, port, ready);
                    if let Some(key) = pod_of(address)
                        && let Some(pod) = self.pods.items.get(&key)
                    {
                        meta.0.extend(pod.meta.0.clone());
                        if let Some(found) = pod.ports.iter().find(|p| p.number == port.port) {
                            meta.0.extend(found.meta.0.clone());
                            meta.put("pod_container_port_protocol", &port.protocol);
                        }
                        covered.entry(key).or_default().insert(port.port);
                    }
                    targets.push(meta.at(join(&address.ip, port.port)));
                }
            }
        }
        // The other ports of these pods are targets too.
        for (key, ports) in &covered {
            let Some(pod) = self.pods.items.get(key).filter(|pod| !pod.ip.is_empty()) else {
                continue;
            };
            for port in pod
                .ports
                .iter()
                .filter(|port| !ports.contains(&port.number))
            {
                let mut meta = common.clone();
                meta.0.extend(pod.meta.0.clone());
                meta.0.extend(port.meta.0.clone());
                meta.put("pod_container_port_protocol", &port.protocol);
                targets.push(meta.at(join(&pod.ip, port.number)));
            }
        }
        targets
    }
}

fn put_address(meta: &mut Meta, address: &Address, port: &EndpointPort, ready: &str) {
    meta.put("endpoint_port_name", &port.name);
    meta.put("endpoint_port_protocol", &port.protocol);
    meta.put("endpoint_ready", ready);
    meta.put("endpoint_hostname", &address.hostname);
    meta.put("endpoint_node_name", &address.node_name);
    if let Some(target) = &address.target_ref {
        meta.put("endpoint_address_target_kind", &target.kind);
        meta.put("endpoint_address_target_name", &target.name);
    }
}

/// The pod behind an address.
fn pod_of(address: &Address) -> Option<Key> {
    let target = address
        .target_ref
        .as_ref()
        .filter(|target| target.kind == "Pod")?;
    Some((target.namespace.clone(), target.name.clone()))
}

/// Publishes the targets of endpoints until the end.
pub(super) async fn follow(scope: Scope<'_>) {
    let streams: Vec<BoxStream<'static, Result<Change, kube::runtime::watcher::Error>>> = vec![
        scope
            .events(Role::Endpoints)
            .map(|e| e.map(Change::Endpoints))
            .boxed(),
        scope
            .events(Role::Service)
            .map(|e| e.map(Change::Service))
            .boxed(),
        scope.events(Role::Pod).map(|e| e.map(Change::Pod)).boxed(),
    ];
    let mut changes = select_all(streams);
    let mut joined = Joined {
        at: scope.at,
        ..Joined::default()
    };
    loop {
        let change = tokio::select! {
            () = scope.stop.stopped() => return,
            change = changes.next() => change,
        };
        match change {
            None => return,
            Some(Err(reason)) => warn!("watching endpoints failed, trying again: {reason}"),
            Some(Ok(change)) => {
                joined.take(change);
                if let Some(groups) = joined.groups()
                    && scope.updates.send(groups).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ENDPOINTS: &str = r#"{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web","namespace":"d"},"subsets":[
        {"ports":[{"name":"http","port":80,"protocol":"TCP"}],
         "addresses":[{"ip":"10.0.0.1","targetRef":{"kind":"Pod","name":"web-1","namespace":"d"}}],
         "notReadyAddresses":[{"ip":"10.0.0.2"}]}]}"#;
    const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"d","labels":{"app":"w"}},"spec":{}}"#;
    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"d"},"spec":{"containers":[
        {"name":"app","image":"i","ports":[{"containerPort":80},{"name":"admin","containerPort":81,"protocol":"TCP"}]}]},
        "status":{"podIP":"10.0.0.1"}}"#;

    fn read<K: serde::de::DeserializeOwned>(text: &str) -> K {
        serde_json::from_str(text).unwrap()
    }

    fn get(group: &Group, i: usize, name: &str) -> Option<String> {
        let name = format!("__meta_kubernetes_{name}");
        let found = group.targets[i]
            .iter()
            .find(|(key, _)| *key == name || format!("__meta_kubernetes_{key}") == name);
        found.map(|(_, value)| value.clone())
    }

    fn listed() -> Joined {
        let mut joined = Joined::default();
        joined.take(Change::Endpoints(Event::InitApply(read(ENDPOINTS))));
        joined.take(Change::Endpoints(Event::InitDone));
        joined.take(Change::Service(Event::InitApply(read(SERVICE))));
        joined.take(Change::Service(Event::InitDone));
        joined.take(Change::Pod(Event::InitApply(read(POD))));
        joined
    }

    #[test]
    fn nothing_is_published_before_all_three_are_listed() {
        let mut joined = listed();
        assert!(joined.groups().is_none());
        joined.take(Change::Pod(Event::InitDone));
        let groups = joined.groups().unwrap();
        assert_eq!(groups.len(), 1);
        let group = &groups[0];
        assert_eq!(group.source, "kubernetes/0/endpoints/d/web");
        let addresses: Vec<_> = (0..3)
            .map(|i| get(group, i, "__address__").unwrap())
            .collect();
        assert_eq!(addresses, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"]);
        assert_eq!(get(group, 0, "service_label_app").unwrap(), "w");
        assert_eq!(get(group, 0, "pod_container_port_number").unwrap(), "80");
        assert_eq!(get(group, 1, "endpoint_ready").unwrap(), "false");
        assert_eq!(get(group, 1, "pod_name"), None);
        // an extra port of the pod: labels of endpoints, service and pod, none of the address
        assert_eq!(get(group, 2, "pod_container_port_name").unwrap(), "admin");
        assert_eq!(get(group, 2, "endpoint_ready"), None);
        assert_eq!(get(group, 2, "endpoints_name").unwrap(), "web");
        assert!(joined.groups().is_none());
    }

    #[test]
    fn changes_of_service_and_pod_reach_the_targets_and_what_is_gone_leaves() {
        let mut joined = listed();
        joined.take(Change::Pod(Event::InitDone));
        joined.groups().unwrap();
        joined.take(Change::Service(Event::Delete(read(SERVICE))));
        assert_eq!(get(&joined.groups().unwrap()[0], 0, "service_name"), None);
        joined.take(Change::Pod(Event::Delete(read(POD))));
        assert_eq!(joined.groups().unwrap()[0].targets.len(), 2);
        // a new listing without them
        joined.take(Change::Endpoints(Event::Init));
        joined.take(Change::Endpoints(Event::InitDone));
        let groups = joined.groups().unwrap();
        assert_eq!((groups.len(), groups[0].targets.len()), (1, 0));
    }
}
